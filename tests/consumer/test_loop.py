# SPDX-License-Identifier: Apache-2.0
"""A node in a program that has a loop of its own and waits for something else, too (examples/own_loop)."""

import os
import re
import shutil
import subprocess
import unittest

from outsider import build, run, take


class Loop(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.counter = build(take("own_loop")) / "counter"

    # C16: lines of a pipe are a new way in, made of the installed headers alone.
    def test_both_are_served_and_nobody_turns_in_a_circle(self):
        shutil.rmtree("counter", ignore_errors=True)
        os.mkdir("counter")
        with subprocess.Popen(
            [self.counter, "counter/shop.db"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:

            def say(line):
                process.stdin.write(line)
                process.stdin.flush()

            # Whoever only waited for its input would never answer, and whoever only turned its node never hear.
            for number in (1, 2):
                say("mina\n")
                self.assertEqual(process.stdout.readline(), f"order {number}\n")
            say("jo")
            say("on\n\nmina\n")  # the line without a name is answered before the two whose payment takes a while
            self.assertIn("not ordered: customer_id", process.stdout.readline())
            process.stdin.close()
            process.stdin = None
            rest, woken = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, woken)
        self.assertEqual(sorted(rest.split("\n")), ["", "order 3", "order 5"])  # the one without a name had a number
        # Three payments were waited for. A loop that is woken for nothing goes round many thousand times meanwhile.
        self.assertLess(int(re.fullmatch(r"woken (\d+) times\n", woken)[1]), 1000)
        rows = run("sqlite3", "counter/shop.db", "SELECT customer_id, status FROM orders ORDER BY order_id")
        self.assertEqual(rows.split(), ["mina|Ordered", "mina|Ordered", "joon|Ordered", "mina|Ordered"])


if __name__ == "__main__":
    unittest.main()
