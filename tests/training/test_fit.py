"""Fitting: a killed run ends bitwise where an uninterrupted one does."""

from __future__ import annotations

import copy
import functools
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from dreamenv.data.shards import Episode
from dreamenv.models.mdnrnn import MDNRNN, MDNRNNSizes
from dreamenv.progress import silent
from dreamenv.training import mdnrnn, vae
from dreamenv.training.checkpoint import load_checkpoint, save_checkpoint
from dreamenv.training.fit import FitConfig, fit
from dreamenv.training.mdnrnn import RNNConfig, fit_mdnrnn
from dreamenv.training.sequences import RealSequence, Windows
from dreamenv.training.vae import VAEConfig, fit_vae

SIZES = MDNRNNSizes(
    height=16, width=16, vae_base=2, latent=3, hidden=5, mixtures=2, action=1, head=4,
    reward_bins=5, dropout=0.2,
)  # fmt: skip


class Killed(Exception):
    """Stands for a kill between two checkpoints."""


@pytest.fixture(autouse=True)
def _a_checkpoint_every_step(monkeypatch):
    for module in (mdnrnn, vae):
        eager = functools.partial(FitConfig, checkpoint_seconds=0.0)
        monkeypatch.setattr(module, "FitConfig", eager)


def kill_at_call(monkeypatch, owner: object, name: str, count: int) -> None:
    """Raise at the ``count``-th call."""
    call, left = getattr(owner, name), [count]

    def wrapped(*args, **kwargs):
        left[0] -= 1
        if left[0] == 0:
            raise Killed
        return call(*args, **kwargs)

    monkeypatch.setattr(owner, name, wrapped)


