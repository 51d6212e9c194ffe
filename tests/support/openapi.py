# SPDX-License-Identifier: Apache-2.0
"""docs/openapi.json and docs/reference/http.md: the example servers' HTTP interface.

openapi.py [--update]

What a row or a command looks like comes from tests/abi/schemas.txt, which a test holds to the code; the paths stand here,
and what is to be said beside them in http_words.py.
tests/e2e/test_openapi.py drives real servers by the result. Without --update both files are compared, with it, they are
written anew.
"""

import json
import pathlib
import re
import sys

import http_words
import reference

ROOT = pathlib.Path(__file__).resolve().parents[2]
OPENAPI = ROOT / "docs" / "openapi.json"
PAGE = ROOT / "docs" / "reference" / "http.md"
ID_MAX = 2**53 - 1

# The port, after the base, and what is there.
SERVICES = {"app": 1, "pay": 2, "store": 3, "customer": 4, "dashboard": 5, "upkeep": 6}

TITLES = {
    "malformed": "not JSON, not UTF-8, or a header or parameter that can't be read",
    "invalid": "wrong values; `errors` names each field",
    "not-found": "no such path, or nothing with that id",
    "method-not-allowed": "`Allow` names the methods",
    "too-large": "more than 65,536 bytes of body, or a path or headers that are too long",
    "wrong-content-type": "the body must be `application/json`",
    "payment-declined": "there is no order, and nothing was paid",
    "payment-unavailable": "there is no order; the same `Idempotency-Key` may try again after `Retry-After`",
    "cancel-rejected": "preparation has started, or the store has ended the order",
    "wrong-state": "that can't be done as things stand; the detail says why",
    "idempotency-key-reused": "the key was used for another body",
    "not-ready": "the store can't be used, or the process is draining",
    "view-behind": "the view doesn't hold that write yet",
    "overloaded": "too much is queued",
}

# ---- schemas ----

SHOWN_AS = {"amount_minor": "amount", "captured_minor": "capturedAmount", "refunded_minor": "refundedAmount"}
HIDDEN = {"order_time_ms", "order_n", "payment_time_ms", "payment_n", "fulfillment_time_ms", "fulfillment_n", "is_visible",
          "failed_operation", "failed_text"}
# Of the order's lines, set on whatever shows them.
LIMITS = {
    "product_id": {"minLength": 1, "maxLength": 64},
    "customer_id": {"minLength": 1, "maxLength": 64},
    "store_id": {"minLength": 1, "maxLength": 64},
    "qty": {"minimum": 1, "maximum": 1000},
}
NULLABLE = {"client_reference", "payment_status", "fulfillment_status", "failed_operation", "failed_text"}


def camel(name):
    name = SHOWN_AS.get(name, re.sub(r"_ms$", "", name))
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


def or_null(schema, nullable):
    if nullable:
        schema = dict(schema)
        schema["type"] = [schema["type"], "null"]
        if "enum" in schema:
            schema["enum"] = schema["enum"] + [None]
    return schema


def property_of(name, text):
    word, _, rest = text.partition(" ")
    if name in SHOWN_AS:
        return {"type": "number", "minimum": 0}
    if word == "time":
        return or_null({"type": "string", "format": "date-time", "pattern": r"^\d{4,}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"}, name == "pickup_time_ms")
    if word == "enum":
        return or_null({"type": "string", "enum": re.findall(r"\d+=(\S+)", rest)}, name in NULLABLE)
    if word == "text":
        return or_null({"type": "string", **LIMITS.get(name, {})}, name in NULLABLE)
    if word == "bool":
        return {"type": "boolean"}
    return {"type": "integer", "minimum": 0, **LIMITS.get(name, {})}


def object_of(properties, required=None):
    return {"type": "object", "properties": properties, "required": list(properties) if required is None else required}


LINK = object_of({"href": {"type": "string"}})
LINKS = object_of({"self": LINK, "next": LINK}, ["self"])
ID = {"type": "integer", "minimum": 1, "maximum": ID_MAX}
LETTER_ID = {"type": "string", "pattern": r"^[1-9][0-9]*-[1-9][0-9]*$"}
COUNT = {"type": "integer", "minimum": 0}


