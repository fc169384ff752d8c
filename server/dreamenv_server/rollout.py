"""Many imagined steps from where a session's lanes are, while the session itself stands still."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator
from typing import Any

import grpc
import numpy as np
from dreamenv_client.actions import check_actions
from dreamenv_client.lanes import LaneStep
from dreamenv_client.v1 import dream_pb2 as pb
from dreamenv_client.wire import LANE_ARRAYS, from_tensor, to_lane_step
from numpy.typing import NDArray

from dreamenv.dream.part import Part
from dreamenv_server.arguments import lanes_of, whole_numbers
from dreamenv_server.pool import NoLanes
from dreamenv_server.refusal import Refused
from dreamenv_server.session import Session
from dreamenv_server.worker import BACKGROUND_LANES

REPLY_BYTES = 1_000_000
"""About as long as a reply is; a long horizon comes in several."""
LONGEST_REPLY = 32
"""Steps in one reply, at most."""
MOST_ROLLOUTS = 4
"""Of one session at a time: each holds lanes of its own meanwhile."""


async def roll_out(
    session: Session, request: pb.RolloutRequest
) -> AsyncGenerator[pb.RolloutReply, None]:
    """Step copies of some lanes through a horizon of actions.

    Raises:
        ValueError, Refused, QuotaExceeded, NoLanes: nothing is stepped.
    """
    lanes, actions, seeds = _check(session, request)
    count, horizon = actions.shape[:2]
    session.shared.quotas.rollout(session.client, count * horizon)
    scratch = Scratch(session, count)
    session.rollouts += 1
    try:
        await session.shared.worker.run(lambda: scratch.copy(lanes, seeds))
        chunk = REPLY_BYTES // max(1, count * session.pool.observation_bytes)
        chunk = max(1, min(LONGEST_REPLY, chunk))
        for first in range(0, horizon, chunk):
            steps = [
                await scratch.step(actions[:, time])
                for time in range(first, min(first + chunk, horizon))
            ]
            yield pb.RolloutReply(first=first, steps=_together(steps, request))
    finally:
        session.rollouts -= 1
        session.renew()
        scratch.free()


class Scratch:
    """Lanes of a rollout's own, in parts that are stepped one after another."""

    def __init__(self, session: Session, count: int) -> None:
        self._pool, self._worker, self._from = session.pool, session.shared.worker, session.part
        self._parts: list[Part] = []
        self._over = np.zeros((2, count), np.bool_)  # terminated, truncated
        self._fresh = np.zeros(count, np.bool_)
        """Lanes that ended in the last step: they begin another episode, which is shown to nobody,
        since all lanes of a part step."""
        sizes = [BACKGROUND_LANES] * (count // BACKGROUND_LANES)
        sizes += [count % BACKGROUND_LANES] if count % BACKGROUND_LANES else []
        self._session, self._count = session, count
        session.shared.quotas.hold(session.client, count)
        try:
            for size in sizes:
                self._parts.append(self._pool.take(size))
        except NoLanes:
            self.free()
            raise
        bounds = np.cumsum([0, *sizes]).tolist()
        self._pieces = [slice(*ends) for ends in itertools.pairwise(bounds)]

    def copy(self, lanes: list[int], seeds: list[int] | None) -> None:
        """Put copies of the session's lanes here. Called by the worker.

        Raises:
            Refused: one of them is not going any more: they may have been stepped since the rollout
                was asked for.
        """
        _require_going(self._from, lanes)
        for part, piece in zip(self._parts, self._pieces, strict=True):
            part.copy(self._from, lanes[piece], None if seeds is None else seeds[piece])

    async def step(self, actions: NDArray[Any]) -> LaneStep:
        """One step of all lanes; those that were over before show zeros."""
        before = self._over[0] | self._over[1]
        turns = [
            part.check(actions[piece], self._fresh[piece])
            for part, piece in zip(self._parts, self._pieces, strict=True)
        ]
        steps = await asyncio.gather(*(self._worker.background(self._pool, turn) for turn in turns))
        arrays = {
            name: np.concatenate([getattr(step, name) for step in steps]) for name in LANE_ARRAYS
        }
        ended = np.stack([arrays["terminated"], arrays["truncated"]])
        self._fresh = ended[0] | ended[1]
        self._over |= ended & ~before
        info = {name: np.concatenate([step.info[name] for step in steps]) for name in steps[0].info}
        for array in (arrays["observation"], arrays["reward"], *info.values()):
            array[before] = 0
        terminated, truncated = self._over.copy()
        return LaneStep(arrays["observation"], arrays["reward"], terminated, truncated, info)

    def free(self) -> None:
        """Give the lanes back."""
        self._session.shared.quotas.let_go(self._session.client, self._count)
        for part in self._parts:
            self._worker.give_back(self._pool, part)


def _check(
    session: Session, request: pb.RolloutRequest
) -> tuple[list[int], NDArray[Any], list[int] | None]:
    """Lanes, actions ``[n, horizon, *action]`` and seeds.

    Raises:
        ValueError: a wrong shape, lane, action or seed.
        Refused: a stale epoch, a session that is closed, or too many rollouts at once.
    """
    if session.closed:
        raise Refused(grpc.StatusCode.NOT_FOUND, "the session is closed.")
    if request.header.epoch != session.epoch:
        raise Refused(
            grpc.StatusCode.ABORTED,
            f"epoch {request.header.epoch}; expected {session.epoch}.",
        )
    if session.rollouts >= MOST_ROLLOUTS:
        raise Refused(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            f"{session.rollouts} rollouts of this session are under way; expected fewer than "
            f"{MOST_ROLLOUTS}. Read or cancel them first.",
        )
    lanes = lanes_of(request, "lanes")
    if lanes is None:
        lanes = list(range(session.part.num_lanes))
    if not lanes or max(lanes) >= session.part.num_lanes:
        raise ValueError(f"lanes is {lanes[:9]}; expected some below {session.part.num_lanes}.")
    if not request.HasField("actions"):
        raise ValueError("no actions; expected [n, horizon, *action].")
    actions = from_tensor(request.actions, "actions")
    space = session.part.action_space
    shape = space.shape or ()
    if actions.ndim != 2 + len(shape) or len(actions) != len(lanes) or not actions.shape[1]:
        raise ValueError(
            f"actions has shape {actions.shape}; expected ({len(lanes)}, horizon, "
            f"{', '.join(map(str, shape))}), horizon at least 1."
        )
    flat = actions.reshape(-1, *actions.shape[2:])
    checked = check_actions(space, flat, len(flat)).reshape(actions.shape)
    seeds = None
    if request.HasField("seeds"):
        seeds = whole_numbers(request.seeds, (len(lanes),), "seeds", least=0).tolist()
    _require_going(session.part, lanes)
    return lanes, checked, seeds


def _require_going(part: Part, lanes: list[int]) -> None:
    """Refuse a rollout that begins in lanes of a session that cannot be stepped."""
    if not part.table.can_step(part.lanes[lanes], None):
        raise Refused(
            grpc.StatusCode.FAILED_PRECONDITION,
            "a lane to start from was never reset, or its episode is over: reset it before.",
        )


def _together(steps: list[LaneStep], request: pb.RolloutRequest) -> pb.LaneStep:
    """Steps of all lanes as one message, ``[n, steps, ...]``."""
    arrays = {
        name: np.stack([getattr(step, name) for step in steps], axis=1) for name in LANE_ARRAYS
    }
    info = {name: np.stack([step.info[name] for step in steps], axis=1) for name in steps[0].info}
    message = to_lane_step(LaneStep(info=info, **arrays))
    if request.without_observations:
        message.ClearField("observation")
    return message
