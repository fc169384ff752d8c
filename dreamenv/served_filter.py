"""The real env's observations, folded into a model's state on a server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from dreamenv_client.remote_lanes import RemoteLanes
from dreamenv_client.source import LazyLanes
from numpy.typing import NDArray

from dreamenv.served import served_source


class ServedFilter:
    """As :class:`dreamenv.real.RealFilter`, by the posterior's mean, but far away: it holds one
    lane there, opened by the first observation in the process that sends it.

    Args:
        dream: a name under which the server has a model.
        server: ``"host:port"``.
        kind: of observation.
        knobs: see :class:`dreamenv_client.remote_source.ServerKnobs`.
    """

    def __init__(self, dream: str, server: str, kind: str, knobs: Mapping[str, Any]) -> None:
        source = served_source(dream, server, {"obs": kind, **knobs})
        self._lanes = LazyLanes(source, 1)

    def begin(self, frame: NDArray[Any], rng: np.random.Generator | None = None) -> NDArray[Any]:
        """What is seen at an episode's first real observation, uint8 ``[*observation]`` of a frame
        or float32 ``[n]`` of a vector."""
        far = cast(RemoteLanes, self._lanes.open())
        seen: NDArray[Any] = far.filter(frame[None], begin=np.ones(1, np.bool_))[0]
        return seen

    def posterior(self, action: NDArray[Any], frame: NDArray[Any]) -> NDArray[Any]:
        """What is seen at the real observation that followed ``action``."""
        far = cast(RemoteLanes, self._lanes.current())
        seen: NDArray[Any] = far.filter(frame[None], np.asarray(action)[None])[0]
        return seen

    def close(self) -> None:
        """Free the lane."""
        self._lanes.close()