def row_schema(fields, ids, more=None, linked=True, hidden=HIDDEN):
    properties = dict(ids)
    for _, name, text in fields:
        if name not in hidden:
            properties[camel(name)] = property_of(name, text)
    properties.update(more or {})
    if linked:
        properties["_links"] = {"$ref": "#/components/schemas/Links"}
    return object_of(properties)


def page_schema(name, row):
    return object_of({
        "_embedded": object_of({name: {"type": "array", "items": {"$ref": f"#/components/schemas/{row}"}}}),
        "page": object_of({"size": {"type": "integer", "minimum": 1, "maximum": 1000}}),
        "_links": {"$ref": "#/components/schemas/Links"},
    })


def letter_schema():
    text, maybe = {"type": "string"}, {"type": ["string", "null"]}
    return object_of({
        "letterId": LETTER_ID, "key": ID,
        "state": {"type": "string", "enum": ["parked", "waiting"]},
        "reader": {"type": "string", "enum": ["policy", "saga", "view"]},
        "name": text, "subscription": text, "source": text, "aggregate": text, "event": text, "version": COUNT,
        "time": property_of("time_ms", "time"), "trace": maybe, "attempts": COUNT, "code": maybe, "error": maybe,
        "parked": property_of("parked_ms", "time"), "position": text,
        "data": {"type": ["object", "null"], "properties": {}, "description": "the event's fields: see events.md; null where its type isn't known"},
        "_links": {"$ref": "#/components/schemas/Links"},
    })


