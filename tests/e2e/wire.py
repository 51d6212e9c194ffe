# SPDX-License-Identifier: Apache-2.0
"""Wires between services: each goes through a port of its own here, where it can be cut, delayed, swallowed, or made to
break again and again after so many bytes."""

import asyncio
import contextlib
import threading

from services import NEEDS

CHUNK = 65536


class Wire:
    """From one service to another. What is set holds for connections that there are and for those to come.

    is_cut       nobody gets through, and who is through is cut off
    delay_s      (): how long the next piece takes, either way; None: no time
    lasts        (): (bytes to the server, bytes back) after which a connection breaks; None: it lasts. What is
                 beyond isn't forwarded: so the server may have got all of a message whose answer is lost."""

    def __init__(self, wires, host, port):
        self.wires = wires
        self.target = (host, port)
        self.is_cut = False
        self.delay_s = None
        self.lasts = None
        self.connections = 0
        self.broken = 0
        self.open = set()
        self.server = wires.run(asyncio.start_server(self.take, "127.0.0.1", 0))
        self.port = self.server.sockets[0].getsockname()[1]

    def cut(self):
        self.is_cut = True
        self.break_now()

    def break_now(self):
        self.wires.call(self.break_all)

    def mend(self):
        self.is_cut, self.delay_s, self.lasts = False, None, None

    def break_all(self):
        for writer in list(self.open):
            writer.transport.abort()

    async def take(self, reader, writer):
        self.connections += 1
        self.open.add(writer)
        onward = None
        try:
            if not self.is_cut:
                server, onward = await asyncio.open_connection(*self.target)
                self.open.add(onward)
                there, back = self.lasts() if self.lasts else (None, None)
                ways = [asyncio.ensure_future(self.carry(reader, onward, there)),
                        asyncio.ensure_future(self.carry(server, writer, back))]
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        except OSError:
            pass  # the service isn't there
        finally:
            for end in (writer, onward):
                if end:
                    self.open.discard(end)
                    end.transport.abort()

    async def carry(self, reader, writer, left):
        while data := await reader.read(CHUNK):
            if self.delay_s:
                await asyncio.sleep(self.delay_s())
            if left is not None:
                data = data[:left]
                left -= len(data)
            writer.write(data)
            await writer.drain()
            if left == 0:
                self.broken += 1
                return


class Wires:
    """Between all of them, each pair by a wire of its own: wires["app", "pay"]."""

    def __init__(self, services):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.all = {}
        for each in services.all:
            for peer in NEEDS[each.name]:
                host, port = each.node(peer).removeprefix("tcp://").rsplit(":", 1)
                wire = self.all[each.name, peer] = Wire(self, host, int(port))
                each.routes[peer] = f"tcp://127.0.0.1:{wire.port}"

    def __getitem__(self, pair):
        return self.all[pair]

    def of(self, name):
        """Those at which a service is either end."""
        return [wire for pair, wire in self.all.items() if name in pair]

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    def call(self, function):
        async def run():
            function()
        self.run(run())

    def cut(self, name):
        for wire in self.of(name):
            wire.cut()

    def mend(self):
        for wire in self.all.values():
            wire.mend()

    @contextlib.contextmanager
    def without(self, name):
        """The service can be reached by no other one, though by whoever calls it over HTTP."""
        self.cut(name)
        try:
            yield
        finally:
            for wire in self.of(name):
                wire.mend()

    def close(self):
        async def end():
            for wire in self.all.values():
                wire.server.close()
                wire.is_cut = True
                wire.break_all()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            if others:
                await asyncio.wait(others, timeout=10)
        self.run(end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()
