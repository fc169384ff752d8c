"""What of the data an ensemble's fit does not see: whole episodes, or, of few, decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from dreamenv.data.rollouts import Episode
from dreamenv.training.train import split
from dreamenv.training.transitions import Transitions

ENOUGH_EPISODES = 20
"""With fewer, decisions are held out instead of whole episodes, which would cost too much of what
is known."""
HeldOutBy = Literal["episodes", "decisions"]


def held_out_by(episodes: int, initial: Mapping[str, Any] | None) -> HeldOutBy:
    """What to hold out of so many episodes.

    Args:
        initial: provenance of the package that the fit goes on from. Where decisions were held out
            from that, they are again: it knows nine in ten of each of its episodes.
    """
    if episodes < ENOUGH_EPISODES:
        return "decisions"
    if initial is None:
        return "episodes"
    # A package from before it was written down did as its number of episodes says.
    before = held_out_by(int(initial.get("episodes", 0)), None)
    return "episodes" if initial.get("held_out_by", before) == "episodes" else "decisions"


def hold_out(
    episodes: Sequence[Episode], share: float, by: HeldOutBy
) -> tuple[Transitions, Transitions, list[Episode]]:
    """Transitions to fit, those held out, and whole episodes to look at endings in: held-out ones
    where there are."""
    if by == "episodes":
        training, held_out = split(episodes, share)
        return Transitions.of(training), Transitions.of(held_out), held_out
    everything = Transitions.of(episodes)
    chosen = picked(len(everything), share)
    return everything[~chosen], everything[chosen], list(episodes)


def picked(count: int, share: float) -> Tensor:
    """Which of so many decisions are held out, bool ``[count]``: of every so many one, at random.

    More decisions leave those before them as they are, whatever the fit's seed: what a model was
    trained on is not held out from the one that is trained on from it.
    """
    every = max(2, round(1.0 / share))
    places = np.arange(0, count, every)
    places = places + (np.random.default_rng(0).random(len(places)) * every).astype(np.int64)
    chosen = torch.zeros(count, dtype=torch.bool)
    chosen[torch.from_numpy(places[places < count])] = True
    if not chosen.any():
        chosen[-1] = True
    return chosen
