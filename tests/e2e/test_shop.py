# SPDX-License-Identifier: Apache-2.0
"""The shop from outside: real processes, real HTTP, real SQLite files, kill -9. One process or five: see Either."""

import json
import os
import signal
import tempfile
import threading
import time
import unittest

from services import Either as Case
from shop import APP, CUSTOMER, DASHBOARD, PAY, SEED, STORE, binary, soon

binary()  # before unittest reads the arguments
LIFE = ["Ordered", "OrderAccepted", "PreparationStarted", "CoffeeDone", "OrderPickedUp"]


class Ordering(Case):
    # F1: the seed's own command, verbatim.
    def test_the_seeds_command_places_an_order(self):
        answer = self.shop.post(APP, "/orders", SEED)
        self.assertEqual(answer.status, 201, answer)
        order = answer.json
        self.assertEqual(answer.headers["Location"], f"/orders/{order['orderId']}")
        self.assertTrue(answer.headers["Cafe-Position"])
        self.assertIsInstance(order["orderId"], int)
        self.assertEqual({name: order[name] for name in
                          ("productId", "qty", "customerId", "amount", "currency", "storeId", "pickupTime", "status",
                           "clientReference")},
                         {"productId": "10", "qty": 1, "customerId": "cdgri", "amount": 2, "currency": "KRW",
                          "storeId": "1", "pickupTime": "2023-03-06T06:00:10.000Z", "status": "Ordered",
                          "clientReference": "1"})
        self.assertRegex(order["createdAt"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        self.assertEqual(order["_links"]["self"]["href"], f"/orders/{order['orderId']}")
        self.assertEqual(self.shop.get(APP, f"/orders/{order['orderId']}").json, order)

    # F1: ids are the server's and rise, with and without the client's.
    def test_ids_are_the_servers_and_rise(self):
        without = {name: value for name, value in SEED.items() if name != "orderId"}
        first = self.shop.post(APP, "/orders", SEED).json
        second = self.shop.post(APP, "/orders", without).json
        third = self.shop.post(APP, "/orders", {**SEED, "orderId": 7}).json
        self.assertLess(first["orderId"], second["orderId"])
        self.assertLess(second["orderId"], third["orderId"])
        self.assertEqual([first["clientReference"], second["clientReference"], third["clientReference"]],
                         ["1", None, "7"])

    # F1b: status=CoffeeDone in the request changes nothing.
    def test_a_status_in_the_request_changes_nothing(self):
        order = self.shop.order(status="CoffeeDone")
        self.assertEqual(self.status(APP, f"/orders/{order}"), "Ordered")

    def test_amounts_are_exact(self):
        for text, currency, shown in (("12.50", "USD", "12.50"), ("0.07", "USD", "0.07"), ("0", "KRW", "0"),
                                      ("1000000000000", "KRW", "1000000000000"), ("1e3", "KRW", "1000")):
            for source in (text, f'"{text}"'):
                body = (f'{{"productId":"1","qty":1,"customerId":"c","amount":{source},"currency":"{currency}"}}')
                answer = self.shop.post(APP, "/orders", body.encode())
                self.assertEqual(answer.status, 201, answer)
                self.assertIn(f'"amount":{shown},'.encode(), answer.bytes)

    # F1a: values that are wrong: refused with the field named, no event, no row.
    def test_wrong_values_are_refused_with_the_field_named(self):
        wrong = [("qty", value) for value in ("0", "-1", "abc", 1001, 1.5, "1e0", "", True, [1], 10**30, str(10**30))]
        wrong += [("amount", value) for value in ("-1", "abc", "2.5", "1e400", 10**30, "", "0x10", "1000000000001",
                                                  "NaN", True, {}, "2.0")]
        wrong += [("productId", value) for value in ("", "x" * 65, "a\nb", 10, None)]
        wrong += [("customerId", value) for value in ("", "가" * 65, "\u0000", False)]
        wrong += [("pickupTime", value) for value in ("20230230150010", "2023030615001", "yesterday", 20230306150010,
                                                      "2023-13-01T00:00:00Z", "2023-03-06T15:00:10",
                                                      "2023-03-06T25:00:10Z")]
        wrong += [("currency", "XXZ"), ("storeId", 1), ("storeId", "s" * 65), ("orderId", "o" * 65), ("orderId", True)]
        for field, value in wrong:
            with self.subTest(field=field, value=value):
                answer = self.shop.post(APP, "/orders", {**SEED, field: value})
                self.assert_problem(answer, 422, "invalid")
                self.assertEqual([each["field"] for each in answer.json["errors"]], [field], answer)
        for source in ("1e400", "-1", "2.50", "1e-1"):
            with self.subTest(amount=source):
                body = f'{{"productId":"1","qty":1,"customerId":"c","amount":{source}}}'.encode()
                answer = self.shop.post(APP, "/orders", body)
                self.assert_problem(answer, 422, "invalid")
                self.assertEqual(answer.json["errors"][0]["field"], "amount")
        self.assertEqual(self.shop.listed(APP, "/orders"), [])
        self.assertEqual(self.shop.listed(PAY, "/payments"), [])
        for service in (APP, PAY, STORE, CUSTOMER):
            self.assertEqual(self.shop.rows(service, "select count(*) from events"), [(0,)])

    # F1a: missing fields; the seed's old form.
    def test_every_wrong_field_is_named_at_once(self):
        answer = self.shop.post(APP, "/orders", {"item": "통닭", "storeId": "1"})
        self.assert_problem(answer, 422, "invalid")
        self.assertEqual({each["field"] for each in answer.json["errors"]}, {"productId", "qty", "customerId", "amount"})
        answer = self.shop.post(APP, "/orders", {**SEED, "pickupTime": "soon", "qty": 0, "productId": ""})
        self.assertEqual({each["field"] for each in answer.json["errors"]}, {"pickupTime", "qty", "productId"})

    # F1a: what isn't JSON, and broken UTF-8.
    def test_what_is_not_json_is_malformed(self):
        for body in (b"", b"{", b'{"amount":NaN}', b'{"amount":Infinity}', b"{'a':1}", b'{"a":1,}', b'{"a":01}',
                     b'{"a":1.}', b'{"a":"\xff"}', b'{"a":"\xc0\x80"}', b'{"a":"\xed\xa0\x80"}', b'{"a":"\t"}',
                     b'{"a":"\\ud800"}', b'{"a":1,"a":2}', b'{"a":1} x', b"\xef\xbb\xbf{}", b"[" * 5000):
            with self.subTest(body=body[:20]):
                self.assert_problem(self.shop.post(APP, "/orders", body), 400, "malformed")
        for body in (b"[]", b"1", b'"x"', b"null"):
            with self.subTest(body=body):
                self.assert_problem(self.shop.post(APP, "/orders", body), 422, "invalid")


class Life(Case):
    def logged(self, service, order):
        """The events of one order in a service's log, and when they happened."""
        rows = self.shop.rows(service, 'select type, time_ms from events where "key" = ? order by position', order)
        self.assertEqual(len(dict(rows)), len(rows))
        return dict(rows)

    # F2: exactly one payment of that amount, Approved, after every 201.
    def test_an_order_is_paid_once_and_exactly(self):
        for amount, currency, shown in ((2, "KRW", 2), ("1000000000000", "KRW", 10**12), ("0.07", "USD", 0.07),
                                        (0, "KRW", 0)):
            order = self.shop.order(amount=amount, currency=currency)
            payments = [(each["paymentId"], each["amount"], each["currency"], each["status"])
                        for each in self.shop.listed(PAY, "/payments", orderId=order)]
            self.assertEqual(payments, [(order, shown, currency, "Approved")])
            self.assertIn("PaymentApproved", self.logged(PAY, order))

    # F3: the ticket shows at the store soon; never before the payment's approval in the log.
    def test_a_paid_order_reaches_the_store(self):
        for _ in range(5):
            order = self.shop.order()
            ticket = self.shop.ticket(order)
            self.assertEqual((ticket["orderId"], ticket["status"]), (order, "Received"))
            paid, received = self.logged(PAY, order), self.logged(STORE, order)
            self.assertLessEqual(paid["PaymentApproved"], received["TicketReceived"])
            if paid == received:  # one log
                self.assertLess(list(paid).index("PaymentApproved"), list(paid).index("TicketReceived"))

    # F4, F7, F8: each stage shows in app, dashboard and notifications.
    def test_an_order_goes_its_whole_way(self):
        shop = self.shop
        order = shop.order()
        ticket = shop.ticket(order)
        self.assertEqual((ticket["status"], ticket["storeId"], ticket["productId"], ticket["qty"]),
                         ("Received", "1", "10", 1))
        self.assertEqual(self.status(PAY, f"/payments/{order}"), "Approved")
        for action, status, ticket_status in (("accept", "Accepted", "Accepted"), ("start", "Preparing", "Preparing"),
                                              ("ready", "CoffeeDone", "Ready"), ("pickup", "PickedUp", "PickedUp")):
            answer = shop.post(STORE, f"/fulfillments/{order}/{action}")
            self.assertEqual((answer.status, answer.json["status"]), (200, ticket_status), answer)
            soon(lambda: self.status(APP, f"/orders/{order}") == status, f"the order is {status}")
            info = soon(lambda: self.info(order, status, ticket_status), f"the dashboard says {status}")
        self.assertEqual(shop.events(order), LIFE)
        payment = soon(lambda: self.captured(order), "the payment is captured")
        self.assertEqual((payment["amount"], payment["capturedAmount"], payment["refundedAmount"]), (2, 2, 0))
        shop.expect_told(order, "Ordered", "OrderAccepted", "CoffeeDone", "OrderPickedUp")
        self.assertEqual({name: info[name] for name in ("orderId", "productId", "amount", "customerId")},
                         {"orderId": order, "productId": "10", "amount": 2, "customerId": "cdgri"})

    def info(self, order, status, ticket_status):
        info = self.shop.get(DASHBOARD, f"/orderInfos/{order}").json
        return info if (info["status"], info["fulfillmentStatus"]) == (status, ticket_status) else None

    def captured(self, order):
        payment = self.shop.get(PAY, f"/payments/{order}").json
        return payment if payment["status"] == "Captured" else None

    def test_a_write_is_read_at_the_dashboard_by_its_position(self):
        for _ in range(20):
            answer = self.shop.post(APP, "/orders", SEED)
            position = answer.headers["Cafe-Position"]
            info = self.shop.get(DASHBOARD, f"/orderInfos/{answer.json['orderId']}?after-position={position}")
            self.assertEqual((info.status, info.json["status"]), (200, "Ordered"), info)
        self.assert_problem(self.shop.get(DASHBOARD, "/orderInfos?after-position=nonsense"), 422, "invalid")

    # F4: ready before start is refused.
    def test_actions_out_of_turn_are_refused(self):
        order = self.shop.order()
        self.shop.ticket(order)
        self.assert_problem(self.shop.post(STORE, f"/fulfillments/{order}/ready"), 409, "wrong-state")
        first = self.shop.post(STORE, f"/fulfillments/{order}/accept")
        again = self.shop.post(STORE, f"/fulfillments/{order}/accept")
        self.assertEqual((again.status, again.bytes), (200, first.bytes))
        self.assert_problem(self.shop.post(STORE, f"/fulfillments/{order}/reject"), 409, "wrong-state")
        self.assert_problem(self.shop.post(STORE, f"/fulfillments/{order + 1}/accept"), 404, "not-found")
        soon(lambda: self.status(APP, f"/orders/{order}") == "Accepted", "the order is accepted")
        self.assertEqual(self.shop.events(order), ["Ordered", "OrderAccepted"])

    def test_a_rejected_order_gets_its_money_back(self):
        order = self.shop.order()
        self.shop.ticket(order)
        answer = self.shop.post(STORE, f"/fulfillments/{order}/reject", {"reason": "sold out"})
        self.assertEqual((answer.status, answer.json["status"]), (200, "Rejected"))
        soon(lambda: self.status(APP, f"/orders/{order}") == "Rejected", "the order is rejected")
        soon(lambda: self.status(PAY, f"/payments/{order}") == "Canceled", "the payment is void")
        self.assert_problem(self.shop.post(APP, f"/orders/{order}/cancel"), 409, "cancel-rejected")
        self.shop.expect_told(order, "Ordered", "OrderRejected", "PaymentCanceled")

    def test_a_store_that_gives_up_gives_the_money_back(self):
        order = self.shop.order()
        self.shop.act(order, "accept", "start")
        soon(lambda: self.captured(order), "the payment is captured")
        self.shop.act(order, "fail")
        soon(lambda: self.status(APP, f"/orders/{order}") == "Rejected", "the order is rejected")
        payment = soon(lambda: self.refunded(order), "the payment is refunded")
        self.assertEqual((payment["capturedAmount"], payment["refundedAmount"]), (2, 2))
        self.shop.expect_told(order, "Ordered", "OrderAccepted", "OrderRejected", "PaymentRefunded")

    def refunded(self, order):
        payment = self.shop.get(PAY, f"/payments/{order}").json
        return payment if payment["status"] == "Refunded" else None

    def test_lists_are_filtered_and_paged(self):
        orders = [self.shop.order(customerId=f"c{i % 2}") for i in range(5)]
        self.shop.act(orders[0], "accept")
        even = self.shop.listed(APP, "/orders", customerId="c0")
        self.assertEqual([each["orderId"] for each in even], orders[::2])
        soon(lambda: self.status(APP, f"/orders/{orders[0]}") == "Accepted", "the order is accepted")
        self.assertEqual([each["orderId"] for each in self.shop.listed(APP, "/orders", status="Accepted")], orders[:1])
        seen = []
        path = "/orders?limit=2"
        while path:
            page = self.shop.get(APP, path).json
            seen.append([each["orderId"] for each in page["_embedded"]["orders"]])
            self.assertEqual(page["page"]["size"], 2)
            path = page["_links"].get("next", {}).get("href")
        self.assertEqual(seen, [orders[:2], orders[2:4], orders[4:]])
        for order in orders:
            self.shop.ticket(order)
        self.assertEqual(len(self.shop.listed(STORE, "/fulfillments", storeId="1", status="Received")), 4)
        self.assertEqual(len(self.shop.listed(PAY, "/payments", orderId=orders[1])), 1)
        self.assertEqual(self.shop.listed(APP, "/orders", customerId="nobody"), [])
        for query in ("limit=0", "limit=1001", "limit=x", "after=x", "status=Nonsense", "orderId=x"):
            self.assert_problem(self.shop.get(APP, f"/orders?{query}"), 422, "invalid")

    def test_notifications_are_paged_by_their_ids(self):
        order = self.shop.order()
        self.shop.act(order, "accept", "start", "ready", "pickup")
        self.shop.expect_told(order, "Ordered", "OrderAccepted", "CoffeeDone", "OrderPickedUp")
        first = self.shop.listed(CUSTOMER, "/notifications", orderId=order, limit=3)
        rest = self.shop.listed(CUSTOMER, "/notifications", orderId=order, after=first[-1]["notificationId"])
        self.assertEqual([each["event"] for each in first + rest],
                         ["Ordered", "OrderAccepted", "CoffeeDone", "OrderPickedUp"])
        self.assertEqual(len({each["notificationId"] for each in first + rest}), 4)
        self.assertEqual({each["attempts"] for each in first + rest}, {1})


class Canceling(Case):
    # F5, F6: canceled once, and that payment with it, and no other.
    def test_a_cancel_voids_that_payment_and_no_other(self):
        other, order = self.shop.order(), self.shop.order()
        answer = self.shop.post(APP, f"/orders/{order}/cancel", {"reason": "changed my mind"})
        self.assertEqual((answer.status, answer.json["status"]), (200, "Canceled"), answer)
        again = self.shop.post(APP, f"/orders/{order}/cancel")
        self.assertEqual((again.status, again.bytes), (200, answer.bytes))
        soon(lambda: self.status(PAY, f"/payments/{order}") == "Canceled", "the payment is void")
        self.assertEqual(self.status(PAY, f"/payments/{other}"), "Approved")
        self.assertEqual(self.status(STORE, f"/fulfillments/{order}"), "Withdrawn")
        self.assertEqual(self.shop.events(order), ["Ordered", "CancelRequested", "OrderCanceled"])
        self.shop.expect_told(order, "Ordered", "OrderCanceled", "PaymentCanceled")
        self.shop.expect_told(other, "Ordered")

    def test_an_accepted_order_can_be_canceled_still(self):
        order = self.shop.order()
        self.shop.act(order, "accept")
        self.assertEqual(self.shop.post(APP, f"/orders/{order}/cancel").status, 200)
        self.assert_problem(self.shop.post(STORE, f"/fulfillments/{order}/start"), 409, "wrong-state")

    # F6a: after the start: 409, order and payment as before, the customer told.
    def test_a_cancel_after_the_start_is_rejected_and_changes_nothing(self):
        order = self.shop.order()
        self.shop.act(order, "accept", "start")
        answer = self.shop.post(APP, f"/orders/{order}/cancel")
        self.assert_problem(answer, 409, "cancel-rejected")
        soon(lambda: self.status(APP, f"/orders/{order}") == "Preparing", "the order is in preparation")
        self.assertIn(self.status(PAY, f"/payments/{order}"), ("Approved", "Captured"))
        self.assertEqual(sorted(self.shop.events(order)[-2:]), ["CancelRejected", "PreparationStarted"])
        self.shop.act(order, "ready", "pickup")
        self.shop.expect_told(order, "Ordered", "OrderAccepted", "CancelRejected", "CoffeeDone", "OrderPickedUp")

    # F5, X14: unknown, and past 2^53 - 1: 404.
    def test_what_does_not_exist_cannot_be_canceled(self):
        for path in ("/orders/999/cancel", "/orders/0/cancel", "/orders/x/cancel", "/orders/9007199254740992/cancel"):
            self.assert_problem(self.shop.post(APP, path), 404, "not-found")

    def test_a_preferred_wait_is_applied(self):
        order = self.shop.order()
        answer = self.shop.post(APP, f"/orders/{order}/cancel", Prefer="wait=5")
        self.assertEqual((answer.status, answer.headers["Preference-Applied"]), (200, "wait=5"))

    def test_a_cancel_that_does_not_wait_is_accepted(self):
        order = self.shop.order()
        answer = self.shop.post(APP, f"/orders/{order}/cancel", Prefer="respond-async, wait=0")
        self.assertIn((answer.status, answer.json["status"]), ((202, "Ordered"), (202, "Canceling"), (200, "Canceled")))
        self.assertTrue(answer.headers["Cafe-Position"])
        soon(lambda: self.status(APP, f"/orders/{order}") == "Canceled", "the cancel goes on")


class AcceptDeadline(Case):
    options = ("--accept-deadline", "300ms")

    def test_nobody_accepts_in_time(self):
        order = self.shop.order()
        soon(lambda: self.status(APP, f"/orders/{order}") == "Canceled", "the deadline cancels the order")
        soon(lambda: self.status(PAY, f"/payments/{order}") == "Canceled", "the payment is void")
        self.shop.expect_told(order, "Ordered", "OrderCanceled", "PaymentCanceled")

    def accepted(self):
        """An order that was accepted in time, if this machine was quick enough."""
        order = self.shop.order()
        self.shop.ticket(order)
        return order if self.shop.post(STORE, f"/fulfillments/{order}/accept").status == 200 else None

    def test_an_accepted_order_outlives_the_deadline(self):
        order = soon(self.accepted, "an order is accepted in time")
        late = self.shop.order()
        soon(lambda: self.status(APP, f"/orders/{late}") == "Canceled", "the deadline has passed")
        self.assertEqual(self.status(APP, f"/orders/{order}"), "Accepted")


class PaymentDeadline(Case):
    options = ("--payment-deadline", "400ms")

    def test_a_payment_that_does_not_answer_ends_at_the_deadline(self):
        self.shop.put(PAY, "/sandbox", {"mode": "hang"})
        began = time.monotonic()
        self.assert_problem(self.shop.post(APP, "/orders", SEED), 503, "payment-unavailable")
        self.assertGreater(time.monotonic() - began, 0.3)
        self.assertEqual(self.shop.listed(APP, "/orders"), [])
        self.shop.put(PAY, "/sandbox", {"mode": "approve"})
        soon(lambda: self.shop.post(APP, "/orders", SEED).status == 201, "orders are taken again")

    def test_a_late_approval_is_taken_by_the_retry(self):
        self.shop.put(PAY, "/sandbox", {"delayMs": 2000})
        self.assertEqual(self.shop.post(APP, "/orders", SEED, Idempotency_Key="l").status, 503)
        self.assertEqual(self.shop.listed(APP, "/orders"), [])
        answer = soon(lambda: self.placed("l"), "the retry takes the late approval")
        self.assertEqual(len(self.shop.listed(PAY, "/payments")), 1)
        self.assertEqual(answer.json["status"], "Ordered")

    def placed(self, key):
        answer = self.shop.post(APP, "/orders", SEED, Idempotency_Key=key)
        return answer if answer.status == 201 else None


class Paying(Case):
    # F2a: declined: 402, no visible order, no ticket, the attempt recorded.
    def test_a_declined_payment_makes_no_order(self):
        for decline in (lambda: {**SEED, "paymentToken": "decline"},
                        lambda: self.shop.put(PAY, "/sandbox", {"mode": "decline"}) and SEED):
            body = decline()
            answer = self.shop.post(APP, "/orders", body)
            self.assert_problem(answer, 402, "payment-declined")
            order = answer.json["orderId"]
            self.assertEqual(self.shop.get(APP, f"/orders/{order}").status, 404)
            self.assertEqual(self.shop.get(APP, f"/orders/{order}/events").status, 404)
            self.assertEqual(self.shop.get(STORE, f"/fulfillments/{order}").status, 404)
            self.assertEqual(self.status(PAY, f"/payments/{order}"), "Declined")
            self.assertEqual(self.shop.listed(CUSTOMER, "/notifications", orderId=order), [])
        self.assertNotIn("decline", self.shop.logged())

    def test_a_refused_payment_is_told_as_a_little_later(self):
        self.shop.put(PAY, "/sandbox", {"mode": "error"})
        self.assert_problem(self.shop.post(APP, "/orders", SEED), 503, "payment-unavailable")
        self.assertEqual(self.shop.listed(APP, "/orders"), [])
        self.assertEqual(self.shop.listed(PAY, "/payments"), [])
        self.shop.put(PAY, "/sandbox", {"mode": "approve"})
        self.shop.order()

    def test_the_sandbox_keeps_what_is_not_given(self):
        answer = self.shop.put(PAY, "/sandbox", {"delayMs": 5, "jitterMs": "3"})
        self.assertEqual(answer.status, 200)
        self.assertEqual({name: answer.json[name] for name in ("mode", "delayMs", "jitterMs", "capacity")},
                         {"mode": "approve", "delayMs": 5, "jitterMs": 3, "capacity": 0})
        answer = self.shop.put(PAY, "/sandbox", {"capacity": 2})
        self.assertEqual((answer.json["delayMs"], answer.json["capacity"]), (5, 2))
        self.assertEqual(self.shop.get(PAY, "/sandbox").json["inFlight"], 0)
        for body in ({"mode": "maybe"}, {"delayMs": -1}, {"capacity": "x"}, {"jitterMs": 10**9}):
            answer = self.shop.put(PAY, "/sandbox", body)
            self.assert_problem(answer, 422, "invalid")
            self.assertEqual([each["field"] for each in answer.json["errors"]], list(body))
        self.assertEqual(self.shop.get(PAY, "/sandbox").json["delayMs"], 5)


class Repeating(Case):
    # X5: the same answer, also after a restart; another body is refused.
    def test_a_repeated_key_gives_the_same_answer_also_after_kill(self):
        first = self.shop.post(APP, "/orders", SEED, Idempotency_Key="k1")
        self.assertEqual(first.status, 201)
        self.assertIsNone(first.headers["Idempotency-Replayed"])
        order = first.json["orderId"]
        self.shop.act(order, "accept")  # what has happened since doesn't show in the repeat
        for restart in (False, True):
            if restart:
                self.shop.stop(signal.SIGKILL)
                self.shop.start()
            again = self.shop.post(APP, "/orders", SEED, Idempotency_Key="k1")
            self.assertEqual((again.status, again.bytes), (201, first.bytes))
            self.assertEqual(again.headers["Idempotency-Replayed"], "true")
            self.assertEqual(again.headers["Location"], first.headers["Location"])
            self.assertEqual(again.headers["Cafe-Position"], first.headers["Cafe-Position"])
            seen = self.shop.get(DASHBOARD, f"/orderInfos/{order}?after-position={again.headers['Cafe-Position']}")
            self.assertEqual(seen.status, 200, seen)
        self.assertEqual(len(self.shop.listed(PAY, "/payments")), 1)
        other = self.shop.post(APP, "/orders", {**SEED, "qty": "2"}, Idempotency_Key="k1")
        self.assert_problem(other, 422, "idempotency-key-reused")
        second = self.shop.post(APP, "/orders", SEED, Idempotency_Key="k2")
        self.assertNotEqual(second.json["orderId"], order)

    # X5: on any POST.
    def test_actions_and_cancels_repeat_too(self):
        order = self.shop.order()
        self.shop.ticket(order)
        accepted = self.shop.post(STORE, f"/fulfillments/{order}/accept", Idempotency_Key="a")
        canceled = self.shop.post(APP, f"/orders/{order}/cancel", Idempotency_Key="a")
        refused = self.shop.post(STORE, f"/fulfillments/{order}/start", Idempotency_Key="a")
        self.assertEqual((accepted.status, canceled.status, refused.status), (200, 200, 409))
        self.shop.stop(signal.SIGKILL)
        self.shop.start()
        for path, service, first in ((f"/fulfillments/{order}/accept", STORE, accepted),
                                     (f"/orders/{order}/cancel", APP, canceled),
                                     (f"/fulfillments/{order}/start", STORE, refused)):
            again = self.shop.post(service, path, Idempotency_Key="a")
            self.assertEqual((again.status, again.bytes), (first.status, first.bytes))
            self.assertEqual(again.headers["Cafe-Position"], first.headers["Cafe-Position"])
            self.assertEqual(again.headers["Cafe-Position"] is None, first.status == 409)
            self.assertEqual(again.headers["Idempotency-Replayed"], "true")

    # X5: what is kept, and what isn't.
    def test_a_declined_payment_repeats_and_an_unavailable_one_may_try_again(self):
        declined = {**SEED, "paymentToken": "decline"}
        first = self.shop.post(APP, "/orders", declined, Idempotency_Key="d")
        again = self.shop.post(APP, "/orders", declined, Idempotency_Key="d")
        self.assertEqual((first.status, again.status, again.bytes), (402, 402, first.bytes))
        self.shop.put(PAY, "/sandbox", {"mode": "error"})
        self.assertEqual(self.shop.post(APP, "/orders", SEED, Idempotency_Key="u").status, 503)
        self.shop.put(PAY, "/sandbox", {"mode": "approve"})
        self.assertEqual(self.shop.post(APP, "/orders", SEED, Idempotency_Key="u").status, 201)

    # X5: at once: the same answer, one charge.
    def test_equals_that_come_at_once_are_one_order(self):
        self.shop.put(PAY, "/sandbox", {"delayMs": 100})
        answers = []
        callers = [threading.Thread(target=lambda: answers.append(
            self.shop.post(APP, "/orders", SEED, Idempotency_Key="same"))) for _ in range(8)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        self.assertEqual({answer.status for answer in answers}, {201}, answers)
        self.assertEqual(len({answer.bytes for answer in answers}), 1)
        self.assertEqual(len({answer.headers["Cafe-Position"] for answer in answers}), 1)
        self.assertEqual(len(self.shop.listed(PAY, "/payments")), 1)

    def test_a_key_is_visible_ascii(self):
        for key in ("", "a b", "x" * 256, "\u00e9"):
            answer = self.shop.post(APP, "/orders", SEED, Idempotency_Key=key)
            self.assert_problem(answer, 400, "malformed")
        self.assertEqual(self.shop.post(APP, "/orders", SEED, Idempotency_Key="x" * 255).status, 201)


class Channels(Case):
    def setUp(self):
        self.options = ("--channel", "console:", "--channel", "file:" + os.path.join(tempfile.gettempdir(),
                                                                                 f"cafe-told-{os.getpid()}.jsonl"))
        self.file = self.options[3][5:]
        self.addCleanup(lambda: os.path.exists(self.file) and os.unlink(self.file))
        super().setUp()

    # F8: one message per change, order events in order, on a pluggable channel.
    def test_every_channel_is_told_once_and_in_order(self):
        order = self.shop.order()
        self.shop.act(order, "accept", "start", "ready", "pickup")
        soon(lambda: len(self.shop.delivered(order) or []) == 8, "both channels are told")
        events = ["Ordered", "OrderAccepted", "CoffeeDone", "OrderPickedUp"]
        with open(self.file, encoding="utf-8") as told:
            rows = [json.loads(line) for line in told]
        self.assertEqual([row["event"] for row in rows], events)
        lines = [line for line in self.shop.printed().splitlines() if line]
        self.assertEqual(len(lines), 4, lines)
        for line, event in zip(lines, events):
            self.assertIn(event, line)


if __name__ == "__main__":
    unittest.main(verbosity=2)
