"""The compiled step dreams what the plain one does, and as independently of the batch."""

from __future__ import annotations

import os
import shutil
import sys

import numpy as np
import pytest

from dreamenv.dream import Dream
from dreamenv.dream.together import step_together

COMPILER = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")


needs_compiler = pytest.mark.skipif(
    shutil.which(COMPILER) is None, reason=f"no C++ compiler {COMPILER!r} here"
)


@needs_compiler
def test_a_compiled_lane_dreams_the_same_in_any_batch(small, actions_of) -> None:
    plain = Dream(small, 1)
    one, many = (Dream(small, lanes, compile=True) for lanes in (1, 9))
    assert "eager" in plain.fingerprint
    assert "compiled" in one.fingerprint
    shown = {
        dream: dream.reset(seeds=range(8 - dream.num_lanes + 1, 9)) for dream in (plain, one, many)
    }
    for action in actions_of(0, 20):
        for dream, before in shown.items():
            over = before.terminated | before.truncated
            shown[dream] = dream.step(np.tile(action, (dream.num_lanes, 1)), reset=over)
        for name in ("observation", "reward", "terminated", "truncated"):
            alone, last = getattr(shown[one], name)[0], getattr(shown[many], name)[8]
            assert alone.tobytes() == last.tobytes(), name
            # The same sums, rounded otherwise.
            np.testing.assert_allclose(alone, getattr(shown[plain], name)[0], atol=1e-3)


@needs_compiler
def test_compiled_parts_dream_the_same_together_as_alone(small, actions_of) -> None:
    table = Dream(small, 40, compile=True, termination="none")
    parts = [table.part([7]), table.part(range(39, 9, -1)), table.part([1, 0])]
    alone = [table.part([3]), Dream(small, 30, compile=True, termination="none")]
    for part in (*parts, *alone):
        part.reset(seeds=range(part.num_lanes))
    for action in actions_of(0, 5):
        given = [np.tile(action, (part.num_lanes, 1)) for part in parts]
        shown = step_together([p.check(a) for p, a in zip(parts, given, strict=True)])
        for found, one, own in zip(shown, alone, given, strict=False):
            expected = one.step(own)
            assert found.observation.tobytes() == expected.observation.tobytes()
            assert found.reward.tobytes() == expected.reward.tobytes()
