"""Dreams on a server, where this library is installed too: shipped ones are known beforehand."""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from dreamenv_client.remote_source import opening, refuse_others, remote_source, served_model
from dreamenv_client.source import LaneSource

from dreamenv.config import PackageConfig
from dreamenv.dream.knobs import KNOBS, check_knobs_for
from dreamenv.identity import identity_at
from dreamenv.packages import load_config, read_config
from dreamenv.sources import ZOO, shipped


def served_source(
    model: str | Path, server: str, knobs: Mapping[str, Any], max_episode_steps: int | None = None
) -> LaneSource:
    """Spaces of a dream on a server, and how to open its lanes.

    A shipped id's are those of the package here, so that nothing connects before the first reset;
    the server must then have the same package.

    Args:
        model: a name under which the server has a model.
        server: ``"host:port"``.
        knobs: see :class:`dreamenv.make.DreamKnobs`; none is None.
        max_episode_steps: see :func:`dreamenv.make.dream_source`.

    Raises:
        ValueError: a bad knob, address or TLS setting, or a folder for a model.
        TypeError: an unknown keyword.
        RemoteError: the server cannot be asked for the spaces.
    """
    refuse_others(knobs)
    name = _served_name(model)
    if name not in shipped():
        return remote_source(server, name, max_episode_steps=max_episode_steps, **knobs)
    config = load_config(ZOO / name)
    check_knobs_for(config, **{knob: value for knob, value in knobs.items() if knob in KNOBS})
    return LaneSource(
        observation_space=config.observation_space(knobs.get("obs", "features")),
        action_space=config.action.space(),
        open=opening(
            server,
            name,
            max_episode_steps=max_episode_steps,
            horizon=config.defaults.horizon,
            knobs=knobs,
            identity=partial(identity_at, ZOO / name),
        ),
        render_fps=config.real.steps_per_second,
        check_knobs=partial(check_knobs_for, config),
    )


def served_config(model: str | Path, server: str, knobs: Mapping[str, Any]) -> PackageConfig:
    """The config of a model on a server; a shipped one's is here.

    Args:
        model: a name under which the server has a model.
        server: ``"host:port"``.
        knobs: see :class:`dreamenv_client.remote_source.ServerKnobs`.

    Raises:
        PackageError: the server's config is not one of ours.
        ValueError: a bad address or TLS setting, or a folder for a model.
        RemoteError: the server cannot be asked.
    """
    name = _served_name(model)
    if name in shipped():
        return load_config(ZOO / name)
    told = served_model(server, name, **knobs).config
    return read_config(io.BytesIO(told.encode()), Path(f"{server}/{name}"))


def _served_name(model: str | Path) -> str:
    if not isinstance(model, str):
        raise ValueError(
            f"model is the folder {str(model)!r}; expected a name under which the server has a "
            "model, beside server=."
        )
    return model
