"""What each call of a session does, but for a plain step: checked, then done by the worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from dreamenv_client.lanes import LaneStep
from dreamenv_client.v1 import dream_pb2 as pb
from dreamenv_client.wire import (
    from_knobs,
    from_options,
    from_tensor,
    to_tensor,
)
from numpy.typing import NDArray

from dreamenv_server.arguments import lanes_of, mask_of, whole_numbers
from dreamenv_server.filtering import filter_frames
from dreamenv_server.refusal import unmet_is_refused
from dreamenv_server.worker import Job, once

if TYPE_CHECKING:
    import asyncio

    from dreamenv_server.session import Session

QUICK_LANES = 64
"""So many lanes are reset or copied in the loop itself, without the worker's thread."""
MOST_FRAMES = 1024
"""Real frames that one call may have the model look at."""
RENDERED = 16
"""Lanes whose pictures are decoded in one slice."""


def begin_call(session: Session, seq: int, request: Any) -> asyncio.Future[bytes]:
    """Check a call and hand it to the worker.

    Raises:
        ValueError, Refused, QuotaExceeded: it is refused; nothing has changed.
    """
    return _CALLS[type(request)](session, seq, request)


def _step(session: Session, seq: int, request: pb.StepRequest) -> asyncio.Future[bytes]:
    if not request.HasField("actions"):
        raise ValueError("the step has no actions; expected [lanes, *action].")
    actions = from_tensor(request.actions, "actions")
    reset, seeds = _mask(session, request, "reset"), _seeds(session, request)
    if not request.HasField("options"):
        return session.step(seq, actions, reset, seeds)
    options = from_options(request.options)
    with unmet_is_refused():  # before it is begun, as any other step
        session.part.require_going(reset)
    session.shared.quotas.charge(session.client, session.part.num_lanes + _frames(session, options))
    none = np.zeros(session.part.num_lanes, np.bool_)

    def job() -> Job:
        beginning = yield from session.part.beginning(options, none if reset is None else reset)
        return session.part.step(actions, reset, seeds, beginning)

    return session.job(seq, job(), lambda step: session.shown(seq, step))


def _reset(session: Session, seq: int, request: pb.ResetRequest) -> asyncio.Future[bytes]:
    mask, seeds = _mask(session, request, "mask"), _seeds(session, request)
    options = from_options(request.options) if request.HasField("options") else None
    count = session.part.num_lanes if mask is None else int(mask.sum())
    frames = _frames(session, options) if options else 0
    session.shared.quotas.charge(session.client, count + frames)

    def job() -> Job:
        beginning = yield from session.part.beginning(options, mask)
        return session.part.reset(mask, seeds, beginning)

    quick = not frames and _few(session)
    return session.job(seq, job(), lambda step: session.shown(seq, step), quick=quick)


def _configure(session: Session, seq: int, request: pb.ConfigureRequest) -> asyncio.Future[bytes]:
    lanes, knobs = lanes_of(request, "lanes"), from_knobs(request.knobs)
    reply = pb.SessionReply(seq=seq, configured=pb.ConfigureReply()).SerializeToString()
    return session.job(
        seq, once(lambda: session.part.set_knobs(lanes, **knobs)), lambda _: reply, quick=True
    )


def _snapshot(session: Session, seq: int, request: pb.SnapshotRequest) -> asyncio.Future[bytes]:
    lanes = lanes_of(request, "lanes")

    def job() -> bytes:
        return session.shared.seal.close(session.part.snapshot(lanes), session.client)

    def encode(sealed: bytes) -> bytes:
        session.shared.metrics.snapshot("taken")
        reply = pb.SessionReply(seq=seq, snapshot=pb.SnapshotReply(snapshot=sealed))
        return reply.SerializeToString()

    return session.job(seq, once(job), encode, quick=_few(session))


def _restore(session: Session, seq: int, request: pb.RestoreRequest) -> asyncio.Future[bytes]:
    lanes = lanes_of(request, "lanes")
    snapshot = session.shared.seal.open(request.snapshot, session.client)
    session.shared.metrics.snapshot("restored")
    return _lanes_job(session, seq, lambda: session.part.restore(snapshot, lanes))


