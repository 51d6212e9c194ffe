# SPDX-License-Identifier: Apache-2.0
"""Five services, of which one or two are down, slow, or gone for good: what the others do meanwhile, and what is made up
for when they are back."""

import collections
import json
import os
import shutil
import signal
import threading
import time
import unittest

import invariants
from load import Clients, place, report, spread
from receiver import Receiver
from services import Case, programs
from shop import APP, CUSTOMER, DASHBOARD, PAY, SEED, SOON, STORE, soon
from tap import BUDGET_US, KEY, SERVICE, Tap

PROGRAMS = programs()
FULL = bool(os.environ.get("CAFE_FULL"))
MANY = 1000 if FULL else 100
LONG = 120  # for many, on a machine with other work to do
DEADLINE = ("--payment-deadline", "600ms")


class Unpaid(Case):
    options = {"app": DEADLINE}

    def exist(self):
        """How many there are of all that an order leaves, as anybody can see it."""
        return [len(self.services.listed(service, path)) for service, path in
                ((APP, "/orders"), (STORE, "/fulfillments"), (CUSTOMER, "/notifications"), (DASHBOARD, "/orderInfos"))]

    # N1: unpaid is no deal.
    def test_without_pay_nothing_exists_and_with_it_the_next_order_is_made(self):
        self.services.pay.stop()
        for _ in range(5):
            begun = time.monotonic()
            self.assert_problem(self.services.post(APP, "/orders", SEED), 503, "payment-unavailable")
            self.assertLess(time.monotonic() - begun, SOON, "many times the deadline")
        self.assertEqual(self.exist(), [0, 0, 0, 0])
        self.services.pay.start()
        soon(lambda: self.services.app.degraded() == [], "app has found pay")
        order = self.services.order()
        soon(lambda: self.services.delivered(order), "the customer is told")
        soon(lambda: self.exist() == [1, 1, 1, 1], "one order, and nothing of the others")
        self.assertEqual([each["orderId"] for each in self.services.listed(PAY, "/payments")], [order])
        self.assertEqual(set(invariants.books(f"{self.services.pay.store}.sandbox")), {order})

    # N1: an approval after the deadline is taken by who asks again, and given back where nobody does.
    def test_an_approval_that_comes_too_late_is_found_or_voided(self):
        self.services.put(PAY, "/sandbox", {"delayMs": 1500})
        for key in ("asked-again", "given-up"):
            refused = self.services.post(APP, "/orders", SEED, Idempotency_Key=key)
            self.assert_problem(refused, 503, "payment-unavailable")
        self.assertEqual(self.exist(), [0, 0, 0, 0])
        self.services.put(PAY, "/sandbox", {"delayMs": 0})
        soon(lambda: [each["status"] for each in self.services.listed(PAY, "/payments")] == ["Approved"] * 2,
             "both approvals have come")
        taken = self.services.post(APP, "/orders", SEED, Idempotency_Key="asked-again")
        self.assertEqual(taken.status, 201, taken)
        order = taken.json["orderId"]
        left, = [each["paymentId"] for each in self.services.listed(PAY, "/payments") if each["orderId"] != order]
        if FULL:  # half a minute after the deadline
            soon(lambda: self.status(PAY, f"/payments/{left}") == "Canceled", "the other is given back", LONG)
        soon(lambda: self.exist() == [1, 1, 1, 1], "one order")
        self.assertEqual(self.services.get(APP, f"/orders/{left}").status, 404)
        self.assertEqual(self.status(PAY, f"/payments/{order}"), "Approved")
        moved = invariants.books(f"{self.services.pay.store}.sandbox")
        self.assertEqual(dict(moved[order]), {"authorize": [2]})
        self.assertEqual(dict(moved[left]), {"authorize": [2], "void": [2]} if FULL else {"authorize": [2]})


