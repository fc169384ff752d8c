"""All sessions: opened, found again, and closed when their lease runs out."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Iterator, Mapping

import grpc
from dreamenv_client.v1 import dream_pb2 as pb
from dreamenv_client.wire import from_knobs

from dreamenv.dream.knobs import check_knobs_for, check_starts
from dreamenv_server.models import ServedModel
from dreamenv_server.refusal import Refused
from dreamenv_server.session import Session, Shared

log = logging.getLogger("dreamenv_server")
LONGEST_SWEEP = 0.5
"""Seconds between two looks for leases that have run out, at most."""
SHORTEST_LEASE = 0.1
ENVELOPE = 65_536
"""Bytes of a reply beside its observations, at most."""
REQUEST_ID = 16


class Sessions:
    """See the module. For one event loop.

    Args:
        models: by the names that clients ask for.
        lease_seconds: of a session, and the most that a client may ask for.
        shared: what every session uses.
    """

    def __init__(
        self, models: Mapping[str, ServedModel], lease_seconds: float, shared: Shared
    ) -> None:
        self._models, self._lease_seconds, self._shared = models, lease_seconds, shared
        self._sessions: dict[str, Session] = {}
        self._opening: dict[tuple[str, bytes], asyncio.Task[Session]] = {}
        self._requests: dict[str, tuple[str, bytes]] = {}
        self._sweeper: asyncio.Task[None] | None = None
        self.draining = False

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._sessions.values()))

    def start(self) -> None:
        """Begin to look for leases that have run out."""
        self._sweeper = asyncio.get_running_loop().create_task(self._sweep(), name="leases")

    async def stop(self) -> None:
        """Close all sessions."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
        for session in self:
            self.close(session, "stopped")

    def model(self, name: str) -> ServedModel:
        """A model by name.

        Raises:
            Refused: there is none.
        """
        if name not in self._models:
            raise Refused(
                grpc.StatusCode.NOT_FOUND,
                f"model {name[:100]!r} is not served here; expected one of {sorted(self._models)}.",
            )
        return self._models[name]

    def get(self, name: str, client: str) -> Session:
        """A session by name.

        Raises:
            Refused: there is none, or it is another client's.
        """
        session = self._sessions.get(name)
        if session is None:
            raise Refused(
                grpc.StatusCode.NOT_FOUND,
                "no such session: its lease has run out, it was closed, or the server was started "
                "anew. Open another, and restore a snapshot if there is one.",
            )
        if session.client != client:
            raise Refused(
                grpc.StatusCode.PERMISSION_DENIED,
                f"the session is another client's; expected one of {client!r}.",
            )
        return session

    async def open(self, request: pb.OpenSessionRequest, client: str) -> Session:
        """A new session, or the one that the same request opened before.

        Raises:
            Refused, ValueError, QuotaExceeded, NoLanes: nothing was opened.
        """
        if len(request.request_id) not in (0, REQUEST_ID):
            raise ValueError(
                f"request_id has {len(request.request_id)} bytes; expected {REQUEST_ID}, or none."
            )
        key = (client, request.request_id or secrets.token_bytes(REQUEST_ID))
        task = self._opening.get(key)
        if task is None:
            if self.draining:
                raise Refused(
                    grpc.StatusCode.UNAVAILABLE,
                    "the server is shutting down and opens no more sessions: try again later.",
                )
            task = asyncio.get_running_loop().create_task(self._open(request, client))
            self._opening[key] = task
            task.add_done_callback(lambda done: self._opened(key, done))
        session = await asyncio.shield(task)
        asked = (request.model, request.lanes, request.observation or "features")
        held = (session.model.name, session.part.num_lanes, session.pool.kind)
        if asked != held:
            raise ValueError(
                f"request_id was used to open {held}; expected a new one to open {asked}."
            )
        return session

    def close(self, session: Session, why: str) -> None:
        """Free its lanes, once the call that it is at is done. Closing it twice is fine."""
        if session.closed:
            return
        session.closed = True
        del self._sessions[session.name]
        self._opening.pop(self._requests.pop(session.name), None)
        if session.stream is not None:
            session.stream(Refused(grpc.StatusCode.NOT_FOUND, f"the session is over: {why}."), None)
        session.when_idle(lambda: self._free(session, why))

    def _free(self, session: Session, why: str) -> None:
        pool, part, shared = session.pool, session.part, self._shared

        def freed() -> None:
            shared.quotas.close(session.client, part.num_lanes)
            shared.metrics.session_closed(pool.name, pool.kind, part.num_lanes, why)

        shared.worker.give_back(pool, part, freed)
        log.info("session closed", extra={"why": why, **session.described()})

    async def _open(self, request: pb.OpenSessionRequest, client: str) -> Session:
        model = self.model(request.model)
        lanes = request.lanes
        if lanes < 1:
            raise ValueError("lanes is 0; expected at least 1.")
        config = model.package.config
        knobs = check_knobs_for(config, **from_knobs(request.knobs))
        starts = check_starts(request.starts or config.defaults.starts)
        pool = await model.pool(request.observation or "features")
        pool.require(lanes)
        size = lanes * pool.observation_bytes + ENVELOPE
        if size > self._shared.max_message_bytes:
            raise ValueError(
                f"{lanes} lanes show {size:,} bytes at a time; expected at most "
                f"{self._shared.max_message_bytes:,}: open several sessions."
            )
        self._shared.quotas.open(client, lanes)
        try:
            part = pool.take(lanes, starts)
        except BaseException:
            self._shared.quotas.close(client, lanes)
            raise
        lease = self._lease_seconds
        if request.lease_seconds > 0:  # not NaN either
            lease = max(SHORTEST_LEASE, min(request.lease_seconds, lease))
        session = Session(secrets.token_urlsafe(24), client, model, pool, part, lease, self._shared)
        if knobs:
            part.set_knobs(None, **knobs)
        self._sessions[session.name] = session
        self._shared.metrics.session_opened(pool.name, pool.kind, lanes)
        log.info(
            "session opened",
            extra={"model": pool.name, "lanes": lanes, "kind": pool.kind, **session.described()},
        )
        return session

    def _opened(self, key: tuple[str, bytes], task: asyncio.Task[Session]) -> None:
        if task.cancelled() or task.exception() is not None or task.result().closed:
            self._opening.pop(key, None)
        else:
            self._requests[task.result().name] = key

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(min(LONGEST_SWEEP, self._lease_seconds / 4))
            now = time.monotonic()
            for session in self:
                if now > session.ends_at and session.abandoned:
                    self.close(session, "expired")
