# SPDX-License-Identifier: Apache-2.0
"""kill -9 at random moments, under load: nothing that was acknowledged is lost, and all of it ends as it should."""

import collections
import http.client
import os
import random
import signal
import sqlite3
import threading
import unittest

import invariants
from shop import APP, SEED, STORE, Case, binary, soon

BINARY = binary()
KILLS = 300 if os.environ.get("CAFE_FULL") else 20
CALLERS = 8
NEXT = {"Received": "accept", "Accepted": "start", "Preparing": "ready", "Ready": "pickup"}


class Life:
    """What one caller was told of the orders that it placed; nobody else touches them."""

    def __init__(self, shop, chance):
        self.shop = shop
        self.chance = chance
        self.known = {}  # the ticket's last acknowledged status
        self.keys = 0
        self.open = None  # an order that was asked for and not answered: its key
        self.name = f"{chance.getrandbits(64):x}"

    def place(self):
        """Under a key of its own, which is repeated until there is an answer."""
        if self.open is None:
            self.keys += 1
            self.open = f"{self.name}-{self.keys}"
        answer = self.shop.post(APP, "/orders", SEED, Idempotency_Key=self.open)
        if answer.status == 201:
            order = answer.json["orderId"]
            assert order not in self.known, f"order {order} was given twice"
            self.known[order] = "Received"
            self.open = None

    def go_on(self):
        order = self.chance.choice([each for each, status in self.known.items() if status in NEXT] or [None])
        if order is None:
            return
        status = self.known[order]
        if status in ("Received", "Accepted") and self.chance.random() < 0.2:
            answer = self.shop.post(APP, f"/orders/{order}/cancel", None, Prefer="wait=10")
            if answer.status == 200:
                self.known[order] = "Withdrawn"
            elif answer.status == 409:  # a start that wasn't acknowledged was faster
                self.known[order] = "Preparing"
            return
        answer = self.shop.post(STORE, f"/fulfillments/{order}/{NEXT[status]}")
        if answer.status == 200:
            self.known[order] = answer.json["status"]
        elif answer.status == 409:  # it had its effect before, without being acknowledged
            self.known[order] = self.shop.get(STORE, f"/fulfillments/{order}").json["status"]

    def run(self, stop):
        while not stop.is_set():
            try:
                if self.chance.random() < 0.4 or not self.known:
                    self.place()
                else:
                    self.go_on()
            except (OSError, http.client.HTTPException, ValueError):
                return  # it was killed


class Killed(Case):
    options = ("--channel", "file:{folder}/told.txt")

    # X7, C10: one process, killed at random moments under load.
    def test_nothing_acknowledged_is_lost_and_everything_ends(self):
        seed = int(os.environ.get("CAFE_SEED", random.randrange(2**32)))
        print(f"CAFE_SEED={seed}")
        chance = random.Random(seed)
        callers = [Life(self.shop, random.Random(chance.random())) for _ in range(CALLERS)]
        for _ in range(KILLS):
            stop = threading.Event()
            threads = [threading.Thread(target=each.run, args=(stop,)) for each in callers]
            placed = sum(len(each.known) for each in callers)
            for thread in threads:
                thread.start()
            soon(lambda: sum(len(each.known) for each in callers) > placed, "an order is taken", 60)
            stop.wait(chance.uniform(0, 0.4))  # the moment itself, not something that is waited for
            self.shop.process.kill()
            stop.set()
            for thread in threads:
                thread.join()
            self.shop.stop(signal.SIGKILL)
            self.shop.start()
        self.bring_to_end(callers)

    def bring_to_end(self, callers):
        for each in callers:
            while each.open:
                each.place()
        known = {order: status for each in callers for order, status in each.known.items()}
        tickets = collections.Counter()
        for order, status in known.items():
            ticket = self.shop.get(STORE, f"/fulfillments/{order}").json["status"]
            self.check_kept(order, status, ticket)
            while ticket in NEXT:
                self.shop.act(order, NEXT[ticket])
                ticket = self.shop.get(STORE, f"/fulfillments/{order}").json["status"]
            tickets[ticket] += 1
        self.assertTrue(tickets["PickedUp"] and tickets["Withdrawn"], tickets)
        soon(self.is_at_rest, "all messages are sent, all rows are there", 60)
        self.assertEqual(self.shop.stop(), 0)
        told = invariants.deliveries(os.path.join(self.folder.name, "told.txt"))
        self.assertEqual(invariants.violations(os.path.join(self.folder.name, "shop.db"), "file", told), [])

    def check_kept(self, order, status, ticket):
        """I8: what was acknowledged is so, or further."""
        way = ["Received", "Accepted", "Preparing", "Ready", "PickedUp"]
        if ticket == "Withdrawn":  # or a cancel had its effect without being acknowledged
            self.assertIn(status, ("Received", "Accepted", "Withdrawn"), order)
        else:
            self.assertGreaterEqual(way.index(ticket), way.index(status), order)

    def is_at_rest(self):
        with sqlite3.connect(f"file:{self.folder.name}/shop.db?mode=ro", uri=True) as store:
            return store.execute("""SELECT (SELECT count(*) FROM sagas WHERE phase NOT IN ('ended', 'undone'))
                + (SELECT count(*) FROM notifications WHERE status = 'Queued')
                + (SELECT count(*) FROM orders WHERE version > (SELECT version FROM order_infos i
                   WHERE i.order_id = orders.order_id))""").fetchone() == (0,)


if __name__ == "__main__":
    unittest.main()
