# SPDX-License-Identifier: Apache-2.0
"""A newcomer to the coffee shop (examples/coupon), on SQLite. Two files live through the same days: in one the coupon
service comes, goes, and comes back; the other never hears of it."""

import os
import shutil
import sqlite3
import unittest

from outsider import build, run, take

# Where an event stands in the log, and how far somebody has read it, depends on who else writes there.
PLACES = {"position", "checksum", "n", "order_n", "payment_n", "fulfillment_n"}


def shop(path):
    """Everything that the file holds of the shop, as lines."""
    file = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    lines = []
    for (table,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall():
        if table in ("meta", "coupons"):
            continue
        columns = [row[1] for row in file.execute(f'PRAGMA table_info("{table}")')]
        kept = ", ".join(f'"{name}"' for name in columns if name not in PLACES and name != "log_id")
        order = '"position"' if table == "events" else kept
        for row in file.execute(f'SELECT {kept} FROM "{table}" ORDER BY {order}'):
            if not any(isinstance(value, str) and value.startswith("coupon") for value in row):
                lines.append(f"{table} {row}")
    file.close()
    return lines


def coupons(path):
    file = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    rows = file.execute("SELECT customer_id, visits, coupons FROM coupons ORDER BY customer_id").fetchall()
    file.close()
    return rows


class Coupon(unittest.TestCase):
    def setUp(self):
        shutil.rmtree("shops", ignore_errors=True)
        os.mkdir("shops")
        self.day = 0

    def live(self, service, *customers):
        """A day with the service or without it, and in the other file the same day without."""
        said = run(self.play, "shops/newcomer.db", service, self.day, *customers)
        self.assertEqual(said, run(self.play, "shops/alone.db", "without", self.day, *customers))
        lines = shop("shops/newcomer.db")
        self.assertGreater(len(lines), 50)
        self.assertEqual(lines, shop("shops/alone.db"))
        self.day += 1
        return said

    @classmethod
    def setUpClass(cls):
        cls.play = build(take("coupon")) / "play"

    # C17: it catches up with what was before it, goes on after a restart, and leaves the shop as it was.
    def test_a_coupon_service_is_added_and_removed_without_touching_the_others(self):
        said = self.live("without", "mina", "joon", "mina", "-mina", "mina")
        self.assertEqual(said.count("PickedUp"), 4)
        self.assertEqual(said.count("Canceled"), 1)

        self.live("with")  # nobody comes on this day
        self.assertEqual(coupons("shops/newcomer.db"), [("joon", 1, 0), ("mina", 3, 0)])

        self.live("with", "mina", "mina")
        self.assertEqual(coupons("shops/newcomer.db"), [("joon", 1, 0), ("mina", 5, 1)])

        self.live("without", "mina", "-joon", "joon")
        self.assertEqual(coupons("shops/newcomer.db"), [("joon", 1, 0), ("mina", 5, 1)])

        self.live("with", "joon")
        self.assertEqual(coupons("shops/newcomer.db"), [("joon", 3, 0), ("mina", 6, 1)])

        self.live("without")


if __name__ == "__main__":
    unittest.main()
