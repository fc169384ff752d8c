"""Who calls the servers: clients that ask again as soon as they are answered."""

from __future__ import annotations

import asyncio
import queue
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
import numpy as np
from dreamenv_client.layout import SEQ, SEQ_TAG, StepLayout
from dreamenv_client.v1 import dream_pb2 as pb
from dreamenv_client.wire import to_tensor

from dreamenv.config import PackageConfig

HEAD = 1 + SEQ.size
OPTIONS = (
    ("grpc.http2.max_frame_size", 1 << 20),
    ("grpc.http2.lookahead_bytes", 1 << 22),
    ("grpc.use_local_subchannel_pool", 1),  # a connection for each client
)
ECHO, DREAM = "/bench/Echo", "/dreamenv.v1.Dreams/"
PEER = "/dm_env_rpc.v1.Environment/Process"
STEPS = 16
"""Messages made beforehand, sent in turn."""
HORIZON = 10_000_000

Opening = Callable[[grpc.aio.Channel], Awaitable[Sequence[bytes]]]
"""Makes the messages that a stream begins with; each is answered by one."""


@dataclass(frozen=True)
class Manner:
    """How clients of a server speak."""

    method: str
    opening: Opening
    messages: Sequence[bytes]
    """To send in turn."""
    numbered: bool
    """They get the next ``seq``, and the reply must have it."""


class Callers:
    """Clients in one asyncio loop, each with a connection and a stream."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, address: str, manner: Manner, clients: int
    ) -> None:
        self._loop, self._manner = loop, manner
        self.reply_bytes = 0
        self._callers = loop.run_until_complete(self._open(address, clients))

    def run(self, seconds: float) -> list[float]:
        """Call for so long; how long each round trip took, in seconds."""
        took: list[float] = []
        until = time.perf_counter() + seconds
        callers = [self._call(at, until, took) for at in range(len(self._callers))]
        self._loop.run_until_complete(_all(callers))
        return took

    def close(self) -> None:
        """End the streams."""
        self._loop.run_until_complete(_all([channel.close() for channel, *_ in self._callers]))

    async def _open(self, address: str, clients: int) -> list[list[Any]]:
        callers: list[list[Any]] = []
        for _ in range(clients):
            channel = grpc.aio.insecure_channel(address, OPTIONS)
            opening = await self._manner.opening(channel)
            call: Any = channel.stream_stream(self._manner.method)()
            for message in opening:
                await call.write(message)
                if (reply := await call.read()) is grpc.aio.EOF:
                    raise RuntimeError(f"{address} ended a stream: {await call.details()}")
            self.reply_bytes = len(reply)
            callers.append([channel, call, 2])
        return callers

    async def _call(self, at: int, until: float, took: list[float]) -> None:
        _, call, seq = self._callers[at]
        write, read, clock = call.write, call.read, time.perf_counter
        messages, numbered = self._manner.messages, self._manner.numbered
        began = clock()
        while began < until:
            message = messages[seq % len(messages)]
            if numbered:
                message = SEQ_TAG + SEQ.pack(seq) + message[HEAD:]
            await write(message)
            reply = await read()
            if reply is grpc.aio.EOF or (numbered and reply[:HEAD] != message[:HEAD]):
                raise RuntimeError(f"expected the answer to call {seq}, got {reply!r:.200}")
            seq += 1
            now = clock()
            took.append(now - began)
            began = now
        self._callers[at][2] = seq


class Caller:
    """One client of the echo without asyncio, as the remote dream is one."""

    def __init__(self, address: str, request_bytes: int, reply_bytes: int) -> None:
        self._channel = grpc.insecure_channel(address, OPTIONS)
        self._requests: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        both: Any = self._channel.stream_stream(ECHO)
        self._call = both(iter(self._requests.get, None))
        self._message = bytes(request_bytes)
        self._requests.put(reply_bytes.to_bytes(4, "little"))
        next(self._call)

    def run(self) -> None:
        """One round trip."""
        self._requests.put(self._message)
        next(self._call)

    def close(self) -> None:
        """End the stream."""
        self._requests.put(None)
        self._channel.close()


def step_messages(config: PackageConfig, lanes: int) -> list[bytes]:
    """Steps of random actions; their ``seq`` is to be filled in."""
    space = config.action.space()
    layout = StepLayout(lanes, np.dtype(space.dtype).newbyteorder("<"), space.shape or ())
    space.seed(0)
    actions = [np.stack([space.sample() for _ in range(lanes)]) for _ in range(STEPS)]
    return [layout.encode(0, action) for action in actions]


def dream_manner(dream: str, config: PackageConfig) -> Manner:
    """Sessions of one lane, in which no episode ends."""

    async def opening(channel: grpc.aio.Channel) -> Sequence[bytes]:
        knobs = pb.Knobs(termination="none", horizon=HORIZON)
        request = pb.OpenSessionRequest(model=dream, lanes=1, knobs=knobs)
        call: Any = channel.unary_unary(
            DREAM + "OpenSession",
            request_serializer=pb.OpenSessionRequest.SerializeToString,
            response_deserializer=pb.SessionInfo.FromString,
        )
        info = await call(request)
        attach = pb.SessionRequest(attach=pb.AttachRequest(session=info.session))
        reset = pb.ResetRequest(seeds=to_tensor(np.zeros(1, np.int64)))
        first = pb.SessionRequest(seq=1, reset=reset)
        return [attach.SerializeToString(), first.SerializeToString()]

    return Manner(DREAM + "Session", opening, step_messages(config, 1), numbered=True)


def echo_manner(messages: Sequence[bytes], reply_bytes: int) -> Manner:
    """The same messages, to be answered by as many bytes."""

    async def opening(channel: grpc.aio.Channel) -> Sequence[bytes]:
        return [reply_bytes.to_bytes(4, "little")]

    return Manner(ECHO, opening, messages, numbered=True)


def peer_manner(opening_messages: Sequence[bytes], steps: Sequence[bytes]) -> Manner:
    """Clients of dm-env-rpc."""

    async def opening(channel: grpc.aio.Channel) -> Sequence[bytes]:
        return opening_messages

    return Manner(PEER, opening, steps, numbered=False)


async def _all(awaitables: Sequence[Awaitable[Any]]) -> None:
    await asyncio.gather(*awaitables)
