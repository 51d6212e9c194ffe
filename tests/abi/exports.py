#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What each library exports is what exports-<library>.txt says, static and shared alike.

exports.py [--update] [BUILD]    BUILD is build/test if not given; --update writes the lists anew
"""

import pathlib
import re
import sys

import check

LIBRARIES = ("cafe", "cafe_uv", "cafe_sqlite", "cafe_tcp", "cafe_channels", "cafe_testing")
HERE = pathlib.Path(__file__).resolve().parent
# What the linker itself adds to a shared library on some systems.
LINKER = {"_init", "_fini", "_edata", "_end", "__bss_start"}


def exports(info, built):
    kinds = {
        "shared": check.nm(info["nm"], "-D", "--defined-only", built["shared"]) - LINKER,
        "static": check.nm(info["nm"], "-g", "--defined-only", built["static"]),
    }
    for name in sorted(kinds["shared"] ^ kinds["static"]):
        kind = "shared" if name in kinds["shared"] else "static"
        check.finding(f"{name}: exported by {pathlib.Path(built[kind]).name} only, not by both kinds")
    return kinds["shared"] | kinds["static"]


def declared():
    """Names that the public headers mark as exported, each with its header."""
    names = {}
    for header in check.public_headers():
        text = check.without_comments(header.read_text(encoding="utf-8"))
        text = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", "", text, flags=re.M)
        for match in re.finditer(r"\bCAFE_EXPORT\b([^;{]*?)\b(\w+)\s*[(\[;]", text):
            names[match.group(2)] = check.public_name(header)
    return names


def main():
    args = sys.argv[1:]
    update = "--update" in args
    args = [arg for arg in args if arg != "--update"]
    info = check.build_info(args[0] if args else check.ROOT / "build/test")

    promised = declared()
    found_anywhere = set()
    for library in LIBRARIES:
        built = info["libraries"].get(library)
        found = exports(info, built) if built else set()
        found_anywhere |= found
        print(f"{library}: {len(found)} exports" if built else f"{library}: has no sources, so nothing may be listed")
        for name in sorted(found):
            if not re.fullmatch(r"cafe_[a-z0-9_]+", name):
                check.finding(f"{library}: {name}: an exported name is cafe_ and lower case")
            if name not in promised:
                check.finding(f"{library}: {name}: exported, but no public header declares it with CAFE_EXPORT")

        path = HERE / f"exports-{library}.txt"
        if update:
            path.write_text("".join(f"{name}\n" for name in sorted(found)))
            continue
        if not path.is_file():
            check.finding(f"{path.name} is missing")
            continue
        listed = path.read_text().split()
        if listed != sorted(set(listed)):
            check.finding(f"{path.name}: not sorted, or a name twice")
        for name in sorted(set(listed) - found):
            check.finding(f"{library}: {name}: listed, no longer exported: a program that uses it breaks")
        for name in sorted(found - set(listed)):
            check.finding(f"{library}: {name}: exported, not listed: run {pathlib.Path(__file__).name} --update")

    missing = sorted(set(promised) - found_anywhere)
    unwritten = [path.parent.name for path in check.LIB.glob("*/CMakeLists.txt") if not any(path.parent.glob("*.c"))]
    unwritten += [library for library in LIBRARIES if library not in info["libraries"]]
    if missing and unwritten:
        print(f"{len(missing)} declared names are exported nowhere; without sources: {' '.join(sorted(unwritten))}")
    else:
        for name in missing:
            check.finding(f"{name}: declared in {promised[name]}, exported by no library")
    check.end()


main()
