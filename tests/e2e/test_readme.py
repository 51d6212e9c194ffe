# SPDX-License-Identifier: Apache-2.0
"""What the README prints is what is built."""

import os
import re
import unittest

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


class Readme(unittest.TestCase):
    def test_the_c_in_it_is_the_quickstart(self):
        blocks = re.findall(r"^```c\n(.*?)^```$", read("README.md"), re.DOTALL | re.MULTILINE)
        self.assertEqual(len(blocks), 1)
        self.assertEqual(blocks[0], read("examples", "quickstart", "quickstart.c"))

    def test_its_curl_lines_name_a_host(self):
        lines = re.findall(r"^\$ curl (.*)$", read("README.md"), re.MULTILINE)
        self.assertTrue(lines)
        for line in lines:  # from 7.88 on curl takes no address that begins with a port
            self.assertRegex(line, r"(^| )localhost:808[1-5]/")

    def test_what_it_points_to_is_there(self):
        for text in (read("README.md"), read("docs", "architecture.md")):
            self.assertNotIn("TODO", text)
        for path in re.findall(r"\]\(([^)#]+)\)", read("README.md")):
            if "://" not in path:
                self.assertTrue(os.path.exists(os.path.join(ROOT, path)), path)
        for path in re.findall(r"\]\(([^)#]+)\)", read("docs", "architecture.md")):
            if "://" not in path:
                self.assertTrue(os.path.exists(os.path.join(ROOT, "docs", path)), path)


if __name__ == "__main__":
    unittest.main()
