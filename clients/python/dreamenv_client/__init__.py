"""The light client: the faces of a dream. Never imports torch.

:class:`DreamEnv` and :class:`DreamVectorEnv` are here; the SB3 face is
``dreamenv_client.sb3.DreamVecEnv``, imported on demand because Stable-Baselines3 brings torch.
"""

from dreamenv_client.actions import check_actions
from dreamenv_client.env import DreamEnv
from dreamenv_client.lanes import Lanes, LaneSnapshot, LaneStep
from dreamenv_client.source import LaneSource
from dreamenv_client.vector_env import DreamVectorEnv

__all__ = [
    "DreamEnv",
    "DreamVectorEnv",
    "LaneSnapshot",
    "LaneSource",
    "LaneStep",
    "Lanes",
    "check_actions",
]
