# SPDX-License-Identifier: Apache-2.0
"""What an operator does with a running shop: copies it, takes up what it couldn't do, and lets it forget."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import unittest

from prometheus import Metrics
from shop import APP, CUSTOMER, DASHBOARD, SEED, UPKEEP, Case, Shop, binary, preloaded, soon

BINARY = binary()
GUEST = os.path.abspath(sys.argv.pop(1))  # guest_shop.c
BAD_DISK = os.path.abspath(sys.argv.pop(1))  # the library to preload
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACE = f"00-{TRACE_ID}-00f067aa0ba902b7-01"


class Operated(Case):
    options = ("--upkeep", "{upkeep}")

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def backups(self):
        return [name for name in os.listdir(self.folder.name) if ".backup-" in name]

    def rows(self, sql):
        with sqlite3.connect(f"file:{self.path('shop.db')}?mode=ro", uri=True) as store:
            return store.execute(sql).fetchall()

    def kill(self):
        self.shop.stop(signal.SIGKILL)
        self.shop.start()


class Poisoned(Operated):
    """guest_shop's newcomer can't do anything with orders of a product "unknown…"."""

    program = GUEST

    def letters(self, **filters):
        return self.shop.listed(UPKEEP, "/upkeep/letters", **filters)

    def letters_soon(self, count, **filters):
        soon(lambda: len(self.letters(**filters)) == count, f"{count} letters", 60)
        return self.letters(**filters)

    def dead_letters(self, service=UPKEEP):
        return Metrics(self.shop.get(service, "/metrics").bytes.decode())["cafe_dead_letters"]

    def points(self):
        return {order: (product, qty, is_given) for order, product, qty, is_given
                in self.rows("SELECT order_id, product_id, qty, is_given FROM points_rows")}

    def poison(self, product="unknown-9"):
        """An order that is picked up: two records, of which the newcomer can't take the first."""
        answer = self.shop.post(APP, "/orders", {**SEED, "productId": product}, traceparent=TRACE)
        self.assertEqual(answer.status, 201)
        self.shop.act(answer.json["orderId"], "accept", "start", "ready", "pickup")
        return answer.json["orderId"]

    def replay(self, letter, fields=None):
        return self.shop.post(UPKEEP, f"/upkeep/letters/{letter}/replay", fields)

    # X10: a record that nothing can be done with becomes a dead letter, shows, and holds up nobody but its own key.
    def test_a_poison_record_is_parked_and_the_orders_behind_it_go_on(self):
        poison = self.poison()
        others = [self.shop.order(productId="10") for _ in range(20)]
        parked, waiting = self.letters_soon(2)
        soon(lambda: set(self.points()) == set(others), "the others have their points")
        self.assertEqual((parked["key"], parked["state"], parked["attempts"], parked["code"], parked["event"]),
                         (poison, "parked", 5, "invalid", "Ordered"))
        self.assertIn("nobody knows what unknown-9 is worth", parked["error"])
        self.assertEqual(parked["data"]["productId"], "unknown-9")
        self.assertIn(TRACE_ID, parked["trace"])
        self.assertEqual((waiting["key"], waiting["state"], waiting["attempts"], waiting["event"]),
                         (poison, "waiting", 0, "OrderPickedUp"))
        self.assertEqual(self.letters(state="parked"), [parked])
        self.assertEqual(self.shop.get(UPKEEP, parked["_links"]["self"]["href"]).json, parked)
        self.assertEqual([self.dead_letters(UPKEEP), self.dead_letters(APP)], [2, 2])
        said = [line for line in self.shop.logged().splitlines() if "is parked after 5 tries" in line]
        self.assertEqual(len(said), 1, said)
        self.assertTrue("error" in said[0] and f"key={poison} " in said[0] and TRACE_ID in said[0], said)
        # What is behind it isn't tried before it; the shop itself never noticed.
        self.assert_problem(self.replay(waiting["letterId"]), 409, "wrong-state")
        self.assertEqual(self.status(APP, f"/orders/{poison}"), "PickedUp")

    # X10: it is edited and replayed, and what waited behind it goes on; another is dropped, with the reason in the log.
    def test_a_dead_letter_is_edited_and_replayed_and_another_is_dropped(self):
        mended, given_up = self.poison(), self.poison("unknown-10")
        self.letters_soon(4)
        first = self.letters(key=mended, state="parked")[0]["letterId"]
        again = self.replay(first)
        self.assert_problem(again, 409, "wrong-state")
        self.assertIn("nobody knows what unknown-9 is worth", again.json["detail"])
        self.assertEqual(self.letters(key=mended)[0]["attempts"], 6)
        for fields, name in (({"productID": "10"}, "productID"), ({"qty": "many"}, "qty"), ({"amount": 1.5}, "amount")):
            wrong = self.replay(first, fields)
            self.assert_problem(wrong, 422, "invalid")
            self.assertEqual([each["field"] for each in wrong.json["errors"]], [name])
        self.assertEqual(self.replay(first, {"productId": "latte", "qty": 3}).json, {"letterId": first})
        soon(lambda: self.points() == {mended: ("latte", 3, 1)}, "it has its points, and they are given")
        self.assertEqual(self.letters(key=mended), [])
        self.assert_problem(self.replay(first), 404, "not-found")
        # Only the newcomer heard of the edit.
        self.assertEqual(self.shop.get(APP, f"/orders/{mended}").json["productId"], "unknown-9")

        second = f"/upkeep/letters/{self.letters(key=given_up, state='parked')[0]['letterId']}/drop"
        self.assert_problem(self.shop.post(UPKEEP, second, {"reason": ""}), 422, "invalid")
        self.assert_problem(self.shop.post(UPKEEP, second), 400, "malformed")
        self.assertEqual(self.shop.post(UPKEEP, second, {"reason": "a guest who was\nnever here"}).status, 200)
        self.letters_soon(0)
        self.assertEqual(self.dead_letters(), 0)
        self.assertNotIn(given_up, self.points())
        said = [line for line in self.shop.logged().splitlines() if "a guest who was" in line]
        self.assertEqual(len(said), 1, said)
        self.assertTrue(f"key={given_up} " in said[0] and TRACE_ID in said[0] and "never here" in said[0], said)

    # X10, X7: wherever the process is killed, each record has its effect once, or is a letter.
    def test_a_kill_at_any_moment_leaves_the_letter_or_its_effect(self):
        chance = random.Random(10)
        order = self.poison()
        soon(lambda: f"key={order}" in "".join(line for line in self.shop.logged().splitlines() if " warn " in line),
             "it failed for the first time")
        self.kill()
        letters = self.letters_soon(2)
        self.assertEqual(letters[0]["attempts"], 5)
        for _ in range(6):
            self.kill()
            self.assertEqual(self.letters(), letters)
            self.assertEqual(self.dead_letters(), 2)
            replay = threading.Thread(target=self.try_to_replay, args=(letters[0]["letterId"],))
            replay.start()
            replay.join(chance.uniform(0, 0.01))  # the moment itself, not something that is waited for
            self.kill()
            replay.join()
            if len(self.letters()) < 2:
                self.assert_took_effect_once(order)
                order = self.poison()
                letters = self.letters_soon(2)
        self.assertIn(self.replay(letters[0]["letterId"], {"productId": "10"}).status, (200, 404))
        self.kill()
        self.assert_took_effect_once(order)
        given_up = self.poison()
        letter = self.letters_soon(2)[0]["letterId"]
        self.assertEqual(self.shop.post(UPKEEP, f"/upkeep/letters/{letter}/drop", {"reason": "enough"}).status, 200)
        self.kill()
        self.letters_soon(0)
        self.assertNotIn(given_up, self.points())

    def try_to_replay(self, letter):
        try:
            self.replay(letter, {"productId": "10"})
        except OSError:
            pass  # it was killed

    def assert_took_effect_once(self, order):
        soon(lambda: self.points().get(order) == ("10", 1, 1), "it has its points once, and they are given")
        self.letters_soon(0)