class Away(Case):
    options = {"customer": ("--channel", "file:{folder}/told.txt")}

    def happened(self, service, event):
        """The orders to which it did, in that order."""
        return [key for key, in service.rows(f'SELECT "key" FROM events WHERE type = \'{event}\' ORDER BY position')]

    def ordered(self):
        return self.happened(self.services.app, "Ordered")

    def assert_caught_up(self, before):
        """Store, customer and dashboard have each order once, and those that they had to catch up with the oldest first."""
        app, _, store, customer, dashboard = self.services.all
        wanted = self.ordered()
        for service, last, first in ((store, "TicketReceived", "TicketReceived"),
                                     (customer, "NotificationSent", "NotificationQueued")):
            soon(lambda: len(self.happened(service, last)) >= len(wanted), f"{service.name} has all", LONG)
            had = self.happened(service, first)
            self.assertEqual(sorted(had), sorted(wanted))
            if service.name in self.away:
                self.assertEqual(had[before:], wanted[before:], f"{service.name} took them in another order")
        orders = app.rows("SELECT order_id, status, version FROM orders ORDER BY order_id")
        soon(lambda: dashboard.rows("SELECT order_id, status, version FROM order_infos WHERE is_visible ORDER BY order_id")
             == orders, "the dashboard shows all", LONG)
        told = collections.Counter(each["notificationId"] for each in
                                   invariants.deliveries(os.path.join(self.folder.name, "told.txt")))
        self.assertEqual((len(told), set(told.values())), (len(wanted), {1}))

    # N2a: whoever is away, orders are taken; whoever comes back gets each of them once, the oldest first.
    def test_whoever_is_away_orders_are_taken_and_made_up_for(self):
        report(f"N2a, orders with all there: {spread(place(self.services, MANY))}")
        for away in (("store",), ("customer",), ("dashboard",), ("customer", "dashboard")):
            for name in away:
                self.assertEqual(getattr(self.services, name).stop(), 0)
            before = len(self.ordered())
            report(f"N2a, orders without {' and '.join(away)}: {spread(place(self.services, MANY))}")
            self.assertEqual(len(self.ordered()), before + MANY)
            for name in away:
                getattr(self.services, name).start()
            self.away = away
            self.assert_caught_up(before)

    # N2a: two of them never come back: an order's whole life needs neither, and nobody waits for them.
    def test_customer_and_dashboard_may_be_gone_for_good(self):
        for gone in (self.services.customer, self.services.dashboard):
            gone.kill()
            shutil.rmtree(gone.store, ignore_errors=True)
            os.unlink(gone.store)
        place(self.services, MANY)
        for service in (self.services.app, self.services.pay, self.services.store):
            self.assertEqual(service.restart(), 0)
        soon(lambda: not {"pay", "store"} & set(self.services.app.degraded()), "app has its peers again")
        made, canceled = self.services.order(), self.services.order()
        soon(lambda: self.services.get(STORE, f"/fulfillments/{canceled}").status == 200, "both tickets are there")
        self.services.act(made, "accept", "start", "ready", "pickup")
        self.assertEqual(self.services.post(APP, f"/orders/{canceled}/cancel", None, Prefer="wait=10").status, 200)
        soon(lambda: self.status(APP, f"/orders/{made}") == "PickedUp", "it is picked up")
        soon(lambda: self.status(PAY, f"/payments/{made}") == "Captured", "it is paid for")
        soon(lambda: self.status(PAY, f"/payments/{canceled}") == "Canceled", "it is given back")
        self.assertEqual(len(self.happened(self.services.store, "TicketReceived")), MANY + 2)
        statuses = self.services.stop()
        self.assertEqual({statuses[name] for name in ("app", "pay", "store")}, {0})

    # C18: what happened while customer was down is processed once each, in each order's order, across kill -9 as well.
    def test_a_consumer_catches_up_across_kills(self):
        self.services.customer.stop()
        orders = MANY // 4  # of each the customer is told four times
        place(self.services, orders)
        ids = self.ordered()
        soon(lambda: len(self.happened(self.services.store, "TicketReceived")) == orders, "all tickets are there")
        asked = [("POST", STORE, f"/fulfillments/{order}/{action}", None) for action in ("accept", "start", "ready", "pickup")
                 for order in ids]
        with Clients(self.services, 1, lambda n: asked[n] if n < len(asked) else None) as owner:
            owner.wait()
        self.assertEqual(owner.statuses(), {200: len(asked)})
        soon(lambda: len(self.happened(self.services.app, "OrderPickedUp")) == orders, "app knows of all", LONG)
        customer = self.services.customer
        for reached in (1, orders, 2 * orders):
            customer.start()
            soon(lambda: len(self.happened(customer, "NotificationQueued")) >= reached, "it catches up", LONG)
            customer.kill()
        customer.start()
        soon(lambda: len(self.happened(customer, "NotificationSent")) == 4 * orders, "all messages are sent", LONG)
        self.assertEqual(len(self.happened(customer, "NotificationQueued")), 4 * orders)
        events = collections.defaultdict(list)
        for each in {each["notificationId"]: each for each in
                     invariants.deliveries(os.path.join(self.folder.name, "told.txt"))}.values():
            events[each["orderId"]].append(each["event"])
        self.assertEqual(dict(events), {order: ["Ordered", "OrderAccepted", "CoffeeDone", "OrderPickedUp"] for order in ids})


