"""Fitting an ensemble: on a linear system with known noise it finds what there is to know."""

from __future__ import annotations

import copy
import dataclasses
import functools

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Normal
from torch.nn import functional as F

from dreamenv.data.shards import Episode
from dreamenv.models.ensemble import Ensemble, EnsembleSizes
from dreamenv.progress import silent
from dreamenv.threads import one_torch_thread
from dreamenv.training import ensemble as training
from dreamenv.training.checkpoint import load_checkpoint
from dreamenv.training.ensemble import (
    EnsembleConfig,
    begin_endings,
    endings_foretold,
    fit_ensemble,
    foretold,
)
from dreamenv.training.fit import FitConfig
from dreamenv.training.transitions import Transitions
from dreamenv.training.units import fit_units

SIZES = EnsembleSizes(observation=3, action=1, members=4, elites=3, hidden=32, layers=1, outcome=32)
MATRIX = torch.tensor([[0.9, 0.2, 0.0], [-0.2, 0.9, 0.1], [0.0, 0.0, 0.5]])
PUSH = torch.tensor([0.0, 0.5, 1.0])
NOISE = torch.tensor([0.05, 0.2, 0.4])
UNITS = torch.tensor([10.0, 1.0, 0.1])
"""The numbers are shown in units of these, about an offset."""
OFFSET = torch.tensor([50.0, 0.0, -1.0])
GOAL = 1.0
"""In its own units, of the second number: beyond it an episode ends."""


@pytest.fixture(scope="module", autouse=True)
def _no_waiting_for_threads():
    with one_torch_thread():  # two would cost more than they save, at this size
        yield


def linear(count: int, seed: int) -> Transitions:
    """Transitions of x' = Mx + pa + noise. The reward is the third number that follows."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 3, generator=generator)
    action = torch.rand(count, 1, generator=generator) * 2 - 1
    after = x @ MATRIX.T + action * PUSH + NOISE * torch.randn(count, 3, generator=generator)
    return Transitions(
        observation=x * UNITS + OFFSET,
        action=action,
        following=after * UNITS + OFFSET,
        reward=after[:, 2],
        terminated=(after[:, 1] > GOAL).float(),
    )


def expected(data: Transitions) -> Tensor:
    """The mean of what follows, in the units it is shown in."""
    x = (data.observation - OFFSET) / UNITS
    return (x @ MATRIX.T + data.action * PUSH) * UNITS + OFFSET


@pytest.fixture(scope="module")
def unseen() -> Transitions:
    return linear(2000, seed=2)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory) -> Ensemble:
    data = linear(4000, seed=1)
    torch.manual_seed(0)
    model = Ensemble(SIZES)
    fit_units(model, data)
    begin_endings(model, data)
    fit_ensemble(
        model,
        data,
        linear(500, seed=3),
        EnsembleConfig(steps=700, learning_rate=8e-3),
        seed=4,
        folder=tmp_path_factory.mktemp("fit"),
        progress=silent,
    )
    return model.eval()


@torch.no_grad()
def said(model: Ensemble, data: Transitions) -> tuple[Tensor, Tensor]:
    """Mean and deviation of what follows, in the units it is shown in: ``[elites, N, 3]``."""
    s = model.normalised(data.observation)
    acted = torch.cat([s, model.embed(data.action)], dim=1)
    change, deviation = model.spread(model.dynamics.every(acted, SIZES.elites))
    following = s + change * model.change_scale + model.change_mean
    return following * model.scale + model.mean, deviation * model.change_scale * model.scale


def test_the_mean_of_what_follows_is_known(fitted, unseen):
    """To a fifth of the noise, whatever the units."""
    means, _ = said(fitted, unseen)
    error = (means.mean(0) - expected(unseen)).square().mean(0).sqrt()
    assert bool((error < 0.2 * NOISE * UNITS).all()), error / (NOISE * UNITS)


def test_the_noise_is_known(fitted, unseen):
    """Its deviation, for each number, to 15%."""
    _, deviations = said(fitted, unseen)
    ratio = deviations.mean((0, 1)) / (NOISE * UNITS)
    assert bool(((ratio - 1).abs() < 0.15).all()), ratio


def test_the_likelihood_of_held_out_data_is_near_the_best_there_is(fitted, unseen):
    """In nats a number: the noise's entropy is what one who knew the system would score."""
    means, deviations = said(fitted, unseen)
    entropy = Normal(torch.zeros(3), NOISE * UNITS).entropy()
    nll = -Normal(means, deviations).log_prob(unseen.following).mean((0, 1))
    assert bool((nll > entropy - 0.05).all()), "better than possible: the test is wrong"
    assert bool((nll < entropy + 0.05).all()), nll - entropy


