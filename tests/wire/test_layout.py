"""The fast codec against protobuf itself."""

from __future__ import annotations

import numpy as np
import pytest
from dreamenv_client.lanes import LaneStep
from dreamenv_client.layout import LaneStepLayout, StepLayout
from dreamenv_client.v1 import dream_pb2 as pb
from dreamenv_client.wire import LANE_ARRAYS, from_lane_step, to_lane_step, to_tensor
from hypothesis import given, settings
from hypothesis import strategies as st

OBSERVATIONS = st.sampled_from(["<f4", "u1"])
SHAPES = st.lists(st.integers(1, 5), min_size=1, max_size=3).map(tuple)
SEQS = st.integers(1, 2**64 - 1)  # protobuf leaves a 0 out


def lane_step(lanes: int, dtype: str, shape: tuple[int, ...], infos: int, seed: int) -> LaneStep:
    rng = np.random.default_rng(seed)
    return LaneStep(
        rng.integers(0, 255, (lanes, *shape)).astype(dtype),
        rng.normal(size=lanes).astype(np.float32),
        rng.random(lanes) < 0.5,
        rng.random(lanes) < 0.5,
        {f"info {i}": rng.normal(size=(lanes, i + 1)).astype(np.float32) for i in range(infos)},
    )


def same(one: LaneStep, other: LaneStep) -> bool:
    return list(one.info) == list(other.info) and all(
        a.dtype == b.dtype and a.shape == b.shape and (a == b).all()
        for a, b in [
            *((getattr(one, name), getattr(other, name)) for name in LANE_ARRAYS),
            *((one.info[name], other.info[name]) for name in one.info),
        ]
    )


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(1, 300), OBSERVATIONS, SHAPES, st.integers(0, 3), SEQS)
def test_lane_steps_are_written_as_protobuf_writes_them(lanes, dtype, shape, infos, seq):
    layout = LaneStepLayout(lane_step(lanes, dtype, shape, infos, seed=0))
    step = lane_step(lanes, dtype, shape, infos, seed=1)
    message = layout.encode(seq, step)
    by_protobuf = pb.SessionReply(seq=seq, lanes=to_lane_step(step))
    assert message == by_protobuf.SerializeToString()
    back = layout.decode(message)
    assert back is not None
    assert back[0] == seq
    assert same(back[1], step)
    assert same(back[1], from_lane_step(pb.SessionReply.FromString(message).lanes))
    back[1].observation[:] = 0  # in memory of its own
    assert layout.decode(message)[1].observation.sum() == step.observation.sum()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.integers(1, 300),
    st.sampled_from([("<f4", (3,)), ("<i8", ()), ("<f8", (2, 2))]),
    st.booleans(),
    SEQS,
)
def test_steps_are_written_as_protobuf_writes_them(lanes, action, masked, seq):
    dtype, shape = np.dtype(action[0]), action[1]
    rng = np.random.default_rng(lanes)
    actions = rng.integers(-3, 4, (lanes, *shape)).astype(dtype)
    mask = rng.random(lanes) < 0.5 if masked else None
    layout = StepLayout(lanes, dtype, shape)
    message = layout.encode(seq, actions, mask)
    step = pb.StepRequest(
        actions=to_tensor(actions), reset=None if mask is None else to_tensor(mask)
    )
    assert message == pb.SessionRequest(seq=seq, step=step).SerializeToString()
    back = layout.decode(message)
    assert back is not None
    assert back[0] == seq
    assert (back[1] == actions).all()
    assert (back[2] is None) if mask is None else (back[2] == mask).all()


def test_slices_of_larger_arrays_and_columns_are_written_right():
    whole = lane_step(10, "<f4", (4,), 1, seed=3)
    step = LaneStep(
        whole.observation[3:7],
        whole.reward[3:7],
        whole.terminated[::2][:4],
        whole.truncated[3:7],
        {"info 0": whole.info["info 0"][3:7]},
    )
    message = LaneStepLayout(step).encode(1, step)
    assert message == pb.SessionReply(seq=1, lanes=to_lane_step(step)).SerializeToString()


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.data())
def test_any_other_bytes_are_left_to_protobuf(data):
    """Of a message with one byte changed, nothing is taken that protobuf would read otherwise."""
    layout = StepLayout(2, np.dtype("<f4"), (3,))
    actions = np.ones((2, 3), np.float32)
    message = bytearray(layout.encode(7, actions, np.array([True, False])))
    at = data.draw(st.integers(0, len(message) - 1))
    message[at] ^= data.draw(st.integers(1, 255))
    taken = layout.decode(bytes(message))
    if taken is not None:
        read = pb.SessionRequest.FromString(bytes(message))
        assert read.seq == taken[0]
        assert read.step.actions.data == taken[1].tobytes()
        assert read.step.reset.data == taken[2].tobytes()
        assert set(read.step.reset.data) <= {0, 1}


@pytest.mark.parametrize("cut", [0, 1, 8, 9, -1])
def test_cut_messages_are_not_taken(cut):
    step = lane_step(2, "<f4", (3,), 1, seed=0)
    layout = LaneStepLayout(step)
    assert layout.decode(layout.encode(1, step)[:cut]) is None
