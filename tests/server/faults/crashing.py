"""Clients that are busy until they are killed: run as a process, which is ended by SIGKILL.

    python crashing.py ADDRESS MODEL CLIENTS SEED

Each client has a connection of its own and does, over and over, one thing of a client's life:
opening, stepping, asking ahead without reading, rolling out, rendering, snapshots, doing nothing.
It says so once all have begun.
"""

from __future__ import annotations

import asyncio
import random
import socket
import sys
from typing import Any

import grpc
import numpy as np
from dreamenv_client.v1 import dream_pb2 as pb
from dreamenv_client.wire import to_tensor

SERVICE = "/dreamenv.v1.Dreams/"
OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]


class Client:
    """One connection, and what is done over it."""

    def __init__(self, address: str, model: str, seed: int) -> None:
        self._luck = random.Random(seed)
        self._model, self._address = model, address
        self._channel = grpc.aio.insecure_channel(address, OWN_CONNECTION)

    async def live(self, began: asyncio.Event) -> None:
        """For ever, whatever the server says: it may be full of others like this."""
        lives = (self._open, self._step, self._ask_ahead, self._roll_out, self._sit)
        while True:
            try:
                info = await self._call("OpenSession", self._opening(), pb.SessionInfo)
                began.set()
                await self._luck.choice(lives)(info)
            except grpc.RpcError:
                began.set()
                await asyncio.sleep(0.01)

    def _opening(self) -> pb.OpenSessionRequest:
        return pb.OpenSessionRequest(
            model=self._model,
            lanes=self._luck.randint(1, 3),
            observation=self._luck.choice(["features", "latent", "pixels"]),
            request_id=self._luck.randbytes(16),
        )

    async def _call(self, method: str, request: Any, reply: Any) -> Any:
        kind = type(request).SerializeToString
        return await self._channel.unary_unary(SERVICE + method, kind, reply.FromString)(request)

    async def _attached(self, info: pb.SessionInfo) -> Any:
        stream = self._channel.stream_stream(SERVICE + "Session")()
        attach = pb.SessionRequest(attach=pb.AttachRequest(session=info.session))
        await stream.write(attach.SerializeToString())
        await stream.read()
        reset = pb.SessionRequest(seq=1, reset=pb.ResetRequest())
        await stream.write(reset.SerializeToString())
        await stream.read()
        return stream

    def _steps(self, info: pb.SessionInfo, seq: int) -> bytes:
        actions = np.zeros((info.lanes, 3), np.float32)
        mask = np.full(info.lanes, seq % 7 == 0)
        step = pb.StepRequest(actions=to_tensor(actions), reset=to_tensor(mask))
        return pb.SessionRequest(seq=seq, step=step).SerializeToString()

    async def _open(self, info: pb.SessionInfo) -> None:
        await asyncio.sleep(self._luck.random() / 10)

    async def _step(self, info: pb.SessionInfo) -> None:
        stream = await self._attached(info)
        for seq in range(2, self._luck.randint(3, 200)):
            await stream.write(self._steps(info, seq))
            if self._luck.random() < 0.1:
                snapshot = pb.SessionRequest(seq=seq + 1, snapshot=pb.SnapshotRequest())
                await stream.write(snapshot.SerializeToString())
            await stream.read()

    async def _ask_ahead(self, info: pb.SessionInfo) -> None:
        stream = await self._attached(info)
        for seq in range(2, 100):
            await stream.write(self._steps(info, seq))
        await asyncio.sleep(self._luck.random())

    async def _roll_out(self, info: pb.SessionInfo) -> None:
        stream = await self._attached(info)
        header = pb.Header(session=info.session, epoch=info.epoch + 1)
        actions = to_tensor(np.zeros((info.lanes, 500, 3), np.float32))
        rollout = self._channel.unary_stream(
            SERVICE + "Rollout", pb.RolloutRequest.SerializeToString, pb.RolloutReply.FromString
        )(pb.RolloutRequest(header=header, actions=actions))
        for _ in range(self._luck.randint(0, 20)):
            await rollout.read()
        if self._luck.random() < 0.5:
            rollout.cancel()
        await stream.done_writing()

    async def _sit(self, info: pb.SessionInfo) -> None:
        host, port = self._address.rsplit(":", 1)
        with socket.create_connection((host, int(port))):  # and say nothing
            await asyncio.sleep(self._luck.random())


async def main(address: str, model: str, clients: int, seed: int) -> None:
    """Says ``crowded`` once every client has asked for a session."""
    began = [asyncio.Event() for _ in range(clients)]
    lives = [
        asyncio.create_task(Client(address, model, seed * 100_000 + i).live(event))
        for i, event in enumerate(began)
    ]
    for event in began:
        await event.wait()
    print("crowded", flush=True)
    await asyncio.gather(*lives)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
