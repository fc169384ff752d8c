"""VAE + MDN-RNN (Ha & Schmidhuber 2018) with predicted reward and termination.

An LSTM reads (z, a) and its output parametrises a mixture of Gaussians of the next z. Reward
and termination are read from that output *and* the next z that was drawn, so that they judge the
future that was dreamed and not its average.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dreamenv.models.mixture import Mixture
from dreamenv.models.two_hot import expectation
from dreamenv.models.vae import VAE, VAESizes
from dreamenv.models.world_model import Imagined, Noise, NoiseShape, ObservationKind, State


@dataclass(frozen=True)
class MDNRNNSizes:
    """Everything that ``sizes`` of a package's config holds for this family."""

    height: int = 64
    width: int = 64
    channels: int = 3
    vae_base: int = 32
    latent: int = 32
    hidden: int = 256
    mixtures: int = 5
    """Components."""
    joint: int = 0
    """1 if one component is drawn for the whole of z; 0, one for each dimension
    (:mod:`dreamenv.models.mixture`)."""
    action: int = 3
    """Length of the action vector, or number of discrete actions."""
    discrete: int = 0
    """1 if actions are discrete (they enter as one-hot vectors)."""
    head: int = 128
    """Hidden width of the reward and termination head."""
    reward_bins: int = 63
    judges_next: int = 1
    """1 if reward and termination are read from the next latent too; 0, from the LSTM alone, where
    the env shows no true frame of an ending."""
    latent_bound: float = 8.0
    dropout: float = 0.0
    """Share of LSTM outputs hidden from the heads while training and, with a mask that stays for
    an episode, while dreaming (Wellmer & Kwok 2021, *Dropout's Dream Land*)."""

    def __post_init__(self) -> None:
        VAESizes(self.height, self.width, self.channels, self.latent, self.vae_base)
        bounds = dict(hidden=4096, mixtures=64, action=4096, head=4096, reward_bins=1024)
        for name, most in bounds.items():
            value = getattr(self, name)
            least = 2 if name == "reward_bins" else 1
            if isinstance(value, bool) or value != int(value) or not least <= value <= most:
                raise ValueError(f"{name}: expected a whole number {least} to {most}, got {value}")
        for name in ("discrete", "joint", "judges_next"):
            if getattr(self, name) not in (0, 1):
                raise ValueError(f"{name}: expected 0 or 1, got {getattr(self, name)}")
        if not 0.0 <= self.dropout < 0.9:
            raise ValueError(f"dropout: expected 0 ≤ dropout < 0.9, got {self.dropout}")
        if not 0.0 < self.latent_bound <= 1000.0:
            raise ValueError(f"latent_bound: expected 0 < bound ≤ 1000, got {self.latent_bound}")


