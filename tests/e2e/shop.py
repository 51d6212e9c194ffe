# SPDX-License-Identifier: Apache-2.0
"""A cafe-shop process to test against: started on free ports with a store of its own, called over HTTP."""

import contextlib
import functools
import http.client
import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse

APP, PAY, STORE, CUSTOMER, DASHBOARD, UPKEEP = 1, 2, 3, 4, 5, 6
SOON = 10.0  # how long a condition may take on a machine with other work to do; it usually holds at once
PATIENT = "20s"  # for a payment, where its deadline isn't what is tested: the machine may have other work to do

SEED = {"productId": "10", "qty": "1", "customerId": "cdgri", "amount": "2", "status": "ordered",
        "pickupTime": "20230306150010", "orderId": "1"}


def soon(condition, what, timeout=SOON):
    """Waits until condition() is true, and returns what it gave."""
    until = time.monotonic() + timeout
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > until:
            raise AssertionError(f"not within {timeout} s: {what}")
        time.sleep(0.01)


def preloaded(library, folder):
    """LD_PRELOAD for a library, also for one in a path with spaces, which would end its name."""
    link = os.path.join(folder, os.path.basename(library))
    os.symlink(library, link)
    return link


class Base(int):
    """A port P: P to P+19 and P+1000 to P+1019 are of whoever keeps it. They aren't taken by others of these tests while
    nobody listens there, as when a process was killed and is started again; who asks then would be answered by theirs."""

    claim = None  # a socket whose name says so, to all who see these ports, for as long as its process lives

    def __del__(self):
        if self.claim:
            self.claim.close()


@functools.cache
def bases():
    """None is in the range from which the kernel takes ports of its own, for who connects."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        first, last = (int(port) for port in file.read().split())
    found = [base for base in range(10000, 64000, 20) if base % 2000 < 1000 and (base + 1020 <= first or base > last)]
    if not found:
        raise AssertionError(f"no ports are left for servers: the kernel's own are {first} to {last}")
    return found


def free_base():
    """It can still happen that somebody else's program takes a port of it later."""
    while True:
        base = Base(random.choice(bases()))
        base.claim = socket.socket(socket.AF_UNIX)
        try:
            base.claim.bind(f"\0cafe-ports-{base}")
            for port in (*range(base, base + 20), *range(base + 1000, base + 1020)):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))  # nor are connections of an earlier server left there
            return base
        except OSError:
            continue


class Answer:
    def __init__(self, response, body):
        self.status = response.status
        self.headers = response.headers
        self.bytes = body
        is_json = (response.headers["Content-Type"] or "").split(";")[0].endswith("json")
        self.json = json.loads(body) if body and is_json else None

    def __repr__(self):
        return f"{self.status} {self.bytes.decode(errors='replace')}"


class Calls:
    """What is asked of the services at base + 1 to base + 5, whichever processes they are in."""

    base = None

    def connect(self, service):
        return socket.create_connection(("127.0.0.1", self.base + service), timeout=SOON)

    def call(self, method, service, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.base + service, timeout=60)
        try:
            sent = dict(headers or {})
            if body is not None and not isinstance(body, bytes):
                body = json.dumps(body).encode()
            if body is not None:
                sent.setdefault("Content-Type", "application/json")
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            return Answer(response, response.read())
        finally:
            connection.close()

    def get(self, service, path):
        return self.call("GET", service, path)

    def post(self, service, path, body=None, **headers):
        return self.call("POST", service, path, body,
                         {name.replace("_", "-"): value for name, value in headers.items()})

    def put(self, service, path, body):
        return self.call("PUT", service, path, body)

    # What tests ask for again and again.

    def order(self, **fields):
        answer = self.post(APP, "/orders", {**SEED, **fields})
        if answer.status != 201:
            raise AssertionError(f"the order was not taken: {answer}")
        return answer.json["orderId"]

    def ticket(self, order):
        """The order's ticket, once it has reached the store."""
        def arrived():
            answer = self.get(STORE, f"/fulfillments/{order}")
            return answer.json if answer.status == 200 else None
        return soon(arrived, f"the ticket of order {order}")

    def act(self, order, *actions):
        self.ticket(order)
        for action in actions:
            answer = self.post(STORE, f"/fulfillments/{order}/{action}")
            if answer.status != 200:
                raise AssertionError(f"{action} was refused: {answer}")

    def listed(self, service, path, **filters):
        answer = self.get(service, f"{path}?{urllib.parse.urlencode(filters)}")
        if answer.status != 200:
            raise AssertionError(f"{path} was refused: {answer}")
        return answer.json["_embedded"][path.rsplit("/", 1)[1]]

    def events(self, order):
        return [each["event"] for each in self.get(APP, f"/orders/{order}/events").json["_embedded"]["events"]]

    def told(self, order):
        """The events that the customer was told of, once all of them are delivered."""
        found = soon(lambda: self.delivered(order), f"order {order}'s notifications are delivered")
        return [each["event"] for each in found]

    def delivered(self, order):
        found = self.listed(CUSTOMER, "/notifications", orderId=order)
        return found if found and all(each["status"] == "Sent" for each in found) else None

    def expect_told(self, order, *events):
        """Waits until the customer was told of these: order events in order, payment events anywhere."""
        def is_told():
            told = self.told(order)
            money = ("PaymentCanceled", "PaymentRefunded")
            return (sorted(told) == sorted(events) and
                    [e for e in told if e not in money] == [e for e in events if e not in money])
        soon(is_told, f"the customer of order {order} is told of {events}")


