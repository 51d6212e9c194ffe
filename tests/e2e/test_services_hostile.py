# SPDX-License-Identifier: Apache-2.0
"""Peers that are none: what comes to a node's port, or from where its peer should be, costs an error and nothing else."""

import contextlib
import itertools
import os
import random
import resource
import select
import socket
import struct
import threading
import time
import unittest

from crowd import assert_whole, seeded
from services import NODES, Case
from shop import APP, DASHBOARD, PAY, SEED, SOON, STORE, binary, is_sanitized, soon

binary()  # before unittest reads the arguments
FULL = bool(os.environ.get("CAFE_FULL"))
IDLE = 10000 if FULL else 2000
ENDLESS = (256 if FULL else 24) * 1024 * 1024  # bytes, of frames without an end
BYTES_MAX = 48 * 1024  # KiB that a process may grow by, whatever comes: a frame may have 16 MiB
ALL_MAX = 96 * 1024  # and what it may grow by while many come: 64 MiB together, and 64 KiB of each connection
VERSION, HELLO, REQUEST, PULL, BATCH, MORE, PING, PONG = 1, 1, 2, 5, 6, 7, 9, 10


def framed(data):
    return struct.pack(">I", len(data)) + data


def packed(*values):
    """A frame: the array of these, in msgpack."""
    out = bytes([0x90 | len(values)])
    for value in values:
        if isinstance(value, bytes):
            out += b"\xc6" + struct.pack(">I", len(value)) + value
        else:
            out += (b"\xcf" + struct.pack(">Q", value)) if value > 127 else bytes([value])
    return framed(out)


HI = packed(VERSION, HELLO, b"", 16 * 1024 * 1024)
ALL = 0xFFFFFFFFFFFFFFF


def pull(number, service=b"app"):
    return packed(VERSION, PULL, number, service, b"Ordered\0", 0, 0, 0, 0, 0, 2)


# What no peer sends, or would be told that it can't be. A name, and the bytes.
NONSENSE = {
    "no frame": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a hello of TLS": bytes.fromhex("1603010200010001fc0303") + bytes(500),
    "a length of 2^31": struct.pack(">I", 2**31),
    "the largest length": b"\xff\xff\xff\xff",
    "a length of 0": bytes(4),
    "no hello": packed(VERSION, PING),
    "another version": packed(99, HELLO, b"", 1024),
    "a hello that takes nothing": packed(VERSION, HELLO, b"", 0),
    "no array": HI + framed(b"\x07"),
    "an array of 2^31": HI + framed(b"\xdd\x80\x00\x00\x00"),
    "a text of 2^32": HI + framed(bytes([0x94, VERSION, REQUEST, 1, 0xc6, 0xff, 0xff, 0xff, 0xff])),
    "arrays in arrays": HI + framed(b"\x91" * 60000),
    "a kind that is none": HI + packed(VERSION, 77, 1),
    "an answer to nothing": HI + packed(VERSION, 3, 1, 0, 0, 0, b"", b""),
    "events nobody asked for": HI + packed(VERSION, BATCH, 1, 0, 0, 0, b"", 7, 5, 5, 1, b"order\0", b"x"),
    "a request of nonsense": HI + packed(VERSION, REQUEST, 1, b"app", 1, 1000000, 1, b"nonsense"),
    "a service that isn't here": HI + packed(VERSION, REQUEST, 1, b"nowhere", 1, 1000000, 1, b""),
    "the same number twice": HI + pull(1) + pull(1),
    "types without an end": HI + packed(VERSION, PULL, 1, b"app", b"Ordered", 0, 0, 0, 0, 0, 2),
    "a shard that isn't": HI + packed(VERSION, PULL, 1, b"app", b"Ordered\0", 0, 4000000000, 0, 0, 0, 2),
    "a log that isn't": HI + packed(VERSION, PULL, 1, b"app", b"Ordered\0", 0, 0, 99, 2**52, 2**52, 2),
    "credit without an end": HI + pull(1) + packed(VERSION, MORE, 1, ALL) * 1000,
}


