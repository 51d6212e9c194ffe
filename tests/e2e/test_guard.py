# SPDX-License-Identifier: Apache-2.0
"""Payment under load, over HTTP: the breaker before orders, and the bulkhead before the gateway."""

import collections
import concurrent.futures
import json
import os
import re
import threading
import unittest

from prometheus import Metrics
from shop import APP, PAY, SEED, Case, binary, soon

BINARY = binary()


class Guarded(Case):
    def metric(self, *name):
        return Metrics(self.shop.get(APP, "/metrics").bytes.decode()).get(*name)

    def state(self):
        found = [state for state in ("CLOSED", "OPEN", "HALF_OPEN")
                 if self.metric("cafe_breaker_state", "name", "payment", "state", state) == 1]
        self.assertEqual(len(found), 1)
        return found[0]

    def entered(self, state):
        return self.metric("cafe_breaker_transitions_total", "name", "payment", "to", state)

    def place(self, **headers):
        return self.shop.post(APP, "/orders", SEED, **headers)

    def sandbox(self):
        return self.shop.get(PAY, "/sandbox").json


class Breaker(Guarded):
    options = ("--breaker-volume", "4", "--breaker-error-rate", "0.5", "--breaker-window", "60s", "--breaker-sleep", "5s")

    # N2b, C5: CLOSED, OPEN, HALF_OPEN, CLOSED, in log and metrics; open, an order is refused before it is written.
    def test_it_opens_refuses_at_once_and_closes_by_a_single_order(self):
        paid = self.place(Idempotency_Key="paid")
        self.assertEqual(paid.status, 201)
        self.shop.put(PAY, "/sandbox", {"mode": "error"})
        for _ in range(3):
            self.assert_problem(self.place(), 503, "payment-unavailable")
        self.assertEqual(self.state(), "OPEN")
        self.assertIn("breaker payment: CLOSED to OPEN: 3 of 4 calls failed in 60 s", self.shop.logged())

        begun = self.metric("cafe_events_total")
        refused = self.place(Idempotency_Key="refused")
        self.assert_problem(refused, 503, "payment-unavailable")
        self.assertLessEqual(int(refused.headers["Retry-After"]), 6)
        self.assertEqual(self.metric("cafe_events_total"), begun)
        self.assertEqual(self.metric("cafe_guard_rejected_total", "name", "payment", "reason", "open"), 1)
        again = self.place(Idempotency_Key="paid")  # what is kept is told, whatever payment does
        self.assertEqual((again.status, again.json, again.headers["Idempotency-Replayed"]), (201, paid.json, "true"))

        self.shop.put(PAY, "/sandbox", {"mode": "approve"})
        placed = soon(lambda: self.paid("refused"), "an order is let through, and decides")
        self.assertIsNone(placed.headers["Idempotency-Replayed"])
        self.assertEqual(self.state(), "CLOSED")
        for change in ("OPEN to HALF_OPEN", "HALF_OPEN to CLOSED"):
            self.assertIn(f"breaker payment: {change}", self.shop.logged())
        self.assertEqual([self.entered(state) for state in ("OPEN", "HALF_OPEN", "CLOSED")], [1, 1, 1])
        self.assertEqual(len(self.shop.listed(APP, "/orders")), 2)
        self.assertEqual(len(self.shop.listed(PAY, "/payments")), 2)

    def paid(self, key):
        answer = self.place(Idempotency_Key=key)
        return answer if answer.status == 201 else None

    def test_a_declined_payment_is_an_answer(self):
        self.shop.put(PAY, "/sandbox", {"mode": "decline"})
        for _ in range(6):
            self.assertEqual(self.place().status, 402)
        self.assertEqual(self.state(), "CLOSED")
        self.assertEqual(self.metric("cafe_guard_ended_total", "name", "payment", "end", "succeeded"), 6)


