# SPDX-License-Identifier: Apache-2.0
"""HTTP itself, and a process's life: its start, its restart after kill -9, its drain."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import tempfile
import threading
import unittest

from shop import APP, CUSTOMER, DASHBOARD, PAY, SEED, SOON, STORE, Case, binary, free_base, soon

BINARY = binary()


class Speaking(Case):
    """HTTP itself."""

    def exchange(self, service, data, half_close=False):
        with self.shop.connect(service) as connection:
            connection.sendall(data)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
            answer = b""
            while True:
                more = connection.recv(65536)
                answer += more
                if not more:
                    return answer

    def test_unknown_paths_and_methods(self):
        self.assert_problem(self.shop.get(APP, "/nothing"), 404, "not-found")
        self.assert_problem(self.shop.get(APP, "/orders/01"), 404, "not-found")
        self.assert_problem(self.shop.get(APP, "/orders/1"), 404, "not-found")
        answer = self.shop.call("DELETE", APP, "/orders")
        self.assert_problem(answer, 405, "method-not-allowed")
        self.assertEqual(answer.headers["Allow"], "POST, GET, HEAD")

    # F1a: a body of 1 MB.
    def test_sizes_are_bounded_and_the_answer_arrives(self):
        for size in (65537, 1_000_000):
            self.assert_problem(self.shop.post(APP, "/orders", b"x" * size), 413, "too-large")
        self.assert_problem(self.shop.get(APP, "/" + "x" * 9000), 414, "too-large")
        answer = self.shop.call("GET", APP, "/livez", headers={"X-Long": "x" * 17000})
        self.assert_problem(answer, 431, "too-large")
        fits = json.dumps({**SEED, "ignored": "x" * 65000}).encode()
        self.assertEqual(self.shop.post(APP, "/orders", fits).status, 201)

    def test_bodies_are_json(self):
        for kind in ("text/plain", "application/jsonx", "application/x-www-form-urlencoded"):
            answer = self.shop.post(APP, "/orders", b"{}", Content_Type=kind)
            self.assert_problem(answer, 415, "wrong-content-type")
        answer = self.shop.post(APP, "/orders", SEED, Content_Type="Application/JSON; charset=utf-8")
        self.assertEqual(answer.status, 201)

    def test_contradictory_framing_is_refused_and_ends_the_connection(self):
        for head in (b"Transfer-Encoding: chunked\r\nContent-Length: 5", b"Content-Length: 5\r\nContent-Length: 6",
                     b"Transfer-Encoding: gzip"):
            answer = self.exchange(APP, b"POST /orders HTTP/1.1\r\nHost: x\r\n" + head +
                                   b"\r\n\r\n0\r\n\r\nGET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertTrue(answer.startswith(b"HTTP/1.1 400 "), answer)
            self.assertEqual(answer.count(b"HTTP/1.1"), 1, answer)

    def test_chunked_bodies_and_pipelining_and_half_closed_clients(self):
        body = json.dumps(SEED).encode()
        chunked = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:7], body[7:])) + b"0\r\n\r\n"
        post = (b"POST /orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n" + chunked)
        answer = self.exchange(APP, post + b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" + post, half_close=True)
        self.assertEqual(answer.count(b"HTTP/1.1 201 Created"), 2, answer)
        self.assertEqual(answer.count(b"HTTP/1.1 200 OK"), 1, answer)

    def test_a_half_closed_client_is_answered_and_let_go(self):
        for path in (b"/livez", b"/nothing", b"/orders"):
            answer = self.exchange(APP, b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n", half_close=True)
            self.assertEqual(answer.count(b"HTTP/1.1"), 1, answer)

    def test_head_is_get_without_the_body(self):
        order = self.shop.order()
        for service, path in ((APP, f"/orders/{order}"), (APP, "/orders"), (APP, "/livez"), (PAY, "/sandbox")):
            get, head = self.shop.get(service, path), self.shop.call("HEAD", service, path)
            self.assertEqual((head.status, head.bytes), (200, b""))
            self.assertEqual(head.headers["Content-Length"], str(len(get.bytes)))

    def test_a_connection_serves_many_requests(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.shop.base + APP, timeout=SOON)
        self.addCleanup(connection.close)
        connection.connect()
        kept = connection.sock
        for _ in range(3):
            connection.request("POST", "/orders", json.dumps(SEED), {"Content-Type": "application/json"})
            response = connection.getresponse()
            self.assertEqual((response.status, bool(response.read())), (201, True))
            self.assertIs(connection.sock, kept)

    # X2: a client that leaves changes nothing.
    def test_a_client_that_leaves_changes_nothing(self):
        self.shop.put(PAY, "/sandbox", {"delayMs": 200})
        body = json.dumps(SEED).encode()
        with self.shop.connect(APP) as connection:
            connection.sendall(b"POST /orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                               b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        soon(lambda: len(self.shop.listed(APP, "/orders")) == 1, "the order is taken all the same")

    def test_a_trace_is_passed_on_and_logged(self):
        trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        self.assertEqual(self.shop.post(APP, "/orders", SEED, traceparent=trace).status, 201)
        soon(lambda: trace in self.shop.logged(), "the trace is logged")
        whole = ["OrderDrafted", "AuthorizationStarted", "PaymentApproved", "Ordered", "TicketReceived",
                 "NotificationQueued", "NotificationSent"]

        def traced():
            with sqlite3.connect(f"file:{self.folder.name}/shop.db?mode=ro", uri=True) as store:
                rows = store.execute("select type from events where trace = ? order by position", (trace,))
                return [row[0] for row in rows]
        soon(lambda: sorted(traced()) == sorted(whole), "every event that comes of it has its trace")


class Living(Case):
    def test_a_restart_keeps_everything(self):
        done, canceled, fresh = self.shop.order(), self.shop.order(), self.shop.order()
        self.shop.act(done, "accept", "start", "ready", "pickup")
        self.shop.post(APP, f"/orders/{canceled}/cancel")
        self.shop.expect_told(done, "Ordered", "OrderAccepted", "CoffeeDone", "OrderPickedUp")
        self.shop.expect_told(canceled, "Ordered", "OrderCanceled", "PaymentCanceled")
        soon(lambda: self.status(PAY, f"/payments/{done}") == "Captured", "the payment is captured")
        self.shop.expect_told(fresh, "Ordered")
        soon(lambda: [self.info(each) for each in (done, canceled, fresh)] ==
             [("PickedUp", "Captured", "PickedUp"), ("Canceled", "Canceled", "Withdrawn"),
              ("Ordered", "Approved", "Received")], "the dashboard has seen all")
        before = self.everything()
        for how in (signal.SIGTERM, signal.SIGKILL):
            self.shop.stop(how)
            self.shop.start()
            self.assertEqual(self.everything(), before)
        self.shop.act(fresh, "accept", "start", "ready", "pickup")
        self.assertGreater(self.shop.order(), fresh)

    def info(self, order):
        row = self.shop.get(DASHBOARD, f"/orderInfos/{order}").json
        return row.get("status"), row.get("paymentStatus"), row.get("fulfillmentStatus")

    def everything(self):
        return [self.shop.get(service, path).json for service, path in
                ((APP, "/orders"), (PAY, "/payments"), (STORE, "/fulfillments"), (CUSTOMER, "/notifications"),
                 (DASHBOARD, "/orderInfos"))]

    def test_a_drain_answers_what_is_in_flight_and_exits_with_0(self):
        for how in (signal.SIGTERM, signal.SIGINT):
            self.shop.put(PAY, "/sandbox", {"delayMs": 2000})
            answers = []
            caller = threading.Thread(target=lambda: answers.append(self.shop.post(APP, "/orders", SEED)))
            caller.start()
            soon(lambda: self.shop.get(PAY, "/sandbox").json["inFlight"] == 1, "the payment is in flight")
            with self.shop.connect(APP) as early:
                self.shop.process.send_signal(how)
                soon(lambda: not self.is_listening(), "the listener is closed")
                early.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
                answer = early.recv(65536)
                self.assertTrue(answer.startswith(b"HTTP/1.1 503 "), answer)
                self.assertIn(b"Connection: close", answer)
            caller.join()
            self.assertEqual([each.status for each in answers], [201])
            self.assertEqual(answers[0].headers["Connection"], "close")
            self.assertEqual(self.shop.stop(how), 0)  # asked twice: the same
            self.shop.start()
            self.assertEqual(self.status(APP, f"/orders/{answers[0].json['orderId']}"), "Ordered")

    def test_who_asks_for_the_end_again_at_every_moment_of_it_gets_it(self):
        for how in (signal.SIGTERM, signal.SIGINT) * 5:
            while self.shop.process.poll() is None:
                for _ in range(100):
                    os.kill(self.shop.process.pid, how)  # its number is its own until it is waited for
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.shop.process.wait(0.001)  # it has to come to its end between them
            self.assertEqual(self.shop.stop(), 0)
            self.shop.start()

    def is_listening(self):
        try:
            self.shop.connect(APP).close()
            return True
        except OSError:
            return False

    def test_livez_and_readyz_on_every_port(self):
        for service in (APP, PAY, STORE, CUSTOMER, DASHBOARD):
            self.assertEqual(self.shop.get(service, "/livez").status, 200)
            answer = self.shop.get(service, "/readyz")
            self.assertEqual((answer.status, answer.json["degraded"]), (200, []))

    def test_the_log_names_the_address_of_each_listener(self):
        base = self.shop.base
        self.assertIn("serving: " + ", ".join(f"{name} at 127.0.0.1:{base + number}" for number, name in enumerate(
            ("app", "pay", "store", "customer", "dashboard"), 1)) + "\n", self.shop.logged())

    def test_an_address_is_the_one_that_it_got(self):
        pay = os.path.join(os.path.dirname(BINARY), "cafe-pay")
        listen = "127.0.0.1"
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
            listen = "[::1]"
        run = subprocess.Popen([pay, "--listen", f"{listen}:0", "--node", "tcp://127.0.0.1:0", "--store", "memory:",
                                "--peer=app=tcp://127.0.0.1:1"], stderr=subprocess.PIPE, text=True)
        said = next(line for line in run.stderr if "serving" in line)
        run.terminate()
        run.communicate(timeout=30)
        self.assertRegex(said, rf"serving: node at 127\.0\.0\.1:[1-9]\d+, pay at {re.escape(listen)}:[1-9]\d+\n")

    def refused(self, *arguments):
        # Somebody may listen on the ports that are the default.
        environment = {**os.environ, "CAFE_LISTEN": f"127.0.0.1:{free_base()}"}
        run = subprocess.run([BINARY, *arguments], capture_output=True, text=True, timeout=30, cwd=self.folder.name,
                             env=environment)
        self.assertEqual(run.returncode, 2, run)
        self.assertEqual(len(run.stderr.strip().splitlines()), 1, run.stderr)
        return run.stderr

    def files(self):
        """All but locks, which a store leaves beside its file."""
        return sorted(name for name in os.listdir(self.folder.name) if not name.endswith("-lock"))

    def test_a_start_that_cannot_be_is_one_line_and_status_2(self):
        before = self.files()
        listen = f"127.0.0.1:{self.shop.base}"
        self.assertIn("--nonsense", self.refused("--nonsense"))
        self.assertIn("--listen", self.refused("--listen"))
        self.assertIn("--listen", self.refused("--listen", "127.0.0.1"))
        self.assertIn("--accept-deadline", self.refused("--accept-deadline", "soon"))
        self.assertIn("--channel", self.refused("--channel", "pigeon:"))
        self.assertIn("--store oracle...:", self.refused("--store", "oracle:x"))
        self.assertNotIn("hunter2", self.refused("--store", "postgres://me:hunter2@server/db"))
        self.assertIn("zone", self.refused("--time-zone", "Mars/Olympus"))
        self.assertIn("QQQ", self.refused("--currency", "QQQ"))
        self.assertIn(str(self.shop.base + 1), self.refused("--listen", listen, "--store", "sqlite:other.db"))
        self.assertEqual(self.files(), before)

    def test_a_store_that_another_process_has_is_named_with_its_holder_and_left_alone(self):
        def stored():
            found = {}
            for name in sorted(os.listdir(self.folder.name)):
                if name != "log.txt":
                    state = os.stat(os.path.join(self.folder.name, name))
                    found[name] = (state.st_size, state.st_mtime_ns)
            return found
        before = stored()
        said = self.refused("--listen", f"127.0.0.1:{free_base()}", "--store", f"sqlite:{self.folder.name}/shop.db",
                            "--channel", "file:told.jsonl")
        self.assertIn(f"{self.folder.name}/shop.db is in use by cafe-shop, process {self.shop.process.pid}:", said)
        self.assertEqual(stored(), before)
        self.shop.order()

    def test_who_waits_for_a_start_that_fails_is_let_go(self):
        base, over = free_base(), threading.Event()

        def wait():
            while not over.is_set():
                try:
                    with socket.create_connection(("127.0.0.1", base + APP), timeout=SOON) as waiting:
                        waiting.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
                        waiting.recv(1000)
                except OSError:
                    continue  # nobody listens yet, or any more
        waiting = threading.Thread(target=wait)
        waiting.start()
        self.addCleanup(waiting.join)
        self.addCleanup(over.set)
        for _ in range(10):
            self.refused("--listen", f"127.0.0.1:{base}", "--store", f"sqlite:{self.folder.name}/shop.db")

    def test_a_ledger_that_cannot_be_used_is_told_and_nobody_is_served(self):
        ledger = os.path.join(self.folder.name, "other.db.sandbox")
        with open(ledger, "w", encoding="utf-8") as file:
            file.write("These are no books.")
        said = self.refused("--store", f"sqlite:{self.folder.name}/other.db")
        self.assertIn("other.db.sandbox", said)
        with open(ledger, encoding="utf-8") as file:
            self.assertEqual(file.read(), "These are no books.")

    def test_a_file_that_is_no_store_is_refused_and_left_alone(self):
        path = os.path.join(self.folder.name, "notes.txt")
        with open(path, "w", encoding="utf-8") as notes:
            notes.write("These are not orders. " * 500)
        before = self.files()
        self.refused("--listen", f"127.0.0.1:{free_base()}", "--store", f"sqlite:{path}")
        self.assertEqual(self.files(), before)
        with open(path, encoding="utf-8") as notes:
            self.assertEqual(notes.read(), "These are not orders. " * 500)

    def test_help_and_version(self):
        for option, said in (("--help", "--accept-deadline"), ("--version", "0.1")):
            run = subprocess.run([BINARY, option], capture_output=True, text=True, timeout=30)
            self.assertEqual(run.returncode, 0)
            self.assertIn(said, run.stdout)


class Environment(unittest.TestCase):
    def test_the_environment_is_read_and_the_flag_wins(self):
        with tempfile.TemporaryDirectory() as folder:
            environment = {**os.environ, "CAFE_ACCEPT_DEADLINE": "nonsense"}
            run = subprocess.run([BINARY], capture_output=True, text=True, timeout=30, cwd=folder, env=environment)
            self.assertEqual(run.returncode, 2)
            self.assertIn("CAFE_ACCEPT_DEADLINE=nonsense", run.stderr)
            run = subprocess.run([BINARY, "--accept-deadline=1s", "--currency", "QQQ"], capture_output=True, text=True,
                                 timeout=30, cwd=folder, env=environment)
            self.assertIn("QQQ", run.stderr)

    def test_what_is_wrong_is_named_as_it_was_given(self):
        wrong = {"listen": "here", "store": "oracle:", "drain-timeout": "abc", "idempotency-retention": "-1",
                 "connections-per-address": "many", "log-level": "loud", "log-format": "xml", "upkeep": "there",
                 "peer": "app", "payment-deadline": "soon", "accept-deadline": "0", "currency": "QQQ",
                 "breaker-volume": "0", "breaker-error-rate": "2", "payment-concurrency": "x", "channel": "pigeon:"}
        with tempfile.TemporaryDirectory() as folder:
            for option, value in wrong.items():
                # Not at the ports that are the default, where somebody may listen.
                flags = {"listen": f"127.0.0.1:{free_base()}", "store": "memory:"}
                flags.pop(option, None)
                command = [BINARY, *(f"--{name}={given}" for name, given in flags.items())]
                variable = "CAFE_" + option.upper().replace("-", "_")
                for arguments, said in (([], f"{variable}={value}"), ([f"--{option}", value], f"--{option} {value}")):
                    run = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=30, cwd=folder,
                                         env={**os.environ, variable: value})
                    self.assertEqual(run.returncode, 2, run)
                    self.assertRegex(run.stderr, rf"\Acafe-shop: {re.escape(said.rstrip(':'))}[:.]")
                    self.assertNotIn(f"--{option}" if said.startswith(variable) else variable, run.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
