# SPDX-License-Identifier: Apache-2.0
"""I1 to I8 of docs/architecture.md, asked of what a shop at rest has left: its stores, the gateway's books, and what the
file channel delivered. By SQL and plain text, by no code of the library.

The services have one store together, given by its path, or one each, given by the services' names: all is asked of views
over all of them, in which a row has the name of its store as well."""

import collections
import contextlib
import json
import sqlite3

TOLD = ("Ordered", "OrderAccepted", "CoffeeDone", "OrderPickedUp", "OrderCanceled", "OrderRejected", "PaymentCanceled",
        "PaymentRefunded")
RUNNING = {"Ordered", "Accepted", "Preparing", "CoffeeDone", "Canceling"}
TABLES = ("events", "checkpoints", "meta", "sagas", "cafe_dead_letters", "orders", "payments", "fulfillments",
          "notifications", "order_infos")

# Of the same log it came before; of another one it didn't come later, as far as clocks of one machine say so: each
# process counts from what UTC was at its own start.
APART_MS = 10
BEFORE = "(a.home = b.home AND a.position < b.position OR a.home <> b.home AND a.time_ms <= b.time_ms + :apart_ms)"
# The last of all that the dashboard folds: by time, then by service, then by position.
FOLDED = ("Ordered", "OrderAccepted", "PreparationStarted", "CoffeeDone", "OrderPickedUp", "CancelRequested",
          "CancelRejected", "OrderCanceled", "OrderRejected", "PaymentApproved", "PaymentCaptured", "PaymentCanceled",
          "PaymentRefunded", "PaymentFailed", "PaymentRetried", "TicketReceived", "TicketAccepted", "TicketRejected",
          "TicketStarted", "TicketReady", "TicketPickedUp", "TicketFailed", "TicketWithdrawn")
LAST = f"""(SELECT e.type || ' ' || e.time_ms FROM events e WHERE e."key" = i.order_id AND e.type IN {FOLDED}
           ORDER BY e.time_ms DESC, CASE e.aggregate WHEN 'order' THEN 1 WHEN 'payment' THEN 2 ELSE 3 END DESC,
           e.position DESC LIMIT 1)"""

