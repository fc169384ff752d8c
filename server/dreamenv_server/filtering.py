"""Real observations seen through the model, lane by lane: what ``make_real`` does, for others."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
from dreamenv_client.actions import check_actions
from dreamenv_client.v1 import dream_pb2 as pb
from dreamenv_client.wire import from_tensor
from numpy.typing import NDArray

from dreamenv.vectors import check_bounded
from dreamenv_server.arguments import mask_of
from dreamenv_server.refusal import Refused

if TYPE_CHECKING:
    from dreamenv_server.session import Session
    from dreamenv_server.worker import Job


def filter_frames(session: Session, request: pb.FilterRequest) -> Job:
    """A job that folds each lane's real observation into its filter and gives what a policy should
    see, ``[lanes, *observation]``.

    A lane is filtered by itself, as in process, so that what it sees is bitwise the same.

    Raises:
        ValueError: a wrong shape or dtype, a number that no env shows, or a bad action.
        Refused: a lane whose first frame was never given.
    """
    lanes, config = session.part.num_lanes, session.model.package.config
    shape = (lanes, *config.observation_shape)
    frames = from_tensor(request.observations, "observations")
    if frames.dtype != config.observation_dtype or frames.shape != shape:
        raise ValueError(
            f"observations is {frames.dtype} {frames.shape}; expected {config.observation_dtype} "
            f"{shape}: one frame or vector for each lane, preprocessed as the model's config says."
        )
    check_bounded("observations", frames)
    begin = np.zeros(lanes, np.bool_)
    if request.HasField("begin"):
        begin = mask_of(request.begin, lanes, "begin")
    actions = None
    if not begin.all():
        given = from_tensor(request.actions, "actions") if request.HasField("actions") else None
        if given is None:
            raise ValueError("no actions were given; expected those that led to the frames.")
        actions = check_actions(session.part.action_space, given, lanes, begin)
        held = session.filters or [None] * lanes
        if any(held[lane] is None for lane in np.flatnonzero(~begin)):
            raise Refused(
                grpc.StatusCode.FAILED_PRECONDITION,
                "some lanes' filters have seen no frame; expected begin for their first ones.",
            )
    return _fold(session, frames, actions, begin)


def _fold(
    session: Session,
    frames: NDArray[Any],
    actions: NDArray[Any] | None,
    begin: NDArray[np.bool_],
) -> Job:
    seen: list[NDArray[Any]] = []
    if not session.filters:
        session.filters = [None] * len(begin)
    for lane, frame in enumerate(frames):
        if begin[lane]:
            session.filters[lane] = copy.copy(session.model.filter(session.pool.kind))
            seen.append(session.filters[lane].begin(frame))
        else:
            assert actions is not None
            seen.append(session.filters[lane].posterior(actions[lane], frame))
        yield
    return np.stack(seen)
