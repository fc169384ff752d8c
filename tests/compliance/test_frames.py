"""What has to do with real observations and pictures: Render, Filter, and episodes that begin with
real frames or vectors."""

from __future__ import annotations

import numpy as np
import pytest
from dreamenv_client.v1 import dream_pb2 as pb
from grpc import StatusCode
from raw_dreams import code_of, refused
from raw_session import Session, assert_same, shown
from raw_tensors import array, bools, bounds, seeds, some_actions, tensor


@pytest.fixture
def frame(model: pb.Model) -> pb.Box:
    """Of a real observation: pixels are what the model decodes its dreams to."""
    for each in model.observations:
        if each.kind == "pixels":
            return each.space.box
    pytest.skip("the model shows no pixels")


def frames(luck: int, *batch: int, of: pb.Box) -> np.ndarray:
    """Frames, or vectors of small numbers, ``[*batch, *shape]``."""
    rng, shape = np.random.default_rng(luck), (*batch, *of.shape)
    if of.dtype == pb.DTYPE_UINT8:
        return rng.integers(0, 256, shape, np.uint8)
    low, high = bounds(of)
    return rng.standard_normal(shape, np.float32).clip(low, high)


def none_such(of: pb.Box) -> list[np.ndarray]:
    """Observations of three lanes that are no numbers within the bounds, where such can be said."""
    if of.dtype == pb.DTYPE_UINT8:
        return []
    good, high = frames(0, 3, of=of), bounds(of)[1]
    values = [np.nan, np.inf, -np.inf, *([high.flat[-1] * 1.5] if np.isfinite(high).all() else [])]
    found = []
    for value in values:
        good[1].flat[-1] = value
        found.append(good.copy())
    return found


def test_render(session: Session):
    session.Reset()
    if code_of(session.Render) is StatusCode.UNIMPLEMENTED:
        return
    pictures = array(session.Render().pictures)
    assert pictures.dtype == np.uint8
    assert pictures.shape == (3, *pictures.shape[1:3], 3)
    some = array(session.Render(lanes=pb.LaneIndices(index=[2, 0])).pictures)
    assert np.array_equal(some, pictures[[2, 0]])
    with refused(StatusCode.INVALID_ARGUMENT):
        session.Render(lanes=pb.LaneIndices(index=[3]))


def test_a_filter_that_begins_with_every_frame(session: Session, frame):
    seen = frames(0, 3, of=frame)
    first = session.Filter(observations=tensor(seen), begin=bools(1, 1, 1)).observation
    again = session.Filter(observations=tensor(seen), begin=bools(1, 1, 1)).observation
    assert first == again
    assert first.shape[0] == 3
    other = session.Filter(observations=tensor(frames(1, 3, of=frame)), begin=bools(1, 1, 1))
    assert other.observation != first


def test_a_filter_remembers_what_it_saw(session: Session, frame):
    seen, actions = frames(0, 2, 3, of=frame), tensor(some_actions(session.space, 0, 3))
    session.Filter(observations=tensor(seen[0]), begin=bools(1, 1, 1))
    both = session.Filter(observations=tensor(seen[1]), actions=actions).observation
    session.Filter(observations=tensor(seen[0]), begin=bools(1, 1, 1))
    assert session.Filter(observations=tensor(seen[1]), actions=actions).observation == both
    alone = array(session.Filter(observations=tensor(seen[1]), begin=bools(1, 1, 1)).observation)
    # One frame hides what moved before it; a vector may be all there is to know.
    if frame.dtype == pb.DTYPE_UINT8:
        assert not np.array_equal(array(both), alone)


def test_lanes_begin_apart_in_a_filter(session: Session, frame):
    seen, actions = frames(0, 2, 3, of=frame), tensor(some_actions(session.space, 0, 3))
    session.Filter(observations=tensor(seen[0]), begin=bools(1, 1, 1))
    all_on = array(session.Filter(observations=tensor(seen[1]), actions=actions).observation)
    begun = array(session.Filter(observations=tensor(seen[1]), begin=bools(1, 1, 1)).observation)
    session.Filter(observations=tensor(seen[0]), begin=bools(1, 1, 1))
    one = session.Filter(observations=tensor(seen[1]), actions=actions, begin=bools(0, 1, 0))
    mixed = array(one.observation)
    assert np.array_equal(mixed[[0, 2]], all_on[[0, 2]])
    assert np.array_equal(mixed[1], begun[1])


