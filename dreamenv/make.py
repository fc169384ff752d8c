"""Dreams by name: what ``gym.make`` and ``gym.make_vec`` call. No torch before the first reset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, Unpack

from dreamenv_client import DreamEnv, DreamVectorEnv, Lanes, LaneSource, RemoteDreamVectorEnv
from dreamenv_client.remote_source import SERVER_KNOBS, ServerKnobs
from gymnasium.vector import AutoresetMode

from dreamenv.dream.folders import check_data, check_folders
from dreamenv.dream.knobs import KNOBS, check_flags, check_knobs_for, check_starts
from dreamenv.dream.trust import untold
from dreamenv.errors import PackageError
from dreamenv.models.propagation import Propagation, propagated
from dreamenv.packages import load_config, load_package
from dreamenv.served import served_source
from dreamenv.sources import resolve, shipped


class DreamKnobs(ServerKnobs, total=False):
    """Keyword arguments of a dream, all JSON values. None is as if left out, but for ``pad_rows``;
    what is left out is the package's, unless said otherwise."""

    obs: Literal["features", "latent", "pixels"] | None
    """What is observed; ``"features"`` if left out."""
    temperature: float | list[float] | None
    """A number from 0 (the mode) through 1 (as trained) to 100, or [low, high], drawn anew for
    each episode."""
    termination: Literal["sample", "threshold", "none"] | None
    termination_temperature: float | None
    """Divides the logit of the predicted termination."""
    horizon: int | None
    """Decisions after which an episode is truncated. A short one, with ``starts`` of ``"any"`` or
    ``"data"``, makes branches of that length."""
    trust_penalty: float | None
    """Taken off the reward of a decision of which the model is as unsure as of the 95th percentile
    of held-out real ones, and in proportion off others'. Families that cannot tell take 0 alone."""
    trust_limit: float | None
    """Episodes are truncated where the model is less sure: up to 1, than this quantile of held-out
    real decisions; above 1, than so many times the least sure of them; 0 for never."""
    starts: Literal["first", "any", "bank", "data"] | None
    """Begin where real episodes began; at any recorded moment of the package's bank, ``"any"`` or
    ``"bank"``; or at any moment of ``data``."""
    data: str | Path | Sequence[str | Path] | None
    """Folders of ``dreamenv collect`` for ``starts="data"``; see :class:`dreamenv.dream.Dream`.
    Not with ``server``: there, ``reset(options={"observations": …})`` starts in real data."""
    uncertainty: bool | None
    """False leaves ``uncertainty`` out of infos, and trust with it; a step of an ensemble then
    costs a member's, not all elites'. True if left out."""
    propagation: Propagation | None
    """The members of an ensemble that a step follows: ``"ts1"``, another each step; ``"tsinf"``,
    one for an episode; ``"mean"``, all on average; ``"member"``, the best."""
    device: str | None
    """Where the model runs: ``"cpu"`` if left out."""
    compile: bool | None
    """Compile the step: the first one takes long, then large batches are faster. False if left
    out."""
    pad_rows: Literal["auto"] | int | None
    """Rows that a batch is padded to, so that a lane dreams the same alone as among others:
    ``"auto"`` if left out, None for none."""
    server: str | None
    """``"host:port"`` of a dream server (``dreamenv serve``), which then runs the model, and
    decides on what stands from ``uncertainty`` to ``pad_rows``."""


@dataclass(frozen=True)
class LocalLanes:
    """Opens lanes in this process: loads the package's model, and torch with it, when called."""

    path: Path
    knobs: dict[str, Any]
    """See :class:`DreamKnobs`; none is None but for ``pad_rows``."""

    def __call__(self, num_lanes: int) -> Lanes:
        from dreamenv.dream import Dream

        return Dream(load_package(self.path), num_lanes, **self.knobs)


