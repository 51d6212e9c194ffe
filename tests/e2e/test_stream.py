# SPDX-License-Identifier: Apache-2.0
"""The dashboard's stream of changes: server-sent events as any client reads them."""

import http.client
import json
import resource
import signal
import socket
import sqlite3
import threading
import unittest

from shop import APP, DASHBOARD, PAY, SEED, SOON, Case, binary, soon

binary()  # before unittest reads the arguments

# What the view hears, and a visible order can show.
HEARD = ("Ordered", "OrderAccepted", "PreparationStarted", "CoffeeDone", "OrderPickedUp", "CancelRequested",
         "CancelRejected", "OrderCanceled", "OrderRejected", "PaymentApproved", "PaymentCaptured", "PaymentCanceled",
         "PaymentRefunded", "TicketReceived", "TicketAccepted", "TicketRejected", "TicketStarted", "TicketReady",
         "TicketPickedUp", "TicketFailed", "TicketWithdrawn")
REQUEST = b"GET /orderInfos/stream HTTP/1.1\r\nHost: x\r\n\r\n"


class Stream:
    """A client that is connected once it is made."""

    def __init__(self, shop, last=None):
        self.connection = http.client.HTTPConnection("127.0.0.1", shop.base + DASHBOARD, timeout=SOON)
        self.connection.request("GET", "/orderInfos/stream", headers={} if last is None else {"Last-Event-ID": last})
        self.response = self.connection.getresponse()
        self.comments = 0

    def close(self):
        self.response.close()
        self.connection.close()

    def next(self):
        """The next event, or None at the stream's end."""
        fields = {}
        while True:
            line = self.response.readline().decode()
            if not line:
                assert not fields, f"the stream ends within an event: {fields}"
                return None
            line = line.rstrip("\n")
            if line.startswith(":"):
                self.comments += 1
            elif line:
                name, value = line.split(": ", 1)
                assert name not in fields, line
                fields[name] = value
            elif fields:
                assert list(fields) == ["id", "event", "data"], fields
                return {**fields, "data": json.loads(fields["data"])}

    def take(self, count):
        return [self.next() for _ in range(count)]


