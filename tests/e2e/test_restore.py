# SPDX-License-Identifier: Apache-2.0
"""A shop is lost, and restored from a backup that was made under load: what its orders, its clients, its dashboard and
the gateway's books are afterwards (docs/operations.md, Restore)."""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import threading
import unittest

import invariants
from life import NEXT, Life, violated
from shop import APP, DASHBOARD, PAY, SEED, STORE, UPKEEP, Case, binary, soon
from test_stream import Stream

BINARY = binary()
CALLERS = 8
LEAP = 10**12  # numbers given out after a restore are beyond, those before it below


class Restored(Case):
    options = ("--upkeep", "{upkeep}", "--channel", "file:{folder}/told.txt")

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def restore(self, backup, store="shop.db"):
        return subprocess.run([BINARY, "--restore", backup, "--store", f"sqlite:{self.path(store)}"],
                              capture_output=True, text=True, timeout=60)

    def lose(self):
        """The process and its store; the gateway keeps its books."""
        self.shop.stop(signal.SIGKILL)
        os.mkdir(self.path("lost"))
        for name in os.listdir(self.folder.name):
            if name.startswith("shop.db") and ".backup-" not in name and not name.endswith(".sandbox"):
                os.rename(self.path(name), self.path(f"lost/{name}"))

    def sent(self, store):
        """The ids of its messages that were delivered."""
        with sqlite3.connect(f"file:{store}?mode=ro", uri=True) as database:
            return {f"{order}-{number}" for order, number in
                    database.execute("SELECT order_id, number FROM notifications WHERE status = 'Sent'")}

    def position_is_refused(self, token):
        answer = self.shop.get(DASHBOARD, f"/orderInfos?after-position={token}")
        self.assert_problem(answer, 422, "invalid")
        self.assertEqual([each["field"] for each in answer.json["errors"]], ["after-position"])
        self.assertIn("look again, by a read without a position", answer.json["errors"][0]["message"])

    # X17: a backup under load; more happens; all is lost but the gateway's books; the backup becomes the store.
    def test_a_backup_under_load_becomes_a_shop_that_goes_on(self):
        seed = int(os.environ.get("CAFE_SEED", random.randrange(2**32)))
        print(f"CAFE_SEED={seed}")
        chance = random.Random(seed)
        callers = [Life(self.shop, random.Random(chance.random())) for _ in range(CALLERS)]
        stop = threading.Event()
        threads = [threading.Thread(target=each.run, args=(stop,)) for each in callers]
        for thread in threads:
            thread.start()

        def placed():
            return sum(len(each.placed) for each in callers)

        soon(lambda: placed() > 60, "orders are placed", 60)
        known = {order: status for each in callers for order, status in dict(each.known).items()}
        early = self.shop.post(APP, "/orders", SEED, Idempotency_Key="early")
        backup = self.shop.post(UPKEEP, "/upkeep/backup").json["file"]
        late = self.shop.post(APP, "/orders", SEED, Idempotency_Key="late")
        follower = Stream(self.shop)
        count = placed()
        soon(lambda: placed() > count + 60, "more orders are placed", 60)
        seen = follower.next()["id"]
        follower.close()
        stop.set()
        for thread in threads:
            thread.join()
        self.lose()
        self.assertEqual(self.restore(backup).returncode, 0)
        self.assertTrue(self.sent(self.path("shop.db")))
        kept = self.sent(self.path("shop.db"))
        given = set(invariants.books(self.path("shop.db.sandbox")))
        self.shop.options[-1] = f"file:{self.path('told-again.txt')}"
        self.shop.start()

        self.check_what_is_there({**known, early.json["orderId"]: "Received"})
        self.check_clients(callers, given, early, late)
        self.check_dashboard(early.headers["Cafe-Position"], late.headers["Cafe-Position"], seen)
        self.bring_to_end()
        self.check_end(kept, given)

    def check_what_is_there(self, known):
        """All that was acknowledged before the backup was asked for, or what followed."""
        for order, status in known.items():
            ticket = self.shop.get(STORE, f"/fulfillments/{order}")
            self.assertEqual(ticket.status, 200, order)
            self.assertIsNone(violated(status, ticket.json["status"]), order)

    def check_clients(self, callers, given, early, late):
        """Who repeats a request finds its order, or gets a new one where it was lost, by a number that nobody had."""
        again = self.shop.post(APP, "/orders", SEED, Idempotency_Key="early")
        self.assertEqual((again.status, again.bytes), (201, early.bytes))
        again = self.shop.post(APP, "/orders", SEED, Idempotency_Key="late")
        self.assertEqual(again.status, 201)
        numbers = {"late": again.json["orderId"]}
        lost = {"late": late.json["orderId"]}
        for each in callers:
            for key, order in each.placed.items():
                again = self.shop.post(APP, "/orders", SEED, Idempotency_Key=key)
                self.assertEqual(again.status, 201)
                if again.json["orderId"] != order:
                    numbers[key], lost[key] = again.json["orderId"], order
        self.assertGreater(len(numbers), 30)
        self.assertEqual(len(set(numbers.values())), len(numbers))
        self.assertGreater(min(numbers.values()), LEAP)
        self.assertLess(max(given), LEAP)
        for order in lost.values():
            self.assert_problem(self.shop.get(APP, f"/orders/{order}"), 404, "not-found")
        # What was paid for them is in the gateway's books alone: those with a number that the store doesn't know.
        unknown = given - {int(each["orderId"]) for each in self.listed_all(PAY, "/payments")}
        self.assertLessEqual(set(lost.values()), unknown)

    def listed_all(self, service, path):
        found, after = [], 0
        while page := self.shop.listed(service, path, limit=1000, after=after):
            found += page
            after = page[-1]["orderId"]
        return found

    def check_dashboard(self, early, late, seen):
        self.position_is_refused(early)
        self.position_is_refused(late)
        placed = self.shop.post(APP, "/orders", SEED)
        now = placed.headers["Cafe-Position"]
        answer = self.shop.get(DASHBOARD, f"/orderInfos/{placed.json['orderId']}?after-position={now}")
        self.assertEqual((answer.status, answer.json["status"]), (200, "Ordered"))
        log, shard, _ = now.split(".")
        self.position_is_refused(f"{log}.{shard}.99999999")
        # Whoever followed the lost log is told all of the restored one, from the start.
        orders = {each["orderId"] for each in self.listed_all(APP, "/orders")}
        old, new = Stream(self.shop, seen), Stream(self.shop, "never")
        try:
            events = [old.next()]
            while events[-1]["data"]["orderId"] != placed.json["orderId"]:
                events.append(old.next())
            self.assertEqual([each["id"] for each in events], [new.next()["id"] for _ in events])
        finally:
            old.close()
            new.close()
        self.assertEqual({each["data"]["orderId"] for each in events}, orders)
        self.assertTrue(all(each["id"].startswith(f"{log}.") for each in events))

    def bring_to_end(self):
        """The operator's part: where the gateway has given money back since, the order is canceled; the others go on."""
        books = invariants.books(self.path("shop.db.sandbox"))
        for each in self.listed_all(STORE, "/fulfillments"):
            order, status = each["orderId"], each["status"]
            if status in NEXT and "void" in books[order]:
                self.assertEqual(self.shop.post(APP, f"/orders/{order}/cancel", None, Prefer="wait=10").status, 200)
                continue
            while status in NEXT:
                self.shop.act(order, NEXT[status])
                status = self.status(STORE, f"/fulfillments/{order}")
        soon(lambda: not invariants.going_on(self.shop.stores), "all messages are sent, all rows are there", 90)

    def check_end(self, kept, given):
        orders = {each["orderId"] for each in self.listed_all(APP, "/orders")}
        self.assertEqual({each["orderId"] for each in self.listed_all(DASHBOARD, "/orderInfos")}, orders)
        self.assertEqual(self.shop.stop(), 0)
        # What was delivered before the backup, and all since the restore: what the lost store told is nobody's.
        told = [each for each in invariants.deliveries(self.path("told.txt")) if each["notificationId"] in kept]
        told += invariants.deliveries(self.path("told-again.txt"))
        self.assertEqual(invariants.violations(self.path("shop.db"), "file", told), [])
        new = set(invariants.books(self.path("shop.db.sandbox"))) - given
        self.assertTrue(new)
        self.assertGreater(min(new), LEAP)

    # X17: what can't be restored, or not there, is refused, and nothing is changed.
    def test_a_restore_that_cannot_be_is_one_line_and_status_2(self):
        self.shop.order()
        backup = self.shop.post(UPKEEP, "/upkeep/backup").json["file"]
        damaged = shutil.copy(backup, self.path("damaged"))
        with open(damaged, "r+b") as file:
            file.seek(os.path.getsize(damaged) // 2)
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 1]))
        before = sorted(os.listdir(self.folder.name))
        for name, store in ((backup, "shop.db"), (self.path("absent"), "other.db"), (damaged, "other.db"),
                            (self.path("shop.db"), "other.db"), (backup, "nowhere/other.db")):
            run = self.restore(name, store)
            self.assertEqual((run.returncode, run.stdout), (2, ""), run)
            self.assertEqual((run.stderr[:11], run.stderr.count("\n")), ("cafe-shop: ", 1), run.stderr)
        run = subprocess.run([BINARY, "--restore", backup, "--store", "memory:"], capture_output=True, text=True,
                             timeout=60)
        self.assertEqual((run.returncode, run.stdout), (2, ""), run)
        self.assertEqual([each for each in sorted(os.listdir(self.folder.name)) if not each.endswith("-lock")],
                         [each for each in before if not each.endswith("-lock")])
        self.shop.order()

    def test_what_was_restored_is_said_and_what_became_of_the_ledger(self):
        self.shop.order()
        backup = self.shop.post(UPKEEP, "/upkeep/backup").json["file"]
        self.lose()
        for store, said in (("shop.db", "the ledger beside it"), ("other.db", "put the latest .sandbox file")):
            run = self.restore(backup, store)
            self.assertEqual((run.returncode, run.stderr, run.stdout.count("\n")), (0, "", 1), run)
            self.assertIn(f"{self.path(store)} is restored from {backup}; ", run.stdout)
            self.assertIn(said, run.stdout)


if __name__ == "__main__":
    unittest.main()
