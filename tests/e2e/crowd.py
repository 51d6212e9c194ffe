# SPDX-License-Identifier: Apache-2.0
"""Guests who order, change their minds, ask again and look, while services come and go; and what has to be true of
what they were told."""

import collections
import http.client
import os
import random
import threading

import invariants
from shop import APP, CUSTOMER, DASHBOARD, PAY, SEED, SOON, STORE, soon

ACTIONS = {"Received": {"accept": "Accepted", "reject": "Rejected"}, "Accepted": {"start": "Preparing"},
           "Preparing": {"ready": "Ready", "fail": "Failed"}, "Ready": {"pickup": "PickedUp", "fail": "Failed"}}
SELDOM = ("reject", "fail")
CANCELABLE = ("Received", "Accepted")
ENDS = {"PickedUp": "PickedUp", "Rejected": "Rejected", "Failed": "Rejected", "Withdrawn": "Canceled"}  # and the order's
RUNNING = 12  # orders of one guest that aren't over; with more he sees to these first
LOST = (OSError, http.client.HTTPException, ValueError)  # somebody was killed, or cut off


def seeded(what):
    """A generator of chance, by a seed that is printed, or given as CAFE_SEED."""
    seed = int(os.environ.get("CAFE_SEED", random.randrange(2**32)))
    print(f"CAFE_SEED={seed}: {what}", flush=True)
    return random.Random(seed)


def follows(status):
    """What a ticket may become from there."""
    found = {status} | ({"Withdrawn"} if status in CANCELABLE else set())
    for target in ACTIONS.get(status, {}).values():
        found |= follows(target)
    return found


class Guest:
    """A customer and the store's owner in one, for the orders that it placed: nobody else touches them."""

    def __init__(self, services, chance):
        self.services = services
        self.chance = chance
        self.name = f"{chance.getrandbits(64):x}"
        self.count = 0
        self.open = None  # (key, body) of an order that was asked for and not answered
        self.placed = {}  # key → (body, the answer's bytes)
        self.known = {}  # order → the ticket's last acknowledged status
        self.alive = []  # those of them that weren't over when they were looked at last
        self.asked = collections.defaultdict(set)  # order → what was ever asked for, answered or not
        self.refused = {}  # key → the answer's bytes, of an order whose payment was declined
        self.failure = None

    def key(self):
        self.count += 1
        return f"{self.name}-{self.count}"

    def place(self):
        """Under a key of its own, which is repeated until there is an answer."""
        if self.open is None:
            self.open = (self.key(), {**SEED, **({"paymentToken": "decline"} if self.chance.random() < 0.05 else {})})
        key, body = self.open
        answer = self.services.post(APP, "/orders", body, Idempotency_Key=key)
        if answer.status == 402:
            assert "paymentToken" in body, answer
            self.refused[key] = answer.bytes
            self.open = None
        elif answer.status == 201:
            order = answer.json["orderId"]
            assert "paymentToken" not in body and order not in self.known, answer
            self.placed[key] = (body, answer.bytes)
            self.known[order] = "Received"
            self.alive.append(order)
            self.open = None
        else:
            assert answer.status == 503, answer

    def ask_again(self):
        """X5: the same answer, whatever happened since."""
        if self.placed:
            key = self.chance.choice(list(self.placed))
            body, first = self.placed[key]
            answer = self.services.post(APP, "/orders", body, Idempotency_Key=key)
            assert (answer.status, answer.bytes) == (201, first) or answer.status == 503, (first, answer)

    def look(self):
        """Order and payment are there from the 201 on, all else is soon."""
        if self.known:
            order = self.chance.choice(list(self.known))
            service, path, may_lack = self.chance.choice([
                (APP, f"/orders/{order}", False), (PAY, f"/payments/{order}", False),
                (STORE, f"/fulfillments/{order}", True), (DASHBOARD, f"/orderInfos/{order}", True),
                (CUSTOMER, f"/notifications?orderId={order}", False)])
            answer = self.services.get(service, path)
            assert answer.status in (200, 503) or may_lack and answer.status == 404, (path, answer)

    def cancel(self, order):
        self.asked[order].add("cancel")
        answer = self.services.post(APP, f"/orders/{order}/cancel", None, Prefer="wait=2")
        if answer.status == 200:
            self.known[order] = "Withdrawn"
        elif answer.status == 409:  # a start that wasn't acknowledged was faster; or what was asked for before
            self.learn(order)
        else:
            assert answer.status in (202, 503), answer

    def act(self, order, action):
        self.asked[order].add(action)
        headers = {"Idempotency_Key": self.key()} if self.chance.random() < 0.5 else {}
        answer = self.services.post(STORE, f"/fulfillments/{order}/{action}", None, **headers)
        if answer.status == 200:
            self.known[order] = answer.json["status"]
        elif answer.status == 409:  # something that wasn't acknowledged had its effect before
            self.learn(order)
        else:
            assert answer.status == 503 or answer.status == 404 and self.known[order] == "Received", answer

    def learn(self, order):
        ticket = self.services.get(STORE, f"/fulfillments/{order}")
        if ticket.status == 200:
            self.check(order, ticket.json["status"])
            self.known[order] = ticket.json["status"]

    def check(self, order, status):
        """I8: what was acknowledged is so, or further, and nothing is that nobody asked for."""
        known, asked = self.known[order], self.asked[order]
        assert status in follows(known), f"order {order} was acknowledged as {known}, and is {status}"
        wanted = {"Withdrawn": "cancel", "Rejected": "reject", "Failed": "fail"}.get(status)
        assert wanted is None or wanted in asked, f"order {order} is {status}, and {asked} was asked for"

    def go_on(self):
        running = self.running()
        if not running:
            return
        order = self.chance.choice(running)
        status = self.known[order]
        if status in CANCELABLE and self.chance.random() < 0.2:
            self.cancel(order)
        else:
            actions = ACTIONS[status]
            seldom = [each for each in actions if each in SELDOM]
            self.act(order, seldom[0] if seldom and self.chance.random() < 0.08 else next(iter(actions)))

    def running(self):
        return [order for order in self.alive if self.known[order] in ACTIONS]

    def step(self):
        self.alive = self.running()
        weights = (40 if self.open or len(self.alive) < RUNNING else 0, 45, 5, 10)
        self.chance.choices((self.place, self.go_on, self.ask_again, self.look), weights)[0]()

    def run(self, stop):
        while not stop.is_set():
            try:
                self.step()
            except LOST:
                stop.wait(0.01)  # for whoever was killed to be started
            except Exception as failure:  # told by the thread that started this one
                self.failure = failure
                return

    def finish(self, order):
        """The owner's part, for an order that was acknowledged. Returns how its ticket ended."""
        ticket = soon(lambda: self.ticket(order), f"order {order} has a ticket", 6 * SOON)
        self.check(order, ticket)
        while ticket in ACTIONS:
            self.act(order, next(iter(ACTIONS[ticket])))
            ticket = self.ticket(order)
        return ticket

    def ticket(self, order):
        answer = self.services.get(STORE, f"/fulfillments/{order}")
        return answer.json["status"] if answer.status == 200 else None

    def has_its_answer(self):
        if self.open:
            self.place()
        return self.open is None


