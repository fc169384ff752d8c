"""A server in a process of its own, that can be killed, and asked what it holds."""

from __future__ import annotations

import multiprocessing
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

from vitals import Vitals


class ServerProcess:
    """Serves until it is closed or killed.

    Args:
        seconds: in which an answer to a question must come.
        config: fields of ``dreamenv_server.server.ServerConfig``.
    """

    def __init__(self, *, seconds: float = 60.0, **config: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._seconds = seconds
        self._process = context.Process(target=_serve, args=(theirs, config), daemon=True)
        self._process.start()
        theirs.close()
        self.address: str = self._answer()

    @property
    def alive(self) -> bool:
        return self._process.is_alive()

    def vitals(self) -> Vitals:
        """What it holds now."""
        self._ours.send("vitals")
        return self._answer()

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self._process.join()
        self._ours.close()

    def close(self) -> None:
        """End it in its own way."""
        if self._process.is_alive():
            self._ours.send("close")
            self._process.join(self._seconds)
        self.kill()

    def _answer(self) -> Any:
        if not self._ours.poll(self._seconds):
            self.kill()
            raise TimeoutError(f"no answer from the server within {self._seconds} s.")
        return self._ours.recv()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _serve(asked: Connection, config: dict[str, Any]) -> None:
    sys.path.insert(0, str(Path(__file__).parents[2] / "compliance"))
    import torch
    from dreamenv_server.server import ServerConfig
    from own_server import OwnServer
    from vitals import vitals

    torch.set_num_threads(1)
    with OwnServer(ServerConfig(**{"address": "127.0.0.1:0", **config})) as own:
        asked.send(own.address)
        while asked.recv() == "vitals":
            asked.send(own.ask(vitals))
