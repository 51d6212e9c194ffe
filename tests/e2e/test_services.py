# SPDX-License-Identifier: Apache-2.0
"""The five services as five processes that talk over tcp: what an order, its customer and its owner see is what they see
of one process; and each goes on, or says what it lacks, when another one isn't there."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

from prometheus import Metrics
from services import NAMES, NEEDS, NODES, Case, Services, programs
from shop import APP, CUSTOMER, DASHBOARD, PAY, SEED, SOON, STORE, soon
from sockets import Held

PROGRAMS = programs()
COUPONS = os.path.abspath(sys.argv.pop(1))  # examples/coupon
LIFE = ["Ordered", "OrderAccepted", "PreparationStarted", "CoffeeDone", "OrderPickedUp"]
TABLES = {"app": "orders", "pay": "payments", "store": "fulfillments", "customer": "notifications",
          "dashboard": "order_infos"}
TOKEN = "tok-3f9c1e77d2"


class Ordering(Case):
    def shows_soon(self, order, status, **columns):
        """App and dashboard agree."""
        def agree():
            info = self.services.get(DASHBOARD, f"/orderInfos/{order}").json
            return info.get("status") == status and all(info[name] == value for name, value in columns.items())
        self.assertEqual(self.status(APP, f"/orders/{order}"), status)
        soon(agree, f"the dashboard shows order {order} as {status} {columns}")

    def status_soon(self, order, status):
        soon(lambda: self.status(APP, f"/orders/{order}") == status, f"order {order} is {status}")

    # F1, F2, F3, F4, F7, F8: the whole way.
    def test_an_order_goes_its_whole_way_over_five_processes(self):
        services = self.services
        answer = services.post(APP, "/orders", SEED)
        self.assertEqual(answer.status, 201, answer)
        order = answer.json["orderId"]
        payments = services.listed(PAY, "/payments", orderId=order)
        self.assertEqual([(each["amount"], each["status"]) for each in payments], [(2, "Approved")])
        services.ticket(order)
        self.shows_soon(order, "Ordered", paymentStatus="Approved", fulfillmentStatus="Received")
        self.assert_problem(services.post(STORE, f"/fulfillments/{order}/ready"), 409, "wrong-state")
        for action, status, ticket in (("accept", "Accepted", "Accepted"), ("start", "Preparing", "Preparing"),
                                       ("ready", "CoffeeDone", "Ready"), ("pickup", "PickedUp", "PickedUp")):
            services.act(order, action)
            self.status_soon(order, status)
            self.shows_soon(order, status, fulfillmentStatus=ticket)
        self.assertEqual(services.events(order), LIFE)
        soon(lambda: self.status(PAY, f"/payments/{order}") == "Captured", "the payment is captured")
        services.expect_told(order, "Ordered", "OrderAccepted", "CoffeeDone", "OrderPickedUp")
        soon(services.is_at_rest, "all of it is done")
        self.assertEqual(services.app.rows("SELECT count(*) FROM sagas WHERE phase <> 'ended'"), [(0,)])

    # F5, F6: the customer cancels, and once only.
    def test_a_cancellation_gives_that_payment_back(self):
        services = self.services
        order, other = services.order(), services.order()
        services.ticket(order)
        for _ in range(2):
            answer = services.post(APP, f"/orders/{order}/cancel", None, Prefer="wait=10")
            self.assertEqual((answer.status, answer.json["status"]), (200, "Canceled"), answer)
        soon(lambda: self.status(PAY, f"/payments/{order}") == "Canceled", "the payment is canceled")
        self.assertEqual(self.status(PAY, f"/payments/{other}"), "Approved")
        self.assertEqual(self.status(STORE, f"/fulfillments/{order}"), "Withdrawn")
        self.shows_soon(order, "Canceled", paymentStatus="Canceled", fulfillmentStatus="Withdrawn")
        self.assertEqual(services.events(order), ["Ordered", "CancelRequested", "OrderCanceled"])
        services.expect_told(order, "Ordered", "OrderCanceled", "PaymentCanceled")

    # F6a: too late.
    def test_a_cancellation_after_the_start_is_rejected(self):
        services = self.services
        order = services.order()
        services.ticket(order)
        services.act(order, "accept", "start")
        self.status_soon(order, "Preparing")
        self.assert_problem(services.post(APP, f"/orders/{order}/cancel", None, Prefer="wait=10"), 409, "cancel-rejected")
        self.shows_soon(order, "Preparing")
        services.expect_told(order, "Ordered", "OrderAccepted", "CancelRejected")

    # F2a: nothing exists but the attempt.
    def test_a_declined_payment_leaves_no_order_and_no_ticket(self):
        services = self.services
        answer = services.post(APP, "/orders", {**SEED, "paymentToken": "decline"})
        self.assert_problem(answer, 402, "payment-declined")
        order = answer.json["orderId"]
        self.assertEqual(services.get(APP, f"/orders/{order}").status, 404)
        self.assertEqual(self.status(PAY, f"/payments/{order}"), "Declined")
        later = services.order()
        services.ticket(later)
        self.assertEqual([each["orderId"] for each in services.listed(STORE, "/fulfillments")], [later])

    def test_a_store_that_refuses_gives_the_money_back(self):
        services = self.services
        order = services.order()
        services.ticket(order)
        services.act(order, "reject")
        self.status_soon(order, "Rejected")
        services.expect_told(order, "Ordered", "OrderRejected", "PaymentCanceled")
        self.shows_soon(order, "Rejected", paymentStatus="Canceled", fulfillmentStatus="Rejected")

    def test_none_has_what_is_anothers(self):
        services = self.services
        order = services.order()
        services.ticket(order)
        services.expect_told(order, "Ordered")
        self.shows_soon(order, "Ordered")
        for each in services.all:
            found = {name for name, in each.rows("SELECT name FROM sqlite_master WHERE type = 'table'")}
            self.assertEqual(found & set(TABLES.values()), {TABLES[each.name]}, each.name)
            self.assertEqual(each.rows(f"SELECT count(*) FROM {TABLES[each.name]}"), [(1,)], each.name)

    # C10: a token is in no log, no command line, no store.
    def test_a_payment_token_is_written_nowhere(self):
        services = self.services
        order = services.order(paymentToken=TOKEN)
        services.ticket(order)
        services.act(order, "accept", "start", "ready", "pickup")
        services.expect_told(order, "Ordered", "OrderAccepted", "CoffeeDone", "OrderPickedUp")
        for each in services.all:
            with open(f"/proc/{each.process.pid}/cmdline", "rb") as line, open(f"/proc/{each.process.pid}/environ", "rb") as env:
                self.assertNotIn(TOKEN.encode(), line.read() + env.read())
        soon(services.is_at_rest, "all of it is done")
        self.assertEqual(set(services.stop().values()), {0})
        for name in os.listdir(self.folder.name):
            if not name.endswith(("-wal", "-shm", "app.db")):  # the saga's row had it, and its page may be reused later
                with open(os.path.join(self.folder.name, name), "rb") as file:
                    self.assertNotIn(TOKEN.encode(), file.read(), name)


class Apart(Case):
    """One of them isn't there."""

    options = {"app": ["--payment-deadline", "2s"]}

    # N1, X8: no payment, no deal; pay needs only to come back.
    def test_without_pay_there_is_no_order_and_with_it_there_is_again(self):
        services = self.services
        orders = [services.order()]
        for stop in (services.pay.stop, services.pay.kill):
            stop()
            answer = services.post(APP, "/orders", SEED, Idempotency_Key=stop.__name__)
            self.assert_problem(answer, 503, "payment-unavailable")
            self.assertEqual([each["orderId"] for each in services.listed(APP, "/orders")], orders)
            services.pay.start()
            soon(lambda: services.app.degraded() == [], "app and pay are connected")
            answer = services.post(APP, "/orders", SEED, Idempotency_Key=stop.__name__)
            self.assertEqual(answer.status, 201, answer)
            orders.append(answer.json["orderId"])
        soon(lambda: len(services.listed(STORE, "/fulfillments")) == 3, "each order has its ticket")
        paid = services.pay.rows("SELECT payment_id FROM payments WHERE status = 'Approved' ORDER BY payment_id")
        self.assertEqual([payment for payment, in paid], orders)

    # N2a: orders are taken while the store is down, and their tickets arrive once each, the oldest first.
    def test_without_store_orders_are_taken_and_tickets_arrive_later(self):
        services = self.services
        services.store.kill()
        orders = [services.order() for _ in range(30)]
        services.store.start()
        soon(lambda: len(services.listed(STORE, "/fulfillments")) == 30, "the tickets are there")
        received = services.store.rows("SELECT \"key\" FROM events WHERE type = 'TicketReceived' ORDER BY position")
        self.assertEqual([key for key, in received], orders)

    # N2a: customer and dashboard gone: ordering doesn't notice, and they catch up.
    def test_without_customer_and_dashboard_orders_go_on_and_both_catch_up(self):
        services = self.services
        services.customer.kill()
        services.dashboard.kill()
        order = services.order()
        services.act(order, "accept", "start", "ready", "pickup")
        soon(lambda: self.status(APP, f"/orders/{order}") == "PickedUp", "it is picked up")
        services.customer.start()
        services.dashboard.start()
        services.expect_told(order, "Ordered", "OrderAccepted", "CoffeeDone", "OrderPickedUp")
        soon(lambda: self.status(DASHBOARD, f"/orderInfos/{order}") == "PickedUp", "the dashboard shows it")

    # F7: with all others stopped the dashboard answers.
    def test_the_dashboard_answers_alone(self):
        services = self.services
        order = services.order()
        soon(lambda: services.get(DASHBOARD, f"/orderInfos/{order}").status == 200, "the dashboard shows it")
        for each in services.all[:-1]:
            each.stop()
        self.assertEqual(self.status(DASHBOARD, f"/orderInfos/{order}"), "Ordered")
        self.assertEqual(len(services.listed(DASHBOARD, "/orderInfos")), 1)
        soon(lambda: services.dashboard.degraded() == ["app", "pay", "store"], "it says who is missing")

    # C11: a peer that is down is named, by all that need it, and makes nobody less ready.
    def test_who_is_down_is_named_and_changes_no_status(self):
        services = self.services
        self.assertEqual([each.degraded() for each in services.all], [[]] * 5)
        services.pay.kill()
        for each in services.all:
            if each is services.pay:
                continue
            wanted = ["pay"] if "pay" in NEEDS[each.name] else []
            soon(lambda each=each, wanted=wanted: each.degraded() == wanted, f"{each.name} says that {wanted} is down")
            self.assertEqual(services.get(each.number, "/livez").status, 200)
            metrics = Metrics(services.get(each.number, "/metrics").bytes.decode())
            for peer in NEEDS[each.name]:
                self.assertEqual(metrics["cafe_peer_up", "peer", peer], peer not in wanted)
        services.pay.start()
        soon(lambda: all(each.degraded() == [] for each in services.all), "all are connected again")

    # X7: kill -9 of each in turn while orders are on their way; all of them end.
    def test_each_may_be_killed_at_any_time(self):
        services = self.services
        orders = []
        for each in services.all:
            orders += [services.order() for _ in range(5)]
            each.kill()
            each.start()
            soon(lambda: services.app.degraded() == [], "app is connected")
        for order in orders:
            services.act(order, "accept", "start", "ready", "pickup")
        soon(services.is_at_rest, "all of it is done", 60)
        for order in orders:
            self.assertEqual(self.status(APP, f"/orders/{order}"), "PickedUp")
            soon(lambda order=order: self.status(PAY, f"/payments/{order}") == "Captured", "it is paid")
            services.expect_told(order, "Ordered", "OrderAccepted", "CoffeeDone", "OrderPickedUp")

    def test_all_end_when_they_are_asked_to(self):
        services = self.services
        services.order()
        self.assertEqual(set(services.stop().values()), {0})


