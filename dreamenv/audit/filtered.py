"""Held-out real episodes, seen through the model: what it says of each next step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamenv.data.rollouts import Episode
from dreamenv.models.world_model import Noise, NoiseShape, State, WorldModel
from dreamenv.progress import Progress, silent

EPISODES_AT_ONCE = 32


@dataclass(frozen=True)
class FilteredEpisode:
    """One real episode of ``T`` decisions, and the model's account of it."""

    episode: Episode
    latents: NDArray[np.float32]
    """Posterior, ``[T + 1, latent]``."""
    features: NDArray[np.float32]
    """Posterior, ``[T + 1, features]``."""
    foreseen: NDArray[np.float32]
    """One dream of each next latent, from the posterior before it, ``[T, latent]``."""
    reward: NDArray[np.float64]
    """Predicted before the next observation is seen: mean over sampled steps, ``[T]``."""
    termination: NDArray[np.float64]
    """Likewise the probability that the decision ends the episode, ``[T]``."""
    reconstruction_error: NDArray[np.float64]
    """Mean squared error of the posterior's observation, in :func:`units`, ``[T + 1]``."""
    states: dict[int, State] = field(repr=False)
    """Posterior states of one lane, at the decisions that were asked for."""


def draw_noise(shape: NoiseShape, lanes: int, generator: torch.Generator) -> Noise:
    """Random numbers of one step for ``lanes`` lanes, on the generator's device."""
    device = generator.device
    uniform = torch.rand(lanes, shape.uniform, generator=generator, device=device)
    return Noise(
        # Open at both ends, as the contract has it.
        uniform=uniform.clamp_min(torch.finfo(torch.float32).tiny),
        normal=torch.randn(lanes, shape.normal, generator=generator, device=device),
    )


def repeated(state: State, times: int) -> State:
    """Each lane ``times`` times, side by side."""
    return {name: tensor.repeat_interleave(times, dim=0) for name, tensor in state.items()}


def picked(state: State, lanes: Sequence[int]) -> State:
    """A copy of some lanes."""
    return {name: tensor[list(lanes)].clone() for name, tensor in state.items()}


def units(episodes: Sequence[Episode]) -> NDArray[np.float32]:
    """What differences of observations are measured in. Of frames 255, so that pixels lie in
    [0, 1]; of vectors ``[n]``, each number's standard deviation over all these episodes, so that
    guessing their mean errs by 1. A number that never varies is measured in the env's own units.
    """
    if episodes[0].frames.dtype == np.uint8:
        return np.array(255.0, np.float32)
    seen = np.concatenate([e.frames for e in episodes]).astype(np.float64)
    deviation = seen.std(axis=0)
    # What float32 rounds is no variation.
    varies = deviation > 1e-6 * np.abs(seen).max(axis=0)
    return np.where(varies, deviation, 1.0).astype(np.float32)


