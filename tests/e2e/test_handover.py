# SPDX-License-Identifier: Apache-2.0
"""Sockets that a supervisor hands over: one process after the other serves at them, and who connects meanwhile waits."""

import http.client
import os
import re
import signal
import socket
import subprocess
import tempfile
import threading
import unittest

from shop import APP, CUSTOMER, DASHBOARD, PAY, SEED, SOON, STORE, UPKEEP, Shop, binary, free_base, soon
from sockets import Held

BINARY = binary()
NAMES = {"http-app": APP, "http-pay": PAY, "http-store": STORE, "http-customer": CUSTOMER, "http-dashboard": DASHBOARD,
         "upkeep": UPKEEP}
LIVEZ = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def read_all(connection):
    answer = b""
    while more := connection.recv(65536):
        answer += more
    return answer


class Handing(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.shop = Shop(BINARY, self.folder.name, "--upkeep", "{upkeep}")
        self.addCleanup(self.shop.stop, signal.SIGKILL)
        self.held = Held({name: self.shop.base + service for name, service in NAMES.items()})
        self.addCleanup(self.held.close)
        self.shop.popen = self.held.popen

    # C9: nobody is refused while no process runs.
    def test_who_connects_while_no_process_runs_is_answered_by_the_next_one(self):
        for how in (signal.SIGTERM, signal.SIGKILL):
            with self.shop.connect(APP) as early:
                early.sendall(LIVEZ)
                self.shop.start()
                self.assertTrue(read_all(early).startswith(b"HTTP/1.1 200 "))
            order = self.shop.order()
            self.assertIn(self.shop.stop(how), (0, -how))
            with self.shop.connect(APP) as late, self.shop.connect(PAY) as other:
                late.sendall(b"GET /orders/%d HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % order)
                other.sendall(LIVEZ)
                self.shop.start()
                self.assertTrue(read_all(late).startswith(b"HTTP/1.1 200 "))
                self.assertTrue(read_all(other).startswith(b"HTTP/1.1 200 "))
            self.assertEqual(self.shop.stop(), 0)

    # C9: what is in flight is answered by the process that has it, and who comes then waits for the next one.
    def test_a_drain_answers_what_it_has_and_leaves_the_socket_to_the_next_process(self):
        self.shop.start()
        self.shop.put(PAY, "/sandbox", {"delayMs": 1500})
        answers = []
        caller = threading.Thread(target=lambda: answers.append(self.shop.post(APP, "/orders", SEED)))
        caller.start()
        soon(lambda: self.shop.get(PAY, "/sandbox").json["inFlight"] == 1, "the payment is in flight")
        self.shop.process.send_signal(signal.SIGTERM)
        soon(lambda: "draining" in self.shop.logged(), "it drains")
        with self.shop.connect(APP) as late:
            late.sendall(LIVEZ)
            caller.join()
            self.assertEqual((answers[0].status, answers[0].headers["Connection"]), (201, "close"))
            self.assertEqual(self.shop.stop(), 0)
            late.settimeout(0.2)
            with self.assertRaises(TimeoutError):  # nobody has answered, or refused, him
                late.recv(1)
            late.settimeout(SOON)
            self.shop.start()
            self.assertTrue(read_all(late).startswith(b"HTTP/1.1 200 "))

    # C9: 8 clients, some of them with a connection each that they keep, over three restarts.
    def test_no_request_fails_over_restarts(self):
        self.shop.start()
        over, done, failed = threading.Event(), [], []

        def call(keeps):
            connection = None
            while not over.is_set():
                try:
                    if not connection:
                        connection = http.client.HTTPConnection("127.0.0.1", self.shop.base + APP, timeout=60)
                    connection.request("POST", "/orders", b'{"productId":"10","qty":1,"customerId":"c","amount":2}',
                                       {"Content-Type": "application/json"})
                    answer = connection.getresponse()
                    answer.read()
                    (done if answer.status == 201 else failed).append(answer.status)
                    if not keeps or answer.headers["Connection"] == "close":
                        connection.close()
                        connection = None
                except (OSError, http.client.HTTPException) as error:
                    failed.append(repr(error))
                    connection = None
            if connection:
                connection.close()
        callers = [threading.Thread(target=call, args=(i % 2 == 0,)) for i in range(8)]
        for each in callers:
            each.start()
        try:
            for _ in range(3):
                reached = len(done) + 100
                soon(lambda: failed or len(done) > reached, "a hundred more are answered", 60)
                self.assertEqual(self.shop.stop(), 0)
                self.shop.start()
        finally:
            over.set()
            for each in callers:
                each.join()
        self.assertEqual(failed, [])
        self.assertEqual(len(self.shop.listed(APP, "/orders", limit=1000)), min(len(done), 1000))

    def test_a_start_that_fails_leaves_the_sockets_as_they_are(self):
        other = Shop(BINARY, self.folder.name)
        self.addCleanup(other.stop, signal.SIGKILL)
        other.start()
        with self.shop.connect(APP) as early:
            early.sendall(LIVEZ)
            run = self.held.popen(self.shop.command(), env={}, stderr=subprocess.PIPE, text=True)
            self.assertIn("in use by cafe-shop", run.communicate(timeout=30)[1])
            self.assertEqual(run.returncode, 2)
            other.stop()
            self.shop.start()
            self.assertTrue(read_all(early).startswith(b"HTTP/1.1 200 "))

    def refused(self, env=None, **given):
        held = Held(given) if given else self.held
        run = held.popen(self.shop.command(), env=env or {}, stderr=subprocess.PIPE, text=True)
        said = run.communicate(timeout=30)[1]
        self.assertEqual(run.returncode, 2, said)
        self.assertEqual(len(said.strip().splitlines()), 1, said)
        if given:
            held.close()
        return said

    def test_what_nobody_listens_at_is_named(self):
        self.held.close()
        base = free_base()
        self.assertIn('"http"', self.refused(http=base + 1))
        self.assertIn('""', self.refused({"LISTEN_FDNAMES": ""}, upkeep=base + 1))
        self.assertIn("LISTEN_FDS=17", self.refused({"LISTEN_FDS": "17"}, upkeep=base + 1))
        self.assertIn("descriptor 4", self.refused({"LISTEN_FDS": "2"}, upkeep=base + 1))
        self.assertEqual([name for name in os.listdir(self.folder.name) if name.startswith("shop.db")], [])

    def test_sockets_that_are_meant_for_another_process_are_left_alone(self):
        self.held.close()
        self.shop.popen = subprocess.Popen
        self.shop.environment = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "nonsense"}
        self.shop.start()
        self.shop.order()

    # Whoever was asked for and isn't there is named; the shop's --listen and --upkeep are given.
    def test_the_log_says_whose_sockets_are_served_at_and_what_is_not_used(self):
        self.shop.start()
        base = self.shop.base
        said = re.search(r"serving: (.*)", self.shop.logged())[1].split(", ")
        services = ("app", "pay", "store", "customer", "dashboard")
        wanted = [(name, "listen", base) for name in services] + [("upkeep", "upkeep", base + UPKEEP)]
        self.assertEqual(", ".join(said), ", ".join(
            f"{name} at 127.0.0.1:{base + number} (the supervisor's socket, not --{option} 127.0.0.1:{given})"
            for number, (name, option, given) in enumerate(wanted, 1)))

    def test_an_address_that_was_not_asked_for_is_none_that_is_not_used(self):
        pay = os.path.join(os.path.dirname(BINARY), "cafe-pay")
        self.held.close()
        http, node = free_base() + 1, free_base() + 1
        held = Held({"http": http, "node": node})
        self.addCleanup(held.close)
        command = [pay, "--store", "memory:", "--peer=app=tcp://127.0.0.1:1"]
        for environment, passed_over in (({}, ""), ({"CAFE_LISTEN": "127.0.0.1:9"}, ", not CAFE_LISTEN=127.0.0.1:9")):
            process = held.popen(command, env=environment, stderr=subprocess.PIPE, text=True)
            said = next(line for line in process.stderr if "serving" in line)
            process.terminate()
            process.communicate(timeout=30)
            self.assertEqual(process.returncode, 0)
            self.assertEqual(said.split("serving: ")[1], f"node at 127.0.0.1:{node} (the supervisor's socket), "
                             f"pay at 127.0.0.1:{http} (the supervisor's socket{passed_over})\n")

    def test_only_some_may_be_handed_over(self):
        self.held.close()
        base = free_base()
        elsewhere = base + 1
        held = Held({"http-pay": elsewhere})
        self.addCleanup(held.close)
        self.shop.popen = held.popen
        self.shop.is_ready = lambda: "serving" in self.shop.logged()
        self.shop.start()
        self.assertEqual(self.shop.get(APP, "/livez").status, 200)
        with self.assertRaises(OSError):
            self.shop.connect(PAY)
        with socket.create_connection(("127.0.0.1", int(elsewhere)), timeout=SOON) as pay:
            pay.sendall(b"GET /payments HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            self.assertTrue(read_all(pay).startswith(b"HTTP/1.1 200 "))


if __name__ == "__main__":
    unittest.main(verbosity=2)