def test_members_agree_where_there_was_data_and_not_elsewhere(fitted, unseen):
    def unsure(data: Transitions) -> float:
        s = fitted.normalised(data.observation)
        with torch.no_grad():
            return float(fitted.uncertainty({"s": s}, data.action).epistemic.median())

    far = Transitions(
        unseen.observation + 6 * UNITS, *[getattr(unseen, n) for n in list(vars(unseen))[1:]]
    )
    assert unsure(far) > 3 * unsure(unseen)


@torch.no_grad()
def judged(model: Ensemble, data: Transitions) -> Tensor:
    """What the elites say of true transitions, ``[elites, N, 2]``."""
    s, following = model.normalised(data.observation), model.normalised(data.following)
    return model.outcome.every(torch.cat([s, data.action, following], dim=1), SIZES.elites)


def test_the_reward_is_known(fitted, unseen):
    """Read from the state that followed, of which it is a function."""
    error = (fitted.reward(judged(fitted, unseen)).mean(0) - unseen.reward).abs().mean()
    assert float(error) < 0.1 * float(unseen.reward.std())


def test_the_rule_that_ends_episodes_is_learned(fitted, unseen):
    """From examples alone; it is sharp, so only what is close to it may be taken for the other."""
    probability = torch.sigmoid(judged(fitted, unseen)[..., 1]).mean(0)
    ends, guess = unseen.terminated > 0.5, probability > 0.5
    assert 100 < int(ends.sum()) < 1000
    hits = int((ends & guess).sum())
    assert hits / int(guess.sum()) > 0.95
    assert hits / int(ends.sum()) > 0.95
    place = (unseen.following[:, 1] - OFFSET[1]) / UNITS[1]
    assert bool((ends == guess)[(place - GOAL).abs() > 0.2].all())
    # As often as they do: in all, and among those foretold before the state is seen.
    assert float(probability.mean()) == pytest.approx(float(ends.float().mean()), rel=0.1)


def test_what_is_foretold_is_the_elites_average(fitted, unseen):
    found = foretold(fitted, unseen)
    means, _ = said(fitted, unseen)
    error = (means.mean(0) - unseen.following) / (fitted.scale * fitted.change_scale)
    assert torch.allclose(found["error"], error, atol=1e-3)
    spread = (means / (fitted.scale * fitted.change_scale)).numpy().astype(np.float64).std(0)
    unsure = np.sqrt(np.square(spread).mean(-1))
    np.testing.assert_allclose(found["uncertainty"], unsure, rtol=0.01, atol=1e-4)
    assert float((found["reward"] - expected(unseen)[:, 2] / UNITS[2] - 10).abs().mean()) < 0.1


def test_endings_are_foretold_from_states_that_were_drawn(fitted, unseen):
    """From the same states another way: many draws, one at a time."""
    found = endings_foretold(fitted, unseen)
    assert found.shape == (SIZES.elites, len(unseen))
    means, deviations = said(fitted, unseen)
    generator = torch.Generator().manual_seed(9)
    rates = []
    for _ in range(10):
        drawn = means + deviations * torch.randn(means.shape, generator=generator)
        for elite in range(SIZES.elites):
            rows = dataclasses.replace(unseen, following=drawn[elite])
            rates.append(torch.sigmoid(judged(fitted, rows)[elite, :, 1]).mean())
    assert float(found.mean()) == pytest.approx(float(torch.stack(rates).mean()), rel=0.03)
    assert float(found.mean()) == pytest.approx(float(unseen.terminated.mean()), rel=0.1)


def test_units_are_the_datas_own():
    data = linear(300, seed=5)
    data.observation[:, 2] = data.following[:, 2] = 7.0  # never varies
    model = Ensemble(SIZES)
    fit_units(model, data)
    seen, after = data.observation.numpy(), data.following.numpy()
    np.testing.assert_allclose(model.mean, seen.mean(0), rtol=1e-4)
    np.testing.assert_allclose(model.scale[:2], seen.std(0, ddof=1)[:2], rtol=1e-4)
    change = (after - seen) / model.scale.numpy()
    np.testing.assert_allclose(model.change_mean, change.mean(0), atol=1e-4)
    np.testing.assert_allclose(model.change_scale[:2], change.std(0, ddof=1)[:2], rtol=1e-4)
    assert float(model.scale[2]) == float(model.change_scale[2]) == 1.0
    reward = data.reward.numpy()
    np.testing.assert_allclose(model.reward_scale, [reward.mean(), reward.std(ddof=1)], rtol=1e-4)
    assert model.reward_range.tolist() == [reward.min(), reward.max()]


