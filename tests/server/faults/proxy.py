"""A TCP proxy that breaks the connections it carries, in every way that networks do."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Self

KINDS = ("reset", "cut", "half-open", "silence", "stall", "refuse")
"""How a connection breaks:

- ``reset``: both ends get a reset.
- ``cut``: part of what is under way still arrives, then the connection is closed.
- ``half-open``: nothing more passes one way, the other goes on, and nobody is told.
- ``silence``: nothing more passes either way, and nobody is told.
- ``stall``: nothing passes for a while, then everything does.
- ``refuse``: the connection is reset as soon as it is made.
"""
CHUNK = 65536


@dataclass(frozen=True)
class Faults:
    """What happens to connections, and when."""

    kinds: tuple[str, ...] = KINDS
    """Drawn from for each connection; one named twice is twice as likely."""
    mean_bytes: float = 20_000
    """That a connection carries, both ways together, before it breaks (exponential)."""
    mean_seconds: float = 5.0
    """… or that it lasts, whichever comes first."""
    stall_seconds: float = 0.5
    """Length of a stall, at most."""
    delay_chance: float = 0.02
    """That a chunk is held back …"""
    delay_seconds: float = 0.02
    """… for so long, at most."""


@dataclass(eq=False)
class Connection:
    """Two sockets, and what becomes of what one sends the other."""

    ends: tuple[socket.socket, socket.socket]
    """The client's and the server's."""
    kind: str | None = None
    """What will break it …"""
    at_bytes: float = 0.0
    """… once it has carried so many."""
    carried: int = 0
    lost: set[int] = field(default_factory=set)
    """The ends whose bytes are thrown away …"""
    over: set[int] = field(default_factory=set)
    """… and that have closed since, which the other end is not told."""
    flowing: asyncio.Event = field(default_factory=asyncio.Event)
    """Not set while it stalls."""
    tasks: list[asyncio.Task[None]] = field(default_factory=list)


class Proxy:
    """Carries connections to ``host:port`` from a port of its own, in a thread of its own.

    ``proxy.broken`` counts the connections broken, by kind. ``proxy.faults`` and ``proxy.upstream``
    may be changed at any time, for connections made later; no faults at all if None.

    Args:
        upstream: where connections go.
        faults: what happens to them.
        seed: of the faults. What they hit depends on the traffic as well.
    """

    def __init__(self, upstream: str, faults: Faults | None = None, seed: int = 0) -> None:
        self.upstream = upstream
        self.faults = faults
        self.broken: Counter[str] = Counter()
        self.accepted = 0
        self._luck = random.Random(seed)
        self._open: set[Connection] = set()
        self._burials: set[asyncio.Task[None]] = set()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.setblocking(False)
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self._ready = threading.Event()
        serve = threading.Thread(target=lambda: asyncio.run(self._serve()), name="fault-proxy")
        serve.daemon = True
        serve.start()
        self._thread = serve
        self._ready.wait()

    def drop(self) -> int:
        """Reset every connection there is; returns how many."""

        async def drop() -> int:
            return self._drop()

        return asyncio.run_coroutine_threadsafe(drop(), self._loop).result(timeout=30)

    def silence(self) -> None:
        """Let nothing more pass on the connections there are, and tell nobody."""

        async def silence() -> None:
            for connection in self._open:
                connection.lost.update((0, 1))

        asyncio.run_coroutine_threadsafe(silence(), self._loop).result(timeout=30)

    def close(self) -> None:
        """Close all connections and the port."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._closing.set)
            self._thread.join()
            self._listening.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def _serve(self) -> None:
        self._loop, self._closing = asyncio.get_running_loop(), asyncio.Event()
        accepting = asyncio.create_task(self._accept())
        self._ready.set()
        await self._closing.wait()
        accepting.cancel()
        self._drop()
        await asyncio.gather(*self._burials)

    def _drop(self) -> int:
        dropped = list(self._open)
        for connection in dropped:
            self._end(connection, reset=True)
        return len(dropped)

    async def _accept(self) -> None:
        while True:
            client, _ = await self._loop.sock_accept(self._listening)
            self.accepted += 1
            carried = Connection((client, socket.socket()))
            for end in carried.ends:
                end.setblocking(False)
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            carried.flowing.set()
            self._open.add(carried)
            self._draw(carried)
            if carried.kind == "refuse":
                self._break(carried, 0)
            else:
                carried.tasks.append(self._loop.create_task(self._start(carried)))

    def _draw(self, connection: Connection) -> None:
        """What happens to a connection next, and when."""
        faults, luck = self.faults, self._luck
        if faults is not None:
            connection.kind = luck.choice(faults.kinds)
            connection.at_bytes = connection.carried + luck.expovariate(1 / faults.mean_bytes)
            after = luck.expovariate(1 / faults.mean_seconds)
            self._loop.call_later(after, self._break, connection, luck.randrange(2))

    async def _start(self, connection: Connection) -> None:
        host, port = self.upstream.rsplit(":", 1)
        try:
            await self._loop.sock_connect(connection.ends[1], (host, int(port)))
        except OSError:
            self._end(connection, reset=True)
            return
        for end in (0, 1):
            connection.tasks.append(self._loop.create_task(self._carry(connection, end)))

    async def _carry(self, connection: Connection, source: int) -> None:
        """From one end to the other, until either closes."""
        sending, taking = connection.ends[source], connection.ends[1 - source]
        try:
            while data := await self._loop.sock_recv(sending, CHUNK):
                faults = self.faults
                if faults is not None and self._luck.random() < faults.delay_chance:
                    await asyncio.sleep(self._luck.uniform(0, faults.delay_seconds))
                left = int(connection.at_bytes - connection.carried)
                connection.carried += len(data)
                if connection.kind is not None and left < len(data):
                    await self._loop.sock_sendall(taking, data[: max(0, left)])
                    data = data[max(0, left) :]
                    self._break(connection, source)
                await connection.flowing.wait()
                if connection not in self._open:
                    return
                if source not in connection.lost:
                    await self._loop.sock_sendall(taking, data)
        except OSError:
            self._end(connection, reset=True)
            return
        if source in connection.lost:
            connection.over.add(source)
        if source not in connection.lost or len(connection.over) == 2:
            self._end(connection)

    def _break(self, connection: Connection, source: int) -> None:
        """Do to a connection what was drawn for it."""
        kind, connection.kind = connection.kind, None
        if kind is None or connection not in self._open:
            return
        self.broken[kind] += 1
        if kind in ("reset", "refuse"):
            self._end(connection, reset=True)
        elif kind == "cut":
            self._end(connection)
        elif kind == "half-open":
            connection.lost.add(source)
        elif kind == "silence":
            connection.lost.update((0, 1))
        else:
            connection.flowing.clear()
            longest = 0.0 if self.faults is None else self.faults.stall_seconds
            self._loop.call_later(self._luck.uniform(0, longest), connection.flowing.set)
            self._draw(connection)

    def _end(self, connection: Connection, *, reset: bool = False) -> None:
        if connection in self._open:
            self._open.discard(connection)
            for task in connection.tasks:
                if task is not asyncio.current_task(self._loop):
                    task.cancel()
            self._burials.add(self._loop.create_task(self._bury(connection, reset)))

    async def _bury(self, connection: Connection, reset: bool) -> None:
        """Close the sockets, once the loop watches them no more."""
        await asyncio.gather(*connection.tasks, return_exceptions=True)
        for end in connection.ends:
            if reset:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.close()
        self._burials.discard(asyncio.current_task(self._loop))