# Each gives the rows that mustn't be.
NEVER = {
    "I1: an order without exactly one approved payment":
        """SELECT order_id FROM orders WHERE 1 <> (SELECT count(*) FROM events WHERE "key" = order_id
           AND aggregate = 'payment' AND type = 'PaymentApproved')""",
    "I1: an order that shows before it is paid":
        f"""SELECT b."key" FROM events b WHERE b.type = 'Ordered' AND NOT EXISTS (SELECT 1 FROM events a
           WHERE a."key" = b."key" AND a.type = 'PaymentApproved' AND {BEFORE})""",
    "I2: a payment's status and its sums":
        """SELECT payment_id FROM payments WHERE captured_minor NOT IN (0, amount_minor)
           OR refunded_minor NOT IN (0, captured_minor)
           OR status <> 'Failed' AND (status = 'Captured') <> (captured_minor > refunded_minor)""",
    "I3: a ticket of an order that isn't paid":
        f"""SELECT b."key" FROM events b WHERE b.type = 'TicketReceived' AND NOT EXISTS (SELECT 1 FROM events a
           WHERE a."key" = b."key" AND a.type = 'Ordered' AND {BEFORE})""",
    "I3: a coffee that was started for a canceled order":
        """SELECT s."key" FROM events s JOIN events c ON c."key" = s."key" AND c.type = 'OrderCanceled'
           WHERE s.type = 'TicketStarted'""",
    "I4: a saga that needs an operator":
        "SELECT saga_key FROM sagas WHERE phase NOT IN ('running', 'guarding', 'compensating', 'ended', 'undone')",
    "I4: a saga that runs for an order that has ended":
        """SELECT saga_key FROM sagas JOIN orders ON order_id = saga_key WHERE phase IN ('running', 'guarding',
           'compensating') AND status IN ('PickedUp', 'Canceled', 'Rejected')""",
    "I4: a record that needs an operator":
        "SELECT home, record_key, error FROM cafe_dead_letters",
    "I5: a change that a customer was told of twice":
        "SELECT order_id FROM notifications GROUP BY order_id, event, channel HAVING count(*) > 1",
    "I5: a message that wasn't sent":
        "SELECT order_id FROM notifications WHERE status <> 'Sent'",
    "I6: orders, as the dashboard has them":
        """SELECT order_id FROM orders o WHERE NOT EXISTS (SELECT 1 FROM order_infos i, payments p, fulfillments f
           WHERE i.order_id = o.order_id AND p.payment_id = o.order_id AND f.order_id = o.order_id AND i.is_visible
           AND i.status = o.status AND i.version = o.version AND i.created_at_ms = o.created_at_ms
           AND i.payment_status = p.status AND i.fulfillment_status = f.status
           AND (i.product_id, i.qty, i.customer_id, i.amount_minor, i.currency, i.store_id, i.pickup_time_ms)
           = (o.product_id, o.qty, o.customer_id, o.amount_minor, o.currency, o.store_id, o.pickup_time_ms))""",
    "I6: the last that happened, as the dashboard has it":
        f"SELECT order_id FROM order_infos i WHERE is_visible AND last_event || ' ' || updated_at_ms IS NOT {LAST}",
    "I6: what the dashboard shows and nobody has":
        "SELECT order_id FROM order_infos WHERE is_visible AND order_id NOT IN (SELECT order_id FROM orders)",
    "I7: a gap in the positions":
        "SELECT home, max(position) FROM events GROUP BY home HAVING max(position) <> count(*)",
    "I7: a gap in a stream's versions":
        'SELECT "key" FROM events GROUP BY "key", aggregate HAVING max(version) <> count(*) OR min(version) <> 1',
    "I7: a stream in two stores":
        'SELECT "key" FROM events GROUP BY "key", aggregate HAVING count(DISTINCT home) > 1',
    "I7: a place in a log that nobody has, or beyond its end":
        """SELECT c.home, c.subscription FROM checkpoints c WHERE NOT EXISTS (SELECT 1 FROM meta m
           WHERE m.name = 'log_id' AND m.value = c.log_id
           AND c.n <= (SELECT max(e.position) FROM events e WHERE e.home = m.home))""",
}

# What still goes on, where nobody has to be asked for it.
GOING_ON = {
    "sagas": "SELECT saga_key, phase, steps FROM sagas WHERE phase NOT IN ('ended', 'undone')",
    "records that wait": "SELECT home, record_key, event FROM cafe_dead_letters WHERE state = 'waiting'",
    "messages": "SELECT order_id, event FROM notifications WHERE status = 'Queued'",
    "messages to come": f"""SELECT "key", type FROM events WHERE type IN {TOLD} AND "key" IN (SELECT order_id FROM orders)
        EXCEPT SELECT order_id, event FROM notifications""",
    "rows of the dashboard": """SELECT o.order_id, o.status FROM orders o LEFT JOIN order_infos i USING (order_id)
        WHERE i.version IS NOT o.version OR (i.payment_status, i.fulfillment_status) IS NOT
        (SELECT p.status, f.status FROM payments p, fulfillments f
         WHERE p.payment_id = o.order_id AND f.order_id = o.order_id)""",
}


@contextlib.contextmanager
def opened(stores, is_copied=False):
    """A connection that sees all of them, by views with a column `home`; the events as a copy, where each is looked at
    again and again."""
    stores = stores if isinstance(stores, dict) else {"shop": stores}
    with contextlib.closing(sqlite3.connect("file::memory:", uri=True)) as database:
        for home, path in stores.items():
            database.execute(f"ATTACH ? AS {home}", (f"file:{path}?mode=ro",))
        for table in TABLES:
            homes = [home for home in stores if database.execute(
                f"SELECT count(*) FROM {home}.sqlite_master WHERE name = ?", (table,)).fetchone() == (1,)]
            rows = " UNION ALL ".join(f"SELECT '{home}' AS home, * FROM {home}.{table}" for home in homes)
            kind = "TABLE" if table == "events" and is_copied else "VIEW"
            database.execute(f"CREATE TEMP {kind} {table} AS {rows}")
        if is_copied:
            database.execute('CREATE INDEX temp.events_key ON events("key", type)')
        yield database


