#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whether lib/README.md still leads somewhere: each file that it names exists and defines each function that it names
beside it. And whether the links of the documents around it do."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLLOW = ROOT / "lib" / "README.md"

findings = []


def defines(source, function):
    """A definition begins a line, or follows its type on it; a call is indented."""
    return re.search(rf"^(?![ \t*/]).*\b{re.escape(function)}\(", source, re.MULTILINE) is not None


def check_stops():
    stops = 0
    for number, line in enumerate(FOLLOW.read_text().splitlines(), 1):
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        link = re.fullmatch(r"\[(\S+)\]\((\S+)\)", cells[1]) if len(cells) == 4 else None
        if not link:
            continue
        if link[1] != link[2] or not (FOLLOW.parent / link[2]).is_file():
            findings.append(f"lib/README.md:{number}: there is no {link[1]}")
            continue
        source = (FOLLOW.parent / link[2]).read_text()
        functions = re.findall(r"`(\w+)`", cells[2])
        if not functions:
            findings.append(f"lib/README.md:{number}: a stop without a function")
        for function in functions:
            stops += 1
            if not defines(source, function):
                findings.append(f"lib/README.md:{number}: {link[1]} defines no {function}")
    if stops < 20:
        findings.append(f"lib/README.md: only {stops} functions found: has the table another form?")


def check_links():
    pages = [ROOT / "README.md", FOLLOW, *sorted((ROOT / "docs").rglob("*.md"))]
    for page in pages:
        is_code = False
        for number, line in enumerate(page.read_text().splitlines(), 1):
            is_code ^= line.startswith("```")
            if is_code:
                continue
            for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", line):
                if "://" not in target and not (page.parent / target).exists():
                    findings.append(f"{page.relative_to(ROOT)}:{number}: leads to {target}, which isn't there")


check_stops()
check_links()
for finding in findings:
    print(finding)
print(f"{len(findings)} findings")
sys.exit(1 if findings else 0)
