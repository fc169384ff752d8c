"""The real env as model and policy are shown it: a RealSpec's declared steps, applied."""

from __future__ import annotations

import importlib
import os
import warnings
from contextlib import nullcontext
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
from dreamenv_client.actions import check_actions, one_action
from numpy.typing import NDArray

from dreamenv.action_repeat import ActionRepeat
from dreamenv.cache import cache_folder
from dreamenv.config import RealSpec, RescaleAction
from dreamenv.errors import DataError
from dreamenv.frame_steps import FrameSteps
from dreamenv.mujoco_log import no_mujoco_log

MUJOCO = (
    "Ant-",
    "HalfCheetah-",
    "Hopper-",
    "Humanoid",
    "InvertedDoublePendulum-",
    "InvertedPendulum-",
    "Pusher-",
    "Reacher-",
    "Swimmer-",
    "Walker2d-",
)
KNOWN: dict[str, tuple[str, str | None]] = {
    "CarRacing": ("carracing", None),
    "Vizdoom": ("doom", "vizdoom.gymnasium_wrapper"),
    **dict.fromkeys(MUJOCO, ("mujoco", None)),
}
"""By how an env id begins: the extra that brings it, and the module that registers it. The only
modules that a declared env can have imported."""


def build_env(spec: RealSpec, render_mode: str | None = None) -> gym.Env[Any, Any]:
    """Make the real env that ``spec`` declares.

    Observations are uint8 frames ``[*shape]``, cropped and resized, or, of envs that show vectors
    of floats, float32 ``[n]``, cut to ±:data:`~dreamenv.config.VECTOR_BOUND`; they are fresh arrays
    (a NaN among them is a ``DataError`` of that reset or step). Continuous actions are float32
    in [-1, 1]: mapped by the ``rescale_action`` step, or to the env's own finite bounds without
    one. An action is held for ``spec.frames_per_step`` frames, whose rewards add up; ``info``
    of a step says how many there were (``real_steps``), fewer where the episode ended sooner.

    Pygame is told to draw without a display, unless ``SDL_VIDEODRIVER`` is set or
    ``render_mode="human"``.

    Raises:
        DataError: unknown env id, or a step that does not fit the env.
        ImportError: the env's own packages are missing.
    """
    if render_mode != "human":
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    env = ActionRepeat(_make(spec, render_mode), spec.frames_per_step)
    wrapped = _wrap_actions(FrameView(env, spec), spec)
    if spec.max_episode_steps is not None:
        return gym.wrappers.TimeLimit(wrapped, spec.max_episode_steps)
    return wrapped


def _make(spec: RealSpec, render_mode: str | None) -> gym.Env[Any, Any]:
    extra, module = next(
        (known for name, known in KNOWN.items() if spec.env_id.startswith(name)), (None, None)
    )
    fix = f'pip install "dreamenv[{extra}]"' if extra else "install the env's own packages"
    # -1 takes the env's own limit off: the spec's, in decisions, stands in its place.
    limit = None if spec.max_episode_steps is None else -1
    log = no_mujoco_log() if extra == "mujoco" else nullcontext()
    try:
        with warnings.catch_warnings(), log:
            # Box2D warns so while its C code is imported, and crashes where warnings are errors.
            warnings.filterwarnings("ignore", "builtin type .* has no __module__ attribute")
            own: dict[str, Any] = dict(spec.kwargs)
            if module is not None:
                importlib.import_module(module)
                # Doom's engine keeps its settings in a file, in the working folder if not told.
                cache_folder().mkdir(parents=True, exist_ok=True)
                own["doom_config_path"] = str(cache_folder() / "vizdoom.ini")
            return gym.make(
                spec.env_id,
                max_episode_steps=limit,
                disable_env_checker=True,
                render_mode=render_mode,
                **own,
            )
    except (gym.error.DependencyNotInstalled, ModuleNotFoundError) as error:
        raise ImportError(f"{spec.env_id}: {error}; fix: {fix}") from error
    except TypeError as error:
        raise DataError(
            f"{spec.env_id}: expected keywords that the env takes, got {spec.kwargs}; {error}"
        ) from error
    except gym.error.UnregisteredEnv as error:
        raise DataError(f"real env {spec.env_id!r}: expected a registered id; {error}") from error


