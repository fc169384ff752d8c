import numpy as np
import pytest
import torch
from linear_model import Linear

from dreamenv.models.ensemble import Ensemble, EnsembleSizes
from dreamenv.training.transitions import Transitions


@pytest.mark.parametrize("discrete", [0, 1])
def test_a_linear_system_is_found_in_any_units(discrete):
    rng = np.random.default_rng(0)
    matrix, gain = np.eye(3) + 0.1 * rng.normal(size=(3, 3)), rng.normal(size=(2, 3))
    s = rng.normal(size=(500, 3)) * [1.0, 3.0, 0.5] + [5.0, 0.0, -1.0]
    if discrete:
        action = rng.integers(2, size=500)
        acted = np.eye(2)[action]
    else:
        acted = action = rng.uniform(-1, 1, (500, 2)).astype(np.float32)
    following = s @ matrix + acted @ gain + 0.3
    data = Transitions(
        torch.tensor(s, dtype=torch.float32),
        torch.tensor(action),
        torch.tensor(following, dtype=torch.float32),
        torch.zeros(500),
        torch.zeros(500),
    )
    units = Ensemble(EnsembleSizes(observation=3, action=2, discrete=discrete))
    units.mean.copy_(data.observation.mean(0))
    units.scale.copy_(data.observation.std(0))
    said = Linear(units, data).step(units.normalised(data.observation).double(), data.action)
    expected = (following - units.mean.double().numpy()) / units.scale.double().numpy()
    np.testing.assert_allclose(said, expected, atol=2e-4)
