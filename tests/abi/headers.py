#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every public header compiles alone, and twice, as C99 and as C++17, with no warning."""

import concurrent.futures
import os
import subprocess
import sys

import check

STRICT = ["-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only", "-I", str(check.PUBLIC)]


def flags_for(header):
    if check.public_name(header) == "cafe/loop/uv.h":
        # uv.h names POSIX types, which strict C99 hides.
        cflags = check.run("pkg-config", "--cflags", "libuv").split()
        return ["-D_POSIX_C_SOURCE=200809L"] + cflags
    return []


def compiles(command, name):
    source = f"#include <{name}>\n#include <{name}>\nextern int cafe_headers_test;\n"
    done = subprocess.run(command + ["-"], input=source, capture_output=True, text=True)
    if done.returncode:
        # One missing name brings hundreds of lines after it.
        first = "\n".join(done.stderr.splitlines()[:12])
        return f"{name}: {' '.join(command)}\n{first}\n"
    return None


def main():
    info = check.build_info(sys.argv[1] if len(sys.argv) > 1 else check.ROOT / "build/test")
    jobs = []
    for header in check.public_headers():
        extra = flags_for(header)
        name = check.public_name(header)
        jobs.append(([info["cc"], "-x", "c", "-std=c99", *STRICT, *extra], name))
        jobs.append(([info["cxx"], "-x", "c++", "-std=c++17", *STRICT, *extra], name))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for failure in pool.map(lambda job: compiles(*job), jobs):
            if failure:
                check.finding(failure)
    print(f"{len(jobs) // 2} headers")
    check.end()


main()
