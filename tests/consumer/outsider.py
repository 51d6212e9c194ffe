# SPDX-License-Identifier: Apache-2.0
"""What an outsider does: takes an example away from here and builds it against the installed tree.

CAFE_PREFIX is that tree; CMAKE, CC, CFLAGS and LDFLAGS are how things are built (CMakeLists.txt sets them all). The
working folder is the test's own.
"""

import os
import pathlib
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
PREFIX = pathlib.Path(os.environ["CAFE_PREFIX"])


def run(*command, code=0, **options):
    """Runs it, and returns what it said on both ends. It must end with that code; None: with any but 0."""
    said = subprocess.run(
        [str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=240, **options
    )
    if (said.returncode == 0) if code is None else (said.returncode != code):
        raise AssertionError(f"{command} ended with {said.returncode}:\n{said.stdout}")
    return said.stdout


def take(name, to=None):
    """A copy of the example, away from the sources and with a space in its path."""
    copy = pathlib.Path("taken away", to or name).resolve()
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(ROOT / "examples" / name, copy)
    return copy


def build(source, *options):
    """Builds a project by CMake, and returns its build folder."""
    folder = source / "build"
    run(os.environ["CMAKE"], "-S", source, "-B", folder, f"-DCMAKE_PREFIX_PATH={PREFIX}", "-DCMAKE_BUILD_TYPE=Release", *options)
    run(os.environ["CMAKE"], "--build", folder)
    return folder


def libraries(program):
    """Those of ours that the program loads."""
    return [line.split()[0] for line in run("ldd", program).splitlines() if "libcafe" in line]