class Crowd:
    """Guests at once."""

    def __init__(self, services, chance, size=8):
        self.services = services
        self.guests = [Guest(services, random.Random(chance.random())) for _ in range(size)]
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=each.run, args=(self.stop,)) for each in self.guests]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *failure):
        self.stop.set()
        for thread in self.threads:
            thread.join()
        self.tell()

    def tell(self):
        for each in self.guests:
            if each.failure:
                raise each.failure

    def placed(self):
        self.tell()
        return sum(len(each.placed) for each in self.guests)

    def placed_more(self, than, count=1):
        soon(lambda: self.placed() >= than + count, "orders are taken", 6 * SOON)

    def finish(self):
        """What was asked for is answered, and each order goes its way to the end. Returns how many tickets ended how."""
        for each in self.guests:
            soon(each.has_its_answer, "what was asked for is answered", 6 * SOON)
            for order in each.running():
                each.finish(order)
        tickets = self.statuses(STORE, "/fulfillments")
        for each in self.guests:
            for order in each.known:
                each.check(order, tickets[order])
                assert tickets[order] in ENDS, f"order {order} is {tickets[order]} at the end"
        wanted = {order: ENDS[tickets[order]] for each in self.guests for order in each.known}
        differ = lambda: wanted.items() - self.statuses(APP, "/orders").items()
        soon(lambda: not differ(), "each order ends as its ticket", 6 * SOON)
        return collections.Counter(tickets[order] for order in wanted)

    def statuses(self, service, path):
        """Of all, page by page."""
        found, after = {}, 0
        while page := self.services.listed(service, path, limit=1000, after=after):
            found.update((each["orderId"], each["status"]) for each in page)
            after = page[-1]["orderId"]
        return found


def assert_whole(services, apart_ms=invariants.APART_MS):
    """Once all is at rest, the services, apart or in one process, end, and every invariant holds. Customer has the one
    channel file:FOLDER/told.txt."""
    moving = []

    def is_at_rest():
        moving[:] = invariants.going_on(services.stores)
        return not moving

    try:
        soon(is_at_rest, "all is at rest", 9 * SOON)
    except AssertionError as late:
        raise AssertionError(f"not at rest: {moving}") from late
    ended = services.stop()
    assert ended == 0 or isinstance(ended, dict) and set(ended.values()) == {0}, ended
    told = invariants.deliveries(os.path.join(services.folder, "told.txt"))
    found = invariants.violations(services.stores, "file", told, apart_ms)
    assert not found, found
