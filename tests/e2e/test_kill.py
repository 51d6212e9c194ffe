# SPDX-License-Identifier: Apache-2.0
"""kill -9 at random moments, under load: nothing that was acknowledged is lost, and all of it ends as it should."""

import os
import random
import signal
import threading
import unittest

from life import Life, bring_to_end
from shop import Case, binary, soon

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
        tickets = bring_to_end(self.shop, callers)
        self.assertTrue(tickets["PickedUp"] and tickets["Withdrawn"], tickets)


if __name__ == "__main__":
    unittest.main()