def going_on(stores):
    """What isn't at rest yet: texts. The services may run."""
    with opened(stores) as database:
        found = {what: database.execute(sql).fetchmany(3) for what, sql in GOING_ON.items()}
    return [f"{what}: {rows}" for what, rows in found.items() if rows]


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


def broken(database, apart_ms):
    found = []
    for what, sql in NEVER.items():
        rows = database.execute(sql, {"apart_ms": apart_ms}).fetchmany(5)
        if rows:
            found.append(f"{what}: {rows}")
    for home, in database.execute("SELECT home FROM meta GROUP BY home").fetchall():
        damage = database.execute(f"PRAGMA {home}.quick_check").fetchmany(5)
        if damage != [("ok",)]:
            found.append(f"I7: damaged pages of {home}: {damage}")
    return found


def unbalanced(database, orders, ledger):
    """Money, as the gateway's books have it."""
    found = []
    approved = {key for key, in database.execute('SELECT "key" FROM events WHERE type = \'PaymentApproved\'')}
    failed = {key for key, in database.execute("SELECT payment_id FROM payments WHERE status = 'Failed'")}
    amounts = dict(database.execute("SELECT payment_id, amount_minor FROM payments"))
    money = books(ledger)
    for payment, moved in money.items():
        if any(len(amounts_) > 1 for amounts_ in moved.values()):
            found.append(f"I2: payment {payment} was moved twice: {dict(moved)}")
    for payment in approved - failed:  # what failed is an operator's
        moved = {name: sum(of) for name, of in money[payment].items()}
        amount = amounts[payment]
        owed = amount if orders.get(payment) in ("Preparing", "CoffeeDone", "PickedUp") else 0
        if moved.get("authorize") != amount or moved.get("capture", 0) - moved.get("refund", 0) != owed:
            found.append(f"I2: payment {payment} of {amount}: {moved}, the order is {orders.get(payment)}")
        if not owed and orders.get(payment) not in RUNNING and moved.get("void", 0) + moved.get("refund", 0) != amount:
            found.append(f"I2: payment {payment} of {amount} was never given back: {moved}")
    return found


def untold(database, orders, channel, told):
    """What the customer should have been told, and wasn't, or was twice."""
    found = []
    happened, messages = collections.defaultdict(set), collections.defaultdict(set)
    for key, event in database.execute('SELECT "key", type FROM events'):
        happened[key].add(event)
    for key, event in database.execute("SELECT order_id, event FROM notifications WHERE channel = ?", (channel,)):
        messages[key].add(event)
    for order in orders:
        missing = happened[order] & set(TOLD) - messages[order]
        if missing:
            found.append(f"I5: order {order} was never told of {missing}")
    if told is not None:
        once = {each["notificationId"]: each for each in told}.values()
        sent = collections.Counter(f"{each['orderId']}-{each['event']}" for each in once)
        twice = [each for each, count in sent.items() if count > 1]
        if twice:
            found.append(f"I5: delivered under two ids: {twice[:5]}")
        lost = [f"{order}-{event}" for order in orders for event in messages[order] if not sent[f"{order}-{event}"]]
        if lost:
            found.append(f"I5: sent, and never delivered: {lost[:5]}")
    return found


def violations(stores, channel, told=None, apart_ms=APART_MS):
    """What isn't as it must be at rest: a list of texts. The shop has ended. `channel` is the one channel's name, `told`
    what it delivered; `apart_ms`, by how much the services' clocks may differ."""
    ledger = f"{stores['pay'] if isinstance(stores, dict) else stores}.sandbox"
    with opened(stores, True) as database:
        orders = dict(database.execute("SELECT order_id, status FROM orders"))
        return broken(database, apart_ms) + unbalanced(database, orders, ledger) + untold(database, orders, channel, told)
