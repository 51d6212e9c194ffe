# SPDX-License-Identifier: Apache-2.0
"""Five services under load: read at full speed while orders come, and replaced one after the other."""

import json
import os
import random
import signal
import tempfile
import time
import unittest

from load import ORDER, Clients, report, spread
from prometheus import Metrics
from services import NODES, Case, Services, programs
from shop import APP, CUSTOMER, DASHBOARD, PAY, STORE, soon
from sockets import Held

PROGRAMS = programs()
FULL = bool(os.environ.get("CAFE_FULL"))
ORDERS = 2000 if FULL else 200
READERS = 8 if FULL else 4
GUESTS, OTHERS = 50, 50  # so many orders that payment has room for all of them
ROUNDS = 10 if FULL else 1
AT_LEAST = 60 if FULL else 4  # seconds of load while all are replaced


class Read(Case):
    def place_and_look(self, count):
        """Places so many orders, and looks for each at the dashboard as soon as it is answered. Returns the seconds that
        each took, and those until the dashboard had it."""
        with Clients(self.services, 2, lambda n: ORDER if n < count else None) as guests:
            lags = []
            seen = 0
            while seen < count:
                soon(lambda: len(guests.replies) > seen or guests.failures, "an order is answered", 60)
                self.assertEqual(guests.failures, [])
                placed = guests.replies[seen]
                self.assertEqual(placed.status, 201)
                begun = time.monotonic()
                order, token = json.loads(placed.body)["orderId"], placed.headers["Cafe-Position"]
                row = soon(lambda: self.shown(order, token), f"the dashboard shows order {order}")
                lags.append(time.monotonic() - begun)
                self.assertEqual(row["orderId"], order)
                seen += 1
        return guests.seconds(201), lags

    def shown(self, order, token):
        answer = self.services.get(DASHBOARD, f"/orderInfos/{order}?after-position={token}")
        self.assertIn(answer.status, (200, 503), answer)  # 503: it is behind, and says so
        return answer.json if answer.status == 200 else None

    # N3a: what the dashboard is read with at full speed costs ordering little, and it goes on showing what is new.
    def test_reads_at_full_speed_leave_ordering_and_the_dashboard_as_they_were(self):
        first = self.services.order()
        soon(lambda: self.services.get(DASHBOARD, f"/orderInfos/{first}").status == 200, "the dashboard shows the first")
        alone, lags = self.place_and_look(ORDERS)
        report(f"N3a, nobody reads: orders {spread(alone)}; until the dashboard shows them {spread(lags)}")
        read = [("GET", DASHBOARD, f"/orderInfos/{first}", None), ("GET", DASHBOARD, "/orderInfos?limit=50", None)]
        with Clients(self.services, READERS, lambda n: read[n % 2]) as readers:
            beside, lags = self.place_and_look(ORDERS)
        report(f"N3a, beside {len(readers.replies)} reads: orders {spread(beside)}; until the dashboard shows them "
               f"{spread(lags)}")
        self.assertEqual((readers.failures, set(readers.statuses())), ([], {200}))
        self.assertGreater(len(readers.replies), ORDERS)
        shown = "SELECT order_id, version, status FROM {} ORDER BY order_id"
        orders = self.services.app.rows(shown.format("orders"))
        self.assertEqual(len(orders), 2 * ORDERS + 1)
        soon(lambda: self.services.dashboard.rows(shown.format("order_infos WHERE is_visible")) == orders, "it shows all")
        metrics = Metrics(self.services.get(DASHBOARD, "/metrics").bytes.decode())
        self.assertTrue([key for key in metrics.samples if key[0] == "cafe_view_lag_seconds"])


class Replaced(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.services = Services(PROGRAMS, self.folder.name)
        self.addCleanup(self.services.stop, signal.SIGKILL)
        self.services.customer.options = ["--channel", f"file:{self.folder.name}/told.txt"]
        for each in self.services.all:
            held = Held({"http": self.services.base + each.number, "node": self.services.base + NODES + each.number})
            self.addCleanup(held.close)
            each.popen = held.popen
        self.services.start()

    def look(self, number):
        order = self.ids[number % len(self.ids)]
        return [("GET", APP, f"/orders/{order}", None), ("GET", PAY, f"/payments/{order}", None),
                ("GET", STORE, "/fulfillments?limit=10", None), ("GET", CUSTOMER, "/notifications?limit=10", None),
                ("GET", DASHBOARD, "/orderInfos?limit=10", None)][number % 5]

    # C9: each of the five is replaced by the next process, again and again, under 100 clients: no request fails.
    def test_each_is_replaced_under_load_and_no_request_fails(self):
        self.ids = [self.services.order() for _ in range(10)]
        until = time.monotonic() + AT_LEAST
        replaced = 0
        with Clients(self.services, GUESTS) as guests, Clients(self.services, OTHERS, self.look) as others:
            while replaced < ROUNDS * 5 or time.monotonic() < until:
                for each in random.sample(self.services.all, 5):
                    reached = len(guests.replies) + GUESTS
                    soon(lambda: guests.failures or len(guests.replies) > reached, "each guest had an answer", 60)
                    self.assertEqual(each.stop(), 0)
                    each.start()
                    replaced += 1
        wrong = [reply for reply in guests.replies + others.replies if reply.status not in (200, 201)]
        failures = guests.failures + others.failures
        report(f"C9, {replaced} processes replaced under {GUESTS + OTHERS} clients: "
               f"{len(guests.replies) + len(others.replies)} requests answered, {len(failures) + len(wrong)} failed; "
               f"orders {spread(guests.seconds(201))}")
        self.assertEqual((failures[:3], [(reply.status, reply.body) for reply in wrong[:3]]), ([], []))
        placed = len(self.ids) + guests.statuses()[201]
        count = "SELECT count(*) FROM {}"
        self.assertEqual(self.services.app.rows(count.format("orders")), [(placed,)])
        for service, rows in ((self.services.store, "fulfillments"), (self.services.dashboard, "order_infos WHERE is_visible"),
                              (self.services.customer, "notifications WHERE status = 'Sent'")):
            soon(lambda: service.rows(count.format(rows)) == [(placed,)], f"all {rows} are there", 120)
        self.assertEqual(self.services.pay.rows(count.format("payments WHERE status = 'Approved'")), [(placed,)])
        self.assertEqual(set(self.services.stop().values()), {0})


if __name__ == "__main__":
    unittest.main(verbosity=2)
