"""Collections by a budget of real frames."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest

from dreamenv.config import ActionRepeat, RealSpec
from dreamenv.data.collect import CollectConfig, collect
from dreamenv.data.rollouts import Rollouts
from dreamenv.errors import DataError
from dreamenv.real_specs import load_real_spec


def config(out, **more) -> CollectConfig:
    settings = {"real": load_real_spec("CartPole-v1"), "out": out, "episodes": 200, "hold": 1}
    return CollectConfig(**(settings | more))


def test_the_budget_is_used_up_to_the_frame(tmp_path):
    rollouts = collect(config(tmp_path / "data", real_steps=100))
    assert rollouts.real_steps == sum(map(len, rollouts.episodes)) == 100
    assert rollouts.complete
    assert len(rollouts.episodes) > 1
    assert all(e.terminated for e in rollouts.episodes[:-1])


def test_episodes_are_those_of_a_collection_without_a_budget(tmp_path):
    cut = collect(config(tmp_path / "cut", real_steps=90)).episodes
    whole = collect(config(tmp_path / "whole", episodes=len(cut))).episodes
    for a, b in zip(cut, whole, strict=True):
        assert np.array_equal(a.frames, b.frames[: len(a) + 1])
        assert np.array_equal(a.actions, b.actions[: len(a)])
    assert [len(a) for a in cut[:-1]] == [len(b) for b in whole[:-1]]


def test_killed_it_goes_on_where_it_was(tmp_path):
    whole = collect(config(tmp_path / "whole", real_steps=120))
    half = tmp_path / "half"
    shutil.copytree(tmp_path / "whole", half)
    for shard in sorted(half.glob("shard-*"))[2:]:
        shutil.rmtree(shard)
    assert not Rollouts.open(half).complete
    again = collect(config(half, real_steps=120))
    assert again.complete
    for a, b in zip(again.episodes, whole.episodes, strict=True):
        assert np.array_equal(a.frames, b.frames)


def test_at_most_so_many_episodes(tmp_path):
    rollouts = collect(config(tmp_path / "data", episodes=2, real_steps=10_000))
    assert len(rollouts.episodes) == 2
    assert rollouts.complete


def test_another_budget_is_another_collection(tmp_path):
    first = config(tmp_path / "data", real_steps=50)
    collect(first)
    with pytest.raises(DataError, match="real_steps"):
        collect(dataclasses.replace(first, real_steps=60))


def test_no_budget_of_nothing(tmp_path):
    with pytest.raises(ValueError, match="real_steps: expected at least 1"):
        config(tmp_path, real_steps=0)


def test_decisions_of_several_frames_never_exceed_it(tmp_path):
    real = RealSpec(env_id="CartPole-v1", preprocessing=[ActionRepeat(times=4)])
    for budget in (41, 42, 43, 44):
        rollouts = collect(config(tmp_path / str(budget), real=real, real_steps=budget))
        assert budget - 4 < rollouts.real_steps <= budget
        assert rollouts.complete
        assert collect(config(tmp_path / str(budget), real=real, real_steps=budget)).complete
    with pytest.raises(ValueError, match="real_steps: expected at least the 4 frames of a dec"):
        config(tmp_path, real=real, real_steps=3)
