"""The real env seen through the model: the dream's own spaces, on the real thing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsFloat, Unpack

import gymnasium as gym
import numpy as np
from dreamenv_client.remote_source import SERVER_KNOBS, ServerKnobs
from numpy.typing import NDArray

from dreamenv.config import PackageConfig
from dreamenv.errors import DataError, PolicyError
from dreamenv.packages import Package, load_config, load_package
from dreamenv.preprocess import build_env
from dreamenv.served import served_config

if TYPE_CHECKING:
    from torch import Tensor

    from dreamenv.models.world_model import ObservationKind, State
    from dreamenv.served_filter import ServedFilter


def make_real(
    dream: str | Path,
    *,
    obs: ObservationKind = "features",
    render_mode: str | None = None,
    raw: bool = False,
    sample: bool = False,
    device: str | None = None,
    server: str | None = None,
    **far: Unpack[ServerKnobs],
) -> gym.Env[Any, Any]:
    """The real env that a dream was made from, with that dream's observation and action spaces.

    Real observations, frames or vectors, are folded into the model's state: its beginning at reset,
    its posterior at every step. ``info["real_steps"]`` of a step is the number of real frames
    behind it. Nothing imports torch before the first reset, and until then the env can be pickled.

    Args:
        dream: a package: folder, shipped id or hub id; with ``server``, the name of a model there.
        obs: ``"features"``, ``"latent"``, or ``"pixels"``: the real observation as the model
            reconstructs it, a uint8 frame or a float32 vector in the real env's units.
        render_mode: ``"rgb_array"`` renders the real env's own picture (CarRacing: uint8
            ``[400, 600, 3]``), larger than the frame that the model sees; None renders nothing.
        raw: with ``obs="pixels"``, show the real observation instead of its reconstruction.
        sample: from the second frame on, draw latents from the posterior instead of taking its
            mean; repeatable under the seed given to ``reset``.
        device: where the model runs; ``"cpu"`` if left out.
        server: ``"host:port"`` of a dream server that folds the frames in, so that no torch is
            needed here; the real env itself is here.
        far: what goes with ``server``; see :class:`dreamenv_client.remote_source.ServerKnobs`.

    Raises:
        PackageError: no such package, or not a whole one.
        ValueError: an unknown ``obs``, ``raw`` without ``"pixels"``, or ``server`` with what it
            does not do or decides itself.
        DataError: the real env does not show what the package's model was made for.
        RemoteError: the server cannot be asked about a model that is not shipped.
    """
    return RealEnv(
        dream,
        obs=obs,
        render_mode=render_mode,
        raw=raw,
        sample=sample,
        device=device,
        server=server,
        **far,
    )


class RealEnv(gym.Env[NDArray[Any], Any]):
    """See :func:`make_real`."""

    def __init__(
        self,
        dream: str | Path,
        *,
        obs: ObservationKind = "features",
        render_mode: str | None = None,
        raw: bool = False,
        sample: bool = False,
        device: str | None = None,
        server: str | None = None,
        **far: Unpack[ServerKnobs],
    ) -> None:
        given = {name: value for name, value in far.items() if value is not None}
        _check_far(server, given, sample, device)
        config = load_config(dream) if server is None else served_config(dream, server, given)
        if raw and obs != "pixels":
            raise ValueError(f'raw: expected obs="pixels" with it, got obs={obs!r}')
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f'render_mode: expected None or "rgb_array", got {render_mode!r}')
        self.observation_space = config.observation_space(obs)
        self.action_space = config.action.space()
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": config.real.steps_per_second}
        self.render_mode = render_mode
        self._dream, self._kind, self._config = dream, obs, config
        self._raw, self._sample, self._device = raw, sample, device or "cpu"
        self._server, self._far = server, given
        self._env: gym.Env[Any, Any] | None = None
        self._filter: RealFilter | ServedFilter | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Begin an episode of the real env, and the model's state from its first frame."""
        super().reset(seed=seed)
        if self._env is None:
            self._env = self._build()
        frame, info = self._env.reset(seed=seed, options=options)
        if self._raw:
            return frame, info
        if self._filter is None:
            self._filter = self._new_filter()
        return self._filter.begin(frame, self.np_random), info

    def step(self, action: Any) -> tuple[NDArray[Any], SupportsFloat, bool, bool, dict[str, Any]]:
        """Take the action in the real env, and fold the frame it led to into the state."""
        if self._env is None:
            raise gym.error.ResetNeeded("step: expected reset() before the first step")
        frame, reward, terminated, truncated, info = self._env.step(action)
        if self._raw:
            return frame, reward, terminated, truncated, info
        assert self._filter is not None
        seen = self._filter.posterior(np.asarray(action), frame)
        return seen, reward, terminated, truncated, info

    def render(self) -> Any:
        """The real env's own picture, or None without ``render_mode``."""
        if self._env is None:
            raise gym.error.ResetNeeded("render: expected reset() before it")
        return None if self.render_mode is None else self._env.render()

    def close(self) -> None:
        """Close the real env and let go of the model; reset() would make them anew."""
        if self._env is not None:
            self._env.close()
        if self._filter is not None:
            self._filter.close()
        self._env = self._filter = None

    def _new_filter(self) -> RealFilter | ServedFilter:
        if self._server is not None:
            from dreamenv.served_filter import ServedFilter

            return ServedFilter(str(self._dream), self._server, self._kind, self._far)
        package = load_package(self._dream)
        return RealFilter(package, self._kind, sample=self._sample, device=self._device)

    def _build(self) -> gym.Env[Any, Any]:
        env = build_env(self._config.real, self.render_mode)
        shown = (env.observation_space, env.action_space)
        expected = (self._config.observation_space("pixels"), self.action_space)
        if shown != expected:
            env.close()
            raise DataError(
                f"{self._config.real.env_id}: the package's model expects observations and "
                f"actions {expected}, the env as preprocessed gives {shown}"
            )
        return env


