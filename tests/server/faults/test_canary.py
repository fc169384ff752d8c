"""What one session leaves in its lanes is never seen by the next that has them."""

from __future__ import annotations

import numpy as np
import pytest
from dreamenv_client.remote_source import remote_source

from dreamenv.dream import Dream
from dreamenv.packages import load_package

WINDOW = 12
"""Bytes that do not agree by chance: three float32."""


def windows(array: np.ndarray) -> set[bytes]:
    data = array.tobytes()
    return {data[at : at + WINDOW] for at in range(0, len(data) - WINDOW + 1, 4)}


@pytest.mark.parametrize("kind", ["features", "pixels"])
def test_lanes_are_handed_on_without_what_was_in_them(serve, lively, kind):
    address = serve(lanes=4).address
    canary = remote_source(address, "lively", obs=kind).open(4)
    canary.set_knobs(temperature=0.123, horizon=77)
    canary.reset(seeds=[2**62 + 12_345 + lane for lane in range(4)])
    for _ in range(3):
        canary.step(np.full((4, 3), 0.777, np.float32))
    left = canary.snapshot().arrays
    secrets = set().union(*(windows(left[name]) for name in left if name.startswith("state.")))
    secrets |= windows(left["seed"]) | windows(left["horizon"])
    blank = Dream(load_package(lively), 4, obs=kind)
    fresh = blank.snapshot().arrays
    secrets -= set().union(*map(windows, fresh.values()))  # what a dream has that nobody used
    assert len(secrets) > 20
    canary.close()

    heir = remote_source(address, "lively", obs=kind).open(4)  # all the lanes there are
    found = heir.snapshot().arrays
    for name, array in found.items():
        if name.startswith("state."):
            assert not windows(array) & secrets, name
        else:
            assert array.tobytes() == fresh[name].tobytes(), name
    with pytest.raises(RuntimeError, match="never reset"):
        heir.step(np.zeros((4, 3), np.float32))
    shown = heir.reset(seeds=[1, 2, 3, 4])
    expected = blank.reset(seeds=[1, 2, 3, 4])
    assert shown.observation.tobytes() == expected.observation.tobytes()
    heir.close()
