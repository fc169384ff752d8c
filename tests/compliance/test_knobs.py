"""Configure: knobs, lane by lane."""

from __future__ import annotations

import numpy as np
import pytest
from dreamenv_client.v1 import dream_pb2 as pb
from grpc import StatusCode
from raw_dreams import refused
from raw_session import Session, assert_same, shown
from raw_tensors import seeds, some_actions, tensor


def test_a_horizon_for_one_lane(session: Session):
    session.Configure(lanes=pb.LaneIndices(index=[1]), knobs=pb.Knobs(horizon=1))
    session.Reset()
    assert shown(session.act(0))["truncated"].tolist() == [False, True, False]


def test_knobs_as_a_session_opens_and_later_are_the_same(make_session):
    ours = make_session(knobs=pb.Knobs(fixed_temperature=0.25))
    twin = make_session()
    twin.Configure(knobs=pb.Knobs(fixed_temperature=0.25))
    for session in (ours, twin):
        session.Reset(seeds=seeds(1, 2, 3))
    assert_same(ours.act(0), twin.act(0))


def test_what_is_absent_stays_as_it_is(session: Session):
    session.Configure(knobs=pb.Knobs(horizon=1))
    session.Configure(knobs=pb.Knobs(fixed_temperature=0.5))
    session.Configure(knobs=pb.Knobs())
    session.Reset()
    assert shown(session.act(0))["truncated"].all()


def test_at_temperature_0_lanes_of_any_seed_dream_alike(session: Session):
    """From the same state, under the same actions: the mode has no luck in it."""
    session.Configure(knobs=pb.Knobs(fixed_temperature=0.0))
    session.Reset(seeds=seeds(1, 2, 3))
    lane = pb.LaneIndices
    session.Branch(source=lane(index=[0, 0]), target=lane(index=[1, 2]), seeds=seeds(8, 9))
    actions = np.repeat(some_actions(session.space, 0, 1), 3, axis=0)
    for _ in range(3):
        seen = shown(session.Step(actions=tensor(actions)))["observation"]
        assert seen[0].tobytes() == seen[1].tobytes() == seen[2].tobytes()


def test_a_drawn_temperature_is_in_force_from_the_next_episode(make_session):
    ours, twin = make_session(), make_session()
    for session in (ours, twin):
        session.Reset(seeds=seeds(1, 2, 3))
    drawn = pb.Knobs(drawn_temperature=pb.Range(low=0.0, high=0.0))
    ours.Configure(knobs=drawn)
    assert_same(ours.act(0), twin.act(0))
    twin.Configure(knobs=pb.Knobs(fixed_temperature=0.0))
    for session in (ours, twin):
        session.Reset()
    assert_same(ours.act(1), twin.act(1))


WRONG = {
    "horizon of 0": dict(knobs=pb.Knobs(horizon=0)),
    "horizon too far": dict(knobs=pb.Knobs(horizon=2**63 - 1)),
    "temperature below 0": dict(knobs=pb.Knobs(fixed_temperature=-1.0)),
    "temperature above 100": dict(knobs=pb.Knobs(fixed_temperature=100.5)),
    "temperature of NaN": dict(knobs=pb.Knobs(fixed_temperature=float("nan"))),
    "range upside down": dict(knobs=pb.Knobs(drawn_temperature=pb.Range(low=1.0, high=0.5))),
    "range of NaN": dict(knobs=pb.Knobs(drawn_temperature=pb.Range(low=0, high=float("nan")))),
    "unknown termination": dict(knobs=pb.Knobs(termination="maybe")),
    "termination temperature of 0": dict(knobs=pb.Knobs(termination_temperature=0.0)),
    "trust penalty below 0": dict(knobs=pb.Knobs(trust_penalty=-0.5)),
    "trust penalty of NaN": dict(knobs=pb.Knobs(trust_penalty=float("nan"))),
    "trust limit too far": dict(knobs=pb.Knobs(trust_limit=1_000_001.0)),
    "one of several": dict(knobs=pb.Knobs(fixed_temperature=0.0, horizon=0)),
    "lane out of range": dict(lanes=pb.LaneIndices(index=[3]), knobs=pb.Knobs(horizon=1)),
    "lane far out of range": dict(lanes=pb.LaneIndices(index=[2**32 - 1]), knobs=pb.Knobs()),
    "lane named twice": dict(lanes=pb.LaneIndices(index=[1, 1]), knobs=pb.Knobs(horizon=1)),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_knobs_set_none(make_session, wrong: str):
    ours, twin = make_session(), make_session()
    with refused(StatusCode.INVALID_ARGUMENT):
        ours.Configure(**WRONG[wrong])
    for session in (ours, twin):
        session.Reset(seeds=seeds(1, 2, 3))
        assert session.last == 1
    assert_same(ours.act(0), twin.act(0))
