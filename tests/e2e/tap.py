# SPDX-License-Identifier: Apache-2.0
"""What one node sends to another, read on its way: a port before that of the node, and its frames, by no code of the
library. A frame is four bytes of length and a msgpack array: version, kind, and what belongs to the kind."""

import contextlib
import socket
import threading

LENGTH = 4
REQUEST = 2
NUMBER, SERVICE, KEY, BUDGET_US, RETRIES, BODY = range(2, 8)  # places in a request


def unpack(data, at):
    """The value at a place in msgpack, and where the next one is."""
    head = data[at]
    at += 1
    if head <= 0x7f or head >= 0xe0:
        return (head if head <= 0x7f else head - 0x100), at
    if head in (0xc0, 0xc2, 0xc3):
        return {0xc0: None, 0xc2: False, 0xc3: True}[head], at
    if 0xcc <= head <= 0xd3:
        size = 1 << (head & 3)
        return int.from_bytes(data[at:at + size], "big", signed=head >= 0xd0), at + size
    if 0x90 <= head <= 0x9f or head in (0xdc, 0xdd):
        count, at = (head & 0xf, at) if head <= 0x9f else sized(data, at, 2 << (head & 1))
        values = []
        for _ in range(count):
            value, at = unpack(data, at)
            values.append(value)
        return values, at
    wide = {0xc4: 1, 0xc5: 2, 0xc6: 4, 0xd9: 1, 0xda: 2, 0xdb: 4}
    size, at = (head & 0x1f, at) if 0xa0 <= head <= 0xbf else sized(data, at, wide[head])
    return data[at:at + size], at + size


def sized(data, at, width):
    return int.from_bytes(data[at:at + width], "big"), at + width


class Tap:
    """Between a node and whoever connects to `url`. Keeps what comes from there."""

    def __init__(self, node):
        self.host, port = node.removeprefix("tcp://").rsplit(":", 1)
        self.target = (self.host, int(port))
        self.listener = socket.create_server((self.host, 0))
        self.url = f"tcp://{self.host}:{self.listener.getsockname()[1]}"
        self.streams = []  # of each connection, what was sent
        self.open = []
        self.threads = []
        self.start(self.accept)

    def start(self, what, *args):
        thread = threading.Thread(target=what, args=args)
        self.threads.append(thread)
        thread.start()

    def accept(self):
        with contextlib.suppress(OSError):  # closed
            while True:
                caller, _ = self.listener.accept()
                try:
                    node = socket.create_connection(self.target)
                except OSError:
                    caller.close()
                    continue
                self.open += [caller, node]
                self.streams.append(bytearray())
                self.start(self.carry, caller, node, self.streams[-1])
                self.start(self.carry, node, caller, bytearray())

    def carry(self, source, target, kept):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                kept += data
                target.sendall(data)
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def requests(self):
        """Those that were sent whole."""
        found = []
        for stream in self.streams:
            data, at = bytes(stream), 0
            while at + LENGTH <= len(data):
                size, begin = sized(data, at, LENGTH)
                at = begin + size
                if at <= len(data):
                    frame, _ = unpack(data, begin)
                    found += [frame] if frame[1] == REQUEST else []
        return found

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for each in self.open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for each in self.threads:
            each.join()
        for each in self.open:
            each.close()
