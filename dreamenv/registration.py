"""Gymnasium ids: one for each shipped package, and ``Dream-v0`` for any other."""

from __future__ import annotations

import gymnasium as gym

from dreamenv.sources import shipped

ANY_PACKAGE = "Dream-v0"


def register_dreams() -> None:
    """Register the ids that are not there yet; ``import dreamenv`` does it.

    None has ``max_episode_steps``: a dream truncates itself at its horizon, so that a restored
    snapshot takes its clock along.
    """
    for name in [ANY_PACKAGE, *shipped()]:
        if name not in gym.registry:
            gym.register(
                name,
                entry_point="dreamenv.make:make_env",
                vector_entry_point="dreamenv.make:make_vector_env",
                kwargs={} if name == ANY_PACKAGE else {"model": name},
            )
