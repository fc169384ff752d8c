"""Windows over episodes of numbers that say which episode and moment they are of."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamenv.data.shards import Episode
from dreamenv.models.vae import VAE, VAESizes
from dreamenv.training.sequences import RealSequence, Windows, encode


def numbered(number: int, length: int, terminated: bool, *, discrete: bool = False) -> RealSequence:
    """Latent t of episode i is 1000·i + t; its action is a quarter above it, its reward a half."""
    t = 1000.0 * number + torch.arange(length + 1, dtype=torch.float32)
    return RealSequence(
        mean=t[:, None].clone(),
        log_variance=torch.full((length + 1, 1), -torch.inf),
        actions=t[:-1].long() if discrete else t[:-1, None] + 0.25,
        rewards=t[:-1] + 0.5,
        terminated=terminated,
    )


EPISODES = st.lists(st.tuples(st.integers(1, 12), st.booleans()), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(EPISODES, st.integers(1, 5), st.integers(1, 7), st.integers(0, 1000), st.booleans())
def test_windows_walk_through_whole_episodes(episodes, batch, length, seed, discrete):
    sequences = [numbered(i, *episode, discrete=discrete) for i, episode in enumerate(episodes)]
    windows = Windows(sequences, batch, length)
    generator = torch.Generator().manual_seed(seed)
    ends: list[tuple[int, int] | None] = [None] * batch
    for _ in range(8):
        window = windows.draw(generator)
        assert window.z.shape == (batch, length + 1, 1)
        for stream in range(batch):
            mask = window.mask[stream]
            n = int(mask.sum())
            assert n >= 1
            assert mask.tolist() == [1.0] * n + [0.0] * (length - n)
            z = window.z[stream, :, 0]
            number, at = divmod(int(z[0]), 1000)
            total, terminated = episodes[number]
            # z[t + 1] is what followed action t, whose reward and ending are those at t.
            start = torch.arange(at, at + n) + 1000 * number
            assert torch.equal(z[: n + 1], torch.arange(at, at + n + 1) + 1000.0 * number)
            actions = window.actions[stream, :n]
            assert torch.equal(actions, start if discrete else start[:, None] + 0.25)
            assert torch.equal(window.rewards[stream, :n], start + 0.5)
            ending = [float(terminated and t == total - 1) for t in range(at, at + n)]
            assert window.terminated[stream, :n].tolist() == ending
            # It stops at its length, or at the episode's end.
            assert at + n <= total
            assert n == length or at + n == total
            # It goes on where it stopped, or begins another episode.
            before = ends[stream]
            if before is None:
                assert window.fresh[stream]
            elif before[1] == episodes[before[0]][0]:
                assert window.fresh[stream]
                assert at == 0
            else:
                assert not window.fresh[stream]
                assert (number, at) == before
            ends[stream] = (number, at + n)


def test_an_ending_that_is_not_shown_is_no_target():
    """Only the decision that terminated: the mask of rewards and endings keeps it."""
    ends = [numbered(0, 3, True), numbered(1, 3, False), numbered(2, 5, True)]
    sequences = [dataclasses.replace(s, shows_ending=False) for s in ends]
    windows = Windows(sequences, 40, 4)
    generator = torch.Generator().manual_seed(0)
    hidden = 0
    for _ in range(5):
        window = windows.draw(generator)
        assert torch.equal(window.shown, window.mask * (1.0 - window.terminated))
        hidden += int(window.terminated.sum())
    assert hidden > 10
    window = Windows(ends, 9, 4).draw(generator)
    assert torch.equal(window.shown, window.mask)


def test_every_decision_weighs_the_same():
    lengths = [4, 10, 40]
    windows = Windows([numbered(i, n, False) for i, n in enumerate(lengths)], 64, 8)
    generator = torch.Generator().manual_seed(0)
    seen = [np.zeros(n) for n in lengths]
    for _ in range(1500):
        window = windows.draw(generator)
        for number, t in zip(
            *divmod((window.rewards - 0.5)[window.mask > 0].long().numpy(), 1000), strict=True
        ):
            seen[number][t] += 1
    mean = np.concatenate(seen).mean()
    for counts in seen:
        assert counts.mean() == pytest.approx(mean, rel=0.05)
        assert counts.min() > 0.9 * mean
        assert counts.max() < 1.1 * mean


def test_first_windows_begin_anywhere():
    """Else all streams would come to the ends of their episodes together."""
    windows = Windows([numbered(0, 10, True)], 4000, 3)
    window = windows.draw(torch.Generator().manual_seed(0))
    counts = np.bincount(window.z[:, 0, 0].long().numpy(), minlength=10)
    assert counts.shape == (10,)
    assert counts.min() > 300  # 400 expected, deviation 19


def test_latents_are_redrawn_from_their_posterior():
    sequence = numbered(0, 3, False)
    spread = RealSequence(
        torch.zeros(4, 2),
        torch.tensor([0.25, 9.0]).log().expand(4, 2),
        sequence.actions,
        sequence.rewards,
        False,
    )
    windows, generator = Windows([spread], 3000, 3), torch.Generator().manual_seed(1)
    first, second = windows.draw(generator).z, windows.draw(generator).z
    assert not torch.equal(first, second)
    deviation = torch.cat([first, second]).flatten(0, 1).std(0)
    assert torch.allclose(deviation, torch.tensor([0.5, 3.0]), rtol=0.03)


def test_a_generator_decides_all_draws():
    sequences = [numbered(i, 5 + i, True) for i in range(4)]
    one, two = (Windows(sequences, 6, 4) for _ in range(2))
    for seed in range(4):
        a, b = (w.draw(torch.Generator().manual_seed(seed)) for w in (one, two))
        assert all(
            torch.equal(x, y) for x, y in zip(vars(a).values(), vars(b).values(), strict=True)
        )


@pytest.mark.parametrize("discrete", [False, True])
def test_encoding_keeps_every_frame_action_and_reward(discrete):
    torch.manual_seed(0)
    vae = VAE(VAESizes(height=16, width=16, latent=3, base=2))
    rng = np.random.default_rng(0)
    episodes = [
        Episode(
            frames=rng.integers(0, 256, (length + 1, 16, 16, 3), np.uint8),
            actions=rng.integers(0, 4, length)
            if discrete
            else rng.uniform(-1, 1, (length, 2)).astype(np.float32),
            rewards=rng.normal(size=length).astype(np.float32),
            terminated=bool(length % 2),
            truncated=not length % 2,
            seed=0,
            policy="random",
            real_steps=length,
        )
        for length in (1, 6, 515)  # more frames than are encoded at once
    ]
    calls = []
    sequences = encode(vae, episodes, lambda *call: calls.append(call))
    assert calls == [("encode", i, 3) for i in (1, 2, 3)]
    for episode, sequence in zip(episodes, sequences, strict=True):
        assert len(sequence) == len(episode)
        assert sequence.terminated is episode.terminated
        assert np.array_equal(sequence.actions.numpy(), episode.actions)
        assert np.array_equal(sequence.rewards.numpy(), episode.rewards)
        assert sequence.mean.shape == (len(episode) + 1, 3)
        for t in {0, len(episode) // 2, len(episode)}:
            with torch.no_grad():
                mean, log_variance = vae.encode(torch.from_numpy(episode.frames[t : t + 1]))
            assert torch.allclose(sequence.mean[t], mean[0], atol=1e-5)
            assert torch.allclose(sequence.log_variance[t], log_variance[0], atol=1e-5)