class Drill(Guarded):
    """docs/operations.md, "A drill": its settings, its crowd, and what it says is seen."""

    def setUp(self):
        super().setUp()
        page = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "operations.md")
        with open(page, encoding="utf-8") as file:
            drill = file.read().split("**A drill.**")[1]
        self.weak, self.well = (json.loads(body) for body in re.findall(r"8082/sandbox .* -d '(.*)'", drill))
        self.count, self.clients = map(int, re.search(r"seq (\d+) \| xargs -P (\d+)", drill).groups())
        self.fields = json.loads(re.search(r"^order='(.*)'", drill, re.MULTILINE)[1])
        self.log = re.findall(r"`breaker (payment: [^`]*)`|`(\w+ to \w+)`", drill)

    # C5: an operator sees it fail fast, and recover.
    def test_it_shows_what_the_page_says(self):
        self.assertEqual(self.shop.put(PAY, "/sandbox", self.weak).status, 200)
        with concurrent.futures.ThreadPoolExecutor(self.clients) as crowd:
            answers = list(crowd.map(lambda _: self.shop.post(APP, "/orders", self.fields), range(self.count)))
        refused = [answer for answer in answers if answer.status != 201]
        self.assertGreater(len(answers), len(refused))
        for answer in refused:
            self.assert_problem(answer, 503, "payment-unavailable")
        self.assertEqual(len(self.shop.listed(APP, "/orders", limit=1000)), len(answers) - len(refused))
        self.assertGreaterEqual(self.entered("OPEN"), 1)
        self.assertLess(self.metric("cafe_guard_limit", "name", "payment"), 64)
        failed = self.metric("cafe_guard_ended_total", "name", "payment", "end", "failed")
        rejected = sum(self.metric("cafe_guard_rejected_total", "name", "payment", "reason", reason)
                       for reason in ("open", "limit"))
        self.assertGreaterEqual(failed, 6)
        self.assertGreater(self.metric("cafe_guard_rejected_total", "name", "payment", "reason", "open"), 0)
        self.assertEqual(failed + rejected, len(refused))

        self.assertEqual(self.shop.put(PAY, "/sandbox", self.well).status, 200)
        soon(lambda: self.shop.post(APP, "/orders", self.fields).status == 201, "the probe is an order")
        self.assertEqual(self.state(), "CLOSED")
        opened, *changes = [first or second for first, second in self.log]
        self.assertRegex(self.shop.logged(), re.sub(r"\d+", r"\\d+", opened))
        self.assertEqual(changes, ["OPEN to HALF_OPEN", "HALF_OPEN to CLOSED"])
        for change in changes:
            self.assertIn(f"breaker payment: {change}", self.shop.logged())


class Crowd(Guarded):
    options = ("--payment-concurrency", "6", "--breaker-sleep", "1s")
    CLIENTS = 30

    # N2b: many clients on a payment that bears few: never more than the limit, each answer counted, none lost.
    def test_payments_are_never_more_than_the_limit(self):
        self.shop.put(PAY, "/sandbox", {"delayMs": 40, "jitterMs": 22, "capacity": 3})
        answers = collections.Counter()
        lock = threading.Lock()

        def client():
            for _ in range(10):
                status = self.place().status
                with lock:
                    answers[status] += 1

        clients = [threading.Thread(target=client) for _ in range(self.CLIENTS)]
        for each in clients:
            each.start()
        for each in clients:
            each.join()
        self.assertEqual(set(answers), {201, 503})
        self.assertEqual(sum(answers.values()), 10 * self.CLIENTS)
        self.assertLessEqual(self.sandbox()["maxInFlight"], 6)
        rejected = sum(self.metric("cafe_guard_rejected_total", "name", "payment", "reason", reason)
                       for reason in ("open", "limit"))
        ended = {end: self.metric("cafe_guard_ended_total", "name", "payment", "end", end)
                 for end in ("succeeded", "failed", "unused")}
        self.assertEqual(ended["succeeded"], answers[201])
        self.assertEqual(ended["failed"] + rejected, answers[503])
        self.assertGreater(rejected, 0)
        self.assertEqual(ended["unused"], 0)
        self.assertEqual(self.metric("cafe_guard_in_flight", "name", "payment"), 0)
        self.assertEqual(len(self.shop.listed(APP, "/orders", limit=1000)), answers[201])
        soon(lambda: self.place().status == 201, "payment recovers")
        soon(lambda: self.state() == "CLOSED", "and the breaker closes")


if __name__ == "__main__":
    unittest.main(verbosity=2)
