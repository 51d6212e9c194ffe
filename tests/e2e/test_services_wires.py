# SPDX-License-Identifier: Apache-2.0
"""Services whose connections break, delay, and lose answers: whatever the network does, each order ends as it should."""

import json
import os
import threading
import unittest

from crowd import Crowd, assert_whole, seeded
from prometheus import Metrics
from services import Case
from shop import APP, PAY, SEED, STORE, binary, soon
from wire import Wires

binary()  # before unittest reads the arguments
FULL = bool(os.environ.get("CAFE_FULL"))
RACES = 2000 if FULL else 100
SECONDS = 120 if FULL else 2
CUT_OFF = 200 if FULL else 20
CALLERS = 8 if FULL else 5


class Wired(Case):
    options = {"app": ("--payment-deadline", "3s", "--breaker-sleep", "500ms"),
               "customer": ("--channel", "file:{folder}/told.txt")}

    def prepare(self):
        self.wires = Wires(self.services)
        self.addCleanup(self.wires.close)

    def finish(self, *orders):
        """Each is made and picked up."""
        for order in orders:
            self.services.act(order, "accept", "start", "ready", "pickup")

    def has_status(self, order, status):
        soon(lambda: self.status(APP, f"/orders/{order}") == status, f"order {order} is {status}", 30)


class Raced(Wired):
    def race(self, order, head_start_s):
        """Both ask; returns their answers."""
        answers = {}

        def cancel():
            answers["cancel"] = self.services.post(APP, f"/orders/{order}/cancel", None, Prefer="wait=20")

        def start():
            answers["start"] = self.services.post(STORE, f"/fulfillments/{order}/start")

        first, second = (cancel, start) if head_start_s > 0 else (start, cancel)
        asking = threading.Thread(target=first)
        asking.start()
        asking.join(abs(head_start_s))
        second()
        asking.join()
        return answers["cancel"], answers["start"]

    # X1: two clients, two services: exactly one wins, and the order ends as it was told.
    def test_cancel_against_start_has_exactly_one_winner(self):
        chance = seeded("who is a little faster")
        head_start_s, won = 0.002, {"Canceled": [], "Preparing": []}
        for _ in range(RACES):
            order = self.services.order()
            soon(lambda: self.services.get(STORE, f"/fulfillments/{order}").status == 200, "its ticket is there")
            self.services.act(order, "accept")
            cancel, start = self.race(order, head_start_s * chance.uniform(0.5, 2))
            self.assertIn((cancel.status, start.status), ((200, 409), (409, 200)), (cancel, start))
            winner = "Canceled" if cancel.status == 200 else "Preparing"
            won[winner].append(order)
            self.assertEqual(self.status(STORE, f"/fulfillments/{order}"),
                             "Withdrawn" if winner == "Canceled" else "Preparing")
            self.has_status(order, winner)
            # Where both are as fast is where a race is one, on any machine.
            head_start_s = min(head_start_s * (0.7 if winner == "Canceled" else 1.4), 0.2)
        self.assertTrue(won["Canceled"] and won["Preparing"], {status: len(orders) for status, orders in won.items()})
        for order in won["Preparing"]:
            self.services.act(order, "ready", "pickup")
        assert_whole(self.services)


class Lossy(Wired):
    def live(self, crowd, seconds):
        with crowd:
            before = crowd.placed()
            crowd.stop.wait(seconds)
            crowd.placed_more(before, 20)
        self.wires.mend()
        return crowd.finish()

    # X4: what was delivered and not acknowledged comes again: one payment, one ticket, one message.
    def test_what_comes_again_since_its_answer_was_lost_counts_once(self):
        chance = seeded("where an answer ends")
        for wire in self.wires.all.values():
            wire.lasts = lambda: (None, chance.randrange(200, 8000))
            wire.break_now()
        ends = self.live(Crowd(self.services, chance, CALLERS), SECONDS)
        broken = {pair: wire.broken for pair, wire in self.wires.all.items()}
        self.assertGreater(min(broken.values()), 0, broken)
        self.assertTrue(ends["PickedUp"], ends)
        assert_whole(self.services)

    # X6: connections break anywhere, either way, and pieces take their time, on each wire another: some are lost, and
    # what was sent later over another one comes first.
    def test_with_connections_that_break_and_delay_all_ends_well(self):
        chance = seeded("what is delayed, and where it breaks")
        for wire in self.wires.all.values():
            wire.delay_s = lambda: chance.choice((0, 0, chance.uniform(0, 0.02), chance.uniform(0, 0.1)))
            wire.lasts = lambda: (chance.randrange(300, 10000), chance.randrange(300, 20000))
            wire.break_now()
        ends = self.live(Crowd(self.services, chance, CALLERS), SECONDS)
        self.assertGreater(sum(wire.broken for wire in self.wires.all.values()), 5)
        self.assertTrue(ends["PickedUp"], ends)
        assert_whole(self.services)

    # X6, X8: every now and then one service is cut off from all others for a moment.
    def test_whoever_is_cut_off_for_a_while_catches_up(self):
        chance = seeded("who is cut off when")
        with Crowd(self.services, chance, CALLERS) as crowd:
            for _ in range(SECONDS * 2):
                with self.wires.without(chance.choice(self.services.all).name):
                    crowd.stop.wait(chance.uniform(0.05, 0.5))
                crowd.placed_more(crowd.placed())
        crowd.finish()
        assert_whole(self.services)


