# SPDX-License-Identifier: Apache-2.0
"""The system fails a real process at its n-th call, for n = 1, 2, ...: a clear answer or a clear end, and nothing that was
acknowledged is lost."""

import copy
import http.client
import os
import random
import shutil
import signal
import tempfile
import unittest

import strace
from life import Life, bring_to_end
from receiver import Receiver
from shop import Shop, binary
from strace import GOES_ON, LOST, NOT_STARTED, Fault

BINARY = binary()
FULL = bool(os.environ.get("CAFE_FULL"))
STEPS = 24  # of a caller, while calls fail


def setUpModule():
    strace.check()


class Failing(Shop):
    """A shop that has a fault, and whose every answer is looked at."""

    def __init__(self, folder, *options):
        super().__init__(BINARY, folder, *options)
        self.environment = strace.environment()
        self.fault = None
        self.refused = 0

    def command(self, *options):
        command = super().command(*options)
        return self.fault.tracer(self.folder) + command if self.fault else command

    def is_ready(self):
        return (self.fault is not None and self.process.poll() is not None) or super().is_ready()

    def call(self, *request, **more):
        answer = super().call(*request, **more)
        if answer.status >= 500:
            self.refused += 1
            assert answer.status == 503, answer
            assert answer.headers["Content-Type"] == "application/problem+json", answer.headers
            assert answer.json["type"] in ("/problems/not-ready", "/problems/payment-unavailable"), answer
            assert answer.json["title"] and answer.json["detail"], answer
            assert int(answer.headers["Retry-After"]) >= 1, answer.headers
            assert "/readyz" in request or self.folder not in answer.json["detail"], answer  # operators are told where
        return answer


class Injected(unittest.TestCase):
    channels = ()  # beside the file

    def setUp(self):
        """A shop that was killed in the middle of its work: what is started has something to recover."""
        self.root = tempfile.TemporaryDirectory()
        self.addCleanup(self.root.cleanup)
        self.killed = os.path.join(self.root.name, "killed")
        os.mkdir(self.killed)
        self.seed = int(os.environ.get("CAFE_SEED", random.randrange(2**32)))
        print(f"CAFE_SEED={self.seed}")
        with self.open(self.killed).started() as shop:
            self.caller = Life(shop, random.Random(self.seed))
            for _ in range(12):
                self.caller.step()
        self.caller.shop = None

    def open(self, folder):
        told = ("--channel", f"file:{folder}/told.txt")
        return Failing(folder, *told, *self.channels)

    def run_with(self, fault):
        """Starts it with a fault, calls it, and starts it anew without. Returns how the fault ended, or None if it never
        came to it."""
        folder = os.path.join(self.root.name, "failing")
        shutil.copytree(self.killed, folder)
        os.truncate(os.path.join(folder, "log.txt"), 0)
        shop = self.open(folder)
        shop.fault = fault
        caller = copy.deepcopy(self.caller)
        caller.shop = shop
        try:
            shop.start()
            for _ in range(STEPS):
                if shop.process.poll() is not None:
                    break
                try:
                    caller.step()
                except TimeoutError:
                    raise  # it listens, and nobody is there
                except (OSError, http.client.HTTPException):
                    pass  # it has ended, or closed a connection that it couldn't take
            self.refused = shop.refused
            ended = shop.process.poll()
            status = shop.stop()
            self.assertIn((ended, status), ((None, 0), (ended, ended), (None, LOST)), shop.logged())
            strace.assert_said(status, shop.logged())
            was_failed = strace.was_failed(folder)
            shop.fault = None
            shop.start()
            bring_to_end(shop, [caller])
            return status if was_failed else None
        except Exception as failure:
            raise AssertionError(f"{fault}: {failure!r}\n{shop.logged()}") from failure
        finally:
            shop.stop(signal.SIGKILL)
            shutil.rmtree(folder)

    def each(self, numbers, most, call, error, *files, count=1):
        """Yields (n, how it ended) for some n, in the full form for n = 1, 2, ... (every third where they are many) until no
        call is left that could fail, or `most`. The first of them has to be reached."""
        for n in range(1, most + 1, 3 if most > 100 else 1) if FULL else numbers:
            ended = self.run_with(Fault(call, error, *files, first=n, count=count))
            if ended is None:
                self.assertNotEqual(n, 1 if FULL else numbers[0], f"{call} was never called")
                return
            yield n, ended


