"""Sessions that come and go while others are watched: opened, stepped, closed or abandoned."""

from __future__ import annotations

import asyncio
import random
import threading
from typing import Any, Self

import grpc
import numpy as np
from dreamenv_client.v1 import dream_pb2 as pb
from dreamenv_client.wire import to_tensor


class Churn:
    """So many clients at once in a thread of their own, until the block ends.

    Args:
        address: of the server.
        actions: for each model, one lane's action.
    """

    def __init__(self, address: str, actions: dict[str, np.ndarray], clients: int = 50) -> None:
        self._address, self._actions, self._clients = address, actions, clients
        self._going = threading.Event()
        self._ends = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()))
        self.calls = 0
        self.failures: list[BaseException] = []

    async def _main(self) -> None:
        async with grpc.aio.insecure_channel(self._address) as channel:
            clients = (self._client(channel, seed) for seed in range(self._clients))
            for result in await asyncio.gather(*clients, return_exceptions=True):
                if result is not None:
                    self.failures.append(result)

    async def _client(self, channel: grpc.aio.Channel, seed: int) -> None:
        luck = random.Random(seed)

        async def call(method: str, request: Any, reply: Any) -> Any:
            of = channel.unary_unary(
                f"/dreamenv.v1.Dreams/{method}", type(request).SerializeToString, reply.FromString
            )
            self.calls += 1
            return await of(request)

        while not self._ends.is_set():
            model, lanes = luck.choice(sorted(self._actions)), luck.randint(1, 2)
            opening = pb.OpenSessionRequest(model=model, lanes=lanes, lease_seconds=1.0)
            try:
                info = await call("OpenSession", opening, pb.SessionInfo)
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                    raise
                await asyncio.sleep(0.05)
                continue
            seeds = np.array([luck.randrange(2**63) for _ in range(lanes)])
            actions = np.stack([self._actions[model]] * lanes)
            for seq in range(1, luck.randint(2, 6)):
                header = pb.Header(session=info.session, epoch=info.epoch, seq=seq)
                if seq == 1:
                    request: Any = pb.ResetRequest(header=header, seeds=to_tensor(seeds))
                else:
                    request = pb.StepRequest(
                        header=header,
                        actions=to_tensor(actions),
                        reset=to_tensor(np.full(lanes, seq % 2 == 0)),
                    )
                await call("Reset" if seq == 1 else "Step", request, pb.LaneStep)
                self._going.set()
            if luck.random() < 0.7:  # else the lease ends it
                closing = pb.CloseSessionRequest(header=pb.Header(session=info.session))
                await call("CloseSession", closing, pb.CloseSessionReply)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._going.wait(60), self.failures
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()
