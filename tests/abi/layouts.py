#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every public struct is laid out as layouts.txt says: no member moves, shrinks or goes, and nothing grows but where
that is allowed. What is new is added to the list, by hand or by --update; a line that changes breaks programs.

layouts.py [--update] [BUILD]    BUILD is build/test if not given; --update writes the list anew
"""

import pathlib
import re
import subprocess
import sys
import tempfile

import check

HERE = pathlib.Path(__file__).resolve().parent
PATH = HERE / "layouts.txt"
HEAD = """\
# Every public struct on a 64-bit machine: its size; each member's offset and size. tests/abi/layouts.py compares.
# frozen: a program has it in arrays, in its own structs, or as a copy of the library's object: it never changes, but for
#   what takes the place of a `reserved`.
# grows: it is handed over by a pointer and begins with its size, or its data's size is handed in with it, or the library
#   alone makes it: members may be added behind its end as it is listed (not in the padding there, which old programs
#   leave as it was).
"""
# The only header that needs a third party's; it has no struct.
WITHOUT = "cafe/loop/uv.h"


class Struct:
    def __init__(self, kind, size):
        self.kind, self.size, self.members = kind, size, {}


def preprocessed(cc, headers):
    source = "".join(f"#include <{name}>\n" for name in headers)
    done = subprocess.run(
        [cc, "-E", "-P", "-std=c11", "-I", str(check.PUBLIC), "-"], input=source, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout


def split(text, by):
    """At those signs that stand in no bracket."""
    parts, depth, part = [], 0, ""
    for sign in text:
        depth += (sign in "([{") - (sign in ")]}")
        if sign == by and depth == 0:
            parts.append(part)
            part = ""
        else:
            part += sign
    return parts + [part]


def member_names(declaration):
    if "{" in declaration:
        sys.exit(f"a struct within a struct is more than this can read: {declaration}")
    function = re.search(r"\(\s*\*\s*(\w+)\s*\)\s*\(", declaration)
    if function:
        return [function.group(1)]
    return [re.search(r"(\w+)\s*(?:\[[^\]]*\]\s*)*$", part.strip()).group(1) for part in split(declaration, ",")]


def declared_structs(text):
    """Name -> how C calls it, and its members, in order."""
    structs = {}
    for begin in re.finditer(r"\b(typedef )?struct (cafe_\w+) \{", text):
        depth, end = 1, begin.end()
        while depth:
            depth += (text[end] == "{") - (text[end] == "}")
            end += 1
        members = []
        for declaration in split(text[begin.end() : end - 1], ";"):
            if declaration.strip():
                members += member_names(declaration)
        structs[begin.group(2)] = ("" if begin.group(1) else "struct ") + begin.group(2), members
    return structs


def measured(cc, headers, structs):
    lines = ["#include <stddef.h>", "#include <stdio.h>"] + [f"#include <{name}>" for name in headers]
    lines += ["int main(void) {", '  printf("%zu\\n", sizeof(void *));']
    for name, (type_, members) in sorted(structs.items()):
        lines.append(f'  printf("{name} %zu\\n", sizeof({type_}));')
        for member in members:
            lines.append(
                f'  printf("  {member} %zu %zu\\n", offsetof({type_}, {member}), sizeof((({type_} *)0)->{member}));'
            )
    lines += ["  return 0;", "}", ""]
    with tempfile.TemporaryDirectory() as folder:
        source, program = pathlib.Path(folder) / "layouts.c", pathlib.Path(folder) / "layouts"
        source.write_text("\n".join(lines))
        check.run(cc, "-std=c11", "-I", check.PUBLIC, "-o", program, source)
        width, *found = check.run(program).splitlines()
    if width != "8":
        sys.exit("layouts.txt is of machines with 64 bits: this isn't one")
    return found


def read(lines):
    structs = {}
    for line in lines:
        words = line.split()
        if not words or line.startswith("#"):
            continue
        if line.startswith(" "):
            structs[name].members[words[0]] = int(words[1]), int(words[2])
        else:
            *kind, name, size = words
            structs[name] = Struct(kind[0] if kind else None, int(size))
    return structs


def kind_of(name, struct, headers_text):
    """What a new struct is, by what its header says."""
    comment = re.search(r"/\*((?:[^*]|\*(?!/))*)\*/\s*(?:typedef )?struct " + name + r" \{", headers_text)
    said = comment.group(1) if comment else ""
    if "Frozen" in said:
        return "frozen"
    has_size = next(iter(struct.members)) == "size" or f"extern const cafe_schema {name}_type;" in headers_text
    return "grows" if has_size or "added at the end" in " ".join(said.split()).replace("* ", "") else "frozen"


def compare_members(name, was, found):
    gaps = [place for member, place in was.members.items() if member.startswith("reserved")]
    for member, place in was.members.items():
        if not member.startswith("reserved") and found.members.get(member) != place:
            check.finding(f"{name}.{member}: was at {place[0]}, {place[1]} bytes: it is gone, moved or of another size")
    for member, (offset, size) in found.members.items():
        is_known = member in was.members and not member.startswith("reserved")
        if is_known or was.members.get(member) == (offset, size):
            continue
        is_inside = any(at <= offset and offset + size <= at + width for at, width in gaps)
        if not is_inside and (was.kind == "frozen" or offset < was.size):
            check.finding(f"{name}.{member}: lies neither in what was reserved nor behind the end")
        else:
            check.finding(f"{name}.{member}: not listed so: run {pathlib.Path(__file__).name} --update")


def compare(golden, structs):
    for name in sorted(set(golden) | set(structs)):
        was, found = golden.get(name), structs.get(name)
        if not found:
            check.finding(f"{name}: listed, no longer there: a program that uses it breaks")
        elif not was:
            check.finding(f"{name}: not listed: run {pathlib.Path(__file__).name} --update")
        else:
            if found.size < was.size or (was.kind == "frozen" and found.size != was.size):
                check.finding(f"{name}: has {found.size} bytes, and had {was.size}: it is listed as '{was.kind}'")
            elif found.size != was.size:
                check.finding(f"{name}: has {found.size} bytes now: run {pathlib.Path(__file__).name} --update")
            compare_members(name, was, found)


def write(golden, structs, headers_text):
    text = HEAD
    for name, struct in sorted(structs.items()):
        kind = golden[name].kind if name in golden else kind_of(name, struct, headers_text)
        text += f"\n{kind} {name} {struct.size}\n"
        text += "".join(f"  {member} {offset} {size}\n" for member, (offset, size) in struct.members.items())
    PATH.write_text(text)


def main():
    args = sys.argv[1:]
    update = "--update" in args
    args = [arg for arg in args if arg != "--update"]
    cc = check.build_info(args[0] if args else check.ROOT / "build/test")["cc"]

    paths = [path for path in check.public_headers() if check.public_name(path) != WITHOUT]
    headers = [check.public_name(path) for path in paths]
    structs = read(measured(cc, headers, declared_structs(preprocessed(cc, headers))))
    golden = read(PATH.read_text().splitlines()) if PATH.is_file() else {}
    print(f"{len(structs)} structs")
    if update:
        write(golden, structs, "".join(path.read_text(encoding="utf-8") for path in paths))
    else:
        compare(golden, structs)
    check.end()


main()
