"""The light client: the faces of a dream, in this process or on a server. Never imports torch.

:class:`DreamEnv` and :class:`DreamVectorEnv` are here, and :class:`RemoteDreamEnv` and
:class:`RemoteDreamVectorEnv`, which are those over a server's lanes; importing them imports no
grpc. The SB3 faces are ``dreamenv_client.sb3.DreamVecEnv`` and
``dreamenv_client.remote_sb3.RemoteDreamVecEnv``, imported on demand because Stable-Baselines3
brings torch.

Importing it registers ``RemoteDream-v0``, which needs no package here:
``gym.make("dreamenv_client:RemoteDream-v0", server="host:port", dream="Dream-CarRacing-v0")``.
"""

from dreamenv_client.actions import check_actions
from dreamenv_client.env import DreamEnv
from dreamenv_client.errors import (
    AccessRefused,
    ModelChanged,
    NotServed,
    RemoteError,
    ServerFull,
    ServerUnavailable,
    SessionLost,
)
from dreamenv_client.lanes import Lanes, LaneSnapshot, LaneStep
from dreamenv_client.remote import RemoteDreamEnv, RemoteDreamVectorEnv, register_remote
from dreamenv_client.source import LaneSource
from dreamenv_client.vector_env import DreamVectorEnv

__all__ = [
    "AccessRefused",
    "DreamEnv",
    "DreamVectorEnv",
    "LaneSnapshot",
    "LaneSource",
    "LaneStep",
    "Lanes",
    "ModelChanged",
    "NotServed",
    "RemoteDreamEnv",
    "RemoteDreamVectorEnv",
    "RemoteError",
    "ServerFull",
    "ServerUnavailable",
    "SessionLost",
    "check_actions",
]

register_remote()
