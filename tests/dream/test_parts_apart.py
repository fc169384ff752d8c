"""What parts of one dream may not do to one another, and what they cost together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from dreamenv_client import Lanes
from dreamenv_client.lanes import LaneSnapshot

from dreamenv.dream import Dream, noise
from dreamenv.dream.part import Part
from dreamenv.dream.together import step_together

CANARY = 1234.5


def still(lanes: int) -> np.ndarray:
    return np.zeros((lanes, 3), np.float32)


@pytest.fixture
def table(small) -> Dream:
    return Dream(small, 12, termination="none")


@pytest.fixture
def parts(table) -> list[Part]:
    """Of lanes 3, 8 and 1 (begun), and of lane 5 (not)."""
    parts = [table.part([3, 8, 1]), table.part([5])]
    parts[0].reset(seeds=[0, 1, 2])
    return parts


def test_a_part_is_lanes(parts):
    lanes: Lanes = parts[0]
    assert lanes.num_lanes == 3
    assert lanes.observation_space.contains(lanes.reset().observation[0])


def kept(dream: Dream) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in dream.snapshot().arrays.items()}


def of_another(part: Part, small: Any) -> Part:
    other = Dream(small, 3).part([0, 1, 2])
    other.reset(seeds=[0, 1, 2])
    return other


REFUSED: dict[str, tuple[type[Exception], str, Callable[[Dream, Part, Part, Any], Any]]] = {
    "no number": (
        ValueError,
        r"lane 1: action\[2\] is nan",
        lambda d, a, b, s: a.check(np.float32([[0, 0, 0], [0, 0, np.nan], [0, 0, 0]])),
    ),
    "out of bounds": (
        ValueError,
        r"lane 0: action\[0\] is 1.5",
        lambda d, a, b, s: b.step(np.float32([[1.5, 0, 0]]), np.zeros(1, bool)),
    ),
    "too many actions": (ValueError, "shape", lambda d, a, b, s: a.check(still(12))),
    "a list for a mask": (ValueError, "mask", lambda d, a, b, s: a.check(still(3), [True] * 3)),
    "another's lane": (ValueError, "0 to 2", lambda d, a, b, s: a.set_knobs([5], horizon=1)),
    "a negative lane": (ValueError, "0 to 2", lambda d, a, b, s: a.snapshot([-1])),
    "too few seeds": (
        ValueError,
        "seeds",
        lambda d, a, b, s: a.step(still(3), np.ones(3, bool), [1]),
    ),
    "a bad start": (
        ValueError,
        "start reaches",
        lambda d, a, b, s: a.step(still(3), np.ones(3, bool), None, {"start": 40}),
    ),
    "a lane never reset": (RuntimeError, r"lanes \[0\] were", lambda d, a, b, s: b.step(still(1))),
    "one of two never reset": (
        RuntimeError,
        r"lanes \[0\] were",
        lambda d, a, b, s: step_together([a.check(still(3)), b.check(still(1))]),
    ),
    "one part twice": (
        ValueError,
        "once",
        lambda d, a, b, s: step_together([a.check(still(3)), a.check(still(3))]),
    ),
    "a part and the whole": (
        ValueError,
        "once",
        lambda d, a, b, s: step_together(
            [a.check(still(3)), d.check(still(12), np.ones(12, bool))]
        ),
    ),
    "another dream's part": (
        ValueError,
        "different dreams",
        lambda d, a, b, s: step_together([a.check(still(3)), of_another(a, s).check(still(3))]),
    ),
    "a copy of another dream's": (
        ValueError,
        "another dream",
        lambda d, a, b, s: a.copy(of_another(a, s), [0, 1, 2]),
    ),
    "a copy of too few": (ValueError, "3 target", lambda d, a, b, s: a.copy(b, [0])),
    "a copy of what never began": (
        RuntimeError,
        "never reset",
        lambda d, a, b, s: a.copy(b, [0, 0, 0]),
    ),
    "taken lanes": (ValueError, r"lanes \[8, 5\] belong", lambda d, a, b, s: d.part([0, 8, 5])),
    "no lanes": (ValueError, "no lanes", lambda d, a, b, s: d.part([])),
    "a lane twice": (ValueError, "once", lambda d, a, b, s: d.part([0, 0])),
    "lanes there are not": (ValueError, "0 to 11", lambda d, a, b, s: d.part([12])),
    "starts there are not": (ValueError, "starts", lambda d, a, b, s: d.part([0], starts="x")),
    "half a snapshot": (
        ValueError,
        r"expected int64 \(3,\)",
        lambda d, a, b, s: a.restore(a.snapshot([0])),
    ),
}


@pytest.mark.parametrize("case", list(REFUSED))
def test_what_is_refused_changes_nothing(case, table, parts, small):
    error, message, call = REFUSED[case]
    before = kept(table)
    with pytest.raises(error, match=message):
        call(table, *parts, small)
    assert kept(table) == before
    assert not table.table.taken[0]
    assert (parts[0].step(still(3)).reward != 0).all()


def test_a_turn_that_has_gone_stale_is_refused_with_those_beside_it(table, parts):
    """Its part was called between the check and the step."""
    first, second = parts
    second.reset(seeds=[3])
    turns = [first.check(still(3)), second.check(still(1))]
    second.set_knobs(horizon=1)
    assert second.step(still(1)).truncated.all()
    before = kept(table)
    with pytest.raises(RuntimeError, match=r"the episode is over in lanes \[0\]"):
        step_together(turns)
    assert kept(table) == before
    second.close()
    with pytest.raises(RuntimeError, match="closed"):
        step_together(turns)
    with pytest.raises(RuntimeError, match="closed"):
        second.set_knobs(horizon=3)
    assert kept(table)["horizon"] == np.full(12, 60).tobytes()


def test_checking_changes_nothing(table, parts):
    before = kept(table)
    parts[0].check(still(3), np.array([True, False, True]), [5, None, 6], {"start": 3})
    parts[1].check(still(1), np.ones(1, bool))
    assert kept(table) == before
    assert step_together([]) == []


def test_nothing_of_an_owner_is_left_to_the_next(table, small):
    """A value that no model would dream stands in every array that an owner can write to."""
    blank = kept(Dream(small, 12, termination="none"))
    owner, beside = table.part([2, 7, 4], starts="any"), table.part([0])
    beside.reset(seeds=[0])
    owner.reset(seeds=[0, 1, 2])
    owner.set_knobs(temperature=[0.1, 99.0], termination="threshold", horizon=7)
    arrays = owner.snapshot().arrays
    marked = {
        n: np.full_like(a, CANARY) if n.startswith("state.") else a for n, a in arrays.items()
    }
    owner.restore(LaneSnapshot(owner.identity, marked))
    assert (table.snapshot().arrays["state.z"] == CANARY).any()
    step_together([beside.check(still(1)), owner.check(still(3))])
    owner.restore(LaneSnapshot(owner.identity, marked))
    owner.step(still(3))
    owner.restore(LaneSnapshot(owner.identity, marked))
    owner.close()
    owner.close()
    beside.close()
    assert kept(table) == blank

    following, expected = table.part([7, 2]), Dream(small, 2)
    assert following.reset(seeds=[5, 6]).observation.tobytes() == (
        expected.reset(seeds=[5, 6]).observation.tobytes()
    )
    assert CANARY not in following.step(still(2)).observation
    with pytest.raises(RuntimeError, match="closed"):
        owner.step(still(3))


def test_closing_the_dream_closes_its_parts(table, parts):
    table.close()
    for call in (lambda: parts[0].step(still(3)), lambda: parts[0].snapshot(), parts[0].reset):
        with pytest.raises(RuntimeError, match="closed"):
            call()
    parts[0].close()


def test_what_was_shown_is_not_written_to(table, parts):
    shown = [parts[0].step(still(3))]
    parts[1].reset(seeds=[9])
    copies = [(s.observation.copy(), s.reward.copy()) for s in shown]
    for _ in range(5):
        shown += step_together([part.check(still(part.num_lanes)) for part in reversed(parts)])
        copies = copies + [(s.observation.copy(), s.reward.copy()) for s in shown[len(copies) :]]
    parts[0].close()
    for step, (observation, reward) in zip(shown, copies, strict=True):
        np.testing.assert_array_equal(step.observation, observation)
        np.testing.assert_array_equal(step.reward, reward)


@pytest.fixture
def draws(monkeypatch) -> Iterator[list[int]]:
    """Lanes of each draw of steps."""
    made: list[int] = []
    draw = noise.draw_steps

    def counted(shape, seed, episode, first, steps):
        made.append(len(seed))
        return draw(shape, seed, episode, first, steps)

    monkeypatch.setattr(noise, "draw_steps", counted)
    return made


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_draws_are_shared_by_owners_who_step_at_different_times(small, draws, share):
    dream = Dream(small, 100, termination="none", horizon=10_000)
    rng = np.random.default_rng(0)
    parts = [dream.part([lane]) for lane in rng.permutation(100)[:64]]
    for part in parts:
        part.reset(seeds=[part.lanes[0]])
    batches = 1000
    for _ in range(batches):
        step_together([part.check(still(1)) for part in parts if rng.random() < share])
    # A lane uses up half of a block in so many batches.
    assert len(draws) <= 2 + batches * share / (noise.LONGEST_BLOCK / 2)
