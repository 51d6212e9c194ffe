# SPDX-License-Identifier: Apache-2.0
"""The demonstration that examples/run plays, and the quickstart: as a newcomer sees them."""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

from services import NODES, free_base, programs
from shop import APP, DASHBOARD, PATIENT, SOON

PROGRAMS = programs()
QUICKSTART = os.path.join(PROGRAMS, "quickstart")
PLAY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples", "shop", "play.py")


class Play(unittest.TestCase):
    def setUp(self):
        # A folder whose name needs quoting, as anybody's home may be.
        self.folder = tempfile.TemporaryDirectory(prefix="cafe shop's ")
        self.addCleanup(self.folder.cleanup)
        self.base = free_base()

    def command(self, *options):
        return [sys.executable, "-B", PLAY, "--programs", PROGRAMS, "--folder", os.path.join(self.folder.name, "var"),
                *options]

    def environment(self):
        return {**os.environ, "CAFE_PORT_BASE": str(self.base), "CAFE_PAYMENT_DEADLINE": PATIENT, "PYTHONUNBUFFERED": "1"}

    def assert_nothing_listens(self):
        for service in range(APP, DASHBOARD + 1):
            for port in (self.base + service, self.base + NODES + service):
                with self.assertRaises(OSError, msg=port):
                    socket.create_connection(("127.0.0.1", port), timeout=SOON).close()

    def assert_printed(self, *how):
        for options in (["--check", "--fresh", *how], ["--check", *how]):  # the second time on the stores of the first
            run = subprocess.run(self.command(*options), env=self.environment(), capture_output=True, text=True,
                                 timeout=60)
            self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
            happened = re.findall(r"order \d+: (\w+)$", run.stdout, re.MULTILINE)
            self.assertEqual(happened, ["Ordered", "OrderAccepted", "PreparationStarted", "CoffeeDone", "OrderPickedUp",
                                        "Ordered", "CancelRequested", "OrderCanceled"])
            told = re.findall(r"^\d+-\d+ to cdgri: (\w+): ", run.stdout, re.MULTILINE)
            self.assertEqual(told.count("PaymentCanceled"), 1)  # pay's, so it may fall anywhere among app's
            told.remove("PaymentCanceled")
            self.assertEqual(told, ["Ordered", "OrderAccepted", "CoffeeDone", "OrderPickedUp", "Ordered",
                                    "OrderCanceled", "CancelRejected"])
            self.assert_nothing_listens()

    def test_every_transition_and_notification_is_printed(self):
        self.assert_printed()
        stores = [name for name in os.listdir(os.path.join(self.folder.name, "var")) if name.endswith(".db")]
        self.assertEqual(sorted(stores), ["app.db", "customer.db", "dashboard.db", "pay.db", "store.db"])

    def test_all_in_one_process_play_the_same(self):
        self.assert_printed("--one-process")
        stores = [name for name in os.listdir(os.path.join(self.folder.name, "var")) if name.endswith(".db")]
        self.assertEqual(stores, ["shop.db"])

    def test_a_service_that_ends_early_is_told_with_what_it_said_last(self):
        run = subprocess.Popen(self.command(), env=self.environment(), stdout=subprocess.PIPE, text=True)
        self.addCleanup(run.stdout.close)
        self.assertTrue(any("Ctrl-C" in line for line in run.stdout))
        with open(os.path.join(self.folder.name, "var", "pay.db-lock"), encoding="utf-8") as lock:
            os.kill(int(re.match(r"cafe-pay, process (\d+)", lock.read())[1]), signal.SIGTERM)
        said = run.stdout.read()
        self.assertEqual(run.wait(60), 1)
        self.assertIn("cafe-pay ended with 0", said)
        with open(os.path.join(self.folder.name, "var", "pay.log"), encoding="utf-8") as log:
            self.assertIn(log.readlines()[-1].strip(), said)
        self.assert_nothing_listens()

    def test_without_check_it_serves_until_it_is_asked_to_end(self):
        for how in (signal.SIGINT, signal.SIGTERM):
            run = subprocess.Popen(self.command(), env=self.environment(), stdout=subprocess.PIPE, text=True)
            self.addCleanup(run.stdout.close)
            self.assertTrue(any("Ctrl-C" in line for line in run.stdout))
            socket.create_connection(("127.0.0.1", self.base + APP), timeout=SOON).close()
            run.send_signal(how)
            self.assertEqual(run.wait(60), 0)
            self.assert_nothing_listens()

    def test_a_port_in_use_is_told_and_nobody_else_is_talked_to(self):
        for port in (self.base + DASHBOARD, self.base + NODES + APP):
            with socket.socket() as other:
                other.bind(("127.0.0.1", port))
                other.listen()
                run = subprocess.run(self.command("--check"), env=self.environment(), capture_output=True, text=True,
                                     timeout=60)
            self.assertEqual(run.returncode, 1)
            self.assertIn(f"port {port} is in use", run.stdout)
            self.assert_nothing_listens()

    def test_stores_in_use_are_not_emptied(self):
        folder = os.path.join(self.folder.name, "var")
        run = subprocess.Popen(self.command(), env=self.environment(), stdout=subprocess.PIPE, text=True)
        self.addCleanup(run.stdout.close)
        self.assertTrue(any("Ctrl-C" in line for line in run.stdout))
        before = {name: os.stat(os.path.join(folder, name)).st_ino for name in os.listdir(folder)}
        others = {**self.environment(), "CAFE_PORT_BASE": str(free_base())}
        refused = subprocess.run(self.command("--check", "--fresh"), env=others, capture_output=True, text=True, timeout=60)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("app.db is in use", refused.stdout)
        self.assertEqual({name: os.stat(os.path.join(folder, name)).st_ino for name in os.listdir(folder)}, before)
        run.send_signal(signal.SIGINT)
        self.assertEqual(run.wait(60), 0)

    def test_the_quickstart_says_what_becomes_of_its_order(self):
        for _ in range(2):
            run = subprocess.run([QUICKSTART], cwd=self.folder.name, capture_output=True, text=True, timeout=60)
            self.assertEqual((run.returncode, run.stderr), (0, ""), run.stdout)
            self.assertEqual(re.findall(r"^order \d+ is (\w+)$", run.stdout, re.MULTILINE),
                             ["Ordered", "Accepted", "Preparing", "CoffeeDone", "PickedUp"])
            # What it sent it doesn't send again at its next start.
            order = re.search(r"^order (\d+) is", run.stdout, re.MULTILINE)[1]
            self.assertEqual(re.findall(r"^(\d+-\d+) to cdgri: (\w+): ", run.stdout, re.MULTILINE),
                             [(f"{order}-{number}", event) for number, event in
                              enumerate(["Ordered", "OrderAccepted", "CoffeeDone", "OrderPickedUp"], 1)])


if __name__ == "__main__":
    unittest.main(verbosity=2)
