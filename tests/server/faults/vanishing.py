"""Clients that are gone from one moment to the next, at any point of what they were doing.

As a program, `python vanishing.py ADDRESS MODEL CLIENTS SEED` begins with so many clients and ends
without a word to the server.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import sys
from collections.abc import Awaitable, Callable

import grpc
import grpc.aio
import numpy as np
from dreamenv_client.v1 import dream_pb2 as pb
from dreamenv_client.wire import to_tensor

DREAMS = "/dreamenv.v1.Dreams/"
LEASE = 0.5
OPTIONS = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]


class Vanishing:
    """One client, on a connection of its own."""

    def __init__(self, address: str, model: str, luck: random.Random) -> None:
        self.model, self.luck = model, luck
        self.channel = grpc.aio.insecure_channel(address, OPTIONS)
        self.lanes = luck.randint(1, 2)
        self.held: list[object] = []

    async def begin(self) -> None:
        """Get to some point, and no further."""
        points: list[Callable[[], Awaitable[None]]] = [
            self.opening,
            self.opened,
            self.attached,
            self.stepping,
            self.stepping,
            self.unread,
            self.rolling,
            self.calling,
        ]
        await self.luck.choice(points)()

    async def open(self, kind: str = "features") -> pb.SessionInfo:
        request = pb.OpenSessionRequest(
            model=self.model,
            lanes=self.lanes,
            observation=kind,
            request_id=secrets.token_bytes(16),
            lease_seconds=LEASE,
            knobs=pb.Knobs(termination="none", horizon=10**6),
        )
        call = self.channel.unary_unary(
            DREAMS + "OpenSession",
            pb.OpenSessionRequest.SerializeToString,
            pb.SessionInfo.FromString,
        )(request)
        self.held.append(call)
        return await call

    async def opening(self) -> None:
        """Asked to open a session; whether it was is not waited for."""
        task = asyncio.ensure_future(self.open())
        self.held.append(task)
        await asyncio.sleep(self.luck.uniform(0, 0.01))

    async def opened(self) -> None:
        await self.open()

    async def attached(self, kind: str = "features") -> None:
        info = await self.open(kind)
        self.stream = self.channel.stream_stream(
            DREAMS + "Session", pb.SessionRequest.SerializeToString, pb.SessionReply.FromString
        )()
        await self.stream.write(pb.SessionRequest(attach=pb.AttachRequest(session=info.session)))
        self.info = (await self.stream.read()).attached
        await self.stream.write(pb.SessionRequest(seq=1, reset=pb.ResetRequest()))
        await self.stream.read()

    async def stepping(self) -> None:
        """In the middle of a step, or of several that were sent one behind the other."""
        await self.attached()
        for seq in range(2, 2 + self.luck.randint(1, 20)):
            await self.stream.write(pb.SessionRequest(seq=seq, step=self.step()))
            if self.luck.random() < 0.5:
                await self.stream.read()

    async def unread(self) -> None:
        """Pictures that nobody reads are on their way."""
        await self.attached("pixels")
        for seq in range(2, 60):
            await self.stream.write(pb.SessionRequest(seq=seq, step=self.step()))

    async def rolling(self) -> None:
        """A long rollout, of which the beginning was read."""
        await self.attached()
        header = pb.Header(session=self.info.session, epoch=self.info.epoch)
        actions = np.zeros((self.lanes, 300, 3), np.float32)
        call = self.channel.unary_stream(
            DREAMS + "Rollout", pb.RolloutRequest.SerializeToString, pb.RolloutReply.FromString
        )(pb.RolloutRequest(header=header, actions=to_tensor(actions)))
        self.held.append(call)
        for _ in range(self.luck.randint(0, 2)):
            await call.read()

    async def calling(self) -> None:
        """A call by itself, sent and not waited for."""
        info = await self.open()
        request = pb.ResetRequest(header=pb.Header(session=info.session, epoch=1, seq=1))
        call = self.channel.unary_unary(
            DREAMS + "Reset", pb.ResetRequest.SerializeToString, pb.LaneStep.FromString
        )(request)
        self.held.append(call)
        await asyncio.sleep(self.luck.uniform(0, 0.01))

    def step(self) -> pb.StepRequest:
        return pb.StepRequest(actions=to_tensor(np.zeros((self.lanes, 3), np.float32)))


async def vanish(address: str, model: str, clients: int, seed: int) -> None:
    """Begin with all of them, then end this process."""
    luck = random.Random(seed)
    held = [Vanishing(address, model, random.Random(luck.random())) for _ in range(clients)]
    beginnings = asyncio.gather(*(client.begin() for client in held))
    if luck.random() < 0.5:  # some are far, some have hardly begun
        await beginnings
    else:
        await asyncio.wait((beginnings,), timeout=luck.uniform(0.1, 1.0))
        if beginnings.done():
            beginnings.result()
    print(len(held), flush=True)
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(vanish(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
