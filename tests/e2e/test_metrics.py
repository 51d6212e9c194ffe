# SPDX-License-Identifier: Apache-2.0
"""What an operator sees: GET /metrics."""

import os
import re
import signal
import unittest

from prometheus import Malformed, Metrics
from shop import APP, CUSTOMER, DASHBOARD, PAY, SEED, STORE, Case, binary, soon

BINARY = binary()
ALERTS = os.path.join(os.path.dirname(__file__), "../../examples/deploy/alerts.yml")


class Counting(Case):
    def metrics(self, service=APP):
        answer = self.shop.get(service, "/metrics")
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.headers["Content-Type"], "text/plain; version=0.0.4; charset=utf-8")
        return Metrics(answer.bytes.decode())

    # C13: what an operator wants to know of is there, on each port, in a form that Prometheus reads.
    def test_every_service_tells_what_it_is_asked_for(self):
        wanted = {"cafe_http_requests_total", "cafe_commands_total", "cafe_saga_age_seconds", "cafe_view_lag_seconds",
                  "cafe_dead_letters", "cafe_queue_depth", "cafe_commit_seconds", "cafe_commit_units",
                  "process_resident_memory_bytes", "process_open_fds", "process_start_time_seconds"}
        self.shop.order()
        for service, rows in ((APP, "orders"), (PAY, "payments"), (STORE, "fulfillments"),
                              (CUSTOMER, "notifications"), (DASHBOARD, "order_infos")):
            soon(lambda: wanted | {f"cafe_{rows}"} <= self.metrics(service).names(), f"{rows} and all else are there")

    # C13: orders by state, commands by verdict, requests by route and status.
    def test_what_happened_is_what_is_counted(self):
        paid, made = self.shop.order(), self.shop.order()
        self.shop.act(made, "accept", "start", "ready", "pickup")
        declined = self.shop.post(APP, "/orders", {**SEED, "paymentToken": "decline"})
        self.assertEqual(declined.status, 402)
        found = self.metrics()
        self.assertEqual(found["cafe_commands_total", "command", "PlaceOrder", "verdict", "pending"], 3)
        self.assertEqual(found["cafe_commands_total", "command", "ActOnTicket", "verdict", "accepted"], 4)
        self.assertEqual(self.posts(found, 201), 2)
        self.assertEqual(self.posts(found, 402), 1)
        self.assertEqual(found["cafe_orders", "status", "Ordered"], 1)
        self.assertEqual(found["cafe_orders", "status", "PickedUp"], 1)
        self.assertEqual(found["cafe_orders", "status", "Canceled"], 0)
        self.assertEqual(sum(value for key, value in found.samples.items() if key[0] == "cafe_orders"), 2)
        self.assertGreater(found["cafe_commit_seconds_count"], 0)
        soon(lambda: self.metrics().get("cafe_sagas", "saga", "order", "phase", "running", "steps", "await_accepted")
             == 1, "the paid order's saga waits for the store")
        self.assertGreater(self.metrics()["cafe_saga_age_seconds", "saga", "order"], 0)
        self.assertEqual(self.status(APP, f"/orders/{paid}"), "Ordered")

    def posts(self, found, status):
        return found.get("cafe_http_requests_total", "method", "POST", "route", "/orders", "status", str(status))

    def test_after_a_restart_what_is_stored_is_still_counted_and_the_age_goes_on(self):
        self.shop.order()
        soon(lambda: self.metrics().get("cafe_saga_age_seconds", "saga", "order") > 0, "the age is known")
        age = self.metrics()["cafe_saga_age_seconds", "saga", "order"]
        self.shop.stop(signal.SIGKILL)
        self.shop.start()
        self.assertEqual(self.metrics()["cafe_orders", "status", "Ordered"], 1)
        soon(lambda: self.metrics().get("cafe_saga_age_seconds", "saga", "order") > age, "it is older than before")

    def test_a_client_cannot_make_series(self):
        self.metrics()
        for i in range(50):
            self.shop.get(APP, f"/orders/{1000 + i}")
            self.shop.get(APP, f"/no/such/{i}")
            self.shop.call(f"M{i}", APP, f"/orders/{i}")
        found = self.metrics()
        routes = {key for key in found.samples if key[0] == "cafe_http_requests_total"}
        self.assertEqual({key[2] for key in routes}, {"GET", "other"} | ({"POST"} & {key[2] for key in routes}))
        self.assertLess(len(routes), 12, routes)
        self.assertEqual(found["cafe_http_requests_total", "method", "GET", "route", "/orders/{id}", "status", "404"],
                         50)
        self.assertEqual(found["cafe_http_requests_total", "method", "GET", "route", "other", "status", "404"], 50)

    def test_head_is_answered_as_get_without_the_body(self):
        answer = self.shop.call("HEAD", APP, "/metrics")
        self.assertEqual((answer.status, answer.bytes), (200, b""))
        self.assertEqual(answer.headers["Content-Type"], "text/plain; version=0.0.4; charset=utf-8")

    # C13: alert rules ask for nothing that nobody tells.
    def test_alerts_are_about_metrics_that_there_are(self):
        self.shop.order()
        soon(lambda: "cafe_sagas" in self.metrics().names(), "the sagas were counted")
        soon(lambda: "cafe_payments" in self.metrics(PAY).names(), "the payments were counted")
        names = self.metrics().names() | self.metrics(PAY).names() | {"cafe_peer_up"}  # where there are peers: test_services.py
        with open(ALERTS, encoding="utf-8") as rules:
            expressions = re.findall(r"^ +expr: (?:>-\n)?((?:.|\n)*?)(?=^ +(?:for|labels):)", rules.read(), re.M)
        self.assertGreater(len(expressions), 8)
        for expression in expressions:
            asked = re.findall(r"\bcafe_[a-z_]+", expression)
            self.assertTrue(asked, expression)
            for name in asked:
                self.assertIn(name.removesuffix("_bucket"), names)

    def test_the_reader_of_this_test_takes_nothing_else(self):
        good = "# HELP a_total A.\n# TYPE a_total counter\na_total{x=\"1\"} 1\n"
        Metrics(good)
        for wrong in ("", good[:-1], good + good, good.replace("counter", "gauge"), good.replace("} 1", "} -1"),
                      good.replace('x="1"', 'x="1"1"'), good.replace("a_total{", "b_total{"),
                      good.replace("# HELP a_total A.\n", ""), good + 'a_total{x="1"} 2\n', good + "\n",
                      "# HELP h H.\n# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 1\n"
                      "h_sum 1\nh_count 1\n"):
            with self.assertRaises(Malformed, msg=wrong):
                Metrics(wrong)


if __name__ == "__main__":
    unittest.main(verbosity=2)
