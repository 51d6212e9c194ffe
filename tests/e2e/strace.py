# SPDX-License-Identifier: Apache-2.0
"""Calls of a process to the system that fail, by strace: which needs the right to trace a process of one's own (ptrace)."""

import os
import subprocess
import tempfile

GOES_ON, NOT_STARTED, LOST = 0, 2, 3  # the status with which a process with a fault ends; 0: when it is asked to


def check():
    """Fails, and says why, where nothing can be traced."""
    with tempfile.TemporaryDirectory() as folder:
        trace = os.path.join(folder, "trace")
        try:
            run = subprocess.run(["strace", "-f", "-o", trace, "-e", "inject=fdatasync:error=EIO", "true"],
                                 capture_output=True, text=True, timeout=30)
        except FileNotFoundError:
            raise AssertionError("strace is missing; tests/support/setup.sh --tests installs it") from None
        if run.returncode != 0 or not os.path.getsize(trace):
            raise AssertionError("strace may trace no process here, and without it these tests show nothing. A container "
                                 f"needs the capability SYS_PTRACE. It said: {run.stderr}")


class Fault:
    """A call fails: the `first`-th of each thread and the `count` - 1 after it; where files of the shop's folder are named,
    only calls that these are meant by count."""

    def __init__(self, call, error, *files, first=1, count=1):
        self.call, self.error, self.files, self.first, self.count = call, error, files, first, count

    def __repr__(self):
        return f"{self.call} {self.error} {' '.join(self.files)} from {self.first} to {self.first + self.count - 1}"

    def tracer(self, folder):
        when = f"{self.first}..{self.first + self.count - 1}"
        command = ["strace", "-D", "-f", "-qq", "--seccomp-bpf", "-o", os.path.join(folder, "trace"),
                   "-e", f"trace={self.call}", "-e", f"inject={self.call}:error={self.error}:when={when}"]
        for file in self.files:
            command += ["-P", os.path.join(folder, file)]
        return command


def environment():
    """A sanitizer's search for leaks wants to trace the process, too."""
    return {"ASAN_OPTIONS": f"{os.environ.get('ASAN_OPTIONS', '')}:detect_leaks=0"}


def was_failed(folder):
    with open(os.path.join(folder, "trace"), encoding="utf-8", errors="replace") as trace:
        return "(INJECTED)" in trace.read()


def assert_said(status, logged):
    """Who ends says why: one line before it has begun, or that its store is lost. `logged` since its start."""
    if status == LOST:
        assert "the store has to be opened anew" in logged and "ending with status 3" in logged, logged
    elif status == NOT_STARTED:
        assert len(logged.splitlines()) == 1 and logged.startswith("cafe-") and logged.count(": ") >= 2, logged
    else:
        assert status == GOES_ON, (status, logged)