def same(one: object, other: object) -> bool:
    """Whether nested dicts and lists of tensors and numbers are bitwise equal."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def model_of(seed: int) -> MDNRNN:
    torch.manual_seed(seed)
    return MDNRNN(SIZES)


def some_sequences() -> list[RealSequence]:
    generator = torch.Generator().manual_seed(0)
    return [
        RealSequence(
            torch.randn(n + 1, 3, generator=generator),
            torch.full((n + 1, 3), -2.0),
            torch.rand(n, 1, generator=generator),
            torch.rand(n, generator=generator),
            n % 2 == 0,
        )
        for n in (3, 7, 11, 20)
    ]


def some_episodes() -> list[Episode]:
    rng = np.random.default_rng(0)
    return [
        Episode(
            frames=rng.integers(0, 256, (n + 1, 16, 16, 3), np.uint8),
            actions=np.zeros((n, 1), np.float32),
            rewards=np.zeros(n, np.float32),
            terminated=False,
            truncated=True,
            seed=0,
            policy="random",
            real_steps=n,
        )
        for n in (2, 5)
    ]


def fit_memory(model: MDNRNN, folder: Path) -> None:
    config = RNNConfig(steps=14, batch=4, length=3)
    fit_mdnrnn(model, some_sequences(), config, seed=5, folder=folder, progress=silent)


def fit_eye(model: MDNRNN, folder: Path) -> None:
    config = VAEConfig(steps=14, batch=4)
    fit_vae(model.vae, some_episodes(), config, seed=5, folder=folder, progress=silent)


@pytest.mark.parametrize(
    ("run", "stage", "killed_in"),
    [(fit_memory, "mdnrnn", (Windows, "draw")), (fit_eye, "vae", (vae, "_gather"))],
)
def test_killed_twice_it_ends_where_an_uninterrupted_run_does(
    tmp_path, monkeypatch, run, stage, killed_in
):
    whole = model_of(0)
    untrained = copy.deepcopy(whole.state_dict())
    run(whole, tmp_path / "whole")
    for at in (6, 4):  # in step 5, then (gone on from there) in step 8
        with monkeypatch.context() as patch:
            kill_at_call(patch, *killed_in, at)
            with pytest.raises(Killed):
                run(model_of(0), tmp_path / "killed")
    left = load_checkpoint(tmp_path / "killed" / f"{stage}.pt")
    assert left["step"] == 8
    resumed = model_of(1)  # what it was begun with does not matter any more
    run(resumed, tmp_path / "killed")
    trained = whole.state_dict() if stage == "mdnrnn" else whole.vae.state_dict()
    found = resumed.state_dict() if stage == "mdnrnn" else resumed.vae.state_dict()
    assert same(dict(trained), dict(found))
    assert not same(dict(whole.state_dict()), dict(untrained))
    ends = [load_checkpoint(tmp_path / run / f"{stage}.pt") for run in ("whole", "killed")]
    assert same(*ends)  # optimiser, LSTM state carried on, and where the windows stand, too
    assert ends[0]["step"] == 14
    if stage == "mdnrnn":
        assert set(ends[0]["extra"]) == {"h", "c", "episode", "position"}
        assert ends[0]["extra"]["h"].abs().sum() > 0
        assert bool((ends[0]["extra"]["position"] > 0).all())


def test_the_vae_is_left_alone_by_the_mdnrnn(tmp_path):
    model = model_of(0)
    before = copy.deepcopy(model.vae.state_dict())
    fit_memory(model, tmp_path)
    assert same(dict(before), dict(model.vae.state_dict()))


def test_a_finished_run_is_not_run_again(tmp_path, monkeypatch):
    model = model_of(0)
    fit_memory(model, tmp_path)
    monkeypatch.setattr(Windows, "draw", None)
    again = model_of(1)
    fit_memory(again, tmp_path)
    assert same(dict(model.state_dict()), dict(again.state_dict()))
    assert not again.training


class Recorded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([3.0, -2.0]))


def test_rate_gradient_and_draws_of_each_step(tmp_path, monkeypatch):
    """The rate falls as torch's own cosine schedule does; gradients are cut; each draws anew."""
    config = FitConfig(steps=9, learning_rate=0.1, final_learning_rate=0.02, clip=0.5, seed=7)
    model, rates, norms, draws, shown = Recorded(), [], [], [], []
    step = torch.optim.Adam.step

    def recorded(optimiser, *args, **kwargs):
        rates.append(optimiser.param_groups[0]["lr"])
        norms.append(float(model.weight.grad.norm()))
        return step(optimiser, *args, **kwargs)

    def loss(number, generator):
        draws.append((number, float(torch.rand((), generator=generator))))
        scale = 100.0 if number < 5 else 0.01
        return scale * model.weight.square().sum(), {"figure": 1.0}

    monkeypatch.setattr(torch.optim.Adam, "step", recorded)
    fit("some", model, [model.weight], loss, config, tmp_path, lambda *call: shown.append(call))
    oracle = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(oracle, T_max=8, eta_min=0.02)
    expected = []
    for _ in range(9):
        expected.append(oracle.param_groups[0]["lr"])
        oracle.step()
        schedule.step()
    assert rates == pytest.approx(expected, abs=1e-7)
    assert norms[:5] == pytest.approx([0.5] * 5, rel=1e-4)
    assert max(norms[5:]) < 0.5
    assert [number for number, _ in draws] == list(range(9))
    assert len({value for _, value in draws}) == 9
    assert [(stage, done, total) for stage, done, total, _ in shown] == [
        ("some", 1, 9),
        ("some", 9, 9),
    ]
    assert shown[-1][3]["figure"] == 1.0
    assert shown[-1][3]["steps/s"] > 0
    assert list((tmp_path / "tensorboard" / "some").glob("events.out.tfevents.*"))
    # Another seed draws otherwise, the same seed the same.
    first = list(draws)
    for seed, equal in ((7, True), (8, False)):
        draws.clear()
        other = FitConfig(steps=9, seed=seed)
        fit("some", Recorded(), [model.weight], loss, other, tmp_path / str(seed), silent)
        assert (draws == first) is equal


def test_a_checkpoint_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "new" / "run.pt"
    save_checkpoint(path, {"step": 1, "model": {"w": torch.ones(3)}})

    def fails(state, file):
        file.write(b"PK\x03\x04 half a file")
        raise Killed

    monkeypatch.setattr(torch, "save", fails)
    with pytest.raises(Killed):
        save_checkpoint(path, {"step": 2, "model": {"w": torch.zeros(3)}})
    kept = load_checkpoint(path)
    assert kept["step"] == 1
    assert torch.equal(kept["model"]["w"], torch.ones(3))


def test_no_checkpoint_is_none(tmp_path):
    assert load_checkpoint(tmp_path / "run.pt") is None


class Hostile:
    def __reduce__(self):
        return os.system, ("touch was-run",)


def plain_pickle(value: object, path: Path) -> None:
    path.write_bytes(pickle.dumps(value, protocol=2))


@pytest.mark.parametrize("write", [torch.save, plain_pickle])
def test_a_checkpoint_runs_no_code(tmp_path, monkeypatch, write):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "run.pt"
    write({"step": Hostile()}, path)
    with pytest.raises(pickle.UnpicklingError):
        load_checkpoint(path)
    assert not (tmp_path / "was-run").exists()
