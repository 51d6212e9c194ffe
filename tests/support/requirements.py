# SPDX-License-Identifier: Apache-2.0
"""Which test shows which requirement: the last column of docs/requirements.md.

requirements.py [--update]

A test shows what the comment right above it names: `/* X1: … */`, `# F5, F6: …`. Without --update the table is compared
with the tests; with it, it is written anew. A comment that names no row of the table, and one that no test follows, are
findings.
"""

import collections
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
TABLE = ROOT / "docs" / "requirements.md"
NONE = "not yet"

ROW = r"[FNXC]\d+[a-z]?"
MARK = re.compile(rf"^\s*(?:/\*|#) ({ROW}(?:, {ROW})*)(?:: | \*/$|$)")
TEST = {
    ".c": re.compile(r"^static void (\w+)\(void \*\*"),
    ".py": re.compile(r"^\s*def test_(\w+)\("),
}
BLANK = {
    ".c": re.compile(r"^(?:/\*| \*|\s+[^\s]).*$|^\s*$"),
    ".py": re.compile(r"^\s*(#.*|@.*)?$"),
}


def shown(path):
    """Yields (row, test) for each mark of a file, and (row, None) for one that no test follows."""
    rows = []
    in_comment = False
    for line in path.read_text(encoding="utf-8").splitlines():
        mark = MARK.match(line)
        test = TEST[path.suffix].match(line)
        if mark:
            rows += mark[1].split(", ")
            in_comment = path.suffix == ".c" and "*/" not in line
        elif in_comment:
            in_comment = "*/" not in line
        elif test and rows:
            for row in rows:
                yield row, re.sub(r"^(test_)?([fnxc]\d+[a-z]?_)?", "", test[1])
            rows = []
        elif rows and not BLANK[path.suffix].match(line):
            for row in rows:
                yield row, None
            rows = []
    for row in rows:
        yield row, None


def collect():
    found = collections.defaultdict(lambda: collections.defaultdict(list))
    findings = []
    for path in sorted((ROOT / "tests").rglob("*")):
        if path.suffix not in TEST or path == pathlib.Path(__file__).resolve():
            continue
        name = path.relative_to(ROOT)
        for row, test in shown(path):
            if test is None:
                findings.append(f"{name}: {row} stands above no test")
            elif test not in found[row][name]:
                found[row][name].append(test)
    return found, findings


def cell(files):
    if not files:
        return NONE
    return "; ".join(
        f"[{name.name}](../{name.as_posix()}): {', '.join(test.replace('_', ' ') for test in tests)}"
        for name, tests in sorted(files.items())
    )


def write(text, found):
    lines, rows = [], set()
    for line in text.splitlines():
        row = re.match(rf"^\| ({ROW}) \| (.*?) \| .* \|$", line)
        if row:
            rows.add(row[1])
            line = f"| {row[1]} | {row[2]} | {cell(found.get(row[1]))} |"
        lines.append(line)
    return "\n".join(lines) + "\n", rows


def main():
    found, findings = collect()
    text = TABLE.read_text(encoding="utf-8")
    wanted, rows = write(text, found)
    findings += [f"{row} is no row of {TABLE.name}" for row in sorted(set(found) - rows)]
    if "--update" in sys.argv[1:]:
        TABLE.write_text(wanted, encoding="utf-8")
    elif wanted != text:
        findings.append(f"{TABLE.name} isn't what the tests say: run tests/support/requirements.py --update")
    for finding in findings:
        print(finding)
    print(f"{len(rows)} requirements, {sum(1 for row in rows if found.get(row))} of them shown by tests")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
