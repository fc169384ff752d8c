"""A session that behaves, beside others that do not: it must notice nothing of them."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Self

import grpc
import numpy as np
from raw_dreams import OWN_CONNECTION, Dreams
from raw_session import StreamSession, open_request, shown
from raw_tensors import seeds, some_actions, tensor

from dreamenv.dream import Dream
from dreamenv.packages import load_package


class Witness:
    """Steps a session in a thread, and the same dream in process beside it.

    ``seconds`` are those that each step took; leaving the block raises what went wrong.

    Args:
        package: folder of the model that the server has under this name.
        lanes: of the session.
    """

    def __init__(
        self, address: str, model: str, package: Path, lanes: int = 3, token: str | None = None
    ) -> None:
        self.seconds: list[float] = []
        self._channel = grpc.insecure_channel(address, OWN_CONNECTION)
        dreams = Dreams(self._channel, token)
        self._session = StreamSession(dreams, dreams.OpenSession(open_request(model, lanes)), None)
        self._oracle = Dream(load_package(package), lanes)
        self._over = threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="witness", daemon=True)

    @property
    def running(self) -> bool:
        """Whether nothing has gone wrong yet."""
        return self._thread.is_alive()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._session.close()
        self._channel.close()
        if self._failed is not None:
            raise self._failed

    def _run(self) -> None:
        try:
            self._watch()
        except BaseException as error:  # raised where the block is left
            self._failed = error

    def _watch(self) -> None:
        lanes = self._session.lanes
        own = list(range(1000, 1000 + lanes))
        ours, theirs = self._session.Reset(seeds=seeds(*own)), self._oracle.reset(seeds=own)
        step = 0
        while True:
            seen = shown(ours)
            for name in ("observation", "reward", "terminated", "truncated"):
                assert seen[name].tobytes() == getattr(theirs, name).tobytes(), (name, step)
            for name, values in theirs.info.items():
                assert seen[f"info {name}"].tobytes() == values.tobytes(), (name, step)
            if self._over.is_set() and step:  # one step at least, however short the attack
                return
            over = theirs.terminated | theirs.truncated
            actions = some_actions(self._session.space, step, lanes)
            began = time.perf_counter()
            ours = self._session.Step(actions=tensor(actions), reset=tensor(np.asarray(over)))
            self.seconds.append(time.perf_counter() - began)
            theirs = self._oracle.step(actions, over)
            step += 1
            time.sleep(0.002)  # not so often that it slows down what it watches
