"""The faces over lanes on a server, by its address and the dream's name. No grpc before it is
needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Unpack, cast

import gymnasium as gym
from gymnasium.vector import AutoresetMode

from dreamenv_client.env import DreamEnv
from dreamenv_client.remote_source import RemoteKnobs, refuse_others, remote_source
from dreamenv_client.source import LaneSource
from dreamenv_client.vector_env import DreamVectorEnv

if TYPE_CHECKING:
    from dreamenv_client.lanes import LaneStep
    from dreamenv_client.remote_lanes import RemoteLanes

REMOTE_ID = "RemoteDream-v0"


class RemoteDreamEnv(DreamEnv):
    """A dream on a server as a Gymnasium env: see :class:`~dreamenv_client.env.DreamEnv`.

    It connects at the first reset, in the process that resets.

    Args:
        dream: a name under which the server has a model.
        server: ``"host:port"``.
        render_mode: ``"rgb_array"`` or None.
        token: see :func:`remote_source`, as is what is raised.
        knobs: see :class:`RemoteKnobs`.
    """

    def __init__(
        self,
        dream: str,
        *,
        server: str,
        render_mode: str | None = None,
        token: str | None = None,
        **knobs: Unpack[RemoteKnobs],
    ) -> None:
        super().__init__(remote_source(server, dream, token=token, **knobs), render_mode)


class RemoteDreamVectorEnv(DreamVectorEnv):
    """Dreams on a server as one Gymnasium vector env, one session: see
    :class:`~dreamenv_client.vector_env.DreamVectorEnv`.

    Args:
        dream: a name under which the server has a model.
        num_envs: how many lanes.
        server: ``"host:port"``.
        autoreset_mode: when a lane whose episode ended begins the next one.
        render_mode: ``"rgb_array"`` or None.
        token: see :func:`remote_source`, as is what is raised.
        max_episode_steps: see there.
        knobs: see :class:`RemoteKnobs`.
    """

    def __init__(
        self,
        dream: str,
        num_envs: int = 1,
        *,
        server: str,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
        token: str | None = None,
        max_episode_steps: int | None = None,
        **knobs: Unpack[RemoteKnobs],
    ) -> None:
        source = remote_source(
            server, dream, token=token, max_episode_steps=max_episode_steps, **knobs
        )
        super().__init__(source, num_envs, autoreset_mode=autoreset_mode, render_mode=render_mode)

    @classmethod
    def of(cls, source: LaneSource, num_envs: int, **how: Any) -> RemoteDreamVectorEnv:
        """Over lanes of a source that opens remote ones; ``how`` as of a ``DreamVectorEnv``."""
        envs = cls.__new__(cls)
        DreamVectorEnv.__init__(envs, source, num_envs, **how)
        return envs

    def rollout(
        self,
        actions: Any,
        lanes: Sequence[int] | None = None,
        seeds: Sequence[int] | None = None,
        *,
        observations: bool = True,
    ) -> LaneStep:
        """Imagine many steps ahead from where lanes are, for planners; the envs do not move.

        See :meth:`RemoteLanes.rollout <dreamenv_client.remote_lanes.RemoteLanes.rollout>`.
        """
        far = cast("RemoteLanes", self._lanes.current())
        return far.rollout(actions, lanes, seeds, observations=observations)


def make_env(
    dream: str,
    render_mode: str | None = None,
    *,
    server: str,
    **knobs: Unpack[RemoteKnobs],
) -> RemoteDreamEnv:
    """What ``gym.make("dreamenv_client:RemoteDream-v0", server=…, dream=…)`` calls.

    See :class:`RemoteDreamEnv`; there is no ``token``, since specs are written to files.
    """
    refuse_others({name: value for name, value in knobs.items() if value is not None})
    return RemoteDreamEnv(dream, server=server, render_mode=render_mode, **knobs)


# Read by gym.make, which then wraps an env for render_mode="human" or "rgb_array_list".
make_env.metadata = DreamEnv.metadata  # type: ignore[attr-defined]


def make_vector_env(
    dream: str, num_envs: int = 1, *, server: str, **keywords: Any
) -> RemoteDreamVectorEnv:
    """What ``gym.make_vec("dreamenv_client:RemoteDream-v0", num_envs=…, server=…, dream=…)``
    calls. See :class:`RemoteDreamVectorEnv`; there is no ``token``."""
    refuse_others({name: True for name in keywords if name == "token"})
    return RemoteDreamVectorEnv(dream, num_envs, server=server, **keywords)


def register_remote() -> None:
    """Register the id that needs no package here; ``import dreamenv_client`` does it."""
    if REMOTE_ID not in gym.registry:
        gym.register(
            REMOTE_ID,
            entry_point="dreamenv_client.remote:make_env",
            vector_entry_point="dreamenv_client.remote:make_vector_env",
        )
