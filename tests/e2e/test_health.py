# SPDX-License-Identifier: Apache-2.0
"""How a shop is when something under it fails: what it tells those who watch it, what it refuses, and what it keeps."""

import json
import os
import random
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from prometheus import Metrics
from services import NAMES, NEEDS
from shop import APP, CUSTOMER, DASHBOARD, PAY, SEED, SOON, STORE, Case, Shop, binary, preloaded, soon

BINARY = binary()
BAD_DISK = os.path.abspath(sys.argv.pop(1))  # the library to preload
BODY = json.dumps(SEED).encode()
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
EVERY = (APP, PAY, STORE, CUSTOMER, DASHBOARD)


class Watched(Case):
    def health(self, path):
        return [self.shop.get(service, path).status for service in EVERY]

    def assert_kept(self, orders):
        """What was acknowledged is there, once each, with its money."""
        self.assertEqual([each["orderId"] for each in self.shop.listed(APP, "/orders")], sorted(orders))
        for order in orders:
            self.assertEqual(self.shop.get(APP, f"/orders/{order}").status, 200)
            self.assertIn(self.status(PAY, f"/payments/{order}"), ("Approved", "Captured"))


class BadDisk(Watched):
    """The disk of a real process fails: see bad_disk.c."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.shop = Shop(BINARY, self.folder.name, "--payment-deadline", "3s")
        self.addCleanup(self.shop.stop, signal.SIGKILL)
        self.fault = os.path.join(self.folder.name, "fault")
        self.shop.environment = {"LD_PRELOAD": preloaded(BAD_DISK, self.folder.name), "BAD_DISK": self.fault,
                                 "BAD_DISK_FILES": "/shop.db", "ASAN_OPTIONS": "verify_asan_link_order=0"}
        self.shop.start()

    def fail(self, how):
        with open(f"{self.fault}.new", "w", encoding="utf-8") as file:
            file.write(how)
        os.rename(f"{self.fault}.new", self.fault)

    def mend(self):
        os.unlink(self.fault)

    # X8, C11: a full disk refuses what has to be written and nothing else, and is over when there is space again.
    def test_a_full_disk_is_a_clean_503_and_over_by_itself(self):
        done, open_ = self.shop.order(), self.shop.order()
        self.shop.act(done, "accept", "start", "ready", "pickup")
        self.fail("full")
        self.assert_problem(self.shop.post(APP, "/orders", SEED, Idempotency_Key="again"), 503, "not-ready")
        refused = self.shop.post(STORE, f"/fulfillments/{open_}/accept", None, traceparent=TRACE)
        self.assert_problem(refused, 503, "not-ready")
        self.assertNotIn(b"shop.db", refused.bytes)
        said = [line for line in self.shop.logged().splitlines() if f"{open_}/accept: " in line]
        self.assertEqual(len(said), 1, said)
        self.assertTrue("shop.db" in said[0] and TRACE in said[0], said)
        self.assertEqual(self.status(APP, f"/orders/{done}"), "PickedUp")
        self.assertEqual(self.status(STORE, f"/fulfillments/{open_}"), "Received")
        self.assertEqual(self.health("/livez"), [200] * 5)
        refused = self.shop.get(APP, "/readyz")
        self.assert_problem(refused, 503, "not-ready")
        self.assertIn("Free some space", refused.json["detail"])
        self.assertEqual(self.health("/readyz"), [503] * 5)
        metrics = Metrics(self.shop.get(APP, "/metrics").bytes.decode())
        self.assertEqual(metrics["cafe_ready"], 0)
        self.assertGreater(metrics["cafe_batches_failed_total"], 0)
        self.assertIn("error", self.shop.logged())
        self.mend()
        soon(lambda: self.health("/readyz") == [200] * 5, "it is ready again, though nobody sent it anything")
        again = self.shop.post(APP, "/orders", SEED, Idempotency_Key="again")
        self.assertEqual(again.status, 201)
        self.shop.act(open_, "accept", "start", "ready", "pickup")
        self.assert_kept([done, open_, again.json["orderId"]])
        self.assertEqual(self.shop.stop(), 0)

    # X8: whoever is told that his cancel is under way is told the truth, though the disk stands still meanwhile.
    def test_a_cancel_that_is_not_written_is_not_called_accepted(self):
        order = self.shop.order()
        self.fail("hang")
        for key in (None, "mine"):
            headers = {"Prefer": "wait=0", **({"Idempotency_Key": key} if key else {})}
            self.assert_problem(self.shop.post(APP, f"/orders/{order}/cancel", None, **headers), 503, "overloaded")
        self.assertEqual(self.status(APP, f"/orders/{order}"), "Ordered")
        self.mend()
        asked = self.shop.post(APP, f"/orders/{order}/cancel", None, Prefer="wait=30")
        self.assertEqual((asked.status, asked.json["status"]), (200, "Canceled"), asked)

    # X8: the money has moved, and the disk is full when that is to be written.
    def test_a_disk_that_fills_while_payment_is_in_flight_loses_no_money(self):
        first = self.shop.order()
        self.shop.put(PAY, "/sandbox", {"delayMs": 500})
        answers = []
        caller = threading.Thread(
            target=lambda: answers.append(self.shop.post(APP, "/orders", SEED, Idempotency_Key="one")))
        caller.start()
        soon(lambda: self.shop.get(PAY, "/sandbox").json["inFlight"] == 1, "the payment is in flight")
        self.fail("full")
        soon(lambda: self.shop.get(APP, "/readyz").status == 503, "something couldn't be written", 30)
        self.mend()
        caller.join()
        self.assertIn(answers[0].status, (201, 503), answers)
        self.shop.put(PAY, "/sandbox", {"delayMs": 0})
        soon(lambda: self.shop.get(APP, "/readyz").status == 200, "it is ready again")
        last = soon(lambda: (lambda got: got if got.status == 201 else None)(
            self.shop.post(APP, "/orders", SEED, Idempotency_Key="one")), "the same key gets its order", 30)
        self.assert_kept([first, last.json["orderId"]])
        approved = [each for each in self.shop.listed(PAY, "/payments") if each["status"] == "Approved"]
        self.assertEqual(len(approved), 2)

    def lose(self, how, reason):
        """The store can't be used any more: the process says so and ends. Returns what was acknowledged."""
        orders = [self.shop.order() for _ in range(3)]
        self.fail(how)
        try:
            answer = self.shop.post(APP, "/orders", SEED, Idempotency_Key="lost")
            self.assert_problem(answer, 503, "not-ready")
        except OSError:
            pass  # it ended first
        self.assertEqual(self.shop.process.wait(30), 3)
        self.assertIn("the store has to be opened anew", self.shop.logged())
        self.assertIn(reason, self.shop.logged())
        self.shop.stop()
        return orders

    def assert_started_anew(self, orders):
        self.shop.start()
        again = self.shop.post(APP, "/orders", SEED, Idempotency_Key="lost")
        self.assertEqual(again.status, 201)
        self.assert_kept([*orders, again.json["orderId"]])
        self.shop.act(orders[0], "accept", "start", "ready", "pickup")

    # X8, C11: whether the last write is durable nobody knows: the process ends, and a new one finds what it told.
    def test_a_disk_that_cannot_sync_ends_the_process_and_a_new_one_goes_on(self):
        orders = self.lose("sync", "Check the disk")
        self.mend()
        self.assert_started_anew(orders)

    # X8, C11: the same where nothing can be written at all.
    def test_a_disk_that_cannot_write_ends_the_process_and_a_new_one_goes_on(self):
        orders = self.lose("write", "Check the disk")
        self.mend()
        self.assert_started_anew(orders)

    # X8, C11: the store's file is gone while it is open. Nothing is begun in its place; put back, it goes on.
    def test_a_store_that_is_moved_away_ends_the_process_and_is_not_made_anew(self):
        orders = [self.shop.order() for _ in range(3)]
        store, elsewhere = (os.path.join(self.folder.name, name) for name in ("shop.db", "elsewhere"))
        os.rename(store, elsewhere)
        try:
            self.assert_problem(self.shop.post(APP, "/orders", SEED, Idempotency_Key="lost"), 503, "not-ready")
        except OSError:
            pass
        self.assertEqual(self.shop.process.wait(30), 3)
        self.assertIn("was moved or removed", self.shop.logged())
        self.shop.stop()
        with self.assertRaises(AssertionError):
            self.shop.start()
        self.assertEqual(self.shop.stop(), 2)
        os.rename(elsewhere, store)
        self.assert_started_anew(orders)


