# SPDX-License-Identifier: Apache-2.0
"""The dashboard's stream of changes: server-sent events as any client reads them. One process or five: see Either."""

import http.client
import json
import resource
import signal
import socket
import threading
import unittest

import invariants
from services import Either as Case
from shop import APP, DASHBOARD, PAY, SEED, SOON, binary, soon

binary()  # before unittest reads the arguments

# What the view hears, and a visible order can show.
HEARD = ("Ordered", "OrderAccepted", "PreparationStarted", "CoffeeDone", "OrderPickedUp", "CancelRequested",
         "CancelRejected", "OrderCanceled", "OrderRejected", "PaymentApproved", "PaymentCaptured", "PaymentCanceled",
         "PaymentRefunded", "TicketReceived", "TicketAccepted", "TicketRejected", "TicketStarted", "TicketReady",
         "TicketPickedUp", "TicketFailed", "TicketWithdrawn")
# Of logs apart these may be read before the one that shows their order, and are left out then.
EARLY = ("PaymentApproved", "TicketReceived")
LOGS = ("app", "pay", "store")
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
    """What is told is compared log by log. One process has one log, so there it is the order of all."""

    def setUp(self):
        super().setUp()
        self.is_apart = isinstance(self.shop.stores, dict)
        self.server = self.services.dashboard if self.is_apart else self.shop

    def stream(self, last=None):
        made = Stream(self.shop, last)
        self.addCleanup(made.close)
        self.assertEqual(made.response.status, 200)
        return made

    def until(self, stream, *wanted):
        """All up to the last of (event, order)."""
        found, wanted = [], set(wanted)
        while wanted:
            found.append(stream.next())
            self.assertIsNotNone(found[-1])
            wanted.discard((found[-1]["event"], found[-1]["data"]["orderId"]))
        return found

    def order(self, **fields):
        """One that the dashboard shows, and nothing more is to be heard of."""
        order = self.shop.order(**fields)

        def is_shown():
            answer = self.shop.get(DASHBOARD, f"/orderInfos/{order}")
            return answer.status == 200 and (answer.json["paymentStatus"], answer.json["fulfillmentStatus"]) == (
                "Approved", "Received")

        soon(is_shown, "the dashboard has payment and ticket")
        return order

    def accepted(self, order):
        """What comes last."""
        self.shop.act(order, "accept")
        return ("OrderAccepted", order), ("TicketAccepted", order)

    def stored(self, *orders):
        """What each log holds of these orders, or of all that are some: {log: [(position, event, order)]}."""
        logs = {}
        with invariants.opened(self.shop.stores) as stores:
            shown = orders or [order for order, in stores.execute("SELECT order_id FROM order_infos WHERE is_visible")]
            for home, *event in stores.execute('SELECT home, position, type, "key" FROM events ORDER BY position'):
                if event[1] in HEARD and event[2] in shown:
                    logs.setdefault(home, []).append(tuple(event))
        return logs

    def seen(self, events):
        """The same of what was told."""
        logs = {}
        for each in events:
            event, places = each["event"], each["id"].split("-")
            home = LOGS[1 if event.startswith("Payment") else 2 if event.startswith("Ticket") else 0]
            place = places[LOGS.index(home) if self.is_apart else 0]
            logs.setdefault(home if self.is_apart else "shop", []).append(
                (int(place.rsplit(".", 1)[1]), event, each["data"]["orderId"]))
        return logs

    def assert_told(self, events, stored, is_whole=True, is_early=True):
        """Nothing twice, out of turn, or left out: up to where it was read to, if that isn't all of it. `is_early`: its
        orders were shown before it was read."""
        seen = self.seen(events)
        if self.is_apart and not is_early:
            for logs in (seen, stored):
                for home, told in logs.items():
                    self.assertEqual(len(told), len(set(told)))
                    logs[home] = [each for each in told if each[1] not in EARLY]
        for home in stored.keys() | seen.keys():
            told = seen.get(home, [])
            self.assertEqual(told, stored[home] if is_whole else stored[home][:len(told)], home)
        for before, after in zip(events, events[1:]):
            self.assertNotEqual(before["id"], after["id"])

    # F7: status at any time: each change is told as it happens.
    def test_each_change_comes_with_its_row_from_now_on(self):
        self.order()
        stream = self.stream()
        for name, value in (("Content-Type", "text/event-stream"), ("Cache-Control", "no-cache")):
            self.assertEqual(stream.response.headers[name], value)
        order = self.order()
        self.shop.act(order, "accept", "start", "ready", "pickup")
        last = [(event, order) for event in ("OrderPickedUp", "PaymentCaptured", "TicketPickedUp")]
        found = self.until(stream, *last)
        self.assertEqual({each["data"]["orderId"] for each in found}, {order})
        self.assert_told(found, self.stored(order), is_early=False)
        row = self.shop.get(DASHBOARD, f"/orderInfos/{order}").json
        last = self.stream(found[-2]["id"]).next()
        self.assertEqual((last["id"], last["event"]), (found[-1]["id"], found[-1]["event"]))
        self.assertEqual(last["data"].keys(), row.keys())
        self.assertEqual((last["data"]["status"], last["data"]["_links"]), ("PickedUp", row["_links"]))

    def test_the_row_is_the_same_json_as_the_one_that_is_asked_for(self):
        stream = self.stream()
        order = self.order(productId='"\\통', customerId="c\u2028d")
        last = self.until(stream, *self.accepted(order))[-1]
        answer = self.shop.get(DASHBOARD, f"/orderInfos/{order}")
        self.assertEqual(last["data"], answer.json)

    def test_after_an_id_come_those_behind_it_and_after_an_unknown_one_all(self):
        for _ in range(3):
            self.order()
        stored = self.stored()
        count = sum(map(len, stored.values()))
        everything = self.stream("nonsense").take(count)
        self.assert_told(everything, stored)
        for at in (0, 1, count - 2):
            rest = self.stream(everything[at]["id"]).take(count - at - 1)
            self.assert_told(everything[:at + 1] + rest, stored)
        first, *others = everything[0]["id"].split("-")
        log, shard, _ = first.split(".")
        other_log = ("a" if log[0] != "a" else "b") + log[1:]
        for unknown in (f"{other_log}.{shard}.1", f"{log}.{shard}.zzzz", f"{log}.{shard}.", f"{log}.1.1", "-", "--",
                        first + "-" + first, "x" * 1000):
            with self.subTest(unknown=unknown):
                self.assert_told(self.stream("-".join([unknown, *others])).take(count), stored)

    def test_a_rows_position_is_a_place_in_the_stream_and_in_the_view(self):
        first, second = self.order(), self.order()
        row = self.shop.get(DASHBOARD, f"/orderInfos/{first}").json
        answer = self.shop.get(DASHBOARD, f"/orderInfos/{first}?after-position={row['position']}")
        self.assertEqual((answer.status, answer.json), (200, row))
        # In one of several logs it is no place in all of them, so all come.
        self.assertEqual(self.stream(row["position"]).next()["data"]["orderId"], first if self.is_apart else second)
        listed = self.shop.listed(DASHBOARD, "/orderInfos")
        self.assertEqual(listed[0]["position"], row["position"])

    def test_nothing_of_a_draft_is_ever_shown(self):
        stream = self.stream()
        declined = self.shop.post(APP, "/orders", {**SEED, "paymentToken": "decline"}).json["orderId"]
        self.shop.put(PAY, "/sandbox", {"mode": "error"})
        self.assertEqual(self.shop.post(APP, "/orders", SEED).status, 503)
        self.shop.put(PAY, "/sandbox", {"mode": "approve"})
        order = self.order()
        last = self.accepted(order)
        for each in (stream, self.stream("0")):
            found = self.until(each, *last)
            self.assertEqual({each["data"]["orderId"] for each in found}, {order})
        self.assertNotEqual(order, declined)

    def test_a_client_that_comes_and_goes_misses_nothing_and_sees_nothing_twice(self):
        stop = threading.Event()
        taken = []

        def customers():
            while not stop.is_set():
                order = self.order()
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
        self.assert_told(seen, self.stored(), is_whole=False, is_early=False)

    def test_a_stream_goes_on_behind_its_last_id_after_kill(self):
        order = self.order()
        stored = self.stored()
        found = self.until(self.stream("0"), ("Ordered", order))
        self.shop.stop(signal.SIGKILL)
        self.shop.start()
        rest = self.stream(found[-1]["id"]).take(sum(map(len, stored.values())) - len(found))
        self.assert_told(found + rest, stored)
        self.assertTrue(rest or self.is_apart)

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
        self.assertGreaterEqual(self.server.connections(DASHBOARD), 20)
        for each in streams:
            each.close()
        soon(lambda: not self.server.connections(DASHBOARD), "all of them are let go", timeout=5)
        with self.shop.connect(DASHBOARD) as rude:
            rude.sendall(REQUEST + b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" * 100)  # and goes with all this unread
            rude.recv(100)
        soon(lambda: not self.server.connections(DASHBOARD), "that one too", timeout=5)

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
            before = self.server.resident_kb()
            orders = []
            for _ in range(300):
                orders.append(self.shop.order(productId="통" * 64, customerId="가" * 64))
            found = self.until(quick, *self.accepted(orders[-1]))
            self.assert_told(found, self.stored(), is_early=False)
            self.assertLess(self.server.resident_kb() - before, 32768)
            answer = begun
            while not all(f"event: {each}\n".encode() in answer for each in ("OrderAccepted", "TicketAccepted")):
                answer += slow.recv(65536)  # it gets all of it, too
            self.assertEqual(answer.count(b"event: Ordered\n"), 300)
            self.assertTrue(self.is_apart or answer.count(b"event: ") == len(found))

    def test_five_hundred_clients_at_once(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(2048, hard)), hard))
        clients = [Stream(self.shop) for _ in range(500)]
        orders = [self.order() for _ in range(5)]
        last = self.accepted(orders[-1])
        found = [self.until(client, *last) for client in clients]
        stored = self.stored()
        for client, told in zip(clients, found):
            self.assert_told(told, stored, is_early=False)
            client.close()
        soon(lambda: not self.server.connections(DASHBOARD), "all of them are let go")

    def test_a_drain_ends_streams_as_they_should_end(self):
        self.order()
        streams = [Stream(self.shop, "0") for _ in range(10)]
        for each in streams:
            each.take(3)
        self.server.process.send_signal(signal.SIGTERM)
        for each in streams:
            self.assertIsNone(each.next())
            self.assertTrue(each.response.isclosed())  # by the last chunk
            each.close()
        self.assertEqual(self.server.stop(), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