class Beset(Case):
    options = {"app": ("--payment-deadline", "2s"), "customer": ("--channel", "file:{folder}/told.txt")}

    def connect(self, service):
        return socket.create_connection(("127.0.0.1", self.services.base + NODES + service), timeout=SOON)

    def kilobytes(self, service):
        with open(f"/proc/{service.process.pid}/status", encoding="ascii") as status:
            found = next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))
        return found // 10 if is_sanitized() else found  # a sanitizer keeps what was freed for a while

    def files(self, service):
        return len(os.listdir(f"/proc/{service.process.pid}/fd"))

    def live(self):
        """An order from its beginning to its end: whoever is none of them is in nobody's way."""
        order = self.services.order()
        self.services.act(order, "accept", "start", "ready", "pickup")
        for service, path, status in ((APP, f"/orders/{order}", "PickedUp"), (PAY, f"/payments/{order}", "Captured"),
                                      (DASHBOARD, f"/orderInfos/{order}", "PickedUp")):
            soon(lambda: self.services.get(service, path).status == 200 and self.status(service, path) == status,
                 f"{path} is {status}", 30)

    @contextlib.contextmanager
    def bounded(self, *restarted):
        """All of them live on, but for those that the test restarts, and none has kept anything for whoever was there."""
        self.live()
        watched = [each for each in self.services.all if each not in restarted]
        before = {each.name: (each.process.pid, self.kilobytes(each), self.files(each)) for each in watched}
        yield
        self.live()
        for each in watched:
            pid, memory, files = before[each.name]
            self.assertEqual((each.process.pid, each.process.poll()), (pid, None), each.name)
            soon(lambda: self.files(each) <= files + 3, f"{each.name} has closed what it needs no more", 30)
            self.assertLess(self.kilobytes(each) - memory, BYTES_MAX, each.name)
        assert_whole(self.services)

    def send(self, service, data):
        """All of it, and then nothing: returns when the other side has closed, too, or only waits."""
        with contextlib.suppress(OSError), self.connect(service) as connection:
            connection.settimeout(0.5)
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass

    def pour(self, service, pieces):
        """One after the other, reading nothing, until the other side takes no more."""
        with contextlib.suppress(OSError), self.connect(service) as connection:
            connection.settimeout(0.5)
            for piece in pieces:
                connection.sendall(piece)


class Hostile(Beset):
    # X15: garbage, lengths and counts that promise too much, frames that contradict each other: no crash, others served.
    def test_what_no_peer_would_send_costs_the_connection_and_nothing_else(self):
        chance = seeded("the noise")
        noise = {f"noise {number}": HI * (number % 2) + chance.randbytes(chance.randrange(1, 4000)) for number in range(20)}
        damaged = {}
        for number in range(40 if not FULL else 2000):
            frame = bytearray(HI + pull(1) + packed(VERSION, REQUEST, 2, b"app", 1, 1000000, 1, b"\x90"))
            for _ in range(chance.randrange(1, 4)):
                frame[chance.randrange(len(frame))] = chance.randrange(256)
            damaged[f"damaged {number}"] = bytes(frame)
        with self.bounded():
            for each in self.services.all:
                for data in (NONSENSE | noise | damaged).values():
                    self.send(each.number, data)
            self.assertLess(sum(len(each.logged()) for each in self.services.all), 4 * 1024 * 1024)

    def floods(self):
        """Each begins anew: pieces that come to no end of their own."""
        numbers = itertools.count(1)
        ask = lambda number: packed(VERSION, REQUEST, number, b"app", 1, 60000000, 1, bytes(1000))
        yield "a frame", itertools.chain([HI, struct.pack(">I", 2**24)], itertools.repeat(bytes(65536)))
        yield "pings", itertools.chain([HI], itertools.repeat(packed(VERSION, PING) * 10000))
        yield "requests", itertools.chain([HI], (ask(number) for number in numbers))
        yield "subscriptions", itertools.chain([HI], (pull(number) for number in numbers))
        yield "nothing that is known", itertools.chain([HI], itertools.repeat(packed(VERSION, 1000, 1) * 10000))

    def limited(self, pieces):
        left = ENDLESS
        for piece in pieces:
            yield piece
            left -= len(piece)
            if left < 0:
                return

    # X15: frames without an end, and answers that nobody reads.
    def test_frames_without_an_end_and_answers_that_nobody_reads_are_bounded(self):
        with self.bounded():
            for service in (APP, PAY, STORE) if FULL else (APP,):
                for what, pieces in self.floods():
                    with self.subTest(what=what, service=service):
                        self.pour(service, self.limited(pieces))
                self.live()

    # X15: frames without an end on many connections at once have a bound together, and others are served meanwhile.
    def test_frames_without_an_end_are_bounded_together(self):
        with self.bounded(), contextlib.ExitStack() as open_:
            before = self.kilobytes(self.services.app)
            left = {}
            for _ in range(64):
                each = open_.enter_context(self.connect(APP))
                each.sendall(HI + struct.pack(">I", 2**24))
                each.setblocking(False)
                left[each] = 2**24 - 1
            taken = time.monotonic()
            while left and time.monotonic() < taken + 1:
                for each in select.select((), list(left), (), 0.1)[1]:
                    sent = self.take_some(each, left[each])
                    taken = time.monotonic() if sent else taken
                    left[each] -= sent or 0
                    if sent is None or left[each] == 0:
                        del left[each]
                self.assertLess(self.kilobytes(self.services.app) - before, ALL_MAX)
            self.live()
            self.assertLess(self.kilobytes(self.services.app) - before, ALL_MAX)

    def take_some(self, connection, left):
        """How many bytes it took; None: it is closed."""
        try:
            return connection.send(bytes(min(65536, left)))
        except BlockingIOError:
            return 0
        except OSError:
            return None

    # X15: whoever says hello byte by byte is cut off, and one that stops half way is in nobody's way.
    def test_a_hello_byte_by_byte_and_half_a_frame_keep_nobody_waiting(self):
        with self.bounded(), contextlib.ExitStack() as open_:
            halves = [open_.enter_context(self.connect(APP)) for _ in range(50)]
            for half in halves:
                half.sendall(HI + packed(VERSION, PING)[:5])
            self.live()
            slow = open_.enter_context(self.connect(APP))
            slow.settimeout(0.5)
            hello = iter(packed(VERSION, HELLO, bytes(1000), 1024))
            soon(lambda: self.is_cut_off(slow, next(hello)), "who is slow is cut off", 30)

    def is_cut_off(self, connection, byte):
        try:
            connection.sendall(bytes([byte]))
            while connection.recv(1024):
                pass
            return True
        except socket.timeout:
            return False
        except OSError:
            return True

    # X15: thousands who connect and say nothing: peers come through, and descriptors are bounded.
    def test_thousands_of_idle_connections_keep_no_peer_out(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = min(IDLE, hard - 200)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted + 200), hard))
        with self.bounded(self.services.dashboard), contextlib.ExitStack() as idle:
            for number in range(wanted):
                idle.enter_context(self.connect((APP, PAY, STORE)[number % 3]))
            self.assertLess(max(self.files(each) for each in self.services.all), 400)
            self.live()
            self.services.dashboard.restart()
            self.live()