class RealFilter:
    """One real env's stream of observations, folded into the model's state."""

    def __init__(
        self, package: Package, kind: ObservationKind, *, sample: bool = False, device: str = "cpu"
    ) -> None:
        self._model = package.world_model(device)
        self._kind, self._sample = kind, sample
        self._bound = package.config.latent_bound
        self.action_space = package.config.action.space()

    def begin(self, frame: NDArray[Any], rng: np.random.Generator | None = None) -> NDArray[Any]:
        """What is seen at an episode's first real observation, uint8 ``[*observation]`` of a frame
        or float32 ``[n]`` of a vector.

        Args:
            rng: of the samples in this episode; needed if the filter samples.
        """
        import torch

        self._rng = rng
        with torch.inference_mode():
            self._state: State = self._model.begin({"observation": self._batch(frame)})
            return self._observe()

    def posterior(self, action: NDArray[Any], frame: NDArray[Any]) -> NDArray[Any]:
        """What is seen at the real observation that followed ``action``."""
        import torch

        discrete = isinstance(self.action_space, gym.spaces.Discrete)
        taken = self._batch(np.asarray(action, np.int64 if discrete else np.float32))
        with torch.inference_mode():
            self._state = self._model.posterior(
                self._state, taken, self._batch(frame), self._noise()
            )
            return self._observe()

    def close(self) -> None:
        """Nothing to free but memory."""

    def _batch(self, array: NDArray[Any]) -> Tensor:
        import torch

        return torch.from_numpy(np.array(array[None])).to(self._model.device)

    def _noise(self) -> Any:
        if not self._sample:
            return None
        from dreamenv.models.world_model import Noise

        if self._rng is None:
            raise ValueError("begin: expected rng where sample=True, got None")
        shape = self._model.noise
        return Noise(
            uniform=self._batch(self._rng.random(shape.uniform, np.float32)),
            normal=self._batch(self._rng.standard_normal(shape.normal, np.float32)),
        )

    def _observe(self) -> NDArray[Any]:
        seen: NDArray[Any] = self._model.observe(self._state, self._kind)[0].cpu().numpy()
        if self._kind == "pixels":
            return seen.copy()
        bounded: NDArray[Any] = np.clip(seen, -self._bound, self._bound)
        return bounded


def _check_far(server: str | None, far: dict[str, Any], sample: bool, device: str | None) -> None:
    """Refuse what does not go with a server, or only with one."""
    if unknown := sorted(set(far) - set(SERVER_KNOBS)):
        raise TypeError(f"unknown keywords {unknown}; expected some of {', '.join(SERVER_KNOBS)}")
    if server is None and far:
        raise ValueError(f"{next(iter(far))} belongs to server=, which was not given")
    if server is not None and sample:
        raise ValueError("sample: expected False with server=, which filters by the mean")
    if server is not None and device is not None:
        raise ValueError(f"device: expected none with server=, which decides it; got {device!r}")


def observation_kind(config: PackageConfig, space: gym.Space[Any], policy: str) -> ObservationKind:
    """Which kind of the dream's observations a policy was trained on, told by its space.

    Raises:
        PolicyError: none of them.
    """
    kinds: tuple[ObservationKind, ...] = ("features", "latent", "pixels")
    for kind in kinds:
        own = config.observation_space(kind)
        if space == own or (kind == "pixels" and space == _channels_first(own)):
            return kind
    known = ", ".join(f"{kind} {config.observation_space(kind)}" for kind in kinds)
    raise PolicyError(
        f"{policy}: expected a policy over one of {config.name}'s observations ({known}), "
        f"found {space}; is it another dream's?"
    )


def _channels_first(space: gym.Space[Any]) -> gym.Space[Any] | None:
    """``[C, H, W]``, as Stable-Baselines3 keeps image spaces in its files."""
    shape = space.shape
    assert shape is not None
    return gym.spaces.Box(0, 255, (shape[-1], *shape[:-1]), np.uint8) if len(shape) == 3 else None