class Store(Injected):
    # X8: whether the last write is durable nobody knows: the process ends, and a new one finds what it told.
    def test_a_log_that_cannot_be_synced_ends_the_process(self):
        for n, ended in self.each((1, 2, 5, 11), 60, "fdatasync", "EIO", "shop.db-wal"):
            self.assertIn(ended, (LOST, NOT_STARTED)[:1 + (n == 1)], n)

    # X8: the same for a write that fails.
    def test_a_log_that_cannot_be_written_ends_the_process(self):
        for n, ended in self.each((1, 3, 30, 90), 300, "pwrite64", "EIO", "shop.db-wal"):
            self.assertEqual(ended, LOST, n)

    # X8: a disk that is full for one write or for many is refused as such, and the process goes on.
    def test_a_full_disk_refuses_and_goes_on(self):
        refused = 0
        for count, numbers in ((1, (2, 10, 22)), (12, (20, 60))):
            for n, ended in self.each(numbers, 300, "pwrite64", "ENOSPC", "shop.db-wal", count=count):
                self.assertEqual(ended, GOES_ON, n)
                refused += self.refused
        self.assertGreater(refused, 0)

    # X8, X9: what can't be read is refused, and nothing is taken for what it isn't.
    def test_a_store_that_cannot_be_read_refuses_or_does_not_start(self):
        for n, ended in self.each((1, 3, 9, 20), 60, "pread64", "EIO", "shop.db"):
            self.assertIn(ended, (GOES_ON, NOT_STARTED, LOST), n)

    # X8: what stands beside the store.
    def test_a_lock_file_that_cannot_be_written_starts_nothing(self):
        for n, ended in self.each((1,), 2, "pwrite64", "EIO", "shop.db-lock"):
            self.assertEqual(ended, NOT_STARTED, n)
        for n, ended in self.each((1, 2), 8, "fsync", "EIO"):
            self.assertEqual(ended, NOT_STARTED, n)


class Beside(Injected):
    # X8, X13: the gateway's own books: money moves once or not at all, and it is asked again.
    def test_a_ledger_that_cannot_be_written_moves_no_money_twice(self):
        for n, ended in self.each((1,), 12, "fdatasync", "EIO", "shop.db.sandbox"):
            self.assertEqual(ended, GOES_ON, n)
        for n, ended in self.each((1,), 12, "pwrite64", "ENOSPC", "shop.db.sandbox", count=3):
            self.assertEqual(ended, GOES_ON, n)

    # X8, N3b: a channel that can't be written holds up nobody, and gets every message when it can.
    def test_a_channel_that_cannot_be_written_holds_up_nobody(self):
        for n, ended in self.each((1,), 12, "write", "ENOSPC", "told.txt", count=6):
            self.assertEqual((ended, self.refused), (GOES_ON, 0), n)

    # X8: orders don't need a log that can be read.
    def test_a_log_that_has_no_space_holds_up_nobody(self):
        for n, ended in self.each((1,), 12, "write", "ENOSPC", "log.txt", count=40):
            self.assertEqual((ended, self.refused), (GOES_ON, 0), n)


class Files(Injected):
    # X8: too many open files, wherever one is opened: one clear line, or it goes without.
    def test_a_file_that_cannot_be_opened_is_said(self):
        files = ("shop.db", "shop.db-wal", "shop.db-shm", "shop.db-lock", "shop.db.sandbox", "told.txt")
        for n, ended in self.each((1, 3, 6, 9), 40, "openat", "EMFILE", *files):
            self.assertIn(ended, (GOES_ON, NOT_STARTED), n)

    # X8, X15: too many open files, while connections come: those that couldn't be taken get no answer, all others do.
    def test_connections_that_cannot_be_taken_harm_nobody(self):
        for count in (1, 9):
            for n, ended in self.each((7, 12), 60, "accept4", "EMFILE", count=count):
                self.assertEqual((ended, self.refused), (GOES_ON, 0), n)


class Network(Injected):
    def setUp(self):
        self.receiver = Receiver()
        self.addCleanup(self.receiver.close)
        self.channels = ("--channel", self.receiver.url())
        super().setUp()

    # X8, N3b: nobody is there to take a message: it comes later, each under one id.
    def test_a_receiver_that_refuses_holds_up_nobody(self):
        for n, ended in self.each((1,), 12, "connect", "ECONNREFUSED", count=4):
            self.assertEqual((ended, self.refused), (GOES_ON, 0), n)
            told = {each.json["notificationId"]: (each.json["orderId"], each.json["event"])
                    for each in self.receiver.messages}
            self.assertEqual(len(set(told.values())), len(told), "one change under two ids")
            self.receiver.messages.clear()


if __name__ == "__main__":
    unittest.main(verbosity=2)
