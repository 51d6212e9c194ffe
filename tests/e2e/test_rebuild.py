# SPDX-License-Identifier: Apache-2.0
"""Views of a running shop are made anew, and compared with their events, while they are read and written."""

import os
import random
import signal
import subprocess
import sys
import threading
import unittest

from life import Life
from shop import APP, CUSTOMER, DASHBOARD, PAY, STORE, UPKEEP, Case, binary, soon

BINARY = binary()
SPOIL_ROW = os.path.abspath(sys.argv.pop(1))
LISTS = {"orders": (APP, "/orders"), "payments": (PAY, "/payments"), "fulfillments": (STORE, "/fulfillments"),
         "notifications": (CUSTOMER, "/notifications"), "order_infos": (DASHBOARD, "/orderInfos")}
WHOLE = {"differing": 0, "missing": 0, "surplus": 0, "firstKey": None}


class Rebuilt(Case):
    options = ("--upkeep", "{upkeep}", "--channel", "file:{folder}/told.txt")

    def setUp(self):
        super().setUp()
        self.store = os.path.join(self.folder.name, "shop.db")

    def rows(self, view="order_infos"):
        service, path = LISTS[view]
        found, page = [], f"{path}?limit=7"
        while page:
            answer = self.shop.get(service, page)
            self.assertEqual(answer.status, 200, answer)
            found += answer.json["_embedded"][path[1:]]
            page = answer.json["_links"].get("next", {}).get("href")
        return found

    def view(self, action, view="order_infos"):
        return self.shop.post(UPKEEP, f"/upkeep/views/{view}/{action}")

    def assert_verified(self, view="order_infos", **found):
        answer = self.view("verify", view)
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual({name: answer.json[name] for name in WHOLE}, {**WHOLE, **found})
        self.assertGreater(answer.json["events"], 0)
        return answer.json["rows"]

    def play(self):
        """Orders in every state, at rest."""
        for actions in ((), ("accept",), ("reject",), ("accept", "start"), ("accept", "start", "ready"),
                        ("accept", "start", "fail"), ("accept", "start", "ready", "pickup")) * 3:
            self.shop.act(self.shop.order(), *actions)
            self.shop.post(APP, f"/orders/{self.shop.order()}/cancel")
        self.come_to_rest()

    def come_to_rest(self):
        soon(lambda: {each["orderId"]: each["version"] for each in self.rows()} ==
             {each["orderId"]: each["version"] for each in self.rows("orders")}, "the dashboard is up to date")
        soon(lambda: all(each["status"] == "Sent" for each in self.rows("notifications")), "all messages are sent", 30)

    def spoil(self, how, *orders):
        subprocess.run([SPOIL_ROW, self.store, how, *map(str, orders)], check=True)

    def during(self, work, *loops):
        """Does the work while each of these is done again and again; what fails there fails here."""
        stop, failures = threading.Event(), []

        def run(loop):
            try:
                while not stop.is_set():
                    loop()
            except BaseException as failure:  # pylint: disable=broad-except
                failures.append(failure)

        threads = [threading.Thread(target=run, args=(loop,)) for loop in loops]
        for thread in threads:
            thread.start()
        try:
            work()
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        if failures:
            raise failures[0]

    # C2: made anew from the first event while it is read and written, row by row what it was; never empty, never partial.
    def test_the_dashboard_is_rebuilt_while_it_is_read_and_written(self):
        self.play()
        before = {each["orderId"]: each for each in self.rows()}
        lives = [Life(self.shop, random.Random(each)) for each in range(2)]

        def read():
            self.assertEqual({each["orderId"]: each for each in self.rows() if each["orderId"] in before}, before)

        def read_one():
            order = random.choice(list(before))
            self.assertEqual(self.shop.get(DASHBOARD, f"/orderInfos/{order}").json, before[order])

        def live(life):
            return lambda: life.place() if not life.known or life.chance.random() < 0.4 else life.go_on()

        def work():
            for _ in range(4):
                answer = self.view("rebuild")
                self.assertEqual(answer.status, 200, answer)
                self.assertGreaterEqual(answer.json["rows"], len(before))
                self.assert_verified()

        self.during(work, read, read_one, *map(live, lives))
        self.come_to_rest()
        after = self.rows()
        self.assertGreater(len(after), len(before))
        self.assertEqual(self.view("rebuild").json["rows"], self.assert_verified())
        self.assertEqual(self.rows(), after)

    # C2: a table that lost all its rows is whole again; one that isn't what the events say is found, and mended.
    def test_a_table_that_is_wrong_is_found_and_mended(self):
        self.play()
        before, orders = self.rows(), [each["orderId"] for each in self.rows()]
        count = self.assert_verified()
        self.assertEqual(self.shop.stop(), 0)
        self.spoil("change", orders[4], orders[7])
        self.spoil("remove", orders[5])
        self.spoil("add", 900001, 900002, 900003)
        self.shop.start()
        self.assertNotEqual(self.rows(), before)
        self.assertEqual(self.assert_verified(differing=2, missing=1, surplus=3, firstKey=orders[4]), count + 3)
        self.assertNotEqual(self.rows(), before)
        self.assertEqual(self.view("rebuild").json["rows"], count)
        self.assertEqual(self.rows(), before)
        self.assert_verified()
        self.assertEqual(self.shop.stop(), 0)
        self.spoil("remove", *orders)
        self.shop.start()
        self.assertEqual(self.rows(), [])
        self.assert_verified(missing=len(orders), firstKey=orders[0])
        self.assertEqual(self.view("rebuild").status, 200)
        self.assertEqual(self.rows(), before)

    # C2, X7: killed at any moment of it, the table is the old one or the new one, and both are the same.
    def test_a_kill_at_any_moment_leaves_a_whole_table(self):
        self.play()
        before = {view: self.rows(view) for view in LISTS}
        chance = random.Random(2)
        for _ in range(3):
            for view in LISTS:
                caller = threading.Thread(target=self.try_to_rebuild, args=(view,))
                caller.start()
                caller.join(chance.uniform(0, 0.03))  # the moment itself, not something that is waited for
                self.shop.stop(signal.SIGKILL)
                caller.join()
                self.shop.start()
                self.assertEqual(self.rows(view), before[view])
        for view in LISTS:
            self.assertEqual(self.view("rebuild", view).status, 200)
            self.assert_verified(view)
            self.assertEqual(self.rows(view), before[view])

    def try_to_rebuild(self, view):
        try:
            self.view("rebuild", view)
        except OSError:
            pass  # it was killed

    # C2: what was forgotten stays so: no rebuild brings it back, and no verification misses it.
    def test_a_rebuild_brings_no_forgotten_message_back(self):
        self.play()
        later = self.shop.order()
        self.shop.expect_told(later, "Ordered")
        kept = self.shop.listed(CUSTOMER, "/notifications", orderId=later)
        answer = self.shop.post(UPKEEP, "/upkeep/forget", {"notificationsBefore": kept[0]["createdAt"]})
        self.assertGreater(answer.json["notifications"], 40)
        self.assertEqual(self.rows("notifications"), kept)
        self.assert_verified("notifications")
        self.assertEqual(self.view("rebuild", "notifications").json["rows"], 1)
        self.assertEqual(self.rows("notifications"), kept)

    def test_what_is_no_view_is_not_found(self):
        for view in ("nothing", "cafe_dead_letters", "orders;"):
            for action in ("rebuild", "verify"):
                self.assert_problem(self.view(action, view), 404, "not-found")


if __name__ == "__main__":
    unittest.main()
