"""A dream for Stable-Baselines3. Needs the extra ``sb3``, which brings torch."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Unpack

from dreamenv.make import DreamKnobs, dream_source

if find_spec("stable_baselines3") is None:
    raise ImportError('dreamenv.sb3 needs Stable-Baselines3: pip install "dreamenv[sb3]"')
import dreamenv_client.sb3 as face


class DreamVecEnv(face.DreamVecEnv):
    """A package's dream as an SB3 ``VecEnv``: one batch, no ``DummyVecEnv`` or ``SubprocVecEnv``.

    See :class:`dreamenv_client.sb3.DreamVecEnv`.

    Args:
        model: a shipped id, a folder, or a hub id; with ``server``, the name of a model there.
        num_envs: how many lanes.
        render_mode: ``"rgb_array"`` or None.
        knobs: see :class:`dreamenv.make.DreamKnobs`.

    Raises:
        PackageError: no such package, or its config is not one of ours.
        ValueError: a bad knob.
        RemoteError: see :func:`dreamenv.make.dream_source`.
    """

    def __init__(
        self,
        model: str | Path,
        num_envs: int = 64,
        *,
        render_mode: str | None = None,
        **knobs: Unpack[DreamKnobs],
    ) -> None:
        super().__init__(dream_source(model, **knobs), num_envs, render_mode=render_mode)
