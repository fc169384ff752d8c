"""A server in a thread of this process: for the suite without an address, and for other tests."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from dreamenv_server.server import DreamServer, ServerConfig

TOKENS = {"us": "a token that is ours alone".replace(" ", "-"), "them": "one-that-is-theirs"}


class OwnServer:
    """Serves until it is closed.

    Args:
        config: whose address should be a loopback one with port 0.
    """

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        self._ready = threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="own-server", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._failed is not None:
            raise self._failed

    def ask(self, function: Callable[[DreamServer], Any]) -> Any:
        """What a function of the server returns, called in its loop."""

        async def call() -> Any:
            return function(self.server)

        return asyncio.run_coroutine_threadsafe(call(), self.loop).result(timeout=60)

    def drain(self) -> None:
        """See ``DreamServer.drain``; returns once it is done."""
        asyncio.run_coroutine_threadsafe(self.server.drain(), self.loop).result(timeout=120)

    def close(self) -> None:
        """Stop at once."""
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self._closing.set)
            self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        from dreamenv_server.server import DreamServer

        self.loop, self._closing = asyncio.get_running_loop(), asyncio.Event()
        self.server = DreamServer(self._config)
        try:
            await self.server.start()
        except BaseException as error:  # raised by the constructor
            self._failed = error
            self._ready.set()
            return
        self.address = str(self.server.address)
        self._ready.set()
        await self._closing.wait()
        await self.server.stop()


def write_tokens(folder: Path) -> Path:
    """A token file with TOKENS."""
    path = folder / "tokens"
    path.touch(mode=0o600)
    path.write_text("".join(f"{name}:{token}\n" for name, token in TOKENS.items()))
    return path
