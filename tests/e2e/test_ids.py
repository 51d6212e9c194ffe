# SPDX-License-Identifier: Apache-2.0
"""Order numbers up to the largest there can be, on a real process."""

import os
import signal
import subprocess
import sys
import tempfile
import unittest

from shop import APP, CUSTOMER, DASHBOARD, PAY, SEED, STORE, Case, Shop, binary, soon

BINARY = binary()
SET_NEXT_ID = os.path.abspath(sys.argv.pop(1))
LARGEST = 2**53 - 1


class Numbered(Case):
    def start_at(self, order):
        """A shop whose first order will have this number."""
        self.shop.stop()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        subprocess.run([SET_NEXT_ID, os.path.join(folder.name, "shop.db"), str(order)], check=True)
        self.shop = Shop(BINARY, folder.name)
        self.addCleanup(self.shop.stop, signal.SIGKILL)
        self.shop.start()

    # X14: ids past 127 and 2^31, up to 2^53 − 1: all goes on working, JSON included.
    def test_large_numbers_are_numbers_like_others(self):
        for order in (128, 2**31 - 1, 2**32, LARGEST - 1):
            self.start_at(order)
            for each in (order, order + 1):
                self.assertEqual(self.shop.order(), each)
            self.shop.act(order, "accept", "start", "ready", "pickup")
            self.assertEqual(self.shop.post(APP, f"/orders/{order + 1}/cancel").json["status"], "Canceled")
            soon(lambda: self.status(PAY, f"/payments/{order}") == "Captured", "the payment is captured")
            self.shop.expect_told(order, "Ordered", "OrderAccepted", "CoffeeDone", "OrderPickedUp")
            self.assertEqual(self.shop.listed(CUSTOMER, "/notifications", orderId=order)[0]["notificationId"], f"{order}-1")
            soon(lambda: self.shop.get(DASHBOARD, f"/orderInfos/{order}").json.get("status") == "PickedUp", "it shows")
            self.assertEqual([each["orderId"] for each in self.shop.listed(APP, "/orders", after=order - 1)],
                             [order, order + 1])
            self.shop.stop(signal.SIGKILL)
            self.shop.start()
            self.assertEqual(self.status(STORE, f"/fulfillments/{order}"), "PickedUp")

    # X14: beyond: a clear refusal.
    def test_beyond_the_largest_there_is_a_clear_refusal(self):
        self.start_at(LARGEST)
        self.assertEqual(self.shop.order(), LARGEST)
        answer = self.shop.post(APP, "/orders", SEED)
        self.assert_problem(answer, 503, "not-ready")
        self.assertIn("no keys are left", answer.json["detail"])
        self.assertEqual(self.status(APP, f"/orders/{LARGEST}"), "Ordered")
        for beyond in (LARGEST + 1, 2**64, 10**30):
            self.assert_problem(self.shop.get(APP, f"/orders/{beyond}"), 404, "not-found")


if __name__ == "__main__":
    unittest.main()
