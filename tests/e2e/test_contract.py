# SPDX-License-Identifier: Apache-2.0
"""What other people's scripts count on, line by line, and what hostile ones try."""

import collections
import concurrent.futures
import itertools
import json
import os
import random
import resource
import signal
import socket
import subprocess
import threading
import unittest

from shop import APP, CUSTOMER, DASHBOARD, PAY, SEED, SOON, STORE, Case, binary, free_base, soon

BINARY = binary()
HOST = b"Host: x\r\n"
JSON = b"Content-Type: application/json\r\n"
SERVICES = (APP, PAY, STORE, CUSTOMER, DASHBOARD)


class Raw(Case):
    def exchange(self, service, data, half_close=True):
        """What comes until the server closes, or does after its client has finished sending."""
        answer = b""
        with self.shop.connect(service) as connection:
            try:
                connection.sendall(data)
                if half_close:
                    connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # it had enough already
            while True:
                try:
                    more = connection.recv(65536)
                except ConnectionResetError:
                    return answer
                if not more:
                    return answer
                answer += more

    def statuses(self, answer):
        return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]


class Requests(Raw):
    def test_what_two_readers_could_read_differently_is_refused_and_ends_the_connection(self):
        for head in (b"Content-Length : 5\r\n", b"Content-Length\t: 5\r\n", b"X: a\0b\r\n", b"Content-Length: +5\r\n",
                     b"Content-Length: 5, 5\r\n", b"Content-Length: 0x5\r\n", b"Content-Length: -5\r\n",
                     b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                     b"Transfer-Encoding: gzip, chunked\r\n", b"Transfer-Encoding: identity\r\n", HOST):
            with self.subTest(head=head):
                answer = self.exchange(APP, b"POST /orders HTTP/1.1\r\n" + HOST + head +
                                       b"\r\n0\r\n\r\nGET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
                self.assertEqual(set(self.statuses(answer)), {400}, answer)

    def test_a_chunk_that_is_none_is_refused(self):
        for chunks in (b"zz\r\nab\r\n0\r\n\r\n", b"-1\r\nab\r\n0\r\n\r\n", b"2\r\nabcd\r\n0\r\n\r\n", b"\r\n"):
            with self.subTest(chunks=chunks):
                answer = self.exchange(APP, b"POST /orders HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + HOST + JSON +
                                       b"\r\n" + chunks)
                self.assertEqual(self.statuses(answer), [400], answer)

    def test_a_body_that_ends_early_is_no_order(self):
        body = json.dumps(SEED).encode()
        for head in (b"Content-Length: %d\r\n\r\n" % (len(body) + 1) + body,
                     b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % (len(body) + 1) + body,
                     b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(body) + body + b"\r\n"):
            self.assertEqual(self.exchange(APP, b"POST /orders HTTP/1.1\r\n" + HOST + JSON + head), b"")
        self.assertEqual(self.shop.listed(APP, "/orders"), [])

    def test_chunks_may_have_extensions_and_trailers(self):
        body = json.dumps(SEED).encode()
        answer = self.exchange(APP, b"POST /orders HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + HOST + JSON +
                               b"\r\n%x;a=b\r\n%s\r\n0\r\nX: y\r\n\r\n" % (len(body), body))
        self.assertEqual(self.statuses(answer), [201], answer)

    def test_who_asks_first_is_told_before_sending(self):
        def asked(size):
            return self.exchange(APP, b"POST /orders HTTP/1.1\r\nExpect: 100-continue\r\n" + HOST + JSON +
                                 b"Content-Length: %d\r\n\r\n" % size)
        self.assertEqual(self.statuses(asked(65536)), [100])
        self.assertEqual(self.statuses(asked(65537)), [413])

    def test_pipelined_requests_are_answered_in_their_order_also_to_a_half_closed_client(self):
        self.shop.put(PAY, "/sandbox", {"delayMs": 200})
        body = json.dumps(SEED).encode()
        order = b"POST /orders HTTP/1.1\r\n" + HOST + JSON + b"Content-Length: %d\r\n\r\n" % len(body) + body
        answer = self.exchange(APP, order + b"GET /nothing HTTP/1.1\r\n" + HOST + b"\r\n" + order +
                               b"HEAD /livez HTTP/1.1\r\n" + HOST + b"\r\n" + b"DELETE /orders HTTP/1.1\r\n" + HOST +
                               b"\r\n")
        self.assertEqual(self.statuses(answer), [201, 404, 201, 200, 405], answer)

    def test_every_target_that_is_none_is_not_found_and_every_path_names_its_methods(self):
        for path in ("/", "//orders", "/orders/", "/Orders", "/orders/0", "/orders/-1", "/orders/1e3", "/orders/1.0",
                     "/orders/9007199254740992", "/orders/18446744073709551617", "/orders/x/events", "/readyz/"):
            for method in ("GET", "POST", "DELETE"):
                self.assert_problem(self.shop.call(method, APP, path), 404, "not-found")
        for service, path, allow in ((APP, "/orders/1", "GET, HEAD"), (APP, "/orders/1/cancel", "POST"),
                                     (APP, "/orders/1/events", "GET, HEAD"), (APP, "/livez", "GET, HEAD"),
                                     (PAY, "/sandbox", "GET, HEAD, PUT"), (PAY, "/payments", "GET, HEAD"),
                                     (STORE, "/fulfillments/1/accept", "POST"),
                                     (CUSTOMER, "/notifications", "GET, HEAD"),
                                     (DASHBOARD, "/orderInfos/1", "GET, HEAD")):
            for method in ("PATCH", "OPTIONS", "BREW"):
                answer = self.shop.call(method, service, path)
                self.assert_problem(answer, 405, "method-not-allowed")
                self.assertEqual(answer.headers["Allow"], allow)

    def test_a_target_may_name_the_server(self):
        for target, status in ((b"http://shop.example:80/livez?x=1", 200), (b"HTTP://x/orders", 200),
                               (b"http://x", 404), (b"http:/livez", 404), (b"*", 404)):
            answer = self.exchange(APP, b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n")
            self.assertEqual(self.statuses(answer), [status], answer)

    def test_head_is_get_without_the_body_everywhere(self):
        order = self.shop.order()
        for service, path in ((APP, f"/orders/{order}/events"), (APP, "/orders?limit=0"), (APP, "/nothing"),
                              (APP, "/orders/77"), (STORE, "/fulfillments"), (CUSTOMER, "/notifications"),
                              (DASHBOARD, "/readyz")):
            get, head = self.shop.get(service, path), self.shop.call("HEAD", service, path)
            self.assertEqual((head.status, head.bytes), (get.status, b""))
            for name in ("Content-Length", "Content-Type"):
                self.assertEqual(head.headers[name], get.headers[name])

    # X14: ids past 2^53 - 1 are no ids, and an argument that can't be one is named.
    def test_arguments_that_are_wrong_are_named_and_unknown_ones_are_ignored(self):
        self.shop.order()
        for service, path, query in ((APP, "/orders", "limit=0"), (APP, "/orders", "limit=1001"),
                                     (APP, "/orders", "limit=1e3"), (APP, "/orders", "after=-1"),
                                     (APP, "/orders", "after=9007199254740992"), (APP, "/orders", "orderId=x"),
                                     (APP, "/orders", "orderId=9007199254740992"), (APP, "/orders", "status=ordered"),
                                     (STORE, "/fulfillments", "status=Ordered"),
                                     (CUSTOMER, "/notifications", "after=1-x"),
                                     (DASHBOARD, "/orderInfos", "after-position=x"),
                                     (DASHBOARD, "/orderInfos/1", "after-position=zz.0.1")):
            answer = self.shop.get(service, f"{path}?unknown=1&{query}")
            self.assert_problem(answer, 422, "invalid")
            self.assertEqual([each["field"] for each in answer.json["errors"]], [query.split("=")[0]])
        for query in ("unknown=x", "limit=&after=&status=&customerId=", "limit=1000&after=0", "x", "&&", "="):
            self.assertEqual(len(self.shop.get(APP, f"/orders?{query}").json["_embedded"]["orders"]), 1, query)
        self.assert_problem(self.shop.get(APP, "/orders?customerId=%ff"), 400, "malformed")

    def test_lists_end_without_a_next_and_say_their_size(self):
        orders = [self.shop.order() for _ in range(4)]
        for service, path in ((APP, "/orders"), (PAY, "/payments"), (STORE, "/fulfillments"),
                              (DASHBOARD, "/orderInfos")):
            soon(lambda: len(self.shop.listed(service, path)) == 4, f"{path} has all orders")
            page = self.shop.get(service, f"{path}?limit=2").json
            rest = self.shop.get(service, page["_links"]["next"]["href"]).json
            self.assertEqual((page["page"]["size"], rest["page"]["size"]), (2, 2))
            self.assertNotIn("next", rest["_links"])
            rows = page["_embedded"][path[1:]] + rest["_embedded"][path[1:]]
            self.assertEqual([each["orderId"] for each in rows], orders)
            for row in rows:
                self.assertEqual(row["_links"]["self"]["href"], f"{path}/{row['orderId']}")
                self.assertRegex(row["createdAt"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
            self.assertNotIn("next", self.shop.get(service, f"{path}?limit=4").json["_links"])

    def test_a_trace_is_taken_only_if_it_is_one(self):
        whole = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        for trace, taken in ((f"00-{whole}", f"00-{whole}"), (f"01-{whole}-more", f"01-{whole}"),
                             (f"00-{whole}-more", None),
                             (f"ff-{whole}", None), (f"00-{whole.upper()}", None), (f"00-{whole[:-1]}", None),
                             (f"00-{'0' * 32}-00f067aa0ba902b7-01", None), (f"00-{whole[:32]}-{'0' * 16}-01", None)):
            with self.subTest(trace=trace):
                before = len(self.shop.logged())
                self.shop.call("POST", APP, "/orders", b"{", headers={"traceparent": trace})
                line = soon(lambda: self.shop.logged()[before:], "it is logged")
                self.assertIn("POST /orders 4", line)
                self.assertEqual(line.split("trace=")[1].split()[0] if "trace=" in line else None, taken)

    def test_a_path_cannot_write_lines_into_the_log(self):
        before = len(self.shop.logged())
        self.shop.call("POST", APP, "/x%0afake%1b%ff")
        line = soon(lambda: self.shop.logged()[before:], "it is logged")
        self.assertTrue(line.endswith("POST /x?fake?? 404\n"), line)
        self.assertEqual(line.count("\n"), 1)


class Keys(Raw):
    # X5: duplicated requests, also at once: another body is refused before the first one is answered.
    def test_another_body_is_refused_at_once_and_equals_wait_for_the_first(self):
        self.shop.put(PAY, "/sandbox", {"delayMs": 3000})
        answers = []

        def ask():
            answers.append(self.shop.post(APP, "/orders", SEED, Idempotency_Key="k"))
        first = threading.Thread(target=ask)
        first.start()
        soon(lambda: self.shop.get(PAY, "/sandbox").json["inFlight"] == 1, "the payment is in flight")
        other = self.shop.post(APP, "/orders", {**SEED, "qty": 2}, Idempotency_Key="k")
        self.assert_problem(other, 422, "idempotency-key-reused")
        self.assertEqual(answers, [])
        second = threading.Thread(target=ask)
        second.start()
        first.join()
        second.join()
        self.assertEqual([each.status for each in answers], [201, 201])
        self.assertEqual(answers[0].bytes, answers[1].bytes)
        self.assertEqual(len(self.shop.listed(PAY, "/payments")), 1)

    # X5: what isn't final isn't kept, so the key may try again.
    def test_a_key_tries_again_after_what_was_not_carried_out(self):
        for wrong in (b"{", b"[]", json.dumps({**SEED, "qty": 0}).encode()):
            self.assertIn(self.shop.post(APP, "/orders", wrong, Idempotency_Key="w").status, (400, 422))
        self.assertEqual(self.shop.post(APP, "/orders", SEED, Idempotency_Key="w").status, 201)
        path = f"/fulfillments/{self.shop.order() + 1}/accept"
        missing = self.shop.post(STORE, path, Idempotency_Key="n")
        self.assert_problem(missing, 404, "not-found")
        self.shop.order()
        found = self.shop.post(STORE, path, Idempotency_Key="n")
        self.assertEqual((found.status, found.headers["Idempotency-Replayed"]), (200, None))

    def test_a_key_is_one_per_method_and_path(self):
        order = self.shop.order()
        for path, service in ((f"/fulfillments/{order}/accept", STORE), (f"/fulfillments/{order}/start", STORE),
                              ("/orders", APP), (f"/orders/{order}/cancel", APP)):
            answer = self.shop.post(service, path, SEED if path == "/orders" else None, Idempotency_Key="one")
            self.assertIsNone(answer.headers["Idempotency-Replayed"], answer)
            again = self.shop.post(service, f"{path}?x=1", SEED if path == "/orders" else None, Idempotency_Key="one")
            self.assertEqual((again.status, again.bytes), (answer.status, answer.bytes))
            self.assertEqual(again.headers["Idempotency-Replayed"], "true")
        body = json.dumps(SEED).encode()
        head = b"POST /orders HTTP/1.1\r\nIdempotency-Key: a\r\nIdempotency-Key: b\r\n" + HOST + JSON
        two = self.exchange(APP, head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.assertEqual(self.statuses(two), [400], two)

    def test_a_position_is_on_every_answer_that_says_yes(self):
        order = self.shop.order()
        ordered = self.shop.post(APP, "/orders", SEED)
        accepted = self.shop.post(STORE, f"/fulfillments/{order}/accept")
        again = self.shop.post(STORE, f"/fulfillments/{order}/accept")
        canceled = self.shop.post(APP, f"/orders/{order}/cancel")
        twice = self.shop.post(APP, f"/orders/{order}/cancel")
        for answer in (ordered, accepted, again, canceled, twice):
            self.assertIn(answer.status, (200, 201), answer)
            seen = self.shop.get(DASHBOARD, f"/orderInfos?after-position={answer.headers['Cafe-Position']}")
            self.assertEqual(seen.status, 200)

    def test_a_wait_is_preferred_within_its_bounds(self):
        order = self.shop.order()
        for prefer, applied in (("wait=0", "wait=0"), ("wait=99", "wait=30"), ("return=minimal; wait=5", "wait=5"),
                                ("respond-async,WAIT=7", "wait=7"), ("wait", None), ("wait=x", None),
                                ("await=5", None)):
            answer = self.shop.post(APP, f"/orders/{order}/cancel", Prefer=prefer)
            self.assertEqual(answer.headers["Preference-Applied"], applied, prefer)


class Options(Raw):
    def run_with(self, *arguments, **variables):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CAFE_")}
        environment.update(variables, CAFE_LISTEN=f"127.0.0.1:{free_base()}")
        return subprocess.run([BINARY, *arguments], capture_output=True, text=True, timeout=30, cwd=self.folder.name,
                              env=environment)

    def test_a_peer_that_is_not_needed_is_ignored_and_one_that_is_none_is_refused(self):
        self.shop.stop()
        self.shop.options = ["--peer", "pay=tcp://127.0.0.1:9082", "--peer=dashboard=tcp://[::1]:9085"]
        os.environ["CAFE_PEER"] = "app=tcp://a:1 store=tcp://b:65535"
        self.addCleanup(os.environ.pop, "CAFE_PEER")
        self.shop.start()
        self.shop.order()
        for peer in ("pay", "pay=", "pay=tcp://x", "pay=tcp://:1", "bank=tcp://x:1", "pay=http://x:1",
                     "pay=tcp://x:65536", "pay=tcp://x:y"):
            for given_as, run in (("--peer ", self.run_with("--peer", peer)),
                                  ("CAFE_PEER=", self.run_with(CAFE_PEER=f"app=tcp://a:1 {peer}"))):
                self.assertEqual((run.returncode, len(run.stderr.splitlines())), (2, 1), run)
                self.assertIn(f"{given_as}{peer}:", run.stderr)

    def test_what_is_not_supported_is_not_accepted(self):
        for option in ("--node", "--transport"):
            run = self.run_with(option, "tcp://127.0.0.1:1")
            self.assertEqual(run.returncode, 2)
            self.assertEqual(run.stderr, f"cafe-shop: unknown option {option}; --help names them\n")

    def test_numbers_and_durations_are_understood_whole(self):
        for option, value in (("--connections-per-address", "many"), ("--connections-per-address", "-1"),
                              ("--connections-per-address", "1.5"), ("--drain-timeout", "1m"), ("--drain-timeout", "0"),
                              ("--breaker-volume", "0"), ("--breaker-volume", "x"), ("--breaker-error-rate", "0"),
                              ("--breaker-error-rate", "1.001"), ("--breaker-error-rate", "0.0005"),
                              ("--breaker-error-rate", "30%"), ("--breaker-window", "0s"), ("--breaker-sleep", "2d"),
                              ("--payment-concurrency", "0"), ("--payment-deadline", "5000000s"), ("--listen", "127.0.0.1:65531"), ("--listen", ":")):
            run = self.run_with(option, value)
            self.assertEqual((run.returncode, len(run.stderr.splitlines())), (2, 1), run)
            self.assertIn(f"{option} {value}:", run.stderr)
        self.assertIn("--connections-per-address", self.run_with("--help").stdout)


class Crowd(Raw):
    options = ("--connections-per-address", "20")

    def test_one_address_does_not_get_all_places(self):
        held = [self.shop.connect(APP) for _ in range(20)]
        for each in held:
            self.addCleanup(each.close)
            each.sendall(b"POST /orders HTTP/1.1\r\n" + HOST + JSON + b"Content-Length: 5\r\n\r\n")
        soon(lambda: not self.is_served("127.0.0.1"), "the address has all its places")
        self.assertTrue(self.is_served("127.0.0.2"))
        held.pop().close()
        soon(lambda: self.is_served("127.0.0.1"), "a place is free again")

    def is_served(self, address):
        with socket.socket() as client:
            client.settimeout(SOON)
            client.bind((address, 0))
            try:
                client.connect(("127.0.0.1", self.shop.base + APP))
                client.sendall(b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n")
                return client.recv(100).startswith(b"HTTP/1.1 200")
            except ConnectionError:
                return False


class Hostile(Raw):
    """X15: no crash, no leak, no memory, and others are served."""

    def setUp(self):
        super().setUp()
        for _ in range(20):
            self.shop.order()
        self.before_kb, self.before_files = self.shop.resident_kb(), self.shop.files()

    def exchanges(self, sent):
        """Many at a time, since the server looks only once a second whether a client has gone."""
        with concurrent.futures.ThreadPoolExecutor(32) as clients:
            return list(clients.map(lambda each: self.exchange(*each), sent))

    def assert_unharmed(self, allowed_kb):
        self.shop.order()
        soon(lambda: self.shop.files() <= self.before_files, "all connections are let go", timeout=60)
        self.assertLess(self.shop.resident_kb() - self.before_kb, allowed_kb)
        self.assertEqual(self.shop.stop(), 0)

    # X15: garbage.
    def test_garbage(self):
        draw = random.Random(7)
        sent = []
        for _ in range(300):
            data = draw.randbytes(draw.randrange(1, 3000))
            if draw.random() < 0.5:
                data = draw.choice((b"GET /orders HTTP/1.1\r\n", b"POST /orders HTTP/1.1\r\nHost: x\r\n",
                                    b"POST /orders HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")) + data
            sent.append((draw.choice(SERVICES), data))
        for (_, data), answer in zip(sent, self.exchanges(sent)):
            self.assertTrue(all(400 <= status < 600 for status in self.statuses(answer)), (data, answer))
        self.assert_unharmed(16384)

    # X15: a count of 2^31 and more, as a body's size and as a chunk's.
    def test_counts_that_promise_too_much(self):
        sent = [(APP, b"POST /orders HTTP/1.1\r\n" + HOST + JSON + head % count)
                for count in (2**31, 2**32, 2**63 - 1, 2**64, 10**30) for _ in range(20)
                for head in (b"Content-Length: %d\r\n\r\n{", b"Transfer-Encoding: chunked\r\n\r\n%x\r\n{")]
        for answer in self.exchanges(sent):
            self.assertLessEqual(set(self.statuses(answer)), {400, 413})
        self.assert_unharmed(16384)

    def endless(self, head, piece):
        """Sends until the server has enough."""
        with self.shop.connect(APP) as connection:
            try:
                connection.sendall(head)
                for _ in itertools.count():
                    connection.sendall(piece)
            except OSError:
                return

    # X15: endless headers and endless bodies: cut off, not kept.
    def test_heads_and_bodies_without_an_end(self):
        post = b"POST /orders HTTP/1.1\r\n" + HOST + JSON
        for head, piece in ((b"GET /", b"x" * 1000), (b"GET /orders?", b"a=b&" * 250), (post, b"X: y\r\n" * 100),
                            (post + b"X: ", b"y" * 1000), (post + b"Cookie: ", b"a=b; " * 200),
                            (post + b"Transfer-Encoding: chunked\r\n\r\n", b"2710\r\n" + b" " * 10000 + b"\r\n"),
                            (post + b"Transfer-Encoding: chunked\r\n\r\n2;", b"a" * 1000),
                            (post + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n" * 100)):
            senders = [threading.Thread(target=self.endless, args=(head, piece)) for _ in range(4)]
            for each in senders:
                each.start()
            self.shop.order()
            for each in senders:
                each.join(60)
                self.assertFalse(each.is_alive(), head)
        self.assert_unharmed(16384)

    def allow_many_files(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(4096, hard)), hard))

    # X15: slow loris: a thousand heads and bodies that are never finished.
    def test_a_thousand_who_never_finish(self):
        self.allow_many_files()
        starts = (b"", b"GET", b"GET /livez HTTP/1.1\r\nHost: x\r\nX: ", b"POST /orders HTTP/1.1\r\nHost: x\r\n"
                  b"Content-Type: application/json\r\nContent-Length: 60000\r\n\r\n" + b" " * 1000)
        held = [self.shop.connect(APP) for _ in range(1000)]
        for each, start in zip(held, itertools.cycle(starts)):
            each.sendall(start)
        for _ in range(5):
            self.shop.order()
        self.assertLess(self.shop.resident_kb() - self.before_kb, 65536)
        for each in held:
            each.close()
        self.assert_unharmed(32768)

    # X15: bodies of 64 KB that come slowly, on 1,500 connections: only so many are kept, and a small one always.
    def test_large_bodies_have_a_bound_together_and_small_ones_are_taken(self):
        self.allow_many_files()
        size = 60000
        post = b"POST /orders HTTP/1.1\r\n" + HOST + JSON + b"Content-Length: %d\r\n\r\n" % size
        held = [self.shop.connect(APP) for _ in range(1500)]
        for each in held:
            each.sendall(post + b" " * (size - 1))
        for _ in range(5):
            self.shop.order()
        statuses = collections.Counter()
        for each in held:
            each.sendall(b" ")
            statuses[self.statuses(each.recv(1000))[0]] += 1
            each.close()
        self.assertEqual(set(statuses), {400, 503})
        self.assertLess(statuses[400] * size, 2**26 + 2**22)
        self.assert_problem(self.shop.post(APP, "/orders", b" " * size), 400, "malformed")
        self.assert_unharmed(262144)

    # X15: a list is large, and 300 clients who ask for it read nothing.
    def test_answers_that_nobody_reads_have_a_bound_together(self):
        def order(_):
            self.shop.order(productId="통" * 64, customerId="가" * 64, storeId="점" * 64, orderId="번" * 64)
        with concurrent.futures.ThreadPoolExecutor(16) as customers:
            list(customers.map(order, range(600)))
        path = "/orders?limit=1000"
        size = len(self.shop.get(APP, path).bytes)
        before_kb = self.shop.resident_kb()
        held = []
        for _ in range(300):
            each = socket.socket()
            each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            each.connect(("127.0.0.1", self.shop.base + APP))
            each.sendall(b"GET %s HTTP/1.1\r\n%s\r\n" % (path.encode(), HOST))
            held.append(each)
        statuses = collections.Counter(self.statuses(each.recv(1000))[0] for each in held)
        self.assertEqual(set(statuses), {200, 503})
        self.assertLess(statuses[200] * size, 2**26)
        self.assertLess(self.shop.resident_kb() - before_kb, 131072)
        self.shop.order()
        for each in held:
            each.close()
        soon(lambda: self.shop.get(APP, path).status == 200, "there is room again")
        self.assert_unharmed(131072)

    # X15: those who go at any moment, by a reset too.
    def test_clients_that_go_at_any_moment(self):
        body = json.dumps(SEED).encode()
        whole = b"POST /orders HTTP/1.1\r\n" + HOST + JSON + b"Content-Length: %d\r\n\r\n" % len(body) + body
        for cut in range(0, len(whole) + 1, 3):
            with self.shop.connect(APP) as connection:
                if cut % 2:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                connection.sendall(whole[:cut])
        self.assert_unharmed(16384)


if __name__ == "__main__":
    unittest.main(verbosity=2)