class Starting(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.services = Services(PROGRAMS, self.folder.name)
        self.addCleanup(self.services.stop, signal.SIGKILL)

    def assert_nothing_is_made(self):
        self.assertEqual(os.listdir(self.folder.name), [])

    # C4: where peers are is said from outside; one that is needed and missing is named.
    def test_a_peer_that_is_missing_is_named_with_what_it_is_for(self):
        for each in self.services.all:
            for peer in NEEDS[each.name]:
                command = [word for word in each.command() if not word.startswith(f"--peer={peer}=")]
                run = subprocess.run(command, capture_output=True, text=True, timeout=30, env=each.variables())
                self.assertEqual(run.returncode, 2, run)
                self.assertRegex(run.stderr, rf"^cafe-{each.name}: --peer {peer}=tcp://HOST:PORT is missing: .+\n$")
        self.assert_nothing_is_made()

    # C4: an unknown one is none; one that isn't needed is ignored; the environment does as well.
    def test_peers_are_checked_and_those_that_are_not_needed_ignored(self):
        app = self.services.app
        for wrong in ("pay", "pay=", "pay=127.0.0.1:9082", "nobody=tcp://127.0.0.1:9082", "customer=tcp://x",
                      "customer=tcp://127.0.0.1:0", "customer=tcp://127.0.0.1:65536", "customer=nats://127.0.0.1:4222"):
            self.assertIn(f"--peer {wrong}", app.refused("--peer", wrong))
        self.assertIn("--peer pay is given twice", app.refused("--peer", app.node("pay").join(["pay=", ""])))
        self.assertIn("--transport", app.refused("--transport", "nats://127.0.0.1:4222"))
        self.assert_nothing_is_made()
        app.options = ["--peer", f"customer={app.node('customer')}", "--peer", f"app={app.node('app')}"]
        app.start()
        self.assertEqual(app.degraded(), ["pay", "store"])
        app.stop()
        store = self.services.store
        command = [word for word in store.command() if not word.startswith("--peer=")]
        store.command = lambda: command
        store.environment["CAFE_PEER"] = f"app={store.node('app')} pay={store.node('pay')}"
        store.start()
        self.assertEqual(store.degraded(), ["app"])

    def test_wrong_options_are_one_line_and_change_nothing(self):
        app = self.services.app
        for options, said in ((["--node", "127.0.0.1:9081"], "--node 127.0.0.1:9081"),
                              (["--node", "tcp://127.0.0.1"], "--node tcp://127.0.0.1"),
                              (["--node", "tcp://nowhere.invalid:9081"], "nowhere.invalid"),
                              (["--tls-ca", "ca.pem"], "--tls-key is missing"),
                              (["--tls-ca", "ca.pem", "--tls-key", "key.pem"], "--tls-certificate is missing"),
                              (["--node-insecure=maybe"], "--node-insecure=maybe"),
                              (["--channel", "console:"], "unknown option --channel"),
                              (["--listen", "127.0.0.1"], "--listen"),
                              (["--store", "oracle:x"], "--store oracle...")):
            self.assertIn(said, app.refused(*options))
        for name in ("pay", "store", "customer", "dashboard"):
            self.assertIn("--payment-deadline", getattr(self.services, name).refused("--payment-deadline", "1s"))
        self.assert_nothing_is_made()

    # Nobody outside this machine is talked to in the clear unless that is wanted.
    def test_plain_addresses_are_loopback_ones_or_insecure_on_purpose(self):
        app = self.services.app
        port = app.base + NODES + APP
        said = app.refused("--node", f"tcp://0.0.0.0:{port}")
        self.assertIn("0.0.0.0", said)
        self.assertIn("--node-insecure", said)
        self.assert_nothing_is_made()
        app.routes = {"pay": "tcp://pay.example:9082"}
        self.assertRegex(app.refused(), "--node-insecure.*pay.example")
        app.routes = {}
        app.options = ["--node", f"tcp://0.0.0.0:{port}", "--node-insecure"]
        app.start()

    def test_addresses_in_use_are_told_and_nothing_is_made(self):
        app = self.services.app
        for port in (app.base + NODES + APP, app.base + APP):
            with socket.create_server(("127.0.0.1", port)):
                self.assertIn(f"can't listen on 127.0.0.1:{port}: Address already in use", app.refused())
        self.assert_nothing_is_made()

    def test_a_store_in_use_is_told_with_its_holder(self):
        app, pay = self.services.app, self.services.pay
        app.start()
        said = pay.refused("--store", f"sqlite:{app.store}")
        self.assertIn(f"app.db is in use by cafe-app, process {app.process.pid}:", said)

    def test_defaults_are_the_documented_ones(self):
        for number, name in NAMES.items():
            run = subprocess.run([os.path.join(PROGRAMS, f"cafe-{name}"), "--help"], capture_output=True, text=True,
                                 timeout=30)
            self.assertEqual(run.returncode, 0, run)
            for default in (f"127.0.0.1:{8080 + number}", f"tcp://127.0.0.1:{9080 + number}", f"sqlite:var/{name}.db"):
                self.assertIn(f"({default})", run.stdout)

    # Any of them may come first.
    def test_they_may_start_one_by_one(self):
        for each in self.services.all:
            each.start()
        order = self.services.order()
        self.services.expect_told(order, "Ordered")


class Encrypted(Case):
    """Each shows a certificate."""

    def certify(self, ca, name):
        """A key, and its certificate for this machine, signed by that CA, which is made with the first one."""
        def path(what):
            return os.path.join(self.folder.name, what)
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        made = [] if os.path.exists(path(f"{ca}.pem")) else [
            ["req", "-x509", *key, "-keyout", path(f"{ca}.key"), "-out", path(f"{ca}.pem"), "-subj", f"/CN={ca}"]]
        with open(path(f"{name}.san"), "w", encoding="ascii") as file:
            file.write("subjectAltName=IP:127.0.0.1\n")
        for arguments in [*made,
                          ["req", *key, "-keyout", path(f"{name}.key"), "-out", path(f"{name}.csr"), "-subj", f"/CN={name}"],
                          ["x509", "-req", "-in", path(f"{name}.csr"), "-CA", path(f"{ca}.pem"), "-CAkey", path(f"{ca}.key"),
                           "-CAcreateserial", "-extfile", path(f"{name}.san"), "-out", path(f"{name}.pem")]]:
            subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)
        return ["--tls-ca", path(f"{ca}.pem"), "--tls-certificate", path(f"{name}.pem"), "--tls-key", path(f"{name}.key")]

    def setUp(self):
        super().setUp()
        self.services.stop()
        for each in self.services.all:
            each.options = self.certify("ca", each.name)
        self.services.start()

    def test_an_order_goes_its_way(self):
        services = self.services
        soon(lambda: all(each.degraded() == [] for each in services.all), "all are connected")
        order = services.order()
        services.act(order, "accept", "start", "ready", "pickup")
        services.expect_told(order, "Ordered", "OrderAccepted", "CoffeeDone", "OrderPickedUp")
        soon(services.is_at_rest, "all of it is done")

    # X15: whoever isn't known isn't talked to.
    def test_one_without_a_certificate_of_ours_stays_outside(self):
        dashboard, others = self.services.dashboard, [each for each in self.services.all if each.name != "dashboard"]
        soon(lambda: dashboard.degraded() == [], "it is connected")
        ours = dashboard.options
        for options in ([], self.certify("stranger", "unknown")):
            dashboard.stop()
            dashboard.options = options
            before = dashboard.logged().count("no connection to")
            dashboard.start()
            order = self.services.order()
            soon(lambda before=before: dashboard.logged().count("no connection to") >= before + 3, "it has tried")
            self.assertEqual(dashboard.degraded(), ["app", "pay", "store"])
            self.assertEqual(self.services.listed(DASHBOARD, "/orderInfos", orderId=order), [])
            self.assertEqual([each.degraded() for each in others], [[]] * 4)
        dashboard.stop()
        dashboard.options = ours
        dashboard.start()
        soon(lambda: self.services.listed(DASHBOARD, "/orderInfos", orderId=order), "it is let in, and catches up")

    def test_files_that_cannot_be_used_are_told(self):
        app = self.services.app
        app.stop()
        _, ca, _, _, _, key = app.options
        others = self.services.pay.options[5]
        for options, said in ((["--tls-ca", "nowhere.pem"], "ca_file"), (["--tls-certificate", key], "certificate_file"),
                              (["--tls-key", others], "key_file"), (["--tls-key", ca], "key_file")):
            self.assertIn(said, app.refused(*options))