def squared_error(
    seen: NDArray[Any], real: NDArray[Any], unit: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Mean squared error of observations in these :func:`units`, one a lane: ``[n]`` of two
    ``[n, ...]``."""
    error = (seen.astype(np.float32) - real.astype(np.float32)) / unit
    per_lane: NDArray[np.float64] = (
        np.square(error).reshape(len(error), -1).mean(axis=1, dtype=np.float64)
    )
    return per_lane


@torch.inference_mode()
def filter_episodes(
    model: WorldModel,
    episodes: Sequence[Episode],
    *,
    keep: Sequence[Sequence[int]],
    samples: int,
    termination_temperature: float = 1.0,
    seed: int = 0,
    progress: Progress = silent,
) -> list[FilteredEpisode]:
    """Run the posterior along real episodes, as ``make_real`` does, and ask for each next step.

    Args:
        keep: for each episode, the decisions whose posterior state is kept.
        samples: sampled steps (at temperature 1, the model as trained) over which predicted reward
            and termination probability are averaged; families may read both from the sampled next
            latent.
        termination_temperature: divides the termination logit, as in the dream.
    """
    generator = torch.Generator(device=model.device).manual_seed(seed)
    unit = units(episodes)
    order = sorted(range(len(episodes)), key=lambda i: len(episodes[i]))
    found: dict[int, FilteredEpisode] = {}
    progress("filter", 0, len(order))
    for at in range(0, len(order), EPISODES_AT_ONCE):
        chosen = order[at : at + EPISODES_AT_ONCE]
        batch = _Batch(model, [episodes[i] for i in chosen], unit, samples, generator)
        batch.run([set(keep[i]) for i in chosen], termination_temperature)
        found |= dict(zip(chosen, batch.finished(), strict=True))
        progress("filter", len(found), len(order))
    return [found[i] for i in range(len(episodes))]


class _Batch:
    """Some episodes as lanes; one that is over goes on with its last observation, unread."""

    def __init__(
        self,
        model: WorldModel,
        episodes: list[Episode],
        unit: NDArray[np.float32],
        samples: int,
        generator: torch.Generator,
    ) -> None:
        self._model, self._episodes, self._unit = model, episodes, unit
        self._samples, self._generator = samples, generator
        self._states: list[dict[int, State]] = [{} for _ in episodes]
        self._latents: list[Tensor] = []
        self._features: list[Tensor] = []
        self._foreseen: list[Tensor] = []
        self._rewards: list[Tensor] = []
        self._terminations: list[Tensor] = []
        self._errors: list[NDArray[np.float64]] = []

    def run(self, keep: list[set[int]], termination_temperature: float) -> None:
        model = self._model
        state = model.begin({"observation": self._tensor(self._frames(0))})
        self._look(state, 0, keep)
        for t in range(max(len(e) for e in self._episodes)):
            action = self._tensor(np.stack([e.actions[min(t, len(e) - 1)] for e in self._episodes]))
            lanes = len(self._episodes) * self._samples
            imagined = model.step(
                repeated(state, self._samples),
                action.repeat_interleave(self._samples, dim=0),
                torch.ones(lanes, device=model.device),
                draw_noise(model.noise, lanes, self._generator),
            )
            ends = torch.sigmoid(imagined.termination_logit / termination_temperature)
            dreamt = self._model.observe(imagined.state, "latent")
            self._foreseen.append(dreamt[:: self._samples].float())
            self._rewards.append(self._mean(imagined.reward))
            self._terminations.append(self._mean(ends))
            state = model.posterior(state, action, self._tensor(self._frames(t + 1)))
            self._look(state, t + 1, keep)

    def finished(self) -> list[FilteredEpisode]:
        latents, features, foreseen, rewards, terminations = (
            torch.stack(steps, dim=1).cpu().numpy()
            for steps in (
                self._latents,
                self._features,
                self._foreseen,
                self._rewards,
                self._terminations,
            )
        )
        errors = np.stack(self._errors, axis=1)
        return [
            FilteredEpisode(
                episode=episode,
                latents=latents[lane, : len(episode) + 1],
                features=features[lane, : len(episode) + 1],
                foreseen=foreseen[lane, : len(episode)],
                reward=rewards[lane, : len(episode)],
                termination=terminations[lane, : len(episode)],
                reconstruction_error=errors[lane, : len(episode) + 1],
                states=self._states[lane],
            )
            for lane, episode in enumerate(self._episodes)
        ]

    def _look(self, state: State, t: int, keep: list[set[int]]) -> None:
        self._latents.append(self._model.observe(state, "latent").float())
        self._features.append(self._model.observe(state, "features").float())
        decoded = self._model.observe(state, "pixels").cpu().numpy()
        self._errors.append(squared_error(decoded, self._frames(t), self._unit))
        for lane, wanted in enumerate(keep):
            if t in wanted and t <= len(self._episodes[lane]):
                self._states[lane][t] = picked(state, [lane])

    def _frames(self, t: int) -> NDArray[Any]:
        return np.stack([e.frames[min(t, len(e))] for e in self._episodes])

    def _mean(self, values: Tensor) -> Tensor:
        return values.double().view(-1, self._samples).mean(dim=1)

    def _tensor(self, array: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(array).to(self._model.device)