def schemas():
    fields = {name: of for _, name, _, of in reference.entries()}
    order, payment = {"orderId": ID}, {"paymentId": ID, "orderId": ID}
    note = {"notificationId": {"type": "string", "pattern": r"^\d+-\d+$"}, "orderId": ID}
    number = {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?$"}]}
    words = {"type": "string", "minLength": 1, "maxLength": 64, "pattern": r"^[^\x00-\x1f\x7f-\x9f]+$"}
    place = object_of({
        "productId": words,
        "qty": {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 1000}, {"type": "string", "pattern": "^[1-9][0-9]?$"}]},
        "customerId": words,
        "amount": number,
        "currency": {"type": "string", "enum": ["KRW", "USD", "JPY", "EUR"]},
        "storeId": words,
        "pickupTime": {"type": ["string", "null"], "description": "`YYYYMMDDhhmmss` in the shop's time zone, or RFC 3339"},
        "paymentToken": {"type": "string", "maxLength": 255},
        "orderId": {"anyOf": [{"type": "integer"}, {"type": "string", "maxLength": 64}], "description": "the client's own reference"},
    }, ["productId", "qty", "customerId", "amount"])
    place["description"] = "`status` and unknown fields are ignored. Amounts are read from their text: no more decimals than the currency has, at most 10^12 minor units."
    settings = {
        "mode": {"type": "string", "enum": ["approve", "decline", "error", "hang"]},
        "delayMs": {"type": "integer", "minimum": 0, "maximum": 3600000},
        "jitterMs": {"type": "integer", "minimum": 0, "maximum": 3600000},
        "capacity": {"type": "integer", "minimum": 0, "maximum": 1000000},
    }
    figures = {"inFlight": {"type": "integer", "minimum": 0}, "maxInFlight": {"type": "integer", "minimum": 0}}
    problem = object_of({
        "type": {"type": "string", "enum": [f"/problems/{name}" for name in TITLES]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "orderId": ID,
        "errors": {"type": "array", "minItems": 1, "items": object_of({"field": {"type": "string"}, "message": {"type": "string"}})},
    }, ["type", "title", "status"])
    events = [name for kind, name, owner, _ in reference.entries() if kind == "event" and owner == "order"]
    return {
        "Order": row_schema(fields["OrderRow"], order),
        "Orders": page_schema("orders", "Order"),
        "OrderEvents": object_of({
            "_embedded": object_of({"events": {"type": "array", "minItems": 1, "items": object_of({
                "event": {"type": "string", "enum": events},
                "version": {"type": "integer", "minimum": 1},
                "at": property_of("at_ms", "time"),
                "data": {"type": "object", "description": "the event's fields: see events.md"},
            })}}),
            "_links": {"$ref": "#/components/schemas/Links"},
        }),
        "Payment": row_schema(fields["PaymentRow"], payment),
        "Payments": page_schema("payments", "Payment"),
        "KeptPayment": row_schema(fields["PaymentRow"], payment, hidden=()),
        "KeptPayments": page_schema("payments", "KeptPayment"),
        "PaymentRetried": object_of({"paymentId": ID}),
        "Ticket": row_schema(fields["FulfillmentRow"], order),
        "Tickets": page_schema("fulfillments", "Ticket"),
        "Notification": row_schema(fields["NotificationRow"], note, linked=False),
        "Notifications": page_schema("notifications", "Notification"),
        "OrderInfo": row_schema(fields["OrderInfoRow"], order, {"position": {"type": "string"}}),
        "OrderInfos": page_schema("orderInfos", "OrderInfo"),
        "PlaceOrder": place,
        "Reason": object_of({"reason": {"type": "string", "maxLength": 200, "pattern": r"^[^\x00-\x1f\x7f-\x9f]*$"}}, []),
        "Sandbox": object_of({**settings, **figures, "_links": {"$ref": "#/components/schemas/Links"}}),
        "SandboxSettings": object_of(settings, []),
        "Backup": object_of({"file": {"type": "string"}}),
        "Letter": letter_schema(),
        "Letters": page_schema("letters", "Letter"),
        "LetterEnded": object_of({"letterId": LETTER_ID}),
        "EventFields": {
            **object_of({"productId": words, "qty": {"type": "integer", "minimum": 1, "maximum": 1000}, "amount": number}, []),
            "description": "the fields of the letter's event that are to be others, by the names that `data` gives them",
        },
        "DropReason": object_of({"reason": {"type": "string", "minLength": 1, "maxLength": 200}}),
        "Forget": object_of({"notificationsBefore": {"type": "string", "format": "date-time", "examples": ["2026-01-31T00:00:00Z"]}}),
        "Rebuilt": object_of({"events": COUNT, "rows": COUNT}),
        "Verified": object_of({"events": COUNT, "rows": COUNT, "differing": COUNT, "missing": COUNT, "surplus": COUNT,
                               "firstKey": or_null(ID, True)}),
        "Forgotten": object_of({"notifications": COUNT}),
        "Live": object_of({"status": {"type": "string", "enum": ["live"]}}),
        "Ready": object_of({"status": {"type": "string", "enum": ["ready"]}, "degraded": {"type": "array", "items": {"type": "string"}}}),
        "Links": LINKS,
        "Problem": problem,
    }


# ---- paths ----


def header(name, text, schema=None):
    return {"name": name, "in": "header", "required": False, "description": text, "schema": schema or {"type": "string"}}


def query(name, schema, text=""):
    return {"name": name, "in": "query", "required": False, "schema": schema, **({"description": text} if text else {})}


PATH_ID = {"name": "id", "in": "path", "required": True, "schema": ID}
PATH_VIEW = {"name": "view", "in": "path", "required": True,
             "schema": {"type": "string", "enum": ["orders", "payments", "fulfillments", "notifications", "order_infos"]}}
PATH_LETTER = {"name": "id", "in": "path", "required": True, "schema": LETTER_ID}
KEY = header("Idempotency-Key", "1 to 255 visible ASCII characters: the same key and body give the same answer",
             {"type": "string", "pattern": "^[!-~]{1,255}$"})
WAIT = header("Prefer", "`wait=N`: wait up to N seconds (at most 30) for the outcome", {"type": "string"})
AFTER = query("after-position", {"type": "string"}, "a `Cafe-Position`: waits up to 2 s until the view holds that write")
LIMIT = query("limit", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 50})
TEXT = {"type": "string", "maxLength": 64}
POSITION = {"Cafe-Position": {"description": "for reading one's own write at the dashboard", "schema": {"type": "string"}}}
ALWAYS = {400: ["malformed"], 405: ["method-not-allowed"], 413: ["too-large"], 414: ["too-large"], 431: ["too-large"], 503: ["not-ready", "overloaded"]}