class Process(Calls):
    """A program that runs, or doesn't: its `start` sets `process`."""

    process = None

    def files(self):
        """How many files and sockets it has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def connections(self, service):
        """How many it has accepted and not closed, though their clients may have gone."""
        port, alive = f":{self.base + service:04X}", ("01", "08")  # ESTABLISHED, CLOSE_WAIT
        with open("/proc/net/tcp", encoding="ascii") as table:
            rows = [line.split() for line in table]
        return sum(row[1].endswith(port) and row[3] in alive for row in rows)

    def resident_kb(self):
        """Its memory; of a sanitizer's, which keeps what was freed for a while, a tenth counts."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            found = next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))
        return found // 10 if is_sanitized() else found

    def stop(self, how=signal.SIGTERM):
        """Ends it and returns its exit status."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            status = self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            status = "hangs"
        self.process = None
        return status

    def kill(self):
        return self.stop(signal.SIGKILL)

    def restart(self, how=signal.SIGTERM):
        status = self.stop(how)
        self.start()
        return status


class Shop(Process):
    def __init__(self, binary, folder, *options):
        self.binary = binary
        self.folder = folder
        self.base = free_base()
        self.stores = f"{folder}/shop.db"  # as invariants.py takes them
        self.options = [option.replace("{upkeep}", f"127.0.0.1:{self.base + UPKEEP}") for option in options]
        self.environment = {}
        self.popen = subprocess.Popen  # or that of sockets.Held

    def command(self, *options):
        return [self.binary, "--listen", f"127.0.0.1:{self.base}", "--store", f"sqlite:{self.stores}",
                "--payment-deadline", PATIENT, *self.options, *options]

    def start(self):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CAFE_")}
        environment.update(self.environment)
        with open(os.path.join(self.folder, "log.txt"), "ab") as log, \
                open(os.path.join(self.folder, "console.txt"), "ab") as console:
            self.process = self.popen(self.command(), stdout=console, stderr=log, env=environment)
        soon(self.is_ready, "the shop is ready")
        return self

    @contextlib.contextmanager
    def started(self):
        try:
            yield self.start()
        finally:
            self.stop(signal.SIGKILL)

    def is_ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f"cafe-shop ended with {self.process.returncode}:\n{self.logged()}")
        try:
            return all(self.get(port, "/readyz").status == 200 for port in range(APP, DASHBOARD + 1))
        except OSError:
            return False

    def logged(self):
        with open(os.path.join(self.folder, "log.txt"), encoding="utf-8", errors="replace") as log:
            return log.read()

    def printed(self):
        """By the channel console:."""
        with open(os.path.join(self.folder, "console.txt"), encoding="utf-8", errors="replace") as console:
            return console.read()

    def rows(self, _, sql, *values):
        """Of a service's store, which is the one of all."""
        with contextlib.closing(sqlite3.connect(f"file:{self.stores}?mode=ro", uri=True)) as store:
            return store.execute(sql, values).fetchall()


@functools.cache
def binary():
    """The first argument is the program to test; unittest sees the rest."""
    if len(sys.argv) < 2:
        sys.exit(f"usage: {sys.argv[0]} BINARY [TEST...]")
    return os.path.abspath(sys.argv.pop(1))


@functools.cache
def is_sanitized():
    with open(binary(), "rb") as program:
        code = program.read()
    return b"__asan_init" in code or b"__tsan_init" in code


class Case(unittest.TestCase):
    program = None  # another one than binary()
    options = ()

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.shop = Shop(self.program or binary(), self.folder.name,
                         *(option.replace("{folder}", self.folder.name) for option in self.options))
        self.addCleanup(self.shop.stop, signal.SIGKILL)
        self.shop.start()

    def status(self, service, path):
        return self.shop.get(service, path).json["status"]

    def assert_problem(self, answer, status, name):
        self.assertEqual(answer.status, status, answer)
        self.assertEqual(answer.json["type"], f"/problems/{name}", answer)
        self.assertEqual(answer.json["status"], status)
        self.assertTrue(answer.json["title"] and answer.json["detail"], answer)
        self.assertEqual(answer.headers["Content-Type"], "application/problem+json")
        if status == 503:
            self.assertGreaterEqual(int(answer.headers["Retry-After"]), 1)
