"""Arrays, knobs, options and spaces there and back; and what strangers may send instead."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from dreamenv_client.spaces import from_space, to_space
from dreamenv_client.v1 import dream_pb2 as pb
from dreamenv_client.wire import (
    DTYPES,
    from_knobs,
    from_named,
    from_options,
    from_tensor,
    to_knobs,
    to_named,
    to_options,
    to_seeds,
    to_tensor,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    hnp.arrays(
        st.sampled_from([dtype.str for dtype in DTYPES.values()]),
        hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
    )
)
def test_arrays_come_back_bit_for_bit(array):
    back = from_tensor(pb.Tensor.FromString(to_tensor(array).SerializeToString()))
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    assert back.tobytes() == array.tobytes()
    assert back.flags.writeable


def test_what_is_not_little_endian_or_not_in_order_travels_all_the_same():
    big = np.arange(6, dtype=">i4").reshape(2, 3)
    assert (from_tensor(to_tensor(big)) == big).all()
    assert (from_tensor(to_tensor(big.T)) == big.T).all()
    assert to_tensor(np.int32(258)).data == b"\x02\x01\x00\x00"


@pytest.mark.parametrize(
    ("tensor", "expected"),
    [
        (pb.Tensor(), "dtype number 0"),
        (pb.Tensor(dtype=99, data=b"0"), "dtype number 99"),
        (pb.Tensor(dtype=pb.DTYPE_FLOAT32, shape=[2], data=b"1234"), "4 bytes; expected 8"),
        (pb.Tensor(dtype=pb.DTYPE_UINT8, shape=[2**32 - 1] * 8, data=b"1"), "1 bytes; expected"),
        (pb.Tensor(dtype=pb.DTYPE_UINT8, shape=[0, 2**32 - 1], data=b"1"), "expected 0"),
        (pb.Tensor(dtype=pb.DTYPE_UINT8, shape=[0, *[2**32 - 1] * 4]), "too|exceed|large|big"),
        (pb.Tensor(dtype=pb.DTYPE_UINT8, shape=[1] * 9, data=b"1"), "9 dimensions"),
        (pb.Tensor(dtype=pb.DTYPE_BOOL, shape=[2], data=b"\x00\x02"), "neither 0 nor 1"),
    ],
)
def test_tensors_that_are_wrong_are_refused(tensor, expected):
    with pytest.raises(ValueError, match=expected):
        from_tensor(tensor, "it")


@pytest.mark.parametrize("bad", ["text", np.array([object()]), np.complex64(1), [[1], [1, 2]]])
def test_what_does_not_travel_is_refused(bad):
    with pytest.raises(ValueError, match=r"travel|array|inhomogeneous"):
        to_tensor(bad)


def test_names_come_in_order_and_once():
    arrays = {"b": np.zeros(2), "a": np.ones(1, np.int8)}
    assert list(from_named(to_named(arrays))) == ["b", "a"]
    with pytest.raises(ValueError, match="twice"):
        from_named([*to_named(arrays), *to_named(arrays)])


@pytest.mark.parametrize(
    "knobs",
    [
        {},
        {"temperature": 0.0},
        {"temperature": (0.5, 1.5), "horizon": 7},
        {"termination": "none", "termination_temperature": 0.25, "temperature": 1e-3},
        {"trust_penalty": 0.0, "trust_limit": 0.99},
        {"horizon": 3, "trust_penalty": 1e6},
    ],
)
def test_knobs_come_back(knobs):
    assert from_knobs(pb.Knobs.FromString(to_knobs(knobs).SerializeToString())) == knobs


def test_knobs_that_are_none_are_left_out_and_wrong_ones_refused():
    assert to_knobs({"temperature": None, "horizon": None}) == pb.Knobs()
    for wrong in (
        {"temperature": "hot"},
        {"horizon": 2**70},
        {"colour": 1},
        {"termination": 3},
        {"trust_limit": "no"},
    ):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            to_knobs(wrong)


def test_options_come_back():
    options = {
        "observations": np.zeros((2, 4, 4, 3), np.uint8),
        "actions": np.ones((1, 3), np.float32),
    }
    back = from_options(to_options(options))
    assert list(back) == list(options)
    assert all((back[name] == options[name]).all() for name in options)
    assert from_options(to_options({"start": [1, 2]}))["start"].dtype == np.int64
    assert to_options(None) is to_options({}) is None
    with pytest.raises(ValueError, match="unknown"):
        to_options({"begin": 1})


def test_seeds_travel_as_numbers():
    assert from_tensor(to_seeds([3, None, 2**63 - 1])).tolist() == [3, -1, 2**63 - 1]
    assert to_seeds(None) is None


@pytest.mark.parametrize(
    "space",
    [
        gym.spaces.Discrete(5),
        gym.spaces.Discrete(3, start=-1),
        gym.spaces.Box(-1.0, 1.0, (3,), np.float32),
        gym.spaces.Box(0, 255, (64, 64, 3), np.uint8),
        gym.spaces.Box(np.array([-1.0, 0.0]), np.array([1.0, 2.0]), dtype=np.float64),
    ],
)
def test_spaces_come_back(space):
    back = from_space(pb.Space.FromString(to_space(space).SerializeToString()))
    assert back == space
    assert back.dtype == space.dtype


def test_spaces_that_are_wrong_are_refused():
    with pytest.raises(ValueError, match="kind None"):
        from_space(pb.Space())
    with pytest.raises(ValueError, match="dtype 0"):
        from_space(pb.Space(box=pb.Box()))
    with pytest.raises(TypeError, match="Box or a Discrete"):
        to_space(gym.spaces.Text(3))