class Health(Watched):
    # C11: who hangs is somebody else: alive, ready, and working for all that doesn't need him.
    def test_a_gateway_that_hangs_changes_neither(self):
        order = self.shop.order()
        self.shop.put(PAY, "/sandbox", {"mode": "hang"})
        with self.shop.connect(APP) as caller:
            caller.sendall(b"POST /orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                           b"Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY))
            soon(lambda: self.shop.get(PAY, "/sandbox").json["inFlight"] == 1, "a payment hangs")
            self.assertEqual(self.health("/livez"), [200] * 5)
            self.assertEqual(self.health("/readyz"), [200] * 5)
            self.shop.act(order, "accept")

    # C11: who drains is alive, and gets nothing new to do.
    def test_a_drain_is_alive_and_not_ready(self):
        self.shop.put(PAY, "/sandbox", {"delayMs": 2000})
        caller = threading.Thread(target=lambda: self.shop.post(APP, "/orders", SEED))
        caller.start()
        soon(lambda: self.shop.get(PAY, "/sandbox").json["inFlight"] == 1, "the payment is in flight")
        with self.shop.connect(STORE) as alive, self.shop.connect(STORE) as ready:
            self.shop.process.send_signal(signal.SIGTERM)
            soon(lambda: "draining" in self.shop.logged(), "it drains")
            for connection, path, wanted in ((alive, b"/livez", b"HTTP/1.1 200 "), (ready, b"/readyz", b"HTTP/1.1 503 ")):
                connection.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n")
                answer = connection.recv(65536)
                self.assertTrue(answer.startswith(wanted), answer)
        caller.join()
        self.assertEqual(self.shop.stop(), 0)

    # C11: a loop that is stuck says so by saying nothing.
    def test_a_stuck_loop_answers_neither(self):
        with self.shop.connect(APP) as connection:
            self.shop.process.send_signal(signal.SIGSTOP)
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertEqual(select.select([connection], [], [], 0.5)[0], [])
            self.shop.process.send_signal(signal.SIGCONT)
            self.assertTrue(connection.recv(65536).startswith(b"HTTP/1.1 200 "))


