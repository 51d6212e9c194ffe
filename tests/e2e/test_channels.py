# SPDX-License-Identifier: Apache-2.0
"""Channels over HTTP, from a real cafe-shop to real servers: what arrives, what is tried again, what is kept secret."""

import json
import os
import signal
import sqlite3
import subprocess
import tempfile
import unittest

from receiver import Receiver
from shop import CUSTOMER, Shop, binary, soon

BINARY = binary()
TOLD = ["Ordered", "OrderAccepted", "CoffeeDone", "OrderPickedUp"]
TOKEN = "t0ken-that-nobody-may-see-91f3"


class Channels(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def receiver(self, *args, **named):
        receiver = Receiver(*args, **named)
        self.addCleanup(receiver.close)
        return receiver

    def open_shop(self, *options, **environment):
        self.shop = Shop(BINARY, self.folder.name, *options)
        self.shop.environment = environment
        self.addCleanup(self.shop.stop, signal.SIGKILL)
        return self.shop.start()

    def path(self, name, content=None):
        path = os.path.join(self.folder.name, name)
        if content is not None:
            with open(path, "w", encoding="utf-8") as file:
                file.write(content)
        return path

    def rows(self, order):
        return self.shop.listed(CUSTOMER, "/notifications", orderId=order)

    def play(self, **fields):
        order = self.shop.order(**fields)
        self.shop.act(order, "accept", "start", "ready", "pickup")
        return order

    # What arrives.

    # F8: a message at every change, in order, on a pluggable channel.
    def test_a_webhook_gets_every_message_once_and_in_order(self):
        receiver = self.receiver()
        self.open_shop("--channel", receiver.url("/hook?from=shop"))
        customers = {self.play(customerId=name): name for name in ("손님 \"일\"", "b\\c", "d/e\u200b")}
        for order in customers:
            self.shop.expect_told(order, *TOLD)
        self.assertEqual(len(receiver.messages), len(TOLD) * len(customers))
        for order, name in customers.items():
            got = [message for message in receiver.messages if message.json["orderId"] == order]
            self.assertEqual([message.json["event"] for message in got], TOLD)
            for row, message in zip(self.rows(order), got):
                self.assertEqual(message.path, "/hook?from=shop")
                self.assertEqual(message.headers["Content-Type"], "application/json")
                self.assertEqual(message.headers.get_all("Idempotency-Key"), [row["notificationId"]])
                self.assertIsNone(message.headers["Authorization"])
                self.assertEqual(message.json, {
                    "notificationId": row["notificationId"], "orderId": order, "customerId": name,
                    "event": row["event"], "message": row["message"], "attempt": 1})
                self.assertEqual((row["channel"], row["status"], row["attempts"]), ("webhook", "Sent", 1))

    # F8: a channel is pluggable: this one is KakaoTalk's.
    def test_kakao_gets_a_template_for_each_message(self):
        kakao = self.receiver(lambda message: (200, {}, b'{"result_code":0}'))
        self.open_shop("--channel", "kakao:", "--kakao-base", kakao.url(""), "--kakao-link", "https://shop.example/a",
                       CAFE_KAKAO_TOKEN=TOKEN)
        order = self.play()
        self.shop.expect_told(order, *TOLD)
        for row, message in zip(self.rows(order), kakao.messages):
            self.assertEqual(message.path, "/v2/api/talk/memo/default/send")
            self.assertEqual(message.headers["Authorization"], f"Bearer {TOKEN}")
            self.assertEqual(list(message.form), ["template_object"])
            self.assertEqual(json.loads(message.form["template_object"]), {
                "object_type": "text", "text": row["message"],
                "link": {"web_url": "https://shop.example/a", "mobile_web_url": "https://shop.example/a"}})
            self.assertEqual(row["channel"], "kakao")

    def test_kakao_sends_a_custom_template_to_friends(self):
        kakao = self.receiver(lambda message: (200, {}, b'{"successful_receiver_uuids":["a-1","b-2"]}'))
        self.open_shop("--channel", "kakao:friends?uuids=a-1,b-2", "--kakao-base", kakao.url(""), "--kakao-template",
                       "4711", "--kakao-token-file", self.path("token", f"{TOKEN}\n"))
        order = self.shop.order()
        self.shop.expect_told(order, "Ordered")
        (message,), (row,) = kakao.messages, self.rows(order)
        self.assertEqual(message.path, "/v1/api/talk/friends/message/send")
        self.assertEqual(message.headers["Authorization"], f"Bearer {TOKEN}")
        self.assertEqual(json.loads(message.form["receiver_uuids"]), ["a-1", "b-2"])
        self.assertEqual(message.form["template_id"], "4711")
        self.assertEqual(json.loads(message.form["template_args"]), {
            "notificationId": row["notificationId"], "orderId": str(order), "customerId": "cdgri", "event": "Ordered",
            "message": row["message"]})

    # What is tried again.

    def test_a_busy_receiver_is_asked_again_under_the_same_key(self):
        busy = {"left": 2}

        def answer(message):
            busy["left"] -= 1
            return (503, {"Retry-After": "1"}, b"later") if busy["left"] >= 0 else (200, {}, b"ok")
        receiver = self.receiver(answer)
        self.open_shop("--channel", receiver.url())
        order = self.shop.order()
        self.shop.expect_told(order, "Ordered")
        row, = self.rows(order)
        self.assertEqual(receiver.keys(), [row["notificationId"]] * 3)
        self.assertEqual([message.json["attempt"] for message in receiver.messages], [1, 2, 3])
        self.assertEqual(row["attempts"], 3)
        self.assertIn(f"channel webhook: http://127.0.0.1:{receiver.port} answered 503: later", self.shop.logged())

    # N3b: a channel that is down: ordering goes on, and after it has come back none is lost and none comes twice.
    def test_a_receiver_that_is_down_holds_up_nobody_and_misses_nothing(self):
        gone = Receiver()
        gone.close()
        self.open_shop("--channel", gone.url())
        orders = [self.play() for _ in range(10)]
        soon(lambda: "connect" in self.shop.logged(), "the failure is logged")
        receiver = self.receiver(port=gone.port)
        for order in orders:
            soon(lambda: self.shop.delivered(order) and len(self.shop.delivered(order)) == len(TOLD),
                 f"order {order}'s messages arrive", 60)
        self.assertEqual(len(receiver.keys()), len(set(receiver.keys())))
        for order in orders:
            got = [message.json["event"] for message in receiver.messages if message.json["orderId"] == order]
            self.assertEqual(got, TOLD)

    # X7: the answer never came, and the process died: the same key again, with a higher attempt.
    def test_after_a_crash_the_message_comes_again_under_its_key(self):
        quiet = {"is": True}
        receiver = self.receiver(lambda message: None if quiet["is"] else (200, {}, b""))
        self.open_shop("--channel", receiver.url())
        order = self.shop.order()
        soon(lambda: receiver.messages, "the message arrives")
        self.assertEqual(self.shop.stop(signal.SIGKILL), -signal.SIGKILL)
        quiet["is"] = False
        self.shop.start()
        self.shop.expect_told(order, "Ordered")
        row, = self.rows(order)
        self.assertEqual(receiver.keys(), [row["notificationId"]] * 2)
        self.assertEqual([message.json["attempt"] for message in receiver.messages], [1, 2])

    def test_no_answer_in_time_is_tried_again(self):
        quiet = {"left": 1}

        def answer(message):
            quiet["left"] -= 1
            return None if quiet["left"] >= 0 else (200, {}, b"")
        receiver = self.receiver(answer)
        self.open_shop("--channel", receiver.url(), "--channel-timeout", "200ms")
        order = self.shop.order()
        self.shop.expect_told(order, "Ordered")
        self.assertIn("no answer within 200 ms", self.shop.logged())
        self.assertEqual(len(receiver.messages), self.rows(order)[0]["attempts"])

    def test_a_silent_receiver_does_not_keep_the_shop_from_ending(self):
        receiver = self.receiver(lambda message: None)
        self.open_shop("--channel", receiver.url(), "--channel-timeout", "9s", "--drain-timeout", "300ms")
        self.shop.order()
        soon(lambda: receiver.messages, "the message arrives")
        self.assertEqual(self.shop.stop(), 0)

    def test_what_waits_for_its_turn_does_not_keep_the_shop_from_ending(self):
        receiver = self.receiver()
        self.open_shop("--channel", receiver.url(), "--channel-rate", "1", "--drain-timeout", "86400")
        orders = [self.shop.order() for _ in range(60)]
        self.assertEqual(self.shop.stop(), 0)
        before = len(receiver.messages)
        self.assertLess(before, len(orders))
        self.shop.options = ["--channel", receiver.url()]
        self.shop.start()
        for order in orders:
            self.shop.expect_told(order, "Ordered")
        self.assertEqual(len(receiver.keys()), len(set(receiver.keys())))

    def test_a_refusal_is_a_dead_letter_that_says_why_and_the_next_message_goes_out(self):
        def answer(message):
            if message.json["event"] == "Ordered":
                return 422, {}, "no such 손님\n".encode() + b"x" * 100000
            return 200, {}, b""
        receiver = self.receiver(answer)
        self.open_shop("--channel", receiver.url())
        order = self.shop.order()
        self.shop.act(order, "accept")
        rows = soon(lambda: [row for row in [self.rows(order)] if len(row) == 2 and row[1]["status"] == "Sent"],
                    "the second message is sent")[0]
        self.assertEqual([(row["status"], row["attempts"]) for row in rows], [("Failed", 1), ("Sent", 1)])
        self.assertEqual(len(receiver.messages), 2)
        with sqlite3.connect(f"file:{self.path('shop.db')}?mode=ro", uri=True) as store:
            (data,), = store.execute("select data from events where type = 'NotificationFailed'").fetchall()
        self.assertIn(f"127.0.0.1:{receiver.port} answered 422: no such 손님 xxx".encode(), data)
        self.assertLess(len(data), 300)

    def test_a_redirect_is_not_followed(self):
        elsewhere = self.receiver()
        receiver = self.receiver(lambda message: (307, {"Location": elsewhere.url()}, b""))
        self.open_shop("--channel", receiver.url(), CAFE_WEBHOOK_TOKEN=TOKEN)
        order = self.shop.order()
        soon(lambda: self.rows(order) and self.rows(order)[0]["status"] == "Failed", "it is a dead letter")
        self.assertEqual((len(receiver.messages), len(elsewhere.messages)), (1, 0))

    # What is kept secret.

    def assert_nowhere(self, secret):
        """Not in what the shop was called with, has written, or answers."""
        with open(f"/proc/{self.shop.process.pid}/cmdline", "rb") as line:
            self.assertNotIn(secret.encode(), line.read())
        for path in ("/notifications", "/notifications?limit=1000"):
            self.assertNotIn(secret.encode(), self.shop.get(CUSTOMER, path).bytes)
        for name in os.listdir(self.folder.name):
            if name == "token":
                continue
            with open(self.path(name), "rb") as file:
                self.assertNotIn(secret.encode(), file.read(), name)

    # C10: no secret in logs, rows or `ps`, also where the receiver repeats it.
    def test_the_token_is_told_to_the_receiver_only(self):
        said = {"status": 200}
        receiver = self.receiver(lambda message: (said["status"], {}, f"I know {TOKEN}!".encode()))
        for options, environment in (((), {"CAFE_WEBHOOK_TOKEN": TOKEN}),
                                     (("--webhook-token-file", self.path("token", f"{TOKEN}\n")), {}),
                                     ((), {"CAFE_WEBHOOK_TOKEN_FILE": self.path("token")})):
            self.open_shop("--channel", receiver.url("/secret-path-5522"), "--channel", "console:", "--log-level",
                           "debug", *options, **environment)
            for status in (200, 401, 500):
                said["status"] = status
                before = len(receiver.messages)
                self.shop.order()
                soon(lambda: len(receiver.messages) > before, "the message arrives")
            soon(lambda: f"answered 500: I know {'*' * len(TOKEN)}!" in self.shop.logged(), "the failure is logged")
            for message in receiver.messages:
                self.assertEqual(message.headers["Authorization"], f"Bearer {TOKEN}")
            self.assert_nowhere(TOKEN)
            self.assertNotIn("secret-path-5522", self.shop.logged())
            self.assertEqual(self.shop.stop(), 0)
            with open(self.path("console.txt"), encoding="utf-8") as console:
                self.assertNotIn(TOKEN, console.read())

    # C10: no secret in what is said of a wrong one either.
    def test_a_wrong_channel_is_one_line_without_its_secret(self):
        missing = self.path("not-there")
        for options, said in (
                (("--channel", "http://me:hunter2@receiver.example/"), "names a user"),
                (("--channel", "https://hunter2@receiver.example/"), "names a user"),
                (("--channel", "htps://me:hunter2@receiver.example/"), "--channel htps"),
                (("--channel", "http://receiver.example:port/hunter2"), "isn't understood"),
                (("--channel", "https://receiver.example/", "--channel-proxy", "http://me:hunter2@p/"), "proxy"),
                (("--channel", "https://receiver.example/", "--webhook-token-file", missing), missing),
                (("--channel", "https://receiver.example/", "--channel-ca-file", missing), missing),
                (("--channel", "https://receiver.example/", "--channel-rate", "0"), "--channel-rate"),
                (("--channel", "https://receiver.example/", "--channel-rate", "5/"), "--channel-rate"),
                (("--channel", "https://receiver.example/", "--channel-timeout", "10s"), "--channel-timeout"),
                (("--channel", "http://receiver.example/", "--webhook-token-file", self.path("token", TOKEN)),
                 "in the clear"),
                (("--channel", "https://a.example/", "--channel", "https://b.example/"), "two channels webhook"),
                (("--channel", "kakao:"), "--kakao-token-file"),
                (("--channel", "kakao:hunter2"), "kakao:memo"),
                (("--channel", "kakao:everybody", "--kakao-token-file", self.path("token")), "kakao:memo"),
                (("--channel", "kakao:friends?uuids=", "--kakao-token-file", self.path("token")), "receivers"),
                (("--channel", "kakao:", "--kakao-template", "x", "--kakao-token-file", self.path("token")),
                 "template_id")):
            shop = Shop(BINARY, self.folder.name, *options)
            environment = {name: value for name, value in os.environ.items() if not name.startswith("CAFE_")}
            ended = subprocess.run(shop.command(), capture_output=True, text=True, env=environment, timeout=60)
            self.assertEqual(ended.returncode, 2, ended.stderr)
            self.assertEqual(ended.stderr.count("\n"), 1, ended.stderr)
            self.assertIn(said, ended.stderr)
            self.assertNotIn("hunter2", ended.stderr)
            self.assertNotIn(TOKEN, ended.stderr)
        self.assertNotIn("shop.db", os.listdir(self.folder.name))

    # TLS.

    def certificate(self):
        key, certificate = self.path("key.pem"), self.path("certificate.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=receiver", "-addext",
                        "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
        return certificate, key

    def test_a_certificate_that_nobody_vouches_for_is_refused_until_it_is_named(self):
        certificate, key = self.certificate()
        receiver = self.receiver(tls=(certificate, key))
        self.open_shop("--channel", receiver.url(scheme="https"), CAFE_WEBHOOK_TOKEN=TOKEN)
        order = self.shop.order()
        soon(lambda: "certificate" in self.shop.logged(), "the refusal is logged")
        self.assertEqual(receiver.messages, [])
        self.assertEqual(self.shop.stop(), 0)
        self.shop.options += ["--channel-ca-file", certificate]
        self.shop.start()
        self.shop.expect_told(order, "Ordered")
        self.assertEqual([message.headers["Authorization"] for message in receiver.messages], [f"Bearer {TOKEN}"])

    def test_a_certificate_of_somebody_else_is_refused(self):
        certificate, key = self.certificate()
        receiver = self.receiver(tls=(certificate, key))
        self.open_shop("--channel", f"https://localhost:{receiver.port}/", "--channel-ca-file", certificate)
        self.shop.order()
        soon(lambda: "localhost" in self.shop.logged() and "certificate" in self.shop.logged(), "it is refused")
        self.assertEqual(receiver.messages, [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
