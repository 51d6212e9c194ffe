# SPDX-License-Identifier: Apache-2.0
"""The system fails one of five processes at its n-th call, for n = 1, 2, ...: clear answers or a clear end there, the others
go on, and nothing that was acknowledged is lost."""

import os
import subprocess
import unittest

import strace
from crowd import LOST as GONE
from crowd import Crowd, assert_whole, seeded
from services import Case, programs
from shop import soon
from strace import GOES_ON, LOST, NOT_STARTED, Fault

PROGRAMS = programs()
FULL = bool(os.environ.get("CAFE_FULL"))
STEPS = 7  # of a guest, while calls fail
GUESTS = 2


def setUpModule():
    strace.check()


class Injected(Case):
    options = {"app": ("--payment-deadline", "3s"), "customer": ("--channel", "file:{folder}/told.txt")}

    def setUp(self):
        super().setUp()
        self.crowd = Crowd(self.services, seeded("what guests do"), GUESTS)
        self.step(2 * STEPS)

    def step(self, count):
        for _ in range(count):
            for guest in self.crowd.guests:
                try:
                    guest.step()
                except TimeoutError:
                    raise  # it listens, and nobody is there
                except GONE:
                    pass  # it has ended, or closed a connection that it couldn't take

    def run_with(self, victim, fault):
        """Starts one of them anew with a fault, lets guests go on, and starts it anew without. Returns how the fault ended,
        or None if it never came to it."""
        self.assertEqual(victim.stop(), 0)
        had, trace = len(victim.logged()), os.path.join(self.folder.name, "trace")
        popen, environment = victim.popen, victim.environment
        victim.popen = lambda command, **given: subprocess.Popen(fault.tracer(self.folder.name) + command, **given)
        victim.environment = {**environment, **strace.environment()}
        try:
            victim.launch()
            soon(lambda: victim.process.poll() is not None or victim.is_ready(), f"{victim.name} is ready, or has ended")
            self.step(STEPS)
            status = victim.stop()
            strace.assert_said(status, victim.logged()[had:])
            return status if strace.was_failed(self.folder.name) else None
        except Exception as failure:
            raise AssertionError(f"{victim.name}, {fault}: {failure!r}\n{victim.logged()[had:]}") from failure
        finally:
            victim.kill()
            victim.popen, victim.environment = popen, environment
            victim.start()
            os.unlink(trace)

    def each(self, victims, numbers, most, call, error, *ends, count=1):
        """Yields how it ended for each of the victims and some n, in the full form for n = 1, 2, ... until no call is left
        that could fail. `ends` are those of the names of a victim's files. The first n has to be reached."""
        for victim in victims:
            for n in range(1, most + 1) if FULL else numbers:
                files = [f"{victim.name}.{end}" for end in ends]
                ended = self.run_with(victim, Fault(call, error, *files, first=n, count=count))
                if ended is None:
                    self.assertNotEqual(n, 1 if FULL else numbers[0], f"{victim.name} never called {call}")
                    break
                yield ended

    def assert_all_ends(self):
        self.crowd.finish()
        assert_whole(self.services)

    # X8: nobody takes a connection: what needs a peer waits for it or is refused, and goes on when it is there.
    def test_peers_that_refuse_connections_are_tried_again(self):
        app, pay, store, customer, dashboard = self.services.all
        ended = list(self.each((app, store, customer, dashboard), (1,), 3, "connect", "ECONNREFUSED", count=8))
        self.assertEqual(set(ended), {GOES_ON})
        self.assert_all_ends()

    # X8: the store of each in turn can't make durable what it writes: that one ends, and a new one finds what it told.
    def test_a_store_that_cannot_be_synced_ends_its_process(self):
        ended = list(self.each(self.services.all, (3,), 12, "fdatasync", "EIO", "db-wal"))
        self.assertLessEqual(set(ended), {LOST, NOT_STARTED} if FULL else {LOST})
        self.assert_all_ends()

    # X8: the disk of each in turn is full for a while: refused there, and over by itself.
    def test_a_full_disk_is_over_by_itself(self):
        ended = list(self.each(self.services.all, (20,), 15, "pwrite64", "ENOSPC", "db-wal", count=12))
        self.assertEqual(set(ended), {GOES_ON})
        self.assert_all_ends()

    # X8, X15: connections, of clients and of peers, that can't be taken for want of descriptors.
    def test_connections_that_cannot_be_taken_harm_nobody(self):
        for victims, first in ((self.services.all, 1), ([self.services.app], 4)):
            ended = list(self.each(victims, (first,), 12, "accept4", "EMFILE", count=3))
            self.assertEqual(set(ended), {GOES_ON})
        self.assert_all_ends()


if __name__ == "__main__":
    unittest.main(verbosity=2)
