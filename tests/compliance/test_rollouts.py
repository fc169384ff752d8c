"""Rollout: steps ahead from where lanes are, while they stay."""

from __future__ import annotations

import numpy as np
import pytest
from dreamenv_client.v1 import dream_pb2 as pb
from grpc import StatusCode
from raw_dreams import refused
from raw_session import Session, assert_same, shown
from raw_tensors import seeds, some_actions, tensor

HORIZON = 7


@pytest.fixture
def going(make_session) -> Session:
    session = make_session()
    session.Reset(seeds=seeds(1, 2, 3))
    session.act(0)
    return session


def fields(session: Session, lanes: tuple[int, ...] = (2, 0, 0)) -> dict:
    actions = some_actions(session.space, 11, len(lanes), HORIZON)
    return dict(lanes=pb.LaneIndices(index=lanes), actions=tensor(actions))


def whole(replies: list[pb.RolloutReply]) -> dict[str, np.ndarray]:
    """All replies' arrays, ``[n, horizon, ...]``, joined along time."""
    firsts, parts = [reply.first for reply in replies], [shown(reply.steps) for reply in replies]
    lengths = [part["reward"].shape[1] for part in parts]
    assert firsts == np.cumsum([0, *lengths[:-1]]).tolist()
    return {name: np.concatenate([part[name] for part in parts], axis=1) for name in parts[0]}


def stepped(session: Session, make_session, own: pb.Tensor | None = None) -> dict[str, np.ndarray]:
    """The same, by stepping branches of the lanes in another session."""
    other = make_session()
    blob = session.Snapshot(lanes=pb.LaneIndices(index=[2, 0])).snapshot
    other.Restore(snapshot=blob, lanes=pb.LaneIndices(index=[0, 1]))
    every = pb.LaneIndices(index=range(3))
    branch = {} if own is None else {"seeds": own}
    other.Branch(source=pb.LaneIndices(index=[0, 1, 1]), target=every, **branch)
    actions = some_actions(session.space, 11, 3, HORIZON)
    steps = [shown(other.Step(actions=tensor(actions[:, t]))) for t in range(HORIZON)]
    return {name: np.stack([step[name] for step in steps], axis=1) for name in steps[0]}


@pytest.mark.parametrize("own", [None, seeds(7, 8, 9)], ids=["lanes' streams", "own streams"])
def test_a_rollout_is_what_stepping_branches_would_give(going, make_session, own):
    extra = {} if own is None else {"seeds": own}
    ours, theirs = whole(going.rollout(**fields(going), **extra)), stepped(going, make_session, own)
    assert list(ours) == list(theirs)
    for name, values in theirs.items():
        assert ours[name].dtype == values.dtype
        assert ours[name].tobytes() == values.tobytes(), name


def test_the_session_does_not_move(going: Session, make_session):
    twin = make_session()
    twin.Restore(snapshot=going.Snapshot().snapshot)
    first = whole(going.rollout(**fields(going)))
    again = whole(going.rollout(**fields(going)))
    assert all(values.tobytes() == again[name].tobytes() for name, values in first.items())
    assert_same(going.act(1), twin.act(1))


def test_after_an_end_there_is_nothing_but_the_end(make_session):
    session = make_session(knobs=pb.Knobs(horizon=3))
    session.Reset(seeds=seeds(1, 2, 3))
    session.act(0)
    seen = whole(session.rollout(**fields(session)))
    assert seen["truncated"].tolist() == [[False, *[True] * (HORIZON - 1)]] * 3
    assert not seen["terminated"].any()
    for name, values in seen.items():
        if name not in ("truncated", "terminated"):
            assert not values[:, 2:].any(), name
            assert name != "observation" or values[:, :2].any()


def test_predicted_ends_end_rollouts(make_session):
    session = make_session(lanes=16, knobs=pb.Knobs(termination="sample"))
    session.Reset(seeds=seeds(*range(16)))
    actions = tensor(some_actions(session.space, 5, 16, 60))
    seen = whole(session.rollout(lanes=pb.LaneIndices(index=range(16)), actions=actions))
    over = seen["terminated"]
    assert np.array_equal(over, np.maximum.accumulate(over, axis=1))
    assert not seen["reward"][:, 1:][over[:, :-1]].any()


def test_without_observations(going: Session):
    with_them = whole(going.rollout(**fields(going)))
    without = going.rollout(**fields(going), without_observations=True)
    assert not any(reply.steps.HasField("observation") for reply in without)
    for reply in without:
        steps = reply.steps.reward.shape[1]
        part = with_them["reward"][:, reply.first : reply.first + steps]
        assert reply.steps.reward.data == part.tobytes()


def test_one_lane_many_times(going: Session):
    actions = tensor(some_actions(going.space, 1, 40, 2))
    seen = whole(going.rollout(lanes=pb.LaneIndices(index=[1] * 40), actions=actions))
    assert seen["reward"].shape == (40, 2)


def test_lanes_that_are_not_going(session: Session):
    with refused(StatusCode.FAILED_PRECONDITION):
        session.rollout(**fields(session))


WRONG = {
    "no lanes": dict(lanes=pb.LaneIndices()),
    "lane out of range": dict(lanes=pb.LaneIndices(index=[0, 1, 3])),
    "another number of lanes": dict(lanes=pb.LaneIndices(index=[0, 1])),
    "no actions": dict(actions=pb.Tensor()),
    "no time": dict(actions=pb.Tensor(dtype=pb.DTYPE_FLOAT32, shape=[3, 0, 3])),
    "an endless horizon": dict(actions=pb.Tensor(dtype=pb.DTYPE_FLOAT32, shape=[3, 2**32 - 1, 3])),
    "seeds below 0": dict(seeds=seeds(1, -1, 1)),
    "seeds too few": dict(seeds=seeds(1)),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_rollouts(going: Session, wrong: str):
    with refused(StatusCode.INVALID_ARGUMENT):
        going.rollout(**{**fields(going), **WRONG[wrong]})
    going.act(1)


def test_actions_that_are_no_numbers_are_refused_before_anything_is_sent(going: Session):
    if going.space.HasField("discrete"):
        pytest.skip("the actions are integers")
    actions = some_actions(going.space, 11, 3, HORIZON)
    actions[1, HORIZON - 1] = np.nan
    with refused(StatusCode.INVALID_ARGUMENT):
        going.rollout(lanes=pb.LaneIndices(index=[0, 1, 2]), actions=tensor(actions))
