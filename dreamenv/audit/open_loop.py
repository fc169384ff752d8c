"""How far dreams drift from what happened: k steps open loop under the recorded actions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from dreamenv.audit.bootstrap import Band, ratio
from dreamenv.audit.filtered import FilteredEpisode, draw_noise, repeated, squared_error, units
from dreamenv.data.rollouts import Episode
from dreamenv.models.world_model import ObservationKind, State, WorldModel
from dreamenv.progress import Progress, silent

KINDS: tuple[ObservationKind, ...] = ("latent", "features", "pixels")
PREDICTORS = ("mean", "mode", "constant")
"""Mean of the sampled rollouts, the rollout at temperature 0, and the first state held still."""
WINDOWS_AT_ONCE = 32


@dataclass(frozen=True)
class Window:
    """A stretch of a real episode that is dreamed."""

    episode: int
    """Its number in the list of episodes."""
    start: int
    """Decision at which the model is left alone."""
    steps: int


def windows(episodes: Sequence[Episode], horizon: int, per_episode: int) -> list[Window]:
    """Evenly spaced windows of ``horizon`` decisions; one shorter window for a shorter episode.

    None begins with the episode where there is room: what a first frame shows often changes at
    once (CarRacing zooms in), and a state held still would be too easily beaten.
    """
    found = []
    for index, episode in enumerate(episodes):
        room = max(len(episode) - horizon, 0)
        starts = sorted({round(room * (i + 0.5) / per_episode) for i in range(per_episode)})
        found += [Window(index, start, min(horizon, len(episode))) for start in starts]
    return found


@dataclass(frozen=True)
class Drift:
    """Errors of every window at every k, ``[windows, horizon]``; NaN past a window's end."""

    windows: list[Window]
    errors: dict[tuple[ObservationKind, str], NDArray[np.float64]]
    """Summed squared error by kind and predictor; of pixels the mean, in
    :func:`~dreamenv.audit.filtered.units`."""
    reward: NDArray[np.float64]
    """Mean predicted reward of the sampled rollouts."""


@torch.inference_mode()
def dream_windows(
    model: WorldModel,
    filtered: Sequence[FilteredEpisode],
    chosen: Sequence[Window],
    *,
    horizon: int,
    samples: int,
    seed: int = 0,
    progress: Progress = silent,
) -> Drift:
    """Dream every window, ``samples`` times at temperature 1 and once at temperature 0.

    The target at k is the posterior of the real episode (the real observation for pixels).
    """
    generator = torch.Generator(device=model.device).manual_seed(seed)
    shape = (len(chosen), horizon)
    errors = {(kind, name): np.full(shape, np.nan) for kind in KINDS for name in PREDICTORS}
    reward = np.full(shape, np.nan)
    unit = units([f.episode for f in filtered])
    for at in range(0, len(chosen), WINDOWS_AT_ONCE):
        rows = range(at, min(at + WINDOWS_AT_ONCE, len(chosen)))
        part = [chosen[row] for row in rows]
        progress("open loop", at, len(chosen))
        _dream_batch(model, filtered, part, rows, samples, generator, unit, errors, reward)
    progress("open loop", len(chosen), len(chosen))
    return Drift(list(chosen), errors, reward)


def _dream_batch(
    model: WorldModel,
    filtered: Sequence[FilteredEpisode],
    part: list[Window],
    rows: range,
    samples: int,
    generator: torch.Generator,
    unit: NDArray[np.float32],
    errors: dict[tuple[ObservationKind, str], NDArray[np.float64]],
    reward: NDArray[np.float64],
) -> None:
    start = _joined([filtered[w.episode].states[w.start] for w in part])
    held = {kind: _seen(model, start, kind) for kind in KINDS}
    # The last lane of each window is the mode, the others are sampled.
    lanes = samples + 1
    state = repeated(start, lanes)
    temperature = torch.ones(len(part), lanes, device=model.device)
    temperature[:, -1] = 0.0
    for k in range(max(w.steps for w in part)):
        action = torch.from_numpy(
            np.stack([_row(filtered[w.episode].episode.actions, w, k) for w in part])
        )
        imagined = model.step(
            state,
            action.to(model.device).repeat_interleave(lanes, dim=0),
            temperature.view(-1),
            draw_noise(model.noise, len(part) * lanes, generator),
        )
        state = imagined.state
        here = np.array([k < w.steps for w in part])
        at = np.arange(rows.start, rows.stop)[here]
        said = imagined.reward.view(-1, lanes)[:, :-1].double().mean(dim=1).cpu().numpy()
        reward[at, k] = said[here]
        for kind in KINDS:
            target = _target(filtered, part, kind, k)
            seen = _seen(model, state, kind).reshape(len(part), lanes, -1)
            guesses = {
                "mean": seen[:, :-1].mean(axis=1, dtype=np.float64),
                "mode": seen[:, -1],
                "constant": held[kind].reshape(len(part), -1),
            }
            for name, guess in guesses.items():
                errors[kind, name][at, k] = _error(guess, target, kind, unit)[here]


