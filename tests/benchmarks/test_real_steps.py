"""What counts as reaching a score, and of whom."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from real_steps import Task, first_at, summary


def points(*means):
    return [
        {"real_steps": 10 * n, "real_return": {"mean": m}} for n, m in enumerate(means, start=1)
    ]


@given(st.lists(st.sampled_from([0.0, 1.0]), max_size=8))
def test_a_score_counts_from_the_first_of_two_in_a_row(means):
    pair = "".join("x" if m else "." for m in means).find("xx")
    assert first_at(points(*means), 1.0) == (None if pair < 0 else 10 * (pair + 1))


def test_a_last_point_alone_is_no_score_of_either(tmp_path):
    task = Task("Env-v0", 1.0, 100, 100)
    for seed, means in enumerate([(0, 1), (1, 1), (1, 1)]):
        folder = tmp_path / "Env-v0" / f"seed-{seed}"
        folder.mkdir(parents=True)
        (folder / "curve.json").write_text(json.dumps(points(*means)))
        told = {"algo": "sac", "points": points(*means)}
        (folder / "control.json").write_text(json.dumps(told))
    found = summary(task, tmp_path, [0, 1, 2])
    assert found["loop_steps"] == found["control_steps"] == [10, 10, None]


@pytest.mark.parametrize("missing", ["curve.json", "control.json"])
def test_a_seed_that_was_not_run_is_not_passed_over(tmp_path, missing):
    task = Task("Env-v0", 1.0, 100, 100)
    for seed in (0, 1):
        folder = tmp_path / "Env-v0" / f"seed-{seed}"
        folder.mkdir(parents=True)
        (folder / "curve.json").write_text(json.dumps(points(1, 1)))
        (folder / "control.json").write_text(json.dumps({"algo": "sac", "points": points(1, 1)}))
    (folder / missing).unlink()
    with pytest.raises(SystemExit, match=f"seed-1/{missing}: expected the .* of seed 1"):
        summary(task, tmp_path, [0, 1])
