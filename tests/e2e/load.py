# SPDX-License-Identifier: Apache-2.0
"""Many clients at once, what each was answered and how long that took, and figures of it."""

import collections
import http.client
import json
import os
import random
import threading
import time

from shop import APP, SEED

Reply = collections.namedtuple("Reply", "status seconds headers body")
ORDER = ("POST", APP, "/orders", json.dumps(SEED).encode())


def report(text):
    """Figures are printed, and in a full run stand in its result file, too."""
    print(text, flush=True)
    if os.environ.get("CAFE_RESULTS"):
        with open(os.environ["CAFE_RESULTS"], "a", encoding="utf-8") as results:
            results.write(f"{text}\n")


def percentile(seconds, percent):
    """In milliseconds, for people."""
    ranked = sorted(seconds)
    return f"{1000 * ranked[min(len(ranked) - 1, len(ranked) * percent // 100)]:.1f}" if ranked else "-"


def spread(seconds):
    return f"p50 {percentile(seconds, 50)} ms, p99 {percentile(seconds, 99)} ms, most {percentile(seconds, 100)} ms"


class Clients:
    """Each asks again after its answer, at once or within `pause` seconds, over a connection that it keeps. `ask(n)` gives
    (method, service, path, body) of the n-th request of all, or None where there are enough."""

    def __init__(self, calls, count, ask=lambda n: ORDER, pause=0):
        self.calls, self.ask, self.pause = calls, ask, pause
        self.replies = []
        self.failures = []  # no answer at all
        self.begun = 0
        self.lock = threading.Lock()
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.run) for _ in range(count)]

    def next(self):
        with self.lock:
            self.begun += 1
            return self.ask(self.begun - 1)

    def run(self):
        connections = {}
        while not self.over.is_set() and (asked := self.next()):
            method, service, path, body = asked
            begun = time.monotonic()
            try:
                if service not in connections:
                    connections[service] = http.client.HTTPConnection("127.0.0.1", self.calls.base + service, timeout=60)
                headers = {"Content-Type": "application/json"} if body else {}
                connections[service].request(method, path, body, headers)
                answer = connections[service].getresponse()
                read = answer.read()
                self.replies.append(Reply(answer.status, time.monotonic() - begun, answer.headers, read))
                if answer.headers["Connection"] == "close":
                    connections.pop(service).close()
            except (OSError, http.client.HTTPException) as failure:
                self.failures.append(f"{method} {service}{path}: {failure!r}")
                connections.pop(service).close()
            if self.pause:
                self.over.wait(random.uniform(0, self.pause))
        for each in connections.values():
            each.close()

    def __enter__(self):
        for each in self.threads:
            each.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for each in self.threads:
            each.join()

    def wait(self):
        """Until there was enough."""
        for each in self.threads:
            each.join()
        return self

    def seconds(self, *statuses):
        return [each.seconds for each in self.replies if each.status in statuses]

    def statuses(self):
        return collections.Counter(each.status for each in self.replies)


def place(calls, count, clients=4):
    """So many orders; how long each took. All of them have to be taken."""
    with Clients(calls, clients, lambda n: ORDER if n < count else None) as all_:
        all_.wait()
    assert not all_.failures and all_.statuses() == {201: count}, (all_.failures[:3], all_.statuses())
    return all_.seconds(201)
