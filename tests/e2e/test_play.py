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

from shop import APP, DASHBOARD, PATIENT, SOON, binary, free_base

SHOP = binary()
QUICKSTART = os.path.join(os.path.dirname(SHOP), "quickstart")
PLAY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples", "shop", "play.py")


class Play(unittest.TestCase):
    def setUp(self):
        # A folder whose name needs quoting, as anybody's home may be.
        self.folder = tempfile.TemporaryDirectory(prefix="cafe shop's ")
        self.addCleanup(self.folder.cleanup)
        self.base = free_base()

    def command(self, *options):
        return [sys.executable, "-B", PLAY, "--shop", SHOP, "--folder", os.path.join(self.folder.name, "var"), *options]

    def environment(self):
        return {**os.environ, "CAFE_PORT_BASE": str(self.base), "CAFE_PAYMENT_DEADLINE": PATIENT, "PYTHONUNBUFFERED": "1"}

    def assert_nothing_listens(self):
        for port in range(self.base + APP, self.base + DASHBOARD + 1):
            with self.assertRaises(OSError, msg=port):
                socket.create_connection(("127.0.0.1", port), timeout=SOON).close()

    def test_every_transition_and_notification_is_printed(self):
        for options in (["--check", "--fresh"], ["--check"]):  # the second time on the store of the first
            run = subprocess.run(self.command(*options), env=self.environment(), capture_output=True, text=True,
                                 timeout=60)
            self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
            happened = re.findall(r"order \d+: (\w+)$", run.stdout, re.MULTILINE)
            self.assertEqual(happened, ["Ordered", "OrderAccepted", "PreparationStarted", "CoffeeDone", "OrderPickedUp",
                                        "Ordered", "CancelRequested", "OrderCanceled"])
            told = re.findall(r"^\d+-\d+ to cdgri: (\w+): ", run.stdout, re.MULTILINE)
            self.assertEqual(told, ["Ordered", "OrderAccepted", "CoffeeDone", "OrderPickedUp", "Ordered",
                                    "OrderCanceled", "PaymentCanceled", "CancelRejected"])
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
        with socket.socket() as other:
            other.bind(("127.0.0.1", self.base + DASHBOARD))
            other.listen()
            run = subprocess.run(self.command("--check"), env=self.environment(), capture_output=True, text=True,
                                 timeout=60)
        self.assertEqual(run.returncode, 1)
        self.assertIn(str(self.base + DASHBOARD), run.stdout)

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
