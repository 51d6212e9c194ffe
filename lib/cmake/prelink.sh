#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# prelink.sh OUT LD OBJCOPY NM AR OWN.o... -- [PRIVATE.o...]
#
# Makes one object of many, in which only what OWN marks for export stays global. An archive of single
# objects would show every internal name to the linker of each program that uses it.
#
# PRIVATE objects are copies of internals that another library has too: only the members that are needed
# come in, and none of their names stays global, also not those that the other library exports.
set -eu

out=$1 ld=$2 objcopy=$3 nm=$4 ar=$5
shift 5

keep=$out.keep private=$out.private.a
rm -f "$out" "$keep" "$private"

count=$#
while [ "$count" -gt 0 ] && [ "$1" != -- ]; do
    object=$1
    shift
    set -- "$@" "$object"
    count=$((count - 1))
done
# Now: -- PRIVATE... OWN..., and count is the number of the first two.
shift
count=$((count - 1))
if [ "$count" -gt 0 ]; then
    # q, not r: two layers may have a file of the same name.
    while [ "$count" -gt 0 ]; do
        "$ar" qc "$private" "$1"
        shift
        count=$((count - 1))
    done
    "$ar" s "$private"
fi

"$ld" -r -o "$out" "$@"
"$objcopy" --localize-hidden "$out"
if [ -f "$private" ]; then
    # The name that no object has keeps the list from being empty: objcopy takes an empty list for none.
    { "$nm" -g --defined-only "$out" | awk 'NF == 3 { print $3 }'; echo cafe-no-export; } >"$keep"
    mv "$out" "$out.own"
    "$ld" -r -o "$out" "$out.own" "$private"
    "$objcopy" --keep-global-symbols="$keep" "$out"
    rm -f "$out.own" "$private" "$keep"
fi