def test_a_trained_model_says_the_same_in_other_units(fitted, unseen):
    """Of the same real moments, in the env's own units."""
    model = copy.deepcopy(fitted)
    other = unseen[unseen.observation[:, 1] > 0.3]
    other.following[:, 0] += 3.0
    other = dataclasses.replace(other, reward=other.reward * 0.1 + 7.0)
    model.reset_log_variance_bounds()
    plain = copy.deepcopy(model)
    fit_units(model, other, keep=True)
    for name in ("mean", "scale", "change_mean", "change_scale", "reward_scale"):
        assert not torch.allclose(getattr(model, name), getattr(plain, name), rtol=0.05)
    for found, own in zip(said(model, unseen), said(plain, unseen), strict=True):
        assert torch.allclose(found / UNITS, own / UNITS, atol=1e-3)
    for one in (model, plain):
        one.reward_range.copy_(torch.tensor([-100.0, 100.0]))
    found, own = judged(model, unseen), judged(plain, unseen)
    assert torch.allclose(found[..., 1], own[..., 1], atol=1e-3)
    assert torch.allclose(model.reward(found), plain.reward(own), atol=1e-3)
    fit_units(plain, other)
    assert not torch.allclose(said(plain, unseen)[0], said(fitted, unseen)[0], atol=0.1)


@pytest.mark.parametrize("ended", [0, 3, 100])
def test_endings_begin_at_the_datas_rate(ended):
    """By Laplace's rule of succession, so that none in a hundred is not never."""
    data = linear(100, seed=6)
    data.terminated[:] = (torch.arange(100) < ended).float()
    model = Ensemble(SIZES)
    begin_endings(model, data)
    with torch.no_grad():
        model.outcome.weights[-1].zero_()
        chance = torch.sigmoid(judged(model, data)[..., 1])
    assert torch.allclose(chance, torch.full_like(chance, (ended + 1) / 102), atol=1e-6)


def test_transitions_are_the_decisions_of_the_episodes():
    rng = np.random.default_rng(0)
    episodes = [
        Episode(
            frames=rng.normal(size=(n + 1, 3)).astype(np.float32),
            actions=rng.integers(0, 4, n),
            rewards=rng.normal(size=n).astype(np.float32),
            terminated=ends,
            truncated=not ends,
            seed=0,
            policy="random",
            real_steps=n,
        )
        for n, ends in ((1, True), (4, False), (3, True))
    ]
    found = Transitions.of(episodes)
    at = 0
    assert len(found) == 8
    for episode in episodes:
        for t in range(len(episode)):
            assert np.array_equal(found.observation[at], episode.frames[t])
            assert np.array_equal(found.following[at], episode.frames[t + 1])
            assert found.action[at] == episode.actions[t]
            assert found.reward[at] == episode.rewards[t]
            assert found.terminated[at] == (episode.terminated and t == len(episode) - 1)
            at += 1
    some = found[torch.tensor([[7, 0], [2, 2]])]
    assert some.observation.shape == (2, 2, 3)
    assert torch.equal(some.reward, found.reward[[7, 0, 2, 2]].view(2, 2))


def untrained(seed: int = 0) -> Ensemble:
    torch.manual_seed(seed)
    model = Ensemble(SIZES)
    fit_units(model, linear(200, seed=7))
    return model


def loss_of(model: Ensemble, data: Transitions, member: int) -> float:
    """Held-out loss of one member, from torch's own pieces."""
    s, following = model.normalised(data.observation), model.normalised(data.following)
    acted = torch.cat([s, data.action], 1)
    mean, log_variance = _alone(model.dynamics, member, acted).chunk(2, 1)
    target = (following - s - model.change_mean) / model.change_scale
    variance = model.bounded(log_variance).exp()
    # gaussian_nll_loss is without the constant, as is what is fitted.
    value = F.gaussian_nll_loss(mean, target, variance)
    reward, logit = _alone(model.outcome, member, torch.cat([acted, following], 1)).unbind(1)
    offset, scale = model.reward_scale
    value += F.mse_loss(reward, (data.reward - offset) / scale)
    return float(value + F.binary_cross_entropy_with_logits(logit, data.terminated))


