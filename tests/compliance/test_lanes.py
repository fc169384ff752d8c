"""Reset and Step: what lanes show, masks, seeds, endings."""

from __future__ import annotations

import numpy as np
import pytest
from dreamenv_client.v1 import dream_pb2 as pb
from grpc import StatusCode
from raw_dreams import refused
from raw_session import Session, assert_same, shown
from raw_tensors import DTYPES, action_shape, bools, bounds, seeds, some_actions, tensor


def test_shapes_and_dtypes(session: Session, model: pb.Model):
    (space,) = (each.space.box for each in model.observations if each.kind == "features")
    names = None
    for step in (session.Reset(), session.act(0), session.Reset(mask=bools(1, 0, 0))):
        seen = shown(step)
        assert seen["observation"].shape == (3, *space.shape)
        assert seen["observation"].dtype == DTYPES[space.dtype]
        assert (seen["reward"].shape, seen["reward"].dtype) == ((3,), np.float32)
        for name in ("terminated", "truncated"):
            assert (seen[name].shape, seen[name].dtype) == ((3,), np.bool_)
        low, high = bounds(space)
        assert np.all((seen["observation"] >= low) & (seen["observation"] <= high))
        info = [each.name for each in step.info]
        assert all(values.shape[0] == 3 for values in seen.values())
        assert names is None or info == names, "always in the same order"
        names = info


def test_a_lane_that_never_began_cannot_be_stepped(session: Session):
    with refused(StatusCode.FAILED_PRECONDITION, match="0"):
        session.act(0)
    session.Reset(mask=bools(1, 1, 0))
    with refused(StatusCode.FAILED_PRECONDITION, match="2"):
        session.act(0)
    assert session.last == 1


def test_a_reset_shows_no_reward_and_no_ending(session: Session):
    seen = shown(session.Reset(seeds=seeds(1, 2, 3)))
    assert not seen["reward"].any()
    assert not seen["terminated"].any()
    assert not seen["truncated"].any()


def test_the_same_seed_is_the_same_dream(make_session):
    first, again = make_session(), make_session()
    for session in (first, again):
        session.Reset(seeds=seeds(5, 6, 7))
    for luck in range(5):
        assert_same(first.act(luck), again.act(luck))
    assert_same(first.Reset(), again.Reset())


def test_a_lane_dreams_alone_what_it_dreams_among_others(make_session):
    many, one = make_session(), make_session(lanes=1)
    begun = shown(many.Reset(seeds=seeds(5, 6, 7))), shown(one.Reset(seeds=seeds(6)))
    pairs = [begun]
    for luck in range(5):
        actions = some_actions(many.space, luck, 3)
        stepped = many.Step(actions=tensor(actions)), one.Step(actions=tensor(actions[1:2]))
        pairs.append((shown(stepped[0]), shown(stepped[1])))
    for ours, alone in pairs:
        for name, values in alone.items():
            assert ours[name][1].tobytes() == values[0].tobytes(), name


def test_another_seed_is_another_dream(session: Session):
    session.Reset(seeds=seeds(1, 1, 2))
    actions = np.repeat(some_actions(session.space, 0, 1), 3, axis=0)
    seen = shown(session.Step(actions=tensor(actions)))["observation"]
    assert np.array_equal(seen[0], seen[1])
    assert not np.array_equal(seen[0], seen[2])


def test_without_a_seed_the_stream_goes_on_to_its_next_episode(make_session):
    ours, twin = make_session(), make_session()
    for session in (ours, twin):
        session.Reset(seeds=seeds(1, 2, 3))
    first = ours.act(0)
    assert_same(ours.Reset(seeds=seeds(-1, -1, -1)), twin.Reset())
    second = ours.act(0)
    assert_same(second, twin.act(0))
    assert not np.array_equal(shown(first)["observation"], shown(second)["observation"])
    ours.Reset(seeds=seeds(1, 2, 3))
    assert_same(ours.act(0), first)


def test_a_lane_without_any_seed_draws_one(session: Session):
    seen = shown(session.Reset(seeds=seeds(-1, -1, -1)))["observation"]
    stepped = shown(session.act(0))["observation"]
    assert len({row.tobytes() for row in np.concatenate([seen, stepped])}) > 3


def test_the_greatest_seed(session: Session):
    session.Reset(seeds=seeds(2**63 - 1, 0, 1))
    session.act(0)


