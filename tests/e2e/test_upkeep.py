# SPDX-License-Identifier: Apache-2.0
"""What a real process forgets."""

import tempfile
import unittest

from shop import APP, SEED, Shop, binary, soon

BINARY = binary()


class Forgetting(unittest.TestCase):
    def test_an_idempotency_key_answers_for_its_retention_and_is_free_afterwards(self):
        with tempfile.TemporaryDirectory() as folder:
            for store in ("sqlite", "memory"):
                shop = Shop(BINARY, folder, "--idempotency-retention", "1s",
                            *(["--store", "memory:"] if store == "memory" else []))
                shop.start()
                try:
                    first = shop.post(APP, "/orders", SEED, Idempotency_Key="a-key")
                    self.assertEqual(first.status, 201)
                    self.assertEqual(shop.post(APP, "/orders", SEED, Idempotency_Key="a-key").bytes, first.bytes)

                    def is_another():
                        again = shop.post(APP, "/orders", SEED, Idempotency_Key="a-key")
                        self.assertEqual(again.status, 201)
                        return again.json["orderId"] != first.json["orderId"]

                    soon(is_another, "the key is forgotten")
                    self.assertEqual(shop.stop(), 0)
                finally:
                    shop.stop()

    def test_a_retention_that_is_none_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            shop = Shop(BINARY, folder, "--idempotency-retention", "forever")
            with self.assertRaisesRegex(AssertionError, "idempotency-retention forever"):
                shop.start()
            shop.stop()


if __name__ == "__main__":
    unittest.main(verbosity=2)