class Streaming(Case):
    def stream(self, last=None):
        made = Stream(self.shop, last)
        self.addCleanup(made.close)
        self.assertEqual(made.response.status, 200)
        return made

    def until(self, stream, event, order):
        found = []
        while not found or (found[-1]["event"], found[-1]["data"]["orderId"]) != (event, order):
            found.append(stream.next())
            self.assertIsNotNone(found[-1])
        return found

    def stored(self):
        """What the log holds of orders that are some: (position, event, order)."""
        with sqlite3.connect(f"file:{self.folder.name}/shop.db?mode=ro", uri=True) as store:
            rows = store.execute('select position, type, "key" from events where "key" in '
                                 '(select order_id from order_infos where is_visible) order by position').fetchall()
        return [(position, event, order) for position, event, order in rows if event in HEARD]

    def seen(self, events):
        return [(int(each["id"].rsplit(".", 1)[1]), each["event"], each["data"]["orderId"]) for each in events]

    # F7: status at any time: each change is told as it happens.
    def test_each_change_comes_with_its_row_from_now_on(self):
        before = self.shop.order()
        soon(lambda: self.shop.get(DASHBOARD, f"/orderInfos/{before}").status == 200, "the dashboard has the order")
        stream = self.stream()
        for name, value in (("Content-Type", "text/event-stream"), ("Cache-Control", "no-cache")):
            self.assertEqual(stream.response.headers[name], value)
        order = self.shop.order()
        self.shop.act(order, "accept", "start", "ready", "pickup")
        found = self.until(stream, "OrderPickedUp", order)
        self.assertEqual({each["data"]["orderId"] for each in found}, {order})
        self.assertEqual(self.seen(found), [each for each in self.stored() if each[2] == order][:len(found)])
        row = soon(lambda: self.shop.get(DASHBOARD, f"/orderInfos/{order}").json, "the row is there")
        last = self.until(self.stream(found[-2]["id"]), "OrderPickedUp", order)[-1]
        self.assertEqual(last["data"].keys(), row.keys())
        self.assertEqual((last["data"]["status"], last["data"]["_links"]), ("PickedUp", row["_links"]))

    def test_the_row_is_the_same_json_as_the_one_that_is_asked_for(self):
        stream = self.stream()
        order = self.shop.order(productId='"\\통', customerId="c\u2028d")
        last = self.until(stream, "TicketReceived", order)[-1]
        answer = self.shop.get(DASHBOARD, f"/orderInfos/{order}")
        self.assertEqual(last["data"], answer.json)

    def test_after_an_id_come_those_behind_it_and_after_an_unknown_one_all(self):
        orders = [self.shop.order() for _ in range(3)]
        everything = self.until(self.stream("nonsense"), "TicketReceived", orders[-1])
        self.assertEqual(self.seen(everything), self.stored())
        for at in (0, 1, len(everything) - 2):
            rest = self.stream(everything[at]["id"]).take(len(everything) - at - 1)
            self.assertEqual([each["id"] for each in rest], [each["id"] for each in everything[at + 1:]])
        log, shard, _ = everything[0]["id"].split(".")
        other_log = ("a" if log[0] != "a" else "b") + log[1:]
        for unknown in (f"{other_log}.{shard}.1", f"{log}.{shard}.zzzz", f"{log}.{shard}.", f"{log}.1.1", "-", "--",
                        everything[0]["id"] + "-" + everything[0]["id"], "x" * 1000):
            with self.subTest(unknown=unknown):
                self.assertEqual(self.stream(unknown).next(), everything[0])

    def test_a_rows_position_is_a_place_in_the_stream_and_in_the_view(self):
        first, second = self.shop.order(), self.shop.order()
        row = soon(lambda: self.row(first, "TicketReceived"), "the dashboard has the ticket")
        answer = self.shop.get(DASHBOARD, f"/orderInfos/{first}?after-position={row['position']}")
        self.assertEqual((answer.status, answer.json), (200, row))
        self.assertEqual(self.stream(row["position"]).next()["data"]["orderId"], second)
        listed = self.shop.listed(DASHBOARD, "/orderInfos")
        self.assertEqual(listed[0]["position"], row["position"])

    def row(self, order, last_event):
        answer = self.shop.get(DASHBOARD, f"/orderInfos/{order}")
        return answer.json if answer.status == 200 and answer.json["lastEvent"] == last_event else None

    def test_nothing_of_a_draft_is_ever_shown(self):
        stream = self.stream()
        declined = self.shop.post(APP, "/orders", {**SEED, "paymentToken": "decline"}).json["orderId"]
        self.shop.put(PAY, "/sandbox", {"mode": "error"})
        self.assertEqual(self.shop.post(APP, "/orders", SEED).status, 503)
        self.shop.put(PAY, "/sandbox", {"mode": "approve"})
        order = self.shop.order()
        for each in (stream, self.stream("0")):
            found = self.until(each, "TicketReceived", order)
            self.assertEqual({each["data"]["orderId"] for each in found}, {order})
        self.assertNotEqual(order, declined)

    def test_a_client_that_comes_and_goes_misses_nothing_and_sees_nothing_twice(self):
        stop = threading.Event()
        taken = []

        def customers():
            while not stop.is_set():
                order = self.shop.order()
                self.shop.act(order, "accept", "start")
                taken.append(order)
        traffic = threading.Thread(target=customers)
        traffic.start()
        self.addCleanup(traffic.join)
        self.addCleanup(stop.set)
        seen, last = [], "0"
        for turn in range(60):
            stream = Stream(self.shop, last)
            for _ in range(1 + turn % 7):
                seen.append(stream.next())
                last = seen[-1]["id"]
            stream.close()
        stop.set()
        traffic.join()
        stream = self.stream(last)
        while ("OrderAccepted", taken[-1]) not in [(each["event"], each["data"]["orderId"]) for each in seen[-20:]]:
            seen.append(stream.next())
        self.assertEqual(self.seen(seen), self.stored()[:len(seen)])

    def test_a_stream_goes_on_behind_its_last_id_after_kill(self):
        order = self.shop.order()
        stream = self.stream("0")
        last = self.until(stream, "Ordered", order)[-1]
        self.shop.stop(signal.SIGKILL)
        self.shop.start()
        self.assertEqual(self.stream(last["id"]).next()["event"], "TicketReceived")

    def test_head_and_old_clients(self):
        head = self.shop.call("HEAD", DASHBOARD, "/orderInfos/stream")
        self.assertEqual((head.status, head.headers["Content-Type"], head.bytes), (200, "text/event-stream", b""))
        self.assertEqual(self.shop.call("POST", DASHBOARD, "/orderInfos/stream", b"").headers["Allow"], "GET, HEAD")
        with self.shop.connect(DASHBOARD) as old:
            old.sendall(b"GET /orderInfos/stream HTTP/1.0\r\n\r\n")
            answer = b""
            while b"\r\n\r\n" not in answer:
                answer += old.recv(4096)
            self.assertNotIn(b"chunked", answer)
            self.shop.order()
            while b"event: Ordered\ndata: {" not in answer:
                answer += old.recv(4096)

    # ---- those who leave, are slow, or many ----

    def test_a_client_that_leaves_is_let_go_without_anything_to_write(self):
        streams = [Stream(self.shop) for _ in range(20)]
        self.assertGreaterEqual(self.shop.connections(DASHBOARD), 20)
        for each in streams:
            each.close()
        soon(lambda: not self.shop.connections(DASHBOARD), "all of them are let go", timeout=5)
        with self.shop.connect(DASHBOARD) as rude:
            rude.sendall(REQUEST + b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" * 100)  # and goes with all this unread
            rude.recv(100)
        soon(lambda: not self.shop.connections(DASHBOARD), "that one too", timeout=5)

    def test_a_half_closed_client_goes_on_reading(self):
        with self.shop.connect(DASHBOARD) as half:
            half.sendall(REQUEST)
            half.shutdown(socket.SHUT_WR)
            answer = b""
            while answer.count(b":\n\n") < 3:  # it is looked for, now and then
                answer += half.recv(4096)
            self.shop.order()
            while b"event: Ordered" not in answer:
                answer += half.recv(4096)

    def test_a_slow_reader_costs_little_and_holds_nobody_up(self):
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.settimeout(SOON)
            slow.connect(("127.0.0.1", self.shop.base + DASHBOARD))
            slow.sendall(REQUEST)
            begun = slow.recv(50)
            quick = self.stream()
            before = self.shop.resident_kb()
            orders = []
            for _ in range(300):
                orders.append(self.shop.order(productId="통" * 64, customerId="가" * 64))
            found = self.until(quick, "TicketReceived", orders[-1])
            self.assertEqual(self.seen(found), self.stored())
            self.assertLess(self.shop.resident_kb() - before, 32768)
            answer = begun
            while answer.count(b"event: TicketReceived") < 300:  # it gets all of it, too
                answer += slow.recv(65536)
            self.assertEqual(answer.count(b"event: "), len(found))

    def test_five_hundred_clients_at_once(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(2048, hard)), hard))
        clients = [Stream(self.shop) for _ in range(500)]
        orders = [self.shop.order() for _ in range(5)]
        wanted = None
        for client in clients:
            found = self.seen(self.until(client, "TicketReceived", orders[-1]))
            wanted = wanted or found
            self.assertEqual(found, wanted)
            client.close()
        self.assertEqual(wanted, self.stored())
        soon(lambda: not self.shop.connections(DASHBOARD), "all of them are let go")

    def test_a_drain_ends_streams_as_they_should_end(self):
        order = self.shop.order()
        streams = [Stream(self.shop, "0") for _ in range(10)]
        for each in streams:
            self.until(each, "TicketReceived", order)
        self.shop.process.send_signal(signal.SIGTERM)
        for each in streams:
            self.assertIsNone(each.next())
            self.assertTrue(each.response.isclosed())  # by the last chunk
            each.close()
        self.assertEqual(self.shop.stop(), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