def dream_source(
    model: str | Path | None,
    *,
    max_episode_steps: int | None = None,
    **knobs: Unpack[DreamKnobs],
) -> LaneSource:
    """Spaces of a package's dream, and how to open its lanes.

    Args:
        model: a shipped id, a folder, or a hub id; with ``server``, the name of a model there.
        max_episode_steps: the most decisions an episode may have, whatever the horizon; None, or
            -1 as ``gym.make`` has it, for no limit but that.
        knobs: see :class:`DreamKnobs`.

    Raises:
        PackageError: no such package, or its config is not one of ours.
        ValueError: a bad knob.
        DataError: ``data`` is no folder of rollouts, or of another real env.
        TypeError: an unknown keyword.
        RemoteError: the server cannot be asked for the spaces of a model that is not shipped.
    """
    if model is None:
        raise PackageError.at(
            "Dream-v0",
            "model",
            expected=f"a package's folder, a shipped id ({', '.join(shipped()) or 'none'}), or a "
            "hub id",
            found="nothing",
            fix='Name one: gym.make("Dream-v0", model="path/to/package").',
        )
    server = knobs.pop("server", None)
    if server is not None:
        far = {name: value for name, value in knobs.items() if value is not None}
        return served_source(model, server, far, max_episode_steps)
    given = _without_server(knobs)
    path = resolve(model).resolve()
    config = load_config(path)
    space = config.observation_space(given.get("obs", "features"))
    check_flags(**{name: given[name] for name in ("compile", "uncertainty") if name in given})
    turned = {name: value for name, value in given.items() if name in KNOBS}
    check_knobs_for(config, **turned)
    if "propagation" in given:
        propagated(config, given["propagation"])
    if not given.get("uncertainty", True):
        config = untold(config, **turned)
    check_data(given.get("starts"), given.get("data"))
    if "data" in given:
        given["data"] = check_folders(config, given["data"])
    else:
        check_starts(given.get("starts", config.defaults.starts))
    if max_episode_steps not in (None, -1):
        check_knobs_for(config, horizon=max_episode_steps)
        given["horizon"] = min(max_episode_steps, given.get("horizon", config.defaults.horizon))
    return LaneSource(
        observation_space=space,
        action_space=config.action.space(),
        open=LocalLanes(path, given),
        render_fps=config.real.steps_per_second,
        check_knobs=partial(check_knobs_for, config),
    )


def _without_server(knobs: Mapping[str, Any]) -> dict[str, Any]:
    """Keywords of a dream in this process.

    Raises:
        TypeError: an unknown one.
        ValueError: one that belongs to ``server=``.
    """
    far = [name for name in SERVER_KNOBS if knobs.get(name) is not None]
    if far:
        raise ValueError(f"{far[0]} belongs to server=, which was not given; expected both.")
    near = [name for name in DreamKnobs.__annotations__ if name not in SERVER_KNOBS]
    if unknown := sorted(set(knobs) - {*near, *SERVER_KNOBS}):
        raise TypeError(f"unknown keywords {unknown}; a dream takes {', '.join(near)}")
    return {
        name: value
        for name, value in knobs.items()
        if name not in SERVER_KNOBS and (value is not None or name == "pad_rows")
    }


def make_env(
    model: str | Path | None = None,
    render_mode: str | None = None,
    **knobs: Unpack[DreamKnobs],
) -> DreamEnv:
    """One dream as a Gymnasium env: what ``gym.make("Dream-v0", model=…)`` calls.

    Args:
        model: a shipped id, a folder, or a hub id; with ``server``, the name of a model there. As
            a string: ``env.spec.to_json()``, which keeps what ``gym.make`` was given, takes no
            ``Path``.
        render_mode: ``"rgb_array"`` or None.
        knobs: see :class:`DreamKnobs`.

    Raises:
        PackageError: no such package, or its config is not one of ours.
        ValueError: a bad knob.
        TypeError: an unknown keyword.
        RemoteError: see :func:`dream_source`.
    """
    return DreamEnv(dream_source(model, **knobs), render_mode)


# Read by gym.make, which then wraps an env for render_mode="human" or "rgb_array_list".
make_env.metadata = DreamEnv.metadata  # type: ignore[attr-defined]


def make_vector_env(
    model: str | Path | None = None,
    num_envs: int = 1,
    *,
    autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
    max_episode_steps: int | None = None,
    render_mode: str | None = None,
    **knobs: Unpack[DreamKnobs],
) -> DreamVectorEnv:
    """A batch of dreams: what ``gym.make_vec("Dream-v0", num_envs=…, model=…)`` calls.

    Args:
        model: a shipped id, a folder, or a hub id; with ``server``, the name of a model there. As
            a string: ``envs.spec.to_json()``, which keeps what ``gym.make_vec`` was given, takes no
            ``Path``.
        num_envs: how many lanes.
        autoreset_mode: an ``AutoresetMode`` or, for ``envs.spec.to_json()`` too, its value:
            ``"NextStep"``, ``"SameStep"`` or ``"Disabled"``.
        max_episode_steps: a limit in decisions beside the horizon; ``gym.make_vec`` hands it on,
            and no wrapper cuts the lanes of a vector env. None or -1 for no limit but that.
        render_mode: ``"rgb_array"`` or None.
        knobs: see :class:`DreamKnobs`.

    Raises:
        PackageError: no such package, or its config is not one of ours.
        ValueError: a bad knob, fewer than one lane, or an unknown mode.
        TypeError: an unknown keyword.
        RemoteError: see :func:`dream_source`.
    """
    source = dream_source(model, max_episode_steps=max_episode_steps, **knobs)
    if knobs.get("server") is not None:
        return RemoteDreamVectorEnv.of(
            source, num_envs, autoreset_mode=autoreset_mode, render_mode=render_mode
        )
    return DreamVectorEnv(source, num_envs, autoreset_mode=autoreset_mode, render_mode=render_mode)
