"""Whether the dream sees endings coming: "ends within k decisions", as its own rollouts say it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from dreamenv.audit.filtered import FilteredEpisode, draw_noise, repeated
from dreamenv.audit.termination import ENOUGH_ENDINGS, Calibration, calibrate
from dreamenv.data.rollouts import Episode
from dreamenv.models.world_model import WorldModel
from dreamenv.progress import Progress, silent

STARTS_AT_ONCE = 32


@dataclass(frozen=True)
class WithinReport:
    """Foreseen against real endings."""

    steps: int
    """Decisions ahead."""
    samples: int
    """Rollouts a moment."""
    moments: int
    share: float
    """Of the moments, after which the episode did end in time."""
    calibration: Calibration | None
    """None with too few such moments, or no others, to say."""
    words: str


def known_moments(
    episodes: Sequence[Episode], steps: int, wanted: int, seed: int, limit: int | None = None
) -> list[list[int]]:
    """For each episode, the decisions that are asked about: about ``wanted`` in all, those of
    which it is known whether the episode ended within ``steps``.

    Every so-many-th from a random one on, whenever the episode ended: moments chosen by their
    distance to an ending would see more endings than there are.

    Args:
        limit: decisions after which the real env truncates. The last ``steps`` before it are left
            out of all episodes, of which only those that ended there would be known.
    """
    stride = max(1, sum(len(e) for e in episodes) // wanted)
    firsts = np.random.default_rng(seed).integers(stride, size=len(episodes))
    found = []
    for episode, first in zip(episodes, firsts, strict=True):
        known = len(episode) if episode.terminated else len(episode) - steps + 1
        if limit is not None:
            known = min(known, limit - steps + 1)
        found.append(list(range(int(first), max(known, 0), stride)))
    return found


@torch.inference_mode()
def audit_within(
    model: WorldModel,
    filtered: Sequence[FilteredEpisode],
    moments: Sequence[Sequence[int]],
    *,
    steps: int,
    samples: int,
    termination_temperature: float = 1.0,
    seed: int = 0,
    progress: Progress = silent,
) -> WithinReport:
    """Dream on from real moments under the recorded actions (past an ending, the last of them).

    The probability is the mean over rollouts of 1 - Π (1 - p) over their steps' probabilities:
    what sampling the endings would give, without its noise.

    Args:
        moments: as of :func:`known_moments`; their posterior states were kept.
    """
    generator = torch.Generator(device=model.device).manual_seed(seed)
    asked = [(i, at) for i, wanted in enumerate(moments) for at in wanted]
    said = np.zeros(len(asked))
    for first in range(0, len(asked), STARTS_AT_ONCE):
        part = asked[first : first + STARTS_AT_ONCE]
        progress("endings ahead", first, len(asked))
        states = [filtered[i].states[at] for i, at in part]
        joined = {name: torch.cat([s[name] for s in states]) for name in states[0]}
        state = repeated(joined, samples)
        alive = torch.ones(len(part) * samples, dtype=torch.float64, device=model.device)
        ones = torch.ones(len(alive), device=model.device)
        for k in range(steps):
            rows = [_action(filtered[i].episode, at + k) for i, at in part]
            action = torch.from_numpy(np.stack(rows)).to(model.device)
            imagined = model.step(
                state,
                action.repeat_interleave(samples, dim=0),
                ones,
                draw_noise(model.noise, len(alive), generator),
            )
            state = imagined.state
            logit = imagined.termination_logit.double() / termination_temperature
            alive *= torch.sigmoid(-logit)
        ended = 1.0 - alive.view(-1, samples).mean(dim=1)
        said[first : first + len(part)] = ended.clamp(0.0, 1.0).cpu().numpy()
    progress("endings ahead", len(asked), len(asked))
    return within_report(
        _by_episode(said, moments),
        [
            np.array([f.episode.terminated and at + steps >= len(f.episode) for at in wanted], bool)
            for f, wanted in zip(filtered, moments, strict=True)
        ],
        steps=steps,
        samples=samples,
        seed=seed,
    )


def within_report(
    probabilities: Sequence[NDArray[np.float64]],
    happened: Sequence[NDArray[np.bool_]],
    *,
    steps: int,
    samples: int,
    seed: int,
) -> WithinReport:
    """The report of plain arrays: a probability and an outcome a moment, by episode."""
    outcomes = np.concatenate([*happened, np.zeros(0, np.bool_)])
    events = int(outcomes.sum())
    # Moments of one episode share its ending: their number alone says nothing.
    episodes = sum(bool(h.any()) for h in happened)
    enough = episodes >= ENOUGH_ENDINGS and events < len(outcomes)
    words = f"{events} of {len(outcomes)} moments were followed by an ending within {steps}."
    if not enough:
        words = f"Too few endings to say: those of {episodes} episodes. {words}"
    there = [i for i, h in enumerate(happened) if len(h)]
    return WithinReport(
        steps=steps,
        samples=samples,
        moments=len(outcomes),
        share=float(outcomes.mean()) if len(outcomes) else float("nan"),
        calibration=calibrate([probabilities[i] for i in there], [happened[i] for i in there], seed)
        if enough
        else None,
        words=words,
    )


def _action(episode: Episode, at: int) -> NDArray[np.generic]:
    row: NDArray[np.generic] = np.asarray(episode.actions[min(at, len(episode) - 1)])
    return row


def _by_episode(
    said: NDArray[np.float64], moments: Sequence[Sequence[int]]
) -> list[NDArray[np.float64]]:
    ends = np.cumsum([len(wanted) for wanted in moments])[:-1]
    return list(np.split(said, ends))
