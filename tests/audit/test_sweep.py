"""A sweep of a knob: what is learnt where, what is kept, and what is said of it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats

from dreamenv import trial as trial_module
from dreamenv.audit.sweep import SweepConfig, parse_sweep, pooled, sweep
from dreamenv.audit.sweep_page import table
from dreamenv.errors import DataError
from dreamenv.evaluate import Evaluation
from dreamenv.learn import Learned


def evaluation(on, returns):
    returns = [float(r) for r in returns]
    value = float(np.mean(returns))
    shape = dict(low=value - 1, high=value + 1, std=float(np.std(returns)), lengths=[1], seeds=[0])
    return Evaluation(on=on, mean=value, returns=returns, real_steps=0, seconds=0.0, **shape)


@pytest.fixture
def played(monkeypatch):
    """Learning and playing replaced: the dream pays 2000 at temperature 0.1, reality 200."""
    calls = []

    def learn(dream, *, out, seed, knobs, **rest):
        calls.append(("learn", seed, dict(knobs)))
        out.write_bytes(b"policy")
        return Learned(out, 1, 1.0)

    def play(policy, dream, *, on, episodes, seed, knobs=None, **rest):
        calls.append((on, seed, dict(knobs or {})))
        rng = np.random.default_rng(seed)
        if policy == "random":
            return evaluation(on, 200 + 50 * rng.standard_normal(episodes))
        folder = policy.parent.parent.name
        cold = folder == "temperature-0.1"
        level = {"dream": 2000 if cold else 900, "real": 210 if cold else 880}[on]
        return evaluation(on, level + 50 * rng.standard_normal(episodes))

    monkeypatch.setattr(trial_module, "learn", learn)
    monkeypatch.setattr(trial_module, "evaluate", play)
    return calls


def config(dream, **changes):
    own = dict(dream=str(dream), knob="temperature", values=(0.1, 1.0), seeds=2, episodes=30)
    return SweepConfig(**own | changes)


def swept(sweep_config, out):
    """In this process: what stands in for learning and playing is only there."""
    return sweep(sweep_config, out, workers=1)


def test_the_exploited_value_is_named_and_the_honest_one_not(tiny_package, tmp_path, played):
    found = sweep(
        config(tiny_package, knobs={"termination": "sample"}), tmp_path / "out", workers=1
    )
    cold, warm = found.points
    assert cold.word == "exploited"
    assert "real says 20" in cold.sentence
    assert warm.word == "honest"
    assert found.best is warm
    learnt = [call[1:] for call in played if call[0] == "learn"]
    assert learnt == [
        (seed, {"termination": "sample", "temperature": t}) for t in (0.1, 1.0) for seed in (0, 1)
    ]
    # Scored at the temperature learnt in, the real env at none; the same episodes at all points.
    dreamt = [call[1:] for call in played if call[0] == "dream"]
    assert dreamt == learnt
    assert [call[1:] for call in played if call[0] == "real"][1:] == [(0, {}), (1, {})] * 2
    rows = table(found).splitlines()
    assert rows[2].startswith("| 0.1 | 19")
    assert rows[2].endswith("| exploited |")
    assert (tmp_path / "out" / "sweep.md").read_text() == table(found)
    assert (tmp_path / "out" / "sweep.png").read_bytes()[1:4] == b"PNG"
    kept = json.loads((tmp_path / "out" / "sweep.json").read_text())
    assert [p["value"] for p in kept["points"]] == [0.1, 1.0]
    assert kept["points"][0]["seeds"][1]["real"] == pytest.approx(210, abs=60)


def test_what_is_done_is_not_done_again(tiny_package, tmp_path, played):
    first = swept(config(tiny_package), tmp_path / "out")
    played.clear()
    more = swept(config(tiny_package, values=(0.1, 1.0, (0.5, 1.5)), seeds=2), tmp_path / "out")
    # One new value, two policies, learnt and scored on both sides; no random one is played.
    assert sorted(call[0] for call in played) == [
        "dream",
        "dream",
        "learn",
        "learn",
        "real",
        "real",
    ]
    assert {call[2].get("temperature", 0)[0] for call in played if call[0] == "learn"} == {0.5}
    assert [p.real for p in more.points[:2]] == [p.real for p in first.points]
    played.clear()
    # Other episodes are played anew by the same policies.
    swept(config(tiny_package, episodes=31), tmp_path / "out")
    assert not [call for call in played if call[0] == "learn"]
    assert len([call for call in played if call[0] == "dream"]) == 4
    with pytest.raises(DataError, match="timesteps differs"):
        swept(config(tiny_package, timesteps=5), tmp_path / "out")
    with pytest.raises(ValueError, match="temperature: expected it swept or set"):
        swept(config(tiny_package, knobs={"temperature": 1.0}), tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("temperature", "expected KNOB=VALUE"),
        ("colour=1", "one of temperature, termination"),
        ("temperature=", "expected KNOB=VALUE"),
        ("temperature=hot", "expected a number"),
        ("temperature=-1", "temperature is -1"),
        ("temperature=1:0.5", r"\[low, high\]"),
        ("temperature=1,1.0", "different values"),
        ("termination=often", 'one of "sample"'),
        ("starts=last", 'expected "first" or "any"'),
        ("horizon=1.5", "a whole number"),
    ],
)
def test_what_cannot_be_swept_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        parse_sweep(text)


def test_values_by_knob():
    assert parse_sweep("termination=sample,none") == ("termination", ("sample", "none"))
    assert parse_sweep("horizon=100,50") == ("horizon", (100, 50))
    assert parse_sweep("starts=any")[1] == ("any",)


def test_pooled_intervals_see_both_seeds_and_episodes():
    rng = np.random.default_rng(0)
    one = [rng.standard_normal(400)]
    low, high = stats.t.interval(0.95, 399, one[0].mean(), stats.sem(one[0]))
    found = pooled(one)
    assert found.value == pytest.approx(one[0].mean())
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.02)
    # Seeds far apart widen it far beyond what their episodes alone would say.
    apart = pooled([rng.standard_normal(400) + 10 * i for i in range(3)])
    assert apart.high - apart.low > 10
