"""One lane as a Gymnasium env."""

from __future__ import annotations

import copy
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from dreamenv_client.actions import one_action
from dreamenv_client.arguments import option_dict
from dreamenv_client.autoreset import Autoreset
from dreamenv_client.infos import lane_info
from dreamenv_client.lanes import LaneSnapshot
from dreamenv_client.seeds import check_seed, first_seed, lane_seed
from dreamenv_client.source import LaneSource, LazyLanes

RENDER_MODES = ["rgb_array"]


def check_render_mode(render_mode: str | None) -> str | None:
    """The render mode, or a ValueError where it is none of ours."""
    if render_mode is not None and render_mode not in RENDER_MODES:
        raise ValueError(f"render_mode is {render_mode!r}; expected one of {RENDER_MODES} or None.")
    return render_mode


class DreamEnv(gym.Env[NDArray[Any], Any]):
    """A dream as a Gymnasium env: one lane.

    Nothing is loaded before the first :meth:`reset`. Pickles and deep copies hold no lane (use
    :meth:`branch` for a copy that goes on from here), nor does a forked child: reset there first.

    Args:
        source: spaces, and where the lane comes from.
        render_mode: ``"rgb_array"`` or None.

    Raises:
        ValueError: an unknown render mode.
    """

    metadata: dict[str, Any] = {"render_modes": RENDER_MODES, "render_fps": 30.0}  # noqa: RUF012

    def __init__(self, source: LaneSource, render_mode: str | None = None) -> None:
        self.render_mode = check_render_mode(render_mode)
        self.metadata = {**type(self).metadata, "render_fps": source.render_fps}
        # Copies: sampling from an env's space moves the generator inside the space.
        self.observation_space = copy.deepcopy(source.observation_space)
        self.action_space = copy.deepcopy(source.action_space)
        self._lanes = LazyLanes(source, 1)
        self._autoreset = Autoreset(self._lanes, AutoresetMode.DISABLED)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Begin an episode.

        Args:
            seed: starts the lane's random stream afresh. Without one the stream goes on to its
                next episode (and a first reset takes ``env.np_random_seed``).
            options: ``{"observations": [T, *observation], "actions": [T - 1, *action]}`` begins
                where those real observations (uint8 frames or float32 vectors) lead;
                ``{"start": int}`` picks the start.

        Raises:
            ValueError: a bad seed or bad options; the episode goes on then.
        """
        options = option_dict(options)
        own: int | None = None
        if seed is not None:
            seed = check_seed(seed)
            own = lane_seed(seed)
        elif not self._autoreset.has_begun:
            own = lane_seed(first_seed(self))
        shown = self._autoreset.reset(seeds=[own], options=options or None)
        super().reset(seed=seed)
        return shown.observation[0], lane_info(shown.info, 0)

    def step(self, action: Any) -> tuple[NDArray[Any], float, bool, bool, dict[str, Any]]:
        """One imagined step.

        Raises:
            ValueError: a bad action; the dream has not moved then.
            ResetNeeded: before the first reset, or after the end of an episode.
        """
        step = self._autoreset.step(one_action(self.action_space, action)).step
        return (
            step.observation[0],
            float(step.reward[0]),
            bool(step.terminated[0]),
            bool(step.truncated[0]),
            lane_info(step.info, 0),
        )

    def render(self) -> NDArray[np.uint8] | None:
        """What the dream sees, decoded: uint8 ``[H, W, 3]``; None without a render mode."""
        if self.render_mode is None:
            gym.logger.warn(
                "render() was called without a render mode: make the env with "
                'render_mode="rgb_array".'
            )
            return None
        frame: NDArray[np.uint8] = self._autoreset.render()[0]
        return frame

    def close(self) -> None:
        """Free the lane; calling it twice is fine."""
        self._lanes.close()

    def set_knobs(self, **knobs: Any) -> None:
        """Set ``temperature`` (a number or ``[low, high]``), ``termination``,
        ``termination_temperature``, ``horizon``, ``trust_penalty`` or ``trust_limit``; before the
        first reset as well."""
        self._lanes.set_knobs(None, knobs)

    def snapshot(self) -> LaneSnapshot:
        """A copy of the dream's full state: dynamics, clock, random stream, knobs."""
        return self._autoreset.snapshot()

    def restore(self, snapshot: LaneSnapshot) -> tuple[NDArray[Any], dict[str, Any]]:
        """Go on from a snapshot of one lane, as if nothing had come between.

        An episode that was over is over again. Returns observation and info, as :meth:`reset`.
        """
        shown, _ = self._autoreset.restore(snapshot)
        return shown.observation[0], lane_info(shown.info, 0)

    def branch(self, seed: int | None = None) -> DreamEnv:
        """A new env in the same state: the same actions give the same future.

        Args:
            seed: goes on under a random stream of its own instead.
        """
        own = None if seed is None else lane_seed(check_seed(seed))
        here = self.snapshot()
        twin = copy.deepcopy(self)
        twin.restore(here)
        if own is not None:
            twin._autoreset.branch([0], [0], [own])
        return twin
