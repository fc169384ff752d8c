"""Dreams of ensembles: a lane is bitwise the same in any company, and strangers do no harm."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import numpy as np
import pytest
import torch
from dreamenv_client.lanes import LaneSnapshot

from dreamenv.config import BoxAction, DiscreteAction, PackageConfig, RealSpec
from dreamenv.dream import Dream
from dreamenv.dream.imagination import Imagination
from dreamenv.models.ensemble import Ensemble, EnsembleSizes
from dreamenv.models.families import build
from dreamenv.models.propagation import PROPAGATIONS
from dreamenv.packages import Package


def random_ensemble(numbers: int, *, propagation: str = "ts1", discrete: bool = False) -> Package:
    """With random weights, of so many numbers and two actions."""
    sizes = EnsembleSizes(
        observation=numbers, action=2, members=6, hidden=32, layers=2, outcome=16,
        propagation=PROPAGATIONS.index(propagation), discrete=int(discrete),
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(numbers)
        model = Ensemble(sizes)
        bank = torch.randn(32, numbers).half()
    config = PackageConfig(
        name="random",
        family="ensemble",
        sizes=asdict(sizes),
        observation_shape=[numbers],
        observation_dtype="float32",
        action=DiscreteAction(n=2) if discrete else BoxAction(size=2),
        latent=numbers,
        features=numbers,
        latent_bound=sizes.latent_bound,
        real=RealSpec(env_id="Hopper-v5"),
    )
    starts = {"s": bank, "first": torch.ones(32, dtype=torch.uint8)}
    return Package(config, dict(model.state_dict()), starts)


@pytest.fixture
def _two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def stable(package: Package) -> bool:
    with torch.inference_mode():
        return Imagination(package, 256, "features").lengths.plan.stable


@pytest.mark.usefixtures("_one_thread")
@pytest.mark.parametrize("numbers", range(1, 21))
def test_rows_are_independent_whatever_the_width(numbers):
    """Three numbers give six outputs, of which torch's batched product rounds some otherwise for
    every other number of rows."""
    assert stable(random_ensemble(numbers))


@pytest.mark.usefixtures("_two_threads")
@pytest.mark.parametrize("numbers", [3, 11])
def test_rows_are_independent_with_two_threads(numbers):
    assert stable(random_ensemble(numbers))


@pytest.mark.usefixtures("_one_thread")
@pytest.mark.parametrize("uncertainty", [True, False])
@pytest.mark.parametrize("propagation", PROPAGATIONS)
@pytest.mark.parametrize("numbers", [3, 11])
def test_a_lane_dreams_the_same_alone_and_among_256(numbers, propagation, uncertainty):
    package = random_ensemble(numbers, propagation=propagation)
    keywords = dict(temperature=[0.5, 1.3], horizon=9, uncertainty=uncertainty)
    many, few, one = (Dream(package, lanes, **keywords) for lanes in (256, 7, 1))
    lanes = [np.arange(256), np.arange(250, 243, -1), np.array([77])]
    dreams = [many, few, one]
    shown = [d.reset(seeds=at.tolist()) for d, at in zip(dreams, lanes, strict=True)]
    actions = np.random.default_rng(0).uniform(-1, 1, (25, 256, 2)).astype(np.float32)
    ended = 0
    for action in actions:
        over = shown[0].terminated | shown[0].truncated
        ended += over.sum()
        shown = [
            dream.step(action[at], reset=over[at]) for dream, at in zip(dreams, lanes, strict=True)
        ]
        for found, at in zip(shown[1:], lanes[1:], strict=True):
            assert found.observation.tobytes() == shown[0].observation[at].tobytes()
            assert found.reward.tobytes() == shown[0].reward[at].tobytes()
            assert found.terminated.tobytes() == shown[0].terminated[at].tobytes()
            for name, values in shown[0].info.items():
                assert found.info[name].tobytes() == values[at].tobytes()
    assert ended > 300, "too few episodes ended for this to say much"


@pytest.mark.parametrize("uncertainty", [True, False])
def test_discrete_actions_are_dreamt_of_too(uncertainty):
    dream = Dream(random_ensemble(4, discrete=True), 5, uncertainty=uncertainty, temperature=0.0)
    dream.reset(seeds=[3] * 5, options={"start": 0})
    shown = dream.step(np.array([0, 1, 0, 1, 1]))
    rows = [row.tobytes() for row in shown.observation]
    assert rows[0] == rows[2]
    assert rows[1] == rows[3] == rows[4]
    assert rows[0] != rows[1]


@pytest.mark.parametrize("propagation", ["ts1", "tsinf", "member"])
def test_a_strangers_member_does_no_harm(propagation):
    """Not even to lanes beside it."""
    package = random_ensemble(3, propagation=propagation)
    dream, twin = (Dream(package, 4, termination="none") for _ in range(2))
    for one in (dream, twin):
        one.reset(seeds=range(4))
    snapshot = dream.snapshot([0, 1, 2])
    named = np.array([10**12, -(10**12), -(2**63)])
    assert snapshot.arrays["state.member"].dtype == named.dtype
    changed = LaneSnapshot(snapshot.model, snapshot.arrays | {"state.member": named})
    dream.restore(changed, [0, 1, 2])
    for _ in range(3):
        action = np.full((4, 2), 0.5, np.float32)
        found, own = dream.step(action), twin.step(action)
        assert np.isfinite(found.observation).all()
        assert np.isfinite(found.reward).all()
        assert found.observation[3].tobytes() == own.observation[3].tobytes()


def test_a_strangers_state_that_is_no_number_is_refused():
    dream = Dream(random_ensemble(3), 2)
    dream.reset(seeds=[1, 2])
    snapshot = dream.snapshot()
    for wrong in (np.nan, np.inf):
        s = snapshot.arrays["state.s"].copy()
        s[1, 2] = wrong
        with pytest.raises(ValueError, match=r"state\.s holds NaN or infinity"):
            dream.restore(LaneSnapshot(snapshot.model, snapshot.arrays | {"state.s": s}))
    member = np.array([0.0, np.nan])
    with pytest.raises(ValueError, match=r"state\.member is float64"):
        dream.restore(LaneSnapshot(snapshot.model, snapshot.arrays | {"state.member": member}))


def test_a_strangers_state_out_of_bounds_comes_back_into_them():
    dream = Dream(random_ensemble(3), 1)
    dream.reset(seeds=[1])
    snapshot = dream.snapshot()
    far = np.full((1, 3), 3e38, np.float32)
    dream.restore(LaneSnapshot(snapshot.model, snapshot.arrays | {"state.s": far}))
    shown = dream.step(np.zeros((1, 2), np.float32))
    assert dream.observation_space.contains(shown.observation[0])
    assert np.isfinite(shown.reward).all()


def test_lanes_that_begin_with_real_observations_spread_over_the_elites():
    """Under TS∞, at temperature 0, lanes differ by the elite that they follow and nothing else."""
    package = random_ensemble(3, propagation="tsinf")
    dream = Dream(package, 200, temperature=0.0, termination="none")
    observation = np.ones((1, 3), np.float32)
    dream.reset(seeds=range(200), options={"observations": observation})
    first = dream.step(np.zeros((200, 2), np.float32)).observation
    groups = np.unique(first.round(4), axis=0, return_inverse=True)[1].ravel()
    counts = np.bincount(groups)
    assert len(counts) == 5
    # Five standard deviations of a binomial count of 200 draws at 1/5.
    assert np.abs(counts - 40).max() < 5 * np.sqrt(200 * 0.2 * 0.8)
    for _ in range(3):  # each lane keeps its elite: the groups stay together
        shown = dream.step(np.zeros((200, 2), np.float32)).observation
        for group in range(5):
            assert np.allclose(shown[groups == group], shown[groups == group][0], atol=1e-4)


def test_the_widest_sizes_are_sizes_that_no_memory_is_asked_for():
    """The names and shapes of a hostile config cost nothing; 68 GB, were they allocated."""
    package = random_ensemble(3)
    wide = dict(members=64, elites=64, hidden=4096, layers=16, outcome=4096)
    config = package.config.model_copy(update={"sizes": package.config.sizes | wide})
    with torch.device("meta"):
        state = build(config).state_dict()
    assert sum(t.numel() for t in state.values()) * 4 > 60e9
    assert {t.device.type for t in state.values()} == {"meta"}
    wider = config.model_copy(update={"sizes": config.sizes | {"members": 65}})
    with pytest.raises(ValueError, match="members: expected a whole number 1 to 64, got 65"):
        build(wider)
