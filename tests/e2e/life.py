# SPDX-License-Identifier: Apache-2.0
"""Callers that load a shop and remember what they were told."""

import collections
import http.client

from crowd import assert_whole
from shop import APP, SEED, SOON, STORE, soon

NEXT = {"Received": "accept", "Accepted": "start", "Preparing": "ready", "Ready": "pickup"}


class Life:
    """What one caller was told of the orders that it placed; nobody else touches them."""

    def __init__(self, shop, chance):
        self.shop = shop
        self.chance = chance
        self.known = {}  # the ticket's last acknowledged status
        self.placed = {}  # key → order
        self.keys = 0
        self.open = None  # an order that was asked for and not answered: its key
        self.name = f"{chance.getrandbits(64):x}"

    def place(self):
        """Under a key of its own, which is repeated until there is an answer."""
        if self.open is None:
            self.keys += 1
            self.open = f"{self.name}-{self.keys}"
        answer = self.shop.post(APP, "/orders", SEED, Idempotency_Key=self.open)
        if answer.status == 201:
            order = answer.json["orderId"]
            assert order not in self.known, f"order {order} was given twice"
            self.known[order] = "Received"
            self.placed[self.open] = order
            self.open = None

    def has_its_answer(self):
        if self.open is not None:
            self.place()
        return self.open is None

    def go_on(self):
        order = self.chance.choice([each for each, status in self.known.items() if status in NEXT] or [None])
        if order is None:
            return
        status = self.known[order]
        if status in ("Received", "Accepted") and self.chance.random() < 0.2:
            answer = self.shop.post(APP, f"/orders/{order}/cancel", None, Prefer="wait=10")
            if answer.status == 200:
                self.known[order] = "Withdrawn"
            elif answer.status == 409:  # a start that wasn't acknowledged was faster
                self.known[order] = "Preparing"
            return
        answer = self.shop.post(STORE, f"/fulfillments/{order}/{NEXT[status]}")
        if answer.status == 200:
            self.known[order] = answer.json["status"]
        elif answer.status == 409:  # it had its effect before, without being acknowledged
            self.known[order] = self.shop.get(STORE, f"/fulfillments/{order}").json["status"]

    def step(self):
        if self.chance.random() < 0.4 or not self.known:
            self.place()
        else:
            self.go_on()

    def run(self, stop):
        while not stop.is_set():
            try:
                self.step()
            except (OSError, http.client.HTTPException, ValueError):
                return  # it was killed


def violated(status, ticket):
    """I8: what was acknowledged is so, or further. Returns what isn't."""
    way = ["Received", "Accepted", "Preparing", "Ready", "PickedUp"]
    if ticket == "Withdrawn":  # or a cancel had its effect without being acknowledged
        is_kept = status in ("Received", "Accepted", "Withdrawn")
    else:
        is_kept = status != "Withdrawn" and way.index(ticket) >= way.index(status)
    return None if is_kept else f"{status} was acknowledged, and it is {ticket}"


def bring_to_end(shop, callers):
    """What callers were told is so, or further; then each order goes its way to the end, and so does the shop, which has
    the one channel file:FOLDER/told.txt. Returns how many tickets ended how."""
    for each in callers:
        soon(each.has_its_answer, "what was asked for is answered", 6 * SOON)
    known = {order: status for each in callers for order, status in each.known.items()}
    tickets = collections.Counter()
    for order, status in known.items():
        ticket = shop.get(STORE, f"/fulfillments/{order}").json["status"]
        wrong = violated(status, ticket)
        assert wrong is None, f"order {order}: {wrong}"
        while ticket in NEXT:
            shop.act(order, NEXT[ticket])
            ticket = shop.get(STORE, f"/fulfillments/{order}").json["status"]
        tickets[ticket] += 1
    assert_whole(shop)
    return tickets