class FrameView(gym.Wrapper[Any, Any, Any, Any]):
    """Shows an env's frames picked, cropped and resized, or its vectors as float32."""

    def __init__(self, env: gym.Env[Any, Any], spec: RealSpec) -> None:
        super().__init__(env)
        self._steps = FrameSteps(spec, env.observation_space)
        self._shows_endings = spec.shows_endings
        self.observation_space = self._steps.space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Begin an episode; observations are fresh arrays."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._frame = self._steps(observation)
        return self._frame, info

    def step(self, action: Any) -> tuple[NDArray[Any], SupportsFloat, bool, bool, dict[str, Any]]:
        """One decision."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        held = terminated and not self._shows_endings
        self._frame = self._frame.copy() if held else self._steps(observation)
        return self._frame, reward, terminated, truncated, info


def _wrap_actions(env: gym.Env[Any, Any], spec: RealSpec) -> gym.Env[Any, Any]:
    steps = [step for step in spec.preprocessing if isinstance(step, RescaleAction)]
    if len(steps) > 1:
        raise DataError(f"rescale_action: expected at most one, got {len(steps)}")
    space = env.action_space
    if isinstance(space, gym.spaces.Discrete):
        if steps or space.start != 0:
            raise DataError(
                f"{spec.env_id}: expected a plain Discrete space (from 0, without rescale_action), "
                f"got {space} and {len(steps)} rescale_action"
            )
        return CheckedAction(env)
    if not isinstance(space, gym.spaces.Box) or len(space.shape) != 1:
        raise DataError(
            f"{spec.env_id}: expected Discrete or one-dimensional Box actions, got {space}"
        )
    if steps:
        return SymmetricAction(env, np.array(steps[0].low), np.array(steps[0].high))
    return SymmetricAction(env, space.low, space.high)


class CheckedAction(gym.ActionWrapper[Any, Any, Any]):
    """Discrete actions, refused before they reach an env that may not check them."""

    def action(self, action: Any) -> int:
        """The action as a plain int.

        Raises:
            ValueError: not a whole number in the space, just as a dream refuses it.
        """
        return int(check_actions(self.action_space, one_action(self.action_space, action), 1)[0])


class SymmetricAction(gym.ActionWrapper[Any, Any, Any]):
    """Actions in [-1, 1], mapped linearly to [low, high] and then cut to the env's own bounds."""

    def __init__(self, env: gym.Env[Any, Any], low: NDArray[Any], high: NDArray[Any]) -> None:
        super().__init__(env)
        inner = env.action_space
        assert isinstance(inner, gym.spaces.Box)
        if low.shape != inner.shape or high.shape != inner.shape:
            raise DataError(
                f"rescale_action: expected {inner.shape[0]} lows and highs, "
                f"got {len(low)} and {len(high)}"
            )
        if not (np.isfinite(low).all() and np.isfinite(high).all() and (low < high).all()):
            raise DataError(
                f"rescale_action: expected finite low < high, got {low.tolist()} and "
                f"{high.tolist()}; declare a rescale_action step with finite bounds"
            )
        self._low, self._range = low.astype(np.float64), (high - low).astype(np.float64)
        self._inner = inner
        self.action_space = gym.spaces.Box(-1.0, 1.0, inner.shape, np.float32)

    def action(self, action: Any) -> NDArray[Any]:
        """The real env's action.

        Raises:
            ValueError: wrong shape, NaN, or outside [-1, 1], just as a dream refuses it.
        """
        given = check_actions(self.action_space, one_action(self.action_space, action), 1)[0]
        mapped = self._low + (given + 1.0) / 2.0 * self._range
        cut: NDArray[Any] = mapped.clip(self._inner.low, self._inner.high)
        return cut.astype(self._inner.dtype)
