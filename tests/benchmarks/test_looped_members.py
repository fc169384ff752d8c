import pytest
import torch
from looped_members import Looped

from dreamenv.models.world_model import Noise


@pytest.mark.parametrize("rows", ["all", "own"])
def test_the_loop_that_is_raced_against_computes_the_same(make_unsure_package, rows):
    model = make_unsure_package(propagation=0).world_model()
    draw = torch.Generator().manual_seed(0)
    state = model.begin({"s": torch.randn(33, 4, generator=draw)})
    action = torch.rand(33, 3, generator=draw) * 2 - 1
    noise = Noise(torch.rand(33, 1, generator=draw), torch.randn(33, 4, generator=draw))
    temperature = torch.rand(33, generator=draw)
    with torch.inference_mode():
        expected = model.step(state, action, temperature, noise)
        found = Looped(model, rows).step(state, action, temperature, noise)
    torch.testing.assert_close(found.state, expected.state)
    torch.testing.assert_close(found.reward, expected.reward)
    torch.testing.assert_close(found.termination_logit, expected.termination_logit)
    if rows == "all":
        torch.testing.assert_close(found.uncertainty, expected.uncertainty)
