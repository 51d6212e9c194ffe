# SPDX-License-Identifier: Apache-2.0
"""The five services as processes of their own, each with a store of its own: started on free ports, called over HTTP."""

import contextlib
import functools
import os
import random
import re
import signal
import sqlite3
import subprocess
import tempfile
import unittest

import invariants
import shop
from shop import APP, CUSTOMER, DASHBOARD, PATIENT, PAY, STORE, Calls, Process, binary, free_base, soon

NAMES = {APP: "app", PAY: "pay", STORE: "store", CUSTOMER: "customer", DASHBOARD: "dashboard"}
NODES, UPKEEPS = 1000, 10  # a node's port, and an operator's, from its service's
NEEDS = {"app": ("pay", "store"), "pay": ("app",), "store": ("app",), "customer": ("app", "pay"),
         "dashboard": ("app", "pay", "store")}


class Service(Process):
    """One of the five: a process, its store, its ports. It is called by the ports of all."""

    def __init__(self, programs, folder, base, number):
        self.number = number
        self.name = NAMES[number]
        self.binary = os.path.join(programs, f"cafe-{self.name}")
        self.folder = folder
        self.base = base
        self.store = os.path.join(folder, f"{self.name}.db")
        self.options = []
        self.environment = {}
        self.routes = {}  # peer → URL, of those that it reaches another way than at their own address
        self.popen = subprocess.Popen  # or that of sockets.Held

    def node(self, name=None):
        """A node's address, as options have it."""
        number = next(each for each, called in NAMES.items() if called == (name or self.name))
        return f"tcp://127.0.0.1:{self.base + NODES + number}"

    def open_upkeep(self):
        """At its next start. Returns what it is called by."""
        number = UPKEEPS + self.number
        self.options = [*self.options, "--upkeep", f"127.0.0.1:{self.base + number}"]
        return number

    def command(self, *options):
        """Later options win over earlier ones; peers are given by all that are needed."""
        peers = [f"--peer={name}={self.routes.get(name) or self.node(name)}" for name in NEEDS[self.name]]
        patience = ["--payment-deadline", PATIENT] if self.name == "app" else []
        return [self.binary, "--listen", f"127.0.0.1:{self.base + self.number}", "--node", self.node(),
                "--store", f"sqlite:{self.store}", *peers, *patience, *self.options, *options]

    def variables(self):
        clean = {name: value for name, value in os.environ.items() if not name.startswith("CAFE_")}
        return {**clean, **self.environment}

    def launch(self):
        """Starts it, and doesn't wait until it is ready."""
        with open(self.path("log"), "ab") as log, open(self.path("console"), "ab") as console:
            self.process = self.popen(self.command(), stdout=console, stderr=log, env=self.variables())
        return self

    def start(self):
        self.launch()
        soon(self.is_ready, f"cafe-{self.name} is ready")
        return self

    def is_ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f"cafe-{self.name} ended with {self.process.returncode}:\n{self.logged()}")
        try:
            return self.get(self.number, "/readyz").status == 200
        except OSError:
            return False

    def refused(self, *options):
        """A start that can't be, beside whatever runs: the line that it says."""
        run = subprocess.run(self.command(*options), capture_output=True, text=True, timeout=30, env=self.variables())
        if run.returncode != 2 or len(run.stderr.strip().splitlines()) != 1:
            raise AssertionError(f"not one line and status 2: {run}")
        return run.stderr

    def degraded(self):
        """The peers that it says are down."""
        return sorted(self.get(self.number, "/readyz").json["degraded"])

    def path(self, what):
        return os.path.join(self.folder, f"{self.name}.{what}")

    def logged(self):
        with open(self.path("log"), encoding="utf-8", errors="replace") as log:
            return log.read()

    def printed(self):
        """By the channel console:, at customer."""
        with open(self.path("console"), encoding="utf-8", errors="replace") as console:
            return console.read()

    def rows(self, sql, *values):
        """Of its store, read while it runs."""
        with contextlib.closing(sqlite3.connect(f"file:{self.store}?mode=ro", uri=True)) as store:
            return store.execute(sql, values).fetchall()

    @functools.cached_property
    def known(self):
        """Its options."""
        run = subprocess.run([self.binary, "--help"], check=True, capture_output=True, text=True, timeout=30)
        return set(re.findall(r"^  (--[a-z-]+)", run.stdout, re.MULTILINE))


class Services(Calls):
    """All five. Each is an attribute by its name: services.pay.kill(), services.pay.start()."""

    def __init__(self, programs, folder):
        self.folder = folder
        self.base = free_base()
        self.all = [Service(programs, folder, self.base, number) for number in NAMES]
        self.app, self.pay, self.store, self.customer, self.dashboard = self.all
        self.stores = {each.name: each.store for each in self.all}  # as invariants.py takes them

    def start(self):
        """In any order, since each waits for its peers by itself."""
        for each in random.sample(self.all, len(self.all)):
            each.launch()
        for each in self.all:
            soon(each.is_ready, f"cafe-{each.name} is ready")
        soon(lambda: not any(each.degraded() for each in self.all), "all are connected to each other")
        return self

    def stop(self, how=signal.SIGTERM):
        """Ends all that run, at once, and returns their exit statuses by name."""
        for each in self.all:
            if each.process and each.process.poll() is None:
                each.process.send_signal(how)
        return {each.name: each.stop(how) for each in self.all}

    def logged(self):
        return "".join(each.logged() for each in self.all)

    def printed(self):
        return self.customer.printed()

    def rows(self, service, sql, *values):
        return self.all[service - 1].rows(sql, *values)

    def is_at_rest(self):
        """Nothing is on its way any more, between the services or out of them."""
        return not invariants.going_on(self.stores)


def programs():
    """The folder of the programs: that of the first argument, which is one of them."""
    return os.path.dirname(binary())


class Case(unittest.TestCase):
    """Starts all five. `options` by service's name; {folder} is the test's own."""

    options = {}

    def options_of(self, service):
        return self.options.get(service.name, ())

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.services = Services(programs(), self.folder.name)
        for each in self.services.all:
            each.options = [option.replace("{folder}", self.folder.name) for option in self.options_of(each)]
        self.addCleanup(self.services.stop, signal.SIGKILL)
        self.prepare()
        self.services.start()

    def prepare(self):
        """What has to be done before they start."""

    def status(self, service, path):
        return self.services.get(service, path).json["status"]

    def assert_problem(self, answer, status, name):
        self.assertEqual(answer.status, status, answer)
        self.assertEqual(answer.json["type"], f"/problems/{name}", answer)
        if status == 503:
            self.assertGreaterEqual(int(answer.headers["Retry-After"]), 1)


class Either(shop.Case):
    """Whoever calls them can't tell: the five apart where the first argument is one of them, else all in one process.
    `options` are names and values by turns, for those that have them."""

    def options_of(self, service):
        pairs = zip(self.options[::2], self.options[1::2])
        return [word for name, value in pairs if name in service.known for word in (name, value)]

    def setUp(self):
        if os.path.basename(binary()) == "cafe-shop":
            super().setUp()
        else:
            Case.setUp(self)
            self.shop = self.services

    prepare = Case.prepare
