# SPDX-License-Identifier: Apache-2.0
"""The lines of the guide to testing, run as they stand, build its program and let its tests pass."""

import os
import pathlib
import re
import shutil
import tempfile
import unittest

from outsider import PREFIX, ROOT, run

PACKAGES = next(PREFIX.glob("lib*/**/pkgconfig"))
TOLD = """\
a bike is one rider's: passed
who is late loses the bike: passed
a loan survives every fault: passed
and those that are drawn: passed
"""


class Bike(unittest.TestCase):
    def test_the_lines_of_the_guide_build_it_under_a_prefix_of_its_own(self):
        page = (ROOT / "docs" / "guide" / "testing.md").read_text(encoding="utf-8")
        (lines,) = re.findall(r"^```sh\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
        shutil.rmtree("bike", ignore_errors=True)
        os.mkdir("bike")
        shutil.copy(ROOT / "tests" / "e2e" / "guide_testing.c", "bike/bike.c")
        environment = {name: value for name, value in os.environ.items() if name != "LD_LIBRARY_PATH"}
        with tempfile.TemporaryDirectory() as folder:
            prefix = pathlib.Path(folder, "prefix")  # what pkg-config prints is split at blanks, and the tree has one
            prefix.symlink_to(PREFIX)
            self.assertIn("PREFIX/lib/pkgconfig", lines)
            lines = lines.replace("PREFIX/lib/pkgconfig", str(prefix / PACKAGES.relative_to(PREFIX)))
            compiler = 'cc() { "$CC" $CFLAGS "$@" $LDFLAGS; }\n'
            self.assertEqual(run("sh", "-ec", compiler + lines, cwd="bike", env=environment), TOLD)
            self.assertIn(str(prefix), run("ldd", "bike/bike"))


if __name__ == "__main__":
    unittest.main()
