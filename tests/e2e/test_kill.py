# SPDX-License-Identifier: Apache-2.0
"""kill -9 at random moments, under load: nothing that was acknowledged is lost, and all of it ends as it should."""

import collections
import os
import random
import signal
import threading
import unittest

import invariants
from life import NEXT, Life, is_at_rest, violated
from shop import STORE, Case, binary, soon

BINARY = binary()
KILLS = 300 if os.environ.get("CAFE_FULL") else 20
CALLERS = 8


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
            self.assertIsNone(violated(status, ticket), order)
            while ticket in NEXT:
                self.shop.act(order, NEXT[ticket])
                ticket = self.shop.get(STORE, f"/fulfillments/{order}").json["status"]
            tickets[ticket] += 1
        self.assertTrue(tickets["PickedUp"] and tickets["Withdrawn"], tickets)
        soon(lambda: is_at_rest(os.path.join(self.folder.name, "shop.db")), "all messages are sent, all rows are there", 60)
        self.assertEqual(self.shop.stop(), 0)
        told = invariants.deliveries(os.path.join(self.folder.name, "told.txt"))
        self.assertEqual(invariants.violations(os.path.join(self.folder.name, "shop.db"), "file", told), [])


if __name__ == "__main__":
    unittest.main()
