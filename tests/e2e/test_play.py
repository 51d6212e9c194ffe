# SPDX-License-Identifier: Apache-2.0
"""The demonstration that examples/run plays, and the quickstart: as a newcomer sees them."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

from services import NODES, programs
from shop import APP, DASHBOARD, PATIENT, SOON, free_base

PROGRAMS = programs()
QUICKSTART = os.path.join(PROGRAMS, "quickstart")
ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
PLAY = os.path.join(ROOT, "examples", "shop", "play.py")


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
                other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # whatever connections were there
                other.bind(("127.0.0.1", port))
                other.listen()
                run = subprocess.run(self.command("--check"), env=self.environment(), capture_output=True, text=True,
                                     timeout=60)
            self.assertEqual(run.returncode, 1)
            self.assertIn(f"port {port} is in use", run.stdout)
            self.assert_nothing_listens()

    def assert_refused(self, said, *options, **environment):
        run = subprocess.run(self.command("--check", *options), env={**self.environment(), **environment},
                             capture_output=True, text=True, timeout=60)
        self.assertEqual((run.returncode, run.stderr), (1, ""), run.stdout)
        self.assertIn(said, run.stdout)
        self.assert_nothing_listens()

    def test_a_program_that_is_missing_is_named_before_any_is_started(self):
        some = os.path.join(self.folder.name, "some")
        os.mkdir(some)
        os.symlink(os.path.join(PROGRAMS, "cafe-app"), os.path.join(some, "cafe-app"))
        self.assert_refused(f"there is no program {some}/cafe-pay:", "--programs", some)
        self.assertEqual(os.listdir(os.path.join(self.folder.name, "var")), [])

    def test_ports_that_are_none_are_refused(self):
        self.assert_refused("65536 would be the last port", CAFE_PORT_BASE="64531")
        self.assert_refused("65536 would be the last port", "--one-process", CAFE_PORT_BASE="65531")

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


class Scripts(unittest.TestCase):
    """examples/run and tests/run, in a checkout that has nothing to build and says what it was asked."""

    MADE = "cmake_minimum_required(VERSION 3.22)\nproject(made NONE)\noption(CAFE_BUILD_EXAMPLES \"\" ON)\n"
    PLAYED = """import os, re
with open("build/CMakeCache.txt", encoding="utf-8") as cache:
    print("played", re.search("CAFE_BUILD_EXAMPLES:BOOL=(.*)", cache.read())[1], os.environ["CAFE_PORT_BASE"])
"""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="a checkout's ")
        self.addCleanup(folder.cleanup)
        self.checkout = folder.name
        self.write("CMakeLists.txt", self.MADE)
        self.write("examples/shop/play.py", self.PLAYED)
        self.write("tests/support/setup.sh", "#!/bin/sh\nexit 0\n")
        for script in ("examples/run", "tests/run"):
            shutil.copy(os.path.join(ROOT, script), os.path.join(self.checkout, script))

    def write(self, path, text):
        path = os.path.join(self.checkout, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, 0o755)

    def run_script(self, script, base):
        return subprocess.run([os.path.join(self.checkout, script)], env={**os.environ, "CAFE_PORT_BASE": base},
                              cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)

    def test_the_examples_are_built_also_where_the_folder_was_configured_without_them(self):
        subprocess.run(["cmake", "-G", "Ninja", "-B", "build", "-DCAFE_BUILD_EXAMPLES=OFF"], cwd=self.checkout, check=True,
                       stdout=subprocess.DEVNULL)
        run = self.run_script("examples/run", "64530")
        self.assertEqual(run.returncode, 0, run.stdout)
        self.assertIn("played ON 64530", run.stdout)

    def test_a_base_without_ports_behind_it_is_refused_in_a_line(self):
        for script in ("examples/run", "tests/run"):
            for base in ("64531", "65000", "100000", "99999999999999999999", "-1", "8080x"):
                run = self.run_script(script, base)
                self.assertEqual(run.returncode, 2, run.stdout)
                self.assertRegex(run.stdout, rf"\ACAFE_PORT_BASE .*: {base}\n\Z")


if __name__ == "__main__":
    unittest.main(verbosity=2)
