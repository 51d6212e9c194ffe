#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Includes: no way around the layers, third parties where they belong, and a cafe.h that brings none along."""

import sys

import check

C_HEADERS = set(
    """
    assert.h ctype.h errno.h float.h inttypes.h limits.h setjmp.h stdarg.h stdbool.h stddef.h stdint.h stdio.h
    stdlib.h string.h time.h
    """.split()
)

# Third party -> where in lib/ and include/ it may stand, by the beginning of the path.
THIRD_PARTIES = {
    "uv.h": ("lib/loop/", "include/cafe/loop/uv.h"),
    "sqlite3.h": ("lib/store/sqlite", "lib/testing/"),
    "curl/": ("lib/channel/",),
    "openssl/": ("lib/transport/tcp_tls.c",),
    "msgpack.h": ("lib/base/", "lib/schema/", "lib/testing/"),
    "msgpack/": ("lib/base/", "lib/schema/", "lib/testing/"),
    "uthash.h": ("lib/",),
    "utlist.h": ("lib/",),
    "utarray.h": ("lib/",),
    "utstring.h": ("lib/",),
}

PURE = ("base", "schema", "domain", "saga", "view", "resilience")
# A pure layer has one thread and no clock; neither leaves a symbol behind in every case.
IMPURE_HEADERS = {"stdatomic.h", "threads.h", "pthread.h", "time.h", "unistd.h", "fcntl.h", "signal.h"}


def resolve(name):
    """The file of ours that an include names, or None for somebody else's."""
    for base in (check.PUBLIC, check.LIB):
        if (base / name).is_file():
            return base / name
    return None


def closure(path):
    """Every file of ours that path includes, however far away, and every foreign header with its includer."""
    ours, foreign, todo = {path}, {}, [path]
    while todo:
        current = todo.pop()
        for name in check.includes(current):
            found = resolve(name)
            if found is None and (current.parent / name).is_file():
                found = current.parent / name
            if found is None:
                foreign.setdefault(name, current)
            elif found not in ours:
                ours.add(found)
                todo.append(found)
    return ours, foreign


def in_tree(path):
    return path.relative_to(check.ROOT).as_posix()


def check_each_file():
    files = [
        path
        for folder in ("include", "lib", "bindings", "examples", "tests")
        for path in sorted((check.ROOT / folder).rglob("*"))
        if path.suffix in (".c", ".h", ".i", ".cc", ".cpp") and path.is_file()
    ]
    print(f"{len(files)} files")
    for path in files:
        where = in_tree(path)
        for name in check.includes(path):
            if ".." in name.split("/"):
                check.finding(f"{where}: {name}: a relative path goes around the layers; write \"layer/file.h\"")
            if where.startswith(("lib/", "include/")):
                for third_party, places in THIRD_PARTIES.items():
                    matches = name.startswith(third_party) if third_party.endswith("/") else name == third_party
                    if matches and not where.startswith(places):
                        check.finding(f"{where}: {name} belongs into {', '.join(places)} only")
            if where.startswith(tuple(f"lib/{layer}/" for layer in PURE)):
                if name in IMPURE_HEADERS or name.startswith("sys/"):
                    check.finding(f"{where}: {name}: a pure layer has no clock, file, socket or thread")


def check_public_headers():
    for header in check.public_headers():
        name = check.public_name(header)
        for included in check.includes(header):
            if included.startswith("cafe/"):
                if not (check.PUBLIC / included).is_file():
                    check.finding(f"{name}: {included} doesn't exist")
            elif included not in C_HEADERS and (name, included) != ("cafe/loop/uv.h", "uv.h"):
                check.finding(f"{name}: {included} is neither ours nor the C library's")


def check_cafe_h():
    cafe_h = check.PUBLIC / "cafe/cafe.h"
    if not cafe_h.is_file():
        check.finding("include/cafe/cafe.h is missing")
        return
    ours, foreign = closure(cafe_h)
    for path in sorted(ours):
        if not path.is_relative_to(check.PUBLIC):
            check.finding(f"cafe.h reaches {in_tree(path)}")
        elif check.public_name(path).startswith(("cafe/sys/", "cafe/testing/", "cafe/loop/")):
            check.finding(f"cafe.h reaches {check.public_name(path)}, which most programs don't need")
    for name, includer in sorted(foreign.items()):
        if name not in C_HEADERS:
            check.finding(f"cafe.h reaches {name} through {in_tree(includer)}")


def check_engine():
    for path in sorted((check.LIB / "engine").glob("*.[ch]")):
        ours, foreign = closure(path)
        if "uv.h" in foreign or check.PUBLIC / "cafe/loop/uv.h" in ours:
            check.finding(f"{in_tree(path)} reaches uv.h: the engine meets its loop in cafe/sys/loop.h only")


# One of two is built, by an option.
ALTERNATIVES = {"lib/transport/tcp_tls.c": "lib/transport/tcp_no_tls.c"}


def check_every_source_is_built(info):
    built = {
        f"lib/{layer['folder']}/{obj.rsplit('/', 1)[-1]}" for layer in info["layers"].values() for obj in layer["objects"]
    }
    for one, other in ALTERNATIVES.items():
        if f"{one}.o" in built or f"{other}.o" in built:
            built |= {f"{one}.o", f"{other}.o"}
    for source in sorted(check.LIB.rglob("*.c")):
        if f"{in_tree(source)}.o" not in built:
            check.finding(f"{in_tree(source)} is built into no layer")


def main():
    info = check.build_info(sys.argv[1] if len(sys.argv) > 1 else check.ROOT / "build/test")
    check_each_file()
    check_public_headers()
    check_cafe_h()
    check_engine()
    check_every_source_is_built(info)
    check.end()


main()
