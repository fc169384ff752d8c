"""Episodes by decisions of several frames, against a plain loop over them."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from dreamenv.training.sequences import RealSequence, spanning


@given(st.data())
def test_spanning_is_what_an_env_that_repeats_actions_would_have_recorded(data):
    frames, length = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 17))
    offset = data.draw(st.integers(0, frames - 1))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    discrete = data.draw(st.booleans())
    actions = rng.integers(3, size=length) if discrete else rng.normal(size=(length, 2))
    z = torch.from_numpy(rng.normal(size=(length + 1, 4))).float()
    rewards = torch.from_numpy(rng.normal(size=length)).float()
    taken = torch.from_numpy(actions if discrete else actions.astype(np.float32))
    seen = RealSequence(z, -z, taken, rewards, bool(rng.integers(2)), shows_ending=False)
    found = spanning(seen, frames, offset, 3)
    if offset >= length:
        assert found is None
        return
    vectors = np.eye(3)[actions] if discrete else actions
    shown, paid, done, at = [z[offset]], [], [], offset
    while at < length:
        block = range(at, min(at + frames, length))
        done.append(np.mean([vectors[i] for i in block], axis=0))
        paid.append(sum(float(rewards[i]) for i in block))
        at = block.stop
        shown.append(z[at])
    assert torch.equal(found.mean, torch.stack(shown))
    assert torch.equal(found.log_variance, -torch.stack(shown))
    np.testing.assert_allclose(found.actions.numpy(), np.array(done), atol=1e-6)
    np.testing.assert_allclose(found.rewards.numpy(), paid, atol=1e-5)
    assert (found.terminated, found.shows_ending) == (seen.terminated, False)
    assert len(found) == len(paid)