def problems(codes):
    out = {}
    for status, names in codes.items():
        out[str(status)] = {
            "description": "; ".join(f"{name}: {TITLES[name]}" for name in names),
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        if status == 503:
            out["503"]["headers"] = {"Retry-After": {"required": True, "schema": {"type": "string", "pattern": "^[1-9][0-9]*$"}}}
    return out


def operation(summary, answers, codes=None, parameters=(), body=None, optional=False, headers=None):
    """answers: {status: (schema, description)}."""
    merged = {status: list(names) for status, names in ALWAYS.items()}
    for status, names in (codes or {}).items():
        merged[status] = sorted(set(merged.get(status, []) + names))
    if body:
        merged[415] = ["wrong-content-type"]
        merged[422] = sorted(set(merged.get(422, []) + ["invalid"]))
    responses = {
        str(status): {
            "description": text,
            "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}},
            **({"headers": headers} if headers else {}),
        }
        for status, (schema, text) in answers.items()
    }
    responses.update(problems(merged))
    out = {"summary": summary, "parameters": list(parameters), "responses": dict(sorted(responses.items()))}
    if body:
        out["requestBody"] = {"required": not optional, "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{body}"}}}}
    return out


def listing(summary, schema, *filters, dashboard=False):
    codes = {422: ["invalid"]}
    if dashboard:
        codes[503] = ["view-behind"]
    after = query("after", {"type": "string", "pattern": r"^[0-9]+-[0-9]+$"} if schema in ("Notifications", "Letters") else ID,
                  "the last id seen, exclusive")
    parameters = [*filters, LIMIT, after] + ([AFTER] if dashboard else [])
    return {"get": operation(summary, {200: (schema, "a page, ascending by id")}, codes, parameters)}


def one(summary, schema, dashboard=False):
    codes = {404: ["not-found"]}
    if dashboard:
        codes.update({422: ["invalid"], 503: ["view-behind"]})
    return {"get": operation(summary, {200: (schema, "as it is now")}, codes, [PATH_ID] + ([AFTER] if dashboard else []))}


def status_of(schema, everything):
    return query("status", {"type": "string", "enum": [value for value in everything[schema]["properties"]["status"]["enum"] if value]})


def action(word):
    return {"post": operation(
        f"The owner: {word}", {200: ("Ticket", "the ticket; repeated, nothing new")},
        {404: ["not-found"], 409: ["wrong-state"], 422: ["idempotency-key-reused"]}, [PATH_ID, KEY], "Reason", True, POSITION)}