class Newcomer(Case):
    def coupons(self):
        folder, app = self.folder.name, self.services.app.node().removeprefix("tcp://")
        process = subprocess.Popen([COUPONS, os.path.join(folder, "coupons.db"), app])
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def visits(self):
        run = subprocess.run(["sqlite3", os.path.join(self.folder.name, "coupons.db"),
                              "SELECT customer_id, visits, coupons FROM coupons"], capture_output=True, text=True, timeout=30)
        return run.stdout.strip()

    def pick_up(self, count):
        for _ in range(count):
            self.services.act(self.services.order(), "accept", "start", "ready", "pickup")

    # C17: a sixth process hears what there was before it, is gone, and comes back; the five don't notice.
    def test_a_coupon_service_joins_and_leaves_over_tcp(self):
        started = [each.process.pid for each in self.services.all]
        self.pick_up(3)
        process = self.coupons()
        soon(lambda: self.visits() == "cdgri|3|0", "it has heard of three visits")
        self.pick_up(2)
        soon(lambda: self.visits() == "cdgri|5|1", "five visits are a coupon")
        process.terminate()
        self.assertEqual(process.wait(30), 0)
        self.pick_up(1)
        soon(self.services.is_at_rest, "the shop does without it")
        self.coupons()
        soon(lambda: self.visits() == "cdgri|6|1", "it has heard of what it missed")
        self.assertEqual([each.process.pid for each in self.services.all], started)
        self.assertEqual([each.degraded() for each in self.services.all], [[]] * 5)


