# SPDX-License-Identifier: Apache-2.0
"""The C in these pages of the guide, put together in its order, is the program that is built and run."""

import os
import re
import unittest

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


PAGES = {"testing.md": "guide_testing.c", "resilience.md": "guide_resilience.c"}


class Guide(unittest.TestCase):
    def test_its_c_is_the_program(self):
        for page, source in PAGES.items():
            blocks = re.findall(r"^```c\n(.*?)^```$", read("docs", "guide", page), re.DOTALL | re.MULTILINE)
            license_line, program = read("tests", "e2e", source).split("\n", 1)
            self.assertIn("SPDX", license_line)
            self.assertTrue(blocks)
            self.assertEqual("\n".join(blocks), program)

    def test_what_it_names_is_declared(self):
        headers = "".join(
            read("include", "cafe", folder, name)
            for folder in ("", "testing")
            for name in os.listdir(os.path.join(ROOT, "include", "cafe", folder))
            if name.endswith(".h")
        )
        for page in PAGES:
            for name in re.findall(r"`((?:cafe|CAFE)_\w+)", read("docs", "guide", page)):
                if name != "CAFE_CRASH":  # the environment's
                    self.assertRegex(headers, rf"\b{name}\b")

    def test_what_it_points_to_is_there(self):
        for page in PAGES:
            for path in re.findall(r"\]\(([^)#]+)\)", read("docs", "guide", page)):
                self.assertTrue(os.path.exists(os.path.join(ROOT, "docs", "guide", path)), path)


if __name__ == "__main__":
    unittest.main()
