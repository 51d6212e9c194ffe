# SPDX-License-Identifier: Apache-2.0
"""What docs/reference/http.md says beside the paths: what is the same everywhere, and what words mean.

openapi.py puts it into the page, and holds the words to the schema; a test looks for every header and argument in it.
"""

STATUS = {
    "Order": {
        "Ordered": "paid; the store may not have it yet",
        "Accepted": "the store will make it",
        "Preparing": "the store has started, and can't be stopped any more; the money is asked for",
        "CoffeeDone": "ready at the counter",
        "PickedUp": "handed out: the end",
        "Canceling": "a cancel was asked for, or the store didn't accept in time; the store hasn't let go of it yet",
        "Canceled": "the store let go of it, and the money goes back: the end",
        "Rejected": "the store refused it, or gave up after it had started; the money goes back: the end",
    },
    "Payment": {
        "Approved": "the gateway holds the amount for the order",
        "Declined": "the gateway said no: there is no order",
        "Captured": "the money is taken: the store has started",
        "Canceled": "the hold is given up: nothing was taken",
        "Refunded": "what was taken is given back",
        "Failed": "the gateway couldn't do it, however often it was asked: an operator is needed",
    },
    "Ticket": {
        "Received": "it waits for the owner",
        "Accepted": "the owner will make it",
        "Preparing": "started",
        "Ready": "at the counter",
        "PickedUp": "handed out",
        "Rejected": "the owner refused it, from `Received`",
        "Failed": "the owner gave up, from `Preparing` or `Ready`",
        "Withdrawn": "the order was canceled before it was started, or before the ticket came",
    },
    "Notification": {
        "Queued": "not delivered yet; `attempts` counts the tries",
        "Sent": "delivered",
        "Failed": "given up",
    },
}

MODES = {
    "approve": "what is asked for is done",
    "decline": "authorizations are declined; the rest is done",
    "error": "all is refused, and surely not done",
    "hang": "nothing is answered; what was asked for may have been done or not",
}

EVERYWHERE = """### Requests

Bodies are JSON objects in UTF-8 with `Content-Type: application/json`; an empty one needs none. Fields that aren't known,
and arguments that aren't, are ignored. A number may be a string of digits; a number isn't taken for a string, but for
`orderId`. Amounts are read from their text, exactly. HEAD works where GET does.

| header | |
|---|---|
| `Idempotency-Key` | On each POST of app and store: 1 to 255 visible ASCII characters, else 400. For this method and path the same key and body get the same answer, with `Idempotency-Replayed: true`, also after a restart; equals that come meanwhile wait for the first. Another body: 422. Kept, for `--idempotency-retention`: 402, 409, and every 2xx but 202; after any other answer the key may try again |
| `Prefer` | `wait=N`, on a cancel: waits up to N seconds for its outcome before it is 202; 1 without it, 30 at most, and for 0 a tenth of a second, until it is written; where it isn't by then, 503 `overloaded`; `Preference-Applied` says what holds. An order waits for `--payment-deadline` |
| `Last-Event-ID` | on the stream, below |
| `traceparent` | goes on to all that comes of the request, and into the log |

### Answers

Times are RFC 3339 in UTC with milliseconds and `Z`; an amount is a decimal number, with its `currency`. What isn't
there is null.

| header | |
|---|---|
| `Location` | of a 201: the order |
| `Cafe-Position` | of each 2xx of a POST of app and store: where what it wrote stands in the log. With `after-position` the dashboard waits up to 2 s until its view holds that, and is 503 `view-behind` if it doesn't |
| `Retry-After` | of each 503: whole seconds, 1 or more, after which the same may be asked again |
| `Allow` | of a 405: the methods |
| `Connection` | `close` while the process drains |

### Lists

`_embedded` has the rows, under the last part of the path, ascending by id. `limit` is 1 to {maximum}, {default} where there
is none; `after` is the last id that was seen, exclusive; `page.size` is how many there are; `_links.next` is there only
where more is. Each other argument names what a row must be equal to; an empty one is none.

### Errors

`application/problem+json` (RFC 9457): `type`, `title`, `status`, `detail`. With 422 `invalid`, `errors` names each `field`
and says what is wrong (`message`); with 402 `orderId` is the number of the attempt."""

STREAM = """`GET /orderInfos/stream` is `text/event-stream`. Each change is an event of its own: `id` tells where in the logs, `event` is
what happened (`Ordered`, `PaymentCaptured`, `TicketReady`, …), `data` is the row as `GET /orderInfos/{id}` gives it. It
begins now, or behind `Last-Event-ID`; with one that isn't known, at the start. Where nothing happens a comment comes every
15 s. It ends when the process drains: connect again with the last `id`, which misses nothing and repeats nothing."""

SANDBOX = """`PUT /sandbox` says how the payment gateway behaves from then on: for drills, and not kept over a restart.

| `mode` | |
|---|---|
{modes}

Each call takes `delayMs`, and up to `jitterMs` more. `capacity` is how many it bears at once, and refuses the others at
once; 0: all. `inFlight` is how many there are, `maxInFlight` how many there were at most. An order with the
`paymentToken` `decline` is declined where others are approved."""


def table(words):
    return "\n".join(f"| `{word}` | {text} |" for word, text in words.items())


def same(words, known, what):
    if list(words) != known:
        raise SystemExit(f"http_words.py has {list(words)} for {what}, and the schema {known}")


def sections(schemas, limit):
    """Yields (title, text)."""
    yield "Everywhere", EVERYWHERE.format(maximum=limit["maximum"], default=limit["default"])
    parts = []
    for row, words in STATUS.items():
        same(words, schemas[row]["properties"]["status"]["enum"], f"{row}'s status")
        parts.append(f"| **{row}** | |\n|---|---|\n{table(words)}")
    parts.append("An OrderInfo's `paymentStatus` and `fulfillmentStatus` are those of the payment and the ticket, null before there is "
                 "one.")
    yield "What the statuses mean", "\n\n".join(parts)
    yield "The stream of changes", STREAM
    same(MODES, schemas["SandboxSettings"]["properties"]["mode"]["enum"], "the sandbox's mode")
    yield "The sandbox gateway", SANDBOX.format(modes=table(MODES))
