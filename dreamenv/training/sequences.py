"""Encoded episodes, and windows of them that carry the LSTM's state from one to the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dreamenv.data.rollouts import Episode
from dreamenv.models.vae import VAE
from dreamenv.progress import Progress
from dreamenv.training.vae import encode_episode


@dataclass(frozen=True)
class RealSequence:
    """One real episode as the MDN-RNN sees it; T decisions, T + 1 latents."""

    mean: Tensor
    """float32 ``[T + 1, latent]``."""
    log_variance: Tensor
    """float32 ``[T + 1, latent]``."""
    actions: Tensor
    """float32 ``[T, action]`` or int64 ``[T]``; float32 for both where a decision spans several
    frames, over which it may have changed: see :func:`spanning`."""
    rewards: Tensor
    """float32 ``[T]``."""
    terminated: bool
    shows_ending: bool = True
    """Whether the last frame of an episode that terminated is a true one."""

    def __len__(self) -> int:
        return len(self.rewards)


def encode(
    vae: VAE, episodes: Sequence[Episode], progress: Progress, shows_endings: bool = True
) -> list[RealSequence]:
    """Encode whole episodes, one at a time."""
    encoded = []
    for i, episode in enumerate(episodes):
        mean, log_variance = encode_episode(vae, episode)
        encoded.append(
            RealSequence(
                mean,
                log_variance,
                torch.from_numpy(np.array(episode.actions)),
                torch.from_numpy(np.array(episode.rewards, dtype=np.float32)),
                bool(episode.terminated),
                shows_endings,
            )
        )
        progress("encode", i + 1, len(episodes))
    return encoded


def spanning(sequence: RealSequence, frames: int, offset: int, actions: int) -> RealSequence | None:
    """An episode recorded each frame, as one of decisions that span several.

    Args:
        frames: of a decision; the last one is shorter where the episode ends in it.
        offset: frames before the first decision: each gives another view of the same episode.
        actions: how many there are, if they are discrete.

    Returns:
        Rewards are sums and actions means over each decision's frames (of one-hot vectors if they
        are discrete): where an action was held for all of them, that one. None if the episode is
        no longer than the offset.

    Examples:
        >>> z = torch.arange(6.0)[:, None]
        >>> seen = RealSequence(z, z, torch.tensor([0, 0, 1, 1, 1]), torch.ones(5), True)
        >>> spanning(seen, frames=2, offset=1, actions=2).actions
        tensor([[0.5000, 0.5000],
                [0.0000, 1.0000]])
        >>> spanning(seen, frames=4, offset=0, actions=2).rewards
        tensor([4., 1.])
    """
    length = len(sequence)
    if offset >= length:
        return None
    at = torch.tensor([*range(offset, length, frames), length])
    taken = sequence.actions
    if not taken.is_floating_point():
        taken = F.one_hot(taken, actions).to(torch.float32)
    counts = at.diff()
    owner = torch.repeat_interleave(torch.arange(len(counts)), counts)

    def summed(values: Tensor) -> Tensor:
        total = torch.zeros(len(counts), *values.shape[1:])
        return total.index_add_(0, owner, values[offset:])

    return replace(
        sequence,
        mean=sequence.mean[at],
        log_variance=sequence.log_variance[at],
        actions=summed(taken) / counts[:, None],
        rewards=summed(sequence.rewards),
    )


@dataclass
class Window:
    """A batch of consecutive decisions, padded past the end of an episode."""

    z: Tensor
    """Sampled latents, float32 ``[batch, length + 1, latent]``."""
    actions: Tensor
    rewards: Tensor
    """float32 ``[batch, length]``."""
    terminated: Tensor
    """float32 ``[batch, length]``, 1 on the decision that ended the episode."""
    mask: Tensor
    """float32 ``[batch, length]``, 0 past the end."""
    shown: Tensor
    """float32 ``[batch, length]``, the mask, but 0 where no true frame followed the decision."""
    fresh: Tensor
    """bool ``[batch]``: the window begins an episode or a stream, so its LSTM state is zero."""


class Windows:
    """``batch`` streams of episodes, cut into windows of ``length`` decisions.

    Windows start where the last one of the same episode stopped, never counted from its end:
    windows aligned to episode ends would teach the LSTM to count the steps to them. A window never
    crosses into the next episode, so no target is another episode's first frame.
    """

    def __init__(self, sequences: Sequence[RealSequence], batch: int, length: int) -> None:
        sequences = [s for s in sequences if len(s) > 0]
        self.batch, self.length = batch, length
        self.lengths = torch.tensor([len(s) for s in sequences])
        # Episodes end to end, so that a window of every stream is one gather.
        self.first = torch.cumsum(self.lengths + 1, 0) - (self.lengths + 1)
        self.mean = torch.cat([s.mean for s in sequences])
        self.spread = torch.cat([torch.exp(0.5 * s.log_variance) for s in sequences])
        pad = sequences[0].actions[:1].clone().zero_()
        self.actions = torch.cat([part for s in sequences for part in (s.actions, pad)])
        self.rewards = torch.cat([part for s in sequences for part in (s.rewards, torch.zeros(1))])
        self.terminated = torch.zeros(len(self.rewards))
        ended = torch.tensor([s.terminated for s in sequences])
        self.terminated[(self.first + self.lengths - 1)[ended]] = 1.0
        self.shown = torch.ones(len(self.rewards))
        hidden = torch.tensor([s.terminated and not s.shows_ending for s in sequences])
        self.shown[(self.first + self.lengths - 1)[hidden]] = 0.0
        self.episode = torch.full((batch,), -1, dtype=torch.int64)
        self.position = torch.zeros(batch, dtype=torch.int64)

    def draw(self, generator: torch.Generator) -> Window:
        """The next window of every stream; latents are redrawn from their posterior each time."""
        unborn = self.episode < 0
        over = ~unborn & (self.position >= self.lengths[self.episode])
        fresh = unborn | over
        # Streams begin anywhere in an episode, so that they do not march in step: there by length.
        # Later ones are drawn evenly, since each is then played from its beginning to its end.
        by_length = torch.multinomial(
            self.lengths.to(torch.float32), self.batch, replacement=True, generator=generator
        )
        evenly = torch.randint(len(self.lengths), (self.batch,), generator=generator)
        drawn = torch.where(unborn, by_length, evenly)
        episode = torch.where(fresh, drawn, self.episode)
        anywhere = torch.rand(self.batch, generator=generator) * self.lengths[episode]
        position = torch.where(unborn, anywhere.long(), torch.where(over, 0, self.position))
        steps = position[:, None] + torch.arange(self.length + 1)
        last = self.lengths[episode][:, None]
        index = self.first[episode][:, None] + steps.minimum(last)
        noise = torch.empty(*index.shape, self.mean.shape[1]).normal_(generator=generator)
        self.episode, self.position = episode, position + self.length
        here = index[:, :-1]
        mask = (steps[:, :-1] < last).to(torch.float32)
        return Window(
            z=self.mean[index] + self.spread[index] * noise,
            actions=self.actions[here],
            rewards=self.rewards[here],
            terminated=self.terminated[here],
            mask=mask,
            shown=mask * self.shown[here],
            fresh=fresh,
        )
