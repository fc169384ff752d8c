"""A server as a process: it ends when it is asked to, and not in the middle of a step."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
from collections.abc import Callable
from types import FrameType

from dreamenv_server.allocation import keep_memory
from dreamenv_server.logs import say
from dreamenv_server.server import DreamServer, ServerConfig

SIGNALS = (signal.SIGTERM, signal.SIGINT)


async def serve(config: ServerConfig, ready: Callable[[DreamServer], None]) -> None:
    """Serve in a process of its own until SIGTERM or SIGINT, then drain; a second signal ends at
    once. ``ready`` is called when the first call can come."""
    keep_memory()
    server = DreamServer(config)
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()

    def asked_to_stop(number: int) -> None:
        say("signal", number=number)
        stopping.set()
        for each in SIGNALS:
            loop.remove_signal_handler(each)
            # Not the default's: process 1 of a container would not hear it.
            signal.signal(each, _end)

    for each in SIGNALS:
        loop.add_signal_handler(each, asked_to_stop, each)
    starting = asyncio.ensure_future(server.start())
    waiting = asyncio.ensure_future(stopping.wait())
    await asyncio.wait((starting, waiting), return_when=asyncio.FIRST_COMPLETED)
    if starting.done():
        await starting
        # What torch's import left is here to stay: collecting it would hold up steps for long.
        gc.collect()
        gc.freeze()
        ready(server)
        await waiting
        await server.drain()
        await server.stop()
    else:
        starting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await starting


def _end(number: int, _: FrameType | None) -> None:
    say("ended", number=number)
    os._exit(128 + number)
