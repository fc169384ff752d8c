"""The models that a server serves, and the pools of lanes that dream of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import grpc
import numpy as np
from dreamenv_client.knobs import KNOBS
from dreamenv_client.spaces import to_space
from dreamenv_client.v1 import dream_pb2 as pb
from dreamenv_client.wire import to_knobs

from dreamenv.dream import Dream
from dreamenv.models.world_model import ObservationKind
from dreamenv.packages import Package, load_package
from dreamenv.pictures import picture_shape
from dreamenv.real import RealFilter
from dreamenv_server.pool import Pool
from dreamenv_server.refusal import Refused

if TYPE_CHECKING:
    from dreamenv_server.metrics import Metrics
    from dreamenv_server.worker import Worker

KINDS: tuple[ObservationKind, ...] = get_args(ObservationKind)
PREPARED = 64
"""Batches of up to so many lanes are tried as lanes are made: so the first ones stall nobody."""


class ServedModel:
    """A package, loaded, and its pools: one for each kind of observation, made when first asked
    for.

    Args:
        name: that clients ask for.
        path: of the package.
        lanes: of each pool.
        device: of torch.
        compile: compile the steps.
        worker: owns the device.
        metrics: is told of the pools.
    """

    def __init__(
        self,
        name: str,
        path: Path,
        *,
        lanes: int,
        device: str,
        compile: bool,
        worker: Worker,
        metrics: Metrics,
    ) -> None:
        self.name, self._path, self._lanes = name, path, lanes
        self.device, self._compile = device, compile
        self._worker, self._metrics = worker, metrics
        self._pools: dict[str, asyncio.Future[Pool]] = {}
        self._filters: dict[str, RealFilter] = {}
        self.package: Package
        self._message: pb.Model

    async def load(self) -> None:
        """Read the package and make the lanes that show features.

        Raises:
            PackageError: it is no whole package.
        """
        self.package = await self._worker.in_thread(lambda: load_package(self._path))
        config = self.package.config
        pool = await self.pool("features")
        self.picture_bytes = int(np.prod(picture_shape(config)))
        """Bytes of one lane's picture."""
        self._message = pb.Model(
            name=self.name,
            identity=self.package.identity,
            fingerprint=pool.dream.fingerprint,
            action_space=to_space(config.action.space()),
            observations=[
                pb.Observation(kind=kind, space=to_space(config.observation_space(kind)))
                for kind in KINDS
            ],
            steps_per_second=config.real.steps_per_second,
            defaults=to_knobs({name: getattr(config.defaults, name) for name in KNOBS}),
            config=config.model_dump_json(),
        )
        self._short = pb.Model()
        self._short.CopyFrom(self._message)
        self._short.ClearField("config")

    def message(self, *, config: bool) -> pb.Model:
        """What clients are told of it."""
        return self._message if config else self._short

    async def pool(self, kind: str) -> Pool:
        """The lanes that show this kind of observation.

        Raises:
            Refused: there is no such kind.
        """
        if kind not in KINDS:
            raise Refused(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"observation is {kind[:60]!r}; expected one of {list(KINDS)}.",
            )
        future = self._pools.get(kind)
        if future is None:
            future = asyncio.ensure_future(self._make(kind))
            self._pools[kind] = future
            future.add_done_callback(lambda made: self._forget_failure(kind, made))
        return await asyncio.shield(future)

    def pools(self) -> Iterator[Pool]:
        """Those made so far."""
        for future in self._pools.values():
            if future.done() and not future.exception():
                yield future.result()

    def filter(self, kind: str) -> RealFilter:
        """Of real frames, to be copied: its copies share the weights. Called by the worker."""
        if kind not in self._filters:
            self._filters[kind] = RealFilter(
                self.package,
                kind,  # type: ignore[arg-type]  # one of KINDS
                device=self.device,
            )
        return self._filters[kind]

    async def _make(self, kind: str) -> Pool:
        def make() -> Dream:
            dream = Dream(
                self.package,
                self._lanes,
                obs=kind,  # type: ignore[arg-type]  # one of KINDS
                device=self.device,
                compile=self._compile,
            )
            dream.prepare(min(PREPARED, self._lanes))
            return dream

        dream = await self._worker.in_thread(make)
        self._metrics.capacity(self.name, kind, self._lanes)
        return Pool(self.name, kind, dream)

    def _forget_failure(self, kind: str, made: asyncio.Future[Pool]) -> None:
        if made.cancelled() or made.exception() is not None:
            del self._pools[kind]