class Copied(Operated):
    def test_nothing_of_it_is_reachable_where_nobody_asked_for_it(self):
        for service in range(APP, DASHBOARD + 1):
            self.assert_problem(self.shop.post(service, "/upkeep/backup"), 404, "not-found")
        with Shop(BINARY, self.folder.name, "--store", "memory:").started() as other:
            self.assertRaises(OSError, other.post, UPKEEP, "/upkeep/backup")
        for address in (f"127.0.0.1:{self.shop.base + DASHBOARD}", "127.0.0.1", f"127.0.0.1:{self.shop.base + UPKEEP}"):
            run = subprocess.run(Shop(BINARY, self.folder.name).command("--listen", f"127.0.0.1:{self.shop.base}",
                                                                        "--upkeep", address),
                                 capture_output=True, text=True, timeout=30)
            self.assertEqual((run.returncode, run.stdout), (2, ""), run.stderr)

    def test_a_store_in_memory_has_no_backup(self):
        with Shop(BINARY, self.folder.name, "--store", "memory:", "--upkeep", "{upkeep}").started() as shop:
            answer = shop.post(UPKEEP, "/upkeep/backup")
            self.assert_problem(answer, 409, "wrong-state")
            self.assertIn("memory", answer.json["detail"])
        self.assertEqual(self.backups(), [])


