# SPDX-License-Identifier: Apache-2.0
"""A project of somebody else's (examples/consumer) is built against the installed tree, by CMake and by pkg-config,
with the shared libraries and with the static ones."""

import os
import pathlib
import shutil
import unittest

from outsider import PREFIX, build, libraries, run, take

PLAY = """\
Mina: 9 stamps, 0 cups
refused (not-full): the card has 9 of 10 stamps
Mina: 10 stamps, 0 cups
Mina: 0 stamps, 1 cups
cards: {}
"""
PACKAGES = next(PREFIX.glob("lib*/**/pkgconfig"))


class Card(unittest.TestCase):
    def play(self, program, environment=None):
        shutil.rmtree("cards", ignore_errors=True)
        os.mkdir("cards")
        for count in (1, 2):  # the second run finds the card of the first
            self.assertEqual(run(program, "cards/cards.db", env=environment), PLAY.format(count))
        rows = run("sqlite3", "cards/cards.db", "SELECT holder, stamps, cups FROM cards")
        self.assertEqual(rows, "Mina|0|1\n" * 2)
        # The guide: its key, how often it was written (opened, ten stamps, redeemed), and a column a field.
        rows = run("sqlite3", "-header", "cards/cards.db", "SELECT * FROM cards LIMIT 1").splitlines()
        self.assertEqual(rows[0], "card_id|row_version|holder|stamps|cups|updated_at_ms")
        self.assertEqual(rows[1].split("|")[:5], ["1", "12", "Mina", "0", "1"])

    def test_by_cmake_with_the_shared_libraries(self):
        program = build(take("consumer")) / "card"
        self.assertEqual(len(libraries(program)), 3)
        self.play(program)

    def test_by_cmake_with_the_static_libraries(self):
        program = build(take("consumer"), "-Dcafe_USE_STATIC_LIBS=ON") / "card"
        self.assertEqual(libraries(program), [])
        self.play(program)

    def make(self, *options):
        folder = take("consumer")
        environment = dict(os.environ, PKG_CONFIG_PATH=str(PACKAGES))
        run("make", "-C", folder, f"CC={os.environ['CC']}", *options, env=environment)
        return folder / "card"

    def test_by_pkg_config_with_the_shared_libraries(self):
        program = self.make()
        environment = dict(os.environ, LD_LIBRARY_PATH=str(PACKAGES.parent))
        self.assertIn("libcafe.so", run("ldd", program))
        self.play(program, environment)

    def test_by_pkg_config_with_the_static_libraries(self):
        program = self.make("STATIC=1")
        self.assertEqual(libraries(program), [])
        self.play(program)


class Package(unittest.TestCase):
    """What find_package says."""

    def configure(self, lines, code, *options):
        folder = pathlib.Path("asked").resolve()
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        text = "cmake_minimum_required(VERSION 3.22)\nproject(asked LANGUAGES C)\n" + lines
        (folder / "CMakeLists.txt").write_text(text, encoding="utf-8")
        said = run(
            os.environ["CMAKE"], "-S", folder, "-B", folder / "build", f"-DCMAKE_PREFIX_PATH={PREFIX}", *options, code=code
        )
        return " ".join(said.split())  # CMake breaks lines where it likes

    def test_a_component_that_isnt_there_is_named_with_where_it_was_looked_for(self):
        for kind, option in (("shared", "OFF"), ("static", "ON")):
            said = self.configure(
                "find_package(cafe REQUIRED COMPONENTS uv espresso)\n", None, f"-Dcafe_USE_STATIC_LIBS={option}"
            )
            self.assertIn(f"cafe has no {kind} component espresso here: ", said)
            self.assertIn(f"cafe-espresso-{kind}.cmake", said)

    def test_a_component_that_may_be_missing_is_said_to_be(self):
        said = self.configure(
            "find_package(cafe REQUIRED COMPONENTS uv OPTIONAL_COMPONENTS espresso sqlite)\n"
            'message(STATUS "uv ${cafe_uv_FOUND}, espresso <${cafe_espresso_FOUND}>, sqlite ${cafe_sqlite_FOUND}")\n',
            0,
        )
        self.assertIn("uv TRUE, espresso <>, sqlite TRUE", said)

    def test_another_version_is_refused_with_the_one_that_is_there(self):
        said = self.configure("find_package(cafe 0.2 REQUIRED)\n", None)
        self.assertIn("version: 0.1.0", said)

    def test_components_may_be_asked_for_one_after_the_other(self):
        self.configure(
            "find_package(cafe REQUIRED)\nfind_package(cafe REQUIRED COMPONENTS uv)\n"
            "find_package(cafe REQUIRED COMPONENTS sqlite testing)\n"
            "foreach(name cafe uv sqlite testing)\n  if(NOT TARGET cafe::${name})\n"
            '    message(FATAL_ERROR "no ${name}")\n  endif()\nendforeach()\n',
            0,
        )


if __name__ == "__main__":
    unittest.main()
