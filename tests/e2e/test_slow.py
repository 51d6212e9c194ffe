# SPDX-License-Identifier: Apache-2.0
"""What takes its time, or programs that only the long form has: clients that are slow or many, limits that have to pass;
what an operator gets, read by those whom it is made for."""

import http.client
import os
import resource
import socket
import subprocess
import tempfile
import time
import unittest

from services import NAMES
from shop import APP, DASHBOARD, SEED, SOON, Case, binary, soon

BINARY = binary()
DEPLOY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples", "deploy")


class Patience(Case):
    def drip(self, data, interval, limit):
        """Sends byte after byte; returns after how many seconds the server had enough."""
        began = time.monotonic()
        with self.shop.connect(APP) as connection:
            connection.settimeout(interval)
            for byte in data:
                try:
                    connection.sendall(bytes([byte]))
                    if connection.recv(1) == b"":
                        return time.monotonic() - began
                except socket.timeout:
                    pass
                except OSError:
                    return time.monotonic() - began
                self.assertLess(time.monotonic() - began, limit)
        self.fail("the server took all of it")

    # X15: slow loris, in the head.
    def test_a_slow_head_is_cut_off_within_ten_seconds(self):
        self.assertLess(self.drip(b"GET /livez HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 1000, 0.1, 20), 13)

    # X15: slow loris, in the body.
    def test_a_slow_body_is_cut_off_within_thirty_seconds(self):
        head = b"POST /orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n"
        self.assertLess(self.drip(head + b" " * 60000, 0.1, 50), 37 + len(head) * 0.1)

    # X15: 10,000 idle connections: no crash, no leak, no memory, others served.
    def test_ten_thousand_idle_connections_keep_nobody_out(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = min(10000, hard - 100)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted + 100), hard))
        idle = []
        self.shop.order()
        before = self.shop.resident_kb()
        try:
            for _ in range(wanted):
                idle.append(self.shop.connect(APP))
            for _ in range(20):
                self.assertEqual(self.shop.post(APP, "/orders", SEED).status, 201)
            self.assertLess(self.shop.resident_kb() - before, 65536)
        finally:
            for connection in idle:
                connection.close()
        soon(lambda: not self.shop.connections(APP), "all of them are let go")
        self.assertEqual(self.shop.stop(), 0)

    def test_a_connection_may_rest_between_two_requests(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.shop.base + APP, timeout=10)
        self.addCleanup(connection.close)
        connection.connect()
        kept = connection.sock
        for rest in (15, 0):
            connection.request("GET", "/livez")
            self.assertEqual(connection.getresponse().read(), b'{"status":"live"}')
            self.assertIs(connection.sock, kept)
            until = time.monotonic() + rest
            soon(lambda: time.monotonic() >= until, "the rest is over", timeout=rest + 1)

    def test_a_stream_that_has_nothing_to_tell_says_so_every_fifteen_seconds(self):
        began = time.monotonic()
        with self.shop.connect(DASHBOARD) as connection:
            connection.settimeout(30)
            connection.sendall(b"GET /orderInfos/stream HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = b""
            while answer.count(b"\n:\n\n") < 3:
                answer += connection.recv(4096)
        self.assertGreater(time.monotonic() - began, 44)

    def test_a_stream_whose_client_reads_nothing_is_ended(self):
        orders = 500
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.settimeout(SOON)
            slow.connect(("127.0.0.1", self.shop.base + DASHBOARD))
            slow.sendall(b"GET /orderInfos/stream HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = slow.recv(100)
            for _ in range(orders):
                self.shop.order(productId="통" * 64, customerId="가" * 64)
            soon(lambda: not self.shop.connections(DASHBOARD), "it is let go", timeout=60)
            while more := slow.recv(65536):
                answer += more
        self.assertLess(answer.count(b"event: Ordered"), orders)


class Deploying(unittest.TestCase):
    # C7, C9, C11: systemd itself finds nothing to say of the units.
    def test_systemd_takes_the_units(self):
        with tempfile.TemporaryDirectory() as folder:
            for name in ("shop", *NAMES.values()):
                os.symlink(os.path.join(os.path.dirname(BINARY), f"cafe-{name}"), os.path.join(folder, f"cafe-{name}"))
            units = [name for name in os.listdir(DEPLOY) if name.endswith((".service", ".socket"))]
            for name in units:
                with open(os.path.join(DEPLOY, name), encoding="utf-8") as unit:
                    text = unit.read()
                self.assertEqual("/usr/bin/cafe-" in text, name.endswith(".service"))
                with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                    file.write(text.replace("/usr/bin/", f"{folder}/"))
            started = [name for name in units if "@" not in name] + [f"cafe@{name}.service" for name in NAMES.values()]
            run = subprocess.run(["systemd-analyze", "verify", *(os.path.join(folder, name) for name in started)],
                                 capture_output=True, text=True, timeout=60)
            self.assertEqual((run.returncode, run.stderr), (0, ""))
            self.assertEqual(len(started), 1 + 5 + 10)

    # C13: alert rules that load.
    def test_prometheus_takes_the_alert_rules(self):
        rules = os.path.join(DEPLOY, "alerts.yml")
        run = subprocess.run(["promtool", "check", "rules", rules], capture_output=True, text=True, timeout=60)
        self.assertEqual(run.returncode, 0, run)


if __name__ == "__main__":
    unittest.main(verbosity=2)
