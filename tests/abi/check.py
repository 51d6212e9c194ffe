# SPDX-License-Identifier: Apache-2.0
"""What the checks share: the tree, the build they look at, and how a finding is told."""

import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PUBLIC = ROOT / "include"
LIB = ROOT / "lib"

_findings = []


def finding(text):
    _findings.append(text)


def end():
    for text in _findings:
        print(text)
    print(f"{len(_findings)} findings")
    sys.exit(1 if _findings else 0)


def build_info(folder):
    """The facts that CMake left in the build folder. A missing build is a failure, not nothing to do."""
    path = pathlib.Path(folder) / "abi.json"
    if not path.is_file():
        sys.exit(f"{path} is missing: configure with -DCAFE_BUILD_TESTS=ON, or name another build folder")
    return json.loads(path.read_text())


def public_headers():
    headers = sorted((PUBLIC / "cafe").rglob("*.h"))
    if not headers:
        sys.exit(f"no public header under {PUBLIC}")
    return headers


def public_name(header):
    return header.relative_to(PUBLIC).as_posix()


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(done.args)}: {done.stderr.strip()}")
    return done.stdout


def nm(tool, *args):
    """Names of symbols; the version that a shared library ties to a name is cut off."""
    names = set()
    for line in run(tool, *args).splitlines():
        words = line.split()
        if len(words) >= 2 and len(words[-2]) == 1:
            names.add(words[-1].split("@")[0])
    return names


def without_comments(text):
    # Strings first: a URL in one is no comment.
    return re.sub(r'("(?:\\.|[^"\\\n])*")|/\*.*?\*/|//[^\n]*', lambda m: m.group(1) or " ", text, flags=re.S)


def includes(path):
    """Names in #include lines, in order. As text: what an #if leaves out counts too."""
    text = without_comments(path.read_text(encoding="utf-8"))
    return re.findall(r'^[ \t]*#[ \t]*include[ \t]*[<"]([^>"\n]+)[>"]', text, flags=re.M)
