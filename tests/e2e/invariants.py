# SPDX-License-Identifier: Apache-2.0
"""I1 to I8 of docs/architecture.md, asked of what a shop at rest has left: its store, the gateway's books, and what the
file channel delivered. By SQL and plain text, by no code of the library."""

import collections
import json
import sqlite3

TOLD = ("Ordered", "OrderAccepted", "CoffeeDone", "OrderPickedUp", "OrderCanceled", "OrderRejected", "PaymentCanceled",
        "PaymentRefunded")
RUNNING = {"Ordered", "Accepted", "Preparing", "CoffeeDone", "Canceling"}

# Each gives the rows that mustn't be.
NEVER = {
    "I1: an order without exactly one approved payment":
        """SELECT order_id FROM orders WHERE 1 <> (SELECT count(*) FROM events WHERE "key" = order_id
           AND aggregate = 'payment' AND type = 'PaymentApproved')""",
    "I1: an order that shows before it is paid":
        """SELECT o."key" FROM events o WHERE o.type = 'Ordered' AND NOT EXISTS (SELECT 1 FROM events p
           WHERE p."key" = o."key" AND p.type = 'PaymentApproved' AND p.position < o.position)""",
    "I2: a payment's status and its sums":
        """SELECT payment_id FROM payments WHERE captured_minor NOT IN (0, amount_minor)
           OR refunded_minor NOT IN (0, captured_minor) OR (status = 'Captured') <> (captured_minor > refunded_minor)""",
    "I3: a ticket of an order that isn't paid":
        """SELECT t."key" FROM events t WHERE t.type = 'TicketReceived' AND NOT EXISTS (SELECT 1 FROM events o
           WHERE o."key" = t."key" AND o.type = 'Ordered' AND o.position < t.position)""",
    "I3: a coffee that was started for a canceled order":
        """SELECT s."key" FROM events s JOIN events c ON c."key" = s."key" AND c.type = 'OrderCanceled'
           WHERE s.type = 'TicketStarted'""",
    "I4: a saga that needs an operator":
        "SELECT saga_key FROM sagas WHERE phase NOT IN ('running', 'guarding', 'compensating', 'ended', 'undone')",
    "I4: a saga that runs for an order that has ended":
        """SELECT saga_key FROM sagas JOIN orders ON order_id = saga_key WHERE phase IN ('running', 'guarding',
           'compensating') AND status IN ('PickedUp', 'Canceled', 'Rejected')""",
    "I5: a change that a customer was told of twice":
        "SELECT order_id FROM notifications GROUP BY order_id, event, channel HAVING count(*) > 1",
    "I5: a message that wasn't sent":
        "SELECT order_id FROM notifications WHERE status <> 'Sent'",
    "I6: orders, as the dashboard has them":
        """SELECT order_id FROM orders o WHERE NOT EXISTS (SELECT 1 FROM order_infos i, payments p, fulfillments f
           WHERE i.order_id = o.order_id AND p.payment_id = o.order_id AND f.order_id = o.order_id AND i.is_visible
           AND i.status = o.status AND i.version = o.version AND i.updated_at_ms >= o.updated_at_ms
           AND i.payment_status = p.status AND i.fulfillment_status = f.status)""",
    "I6: what the dashboard shows and nobody has":
        "SELECT order_id FROM order_infos WHERE is_visible AND order_id NOT IN (SELECT order_id FROM orders)",
    "I7: a gap in the positions":
        "SELECT max(position) FROM events HAVING max(position) <> count(*)",
    "I7: a gap in a stream's versions":
        'SELECT "key" FROM events GROUP BY "key", aggregate HAVING max(version) <> count(*) OR min(version) <> 1',
    "I7: damaged pages":
        "SELECT quick_check FROM pragma_quick_check WHERE quick_check <> 'ok'",
}


def books(path):
    """The gateway's ledger: for each payment, how often each operation moved money, and how much."""
    moved = collections.defaultdict(lambda: collections.defaultdict(list))
    with open(path, encoding="utf-8") as file:
        for line in file.read().splitlines()[1:]:
            _, name, payment, _, result, amount, _ = line.split(" ")[:7]
            if result == "1":
                moved[int(payment)][name.split("/")[1]].append(int(amount))
    return moved


def deliveries(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def violations(store, channel, told=None):
    """What isn't as it must be at rest: a list of texts. The shop has ended. `channel` is the one channel's name, `told`
    what it delivered."""
    found = []
    with sqlite3.connect(f"file:{store}?mode=ro", uri=True) as database:
        for what, sql in NEVER.items():
            rows = database.execute(sql).fetchmany(5)
            if rows:
                found.append(f"{what}: {rows}")
        orders = dict(database.execute("SELECT order_id, status FROM orders"))
        happened = collections.defaultdict(set)
        for key, event in database.execute('SELECT "key", type FROM events'):
            happened[key].add(event)
        messages = collections.defaultdict(set)
        for key, event in database.execute("SELECT order_id, event FROM notifications WHERE channel = ?", (channel,)):
            messages[key].add(event)
        approved = {key for key, in database.execute("SELECT \"key\" FROM events WHERE type = 'PaymentApproved'")}
        amounts = dict(database.execute("SELECT payment_id, amount_minor FROM payments"))
    for order in orders:
        missing = {event for event in happened[order] if event in TOLD} - messages[order]
        if missing:
            found.append(f"I5: order {order} was never told of {missing}")
    money = books(f"{store}.sandbox")
    for payment, moved in money.items():
        if any(len(amounts_) > 1 for amounts_ in moved.values()):
            found.append(f"I2: payment {payment} was moved twice: {dict(moved)}")
    for payment in approved:
        moved = {name: sum(of) for name, of in money[payment].items()}
        amount = amounts[payment]
        owed = amount if orders.get(payment) in ("Preparing", "CoffeeDone", "PickedUp") else 0
        if moved.get("authorize") != amount or moved.get("capture", 0) - moved.get("refund", 0) != owed:
            found.append(f"I2: payment {payment} of {amount}: {moved}, the order is {orders.get(payment)}")
        if not owed and orders.get(payment) not in RUNNING and moved.get("void", 0) + moved.get("refund", 0) != amount:
            found.append(f"I2: payment {payment} of {amount} was never given back: {moved}")
    if told is not None:
        sent = collections.Counter(f"{each['orderId']}-{each['event']}" for each in {e["notificationId"]: e for e in told}.values())
        twice = [each for each, count in sent.items() if count > 1]
        if twice:
            found.append(f"I5: delivered under two ids: {twice[:5]}")
        lost = [f"{order}-{event}" for order in orders for event in messages[order] if not sent[f"{order}-{event}"]]
        if lost:
            found.append(f"I5: sent, and never delivered: {lost[:5]}")
    return found