class Handing(Case):
    """Their sockets are a supervisor's."""

    def setUp(self):
        super().setUp()
        for each in self.services.all:
            each.stop()
            held = Held({"http": each.base + each.number, "node": each.base + NODES + each.number})
            self.addCleanup(held.close)
            each.popen = held.popen
        self.services.start()
        soon(lambda: self.services.app.degraded() == [], "app is connected")

    # C9: each is replaced, twice, under 8 clients, and no request fails.
    def test_each_is_replaced_and_no_request_fails(self):
        services = self.services
        over, done, failed = threading.Event(), [], []

        def call():
            while not over.is_set():
                try:
                    answer = services.post(APP, "/orders", SEED)
                    (done if answer.status == 201 else failed).append(answer)
                except (OSError, http.client.HTTPException) as error:
                    failed.append(repr(error))
        callers = [threading.Thread(target=call) for _ in range(8)]
        for each in callers:
            each.start()
        try:
            for each in services.all * 2:
                reached = len(done) + 50
                soon(lambda reached=reached: failed or len(done) > reached, "fifty more are answered", 60)
                self.assertEqual(each.restart(), 0, each.name)
        finally:
            over.set()
            for each in callers:
                each.join()
        self.assertEqual(failed, [])
        paid = "SELECT count(*) FROM payments WHERE status = 'Approved'"
        soon(lambda: services.pay.rows(paid) == [(len(done),)], "each was paid, once")
        self.assertEqual(services.app.rows("SELECT count(*) FROM orders"), [(len(done),)])
        tickets = "SELECT count(*) FROM fulfillments WHERE status = 'Received'"
        soon(lambda: services.store.rows(tickets) == [(len(done),)], "each has its ticket", 60)


if __name__ == "__main__":
    unittest.main(verbosity=2)
