# SPDX-License-Identifier: Apache-2.0
"""More customers than payment bears: who is served, who is told at once to pay a little later, and who waits in vain; with
the breaker, and without. In the full form the customers are siege's, and a few more, who look at each answer, beside them."""

import collections
import contextlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
import threading
import time
import unittest

import invariants
import services
import shop
from load import ORDER, Clients, percentile, report
from prometheus import Metrics
from shop import APP, PAY, SEED, SOON, binary, soon

BINARY = binary()
FULL = bool(os.environ.get("CAFE_FULL"))
SECONDS = 60 if FULL else 2
CUSTOMERS = 100
LOOKING = 4 if FULL else CUSTOMERS  # those whose every answer is looked at
PAUSE = 1  # second, at most, between an answer and the next order
LIMIT = 40  # payments at once
OVERLOAD = {"delayMs": 400, "jitterMs": 220, "capacity": 20}
QUIET = {"mode": "approve", "delayMs": 0, "jitterMs": 0, "capacity": 0}
SLEEP = 5 if FULL else 1
WITH = {"--payment-deadline": "600ms" if FULL else "2s", "--payment-concurrency": str(LIMIT), "--breaker-sleep": f"{SLEEP}s",
        "--breaker-window": "10s" if FULL else "3s"}
WITHOUT = {**WITH, "--breaker-volume": "1000000"}
PATIENT = {"--payment-deadline": "1s"}
KINDS = ("accepted", "fast-rejected", "failed")
STATES = ("CLOSED", "OPEN", "HALF_OPEN")


def options(chosen, *names):
    """As a command line has them: all, or those of these names."""
    return tuple(word for name, value in chosen.items() if not names or name in names for word in (name, value))


def kind(reply):
    """Accepted; refused before anything was begun, which says so; or failed after all."""
    if reply.status == 201:
        return "accepted"
    detail = json.loads(reply.body).get("detail", "")
    return "fast-rejected" if "isn't asked now" in detail else "failed"