def paths(everything):
    order = query("orderId", {"type": "integer", "minimum": 0})
    customer, shop = query("customerId", TEXT), query("storeId", TEXT)
    place = operation(
        "Order, and pay", {201: ("Order", "paid; `Location` names it")},
        {402: ["payment-declined"], 422: ["idempotency-key-reused"], 503: ["payment-unavailable"]}, [KEY], "PlaceOrder",
        headers={**POSITION, "Location": {"schema": {"type": "string", "pattern": r"^/orders/\d+$"}}})
    cancel = operation(
        "Cancel, until preparation starts",
        {200: ("Order", "canceled"), 202: ("Order", "not known yet: the order is `Canceling`")},
        {404: ["not-found"], 409: ["cancel-rejected"], 422: ["idempotency-key-reused"]}, [PATH_ID, KEY, WAIT], "Reason", True,
        POSITION)
    sandbox = operation("How the payment gateway behaves, for drills: fields not given stay", {200: ("Sandbox", "as it is now")}, body="SandboxSettings")
    stream = operation("Every change, as server-sent events (`id`, `event`, `data`)", {}, {422: ["invalid"]},
                       [header("Last-Event-ID", "goes on after that change; an unknown one: from the start")])
    stream["responses"]["200"] = {"description": "a stream that doesn't end: `data` is an OrderInfo", "content": {"text/event-stream": {"schema": {"type": "string"}}}}
    key, event = query("key", {"type": "integer", "minimum": 0}), query("event", TEXT)
    state = query("state", everything["Letter"]["properties"]["state"])
    reader, name = query("reader", everything["Letter"]["properties"]["reader"]), query("name", TEXT)
    letter_codes = {404: ["not-found"], 409: ["wrong-state"]}
    metrics = operation("Prometheus text format", {})
    metrics["responses"]["200"] = {"description": "the samples", "content": {"text/plain": {"schema": {"type": "string"}}}}
    return {
        "app": {
            "/orders": {"post": place, **listing("A page of orders", "Orders", customer, status_of("Order", everything), order)},
            "/orders/{id}": one("An order", "Order"),
            "/orders/{id}/events": {"get": operation("What happened to it, from `Ordered` on", {200: ("OrderEvents", "in order")}, {404: ["not-found"]}, [PATH_ID])},
            "/orders/{id}/cancel": {"post": cancel},
        },
        "pay": {
            "/payments": listing("A page of payments, declined and void ones too", "Payments", order),
            "/payments/{id}": one("A payment", "Payment"),
            "/sandbox": {"get": operation("How the payment gateway behaves", {200: ("Sandbox", "as it is now")}), "put": sandbox},
        },
        "store": {
            "/fulfillments": listing("A page of tickets", "Tickets", shop, status_of("Ticket", everything), order),
            "/fulfillments/{id}": one("A ticket", "Ticket"),
            **{f"/fulfillments/{{id}}/{word}": action(word) for word in ("accept", "reject", "start", "ready", "pickup", "fail")},
        },
        "customer": {"/notifications": listing("A page of what customers were told", "Notifications", order, customer)},
        "dashboard": {
            "/orderInfos": listing("A page of orders, as all services see them", "OrderInfos", order, customer, shop, status_of("OrderInfo", everything), dashboard=True),
            "/orderInfos/{id}": one("An order, as all services see it", "OrderInfo", dashboard=True),
            "/orderInfos/stream": {"get": stream},
        },
        "upkeep": {
            "/upkeep/backup": {"post": operation("Copies the store, while it is used, to a file beside it", {200: ("Backup", "it is whole, and durable")}, {409: ["wrong-state"]})},
            "/upkeep/letters": listing("A page of dead letters: records that couldn't have their effect, and those that wait behind them", "Letters", key, state, reader, name, event),
            "/upkeep/letters/{id}": {"get": operation("A dead letter", {200: ("Letter", "as it is now")}, {404: ["not-found"]}, [PATH_LETTER])},
            "/upkeep/letters/{id}/replay": {"post": operation("Hands the record over once more, with other fields where a body names some", {200: ("LetterEnded", "it had its effect; what waits behind it goes on")}, letter_codes, [PATH_LETTER], "EventFields", True)},
            "/upkeep/letters/{id}/drop": {"post": operation("Gives the record up; the reason goes to the log", {200: ("LetterEnded", "what waits behind it goes on")}, letter_codes, [PATH_LETTER], "DropReason")},
            "/upkeep/payments": listing("At pay: a page of payments that need an operator: what was given up, and why", "KeptPayments", order),
            "/upkeep/payments/{id}": one("A payment, and what of it was given up, if something was", "KeptPayment"),
            "/upkeep/payments/{id}/retry": {"post": operation("Has what was given up tried again, under its key; the reason is kept with it", {200: ("PaymentRetried", "it is wanted; `/upkeep/payments/{id}` shows what comes of it")}, {404: ["not-found"], 409: ["wrong-state"], 422: ["idempotency-key-reused"]}, [PATH_ID, KEY], "Reason", True)},
            "/upkeep/views/{view}/rebuild": {"post": operation("Makes a view's table anew, from the first event, while it serves", {200: ("Rebuilt", "it is in the old one's place")}, letter_codes, [PATH_VIEW])},
            "/upkeep/views/{view}/verify": {"post": operation("Compares a view's table with one that is made anew, and changes nothing", {200: ("Verified", "what was found: rows that aren't what the events say, that should be there, that shouldn't")}, letter_codes, [PATH_VIEW])},
            "/upkeep/forget": {"post": operation("Deletes messages that were sent before that time", {200: ("Forgotten", "how many")}, {409: ["wrong-state"]}, body="Forget")},
        },
        "": {
            "/livez": {"get": operation("The loop turns", {200: ("Live", "it does")})},
            "/readyz": {"get": operation("The service can be used", {200: ("Ready", "it can; `degraded` lists peers that are down")})},
            "/metrics": {"get": metrics},
        },
    }