def test_a_masked_reset_leaves_the_others_alone(make_session):
    ours, twin = make_session(), make_session()
    for session in (ours, twin):
        session.Reset(seeds=seeds(1, 2, 3))
        session.act(0)
    before = shown(ours.act(1))
    twin.act(1)
    after = shown(ours.Reset(mask=bools(0, 1, 0), seeds=seeds(9, 9, 9)))
    assert np.array_equal(before["observation"][[0, 2]], after["observation"][[0, 2]])
    assert not after["reward"].any()
    assert_same(ours.act(2), twin.act(2), lanes=[0, 2])


def test_an_empty_mask_changes_nothing(make_session):
    ours, twin = make_session(), make_session()
    for session in (ours, twin):
        session.Reset(seeds=seeds(1, 2, 3))
    ours.Reset(mask=bools(0, 0, 0), seeds=seeds(7, 8, 9))
    assert_same(ours.act(0), twin.act(0))


def test_a_step_that_begins_some_lanes_is_both_calls_in_one(make_session):
    ours, twin = make_session(), make_session()
    for session in (ours, twin):
        session.Reset(seeds=seeds(1, 2, 3))
        session.act(0)
    begun = np.array([False, True, False])
    actions = some_actions(ours.space, 1, 3)
    ignored = actions.copy()
    ignored[1] = np.nan if actions.dtype.kind == "f" else -99
    both = ours.Step(actions=tensor(ignored), reset=tensor(begun), seeds=seeds(-1, 9, -1))
    assert_same(both, twin.Step(actions=tensor(actions)), lanes=[0, 2])
    assert_same(both, twin.Reset(mask=tensor(begun), seeds=seeds(-1, 9, -1)), lanes=[1])
    assert_same(ours.act(2), twin.act(2))


def test_a_step_that_begins_all_lanes(make_session):
    ours, twin = make_session(), make_session()
    actions = tensor(some_actions(ours.space, 0, 3))
    begun = ours.Step(actions=actions, reset=bools(1, 1, 1), seeds=seeds(4, 5, 6))
    assert_same(begun, twin.Reset(seeds=seeds(4, 5, 6)))
    assert_same(ours.act(1), twin.act(1))


def test_the_horizon_truncates_and_the_lane_waits_for_a_reset(make_session):
    session = make_session(knobs=pb.Knobs(horizon=3))
    session.Reset(seeds=seeds(1, 2, 3))
    for luck in range(2):
        assert not shown(session.act(luck))["truncated"].any()
    last = shown(session.act(2))
    assert last["truncated"].all()
    assert not last["terminated"].any()
    with refused(StatusCode.FAILED_PRECONDITION, match="0"):
        session.act(3)
    begun = shown(session.act(3, reset=np.array([True, True, True])))
    assert not begun["truncated"].any()
    session.act(4)


def test_lanes_that_are_over_still_say_so_while_others_begin(make_session):
    session = make_session(knobs=pb.Knobs(horizon=1))
    session.Reset()
    session.act(0)
    assert shown(session.Reset(mask=bools(0, 1, 0)))["truncated"].tolist() == [True, False, True]


def test_predicted_endings_are_never_truncations_too(make_session):
    session = make_session(lanes=8, knobs=pb.Knobs(termination="sample", horizon=4))
    over = np.ones(8, np.bool_)
    for luck in range(30):
        step = shown(session.act(luck, reset=over))
        assert not (step["terminated"] & step["truncated"]).any()
        assert not step["reward"][over].any()
        over = step["terminated"] | step["truncated"]


def test_a_start_by_its_number(make_session):
    ours, twin = make_session(), make_session()
    first = ours.Reset(seeds=seeds(1, 2, 3), options=pb.Options(start=tensor(0, np.int64)))
    each = pb.Options(start=seeds(0, 0, 0))
    assert_same(first, twin.Reset(seeds=seeds(1, 2, 3), options=each))


def actions_of(session: Session, *batch: int) -> np.ndarray:
    return some_actions(session.space, 3, *batch)


def raw(dtype: int, shape: list[int], data: bytes) -> pb.Tensor:
    return pb.Tensor(dtype=dtype, shape=shape, data=data)