class Channels(Case):
    def setUp(self):
        self.answer = (503, {}, b"")
        self.receiver = Receiver(lambda message: self.answer)
        self.addCleanup(self.receiver.close)
        self.options = {"customer": ("--channel", self.receiver.url(), "--channel-timeout", "300ms")}
        super().setUp()

    # N3b: a receiver that refuses, or says nothing, holds up no order; back again, it gets each message, once.
    def test_a_channel_that_is_out_holds_up_no_order_and_loses_none(self):
        for answer in ((503, {}, b""), None):
            self.answer = answer
            before = len(self.receiver.messages)
            report(f"N3b, orders with a receiver that {'refuses' if answer else 'says nothing'}: "
                   f"{spread(place(self.services, MANY))}")
            soon(lambda: len(self.receiver.messages) > before, "it was tried")
            orders = {each["orderId"] for each in self.services.listed(APP, "/orders", limit=1000)}
            soon(lambda: len(self.services.listed(STORE, "/fulfillments", limit=1000)) == min(len(orders), 1000),
                 "tickets don't wait for messages", LONG)
        tried = len(self.receiver.messages)
        self.answer = (204, {}, b"")
        sent = "SELECT count(*) FROM notifications WHERE status = 'Sent'"
        soon(lambda: self.services.customer.rows(sent) == [(2 * MANY,)], "all messages are sent", LONG)
        taken = collections.Counter((each.json["orderId"], each.json["event"], each.json["notificationId"])
                                    for each in self.receiver.messages[tried:])
        self.assertEqual(set(taken.values()), {1})
        self.assertEqual(self.services.customer.rows("SELECT count(*) FROM notifications"), [(2 * MANY,)])
        self.assertEqual({order for order, _, _ in taken},
                         {order for order, in self.services.app.rows("SELECT order_id FROM orders")})


