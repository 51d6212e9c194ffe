# SPDX-License-Identifier: Apache-2.0
"""What a shop logs: an order's whole way, by one search; nothing that is a secret; no line that isn't one."""

import json
import re
import unittest

from shop import APP, PAY, SEED, STORE, Case, binary, soon

BINARY = binary()
SECRET = "tok_5f2b9c1e-never-written"


def traceparent(number):
    return f"00-{number:032x}-{number:016x}-01"


class Logging(Case):
    def walk(self):
        """Takes an order from its place to its pick-up, each request with a trace of its own."""
        answer = self.shop.post(APP, "/orders", SEED, traceparent=traceparent(1))
        self.assertEqual(answer.status, 201)
        order = answer.json["orderId"]
        for number, action in enumerate(("accept", "start", "ready", "pickup"), 2):
            answer = self.shop.post(STORE, f"/fulfillments/{order}/{action}", traceparent=traceparent(number))
            self.assertEqual(answer.status, 200)
        self.shop.expect_told(order, "Ordered", "OrderAccepted", "CoffeeDone", "OrderPickedUp")
        soon(lambda: self.status(PAY, f"/payments/{order}") == "Captured", "the money is taken")
        return order

    # Each with the trace of the request that caused it.
    WAY = (("OrderDrafted", 1), ("AuthorizationStarted", 1), ("PaymentApproved", 1), ("Ordered", 1),
           ("TicketReceived", 1), ("TicketAccepted", 2), ("OrderAccepted", 2), ("TicketStarted", 3),
           ("PreparationStarted", 3), ("TicketReady", 4), ("CoffeeDone", 4), ("TicketPickedUp", 5),
           ("OrderPickedUp", 5))

    def assert_way(self, lines):
        """lines: (trace or None, text) of everything that was found of one order."""
        at = 0
        for event, number in self.WAY:
            while at < len(lines) and not re.search(rf"\b{event}\b", lines[at][1]):
                at += 1
            self.assertLess(at, len(lines), f"{event} isn't where it belongs in {lines}")
            self.assertEqual(lines[at][0], traceparent(number), lines[at])
        for event, number in (("PaymentCaptured", 3), ("NotificationSent", 5)):
            self.assertTrue(any(event in text and trace == traceparent(number) for trace, text in lines), lines)
        self.assertLess(len(lines), 20, "an order that runs through is no more than a page")

    # C13: one search by order id shows the order from its payment to its pick-up.
    def test_an_order_is_followed_by_its_id(self):
        order, other = self.walk(), self.walk()
        for each in (order, other):
            found = re.findall(rf"^\S+ +\S+ +\w[\w-]*: key={each} (?:trace=(\S+) )?(.*)$", self.shop.logged(), re.M)
            self.assert_way([(trace or None, text) for trace, text in found])

    # C10: whatever the level, and whether it was taken or not, a payment token is written nowhere but to the gateway.
    def test_no_secret_is_logged(self):
        self.shop.stop()
        self.shop.options = [*self.options, "--log-level", "debug"]
        self.shop.start()
        self.shop.post(APP, "/orders", {**SEED, "paymentToken": SECRET})
        self.shop.post(APP, "/orders", {**SEED, "paymentToken": SECRET, "qty": "none"})
        self.shop.post(APP, "/orders", {**SEED, "paymentToken": SECRET, "amount": "9" * 400})
        self.shop.post(APP, "/orders", f'{{"paymentToken": "{SECRET}"'.encode())
        self.shop.put(PAY, "/sandbox", {"mode": "error"})
        self.shop.post(APP, "/orders", {**SEED, "paymentToken": SECRET})
        self.shop.put(PAY, "/sandbox", {"mode": "hang"})
        self.shop.stop()
        self.shop.start()
        told = [self.shop.get(service, "/metrics").bytes.decode() for service in (APP, PAY)]
        with open(f"{self.folder.name}/console.txt", encoding="utf-8") as console:
            told.append(console.read())
        self.assertIn("POST /orders 201", self.shop.logged())
        self.assertIn("POST /orders 422", self.shop.logged())
        self.assertIn("GET /metrics 200", self.shop.logged())
        for text in (self.shop.logged(), *told):
            self.assertNotIn(SECRET, text)

    def test_a_level_leaves_out_what_is_below_it(self):
        self.shop.stop()
        before = self.shop.logged()
        self.shop.options = [*self.options, "--log-level", "warn"]
        self.shop.start()
        self.shop.order()
        self.shop.stop()
        self.assertEqual(self.shop.logged(), before)


class LoggingJson(Logging):
    options = ("--log-format", "json")

    def lines(self):
        return [json.loads(line) for line in self.shop.logged().splitlines()]

    # C13: the same search where logs are collected: by orderId, or by one request's trace.
    def test_an_order_is_followed_by_its_id(self):
        order, other = self.walk(), self.walk()
        for each in (order, other):
            found = [line for line in self.lines() if line.get("orderId") == each]
            self.assert_way([(line.get("traceparent"), line["msg"]) for line in found])
            traced = [line["msg"] for line in found if line.get("traceId") == f"{1:032x}"]
            self.assertTrue(any("OrderDrafted" in text for text in traced), traced)

    def test_every_line_is_an_object_with_what_a_collector_needs(self):
        order = self.walk()
        soon(lambda: any(line.get("orderId") == order for line in self.lines()), "something was logged")
        for line in self.lines():
            self.assertRegex(line["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
            self.assertIn(line["level"], ("error", "warn", "info", "debug"))
            self.assertEqual(line["service"], "cafe-shop")
            self.assertTrue(line["part"] and line["msg"])

    # A client's bytes are in a line's text, and never end it or open a member.
    def test_nobody_writes_a_line_of_his_own(self):
        forged = '%0A{"level":"error","msg":"forged"}%0D%22%5C%7F%1b%E2%98%95'
        before = len(self.lines())
        self.assertEqual(self.shop.call("POST", APP, f"/orders/{forged}", {}).status, 404)
        self.assertEqual(self.shop.call("POST", APP, "/orders/" + "%E2%98" * 500, {}).status, 404)
        found = soon(lambda: self.lines()[before + 1:] and self.lines()[before:], "both are logged")
        self.assertEqual(len(found), 2, found)
        self.assertTrue(all(line["part"] == "app" and line["level"] == "info" for line in found), found)
        self.assertIn("☕", found[0]["msg"])

    def test_a_format_that_is_none_is_refused(self):
        self.shop.stop()
        self.shop.options = ["--log-format", "xml"]
        with self.assertRaises(AssertionError):
            self.shop.start()
        self.assertIn("--log-format xml", self.shop.logged())
        self.assertEqual(self.shop.stop(), 2)


if __name__ == "__main__":
    unittest.main(verbosity=2)
