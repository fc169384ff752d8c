"""Toys whose true figures are known in closed form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamenv.audit.filtered import filter_episodes
from dreamenv.audit.findings import Findings
from dreamenv.audit.open_loop import dream_windows, summarise, windows
from dreamenv.audit.parting import part
from dreamenv.audit.play import Played
from dreamenv.audit.returns import compare
from dreamenv.audit.reward import audit_reward
from dreamenv.audit.termination import audit_termination
from dreamenv.audit.within import audit_within, known_moments
from dreamenv.data.rollouts import Episode
from dreamenv.models.world_model import Imagined, Noise, NoiseShape, ObservationKind, State

BOUND = 8.0


def show(x: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Numbers in [-8, 8] as two bytes each, ``[..., d, 2]``: to 1e-4."""
    level = np.round((x + BOUND) / (2 * BOUND) * 65535).clip(0, 65535).astype(np.int64)
    return np.stack([level // 256, level % 256], axis=-1).astype(np.uint8)


def read(frames: Tensor) -> Tensor:
    """The numbers behind :func:`show`'s bytes."""
    level = frames[..., 0].float() * 256 + frames[..., 1].float()
    return level / 65535 * (2 * BOUND) - BOUND


@dataclass(frozen=True)
class Linear:
    """x' = decay · x + push · a + noise · ε, seen exactly. reward = x'[0] + bonus, and the step
    ends the episode with probability sigmoid(hazard + steep · x'[0])."""

    decay: float = 0.9
    push: float = 0.5
    spread: float = 0.3
    bonus: float = 0.0
    hazard: float = -50.0
    steep: float = 0.0
    size: int = 2

    def episode(self, rng: np.random.Generator, steps: int, policy: str = "random") -> Episode:
        """An episode of the env that this is the exact model of (but for the bonus)."""
        x = rng.normal(size=self.size)
        frames, actions, rewards = [show(x)], [], []
        terminated = False
        while len(rewards) < steps and not terminated:
            action = rng.uniform(-1, 1, self.size).astype(np.float32)
            x = self.decay * x + self.push * action + self.spread * rng.normal(size=self.size)
            x = x.clip(-BOUND, BOUND)
            terminated = rng.uniform() < 1 / (1 + np.exp(-(self.hazard + self.steep * x[0])))
            frames.append(show(x))
            actions.append(action)
            rewards.append(x[0])
        return Episode(
            frames=np.stack(frames),
            actions=np.array(actions, np.float32),
            rewards=np.array(rewards, np.float32),
            terminated=bool(terminated),
            truncated=not terminated,
            seed=int(rng.integers(1000)),
            policy=policy,
            real_steps=len(rewards),
        )


class LinearModel:
    """The exact world model of :class:`Linear`'s env."""

    def __init__(self, env: Linear) -> None:
        self.env = env
        self.noise = NoiseShape(uniform=1, normal=env.size)
        self.latent = env.size
        self.features = env.size + 1
        self.device = torch.device("cpu")

    def begin(self, start: Mapping[str, Tensor], noise: Tensor | None = None) -> State:
        return {"x": read(start["observation"])}

    def posterior(
        self, state: State, action: Tensor, observation: Tensor, noise: Noise | None = None
    ) -> State:
        return {"x": read(observation)}

    def step(self, state: State, action: Tensor, temperature: Tensor, noise: Noise) -> Imagined:
        e = self.env
        spread = e.spread * temperature.sqrt().unsqueeze(1)
        x = e.decay * state["x"] + e.push * action + spread * noise.normal
        return Imagined(
            state={"x": x},
            reward=x[:, 0] + e.bonus,
            termination_logit=e.hazard + e.steep * x[:, 0],
        )

    def observe(self, state: State, kind: ObservationKind) -> Tensor:
        if kind == "latent":
            return state["x"]
        if kind == "features":
            return torch.cat([state["x"], torch.ones(len(state["x"]), 1)], dim=1)
        return torch.from_numpy(show(state["x"].double().numpy()))

    def state_dict(self) -> dict[str, Any]:
        return {}


@pytest.fixture
def linear() -> type[Linear]:
    return Linear


@pytest.fixture
def linear_model() -> Callable[[Linear], LinearModel]:
    return LinearModel


@pytest.fixture(scope="session")
def findings() -> Findings:
    """An honest dream's: the exact model of a linear env, and returns of the same distribution."""
    return made_findings(Linear(hazard=-3.5, steep=1.5), bonus=0.0)


@pytest.fixture(scope="session")
def flattering_findings() -> Findings:
    """Its reward head pays 3 too much each decision, and its dream accordingly."""
    return made_findings(Linear(hazard=-3.5, steep=1.5), bonus=3.0)


def made_findings(env: Linear, bonus: float) -> Findings:
    rng = np.random.default_rng(0)
    real = [env.episode(rng, 40, "policy.zip") for _ in range(24)]
    random = [env.episode(rng, 40) for _ in range(24)]
    dream = [env.episode(rng, 40) for _ in range(100)]
    dreamed = [Played(e.rewards.astype(float) + bonus, e.terminated) for e in dream]
    model = LinearModel(Linear(hazard=-3.5, steep=1.5, bonus=bonus))
    held_out = [*real, *random]
    chosen = windows(held_out, 20, 2)
    moments = known_moments(held_out, 10, 300, 0, 40)
    starts = [[w.start for w in chosen if w.episode == i] for i in range(len(held_out))]
    keep = [[*a, *b] for a, b in zip(starts, moments, strict=True)]
    filtered = filter_episodes(model, held_out, keep=keep, samples=16)
    drift = dream_windows(model, filtered, chosen, horizon=20, samples=16)
    seen = [Played.of(e) for e in held_out]
    return Findings(
        policy=compare(dreamed, seen[:24], seen, seed=0),
        random=compare(dreamed, seen[24:], seen, seed=0),
        parting=part(dreamed, seen[:24], [f.foreseen for f in filtered], seed=0),
        trained=True,
        ends=True,
        open_loop=summarise(drift, filtered, seed=0),
        reward=audit_reward(filtered, drift, seed=0),
        termination=audit_termination(filtered, seed=0),
        within=audit_within(model, filtered, moments, steps=10, samples=32),
    )