WRONG_RESETS = {
    "mask of another length": lambda s: dict(mask=bools(1, 1)),
    "mask of numbers": lambda s: dict(mask=tensor(np.ones(3, np.uint8))),
    "mask of two axes": lambda s: dict(mask=tensor(np.ones((3, 1), np.bool_))),
    "mask with a byte of 2": lambda s: dict(mask=raw(pb.DTYPE_BOOL, [3], b"\1\2\0")),
    "seeds too few": lambda s: dict(seeds=seeds(1, 2)),
    "seed below -1": lambda s: dict(seeds=seeds(1, -2, 3)),
    "seeds of int32": lambda s: dict(seeds=tensor(np.arange(3, dtype=np.int32))),
    "start out of range": lambda s: dict(options=pb.Options(start=tensor(2**62, np.int64))),
    "start below 0": lambda s: dict(options=pb.Options(start=tensor(-1, np.int64))),
    "start of half the lanes": lambda s: dict(options=pb.Options(start=seeds(0, 0))),
    "start of floats": lambda s: dict(options=pb.Options(start=tensor(0.0))),
    "actions alone": lambda s: dict(options=pb.Options(actions=tensor(actions_of(s, 1)))),
    "frames of no shape": lambda s: dict(
        options=pb.Options(observations=tensor(np.zeros(4, np.uint8)))
    ),
}
WRONG_STEPS = {
    "no actions": lambda s: dict(),
    "too few actions": lambda s: dict(actions=tensor(actions_of(s, 2))),
    "too many axes": lambda s: dict(actions=tensor(actions_of(s, 3)[None])),
    "no dtype": lambda s: dict(actions=raw(0, [3], b"")),
    "unknown dtype": lambda s: dict(actions=raw(99, [3], b"")),
    "fewer bytes than the shape says": lambda s: dict(
        actions=raw(tensor(actions_of(s, 3)).dtype, [3, *action_shape(s.space)], b"\0")
    ),
    "a shape that multiplies past 2^64": lambda s: dict(
        actions=raw(tensor(actions_of(s, 3)).dtype, [2**31] * 4, b"")
    ),
    "a shape of 10,000 axes": lambda s: dict(
        actions=raw(tensor(actions_of(s, 3)).dtype, [1] * 10_000, b"\0" * 4)
    ),
    "mask of another length": lambda s: dict(
        actions=tensor(actions_of(s, 3)), reset=bools(1, 0, 1, 0)
    ),
    "seed below -1": lambda s: dict(
        actions=tensor(actions_of(s, 3)), reset=bools(1, 1, 1), seeds=seeds(-9, 1, 1)
    ),
}


@pytest.mark.parametrize("wrong", WRONG_RESETS)
def test_wrong_resets(make_session, wrong: str):
    _changes_nothing(make_session, "Reset", WRONG_RESETS[wrong])


@pytest.mark.parametrize("wrong", WRONG_STEPS)
def test_wrong_steps(make_session, wrong: str):
    _changes_nothing(make_session, "Step", WRONG_STEPS[wrong])


def _changes_nothing(make_session, method: str, fields) -> None:
    """The call is refused, its seq is free, and the dream goes on as if it had never been."""
    ours, twin = make_session(), make_session()
    for session in (ours, twin):
        session.Reset(seeds=seeds(1, 2, 3))
        session.act(0)
    with refused(StatusCode.INVALID_ARGUMENT):
        getattr(ours, method)(**fields(ours))
    assert ours.last == 2
    assert_same(ours.act(1), twin.act(1))
    assert_same(ours.Reset(), twin.Reset())


def test_actions_out_of_bounds_name_lane_and_value(session: Session):
    session.Reset()
    actions = actions_of(session, 3)
    if session.space.HasField("discrete"):
        actions[1] = session.space.discrete.start + session.space.discrete.n
        bad = str(actions[1])
    else:
        _, high = bounds(session.space.box)
        if not np.isfinite(high).any():
            pytest.skip("the actions have no bounds")
        actions[1] = 1234.5
        bad = "1234.5"
    with refused(StatusCode.INVALID_ARGUMENT, match=rf"(?s)1.*{bad}"):
        session.Step(actions=tensor(actions))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_actions_that_are_no_numbers(session: Session, value: float):
    if session.space.HasField("discrete"):
        pytest.skip("the actions are integers")
    session.Reset()
    actions = actions_of(session, 3)
    actions[2] = value
    with refused(StatusCode.INVALID_ARGUMENT, match="2"):
        session.Step(actions=tensor(actions))
