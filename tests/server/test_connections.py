"""Connections that ping, fall silent or never speak, byte by byte.

The times in the configs are short, and nothing is measured by them: each test waits for what must
come, and fails when it does not.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from dreamenv_client.v1 import dream_pb2 as pb
from dreamenv_server.server import DreamServer, ServerConfig

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, PING, GOAWAY = 0, 1, 4, 6, 7
NO_SETTINGS = bytes([0, 0, 0, SETTINGS, 0, 0, 0, 0, 0])
ACKNOWLEDGED = bytes([0, 0, 0, SETTINGS, 1, 0, 0, 0, 0])
ENHANCE_YOUR_CALM = 11
LONG = 3600.0


def with_server(
    folder: Path, key_file: Path, test: Callable[[DreamServer], Awaitable[None]], **config: Any
) -> None:
    async def run() -> None:
        given = {"address": "127.0.0.1:0", "models": (str(folder),), "key_file": key_file}
        # What a test is not about never happens.
        given |= {"keepalive_seconds": LONG, "handshake_seconds": LONG, "idle_seconds": LONG}
        server = DreamServer(ServerConfig(**given | config))
        await server.start()
        try:
            async with asyncio.timeout(60):
                await test(server)
        finally:
            await server.stop()

    asyncio.run(run())


@pytest.fixture
def serve(tiny_folder, tmp_path):
    def run(test: Callable[[DreamServer], Awaitable[None]], **config: Any) -> None:
        with_server(tiny_folder, tmp_path / "key", test, **config)

    return run


class Frames:
    """The HTTP/2 frames in a stream of bytes: (type, flags, payload)."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[tuple[int, int, bytes]]:
        data = self._rest + data
        found = []
        while len(data) >= 9 and len(data) >= 9 + int.from_bytes(data[:3], "big"):
            size = int.from_bytes(data[:3], "big")
            found.append((data[3], data[4], data[9 : 9 + size]))
            data = data[9 + size :]
        self._rest = data
        return found


async def speak(server: DreamServer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection that has begun to speak HTTP/2, and has made no call."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(PREFACE + NO_SETTINGS + ACKNOWLEDGED)
    await writer.drain()
    return reader, writer


async def frames_until_closed(reader: asyncio.StreamReader) -> list[tuple[int, int, bytes]]:
    frames, found = Frames(), []
    with contextlib.suppress(ConnectionResetError):
        while data := await reader.read(1 << 16):
            found += frames.feed(data)
    return found


def test_connections_that_never_speak_are_closed(serve):
    async def test(server: DreamServer) -> None:
        pairs = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(20)]
        for number, (_, writer) in enumerate(pairs):
            writer.write(PREFACE[:number])  # some begin, and stop
        found = await asyncio.gather(*(frames_until_closed(reader) for reader, _ in pairs))
        assert len(found) == 20
        for _, writer in pairs:
            writer.close()

    serve(test, handshake_seconds=0.2)


def test_connections_without_a_call_are_closed_and_clients_come_back(serve, dreams):
    async def test(server: DreamServer) -> None:
        reader, writer = await speak(server)
        kinds = [kind for kind, _, _ in await frames_until_closed(reader)]
        assert GOAWAY in kinds
        writer.close()
        async with forwarding(server.port) as way, channel(way.port) as client:
            await dreams(client).ListModels(pb.ListModelsRequest())
            await way.closed.wait()
            await dreams(client).ListModels(pb.ListModelsRequest())
            assert way.connections == 2

    serve(test, idle_seconds=0.2)


def test_half_open_connections_are_closed(serve):
    async def test(server: DreamServer) -> None:
        reader, writer = await speak(server)
        found = await frames_until_closed(reader)  # and no ping of it is answered
        assert (PING, 0) in [(kind, flags) for kind, flags, _ in found]
        writer.close()

    serve(test, keepalive_seconds=0.2)


def test_connections_that_answer_pings_stay_however_long_they_are_idle(serve):
    async def test(server: DreamServer) -> None:
        reader, writer = await speak(server)
        frames, answered = Frames(), 0
        while answered < 8:
            data = await reader.read(1 << 16)
            assert data, f"closed after {answered} answered pings"
            for kind, flags, payload in frames.feed(data):
                assert kind != GOAWAY
                if (kind, flags) == (PING, 0):
                    writer.write(bytes([0, 0, 8, PING, 1, 0, 0, 0, 0]) + payload)
                    answered += 1
        writer.close()

    serve(test, keepalive_seconds=0.1)


class Forwarder:
    """A way to the server that counts connections, and the pings that the client sends."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self.port = 0
        self.connections = 0
        self.pings = asyncio.Queue[None]()
        self.goaways: list[bytes] = []
        self.closed = asyncio.Event()
        """Set when the server has closed a connection."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        await asyncio.gather(
            self._pipe(reader, up_writer, from_client=True),
            self._pipe(up_reader, writer, from_client=False),
        )

    async def _pipe(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, from_client: bool
    ) -> None:
        frames, skip = Frames(), len(PREFACE) if from_client else 0
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                skipped, skip = min(skip, len(data)), max(0, skip - len(data))
                for kind, flags, payload in frames.feed(data[skipped:]):
                    if kind == GOAWAY:
                        self.goaways.append(payload)
                    if from_client and (kind, flags) == (PING, 0):
                        self.pings.put_nowait(None)
                writer.write(data)
                await writer.drain()
        if not from_client:
            self.closed.set()
        writer.close()


@contextlib.asynccontextmanager
async def forwarding(server_port: int) -> AsyncIterator[Forwarder]:
    way = Forwarder(server_port)
    listener = await asyncio.start_server(way.accept, "127.0.0.1", 0)
    way.port = listener.sockets[0].getsockname()[1]
    yield way
    listener.close()
    await listener.wait_closed()


def channel(port: int, *options: tuple[str, int]) -> grpc.aio.Channel:
    own = ("grpc.use_local_subchannel_pool", 1)
    return grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=[own, *options])


PINGING = [
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
]


def test_an_idle_client_that_pings_at_the_pace_it_may_is_not_cut_off(serve, dreams):
    async def test(server: DreamServer) -> None:
        pace = ("grpc.keepalive_time_ms", 100)
        async with forwarding(server.port) as way, channel(way.port, pace, *PINGING) as client:
            await dreams(client).ListModels(pb.ListModelsRequest())
            for _ in range(5):  # the third too soon would be the last
                await way.pings.get()
            await dreams(client).ListModels(pb.ListModelsRequest())
            assert way.connections == 1
            assert way.goaways == []

    serve(test, client_ping_seconds=0.05)


def test_a_client_that_pings_too_often_is_cut_off(serve, dreams):
    async def test(server: DreamServer) -> None:
        pace = ("grpc.keepalive_time_ms", 50)
        async with forwarding(server.port) as way, channel(way.port, pace, *PINGING) as client:
            await dreams(client).ListModels(pb.ListModelsRequest())
            await way.closed.wait()
            codes = [int.from_bytes(goaway[4:8], "big") for goaway in way.goaways]
            assert ENHANCE_YOUR_CALM in codes

    serve(test, client_ping_seconds=LONG)


def test_by_default_clients_may_ping_each_10_seconds():
    options = dict(ServerConfig().options())
    for name in ("min_ping_interval_without_data_ms", "min_recv_ping_interval_without_data_ms"):
        assert options[f"grpc.http2.{name}"] < 10_000
