"""Reading real episodes in batches gives what filtering them frame by frame does."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from dreamenv.models.mdnrnn import MDNRNN, MDNRNNSizes
from dreamenv.models.mixture import Mixture
from dreamenv.training.mdnrnn import fit_reward_bins, read
from dreamenv.training.sequences import RealSequence
from dreamenv.training.starts import start_bank

LENGTHS = [5, 1, 9, 3, 9]


@pytest.fixture(scope="module", params=[0, 1], ids=["box", "discrete"])
def model(request) -> MDNRNN:
    torch.manual_seed(0)
    sizes = MDNRNNSizes(
        height=16, width=16, vae_base=2, latent=3, hidden=5, mixtures=2, action=4, head=6,
        reward_bins=7, dropout=0.3, discrete=request.param, latent_bound=0.03,
    )  # fmt: skip
    return MDNRNN(sizes).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def frames() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    shape = (16, 16, 3)
    return [
        torch.randint(256, (n + 1, *shape), dtype=torch.uint8, generator=generator) for n in LENGTHS
    ]


@pytest.fixture(scope="module")
def sequences(model, frames) -> list[RealSequence]:
    generator = torch.Generator().manual_seed(2)
    found = []
    for i, seen in enumerate(frames):
        n = len(seen) - 1
        actions = (
            torch.randint(4, (n,), generator=generator)
            if model.sizes.discrete
            else torch.rand(n, 4, generator=generator)
        )
        rewards = torch.rand(n, generator=generator) + i
        found.append(RealSequence(*model.vae.encode(seen), actions, rewards, i == 0))
    return found


@pytest.mark.parametrize("batch", [1, 2, 64])
def test_reading_is_filtering(model, frames, sequences, batch):
    """Oracle: ``begin`` and ``posterior``, one frame of one episode at a time, as make_real."""
    readings = dict(read(model, sequences, batch=batch))
    assert sorted(readings) == list(range(len(sequences)))
    cut = 0
    for i, seen in enumerate(frames):
        state = model.begin({"observation": seen[:1]})
        reading = readings[i]
        n = len(seen) - 1
        assert len(reading.z) == len(reading.h) == len(reading.c) == n + 1
        assert len(reading.nll) == len(reading.reward) == len(reading.termination) == n
        for t in range(n + 1):
            for name in ("z", "h", "c"):
                assert torch.allclose(getattr(reading, name)[t], state[name][0], atol=1e-5)
            cut += int((state["z"].abs() >= 0.03).sum())
            if t == n:
                break
            action = sequences[i].actions[t : t + 1]
            state = model.posterior(state, action, seen[t + 1 : t + 2])
            logits, termination = model.judge(state["h"], state["z"])
            reward = (logits.softmax(-1) * model.reward_bins).sum(-1)
            mixture = Mixture.split(model.mixture(state["h"]), 2)
            nll = -mixture.log_prob(state["z"]) / state["z"].shape[1]
            assert torch.allclose(reading.reward[t], reward[0], atol=1e-5)
            assert torch.allclose(reading.termination[t], termination.sigmoid()[0], atol=1e-5)
            assert torch.allclose(reading.nll[t], nll[0], atol=1e-4)
    assert cut  # the bound was reached, so that it matters


def test_starts_are_moments_of_the_reading(model, sequences):
    readings = dict(read(model, sequences))
    # Generous, so that every state is drawn but the last ones, at which an episode is over.
    bank = start_bank(model, sequences, firsts=99, others=999, seed=0)
    assert {n: t.dtype for n, t in bank.items()} == {
        "z": torch.float16, "h": torch.float16, "c": torch.float16, "first": torch.uint8
    }  # fmt: skip
    expected = {}
    for i, reading in readings.items():
        for t in range(len(sequences[i])):
            row = torch.cat([reading.z[t], reading.h[t], reading.c[t]]).half()
            expected[tuple(row.tolist())] = int(t == 0)
    rows = torch.cat([bank["z"], bank["h"], bank["c"]], 1).tolist()
    assert {tuple(r): f for r, f in zip(rows, bank["first"].tolist(), strict=True)} == expected
    assert len(rows) == len(expected) == sum(LENGTHS)
    first = bank["first"] == 1
    assert int(first.sum()) == len(LENGTHS)
    assert not bank["h"][first].any()
    assert bool(bank["h"][~first].any(1).all())


def test_fewer_starts_than_there_are_moments(model, sequences):
    bank = start_bank(model, sequences, firsts=2, others=8, seed=0)
    first = bank["first"] == 1
    assert int(first.sum()) == 2
    assert 5 <= int((~first).sum()) <= 11  # rounded by chance, episode by episode
    again = start_bank(model, sequences, firsts=2, others=8, seed=0)
    other = start_bank(model, sequences, firsts=2, others=8, seed=1)
    assert torch.equal(bank["z"], again["z"])
    assert bank["z"].shape != other["z"].shape or not torch.equal(bank["z"], other["z"])


def test_other_starts_are_drawn_evenly(model):
    """Each moment but the first and the last of an episode, long or short, as often."""
    generator = torch.Generator().manual_seed(3)
    sequences = [
        RealSequence(
            0.001 * (100 * i + torch.arange(n + 1.0))[:, None].expand(-1, 3),
            torch.zeros(n + 1, 3),
            torch.zeros(n, dtype=torch.int64) if model.sizes.discrete else torch.zeros(n, 4),
            torch.rand(n, generator=generator),
            False,
        )
        for i, n in enumerate((3, 9))
    ]
    model = MDNRNN(replace(model.sizes, latent_bound=8.0)).eval()
    counts = torch.zeros(200)
    for seed in range(150):
        bank = start_bank(model, sequences, firsts=0, others=5, seed=seed)
        moments = (bank["z"][:, 0].float() * 1000).round().long()
        counts += torch.bincount(moments, minlength=200)
    drawn = counts.nonzero().flatten().tolist()
    assert drawn == [1, 2, *range(101, 109)]
    assert counts[drawn].min() > 45  # 75 expected, deviation 6
    assert counts[drawn].max() < 105


def test_reward_bins_span_the_data(model, sequences):
    model = MDNRNN(model.sizes)
    fit_reward_bins(model, sequences, keep=False)
    rewards = torch.cat([s.rewards for s in sequences])
    assert float(model.reward_bins[0]) == float(rewards.min())
    assert float(model.reward_bins[-1]) == float(rewards.max())
    # A package that is trained on keeps what it spanned.
    model.reward_bins.copy_(torch.linspace(-50, 2, 7))
    fit_reward_bins(model, sequences, keep=True)
    assert (float(model.reward_bins[0]), float(model.reward_bins[-1])) == (-50, rewards.max())


@pytest.mark.parametrize("reward", [0.0, 1.0, -7.25, 100.00001])
def test_rewards_that_are_all_the_same_have_bins_too(model, sequences, reward):
    model = MDNRNN(model.sizes)
    rewards = torch.full((5,), reward)
    rewards[0] = rewards[0].nextafter(torch.tensor(torch.inf))  # but for rounding
    fit_reward_bins(model, [replace(sequences[0], rewards=rewards)], keep=False)
    assert bool((model.reward_bins.diff() > 0).all())
    assert float(model.reward_bins[0]) < reward < float(model.reward_bins[-1])