def _branch(session: Session, seq: int, request: pb.BranchRequest) -> asyncio.Future[bytes]:
    source, target = lanes_of(request, "source"), lanes_of(request, "target")
    if source is None or target is None:
        raise ValueError("the branch lacks its source or target lanes; expected both.")
    seeds = None
    if request.HasField("seeds"):
        seeds = whole_numbers(request.seeds, (len(target),), "seeds", least=0).tolist()

    def branch() -> LaneStep:
        with unmet_is_refused():
            return session.part.branch(source, target, seeds)

    return _lanes_job(session, seq, branch)


def _render(session: Session, seq: int, request: pb.RenderRequest) -> asyncio.Future[bytes]:
    chosen = lanes_of(request, "lanes")
    lanes = list(range(session.part.num_lanes)) if chosen is None else chosen
    size = len(lanes) * session.model.picture_bytes
    if size > session.shared.max_message_bytes:
        raise ValueError(
            f"pictures of {len(lanes)} lanes have {size:,} bytes; expected at most "
            f"{session.shared.max_message_bytes:,}: ask for fewer lanes at a time."
        )
    session.shared.quotas.charge(session.client, len(lanes))

    def job() -> Job:
        pieces = []
        for first in range(0, len(lanes), RENDERED):
            pieces.append(session.part.render(lanes[first : first + RENDERED]))
            yield
        return np.concatenate(pieces)

    def encode(pictures: NDArray[np.uint8]) -> bytes:
        rendered = pb.RenderReply(pictures=to_tensor(pictures))
        return pb.SessionReply(seq=seq, rendered=rendered).SerializeToString()

    if not lanes:
        raise ValueError("no lanes were named; expected one or more, or none at all for all.")
    return session.job(seq, job(), encode)


def _filter(session: Session, seq: int, request: pb.FilterRequest) -> asyncio.Future[bytes]:
    job = filter_frames(session, request)
    session.shared.quotas.charge(session.client, session.part.num_lanes)

    def encode(shown: NDArray[Any]) -> bytes:
        filtered = pb.FilterReply(observation=to_tensor(shown))
        return pb.SessionReply(seq=seq, filtered=filtered).SerializeToString()

    return session.job(seq, job, encode)


_CALLS: dict[type, Callable[[Session, int, Any], asyncio.Future[bytes]]] = {
    pb.StepRequest: _step,
    pb.ResetRequest: _reset,
    pb.ConfigureRequest: _configure,
    pb.SnapshotRequest: _snapshot,
    pb.RestoreRequest: _restore,
    pb.BranchRequest: _branch,
    pb.RenderRequest: _render,
    pb.FilterRequest: _filter,
}


def _lanes_job(session: Session, seq: int, call: Callable[[], LaneStep]) -> asyncio.Future[bytes]:
    return session.job(seq, once(call), lambda step: session.shown(seq, step), quick=_few(session))


def _few(session: Session) -> bool:
    return session.part.num_lanes <= QUICK_LANES and session.pool.kind != "pixels"


def _frames(session: Session, options: dict[str, NDArray[Any]]) -> int:
    """Real frames that the options hold, each as dear as a step.

    Raises:
        ValueError: too many for one call.
    """
    frames = options.get("observations")
    if frames is None:
        return 0
    frame = len(session.model.package.config.observation_shape)
    shared = frames.ndim <= 1 + frame
    acts = options.get("actions")
    if acts is not None and acts.ndim > 1 + len(session.part.action_space.shape or ()):
        shared = False  # each lane sees the frames under actions of its own
    length = frames.shape[0 if frames.ndim <= 1 + frame else 1] if frames.ndim else 0
    count = length * (1 if shared else session.part.num_lanes)
    if count > MOST_FRAMES:
        raise ValueError(
            f"options: {count} real frames; expected at most {MOST_FRAMES} over all "
            "lanes. Begin with the last of them."
        )
    return count


def _mask(session: Session, request: Any, field: str) -> NDArray[np.bool_] | None:
    if not request.HasField(field):
        return None
    return mask_of(getattr(request, field), session.part.num_lanes, field)


def _seeds(session: Session, request: Any) -> list[int | None] | None:
    if not request.HasField("seeds"):
        return None
    seeds = whole_numbers(request.seeds, (session.part.num_lanes,), "seeds", least=-1)
    return [None if seed < 0 else seed for seed in seeds.tolist()]
