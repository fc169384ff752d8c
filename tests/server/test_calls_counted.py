"""Calls are counted once, on a stream and by themselves; streams that never attach are ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from dreamenv_client.v1 import dream_pb2 as pb
from dreamenv_server import stream
from dreamenv_server.server import DreamServer, ServerConfig

Call = Callable[[str, Any, Any], Awaitable[Any]]


def with_server(folder, tmp_path, work):
    """Runs ``work(server, channel, call)``."""

    async def main():
        config = ServerConfig("127.0.0.1:0", models=(str(folder),), key_file=tmp_path / "key")
        server = DreamServer(config)
        await server.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:

                async def call(method: str, request: Any, reply: Any) -> Any:
                    return await channel.unary_unary(
                        f"/dreamenv.v1.Dreams/{method}",
                        type(request).SerializeToString,
                        reply.FromString,
                    )(request)

                async with asyncio.timeout(60):
                    await work(server, channel, call)
        finally:
            await server.stop()

    asyncio.run(main())


def counted(server: DreamServer, method: str) -> dict[str, float]:
    """How many calls of a method ended with each code."""
    return {
        sample.labels["code"]: sample.value
        for family in server.metrics.registry.collect()
        for sample in family.samples
        if sample.name == "dreamenv_calls_total" and sample.labels["method"] == method
    }


def test_each_call_is_counted_once(tiny_folder, tmp_path):
    async def work(server, channel, call):
        info = await call(
            "OpenSession", pb.OpenSessionRequest(model="tiny", lanes=1), pb.SessionInfo
        )
        header = pb.Header(session=info.session, epoch=info.epoch, seq=1)
        await call("Reset", pb.ResetRequest(header=header), pb.LaneStep)
        header.seq = 2
        for wrong in (pb.Header(session="?"), header):
            with pytest.raises(grpc.RpcError):
                await call("Step", pb.StepRequest(header=wrong), pb.LaneStep)
        assert counted(server, "OpenSession") == {"OK": 1}
        assert counted(server, "Reset") == {"OK": 1}
        assert counted(server, "Step") == {"NOT_FOUND": 1, "INVALID_ARGUMENT": 1}
        attached = channel.stream_stream("/dreamenv.v1.Dreams/Session")()
        attach = pb.AttachRequest(session=info.session)
        await attached.write(pb.SessionRequest(attach=attach).SerializeToString())
        await attached.read()
        reset = pb.SessionRequest(seq=2, reset=pb.ResetRequest())
        await attached.write(reset.SerializeToString())
        await attached.read()
        await attached.done_writing()
        assert counted(server, "Reset") == {"OK": 2}

    with_server(tiny_folder, tmp_path, work)


def test_a_stream_that_never_attaches_is_ended(tiny_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "ATTACH_SECONDS", 0.05)

    async def work(server, channel, call):
        silent = channel.stream_stream("/dreamenv.v1.Dreams/Session")()
        assert await silent.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert "expected attach" in await silent.details()

    with_server(tiny_folder, tmp_path, work)