def test_the_dream_does_not_move_under_a_filter(make_session, frame):
    ours, twin = make_session(), make_session()
    for session in (ours, twin):
        session.Reset(seeds=seeds(1, 2, 3))
    ours.Filter(observations=tensor(frames(0, 3, of=frame)), begin=bools(1, 1, 1))
    assert_same(ours.act(0), twin.act(0))


def test_wrong_frames(session: Session, frame):
    seen = tensor(frames(0, 3, of=frame))
    for wrong, code in [
        (dict(observations=seen), StatusCode.FAILED_PRECONDITION),
        (dict(observations=tensor(frames(0, 2, of=frame)), begin=bools(1, 1, 1)), None),
        (
            dict(observations=tensor(np.zeros((3, *frame.shape), np.int8)), begin=bools(1, 1, 1)),
            None,
        ),
        *((dict(observations=tensor(bad), begin=bools(1, 1, 1)), None) for bad in none_such(frame)),
        (dict(observations=seen, begin=bools(1, 1)), None),
        (dict(begin=bools(1, 1, 1)), None),
    ]:
        with refused(StatusCode.INVALID_ARGUMENT, *([] if code is None else [code])):
            session.Filter(**wrong)
    session.Filter(observations=seen, begin=bools(1, 1, 1))
    with refused(StatusCode.INVALID_ARGUMENT):
        session.Filter(observations=seen)


def test_episodes_that_begin_with_real_frames(make_session, frame):
    ours, twin = make_session(), make_session()
    seen, actions = frames(0, 4, of=frame), some_actions(ours.space, 0, 3)
    shared = pb.Options(observations=tensor(seen), actions=tensor(actions))
    each = pb.Options(
        observations=tensor(np.stack([seen] * 3)), actions=tensor(np.stack([actions] * 3))
    )
    begun = ours.Reset(seeds=seeds(1, 2, 3), options=shared)
    assert_same(begun, twin.Reset(seeds=seeds(1, 2, 3), options=each))
    assert_same(ours.act(1), twin.act(1))
    observation = shown(begun)["observation"]
    assert np.array_equal(observation[0], observation[1])


def test_a_filter_sees_what_an_episode_begun_with_the_same_frames_shows(session: Session, frame):
    seen, actions = frames(0, 2, of=frame), some_actions(session.space, 0, 1)
    given = pb.Options(observations=tensor(seen), actions=tensor(actions))
    begun = shown(session.Reset(options=given))["observation"]
    thrice = [tensor(np.stack([each] * 3)) for each in (*seen, actions[0])]
    session.Filter(observations=thrice[0], begin=bools(1, 1, 1))
    filtered = array(session.Filter(observations=thrice[1], actions=thrice[2]).observation)
    np.testing.assert_allclose(filtered, begun, atol=1e-5)


def test_wrong_beginnings(make_session, frame):
    session = make_session()
    seen, actions = tensor(frames(0, 4, of=frame)), tensor(some_actions(session.space, 0, 3))
    for wrong in [
        pb.Options(observations=seen),
        pb.Options(observations=seen, actions=tensor(some_actions(session.space, 0, 4))),
        pb.Options(observations=seen, actions=actions, start=tensor(0, np.int64)),
        pb.Options(observations=tensor(frames(0, 0, of=frame))),
        pb.Options(observations=tensor(np.zeros((1, *frame.shape), np.int64))),
        *(pb.Options(observations=tensor(bad[:, None])) for bad in none_such(frame)),
    ]:
        with refused(StatusCode.INVALID_ARGUMENT):
            session.Reset(options=wrong)
    session.Reset()
