"""A batch of lanes as a Gymnasium vector env: one batched step, no loop over envs."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from dreamenv_client.arguments import check_reset_mask, option_dict
from dreamenv_client.autoreset import Autoreset, Transition
from dreamenv_client.env import RENDER_MODES, check_render_mode
from dreamenv_client.infos import add_info
from dreamenv_client.lanes import LaneSnapshot, LaneStep
from dreamenv_client.seeds import check_seed, first_seed, lane_seed, lane_seeds
from dreamenv_client.source import LaneSource, LazyLanes


class DreamVectorEnv(VectorEnv[NDArray[Any], NDArray[Any], NDArray[Any]]):
    """Many dreams as one Gymnasium vector env.

    Lane i, seeded ``seed + i``, dreams what a :class:`~dreamenv_client.env.DreamEnv` seeded so
    does. Rewards are float32. Nothing is loaded before the first :meth:`reset`; pickles and deep
    copies hold no lanes, nor does a forked child: reset there first.

    Args:
        source: spaces, and where the lanes come from.
        num_envs: how many lanes.
        autoreset_mode: when a lane whose episode ended begins the next one; an ``AutoresetMode``
            or its value (``"NextStep"``, ``"SameStep"``, ``"Disabled"``).
        render_mode: ``"rgb_array"`` or None.

    Raises:
        ValueError: fewer than one lane, an unknown autoreset or render mode.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012
        "render_modes": RENDER_MODES,
        "render_fps": 30.0,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self,
        source: LaneSource,
        num_envs: int = 1,
        *,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
    ) -> None:
        self.render_mode = check_render_mode(render_mode)
        mode = AutoresetMode(autoreset_mode)
        self._lanes = LazyLanes(source, num_envs)
        self._autoreset = Autoreset(self._lanes, mode)
        self.metadata = {
            **type(self).metadata,
            "render_fps": source.render_fps,
            "autoreset_mode": mode,
        }
        self.num_envs = num_envs
        self.single_observation_space = copy.deepcopy(source.observation_space)
        self.single_action_space = copy.deepcopy(source.action_space)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Begin an episode in every lane, or in those of ``options["reset_mask"]``.

        Args:
            seed: lane i gets ``seed + i``, or its own entry of a sequence. Lanes without one go on
                to the next episode of their stream (a first reset takes ``env.np_random_seed``).
            options: ``"reset_mask"`` (bool array ``[num_envs]``), and what
                :meth:`Lanes.reset <dreamenv_client.lanes.Lanes.reset>` takes.

        Raises:
            ValueError: a bad seed, mask or option; nothing has changed then.
            TypeError: the mask is no array of bool.
        """
        options = option_dict(options)
        mask = None
        if "reset_mask" in options:
            mask = check_reset_mask(options.pop("reset_mask"), self.num_envs)
        seeds = lane_seeds(seed, self.num_envs)
        if not self._autoreset.has_begun and None in seeds:
            fresh = lane_seeds(first_seed(self), self.num_envs)
            seeds = [new if old is None else old for old, new in zip(seeds, fresh, strict=True)]
        shown = self._autoreset.reset(mask, seeds, options or None)
        if seed is not None and not isinstance(seed, Sequence | np.ndarray):
            super().reset(seed=check_seed(seed))
        if mask is None:
            mask = np.ones(self.num_envs, np.bool_)
        return shown.observation, add_info({}, shown.info, mask)

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[
        NDArray[Any], NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]
    ]:
        """Step every lane (in ``NEXT_STEP`` those that are over begin an episode instead).

        Raises:
            ValueError: a bad action; nothing has moved then.
            ResetNeeded: before the first reset, or a lane is over and the mode resets none.
        """
        transition = self._autoreset.step(actions)
        step, begun = transition.step, transition.begun
        if begun is None:
            infos = add_info({}, step.info, np.ones(self.num_envs, np.bool_))
            observation = step.observation
        else:
            infos = self._final_infos(transition, begun)
            observation = begun.observation
        return observation, step.reward, step.terminated, step.truncated, infos

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """What each lane sees, decoded: uint8 ``[H, W, 3]``; None without a render mode."""
        if self.render_mode is None:
            gym.logger.warn(
                "render() was called without a render mode: make the envs with "
                'render_mode="rgb_array".'
            )
            return None
        return tuple(self._autoreset.render())

    @property
    def closed(self) -> bool:
        """Whether the lanes are closed. Asked of them: Gymnasium's ``close`` does nothing where
        this is true, and a reset or restore opens them again."""
        return self._lanes.closed

    @closed.setter
    def closed(self, closed: bool) -> None:
        """Set by Gymnasium's ``close``, after the lanes were closed."""

    def close_extras(self, **kwargs: Any) -> None:
        """Free the lanes."""
        self._lanes.close()

    def set_knobs(self, lanes: Iterable[int] | int | None = None, **knobs: Any) -> None:
        """Set ``temperature`` (a number or ``[low, high]``), ``termination``,
        ``termination_temperature``, ``horizon``, ``trust_penalty`` or ``trust_limit`` of some lanes
        (all if None); before the first reset as well."""
        self._lanes.set_knobs(lanes, knobs)

    def snapshot(self, lanes: Iterable[int] | int | None = None) -> LaneSnapshot:
        """A copy of those lanes' (all if None) full state, pending resets included."""
        return self._autoreset.snapshot(lanes)

    def restore(
        self, snapshot: LaneSnapshot, lanes: Iterable[int] | int | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Put a snapshot's lanes, in order, into these lanes (all if None).

        They go on as the originals would: a lane that waited for its reset waits again. Returns
        every lane's observation, and infos of those restored.
        """
        shown, mask = self._autoreset.restore(snapshot, lanes)
        return shown.observation, add_info({}, shown.info, mask)

    def branch(
        self, source: Iterable[int], target: Iterable[int], seeds: Sequence[int] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Copy lanes onto others: the same actions then give them the same future.

        Args:
            source: lanes to copy; one may be named several times.
            target: lanes to overwrite, as many.
            seeds: one for each target, which goes on under a random stream of its own instead.

        Returns:
            Every lane's observation, and infos of the targets.
        """
        own = None if seeds is None else [lane_seed(check_seed(seed)) for seed in seeds]
        shown, mask = self._autoreset.branch(source, target, own)
        return shown.observation, add_info({}, shown.info, mask)

    def _final_infos(self, transition: Transition, begun: LaneStep) -> dict[str, Any]:
        """SAME_STEP's infos: the ended episodes' last observation and info beside the new ones'."""
        step, ended = transition.step, transition.ended
        final_obs = np.full(self.num_envs, None, dtype=object)
        for lane in np.flatnonzero(ended):
            final_obs[lane] = step.observation[lane].copy()
        infos: dict[str, Any] = {
            "final_obs": final_obs,
            "_final_obs": ended.copy(),
            "final_info": add_info({}, step.info, ended),
            "_final_info": ended.copy(),
        }
        add_info(infos, step.info, ~ended)
        return add_info(infos, begun.info, ended)
