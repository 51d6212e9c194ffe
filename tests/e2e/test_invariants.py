# SPDX-License-Identifier: Apache-2.0
"""The checks of invariants.py notice what they are there for: each is broken once, in what five services at rest left."""

import contextlib
import os
import shutil
import sqlite3
import unittest

import invariants
from services import Case
from shop import APP, binary, soon

binary()  # before unittest reads the arguments

# What is done to which store, and the begin of what has to be said of it. Order 1 was made, 2 canceled.
BROKEN = (
    ("pay", "DELETE FROM events WHERE type = 'PaymentApproved'", "I1: an order without"),
    ("pay", "UPDATE events SET type = 'PaymentApproved' WHERE type = 'CaptureStarted'", "I1: an order without"),
    ("app", "UPDATE events SET time_ms = time_ms - 60000 WHERE type = 'Ordered'", "I1: an order that shows before"),
    ("pay", "UPDATE payments SET captured_minor = 1 WHERE payment_id = 1", "I2: a payment's status"),
    ("pay", "UPDATE payments SET status = 'Approved' WHERE payment_id = 1", "I2: a payment's status"),
    ("app", "UPDATE orders SET status = 'Canceled' WHERE order_id = 1", "I2: payment 1 of 2"),
    ("app", "DELETE FROM events WHERE type = 'Ordered'", "I3: a ticket of an order that isn't paid"),
    ("store", "UPDATE events SET type = 'TicketStarted' WHERE type = 'TicketWithdrawn'", "I3: a coffee"),
    ("app", "UPDATE sagas SET phase = 'parked'", "I4: a saga that needs an operator"),
    ("app", "UPDATE sagas SET phase = 'compensating' WHERE saga_key = 2", "I4: a saga that runs"),
    ("store", "INSERT INTO cafe_dead_letters(record_key, letter, row_version) VALUES(1, 1, 1)", "I4: a record"),
    ("customer", "UPDATE notifications SET event = 'Ordered' WHERE order_id = 1", "I5: a change that a customer"),
    ("customer", "UPDATE notifications SET status = 'Queued' WHERE order_id = 1", "I5: a message that wasn't sent"),
    ("customer", "DELETE FROM notifications WHERE event = 'PaymentCanceled'", "I5: order 2 was never told"),
    ("dashboard", "UPDATE order_infos SET qty = 7 WHERE order_id = 1", "I6: orders, as the dashboard"),
    ("dashboard", "UPDATE order_infos SET payment_status = 'Approved'", "I6: orders, as the dashboard"),
    ("dashboard", "UPDATE order_infos SET last_event = 'Ordered' WHERE order_id = 1", "I6: the last that happened"),
    ("dashboard", "UPDATE order_infos SET updated_at_ms = updated_at_ms + 1", "I6: the last that happened"),
    ("app", "DELETE FROM orders WHERE order_id = 2", "I6: what the dashboard shows"),
    ("customer", "DELETE FROM events WHERE position = 2", "I7: a gap in the positions"),
    ("store", "UPDATE events SET version = version + 1 WHERE \"key\" = 1 AND version = 5", "I7: a gap in a stream's"),
    ("store", "UPDATE events SET aggregate = 'order', version = version + 20", "I7: a stream in two stores"),
    ("dashboard", "UPDATE checkpoints SET n = 999999", "I7: a place in a log"),
    ("dashboard", "UPDATE checkpoints SET log_id = 7", "I7: a place in a log"),
)


class Broken(Case):
    options = {"customer": ("--channel", "file:{folder}/told.txt")}

    def path(self, *names):
        return os.path.join(self.folder.name, *names)

    def setUp(self):
        super().setUp()
        made, canceled = self.services.order(), self.services.order()
        self.assertEqual((made, canceled), (1, 2))
        self.services.act(made, "accept", "start", "ready", "pickup")
        self.services.ticket(canceled)
        self.assertEqual(self.services.post(APP, f"/orders/{canceled}/cancel", None, Prefer="wait=10").status, 200)
        soon(lambda: not invariants.going_on(self.services.stores), "all is at rest", 30)
        self.assertEqual(set(self.services.stop().values()), {0})
        self.ledger = f"{self.services.pay.store}.sandbox"
        self.told = invariants.deliveries(self.path("told.txt"))

    def copied(self):
        """The stores and the ledger, to be broken."""
        os.makedirs(self.path("broken"), exist_ok=True)
        for name in self.services.stores:
            shutil.copy(self.path(f"{name}.db"), self.path("broken"))
        shutil.copy(self.ledger, self.path("broken"))
        return {name: self.path("broken", f"{name}.db") for name in self.services.stores}

    def assert_said(self, found, beginning):
        self.assertTrue(any(each.startswith(beginning) for each in found), (beginning, found))

    def test_each_check_notices_what_it_is_there_for(self):
        self.assertEqual(invariants.violations(self.copied(), "file", self.told), [])
        for name, sql, beginning in BROKEN:
            with self.subTest(beginning, sql=sql):
                copies = self.copied()
                with contextlib.closing(sqlite3.connect(copies[name])) as store:
                    self.assertGreater(store.execute(sql).rowcount, 0)
                    store.commit()
                self.assert_said(invariants.violations(copies, "file", self.told), beginning)
        for rule in invariants.NEVER:
            self.assertTrue([each for each in BROKEN if rule.startswith(each[2])], f"nobody breaks {rule}")

    def test_money_that_moved_twice_or_not_at_all_is_noticed(self):
        with open(self.ledger, encoding="utf-8") as file:
            lines = file.read().splitlines(keepends=True)
        twice, never = ([line for line in lines if operation in line][0] for operation in ("1/capture", "2/void"))
        for changed, beginning in ((lines + [twice], "I2: payment 1 was moved twice"),
                                   ([line for line in lines if line != never], "I2: payment 2 of 2 was never given back")):
            copies = self.copied()
            with open(f"{copies['pay']}.sandbox", "w", encoding="utf-8") as file:
                file.writelines(changed)
            self.assert_said(invariants.violations(copies, "file", self.told), beginning)

    def test_messages_that_came_under_two_ids_or_not_at_all_are_noticed(self):
        copies = self.copied()
        again = {**self.told[0], "notificationId": "1-99"}
        self.assert_said(invariants.violations(copies, "file", self.told + [again]), "I5: delivered under two ids")
        self.assertEqual(invariants.violations(copies, "file", self.told + self.told[:1]), [])
        self.assert_said(invariants.violations(copies, "file", self.told[1:]), "I5: sent, and never delivered")


if __name__ == "__main__":
    unittest.main()
