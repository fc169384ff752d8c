"""Knobs of trust: what a model's uncertainty costs, and where it ends an episode."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from dreamenv_client.v1 import dream_pb2 as pb
from grpc import StatusCode
from raw_dreams import Dreams, refused
from raw_session import Session, open_request, shown
from raw_tensors import seeds, some_actions, tensor

PLAIN = pb.Knobs(termination="none", fixed_temperature=1.0, horizon=1000)
LANE = pb.LaneIndices


@pytest.fixture(scope="module")
def by_telling(dreams: Dreams) -> dict[bool, pb.Model]:
    """A model that can tell how unsure it is, and one that cannot, if there are such."""
    names = [each.name for each in dreams.ListModels(pb.ListModelsRequest()).models]
    models = [dreams.GetModel(pb.GetModelRequest(name=name)) for name in names]
    return {json.loads(model.config).get("trust") is not None: model for model in models}


@pytest.fixture
def opened_of(dreams: Dreams, by_telling) -> Iterator[Callable[..., Session]]:
    """Opens a session of a model that can tell, or of one that cannot."""
    made: list[Session] = []

    def make(telling: bool, **knobs: float) -> Session:
        if telling not in by_telling:
            pytest.skip(f"no model is served for which it is {telling} that it can tell")
        wanted = pb.Knobs(**knobs)
        wanted.MergeFrom(PLAIN)
        request = open_request(by_telling[telling].name, 3, knobs=wanted)
        made.append(Session(dreams, dreams.OpenSession(request)))
        return made[-1]

    with contextlib.ExitStack() as stack:
        yield make
        for session in made:
            stack.callback(session.close)


def alike(session: Session, time: int) -> dict[str, np.ndarray]:
    """A step of all lanes under one action."""
    action = some_actions(session.space, time, 1)
    return shown(session.Step(actions=tensor(np.repeat(action, session.lanes, axis=0))))


def test_the_penalty_is_of_each_lane_and_off_its_reward_alone(opened_of):
    session = opened_of(True)
    session.Configure(lanes=LANE(index=[1]), knobs=pb.Knobs(trust_penalty=1.0))
    session.Configure(lanes=LANE(index=[2]), knobs=pb.Knobs(trust_penalty=2.5))
    session.Reset(seeds=seeds(5, 5, 5))
    for time in range(4):
        step = alike(session, time)
        unsure = step["info uncertainty"]
        assert unsure[0] > 0
        assert len(set(unsure.tolist())) == 1
        expected = step["reward"][0] - np.array([0, 1, 2.5]) * unsure
        np.testing.assert_allclose(step["reward"], expected, rtol=1e-5, atol=1e-6)
        assert len({row.tobytes() for row in step["observation"]}) == 1


def test_the_limit_truncates_and_0_never_does(opened_of, by_telling):
    session = opened_of(True, trust_limit=1e-9)
    session.Configure(lanes=LANE(index=[2]), knobs=pb.Knobs(trust_limit=0.0))
    session.Reset(seeds=seeds(5, 5, 5))
    least, *_, unit, _, _, _, _, _ = json.loads(by_telling[True].config)["trust"]["quantiles"]
    for time in range(20):
        step = alike(session, time)
        passed = bool(step["info uncertainty"][0] > 1.001 * least / unit)
        assert not step["terminated"].any()
        assert not step["truncated"][2]
        if passed:
            assert step["truncated"].tolist() == [True, True, False]
            return
    pytest.fail("a model that is never as unsure as of its surest real decision")


def test_snapshots_take_trust_along(opened_of):
    ours, other = opened_of(True, trust_penalty=3.0), opened_of(True)
    for session in (ours, other):
        session.Reset(seeds=seeds(1, 2, 3))
    other.Restore(snapshot=ours.Snapshot().snapshot)
    assert ours.act(0) == other.act(0)


@pytest.mark.parametrize("knob", ["trust_penalty", "trust_limit"])
def test_a_model_that_cannot_tell_takes_0_alone(opened_of, knob: str):
    with refused(StatusCode.INVALID_ARGUMENT, match=knob):
        opened_of(False, **{knob: 0.5})
    session = opened_of(False, **{knob: 0.0})
    session.Reset()
    with refused(StatusCode.INVALID_ARGUMENT, match=knob):
        session.Configure(knobs=pb.Knobs(horizon=1, **{knob: 0.5}))
    step = shown(session.act(0))
    assert not step["truncated"].any()