class Impostor:
    """Listens where a service should be, and answers with nonsense."""

    def __init__(self, chance):
        self.chance = chance
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.seen = 0
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        answers = list(NONSENSE.values()) + [HI + bytes(1000), HI + packed(VERSION, PONG) * 1000]
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            answer = answers[self.seen % len(answers)]
            self.seen += 1
            with contextlib.suppress(OSError), connection:
                connection.settimeout(0.2)
                connection.sendall(answer)
                connection.recv(65536)
                connection.sendall(self.chance.randbytes(2000))
                while connection.recv(65536):
                    pass

    def close(self):
        self.server.close()


class Deceived(Beset):
    # X15: where a peer should be somebody answers nonsense: a clean 503, and it goes on when the peer is there again.
    def test_who_answers_for_a_peer_with_nonsense_is_as_good_as_nobody(self):
        impostor = Impostor(random.Random(7))
        self.addCleanup(impostor.close)
        deceived = (self.services.app, self.services.dashboard)
        with self.bounded(*deceived):
            for each in deceived:
                each.stop()
                each.routes = {"pay": f"tcp://127.0.0.1:{impostor.port}"}
                each.start()
                pid = each.process.pid
                seen = impostor.seen
                soon(lambda: impostor.seen > seen + 3, f"{each.name} has tried again and again", 40)
                memory = self.kilobytes(each)
                if each is self.services.app:
                    answer = self.services.post(APP, "/orders", SEED, Idempotency_Key="deceived")
                    self.assert_problem(answer, 503, "payment-unavailable")
                self.assertEqual((each.process.pid, each.process.poll()), (pid, None))
                self.assertLess(self.kilobytes(each) - memory, BYTES_MAX)
                each.routes = {}
                each.restart()
            again = self.services.post(APP, "/orders", SEED, Idempotency_Key="deceived")
            self.assertEqual(again.status, 201, again)
            self.services.act(again.json["orderId"], "accept", "start", "ready", "pickup")


if __name__ == "__main__":
    unittest.main(verbosity=2)