def document():
    everything = schemas()
    described = {}
    for service, own in paths(everything).items():
        for path, item in own.items():
            for method in item:
                item[method]["operationId"] = f"{method} {path}"
                item[method]["tags"] = [service or "every service"]
            if service:
                item["servers"] = [{"url": f"http://localhost:{8080 + SERVICES[service]}", "description": service}]
            described[path] = item
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "The coffee shop",
            "version": "0.1.0",
            "description": "libcafe's example servers. Each service has a port of its own, upkeep the one that --upkeep names; GET serves HEAD too.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": f"http://localhost:{8080 + port}", "description": name} for name, port in SERVICES.items()],
        "paths": described,
        "components": {"schemas": everything},
    }


# ---- the page for people ----


def names_of(response):
    return response["description"]


def page(described):
    out = ["# Reference: HTTP", "",
           "Written by `tests/support/openapi.py --update`; [openapi.json](../openapi.json) says the same to programs, and a test",
           "drives the servers by it. How errors, lists, keys and times look everywhere, and what words mean, stands below the paths.", ""]
    for service in [*SERVICES, "every service"]:
        port = f", port {8080 + SERVICES[service]}" if service in SERVICES else ""
        port = ", where `--upkeep` says" if service == "upkeep" else port
        out += [f"## {service}{port}", ""]
        for path, item in described["paths"].items():
            for method, operation_ in item.items():
                if method == "servers" or operation_["tags"] != [service]:
                    continue
                out += [f"### {method.upper()} {path}", "", operation_["summary"] + ".", ""]
                named = [f"`{p['name']}`" + (f" ({p['in']})" if p["in"] == "header" else "") for p in operation_["parameters"] if p["in"] != "path"]
                if named:
                    out += ["Takes " + ", ".join(named) + ".", ""]
                if body := operation_.get("requestBody"):
                    schema = described["components"]["schemas"][body["content"]["application/json"]["schema"]["$ref"].split("/")[-1]]
                    fields = ", ".join(f"`{name}`" + ("" if name in schema["required"] else "?") for name in schema["properties"])
                    if not schema["required"]:
                        fields = schema.get("description", fields)
                    out += ["Body" + ("" if body["required"] else ", optional") + f": {fields}.", ""]
                out += ["| status | |", "|---|---|"]
                for status, response in operation_["responses"].items():
                    if int(status) in ALWAYS and response["description"] == problems({int(status): ALWAYS[int(status)]})[status]["description"]:
                        continue
                    out.append(f"| {status} | {response['description']} |")
                out.append("")
    sections = dict(http_words.sections(described["components"]["schemas"], LIMIT["schema"]))
    out += ["## Everywhere", "", sections.pop("Everywhere"), "", "| status | |", "|---|---|"]
    out += [f"| {status} | {response['description']} |" for status, response in problems(ALWAYS).items()]
    out += ["", "| problem | |", "|---|---|"]
    out += [f"| `/problems/{name}` | {text} |" for name, text in TITLES.items()]
    for title, text in sections.items():
        out += ["", f"## {title}", "", text]
    out += ["", "## What rows look like", ""]
    for name, schema in described["components"]["schemas"].items():
        if name in ("Order", "Payment", "KeptPayment", "Ticket", "Notification", "OrderInfo", "Letter"):
            out += [f"**{name}**: " + ", ".join(f"`{field}`" for field in schema["properties"]) + ".", ""]
    return "\n".join(out).rstrip() + "\n"


def main():
    described = document()
    wanted = {OPENAPI: json.dumps(described, indent=1, ensure_ascii=False) + "\n", PAGE: page(described)}
    stale = 0
    for path, text in wanted.items():
        if "--update" in sys.argv[1:]:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            print(f"{path.relative_to(ROOT)} isn't what it is made of: run tests/support/openapi.py --update")
            stale = 1
    return stale


if __name__ == "__main__":
    sys.exit(main())
