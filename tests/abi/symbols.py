#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""C16: the pure layers call nothing but themselves, the layers above, and a short list of harmless functions.

A socket, a file, a clock or a thread can't be reached without a symbol, so the symbols that a layer's objects
leave undefined prove that it has none. This looks at a plain Release build: that is what is shipped.
"""

import re
import sys

import check

PURE = ("base", "schema", "domain", "saga", "view", "resilience")

EVERY = set(
    """
    memchr memcmp bcmp memcpy memmove memset
    strlen strnlen strcmp strncmp strchr strrchr strstr strspn strcspn strpbrk
    snprintf vsnprintf strtol strtoul strtoll strtoull qsort bsearch __errno_location
    abort __assert_fail __stack_chk_fail _GLOBAL_OFFSET_TABLE_
    """.split()
)
# Memory comes from the node's allocator; its default lives in base.
HEAP = {"malloc", "calloc", "realloc", "free"}


def plain(name):
    """The function behind the names that a hardened or newer libc gives it: __memcpy_chk, __isoc23_strtol."""
    name = re.sub(r"^__isoc\d\d_", "", name)
    return re.sub(r"^__(\w+)_chk$", r"\1", name)


def allowed(layer, name):
    if plain(name) in EVERY or name in EVERY:
        return True
    if layer == "base" and name in HEAP:
        return True
    return layer in ("base", "schema") and name.startswith("msgpack_")


def main():
    info = check.build_info(sys.argv[1] if len(sys.argv) > 1 else check.ROOT / "build/test")
    layers = info["layers"]
    defined = {name: check.nm(info["nm"], "-g", "--defined-only", *layer["objects"]) for name, layer in layers.items()}

    for name in PURE:
        if name not in layers:
            print(f"{name}: has no sources")
            if any((check.LIB / name).glob("*.c")):
                check.finding(f"{name}: has sources, but isn't built")
            continue
        layer = layers[name]
        visible = set(defined[name]).union(*(defined.get(seen, set()) for seen in layer["sees"].split()))
        undefined = check.nm(info["nm"], "-u", *layer["objects"])
        print(f"{name}: {len(layer['objects'])} objects, {len(undefined)} undefined symbols")
        for symbol in sorted(undefined - visible):
            if not allowed(name, symbol):
                owners = [other for other, symbols in defined.items() if symbol in symbols]
                where = f"of layer {', '.join(owners)}, which it may not see" if owners else "not on the list"
                check.finding(f"{name}: {symbol}: {where}")
    check.end()


main()