class CutOff(Wired):
    # X3: the store hears of orders and of their cancels at once, long after: the same end as in order. Until then nobody
    # says what it would have said.
    def test_orders_that_are_canceled_while_the_store_is_cut_off_end_as_in_order(self):
        with self.wires.without("store"):
            kept = [self.services.order() for _ in range(CUT_OFF // 2)]
            canceled = [self.services.order() for _ in range(CUT_OFF)]
            for order in canceled:
                self.services.post(APP, f"/orders/{order}/cancel", None, Prefer="wait=0")
                self.has_status(order, "Canceling")
            again = self.services.post(APP, f"/orders/{canceled[0]}/cancel", None, Prefer="wait=0")
            self.assertEqual((again.status, again.json["status"]), (202, "Canceling"), again)
            self.assertEqual(self.services.listed(STORE, "/fulfillments"), [])
            soon(lambda: self.metrics(APP).get("cafe_orders", "status", "Canceling") == len(canceled), "they show", 30)
            self.assertEqual({self.status(APP, f"/orders/{order}") for order in canceled}, {"Canceling"})
            self.assertEqual({self.status(PAY, f"/payments/{order}") for order in canceled}, {"Approved"})
        for order in canceled:
            self.has_status(order, "Canceled")
            self.assertEqual(self.status(STORE, f"/fulfillments/{order}"), "Withdrawn")
            self.services.expect_told(order, "Ordered", "OrderCanceled", "PaymentCanceled")
        tickets = self.services.listed(STORE, "/fulfillments", status="Received", limit=1000)
        self.assertEqual([each["orderId"] for each in tickets], kept)
        arrived = [each["createdAt"] for each in tickets]
        self.assertEqual(arrived, sorted(arrived))
        self.finish(*kept)
        assert_whole(self.services)

    # X3: the owner acts while the store is cut off: what was started can't be canceled any more, whoever asked first.
    def test_a_start_while_the_store_is_cut_off_wins_over_a_cancel_that_has_not_arrived(self):
        started, left = self.services.order(), self.services.order()
        for order in (started, left):
            soon(lambda: self.services.get(STORE, f"/fulfillments/{order}").status == 200, "its ticket is there")
            self.services.act(order, "accept")
            self.has_status(order, "Accepted")
        with self.wires.without("store"):
            for order in (started, left):
                self.services.post(APP, f"/orders/{order}/cancel", None, Prefer="wait=0")
                self.has_status(order, "Canceling")
            self.services.act(started, "start")
        self.has_status(left, "Canceled")
        self.has_status(started, "Preparing")
        self.assert_problem(self.services.post(APP, f"/orders/{started}/cancel"), 409, "cancel-rejected")
        self.services.act(started, "ready", "pickup")
        self.services.expect_told(started, "Ordered", "OrderAccepted", "CancelRejected", "CoffeeDone", "OrderPickedUp")
        assert_whole(self.services)

    def metrics(self, service):
        return Metrics(self.services.get(service, "/metrics").bytes.decode())


class Left(Wired):
    def leave(self, service, path, body, **headers):
        """Asks, and is gone before there is an answer."""
        data = json.dumps(body).encode()
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        with self.services.connect(service) as connection:
            connection.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{lines}"
                               f"Content-Length: {len(data)}\r\n\r\n".encode() + data)

    # X2: who leaves while payment is in flight at another process changes nothing: there is an order, and one charge.
    def test_a_client_that_leaves_changes_nothing(self):
        self.services.put(PAY, "/sandbox", {"delayMs": 300})
        self.leave(APP, "/orders", SEED, Idempotency_Key="left")
        soon(lambda: self.services.get(PAY, "/sandbox").json["inFlight"] == 1, "the payment is in flight")
        again = self.services.post(APP, "/orders", SEED, Idempotency_Key="left")
        self.assertEqual(again.status, 201, again)
        self.services.put(PAY, "/sandbox", {"delayMs": 0})
        order = again.json["orderId"]
        left = self.services.order()
        self.leave(APP, f"/orders/{left}/cancel", {}, Prefer="wait=10")
        self.has_status(left, "Canceled")
        soon(lambda: self.services.get(STORE, f"/fulfillments/{order}").status == 200, "its ticket is there")
        self.finish(order)
        self.assertEqual([each["orderId"] for each in self.services.listed(APP, "/orders")], [order, left])
        self.assertEqual([each["orderId"] for each in self.services.listed(PAY, "/payments")], [order, left])
        assert_whole(self.services)


if __name__ == "__main__":
    unittest.main(verbosity=2)