def _seen(model: WorldModel, state: State, kind: ObservationKind) -> NDArray[np.generic]:
    array: NDArray[np.generic] = model.observe(state, kind).cpu().numpy()
    return array


def _target(
    filtered: Sequence[FilteredEpisode], part: list[Window], kind: ObservationKind, k: int
) -> NDArray[np.generic]:
    rows: list[NDArray[np.generic]] = []
    for w in part:
        seen, at = filtered[w.episode], w.start + min(k + 1, w.steps)
        if kind == "pixels":
            rows.append(seen.episode.frames[at])
        else:
            rows.append((seen.latents if kind == "latent" else seen.features)[at])
    return np.stack(rows).reshape(len(part), -1)


def _error(
    guess: NDArray[np.generic],
    target: NDArray[np.generic],
    kind: ObservationKind,
    unit: NDArray[np.float32],
) -> NDArray[np.float64]:
    if kind == "pixels":
        return squared_error(guess, target, unit)
    difference = guess.astype(np.float64) - target.astype(np.float64)
    total: NDArray[np.float64] = np.square(difference).sum(axis=1)
    return total


def _row(actions: NDArray[np.generic], w: Window, k: int) -> NDArray[np.generic]:
    row: NDArray[np.generic] = np.asarray(actions[min(w.start + k, w.start + w.steps - 1)])
    return row


def _joined(states: Sequence[State]) -> State:
    return {name: torch.cat([s[name] for s in states]) for name in states[0]}


@dataclass(frozen=True)
class OpenLoop:
    """Open-loop error against k = 1 … horizon, averaged over windows, bootstrapped by episode."""

    windows: int
    steps: list[int]
    """k."""
    curves: dict[str, dict[str, Band]]
    """Error by kind and predictor. Latent and features: squared error over the held-out
    episodes' variance, so that 1 is what guessing their mean would score on average. Pixels: mean
    squared error; of frames, pixels in [0, 1], of vectors, each number in standard deviations of
    the held-out episodes."""
    skill: dict[str, Band]
    """1 - error of the sampled rollouts' mean / error of holding the state still, by kind."""
    reconstruction: float
    """Mean squared error of the posterior's own observations: the floor of the pixel errors."""
    frames: bool = True
    """Whether observations are frames, and not vectors."""


def summarise(drift: Drift, filtered: Sequence[FilteredEpisode], seed: int) -> OpenLoop:
    """Average a :class:`Drift`."""
    scale = {
        "latent": _variance([f.latents for f in filtered]),
        "features": _variance([f.features for f in filtered]),
        "pixels": 1.0,
    }
    episode_of = np.array([w.episode for w in drift.windows])
    there = np.isfinite(drift.reward).astype(np.float64)
    counts = _by_episode(there, episode_of)
    curves: dict[str, dict[str, Band]] = {}
    skill: dict[str, Band] = {}
    for kind in KINDS:
        sums = {
            name: _by_episode(np.nan_to_num(drift.errors[kind, name]), episode_of)
            for name in PREDICTORS
        }
        curves[kind] = {name: ratio(sums[name] / scale[kind], counts, seed) for name in PREDICTORS}
        skill[kind] = ratio(sums["constant"] - sums["mean"], sums["constant"], seed)
    own = np.concatenate([f.reconstruction_error for f in filtered])
    return OpenLoop(
        windows=len(drift.windows),
        steps=list(range(1, drift.reward.shape[1] + 1)),
        curves=curves,
        skill=skill,
        reconstruction=float(own.mean()),
        frames=filtered[0].episode.frames.dtype == np.uint8,
    )


def _variance(vectors: Sequence[NDArray[np.float32]]) -> float:
    """Total variance of vectors ``[n, d]``; 1 if nothing varies, where errors are what they are."""
    total = float(np.concatenate(vectors).astype(np.float64).var(axis=0).sum())
    return total if total > 0.0 else 1.0


def _by_episode(values: NDArray[np.float64], episode_of: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sum ``[windows, n]`` within each episode."""
    episodes, index = np.unique(episode_of, return_inverse=True)
    sums = np.zeros((len(episodes), values.shape[1]))
    np.add.at(sums, index, values)
    return sums
