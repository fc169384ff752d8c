"""One session: a client's lanes, and what makes each of its calls happen exactly once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
from dreamenv_client.lanes import LaneStep
from dreamenv_client.layout import LaneStepLayout, StepLayout
from dreamenv_client.v1 import dream_pb2 as pb
from dreamenv_client.wire import DTYPES, dtype_number, to_lane_step

from dreamenv.dream.part import Part
from dreamenv_server.calls import begin_call
from dreamenv_server.metrics import Metrics
from dreamenv_server.pool import Pool
from dreamenv_server.quotas import Quotas
from dreamenv_server.refusal import Refused, code_of, error_reply, read
from dreamenv_server.snapshots import Seal
from dreamenv_server.worker import Job, Worker

if TYPE_CHECKING:
    from dreamenv_server.models import ServedModel

log = logging.getLogger("dreamenv_server")
Reply = bytes
"""A serialised ``SessionReply``."""
End = Callable[[Refused, Reply | None], None]
"""Ends a stream: why, and a last message."""


@dataclass(frozen=True)
class Shared:
    """What all sessions of a server use."""

    worker: Worker
    quotas: Quotas
    metrics: Metrics
    seal: Seal
    max_message_bytes: int


class Session:
    """See the module. For one event loop.

    Args:
        name: of the session, and its key.
        client: whose it is.
        model: which it dreams of.
        pool: whose lanes it has.
        part: those lanes.
        lease_seconds: how long it lives without a stream or a call.
    """

    def __init__(
        self,
        name: str,
        client: str,
        model: ServedModel,
        pool: Pool,
        part: Part,
        lease_seconds: float,
        shared: Shared,
    ) -> None:
        self.name, self.client, self.model, self.pool, self.part = name, client, model, pool, part
        self.lease_seconds, self.shared = lease_seconds, shared
        self.epoch = 1
        self.last_seq = 0
        self.closed = False
        self.leaving = False
        """Whether the server shuts down: it makes no more calls, and answers those that come after
        with where the session stands."""
        self.ends_at = time.monotonic() + lease_seconds
        """When the lease runs out, unless a stream is attached."""
        self.stream: End | None = None
        """Ends the stream that is attached."""
        self.rollouts = 0
        """How many are under way; the lease does not run out meanwhile."""
        self.filters: list[Any] = []
        """For each lane the real frames' filter; empty before the first ``Filter``."""
        space = part.action_space
        shape = space.shape or ()
        self._steps = StepLayout(part.num_lanes, DTYPES[dtype_number(np.dtype(space.dtype))], shape)
        self._shown: LaneStepLayout | None = None
        self._last_reply: Reply = b""
        self._pending = 0
        self._kind = ""
        self._began = 0.0
        self._waiting: list[asyncio.Future[Reply]] = []
        self._broken = False
        self._when_idle: list[Callable[[], None]] = []

    def info(self) -> pb.SessionInfo:
        """What a client is told of it."""
        return pb.SessionInfo(
            session=self.name,
            epoch=self.epoch,
            lease=pb.Lease(seconds=self.lease_seconds),
            model=self.model.message(config=False),
            lanes=self.part.num_lanes,
            last_seq=self.last_seq,
        )

    def attach(self, end: End) -> None:
        """Bind a stream, and end the one before it. ``end`` ends the new one in turn."""
        if self.epoch > 1:
            self.shared.metrics.reconnected()
        self.epoch += 1
        if self.stream is not None:
            anew = Refused(grpc.StatusCode.ABORTED, "another stream was attached since.")
            self.stream(anew, None)
        self.stream = end

    def detach(self, end: End) -> None:
        """Let go of a stream, if it is still the one: the lease begins to run."""
        if self.stream == end:  # a bound method is a new object each time
            self.stream = None
            self.renew()

    @property
    def abandoned(self) -> bool:
        """Whether nothing but the lease keeps it."""
        return self.stream is None and not self.rollouts and not self._pending

    def renew(self) -> None:
        """The lease is whole again."""
        self.ends_at = time.monotonic() + self.lease_seconds

    def handle(self, message: bytes, epoch: int) -> Reply | asyncio.Future[Reply]:
        """Answer a serialised ``SessionRequest``, at once or later. Raises nothing."""
        step = self._steps.decode(message)
        if step is not None:
            seq, actions, reset = step
            try:
                return self._admit(seq, epoch, "Step") or self.step(seq, actions, reset, None)
            except Exception as error:  # told to the client
                return self._refuse(seq, error)
        try:
            request = read(pb.SessionRequest, message)
        except Refused as error:
            return self._refuse(0, error)
        return self.handle_request(request, epoch)

    def handle_request(
        self, request: pb.SessionRequest, epoch: int
    ) -> Reply | asyncio.Future[Reply]:
        """As :meth:`handle`."""
        kind = request.WhichOneof("call") or ""
        try:
            if not kind or kind == "attach":
                raise Refused(
                    grpc.StatusCode.INVALID_ARGUMENT,
                    f"got {kind or 'no'} call; expected one of those of an attached stream.",
                )
            return self._admit(request.seq, epoch, kind.capitalize()) or begin_call(
                self, request.seq, getattr(request, kind)
            )
        except Exception as error:  # told to the client
            return self._refuse(request.seq, error)

    def step(self, seq: int, actions: Any, reset: Any, seeds: Any) -> asyncio.Future[Reply]:
        """Step in the worker's next batch.

        Raises:
            ValueError, Refused, QuotaExceeded: it cannot be; nothing has changed.
        """
        try:
            turn = self.part.check(actions, reset, seeds)
        except RuntimeError as error:
            raise Refused(grpc.StatusCode.FAILED_PRECONDITION, str(error)) from error
        self.shared.quotas.charge(self.client, self.part.num_lanes)
        future = self._expect(seq)

        def done(step: LaneStep | None, error: BaseException | None) -> None:
            if step is not None:
                self.answer(seq, self.shown(seq, step))
            elif error is not None:
                self.fail(seq, error)

        self.shared.worker.turn(self.pool, turn, done)
        return future

    def shown(self, seq: int, step: LaneStep) -> Reply:
        """A reply with what lanes show."""
        if self._shown is None:
            self._shown = LaneStepLayout(step)
            reply = self._shown.encode(seq, step)
            # The layout must say what protobuf says; checked once a session, since all hangs on it.
            assert reply == pb.SessionReply(seq=seq, lanes=to_lane_step(step)).SerializeToString()
            return reply
        return self._shown.encode(seq, step)

    def job(
        self, seq: int, job: Job, encode: Callable[[Any], Reply], *, quick: bool = False
    ) -> asyncio.Future[Reply]:
        """Have the worker do a call's work; ``encode`` makes the reply of its result."""
        future = self._expect(seq)

        def done(result: Any, error: BaseException | None) -> None:
            if error is None:
                self.answer(seq, encode(result))
            else:
                self.fail(seq, error)

        self.shared.worker.job(job, done, quick=quick)
        return future

    def sealed(self) -> bytes:
        """A signed snapshot of all lanes; empty if they have not all begun. For the worker."""
        snapshot = self.part.snapshot()
        if (snapshot.arrays["seed"] < 0).any():
            return b""
        return self.shared.seal.close(snapshot, self.client)

    def answer(self, seq: int, reply: Reply) -> None:
        """A call was carried out."""
        self.last_seq, self._last_reply = seq, reply
        self._tell(reply, "OK")

    def fail(self, seq: int, error: BaseException) -> None:
        """A call was refused by the lanes, which changed nothing, or a fault of ours broke it."""
        code = code_of(error)
        if code is grpc.StatusCode.INTERNAL:
            self._broken = True
            log.error("a call failed", exc_info=error, extra=self.described())
        self._tell(error_reply(seq, error), code.name)

    def when_idle(self, function: Callable[[], None]) -> None:
        """Call it once no call is being worked on: at once, if none is."""
        if self._pending:
            self._when_idle.append(function)
        else:
            function()

    def described(self) -> dict[str, Any]:
        """For the log. A session's name is its key as well, and is cut."""
        return {"client": self.client, "session": self.name[:8]}

    def _admit(self, seq: int, epoch: int, kind: str) -> Reply | asyncio.Future[Reply] | None:
        """None for a new call; what is known, or will be, of one that was asked for before.

        Raises:
            Refused: it is neither, or of an older epoch.
        """
        self._kind, self._began = kind, time.perf_counter()
        if self.closed:
            raise Refused(grpc.StatusCode.NOT_FOUND, "the session is closed.")
        if epoch != self.epoch:
            stale = f"epoch {epoch}; expected {self.epoch}: another stream was attached since."
            raise Refused(grpc.StatusCode.ABORTED, stale)
        self.renew()  # by whoever holds the session, and not by a stream thought dead
        if self._pending and seq == self._pending:
            return self._wait()
        if self._broken:
            raise Refused(
                grpc.StatusCode.INTERNAL,
                "a fault of the server broke this session: open a new one.",
            )
        if seq == self.last_seq and seq:
            self.shared.metrics.replayed()
            return self._last_reply
        if self.leaving:
            return self._wait()
        if self._pending:
            busy = f"seq {seq}; the call with seq {self._pending} is still being worked on."
            raise Refused(grpc.StatusCode.FAILED_PRECONDITION, busy)
        if seq != self.last_seq + 1:
            wrong = f"seq {seq}; expected {self.last_seq + 1}, or {self.last_seq} to hear it again."
            raise Refused(grpc.StatusCode.FAILED_PRECONDITION, wrong)
        return None

    def _expect(self, seq: int) -> asyncio.Future[Reply]:
        self._pending = seq
        return self._wait()

    def _wait(self) -> asyncio.Future[Reply]:
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        return future

    def _refuse(self, seq: int, error: Exception) -> Reply:
        code = code_of(error)
        if code is grpc.StatusCode.INTERNAL and not isinstance(error, Refused):
            log.error("a call failed", exc_info=error, extra=self.described())
        self.shared.metrics.call(self._kind, code.name, time.perf_counter() - self._began)
        return error_reply(seq, error)

    def _tell(self, reply: Reply, code: str) -> None:
        self._pending = 0
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(reply)
        self.shared.metrics.call(self._kind, code, time.perf_counter() - self._began)
        idle, self._when_idle = self._when_idle, []
        for function in idle:
            function()