class Many(Case):
    # C3: 100 orders at once, each answered as its own, every 7th canceled: exactly those are given back.
    def test_of_a_hundred_at_once_exactly_those_that_are_canceled_are_voided(self):
        answers = {}

        def order(number):  # payment has no room for so many: who is told to come back does, under the same key
            body = {**SEED, "amount": str(number), "productId": f"p{number}"}
            answers[number] = soon(lambda: self.taken(body, f"key-{number}"), f"order {number} is taken", LONG)
        self.at_once(order, range(1, 101))
        self.assertEqual(len(answers), 100)
        orders = {number: each.json["orderId"] for number, each in answers.items()}
        self.assertEqual(len(set(orders.values())), 100)
        canceled = [number for number in orders if number % 7 == 0]
        statuses = {}

        def cancel(number):
            answer = self.services.post(APP, f"/orders/{orders[number]}/cancel", None, Prefer="wait=20")
            statuses[number] = (answer.status, answer.json["status"], answer.json["productId"])
        self.at_once(cancel, canceled)
        self.assertEqual(statuses, {number: (200, "Canceled", f"p{number}") for number in canceled})
        wanted = {order: (number, "Canceled" if number in canceled else "Approved") for number, order in orders.items()}
        soon(lambda: {each["orderId"]: (each["amount"], each["status"]) for each in
                      self.services.listed(PAY, "/payments", limit=1000)} == wanted, "exactly those are voided")
        moved = invariants.books(f"{self.services.pay.store}.sandbox")
        for number, order_ in orders.items():
            self.assertEqual(dict(moved[order_]), {"authorize": [number], **({"void": [number]} if number in canceled else {})})

    def taken(self, body, key):
        answer = self.services.post(APP, "/orders", body, Idempotency_Key=key)
        self.assertIn(answer.status, (201, 503), answer)
        return answer if answer.status == 201 else None

    def at_once(self, what, numbers):
        threads = [threading.Thread(target=what, args=(number,)) for number in numbers]
        for each in threads:
            each.start()
        for each in threads:
            each.join()

    # X5: equal keys at once, and after all have been started anew: one answer, one charge; another body is refused.
    def test_a_key_is_one_order_over_restarts_of_all(self):
        answers = []
        self.at_once(lambda _: answers.append(self.services.post(APP, "/orders", SEED, Idempotency_Key="one")), range(8))
        self.assertEqual({(each.status, each.bytes) for each in answers}, {(201, answers[0].bytes)})
        self.assertEqual(set(self.services.stop().values()), {0})
        self.services.start()
        again = self.services.post(APP, "/orders", SEED, Idempotency_Key="one")
        self.assertEqual((again.status, again.bytes, again.headers["Idempotency-Replayed"]), (201, answers[0].bytes, "true"))
        other = self.services.post(APP, "/orders", {**SEED, "qty": 2}, Idempotency_Key="one")
        self.assert_problem(other, 422, "idempotency-key-reused")
        order = again.json["orderId"]
        self.assertEqual({payment: dict(moved) for payment, moved in
                          invariants.books(f"{self.services.pay.store}.sandbox").items()}, {order: {"authorize": [2]}})
        soon(lambda: len(self.services.listed(STORE, "/fulfillments")) == 1, "one ticket")


class Asked(Case):
    # C4: a peer is where the configuration says, and what it is asked says how much time is left for the answer.
    def test_the_deadline_travels_with_each_request(self):
        app = self.services.app
        node = app.node
        tap = Tap(node("pay"))
        self.addCleanup(tap.close)
        app.node = lambda name=None: tap.url if name == "pay" else node(name)
        longest = 0
        for milliseconds in (700, 20000):
            app.options = ["--payment-deadline", f"{milliseconds}ms"]
            app.restart()
            soon(lambda: app.degraded() == [], "app has its peers")
            before = len(tap.requests())
            answer = self.services.post(APP, "/orders", SEED)
            requests = tap.requests()[before:]
            self.assertTrue(requests)
            for each in requests:
                self.assertEqual(each[SERVICE], b"pay")
                self.assertTrue(longest < each[BUDGET_US] <= milliseconds * 1000, each)
            if milliseconds == 20000:  # the other one is short for a busy machine
                self.assertEqual(answer.status, 201, answer)
                self.assertEqual({each[KEY] for each in requests}, {answer.json["orderId"]})
            longest = milliseconds * 1000


if __name__ == "__main__":
    unittest.main(verbosity=2)
