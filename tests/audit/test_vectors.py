"""Audits of dreams whose observations are vectors: measured in their own units, and no pictures."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from dreamenv.audit import audit
from dreamenv.audit.episodes import open_held_out
from dreamenv.audit.filtered import filter_episodes, squared_error, units
from dreamenv.audit.open_loop import dream_windows, summarise, windows
from dreamenv.data.collect import CollectConfig, collect
from dreamenv.data.rollouts import Episode
from dreamenv.data.shards import shard_folder
from dreamenv.errors import DataError
from dreamenv.models.world_model import Imagined, Noise, NoiseShape, ObservationKind, State
from dreamenv.packages import load_config
from dreamenv.real_specs import load_real_spec

SCALES = np.array([1.0, 1e3, 1e-2])
"""Of a walk's three numbers: errors must not be those of the largest."""


def walk(rng: np.random.Generator, steps: int = 30) -> Episode:
    """Steps of known size in each number; nothing to do about them."""
    moved = rng.standard_normal((steps + 1, 3)).cumsum(axis=0) * SCALES
    return Episode(
        frames=moved.astype(np.float32),
        actions=np.zeros((steps, 1), np.float32),
        rewards=np.zeros(steps, np.float32),
        terminated=False,
        truncated=True,
        seed=0,
        policy="random",
        real_steps=steps,
    )


class Off:
    """Believes that nothing moves, and sees everything off by so much."""

    noise = NoiseShape(uniform=0, normal=0)
    features = latent = 3
    device = torch.device("cpu")

    def __init__(self, off: np.ndarray) -> None:
        self._off = torch.from_numpy(off.astype(np.float32))

    def begin(self, start: Mapping[str, Tensor], noise: Tensor | None = None) -> State:
        return {"x": start["observation"]}

    def posterior(
        self, state: State, action: Tensor, observation: Tensor, noise: Noise | None = None
    ) -> State:
        return {"x": observation}

    def step(self, state: State, action: Tensor, temperature: Tensor, noise: Noise) -> Imagined:
        nothing = torch.zeros(len(action))
        return Imagined(state, reward=nothing, termination_logit=nothing)

    def observe(self, state: State, kind: ObservationKind) -> Tensor:
        return state["x"] + self._off if kind == "pixels" else state["x"]

    def state_dict(self) -> dict[str, Tensor]:
        return {}


def test_guessing_the_mean_errs_by_one():
    rng = np.random.default_rng(0)
    episodes = [walk(rng) for _ in range(20)]
    seen = np.concatenate([e.frames for e in episodes])
    error = squared_error(np.broadcast_to(seen.mean(axis=0), seen.shape), seen, units(episodes))
    assert error.mean() == pytest.approx(1.0, rel=1e-4)


def test_what_never_varies_is_measured_as_it_is():
    still = replace(walk(np.random.default_rng(0)), frames=np.float32([[0.1, 7.0]] * 5))
    assert units([still, still]).tolist() == [1.0, 1.0]


def test_a_model_that_is_off_by_a_deviation_errs_by_its_square():
    """Closed forms: a reconstruction off by half a deviation in each number errs by 1/4; a state
    held still errs by the square of what was walked, in those units, beside that."""
    rng = np.random.default_rng(1)
    episodes = [walk(rng) for _ in range(12)]
    unit = units(episodes).astype(float)
    model = Off(unit / 2)
    chosen = windows(episodes, 10, 1)
    keep = [[w.start for w in chosen if w.episode == i] for i in range(12)]
    filtered = filter_episodes(model, episodes, keep=keep, samples=1)
    for one in filtered:
        assert one.reconstruction_error == pytest.approx(0.25, rel=1e-3)
    drift = dream_windows(model, filtered, chosen, horizon=10, samples=2)
    for row, window in enumerate(drift.windows):
        frames = episodes[window.episode].frames.astype(float)
        held = frames[window.start] + unit / 2
        ahead = frames[window.start + 1 : window.start + 11]
        expected = np.square((held - ahead) / unit).mean(axis=1)
        for name in ("mean", "mode", "constant"):
            assert drift.errors["pixels", name][row] == pytest.approx(expected, rel=1e-3)
    found = summarise(drift, filtered, seed=0)
    assert not found.frames
    assert found.reconstruction == pytest.approx(0.25, rel=1e-3)


@pytest.fixture(scope="module")
def audited(pendulum_package, tmp_path_factory):
    out = tmp_path_factory.mktemp("audited") / "audit"
    return audit(pendulum_package, out=out, episodes=2, quick=True, seed=1), out


def test_a_whole_audit_shows_no_pictures_and_speaks_of_none(audited):
    report, out = audited
    figures = ["open_loop", "parting", "returns", "reward"]
    assert {p.name for p in out.iterdir()} == {
        "audit.json",
        "index.html",
        *(f"{name}.png" for name in figures),
    }
    page = (out / "index.html").read_text()
    words = re.sub(r"<style>.*</style>|<img[^>]*>", "", page, flags=re.DOTALL).lower()
    for word in ("pixel", "frame", "picture", "film"):
        assert word not in words, word
    assert "observation: mean" in words
    found = json.loads((out / "audit.json").read_text())["findings"]["open_loop"]
    assert found["frames"] is False
    # The model decodes what it normalised, but for rounding.
    assert found["reconstruction"] < 1e-9
    assert report.real_steps.random == 400


def test_data_of_another_dtype_are_refused(pendulum_package, tmp_path):
    spec = load_real_spec("Pendulum-v1")
    collect(CollectConfig(spec, tmp_path / "data", episodes=2, max_decisions=3))
    config = load_config(pendulum_package)
    assert len(open_held_out(tmp_path / "data", config)) == 2
    path = tmp_path / "data" / "manifest.json"
    path.write_text(path.read_text().replace('"float32"', '"uint8"'))
    frames = shard_folder(tmp_path / "data", 0) / "frames.npy"
    np.save(frames, np.load(frames).astype(np.uint8))
    with pytest.raises(DataError, match="observation_dtype: expected float32 as in the package"):
        open_held_out(tmp_path / "data", config)
