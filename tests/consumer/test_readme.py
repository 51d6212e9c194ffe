# SPDX-License-Identifier: Apache-2.0
"""What the README says on programs that are linked with the installed library, word by word, with its quickstart."""

import os
import pathlib
import re
import shutil
import unittest

from outsider import PREFIX, ROOT, build, libraries, run

README = (ROOT / "README.md").read_text(encoding="utf-8")
EXPORT, SHARED = re.search(r"^(export PKG_CONFIG_PATH.*\n)(cc .*\n)", README, re.MULTILINE).groups()
STATIC = re.search(r"^libs=.*\ncc .*\n", README, re.MULTILINE)[0]
PACKAGES = next(PREFIX.glob("lib*/**/pkgconfig")).parent.relative_to(PREFIX)
CMAKE = """cmake_minimum_required(VERSION 3.22)
project(quickstart LANGUAGES C)
{}
add_executable(quickstart quickstart.c)
target_link_libraries(quickstart PRIVATE {})
"""


class Readme(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path("as the README says").resolve()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        (self.folder / "PREFIX").symlink_to(PREFIX)  # the shell breaks what pkg-config says at a space
        (self.folder / "quickstart.c").write_text(re.search(r"^```c\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)[1], encoding="utf-8")
        self.program = self.folder / "quickstart"

    def shell(self, lines):
        """What is instrumented is linked so as well."""
        lines = lines.replace("PREFIX/lib", f"PREFIX/{PACKAGES}")
        run("sh", "-ec", lines.replace("cc ", f"{os.environ['CC']} {os.environ['LDFLAGS']} "), cwd=self.folder)

    def plays(self, environment=None, code=0):
        said = run(self.program, cwd=self.folder, env={**os.environ, **(environment or {})}, code=code)
        self.assertEqual("is PickedUp" in said, code == 0, said)
        return said

    def test_by_pkg_config_with_the_shared_libraries(self):
        self.shell(EXPORT + SHARED)
        self.assertEqual(len(libraries(self.program)), 3)
        self.plays()

    def test_without_the_rpath_it_does_not_start_unless_it_is_told_where_they_are(self):
        self.assertIn("Without that `-rpath` it starts only with `LD_LIBRARY_PATH=PREFIX/lib`", README)
        (rpath,) = re.findall(r" -Wl,-rpath,\S+", SHARED)
        self.shell(EXPORT + SHARED.replace(rpath, ""))
        self.assertIn("libcafe", self.plays({"LD_LIBRARY_PATH": ""}, code=127))
        self.plays({"LD_LIBRARY_PATH": f"PREFIX/{PACKAGES}"})

    def test_by_pkg_config_with_the_static_libraries(self):
        self.shell(EXPORT + STATIC)
        self.assertEqual(libraries(self.program), [])
        self.plays()

    def test_by_cmake_with_either(self):
        find, links, prefix, static = re.search(
            r"`(find_package[^`]*)` and links `([^`]*)`; `(-D\S+)`\nsays where they are, `(-D\S+)` takes", README).groups()
        (self.folder / "CMakeLists.txt").write_text(CMAKE.format(find, links), encoding="utf-8")
        for options, count in (((), 3), ((static,), 0)):
            self.program = build(self.folder, prefix.replace("PREFIX", str(PREFIX)), *options) / "quickstart"
            self.assertEqual(len(libraries(self.program)), count)
            self.plays()


if __name__ == "__main__":
    unittest.main()
