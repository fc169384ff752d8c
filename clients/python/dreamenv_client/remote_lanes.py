"""Lanes on a dream server: to a face they are as those in this process."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NoReturn

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from dreamenv_client.actions import check_actions
from dreamenv_client.arguments import check_mask, check_seeds, lane_indices
from dreamenv_client.bounds import Bounds
from dreamenv_client.connection import Connection
from dreamenv_client.errors import RemoteError
from dreamenv_client.knobs import check_knobs
from dreamenv_client.lanes import LaneSnapshot, LaneStep
from dreamenv_client.layout import LaneStepLayout, StepLayout
from dreamenv_client.progress import Effect
from dreamenv_client.remote_rollout import RolloutArrays
from dreamenv_client.remote_snapshot import RemoteSnapshot
from dreamenv_client.seeds import SEED_LIMIT
from dreamenv_client.spaces import from_space
from dreamenv_client.v1 import dream_pb2 as pb
from dreamenv_client.wire import (
    DTYPES,
    dtype_number,
    from_lane_step,
    from_tensor,
    to_knobs,
    to_lanes,
    to_options,
    to_tensor,
)


class RemoteLanes:
    """:class:`dreamenv_client.lanes.Lanes` over a connection, which they own.

    What is wrong is refused as a local dream refuses it: here where that can be seen, else by the
    server. Beside that, calls raise what is in :mod:`dreamenv_client.errors`; and one that was
    interrupted is carried out to its end before the next.

    Args:
        connection: a session.
        obs: the kind of observation it was opened with.

    Raises:
        RemoteError: the server's model does not show that kind.
    """

    def __init__(self, connection: Connection, obs: str) -> None:
        info = connection.info
        spaces = {seen.kind: seen.space for seen in info.model.observations}
        if obs not in spaces:
            raise RemoteError(f"{info.model.name} shows {sorted(spaces)}; expected {obs!r} too.")
        self.num_lanes = info.lanes
        self.observation_space: gym.Space[Any] = from_space(spaces[obs])
        self.action_space: gym.Space[Any] = from_space(info.model.action_space)
        self.identity: str = info.model.identity
        """Of the package."""
        self.fingerprint: str = info.model.fingerprint
        """What decides the bits: where a dream in process has the same, so are its trajectories."""
        self._connection = connection
        space = self.action_space
        self._actions = DTYPES[dtype_number(np.dtype(space.dtype))]
        self._steps = StepLayout(self.num_lanes, self._actions, space.shape or ())
        self._bounds = Bounds(space, self.num_lanes)
        self._shown: LaneStepLayout | None = None
        self._seeded = np.zeros(self.num_lanes, np.bool_)

    def reset(
        self,
        mask: NDArray[np.bool_] | None = None,
        seeds: Sequence[int | None] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> LaneStep:
        """See :meth:`Lanes.reset <dreamenv_client.lanes.Lanes.reset>`."""
        begun = check_mask(mask, self.num_lanes, default=True)
        request = pb.ResetRequest(
            mask=None if mask is None else to_tensor(begun),
            seeds=self._own_seeds(begun, seeds),
            options=to_options(options),
        )
        shown = self._lanes(self._call("dream", reset=request))
        self._seeded |= begun
        return shown

    def step(
        self,
        actions: Any,
        reset: NDArray[np.bool_] | None = None,
        seeds: Sequence[int | None] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> LaneStep:
        """See :meth:`Lanes.step <dreamenv_client.lanes.Lanes.step>`."""
        if reset is not None:
            reset = check_mask(reset, self.num_lanes, default=False)
        if reset is not None or not self._bounds.surely_hold(actions):
            actions = check_actions(self.action_space, actions, self.num_lanes, reset)
        if seeds is None and not options and (reset is None or self._seeded[reset].all()):
            encode = partial(self._steps.encode, actions=actions, reset=reset)
            return self._lanes(self._connection.call(encode, "dream"))
        begun = check_mask(reset, self.num_lanes, default=False)
        request = pb.StepRequest(
            actions=to_tensor(actions),
            reset=to_tensor(begun),
            seeds=self._own_seeds(begun, seeds),
            options=to_options(options),
        )
        shown = self._lanes(self._call("dream", step=request))
        self._seeded |= begun
        return shown

    def set_knobs(self, lanes: Sequence[int] | None = None, **knobs: Any) -> None:
        """See :meth:`Lanes.set_knobs <dreamenv_client.lanes.Lanes.set_knobs>`."""
        which = to_lanes(self._indices(lanes))
        request = pb.ConfigureRequest(lanes=which, knobs=to_knobs(check_knobs(**knobs)))
        self._call("dream", configure=request)

    def snapshot(self, lanes: Sequence[int] | None = None) -> RemoteSnapshot:
        """See :meth:`Lanes.snapshot <dreamenv_client.lanes.Lanes.snapshot>`."""
        request = pb.SnapshotRequest(lanes=to_lanes(self._indices(lanes)))
        reply = self._call("nothing", snapshot=request)
        return RemoteSnapshot.parse(pb.SessionReply.FromString(reply).snapshot.snapshot)

    def restore(self, snapshot: LaneSnapshot, lanes: Sequence[int] | None = None) -> LaneStep:
        """See :meth:`Lanes.restore <dreamenv_client.lanes.Lanes.restore>`.

        Raises:
            ValueError: the snapshot is not one that a server took.
        """
        if not isinstance(snapshot, RemoteSnapshot) or not snapshot.signed:
            raise ValueError(
                f"the snapshot is a {type(snapshot).__name__} without a server's signature; "
                "expected one that remote lanes took. Servers take back what they have signed."
            )
        which = self._indices(lanes)
        request = pb.RestoreRequest(lanes=to_lanes(which), snapshot=snapshot.signed)
        shown = self._lanes(self._call("dream", restore=request))
        self._seeded[slice(None) if which is None else which] = True
        return shown

    def branch(
        self, source: Sequence[int], target: Sequence[int], seeds: Sequence[int] | None = None
    ) -> LaneStep:
        """See :meth:`Lanes.branch <dreamenv_client.lanes.Lanes.branch>`."""
        origin = lane_indices(source, self.num_lanes, repeats=True)
        into = lane_indices(target, self.num_lanes)
        if len(origin) != len(into):
            raise ValueError(f"got {len(origin)} source lanes and {len(into)} target lanes.")
        own = check_seeds(seeds, len(into))
        if seeds is not None and (own < 0).any():
            raise ValueError(f"seeds is {seeds}; expected one for each target lane, or None.")
        request = pb.BranchRequest(
            source=to_lanes(origin),
            target=to_lanes(into),
            seeds=None if seeds is None else to_tensor(own),
        )
        shown = self._lanes(self._call("dream", branch=request))
        self._seeded[into] = True
        return shown

    def render(self, lanes: Sequence[int] | None = None) -> NDArray[np.uint8]:
        """See :meth:`Lanes.render <dreamenv_client.lanes.Lanes.render>`."""
        request = pb.RenderRequest(lanes=to_lanes(self._indices(lanes)))
        reply = pb.SessionReply.FromString(self._call("nothing", render=request))
        return from_tensor(reply.rendered.pictures, "pictures")

    def filter(
        self,
        observations: NDArray[Any],
        actions: Any | None = None,
        begin: NDArray[np.bool_] | None = None,
    ) -> NDArray[Any]:
        """Fold real observations in, as :func:`dreamenv.make_real` does: what a policy should see.

        Args:
            observations: uint8 ``[lanes, *frame]`` or float32 ``[lanes, n]``, preprocessed as the
                model's config says; of vectors, in the real env's units.
            actions: ``[lanes, *action]`` that led to them; None where all lanes begin.
            begin: ``[lanes]``, for which it is an episode's first one; None for none.

        Returns:
            ``[lanes, *observation]``. The dream does not move.

        Raises:
            ValueError: wrong shape or dtype, a NaN or infinity, or a bad action.
            RuntimeError: a lane's first one without ``begin``.
        """
        first = check_mask(begin, self.num_lanes, default=False)
        if actions is not None:
            actions = to_tensor(check_actions(self.action_space, actions, self.num_lanes, first))
        request = pb.FilterRequest(
            observations=to_tensor(observations), actions=actions, begin=to_tensor(first)
        )
        effect: Effect = "filter from the start" if first.all() else "filter"
        reply = pb.SessionReply.FromString(self._call(effect, filter=request))
        return from_tensor(reply.filtered.observation, "observation")

    def rollout(
        self,
        actions: Any,
        lanes: Sequence[int] | None = None,
        seeds: Sequence[int] | None = None,
        *,
        observations: bool = True,
    ) -> LaneStep:
        """Imagine many steps ahead from where lanes are. The lanes themselves do not move.

        Args:
            actions: ``[n, horizon, *action]``.
            lanes: ``n`` lanes to start from, each going; one may be named several times. None for
                all of them, in order.
            seeds: ``n`` random streams of their own; None to keep those of the lanes.
            observations: whether to have them sent.

        Returns:
            Arrays ``[n, horizon, ...]``; without observations that array is ``[n, 0, ...]``. After
            an episode's end observation, reward and info are 0, and ``terminated`` or
            ``truncated`` stays true.

        Raises:
            ValueError: a bad action, lane or seed.
            RuntimeError: a lane that is not going.
        """
        origin = lane_indices(lanes, self.num_lanes, repeats=True)
        given = np.asarray(actions)
        shape = self.action_space.shape or ()
        if given.ndim != 2 + len(shape) or len(given) != len(origin) or not given.shape[1]:
            raise ValueError(
                f"actions have shape {given.shape}; expected ({len(origin)}, horizon, "
                f"{', '.join(map(str, shape))}): a lane each, horizon at least 1."
            )
        flat = given.reshape(-1, *given.shape[2:])
        checked = check_actions(self.action_space, flat, len(flat)).reshape(given.shape)
        own = None if seeds is None else to_tensor(check_seeds(seeds, len(origin)))
        taken = RolloutArrays(len(origin), len(given[0]))
        request = pb.RolloutRequest(
            lanes=to_lanes(origin),
            actions=to_tensor(checked),
            seeds=own,
            without_observations=not observations,
        )
        self._connection.rollout(request, taken.take)
        return taken.step(self.observation_space if not observations else None)

    def close(self) -> None:
        """Free the lanes, in a few seconds at most; calling it twice is fine."""
        self._connection.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("remote lanes hold a connection: they do not pickle. Pickle their env.")

    def _own_seeds(
        self, begun: NDArray[np.bool_], seeds: Sequence[int | None] | None
    ) -> pb.Tensor | None:
        """Seeds as sent. Those that the server would draw are drawn here, as a local dream does:
        the same call then does the same again, should the session have to be brought back."""
        own = check_seeds(seeds, self.num_lanes)
        for lane in np.flatnonzero(begun & (own < 0) & ~self._seeded):
            own[lane] = secrets.randbelow(SEED_LIMIT)
        return None if (own < 0).all() else to_tensor(own)

    def _indices(self, lanes: Sequence[int] | None) -> list[int] | None:
        return None if lanes is None else lane_indices(lanes, self.num_lanes)

    def _call(self, effect: Effect, **request: Any) -> bytes:
        def encode(seq: int) -> bytes:
            return pb.SessionRequest(seq=seq, **request).SerializeToString()

        return self._connection.call(encode, effect)

    def _lanes(self, reply: bytes) -> LaneStep:
        """What lanes show, of a reply."""
        if self._shown is not None:
            known = self._shown.decode(reply)
            if known is not None:
                return known[1]
        step = from_lane_step(pb.SessionReply.FromString(reply).lanes)
        space = self.observation_space
        found = (step.observation.shape, step.observation.dtype)
        expected = ((self.num_lanes, *(space.shape or ())), space.dtype)
        if found != expected:
            raise RemoteError(f"the server shows {found}; expected {expected}, as it said before.")
        self._shown = LaneStepLayout(step)
        return step