def _alone(members: torch.nn.Module, index: int, inputs: Tensor) -> Tensor:
    for i, (w, b) in enumerate(zip(members.weights, members.biases, strict=True)):
        inputs = (F.silu(inputs) if i else inputs) @ w[index] + b[index]
    return inputs[:, : members.outputs]


def fit_briefly(model: Ensemble, folder, steps: int, held_out: Transitions | None = None) -> None:
    config = EnsembleConfig(steps=steps, batch=16)
    held_out = linear(100, seed=8) if held_out is None else held_out
    fit_ensemble(
        model, linear(200, seed=7), held_out, config, seed=5, folder=folder, progress=silent
    )


@torch.no_grad()
def test_members_come_in_the_order_of_their_held_out_loss(tmp_path):
    model = untrained()
    held_out = linear(100, seed=8)
    losses = [loss_of(model, held_out, i) for i in range(SIZES.members)]
    before = model.dynamics.weights[0].clone()
    outcome = model.outcome.weights[0].clone()
    with torch.enable_grad():
        fit_briefly(model, tmp_path, steps=0, held_out=held_out)
    order = np.argsort(losses)
    assert order.tolist() != [0, 1, 2, 3], "already in order: the test says nothing"
    assert torch.equal(model.dynamics.weights[0], before[order])
    assert torch.equal(model.outcome.weights[0], outcome[order])


def test_each_member_keeps_the_weights_that_were_best_on_held_out_data(tmp_path, monkeypatch):
    """Four transitions are learned by heart, and what is held out is ever less like them."""
    model = untrained()
    losses, weights = [], []
    errors = training._errors

    def watched(model: Ensemble, held_out: Transitions) -> Tensor:
        with torch.no_grad():
            losses.append([loss_of(model, held_out, i) for i in range(SIZES.members)])
            weights.append(model.dynamics.weights[0].detach().clone())
        return errors(model, held_out)

    monkeypatch.setattr(training, "_errors", watched)
    config = EnsembleConfig(steps=120, batch=16, learning_rate=0.02)
    fit_ensemble(
        model, linear(4, seed=9), linear(50, seed=8), config,
        seed=5, folder=tmp_path, progress=silent,
    )  # fmt: skip
    assert len(losses) == 30
    best = np.argmin(losses, axis=0)
    assert (best < 29).any(), "the last were the best: the test says nothing"
    kept = [weights[best[i]][i] for i in range(SIZES.members)]
    order = np.argsort(np.min(losses, axis=0))
    assert torch.equal(model.dynamics.weights[0], torch.stack([kept[i] for i in order]))


def test_each_member_sees_a_bootstrap_sample_of_its_own(tmp_path, monkeypatch):
    """As many draws as there are transitions, with repeats: 63% of them, each other ones."""
    seen: list[set[float]] = [set() for _ in range(SIZES.members)]
    objective = training._objective

    def watched(model: Ensemble, rows: Transitions, config: EnsembleConfig):
        for found, rewards in zip(seen, rows.reward.tolist(), strict=True):
            found.update(rewards)
        return objective(model, rows, config)

    monkeypatch.setattr(training, "_objective", watched)
    fit_briefly(untrained(), tmp_path, steps=200)
    for found in seen:
        # 200 · (1 - 1/e), five standard deviations either side; all but a few are drawn in 200.
        assert abs(len(found) - 126) < 28
    assert len({frozenset(found) for found in seen}) == SIZES.members


class Killed(Exception):
    """Stands for a kill between two checkpoints."""


def test_killed_twice_it_ends_where_an_uninterrupted_run_does(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "FitConfig", functools.partial(FitConfig, checkpoint_seconds=0.0))
    whole = untrained()
    begun = copy.deepcopy(whole.state_dict())
    fit_briefly(whole, tmp_path / "whole", steps=70)
    objective = training._objective
    for at in (31, 20):  # beyond a look at what is held out, then (gone on from there) again
        left = [at]

        def killed(*args, left=left):
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            return objective(*args)

        with monkeypatch.context() as patch:
            patch.setattr(training, "_objective", killed)
            with pytest.raises(Killed):
                fit_briefly(untrained(), tmp_path / "killed", steps=70)
    assert load_checkpoint(tmp_path / "killed" / "ensemble.pt")["step"] == 49
    resumed = untrained(seed=1)  # what it was begun with does not matter any more
    fit_briefly(resumed, tmp_path / "killed", steps=70)
    ends = whole.state_dict()
    assert all(torch.equal(ends[name], value) for name, value in resumed.state_dict().items())
    assert not torch.equal(ends["dynamics.weights.0"], begun["dynamics.weights.0"])