class MDNRNN(nn.Module):
    """Meets :class:`dreamenv.models.world_model.WorldModel`.

    State, all float32: ``z`` ``[lanes, latent]``; ``h``, ``c`` and ``mask`` ``[lanes, hidden]``.
    """

    def __init__(self, sizes: MDNRNNSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.latent = sizes.latent
        self.features = sizes.latent + sizes.hidden
        self.noise = NoiseShape(
            uniform=1 if sizes.joint else sizes.latent,
            normal=sizes.latent,
            start_uniform=sizes.hidden if sizes.dropout else 0,
        )
        self.vae = VAE(
            VAESizes(sizes.height, sizes.width, sizes.channels, sizes.latent, sizes.vae_base)
        )
        self.lstm = nn.LSTM(sizes.latent + sizes.action, sizes.hidden, batch_first=True)
        each = 1 + 2 * sizes.latent if sizes.joint else 3 * sizes.latent
        self.mixture = nn.Linear(sizes.hidden, sizes.mixtures * each)
        self.outcome = nn.Sequential(
            nn.Linear(sizes.hidden + sizes.judges_next * sizes.latent, sizes.head),
            nn.SiLU(),
            nn.Linear(sizes.head, sizes.reward_bins + 1),
        )
        self.register_buffer("reward_bins", torch.linspace(-1.0, 1.0, sizes.reward_bins))
        self.reward_bins: Tensor

    @property
    def device(self) -> torch.device:
        return self.reward_bins.device

    def begin(self, start: Mapping[str, Tensor], noise: Tensor | None = None) -> State:
        if "observation" in start:
            z = self._bounded(self.vae.encode(start["observation"])[0])
            h = z.new_zeros(len(z), self.sizes.hidden)
            c = torch.zeros_like(h)
        else:
            z, h, c = (start[name].to(torch.float32) for name in ("z", "h", "c"))
        if noise is None or not self.sizes.dropout:
            mask = torch.ones_like(h)
        else:
            mask = (noise >= self.sizes.dropout).to(torch.float32) / (1.0 - self.sizes.dropout)
        return {"z": z, "h": h, "c": c, "mask": mask}

    def posterior(
        self, state: State, action: Tensor, observation: Tensor, noise: Noise | None = None
    ) -> State:
        h, c = self.recur(state, action)
        z, log_variance = self.vae.encode(observation)
        if noise is not None:
            z = z + torch.exp(0.5 * log_variance) * noise.normal
        return {"z": self._bounded(z), "h": h, "c": c, "mask": torch.ones_like(h)}

    def step(self, state: State, action: Tensor, temperature: Tensor, noise: Noise) -> Imagined:
        h, c = self.recur(state, action)
        seen = h * state["mask"] if self.sizes.dropout else h
        drawn = self.following(seen).sample(temperature, noise.uniform, noise.normal)
        z = self._bounded(drawn)
        reward_logits, termination_logit = self.judge(seen, z)
        return Imagined(
            state={"z": z, "h": h, "c": c, "mask": state["mask"]},
            reward=expectation(reward_logits, self.reward_bins),
            termination_logit=termination_logit,
        )

    def observe(self, state: State, kind: ObservationKind) -> Tensor:
        if kind == "latent":
            return state["z"]
        if kind == "features":
            return torch.cat([state["z"], state["h"]], dim=1)
        return self.vae.picture(state["z"])

    def following(self, seen: Tensor) -> Mixture:
        """Of the next latent, from the LSTM's output ``[..., hidden]``."""
        return Mixture.split(self.mixture(seen), self.sizes.mixtures, bool(self.sizes.joint))

    def judge(self, seen: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Reward logits ``[..., bins]`` and termination logit ``[...]`` of having come to ``z``."""
        read = torch.cat([seen, z], dim=-1) if self.sizes.judges_next else seen
        outcome = self.outcome(read)
        return outcome[..., :-1], outcome[..., -1]

    def embed(self, action: Tensor) -> Tensor:
        """Actions as the LSTM reads them: float32 ``[..., sizes.action]``.

        Discrete ones are integers; floats are taken for what they would become, or its mean over
        the frames of a decision.
        """
        if self.sizes.discrete and not action.is_floating_point():
            return F.one_hot(action.long(), self.sizes.action).to(torch.float32)
        return action

    def recur(self, state: State, action: Tensor) -> tuple[Tensor, Tensor]:
        """The LSTM's next (h, c), by hand: on a sequence of one, far less overhead than
        ``nn.LSTM``."""
        x = torch.cat([state["z"], self.embed(action)], dim=1)
        weight_x, weight_h, bias_x, bias_h = self.lstm.all_weights[0]
        gates = F.linear(x, weight_x, bias_x) + F.linear(state["h"], weight_h, bias_h)
        enter, forget, candidate, leave = gates.chunk(4, dim=1)
        c = torch.sigmoid(forget) * state["c"] + torch.sigmoid(enter) * torch.tanh(candidate)
        return torch.sigmoid(leave) * torch.tanh(c), c

    def _bounded(self, z: Tensor) -> Tensor:
        return z.clamp(-self.sizes.latent_bound, self.sizes.latent_bound)
