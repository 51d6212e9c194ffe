# SPDX-License-Identifier: Apache-2.0
"""A store of somebody else's (examples/custom_store) passes tier core of the contract suite, which is installed."""

import unittest

from outsider import build, run, take


class Store(unittest.TestCase):
    def test_it_passes_tier_core(self):
        for number, options in enumerate(([], ["-Dcafe_USE_STATIC_LIBS=ON"])):
            folder = build(take("custom_store", f"store {number}"), *options)
            self.assertRegex(run(folder / "suite"), r"\A0 of [1-9][0-9]+ checks failed\n\Z")


if __name__ == "__main__":
    unittest.main()
