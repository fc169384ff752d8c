"""A batch of lanes as a Stable-Baselines3 VecEnv: no DummyVecEnv, no SubprocVecEnv."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from dreamenv_client.arguments import as_array, lane_indices, option_dict
from dreamenv_client.autoreset import Autoreset
from dreamenv_client.env import check_render_mode
from dreamenv_client.infos import lane_info, lane_infos
from dreamenv_client.lanes import LaneSnapshot
from dreamenv_client.seeds import check_seed, lane_seed
from dreamenv_client.source import LaneSource, LazyLanes

try:
    from stable_baselines3.common.vec_env import VecEnv
    from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvStepReturn
except ModuleNotFoundError as error:
    if error.name is None or not error.name.startswith("stable_baselines3"):
        raise
    raise ImportError(
        "DreamVecEnv needs Stable-Baselines3, which is not installed: "
        'pip install "dreamenv-client[sb3]"'
    ) from error


class DreamVecEnv(VecEnv):
    """Many dreams as one SB3 ``VecEnv``.

    As SB3 has it, the step that ends an episode begins the next one: the last observation is in
    ``infos[i]["terminal_observation"]``, ``infos[i]["TimeLimit.truncated"]`` says whether to
    bootstrap from it, and the new episode's info is in ``reset_infos[i]``. Wrap it in SB3's
    ``VecMonitor`` to have episode returns logged.

    Args:
        source: spaces, and where the lanes come from; nothing is loaded before the first reset.
        num_envs: how many lanes.
        render_mode: ``"rgb_array"`` or None.

    Raises:
        ValueError: fewer than one lane, an unknown render mode.
    """

    spec: EnvSpec | None = None
    """As of a Gymnasium env that ``gym.make`` did not make."""

    def __init__(
        self, source: LaneSource, num_envs: int = 1, *, render_mode: str | None = None
    ) -> None:
        self.render_mode = check_render_mode(render_mode)  # VecEnv.__init__ asks for it
        self._lanes = LazyLanes(source, num_envs)
        self._autoreset = Autoreset(self._lanes, AutoresetMode.SAME_STEP)
        self._actions: NDArray[Any] | None = None
        super().__init__(
            num_envs, copy.deepcopy(source.observation_space), copy.deepcopy(source.action_space)
        )
        self.metadata["render_fps"] = source.render_fps  # type: ignore[assignment]

    def reset(self) -> NDArray[Any]:
        """Begin an episode in every lane, with what :meth:`seed` and :meth:`set_options` set.

        Returns:
            Observations ``[num_envs, *observation]``.

        Raises:
            ValueError: bad options; nothing has changed then.
        """
        self._actions = None
        seeds = [None if seed is None else lane_seed(check_seed(seed)) for seed in self._seeds]
        shown = self._autoreset.reset(seeds=seeds, options=self._one_option_dict() or None)
        self.reset_infos = lane_infos(shown.info, self.num_envs)
        self._reset_seeds()
        self._reset_options()
        return shown.observation

    def step_async(self, actions: NDArray[Any]) -> None:
        """Take the actions ``[num_envs, *action]`` of the next step."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Step every lane, and begin a new episode where one ended.

        Returns:
            Observations, rewards (float32), dones, infos.

        Raises:
            ValueError: a bad action; nothing has moved then.
            ResetNeeded: before the first reset.
        """
        actions, self._actions = self._actions, None
        transition = self._autoreset.step(actions)
        step = transition.step
        told = {**step.info, "TimeLimit.truncated": step.truncated}
        infos = lane_infos(told, self.num_envs)
        if transition.begun is None:
            return step.observation, step.reward, transition.ended, infos
        for lane in np.flatnonzero(transition.ended).tolist():
            infos[lane]["terminal_observation"] = step.observation[lane].copy()
            self.reset_infos[lane] = lane_info(transition.begun.info, lane)
        return transition.begun.observation, step.reward, transition.ended, infos

    def close(self) -> None:
        """Free the lanes; calling it twice is fine."""
        self._lanes.close()

    def set_knobs(self, lanes: Iterable[int] | int | None = None, **knobs: Any) -> None:
        """Set ``temperature`` (a number or ``[low, high]``), ``termination``,
        ``termination_temperature``, ``horizon``, ``trust_penalty`` or ``trust_limit`` of some lanes
        (all if None); before the first reset as well."""
        self._lanes.set_knobs(lanes, knobs)

    def snapshot(self, lanes: Iterable[int] | int | None = None) -> LaneSnapshot:
        """A copy of those lanes' (all if None) full state."""
        return self._autoreset.snapshot(lanes)

    def restore(
        self, snapshot: LaneSnapshot, lanes: Iterable[int] | int | None = None
    ) -> NDArray[Any]:
        """Put a snapshot's lanes, in order, into these (all if None); returns observations."""
        return self._autoreset.restore(snapshot, lanes)[0].observation

    def branch(
        self, source: Iterable[int], target: Iterable[int], seeds: Sequence[int] | None = None
    ) -> NDArray[Any]:
        """Copy lanes onto others: the same actions then give them the same future.

        Args:
            source: lanes to copy; one may be named several times.
            target: lanes to overwrite, as many.
            seeds: one for each target, which goes on under a random stream of its own instead.

        Returns:
            Every lane's observation.
        """
        own = None if seeds is None else [lane_seed(check_seed(seed)) for seed in seeds]
        return self._autoreset.branch(source, target, own)[0].observation

    def get_images(self) -> Sequence[NDArray[np.uint8] | None]:
        """What each lane sees: uint8 ``[H, W, 3]``; None without a render mode."""
        if self.render_mode is None:
            warnings.warn(
                'get_images() needs render_mode="rgb_array": give it to DreamVecEnv.', stacklevel=2
            )
            return [None] * self.num_envs
        return list(self._autoreset.render())

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """An attribute of this batch, once for each lane asked for: lanes share them all."""
        value = getattr(self, attr_name)
        return [value for _ in lane_indices(indices, self.num_envs, repeats=True)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of the whole batch.

        Raises:
            ValueError: only some lanes were named, which share their attributes.
        """
        if len(set(lane_indices(indices, self.num_envs, repeats=True))) < self.num_envs:
            raise ValueError(
                f"set_attr({attr_name!r}) names some lanes; expected all, which share their "
                "attributes. Use set_knobs(lanes=…) for what single lanes can differ in."
            )
        setattr(self, attr_name, value)

    def env_method(
        self,
        method_name: str,
        *method_args: Any,
        indices: VecEnvIndices = None,
        **method_kwargs: Any,
    ) -> list[Any]:
        """Call ``set_knobs``, ``snapshot``, ``restore`` or ``render`` on each lane asked for.

        Raises:
            AttributeError: a method that lanes do not have.
        """
        lanes = lane_indices(indices, self.num_envs, repeats=True)
        match method_name:
            case "set_knobs" | "snapshot" | "restore":
                method = getattr(self, method_name)
                return [method(*method_args, lanes=[lane], **method_kwargs) for lane in lanes]
            case "render":
                images = self.get_images()
                return [images[lane] for lane in lanes]
        raise AttributeError(
            f"lanes have no method {method_name!r}; expected set_knobs, snapshot, restore or render"
        )

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """False for each lane asked for: lanes have no wrappers of their own."""
        return [False for _ in lane_indices(indices, self.num_envs, repeats=True)]

    def _one_option_dict(self) -> dict[str, Any]:
        """SB3's dict a lane as one dict for the batch, whose arrays have the lane first."""
        given = self._options
        if not isinstance(given, Sequence) or len(given) != self.num_envs:
            found = f"{len(given)} dicts" if isinstance(given, Sequence) else repr(given)
            raise ValueError(
                f"set_options got {found}; expected one dict, or one for each of "
                f"{self.num_envs} lanes."
            )
        options = [option_dict(one) for one in given]
        first = options[0]
        if all(one is given[0] for one in given):  # set_options(dict): one for all lanes
            return first
        if any(one.keys() != first.keys() for one in options):
            raise ValueError(
                f"the lanes' options differ: {[list(one) for one in options]}; expected the same "
                "names for every lane."
            )
        return {
            name: as_array(f"options: {name}", [one[name] for one in options], "one shape for all")
            for name in first
        }
