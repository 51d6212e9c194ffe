#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Starts cafe-shop and plays an order's life and a cancellation over HTTP, as examples/run does.

The notifications that appear in between are printed by cafe-shop itself, on its channel console:.
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
PATIENCE = 20  # seconds until a step counts as failed; each takes a few milliseconds

root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
arguments.add_argument("--check", action="store_true",
                       help="end after the demonstration, with 0 only if every step was as expected")
arguments.add_argument("--fresh", action="store_true", help="start from an empty store")
arguments.add_argument("--shop", default=os.path.join(root, "build", "bin", "cafe-shop"), help="the program")
arguments.add_argument("--folder", default=os.path.join(root, "var"), help="of the store")
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # this machine needs no proxy to itself
base = int(os.environ.get("CAFE_PORT_BASE", "8080"))


class Unexpected(Exception):
    pass


def say(line=""):
    # In one write, which print may not do: cafe-shop prints its lines to the same place.
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


def is_listening(service):
    try:
        socket.create_connection(("127.0.0.1", base + service), timeout=PATIENCE).close()
        return True
    except OSError:
        return False


def refuse_used(store):
    """A shop of another checkout's ports may run on this store: its files mustn't go from under it."""
    try:
        with open(store + "-lock", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        pass
    except BlockingIOError:
        raise Unexpected(f"{store} is in use: end that shop first") from None


def start(options):
    for service in range(APP, DASHBOARD + 1):
        if is_listening(service):  # or the demonstration would be played to somebody else's shop
            raise Unexpected(f"port {base + service} is in use; CAFE_PORT_BASE={base + 100} takes others")
    os.makedirs(options.folder, exist_ok=True)
    store = os.path.join(options.folder, "shop.db")
    if options.fresh:
        refuse_used(store)
        for path in glob.glob(glob.escape(store) + "*"):
            os.unlink(path)
    # The flags win over whatever the environment says.
    shop = subprocess.Popen([options.shop, "--listen", f"127.0.0.1:{base}", "--store", f"sqlite:{store}",
                             "--channel", "console:", "--log-level", "warn"])

    def is_ready():
        if shop.poll() is not None:
            raise Unexpected("cafe-shop didn't start")
        try:
            return all(call("GET", service, "/readyz")[0] == 200 for service in range(APP, DASHBOARD + 1))
        except urllib.error.URLError:
            return False

    wait(is_ready, "cafe-shop is ready")
    return shop


def on_term(number, frame):
    raise KeyboardInterrupt


def main():
    options = arguments.parse_args()
    shop = None
    failed = False
    signal.signal(signal.SIGTERM, on_term)
    try:
        shop = start(options)
        play()
        if not options.check:
            say(f"\nServing: app :{base + APP}, pay :{base + PAY}, store :{base + STORE}, customer :{base + CUSTOMER}, "
                f"dashboard http://127.0.0.1:{base + DASHBOARD}/orderInfos\nCtrl-C ends it.")
            shop.wait()
    except Unexpected as unexpected:
        say(f"\nNot as expected: {unexpected}")
        failed = True
    except KeyboardInterrupt:
        failed = options.check
    finally:
        if shop and shop.poll() is None:
            shop.terminate()
        ended = shop.wait() if shop else 1
    if options.check and not failed and ended == 0:
        say("\nEvery step was as expected.")
    return 1 if failed or ended != 0 else 0


if __name__ == "__main__":
    sys.exit(main())