class CopiedBadly(Operated):
    def setUp(self):
        super().setUp()
        self.shop.stop()
        self.shop.environment = {"LD_PRELOAD": preloaded(BAD_DISK, self.folder.name), "BAD_DISK": self.path("fault"), "BAD_DISK_FILES": ".backup-",
                                 "ASAN_OPTIONS": "verify_asan_link_order=0"}
        self.shop.start()

    def disk_is(self, how):
        with open(self.path("fault.new"), "w", encoding="utf-8") as file:
            file.write(how)
        os.rename(self.path("fault.new"), self.path("fault"))

    def test_a_backup_that_has_no_room_is_told_why_and_leaves_nothing(self):
        self.disk_is("full")
        answer = self.shop.post(UPKEEP, "/upkeep/backup")
        self.assert_problem(answer, 503, "not-ready")
        self.assertIn("full", answer.json["detail"])
        self.assertEqual(self.backups(), [])
        self.shop.order()
        os.unlink(self.path("fault"))
        self.assertEqual([self.shop.post(UPKEEP, "/upkeep/backup").json["file"]],
                         [self.path(name) for name in self.backups()])

    def test_a_drain_ends_a_backup_that_hangs(self):
        self.disk_is("hang")
        answers = []
        caller = threading.Thread(target=lambda: answers.append(self.shop.post(UPKEEP, "/upkeep/backup")))
        caller.start()
        soon(self.backups, "it has begun")
        self.assertEqual(self.shop.get(UPKEEP, "/livez").status, 200)
        self.assertEqual(answers, [])
        self.shop.process.send_signal(signal.SIGTERM)
        caller.join()
        self.assert_problem(answers[0], 503, "not-ready")
        os.unlink(self.path("fault"))
        self.assertEqual(self.shop.stop(), 0)
        self.assertEqual([name for name in self.backups() if name.endswith(".part")], [])


class Forgotten(Operated):
    options = ("--upkeep", "{upkeep}", "--channel", "file:{folder}/told.txt")

    def forget(self, before):
        return self.shop.post(UPKEEP, "/upkeep/forget", {"notificationsBefore": before})

    def notifications(self, order):
        return self.shop.listed(CUSTOMER, "/notifications", orderId=order)

    def test_messages_that_were_sent_before_a_time_are_forgotten_and_nothing_else(self):
        old = self.shop.order()
        self.shop.act(old, "accept")
        self.shop.expect_told(old, "Ordered", "OrderAccepted")
        new = self.shop.order()
        self.shop.expect_told(new, "Ordered")
        kept = self.notifications(new)
        self.assertEqual(self.forget(kept[0]["createdAt"]).json, {"notifications": 2})
        self.kill()
        self.assertEqual((self.notifications(old), self.notifications(new)), ([], kept))
        self.assertEqual(self.shop.events(old), ["Ordered", "OrderAccepted"])
        self.assertEqual(self.forget(kept[0]["createdAt"]).json, {"notifications": 0})
        self.shop.act(old, "start", "ready")
        soon(lambda: [each["event"] for each in self.notifications(old)] == ["CoffeeDone"], "what is new is told")

    def test_a_time_that_is_none_or_not_past_is_refused(self):
        for before in ("2999-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "yesterday", 7, None):
            answer = self.forget(before)
            self.assert_problem(answer, 422, "invalid")
            self.assertEqual([each["field"] for each in answer.json["errors"]], ["notificationsBefore"], before)


class NotSent(Operated):
    options = ("--upkeep", "{upkeep}", "--channel", "http://127.0.0.1:9/")

    def test_a_message_that_was_not_sent_yet_is_never_forgotten(self):
        order = self.shop.order()
        row = self.shop.listed(CUSTOMER, "/notifications", orderId=order)[0]
        later = self.shop.order()
        before = self.shop.get(APP, f"/orders/{later}").json["createdAt"]
        answer = self.shop.post(UPKEEP, "/upkeep/forget", {"notificationsBefore": before})
        self.assertEqual(answer.json, {"notifications": 0})
        found = self.shop.listed(CUSTOMER, "/notifications", orderId=order)
        self.assertEqual([(each["notificationId"], each["status"]) for each in found], [(row["notificationId"], "Queued")])


if __name__ == "__main__":
    unittest.main()
