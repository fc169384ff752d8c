"""Dreams on a server as a Stable-Baselines3 VecEnv. Needs the extra ``sb3``, which brings torch."""

from __future__ import annotations

from typing import Unpack

from dreamenv_client.remote_source import RemoteKnobs, remote_source
from dreamenv_client.sb3 import DreamVecEnv


class RemoteDreamVecEnv(DreamVecEnv):
    """Dreams on a server as one SB3 ``VecEnv``, one session: see
    :class:`~dreamenv_client.sb3.DreamVecEnv`.

    Args:
        dream: a name under which the server has a model.
        num_envs: how many lanes.
        server: ``"host:port"``.
        render_mode: ``"rgb_array"`` or None.
        token: see :func:`~dreamenv_client.remote_source.remote_source`, as is what is raised.
        knobs: see :class:`~dreamenv_client.remote_source.RemoteKnobs`.
    """

    def __init__(
        self,
        dream: str,
        num_envs: int = 64,
        *,
        server: str,
        render_mode: str | None = None,
        token: str | None = None,
        **knobs: Unpack[RemoteKnobs],
    ) -> None:
        source = remote_source(server, dream, token=token, **knobs)
        super().__init__(source, num_envs, render_mode=render_mode)
