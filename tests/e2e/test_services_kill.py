# SPDX-License-Identifier: Apache-2.0
"""kill -9 of services at random moments, under load: whoever is killed goes on by itself, nothing that was acknowledged is
lost, and all of it ends as it should."""

import os
import threading
import unittest

import invariants
from crowd import LOST, Crowd, assert_whole, seeded
from services import Case
from shop import APP, PAY, SEED, binary, soon

binary()  # before unittest reads the arguments
KILLS = 500 if os.environ.get("CAFE_FULL") else 15
REPEATS = 40 if os.environ.get("CAFE_FULL") else 4
ASKING = 6  # callers at once


class Killed(Case):
    options = {"app": ("--payment-deadline", "2s", "--breaker-sleep", "500ms"),
               "customer": ("--channel", "file:{folder}/told.txt")}

    def start_all(self, services):
        for each in services:
            each.launch()
        for each in services:
            soon(each.is_ready, f"cafe-{each.name} is ready", 30)

    # X7, X5, C10: five processes, killed at random moments under load, one or several at once.
    def test_whoever_is_killed_goes_on_and_nothing_acknowledged_is_lost(self):
        chance = seeded("who is killed when")
        with Crowd(self.services, chance) as crowd:
            for number in range(KILLS):
                crowd.placed_more(crowd.placed())
                crowd.stop.wait(chance.uniform(0, 0.4))  # the moment itself, not something that is waited for
                victims = chance.sample(self.services.all, chance.choice((1, 1, 1, 1, 2, 5)))
                for each in victims:
                    each.process.kill()
                print(f"{number}: {', '.join(each.name for each in victims)}")
                for each in victims:
                    each.kill()
                crowd.stop.wait(chance.choice((0, chance.uniform(0, 1))))
                self.start_all(victims)
        ends = crowd.finish()
        assert_whole(self.services)
        self.assertTrue(ends["PickedUp"] and ends["Withdrawn"], ends)

    def ask(self, key, answers):
        """Until there is an answer, as a client does."""
        while True:
            try:
                answer = self.services.post(APP, "/orders", SEED, Idempotency_Key=key)
                if answer.status != 503:
                    answers.append(answer)
                    return
            except LOST:
                pass  # it was killed, or isn't there yet

    # X5: at once, and over restarts of the one who answers: the same answer, one charge.
    def test_a_repeated_key_is_one_order_though_app_is_killed_meanwhile(self):
        chance = seeded("when app is killed")
        self.services.put(PAY, "/sandbox", {"delayMs": 50})
        orders = set()
        for number in range(REPEATS):
            answers = []
            callers = [threading.Thread(target=self.ask, args=(f"same-{number}", answers)) for _ in range(ASKING)]
            for caller in callers:
                caller.start()
            callers[0].join(chance.uniform(0, 0.1))  # the moment itself
            self.services.app.restart(9)
            for caller in callers:
                caller.join()
            self.services.app.restart(9)
            self.ask(f"same-{number}", answers)
            self.assertEqual({answer.status for answer in answers}, {201}, answers)
            self.assertEqual(len({answer.bytes for answer in answers}), 1, answers)
            other = self.services.post(APP, "/orders", {**SEED, "qty": "2"}, Idempotency_Key=f"same-{number}")
            self.assert_problem(other, 422, "idempotency-key-reused")
            orders.add(answers[0].json["orderId"])
        self.assertEqual({each["orderId"] for each in self.services.listed(APP, "/orders")}, orders)
        moved = invariants.books(f"{self.services.pay.store}.sandbox")
        self.assertEqual({order: dict(each) for order, each in moved.items()},
                         {order: {"authorize": [2]} for order in orders})


if __name__ == "__main__":
    unittest.main(verbosity=2)