class Siege:
    """siege(1) as the customers. What it is told stands in a file of its own, and it writes nothing elsewhere. It may hang
    at its end, when its own threads do: so what counts is the line that it writes for each answer."""

    RC = "verbose = true\ncolor = off\njson_output = false\nlogging = false\nparser = false\nprotocol = HTTP/1.1\n" \
         "connection = keep-alive\nlimit = 255\nfailures = 100000000\ntimeout = 30\n"

    def __init__(self, calls, folder):
        if not shutil.which("siege"):
            raise AssertionError("siege is missing; tests/support/setup.sh --full installs it")
        rc = os.path.join(folder, "siege.conf")
        with open(rc, "w", encoding="utf-8") as file:
            file.write(self.RC)
        self.command = ["stdbuf", "-oL", "siege", f"--rc={rc}", f"-c{CUSTOMERS}", f"-t{SECONDS}S", f"-d{PAUSE}",
                        "--content-type", "application/json",
                        f"http://127.0.0.1:{calls.base + APP}/orders POST {json.dumps(SEED)}"]
        self.folder = folder

    def run(self):
        """How many answers had which status."""
        path = os.path.join(self.folder, "siege.txt")
        with open(path, "wb") as told:
            process = subprocess.Popen(self.command, stdout=told, stderr=subprocess.STDOUT,
                                       env={**os.environ, "HOME": self.folder})
            try:
                process.wait(SECONDS + 20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        with open(path, encoding="utf-8", errors="replace") as told:
            return collections.Counter(int(each) for each in re.findall(r"HTTP/1\.1 (\d{3}) ", told.read()))


class Overloaded:
    """What is asked of either arrangement: `shop` takes calls, `log()` is app's, `store` app's and `ledger` the gateway's."""

    def metrics(self):
        return Metrics(self.shop.get(APP, "/metrics").bytes.decode())

    def state(self):
        metrics = self.metrics()
        found = [state for state in STATES if metrics["cafe_breaker_state", "name", "payment", "state", state] == 1]
        self.assertEqual(len(found), 1)
        return found[0]

    def counted(self):
        """How many of each kind there were, as the server counts them."""
        metrics = self.metrics()
        accepted, unavailable = (metrics.get("cafe_http_requests_total", "method", "POST", "route", "/orders", "status", status)
                                 for status in ("201", "503"))
        rejected = sum(metrics.get("cafe_guard_rejected_total", "name", "payment", "reason", reason)
                       for reason in ("open", "limit"))
        return dict(zip(KINDS, (accepted, rejected, unavailable - rejected)))

    def changes(self):
        """The breaker's, as the log has them."""
        return re.findall(r"breaker payment: (\w+) to (\w+)", self.log())

    def overload(self):
        """Returns what those who look were answered, by kind; meanwhile it is seen which states the breaker has."""
        self.shop.put(PAY, "/sandbox", OVERLOAD)
        seen, over = set(), threading.Event()

        def watch():
            while not over.wait(0.1):
                seen.add(self.state())
        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            with Clients(self.shop, LOOKING, pause=PAUSE) as clients:
                if FULL:
                    told = Siege(self.shop, self.folder.name).run()
                else:
                    clients.over.wait(SECONDS)
        finally:
            over.set()
            watcher.join()
        self.assertEqual(clients.failures, [])
        self.assertLessEqual(set(clients.statuses()), {201, 503})
        answers = collections.defaultdict(list)
        for reply in clients.replies:
            if reply.status == 503:
                self.assertGreaterEqual(int(reply.headers["Retry-After"]), 1)
            answers[kind(reply)].append(reply.seconds)
        soon(lambda: self.metrics()["cafe_guard_in_flight", "name", "payment"] == 0, "nothing is under way")
        counted = self.counted()
        if not FULL:
            self.assertEqual({each: len(answers[each]) for each in KINDS}, counted)
        else:  # siege leaves without the last answers
            self.assertEqual(set(told), {201, 503})
            untold = counted["accepted"] - told[201] - len(answers["accepted"])
            self.assertTrue(0 <= untold <= CUSTOMERS, (told, counted))
            report(f"siege was told 201 {told[201]} times, 503 {told[503]} times: availability "
                   f"{100 * told[201] / sum(told.values()):.2f} %")
        return answers, counted, seen

    def tell(self, answers, counted):
        total = sum(counted.values())
        report(f"N2b, {type(self).__name__}: {total:.0f} orders in {SECONDS} s, " + "; ".join(
            f"{each} {counted[each]:.0f} = {100 * counted[each] / total:.2f} %, p50 {percentile(answers[each], 50)} ms, "
            f"p99 {percentile(answers[each], 99)} ms" for each in KINDS))

    def assert_as_told(self):
        """Each 201 is an order, any other answer is none, and money that moved for none comes back."""
        with contextlib.closing(sqlite3.connect(f"file:{self.store}?mode=ro", uri=True)) as store:
            orders = {order for order, in store.execute("SELECT order_id FROM orders")}
        untold = len(orders) - self.counted()["accepted"]
        self.assertTrue(0 <= untold <= (CUSTOMERS if FULL else 0), f"{untold} orders whose customers left without an answer")
        moved = invariants.books(self.ledger)
        self.assertLessEqual(orders, set(moved))
        for order in orders:
            self.assertEqual(dict(moved[order]), {"authorize": [2]})
        if FULL:  # half a minute after the deadline
            soon(lambda: all(payment in orders or of.get("void") for payment, of in invariants.books(self.ledger).items()),
                 "what was approved too late is given back", 120)
        self.assertLessEqual(self.shop.get(PAY, "/sandbox").json["maxInFlight"], LIMIT)


class Spared(Overloaded):
    # N2b: all at once, at a payment that would bear them: no more are let to it than are allowed.
    def test_no_more_are_let_to_payment_than_are_allowed(self):
        self.shop.put(PAY, "/sandbox", {"delayMs": 400})
        with Clients(self.shop, CUSTOMERS, lambda n: ORDER if n < CUSTOMERS else None) as crowd:
            crowd.wait()
        self.assertEqual((crowd.failures, set(crowd.statuses())), ([], {201, 503}))
        most = self.shop.get(PAY, "/sandbox").json["maxInFlight"]
        self.assertTrue(LIMIT // 2 < most <= LIMIT, most)

    # N2b: overloaded, payment is spared: the breaker opens, tells all others at once to pay a little later, tries again
    # with one, and closes when the overload is over.
    def test_an_overloaded_payment_is_spared_and_recovers(self):
        answers, counted, seen = self.overload()
        self.tell(answers, counted)
        self.assertTrue(all(counted.values()), counted)
        self.assertIn("OPEN", seen)
        self.shop.put(PAY, "/sandbox", {"mode": "error"})  # it gets worse, so that it ends while the breaker is open
        with Clients(self.shop, CUSTOMERS, pause=PAUSE):
            soon(lambda: self.state() == "OPEN", "the breaker is open", 60)
        self.shop.put(PAY, "/sandbox", QUIET)
        begun = time.monotonic()
        soon(lambda: self.shop.post(APP, "/orders", SEED).status == 201, "it has recovered", SLEEP + SOON)
        report(f"N2b, {type(self).__name__}: recovered {time.monotonic() - begun:.2f} s after the overload, with a breaker that sleeps {SLEEP} s")
        soon(lambda: self.state() == "CLOSED", "the breaker is closed")
        changes = self.changes()
        self.assertEqual(changes[0], ("CLOSED", "OPEN"))
        self.assertEqual([to for _, to in changes[:-1]], [since for since, _ in changes[1:]], "one follows from the other")
        self.assertLessEqual(set(changes), {("CLOSED", "OPEN"), ("OPEN", "HALF_OPEN"), ("HALF_OPEN", "OPEN"),
                                            ("HALF_OPEN", "CLOSED")})
        self.assertEqual(changes[-1], ("HALF_OPEN", "CLOSED"))
        entered = collections.Counter(to for _, to in changes)
        metrics = self.metrics()
        self.assertEqual({state: metrics["cafe_breaker_transitions_total", "name", "payment", "to", state]
                          for state in STATES}, {state: entered[state] for state in STATES})
        self.assert_as_told()


class Unspared(Overloaded):
    # N2b: the same without the breaker, to compare.
    def test_without_the_breaker_all_are_let_through(self):
        answers, counted, seen = self.overload()
        self.tell(answers, counted)
        self.assertEqual((seen, self.changes()), ({"CLOSED"}, []))
        self.assert_as_told()


class Together(shop.Case):
    """All five in one process."""

    program = os.path.join(services.programs(), "cafe-shop")

    def setUp(self):
        super().setUp()
        self.log = self.shop.logged
        self.store = os.path.join(self.folder.name, "shop.db")
        self.ledger = f"{self.store}.sandbox"


class Apart(services.Case):
    """Five processes."""

    def setUp(self):
        super().setUp()
        self.shop = self.services
        self.log = self.services.app.logged
        self.store = self.services.app.store
        self.ledger = f"{self.services.pay.store}.sandbox"


class TogetherWithBreaker(Spared, Together):
    options = options(WITH)


class TogetherWithout(Unspared, Together):
    options = options(WITHOUT)


class ApartWithBreaker(Spared, Apart):
    options = {"app": options(WITH), "pay": options(WITH, "--payment-concurrency")}


class ApartWithout(Unspared, Apart):
    options = {"app": options(WITHOUT), "pay": options(WITHOUT, "--payment-concurrency")}


if FULL:  # the deadline above is shorter than what some payments take; this one isn't, as those of the short form
    class PatientWithBreaker(Spared, Apart):
        options = {"app": options({**WITH, **PATIENT}), "pay": options(WITH, "--payment-concurrency")}

    class PatientWithout(Unspared, Apart):
        options = {"app": options({**WITHOUT, **PATIENT}), "pay": options(WITHOUT, "--payment-concurrency")}


if __name__ == "__main__":
    unittest.main(verbosity=2)
