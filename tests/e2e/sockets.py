# SPDX-License-Identifier: Apache-2.0
"""Listening sockets that outlive the processes that serve at them, as systemd holds those of its .socket units."""

import fcntl
import os
import socket
import subprocess
import sys

FIRST = 3  # SD_LISTEN_FDS_START
CLEAR = 100  # of the numbers that they get
START = f"""
import os, sys
for at, fd in enumerate(sys.argv[1].split()):
    os.dup2(int(fd), {FIRST} + at)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
"""


class Held:
    """Sockets by name, in a process's order: Held({"http": 8081, "node": 9081})."""

    def __init__(self, ports):
        self.sockets = {name: socket.create_server(("127.0.0.1", port), backlog=4096) for name, port in ports.items()}

    def close(self):
        for each in self.sockets.values():
            each.close()

    def popen(self, command, env, **options):
        """Starts a process with them, by the protocol of sd_listen_fds(3)."""
        given = [fcntl.fcntl(each.fileno(), fcntl.F_DUPFD, CLEAR) for each in self.sockets.values()]
        told = {"LISTEN_FDS": str(len(given)), "LISTEN_FDNAMES": ":".join(self.sockets)}
        try:
            return subprocess.Popen([sys.executable, "-ISc", START, " ".join(map(str, given)), *command],
                                    env={**told, **env}, pass_fds=given, **options)
        finally:
            for fd in given:
                os.close(fd)
