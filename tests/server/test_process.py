"""A server as a process: signals at its start."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest
from dreamenv_server.process import serve
from dreamenv_server.server import DreamServer, ServerConfig


@pytest.fixture(autouse=True)
def _signals_as_before():
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    yield
    for each, handler in before.items():
        signal.signal(each, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_models_load_ends_the_start(monkeypatch, number):
    happened = []

    async def start(self: DreamServer) -> None:
        os.kill(os.getpid(), number)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            happened.append("cancelled")
            raise

    monkeypatch.setattr(DreamServer, "start", start)
    asyncio.run(serve(ServerConfig(), ready=lambda _: happened.append("ready")))
    assert happened == ["cancelled"]


def test_an_error_of_the_start_comes_out(monkeypatch):
    async def start(self: DreamServer) -> None:
        raise OSError("no such door")

    monkeypatch.setattr(DreamServer, "start", start)
    with pytest.raises(OSError, match="no such door"):
        asyncio.run(serve(ServerConfig(), ready=lambda _: None))
