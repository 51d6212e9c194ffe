# SPDX-License-Identifier: Apache-2.0
"""docs/openapi.json against a real cafe-shop, with a guest that has dead letters (guest_shop.c): whatever is sent, right or wrong, each answer is one that is described,
looks as it is described, and the process lives on. Hypothesis draws the requests; CAFE_FULL=1 draws more of them."""

import json
import os
import re
import unittest
import urllib.parse

import jsonschema
from hypothesis import HealthCheck, given, seed, settings, strategies as st

from shop import APP, PAY, SEED, STORE, UPKEEP, Case, binary, soon

BINARY = binary()

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
EXAMPLES = 400 if os.environ.get("CAFE_FULL") else 25

with open(os.path.join(ROOT, "docs", "openapi.json"), encoding="utf-8") as file:
    DOCUMENT = json.load(file)

# A stream never ends, so that it isn't asked here: test_stream.py is about it.
OPERATIONS = [
    (method, path, described)
    for path, item in DOCUMENT["paths"].items()
    for method, described in item.items()
    if method in ("get", "post", "put") and path != "/orderInfos/stream"
]

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=80),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5)


def resolved(schema):
    while "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].split("/")[-1]]
    return schema


def right(schema):
    """Values that the schema allows."""
    schema = resolved(schema)
    if "anyOf" in schema:
        return st.one_of([right(one) for one in schema["anyOf"]])
    if "enum" in schema or "examples" in schema:
        return st.sampled_from(schema.get("enum") or schema["examples"])
    kinds = {
        "string": lambda: st.from_regex(schema["pattern"], fullmatch=True) if "pattern" in schema
        else st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=schema.get("minLength", 0),
                     max_size=schema.get("maxLength", 40)),
        "integer": lambda: st.integers(schema.get("minimum"), schema.get("maximum")),
        "number": lambda: st.integers(schema.get("minimum"), 10**7) | st.floats(0, 10**6),
        "boolean": st.booleans,
        "null": st.none,
        "object": lambda: st.fixed_dictionaries(
            {name: right(of) for name, of in schema["properties"].items() if name in schema["required"]},
            optional={name: right(of) for name, of in schema["properties"].items() if name not in schema["required"]}),
    }
    kind = schema["type"]
    return st.one_of([kinds[each]() for each in ([kind] if isinstance(kind, str) else kind)])


def mixed(schema):
    """Mostly right ones; an object has single members that aren't."""
    schema = resolved(schema)
    if schema.get("type") == "object":
        wrong = st.dictionaries(st.sampled_from(sorted(schema["properties"])), ANYTHING, max_size=2)
        return st.one_of(right(schema), st.builds(lambda one, other: {**one, **other}, right(schema), wrong), ANYTHING)
    return right(schema) | right(schema) | ANYTHING


@st.composite
def requests(draw, path, described, letters):
    query, headers = {}, {}
    for parameter in described["parameters"]:
        if parameter["in"] == "path":
            # Some that are there, some that can't be.
            schema = parameter["schema"]
            known = st.integers(0, 12) if schema["type"] == "integer" else st.sampled_from(schema.get("enum", letters))
            value = draw(known | st.just(2**53) | st.text(max_size=6).map(urllib.parse.quote))
            path = path.replace(f"{{{parameter['name']}}}", str(value) or "x")
        elif draw(st.booleans()):
            value = draw(mixed(parameter["schema"]))
            if parameter["in"] == "query":
                query[parameter["name"]] = value if isinstance(value, str) else json.dumps(value)
            else:
                value = re.sub(r"[^ -~]|^ +| +$", "", str(value))
                headers[parameter["name"]] = value
    if query:
        path += "?" + urllib.parse.urlencode(query, errors="replace")
    body = None
    if "requestBody" in described:
        of = described["requestBody"]["content"]["application/json"]["schema"]
        # What json can't write as UTF-8, a lone surrogate, is written as an escape.
        body = draw(mixed(of).map(lambda value: json.dumps(value).encode()) | st.binary(max_size=40))
        headers["Content-Type"] = draw(st.sampled_from(["application/json"] * 8 + ["application/json; charset=utf-8",
                                                                                  "text/plain", ""]))
    return path, body, headers


class Described(Case):
    options = ("--payment-deadline", "300ms", "--upkeep", "{upkeep}")

    def setUp(self):
        super().setUp()
        for _ in range(4):
            self.shop.order()
        self.shop.act(1, "accept", "start")
        self.shop.post(APP, "/orders/2/cancel")
        self.shop.post(STORE, "/fulfillments/3/reject")
        self.shop.act(self.shop.order(productId="unknown-1"), "accept", "start", "ready", "pickup")
        for _ in range(3):
            self.shop.order(productId="unknown-2")
        listed = lambda: [each["letterId"] for each in self.shop.listed(UPKEEP, "/upkeep/letters")]
        self.letters = soon(lambda: listed() if len(listed()) == 5 else None, "records are parked", 30)

    def check(self, method, asked, described, answer):
        what = f"{method.upper()} {asked}: {answer}"
        response = described["responses"].get(str(answer.status))
        self.assertIsNotNone(response, f"not described: {what}")
        content = answer.headers["Content-Type"].split(";")[0]
        self.assertIn(content, response["content"], what)
        for name, header in response.get("headers", {}).items():
            if header.get("required"):
                self.assertRegex(answer.headers[name] or "", header["schema"]["pattern"], what)
        if content.endswith("json"):
            # In its own place, so that references are found.
            schema = {**response["content"][content]["schema"], "components": DOCUMENT["components"]}
            jsonschema.validate(json.loads(answer.bytes), schema)

    # F1a, C14: whatever is sent, each answer is one of those described, and looks so.
    def test_every_answer_is_described(self):
        ports = {server["url"]: int(server["url"].rsplit(":", 1)[1]) - 8080 for server in DOCUMENT["servers"]}
        for method, path, described in OPERATIONS:
            servers = DOCUMENT["paths"][path].get("servers", DOCUMENT["servers"])
            port = ports[servers[0]["url"]]

            @seed(2026)
            @settings(max_examples=EXAMPLES, deadline=None, database=None,
                      suppress_health_check=list(HealthCheck))
            @given(requests(path, described, self.letters))
            def whatever(request):
                asked, body, headers = request
                self.check(method, asked, described, self.shop.call(method.upper(), port, asked, body, headers))

            with self.subTest(f"{method.upper()} {path}"):
                whatever()
        self.assertIsNone(self.shop.process.poll())
        self.shop.put(PAY, "/sandbox", {"mode": "approve", "delayMs": 0, "jitterMs": 0, "capacity": 0})
        self.assertEqual(self.shop.post(APP, "/orders", SEED).status, 201)


if __name__ == "__main__":
    unittest.main()
