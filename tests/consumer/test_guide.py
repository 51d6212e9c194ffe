# SPDX-License-Identifier: Apache-2.0
"""What the guide prints is what is built: each block is a part, word by word, of the file that was linked last above it.
Those files are built against the installed tree by the other tests of this folder, or with the library."""

import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "guide"
LINK = re.compile(r"\]\(([^)#\s]+)\)")
BUILT = {"consumer", "coupon", "custom_saga", "custom_store", "own_loop", "quickstart"}


def pages():
    return sorted(GUIDE.glob("*.md"))


def links(page):
    """What the prose points to here."""
    prose = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return [link for link in LINK.findall(prose) if "://" not in link]


def blocks(page):
    """Yields (line, language, text, source): source is the linked file, or None."""
    source, language, text, begun = None, None, [], 0
    for number, line in enumerate(page.read_text(encoding="utf-8").split("\n"), 1):
        fence = re.match(r"```(\w*)$", line)
        if language is None and fence:
            language, text, begun = fence[1], [], number
        elif language is not None and fence:
            yield begun, language, "".join(part + "\n" for part in text), source
            language = None
        elif language is not None:
            text.append(line)
        else:
            for link in LINK.findall(line):
                path = (page.parent / link).resolve()
                if "://" not in link and path.suffix != ".md" and path.is_file():
                    source = path


class Guide(unittest.TestCase):
    def test_each_block_is_a_part_of_the_file_that_is_named_above_it(self):
        count = 0
        for page in pages():
            for line, language, text, source in blocks(page):
                where = f"{page.name}:{line}"
                if language in ("sh", "console"):  # for people
                    continue
                self.assertIn(language, ("c", "cmake", "make", "text"), where)
                self.assertIsNotNone(source, where)
                self.assertIn(text, source.read_text(encoding="utf-8"), f"{where} isn't in {source}")
                if source.parts[len(ROOT.parts)] == "examples":
                    self.assertIn(source.parts[len(ROOT.parts) + 1], BUILT, where)
                count += 1
        self.assertGreater(count, 40)

    def test_the_library_is_installed_as_the_readme_says(self):
        block = re.compile(r"^```(?:sh)?\n(apt-get install .*\ncmake .*\n)```$", re.MULTILINE)
        (readme,) = block.findall((ROOT / "README.md").read_text(encoding="utf-8"))
        (guide,) = block.findall((GUIDE / "first-order.md").read_text(encoding="utf-8"))
        self.assertEqual(guide, readme)
        # Whatever the build asks for unless it is told not to.
        build = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
        needs = re.findall(r"IMPORTED_TARGET (?:lib)?(\w+)", build) + re.findall(r"find_path\(\w+ (\w+)\.h REQUIRED", build)
        self.assertGreater(len(needs), 4)
        packages = [package for package in guide.split() if package.endswith("-dev")]
        for need in needs:
            self.assertTrue(any(need in package for package in packages), need)

    def test_what_it_points_to_is_there(self):
        for page in pages():
            self.assertNotIn("TODO", page.read_text(encoding="utf-8"))
            for link in links(page):
                self.assertTrue((page.parent / link).exists(), f"{page.name}: {link}")

    def test_it_never_sends_a_reader_into_the_library(self):
        for page in pages():
            for link in links(page):
                self.assertNotIn("/lib/", "/" + link, page.name)

    def test_its_index_names_every_page(self):
        index = (GUIDE / "README.md").read_text(encoding="utf-8")
        for page in pages():
            if page.name != "README.md":
                self.assertIn(f"]({page.name})", index)


if __name__ == "__main__":
    unittest.main()
