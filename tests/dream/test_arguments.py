"""Bad input is refused, says what was expected, and changes nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from dreamenv_client.lanes import LaneSnapshot

from dreamenv.dream import Dream
from dreamenv.dream.knobs import check_knobs

STILL = np.zeros((3, 3), np.float32)
NONE = np.zeros(3, bool)
FRAMES = np.zeros((4, 16, 16, 3), np.uint8)
BETWEEN = np.zeros((3, 3), np.float32)


def everything(dream: Dream) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in dream.snapshot().arrays.items()}


def nan_in(array: np.ndarray, *at: int) -> np.ndarray:
    array = array.astype(np.float32)
    array[at] = np.nan
    return array


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"temperature": -0.1}, "temperature is -0.1; expected a number from 0 to 100"),
        ({"temperature": 101}, "temperature is 101"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"temperature": True}, "temperature is True"),
        ({"temperature": "1"}, "temperature is '1'"),
        ({"temperature": [1.3, 0.5]}, r"temperature is \[1.3, 0.5\]"),
        ({"temperature": [0.5]}, "temperature is"),
        ({"temperature": [0.5, np.inf]}, "temperature is"),
        ({"temperature": {"low": 1}}, "temperature is"),
        ({"termination": "sometimes"}, 'expected one of "sample", "threshold", "none"'),
        ({"termination": 0}, "termination is 0"),
        ({"termination_temperature": 0}, "termination_temperature is 0; expected"),
        ({"termination_temperature": 1e-60}, "termination_temperature is 1e-60"),
        ({"termination_temperature": float("nan")}, "termination_temperature is nan"),
        ({"horizon": 0}, "horizon is 0; expected a whole number from 1 to 10,000,000"),
        ({"horizon": 2.5}, "horizon is 2.5"),
        ({"horizon": 10**30}, "horizon is 1000"),
        ({"horizon": float("inf")}, "horizon is inf"),
        ({"trust_penalty": -0.1}, "trust_penalty is -0.1; expected a number from 0 to 1,000,000"),
        ({"trust_penalty": float("nan")}, "trust_penalty is nan"),
        ({"trust_limit": 2e6}, "trust_limit is 2000000"),
        ({"trust_limit": "0.9"}, "trust_limit is '0.9'"),
        ({"trust_limit": True}, "trust_limit is True"),
    ],
)
def test_bad_knobs(dream, small, knobs, message):
    before = everything(dream)
    with pytest.raises(ValueError, match=message):
        dream.set_knobs(**{"termination_temperature": 0.7, **knobs})
    with pytest.raises(ValueError, match=message):
        check_knobs(**knobs)
    with pytest.raises(ValueError, match=message):
        Dream(small, 1, **knobs)
    assert everything(dream) == before


def test_knobs_that_no_dream_has(dream):
    with pytest.raises(ValueError, match=r"unknown knobs \['speed'\]; expected some of"):
        dream.set_knobs(speed=2)
    for lanes in ([3], [-1], [0, 0], [0.5]):
        with pytest.raises(ValueError, match="lanes"):
            dream.set_knobs(lanes, horizon=3)


def test_knobs_of_numpy_are_numbers_too(dream):
    dream.set_knobs(
        [1],
        temperature=np.array([0.2, 0.4]),
        horizon=np.int64(7),
        termination_temperature=np.float32(2),
    )
    arrays = dream.snapshot([1]).arrays
    assert arrays["horizon"] == 7
    assert (arrays["temperature_low"], arrays["temperature_high"]) == (
        np.float32(0.2),
        np.float32(0.4),
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(num_lanes=0), "num_lanes is 0"),
        (dict(num_lanes=2.0), "num_lanes is 2.0"),
        (dict(obs="sound"), 'expected "features", "latent" or "pixels"'),
        (dict(starts="last"), 'starts is \'last\'; expected "first" or "any"'),
        (dict(starts="data"), "starts is 'data' and data is None; expected"),
        (dict(data="data/random"), "starts is None and data is 'data/random'; expected"),
        (dict(starts="any", data="data/random"), "starts is 'any' and data is"),
        (dict(starts="data", data=[]), r"data is \[\]; expected the path of a folder"),
        (dict(starts="data", data=7), "data is 7; expected the path of a folder"),
        (dict(device="abacus"), "device is 'abacus'"),
        (dict(compile="no"), "compile is 'no'; expected True or False"),
    ],
)
def test_bad_arguments(small, arguments, message):
    with pytest.raises(ValueError, match=message):
        Dream(small, **{"num_lanes": 1, **arguments})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (dict(actions=nan_in(STILL, 1, 2)), r"lane 1: action\[2\] is nan"),
        (dict(actions=STILL + 1.5), r"lane 0: action\[0\] is 1.5"),
        (dict(actions=STILL[:2]), r"shape \(2, 3\); expected \(3, 3\)"),
        (dict(actions=STILL.astype(str)), "dtype"),
        (dict(actions=STILL, reset=[True, False, False]), "expected a NumPy array, bool"),
        (dict(actions=STILL, reset=np.ones(2, bool)), r"bool \(2,\); expected"),
        (dict(actions=STILL, reset=np.ones(3)), "float64"),
        (dict(actions=STILL, reset=~NONE, seeds=[1, 2]), "got 2 seeds; expected 3"),
        (dict(actions=STILL, reset=~NONE, seeds=[1, 2, -3]), r"seeds\[2\] is -3"),
        (dict(actions=STILL, reset=~NONE, seeds=[1, 2**63, 3]), r"seeds\[1\] is 9223372036854775"),
        (dict(actions=STILL, reset=~NONE, seeds=[True, 2, 3]), r"seeds\[0\] is True"),
        (dict(actions=STILL, reset=~NONE, seeds=[1.0, 2, 3]), r"seeds\[0\] is 1.0"),
        (dict(actions=STILL, reset=~NONE, seeds=7), "seeds is 7"),
        (dict(actions=STILL, reset=~NONE, options={"speed": 1}), r"unknown \['speed'\]"),
        (
            dict(actions=STILL, reset=~NONE, options={"speed": 1, 2: 3}),
            r"unknown \['speed', 2\]; expected start",
        ),
        (dict(actions=STILL, reset=~NONE, options=5), "options is 5; expected a dict"),
        (dict(actions=STILL, reset=~NONE, options="abc"), "options is 'abc'; expected a dict"),
        (
            dict(actions=STILL, reset=~NONE, options={"start": [1, [2, 3], 4]}),
            r"start: no array \(.*\); expected an integer, or integers of shape \(3,\)",
        ),
        (
            dict(actions=STILL, reset=~NONE, options={"observations": [FRAMES, FRAMES[:2]]}),
            r"observations: no array \(.*\); expected uint8 of shape \(T,",
        ),
        (
            dict(
                actions=STILL,
                reset=~NONE,
                options={"observations": FRAMES, "actions": [BETWEEN[0], BETWEEN[0, :2], 1]},
            ),
            r"actions: no array \(.*\); expected an array of shape \(3, 3\)",
        ),
        (dict(actions=STILL, reset=~NONE, options={"start": 40}), "expected numbers from 0 to 39"),
        (dict(actions=STILL, reset=~NONE, options={"start": -1}), "from 0 to 39"),
        (dict(actions=STILL, reset=~NONE, options={"start": [1, 2]}), r"shape \(3,\)"),
        (dict(actions=STILL, reset=~NONE, options={"start": 1.0}), "dtype float64"),
        (dict(actions=STILL, reset=~NONE, options={"actions": BETWEEN}), "actions without obs"),
        (
            dict(actions=STILL, reset=~NONE, options={"start": 0, "observations": FRAMES}),
            "both start and observations",
        ),
        (
            dict(actions=STILL, reset=~NONE, options={"observations": FRAMES}),
            "4 observations without actions; expected 3",
        ),
        (
            dict(
                actions=STILL,
                reset=~NONE,
                options={"observations": FRAMES / 255, "actions": BETWEEN},
            ),
            "dtype float64; expected uint8 of shape",
        ),
        (
            dict(
                actions=STILL,
                reset=~NONE,
                options={"observations": FRAMES[:, 1:], "actions": BETWEEN},
            ),
            r"shape \(4, 15, 16, 3\)",
        ),
        (
            dict(actions=STILL, reset=~NONE, options={"observations": FRAMES[:0]}),
            "T at least 1",
        ),
        (
            dict(
                actions=STILL,
                reset=~NONE,
                options={"observations": FRAMES, "actions": BETWEEN[:2]},
            ),
            r"actions has shape \(2, 3\); expected \(3, 3\) or \(3, 3, 3\)",
        ),
        (
            dict(
                actions=STILL,
                reset=~NONE,
                options={"observations": FRAMES, "actions": nan_in(BETWEEN, 1, 0)},
            ),
            r"actions, number 1: lane 0: action\[0\] is nan",
        ),
    ],
)
def test_bad_calls(dream, call, message):
    before = everything(dream)
    with pytest.raises(ValueError, match=message):
        dream.step(**call)
    if "reset" in call:
        with pytest.raises(ValueError, match=message):
            dream.reset(call["reset"], call.get("seeds"), call.get("options"))
    assert everything(dream) == before


def test_lanes_that_cannot_be_stepped(dream, small):
    fresh = Dream(small, 3)
    fresh.reset(np.array([True, False, False]))
    with pytest.raises(RuntimeError, match=r"lanes \[1, 2\] were never reset: reset them"):
        fresh.step(STILL)
    with pytest.raises(RuntimeError, match="never reset"):
        fresh.branch([1], [0])
    fresh.step(STILL, reset=np.array([False, True, True]))
    dream.set_knobs([2], horizon=1)
    shown = dream.step(STILL)
    assert shown.truncated[2] or shown.terminated[2]
    before = everything(dream)
    with pytest.raises(RuntimeError, match="the episode is over in lanes"):
        dream.step(STILL)
    assert everything(dream) == before


def test_bad_branches(dream):
    before = everything(dream)
    for source, target, seeds in [
        ([0], [1, 2], None),
        ([0, 0], [1, 1], None),
        ([3], [0], None),
        ([0], [-1], None),
        ([0], [1], [1, 2]),
        ([0], [1], [-1]),
    ]:
        with pytest.raises(ValueError, match=r"lane|seed"):
            dream.branch(source, target, seeds)
    assert everything(dream) == before


def changed(name: str, change) -> object:
    """A snapshot with one array changed."""
    return lambda s: replace(s, arrays={**s.arrays, name: change(s.arrays[name])})


def put(value) -> object:
    def change(array):
        array = array.copy()
        array.reshape(-1)[0] = value
        return array

    return change


@pytest.mark.parametrize(
    ("forge", "message"),
    [
        (lambda s: s.arrays, "snapshot is a dict; expected a LaneSnapshot"),
        (lambda s: replace(s, model="other"), "the snapshot is of model 'other'; expected"),
        (lambda s: replace(s, arrays={}), r"the snapshot holds \[\]; expected"),
        (lambda s: replace(s, arrays={**s.arrays, "x": np.ones(3)}), "the snapshot holds"),
        (changed("seed", lambda a: a.tolist()), "seed is list; expected int64"),
        (changed("seed", put(-2)), "seed reaches from -2"),
        (changed("seed", put(-1)), "begun without a seed"),
        (changed("episode", put(-1)), "episode reaches"),
        (changed("step", put(2**40)), "step reaches"),
        (changed("step", lambda a: a.astype(np.int32)), r"step is int32 \(3,\); expected int64"),
        (changed("step", lambda a: a[:2]), r"step is int64 \(2,\); expected"),
        (changed("status", put(4)), "status reaches"),
        (changed("status", put(0)), "begun without a seed"),
        (changed("temperature", put(np.nan)), "temperature holds NaN"),
        (changed("temperature", put(1e9)), "temperature reaches"),
        (changed("temperature_low", put(2)), "temperature_low exceeds"),
        (changed("termination", put(3)), "termination reaches"),
        (changed("termination_temperature", put(0)), "termination_temperature reaches"),
        (changed("horizon", put(0)), "horizon reaches"),
        (changed("state.h", put(np.inf)), "state.h holds NaN or infinity"),
        (changed("state.h", lambda a: a[:, 1:]), r"state.h is float32 \(3, 7\)"),
        (changed("state.z", lambda a: a.astype(">f4")), "state.z is >f4"),
        (changed("state.z", lambda a: a.astype(object)), "state.z is object"),
    ],
)
def test_forged_snapshots(dream, forge, message):
    before = everything(dream)
    with pytest.raises(ValueError, match=message):
        dream.restore(forge(dream.snapshot()))
    assert everything(dream) == before


def test_snapshots_fit_their_lanes_and_their_package(dream, car):
    snapshot = dream.snapshot()
    with pytest.raises(ValueError, match=r"expected .* \(2,\)"):
        dream.restore(snapshot, [0, 1])
    with pytest.raises(ValueError, match="dream of the package that it was taken from"):
        Dream(car, 3).restore(snapshot)
    assert len(snapshot) == 3
    assert isinstance(snapshot, LaneSnapshot)


def test_compiling_without_a_compiler(small, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(RuntimeError, match="no 'no-such-compiler' on the PATH: install one"):
        Dream(small, 1, compile=True)
