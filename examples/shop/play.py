#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Starts the services and plays an order's life and a cancellation over HTTP, as examples/run does.

Each is a process with a store of its own, and they talk over tcp; with --one-process cafe-shop is all of them. The
notifications that appear in between are printed by customer itself, on its channel console:.
"""

import argparse
import fcntl
import glob
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

APP, PAY, STORE, CUSTOMER, DASHBOARD = 1, 2, 3, 4, 5
NAMES = {APP: "app", PAY: "pay", STORE: "store", CUSTOMER: "customer", DASHBOARD: "dashboard"}
NODES = 1000  # a node's port, from its service's
LAST_PORT = 65535
LAST_LINES = 10  # of the log of a service that ends early
PATIENCE = 20  # seconds until a step counts as failed; each takes a few milliseconds

root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
arguments.add_argument("--check", action="store_true",
                       help="end after the demonstration, with 0 only if every step was as expected")
arguments.add_argument("--fresh", action="store_true", help="start from empty stores")
arguments.add_argument("--one-process", action="store_true", help="all services in one process, on one store")
arguments.add_argument("--programs", default=os.path.join(root, "build", "bin"), help="the programs' folder")
arguments.add_argument("--folder", default=os.path.join(root, "var"), help="of the stores and the logs")
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # this machine needs no proxy to itself
base = int(os.environ.get("CAFE_PORT_BASE", "8080"))
processes = []


class Unexpected(Exception):
    pass


def say(line=""):
    # In one write, which print may not do: customer prints its lines to the same place.
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def call(method, service, path, body=None):
    """One request: the status, the headers and the body."""
    request = urllib.request.Request(f"http://127.0.0.1:{base + service}{path}", method=method,
                                     data=None if body is None else json.dumps(body).encode())
    if body is not None:
        request.add_header("Content-Type", "application/json")
    try:
        with opener.open(request, timeout=PATIENCE) as answer:
            return answer.status, answer.headers, json.load(answer)
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.headers, json.load(refusal)


def wait(condition, what):
    until = time.monotonic() + PATIENCE
    while True:
        found = condition()
        if found:
            return found
        for each in processes:
            each.check()
        if time.monotonic() > until:
            raise Unexpected(f"not within {PATIENCE} s: {what}")
        time.sleep(0.005)


def expect(found, wanted, what):
    if found != wanted:
        raise Unexpected(f"{what}: expected {wanted}, found {found}")


class Order:
    """An order, and what was seen of it."""

    def __init__(self, **fields):
        shown = " ".join(f'{name}="{value}"' for name, value in fields.items())
        say(f"\n$ http POST :{base + APP}/orders {shown}")
        status, headers, order = call("POST", APP, "/orders", fields)
        expect(status, 201, "the order's answer")
        self.id = order["orderId"]
        expect(headers["Location"], f"/orders/{self.id}", "Location")
        expect(order["status"], "Ordered", "status")  # the server's, whatever the request said
        say(f"  201 Location: /orders/{self.id}")
        self.seen = 0
        self.told = []
        self.follow(["Ordered"], "Ordered")

    def follow(self, events, status, told=None, payment=None):
        """Waits until these events have happened, printing them, and what they entail."""
        def happened():
            listed = call("GET", APP, f"/orders/{self.id}/events")[2]["_embedded"]["events"]
            for each in listed[self.seen:]:
                say(f"  {each['at']} order {self.id}: {each['event']}")
            names = [each["event"] for each in listed[self.seen:]]
            expect(names, events[:len(names)], "what happened")
            del events[:len(names)]
            self.seen = len(listed)
            return not events
        told = [name for name in events if name != "PreparationStarted" and name != "CancelRequested"] + (told or [])
        self.told += told
        wait(happened, " ".join(events))
        expect(call("GET", APP, f"/orders/{self.id}")[2]["status"], status, "the order's status")
        wait(lambda: call("GET", DASHBOARD, f"/orderInfos/{self.id}")[2].get("status") == status, "the dashboard")
        if payment:
            wait(lambda: call("GET", PAY, f"/payments/{self.id}")[2]["status"] == payment, f"payment {payment}")
            say(f"  payment {self.id}: {payment}")
        wait(self.is_told, f"the customer is told of {self.told}")

    def is_told(self):
        query = urllib.parse.urlencode({"orderId": self.id})
        rows = call("GET", CUSTOMER, f"/notifications?{query}")[2]["_embedded"]["notifications"]
        return (sorted(row["event"] for row in rows) == sorted(self.told) and
                all(row["status"] == "Sent" for row in rows))

    def act(self, action, event, status, **entailed):
        say(f"\n$ http POST :{base + STORE}/fulfillments/{self.id}/{action}")
        answer = call("POST", STORE, f"/fulfillments/{self.id}/{action}")
        expect(answer[0], 200, action)
        say(f"  200 the ticket is {answer[2]['status']}")
        self.follow([event], status, **entailed)

    def cancel(self):
        say(f"\n$ http POST :{base + APP}/orders/{self.id}/cancel")
        return call("POST", APP, f"/orders/{self.id}/cancel")


def play():
    seed = {"productId": "10", "qty": "1", "customerId": "cdgri", "amount": "2", "status": "ordered",
            "pickupTime": "20230306150010"}
    say("An order, from the counter to the customer's hand:")
    order = Order(**seed, orderId="1")
    order.act("accept", "OrderAccepted", "Accepted")
    order.act("start", "PreparationStarted", "Preparing", payment="Captured")
    order.act("ready", "CoffeeDone", "CoffeeDone")
    order.act("pickup", "OrderPickedUp", "PickedUp")

    say("\nAnother one, which the customer cancels:")
    canceled = Order(**seed)
    if canceled.id <= order.id:
        raise Unexpected("ids don't rise")
    status, _, answer = canceled.cancel()
    expect((status, answer.get("status")), (200, "Canceled"), "the cancel's answer")
    say("  200 Canceled")
    canceled.follow(["CancelRequested", "OrderCanceled"], "Canceled", told=["PaymentCanceled"], payment="Canceled")

    status, _, answer = order.cancel()
    expect((status, answer["type"]), (409, "/problems/cancel-rejected"), "a cancel after the start")
    say(f"  409 {answer['detail']}")
    order.told.append("CancelRejected")
    wait(order.is_told, "the customer is told that it was too late")


class Process:
    """A program of ours, its store and its log."""

    def __init__(self, options, name, *ports):
        self.program = f"cafe-{name}"
        self.store = os.path.join(options.folder, f"{name}.db")
        self.log = os.path.join(options.folder, f"{name}.log")
        self.popen = None
        # The flags win over whatever the environment says.
        self.command = [os.path.join(options.programs, self.program), "--store", f"sqlite:{self.store}", *ports]

    def refuse_missing(self):
        if not os.access(self.command[0], os.X_OK):
            raise Unexpected(f"there is no program {self.command[0]}: examples/run builds it")

    def start(self):
        with open(self.log, "w", encoding="utf-8") as log:
            self.popen = subprocess.Popen(self.command, stderr=log)

    def check(self):
        """Nobody has asked it to end."""
        if self.popen and self.popen.poll() is not None:
            with open(self.log, encoding="utf-8", errors="replace") as log:
                last = log.readlines()[-LAST_LINES:]
            raise Unexpected(f"{self.program} ended with {self.popen.returncode}; the last lines of {self.log}:\n"
                             + "".join(f"  {line}" for line in last))


def is_listening(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE).close()
        return True
    except OSError:
        return False


def refuse_used(store):
    """A service at other ports may run on this store: its files mustn't go from under it."""
    try:
        with open(store + "-lock", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        pass
    except BlockingIOError:
        raise Unexpected(f"{store} is in use: end that service first") from None


def empty(stores):
    for store in stores:
        refuse_used(store)
    for store in stores:
        for path in glob.glob(glob.escape(store) + "*"):
            os.unlink(path)


def one_process(options):
    return [Process(options, "shop", "--listen", f"127.0.0.1:{base}", "--channel", "console:")]


def apart(options):
    nodes = {name: f"tcp://127.0.0.1:{base + NODES + number}" for number, name in NAMES.items()}
    peers = [f"--peer={name}={node}" for name, node in nodes.items()]  # those that it doesn't need it ignores
    return [Process(options, name, "--listen", f"127.0.0.1:{base + number}", "--node", nodes[name], *peers,
                    *(["--channel", "console:"] if number == CUSTOMER else []))
            for number, name in NAMES.items()]


def start(options):
    ports = [base + number for number in NAMES]
    if not options.one_process:
        ports += [port + NODES for port in ports]
    if max(ports) > LAST_PORT:
        raise Unexpected(f"CAFE_PORT_BASE={base} is too high: {max(ports)} would be the last port")
    for port in ports:
        if is_listening(port):  # or the demonstration would be played to somebody else's shop
            raise Unexpected(f"port {port} is in use; CAFE_PORT_BASE={base + 100} takes others")
    os.makedirs(options.folder, exist_ok=True)
    processes.extend(one_process(options) if options.one_process else apart(options))
    for each in processes:
        each.refuse_missing()
    if options.fresh:
        empty([each.store for each in processes])
    for each in processes:
        each.start()

    def is_ready():
        try:
            answers = [call("GET", service, "/readyz") for service in NAMES]
        except urllib.error.URLError:
            return False
        return all(status == 200 and not ready["degraded"] for status, _, ready in answers)

    wait(is_ready, "the services are ready, and connected to each other")


def serve():
    say(f"\nServing: app :{base + APP}, pay :{base + PAY}, store :{base + STORE}, customer :{base + CUSTOMER}, "
        f"dashboard http://127.0.0.1:{base + DASHBOARD}/orderInfos\nCtrl-C ends it.")
    os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)  # until one of them has ended, which none of them should
    for each in processes:
        each.check()


def stop():
    """Ends all that run; returns whether each did as it should."""
    running = [each.popen for each in processes if each.popen]
    for each in running:
        if each.poll() is None:
            each.terminate()
    return [each.wait() for each in running] == [0] * len(processes)


def on_term(number, frame):
    raise KeyboardInterrupt


def main():
    options = arguments.parse_args()
    failed = False
    signal.signal(signal.SIGTERM, on_term)
    try:
        start(options)
        play()
        if not options.check:
            serve()
    except Unexpected as unexpected:
        say(f"\nNot as expected: {unexpected}")
        failed = True
    except KeyboardInterrupt:
        failed = options.check
    finally:
        ended = stop()
    if options.check and not failed and ended:
        say("\nEvery step was as expected.")
    return 1 if failed or not ended else 0


if __name__ == "__main__":
    sys.exit(main())