class Supervisor:
    """What systemd does for a service with Type=notify and WatchdogSec, as far as sd_notify(3) tells."""

    WATCHDOG_S = 2.0

    def __init__(self, shop, name):
        self.shop = shop
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(f"\0{name[1:]}" if name.startswith("@") else name)
        shop.environment = {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": str(int(self.WATCHDOG_S * 1e6))}

    def close(self):
        self.socket.close()

    def state(self, timeout):
        self.socket.settimeout(timeout)
        try:
            return self.socket.recv(4096).decode()
        except socket.timeout:
            return None

    def wait_for(self, wanted):
        until = time.monotonic() + 30
        while time.monotonic() < until:
            if self.state(SOON) == wanted:
                return
        raise AssertionError(f"{wanted} didn't come")

    def start(self):
        self.shop.start()
        self.wait_for("READY=1")

    def watch(self):
        """Until it is stuck; then it is killed and started anew."""
        until = time.monotonic() + 30
        while self.state(self.WATCHDOG_S) is not None:
            if time.monotonic() > until:
                raise AssertionError("it isn't stuck")
        self.shop.stop(signal.SIGKILL)
        self.start()


class Supervised(Watched):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.shop = Shop(BINARY, self.folder.name)
        self.addCleanup(self.shop.stop, signal.SIGKILL)

    def supervise(self, name):
        supervisor = Supervisor(self.shop, name)
        self.addCleanup(supervisor.close)
        supervisor.start()
        return supervisor

    # C11: a loop that is stuck is noticed by its silence, and its successor has all that was acknowledged.
    def test_a_stuck_loop_is_noticed_and_started_anew(self):
        supervisor = self.supervise(os.path.join(self.folder.name, "notify"))
        orders = [self.shop.order() for _ in range(3)]
        self.shop.act(orders[0], "accept")
        for _ in range(3):
            supervisor.wait_for("WATCHDOG=1")
        stuck = self.shop.process.pid
        self.shop.process.send_signal(signal.SIGSTOP)
        supervisor.watch()
        self.assertNotEqual(self.shop.process.pid, stuck)
        self.assertEqual(self.health("/livez"), [200] * 5)
        self.assert_kept(orders)
        self.assertEqual(self.status(STORE, f"/fulfillments/{orders[0]}"), "Accepted")
        supervisor.wait_for("WATCHDOG=1")

    def test_an_abstract_name_is_understood_and_the_end_is_told(self):
        supervisor = self.supervise(f"@cafe-test-{os.getpid()}-{random.randrange(1 << 30)}")
        supervisor.wait_for("WATCHDOG=1")
        self.shop.process.send_signal(signal.SIGTERM)
        supervisor.wait_for("STOPPING=1")
        self.assertEqual(self.shop.stop(), 0)

    def test_a_watchdog_that_is_meant_for_another_process_is_none(self):
        supervisor = Supervisor(self.shop, os.path.join(self.folder.name, "notify"))
        self.addCleanup(supervisor.close)
        self.shop.environment["WATCHDOG_PID"] = "1"
        supervisor.start()
        self.assertIsNone(supervisor.state(supervisor.WATCHDOG_S))

    def test_a_socket_that_is_none_is_told_and_does_no_harm(self):
        for name in ("relative", "/nowhere/notify", "@" + "x" * 200):
            self.shop.environment = {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "1000000"}
            self.shop.start()
            self.assertIn(f"the supervisor can't be told {name}", self.shop.logged())
            self.shop.order()
            self.assertEqual(self.shop.stop(), 0)


class Units(unittest.TestCase):
    """examples/deploy"""

    DEPLOY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../examples/deploy")

    def settings(self, name):
        found = {}
        with open(os.path.join(self.DEPLOY, name), encoding="utf-8") as unit:
            for line in unit:
                line = line.strip()
                if line and not line.startswith(("#", "[")):
                    setting, value = line.split("=", 1)
                    self.assertNotIn(setting, found, "a setting twice")
                    found[setting] = value
        return found

    def assert_starts(self, settings, name):
        """What the unit says is what the program does."""
        self.assertEqual((settings["Type"], settings["Restart"]), ("notify", "on-failure"))
        self.assertEqual(settings["RestartPreventExitStatus"], "2")
        self.assertGreaterEqual(float(settings["WatchdogSec"].rstrip("s")), 5)
        program, *options = settings["ExecStart"].split()
        self.assertEqual(program, f"/usr/bin/{name}")
        run = subprocess.run([os.path.join(os.path.dirname(BINARY), name), *options, "--help"], capture_output=True,
                             text=True, timeout=30)
        self.assertEqual(run.returncode, 0, run)
        for option in options[::2]:
            self.assertIn(f"{option} ", run.stdout)
        return run.stdout

    # C7, C11: the five in one process.
    def test_the_unit_starts_what_there_is(self):
        self.assert_starts(self.settings("cafe-shop.service"), "cafe-shop")

    # C7, C9, C11: each for itself, at its own sockets, with all the peers that it needs.
    def test_the_template_starts_each_of_the_five_at_its_sockets(self):
        peers = dict(word.split("=", 1) for word in self.settings("cafe@.service")["Environment"].strip('"').split("=", 1)[1].split())
        for name in NAMES.values():
            settings = {key: value.replace("%i", name) for key, value in self.settings("cafe@.service").items()}
            told = self.assert_starts(settings, f"cafe-{name}")
            defaults = {"http": re.search(r"--listen .*\((.*)\)", told)[1], "node": re.search(r"--node .*\(tcp://(.*)\)", told)[1]}
            self.assertEqual(settings["Sockets"].split(), [f"cafe-{name}-{what}.socket" for what in defaults])
            for what, address in defaults.items():
                held = self.settings(f"cafe-{name}-{what}.socket")
                self.assertEqual((held["ListenStream"], held["FileDescriptorName"], held["Service"]),
                                 (address, what, f"cafe@{name}.service"))
            if name in peers:
                self.assertEqual(peers[name], f"tcp://{defaults['node']}")
        self.assertEqual(set(peers), set().union(*NEEDS.values()))


if __name__ == "__main__":
    unittest.main(verbosity=2)
