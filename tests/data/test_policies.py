"""Who acts while episodes are collected: random actions, and SB3 policies that explore."""

from __future__ import annotations

import tracemalloc
import zipfile
from itertools import groupby
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import stable_baselines3 as sb3
import torch

from dreamenv.data.collect import CollectConfig, collect
from dreamenv.data.policies import HeldPolicy, RandomPolicy, TrainedPolicy, load_policy, predict
from dreamenv.errors import DataError, PackageError, PolicyError
from dreamenv.packages import load_config
from dreamenv.real import make_real, observation_kind

BOX = gym.spaces.Box(-1, 1, (3,), np.float32)
FRAME = np.zeros((4, 4, 3), np.uint8)


def small() -> dict[str, Any]:
    """Settings of a small untrained model; fresh, for SB3 writes into them."""
    return dict(device="cpu", policy_kwargs={"net_arch": [4]}, seed=0)


class Spaces(gym.Env[Any, Any]):
    """Only spaces: enough to make an untrained policy."""

    def __init__(self, observation: Any, action: Any) -> None:
        self.observation_space, self.action_space = observation, action


@pytest.fixture(scope="module")
def ppo(tiny_package, tmp_path_factory) -> str:
    """An untrained policy over the tiny dream's features."""
    config = load_config(tiny_package)
    env = Spaces(config.observation_space("features"), config.action.space())
    path = tmp_path_factory.mktemp("policies") / "ppo.zip"
    sb3.PPO("MlpPolicy", env, **small()).save(path)
    return str(path)


def play(policy: Any, decisions: int, seed: int = 0) -> np.ndarray:
    policy.begin(FRAME, np.random.default_rng(seed))
    actions = []
    for _ in range(decisions):
        actions.append(policy.act())
        policy.observe(actions[-1], FRAME)
    return np.stack(actions)


def test_random_actions_are_uniform_and_held():
    longest = []
    for seed in range(12):
        actions = play(RandomPolicy(BOX, hold=4), 5_000, seed)
        assert actions.dtype == np.float32
        runs = [len(list(group)) for _, group in groupby(map(tuple, actions))][:-1]
        counts = np.bincount(runs)
        longest.append(len(counts) - 1)
        expected = len(runs) / longest[-1]
        assert counts[0] == 0
        assert (np.abs(counts[1:] - expected) < 5 * np.sqrt(expected)).all()
        distinct = np.unique(actions, axis=0)
        for i in range(3):
            histogram, _ = np.histogram(distinct[:, i], 20, (-1, 1))
            expected = len(distinct) / 20
            assert (np.abs(histogram - expected) < 5 * np.sqrt(expected)).all()
    assert set(longest) == {1, 2, 3, 4}  # each episode has its own


def test_random_discrete_actions():
    actions = play(RandomPolicy(gym.spaces.Discrete(5), hold=1), 10_000)
    assert actions.dtype == np.int64
    assert (np.abs(np.bincount(actions, minlength=5) - 2000) < 5 * np.sqrt(2000)).all()


class Constant:
    """Stands for a model: always the same action, noted when asked."""

    def __init__(self, action: Any) -> None:
        self.action, self.asked = action, []

    def predict(self, observation: Any, deterministic: bool) -> Any:
        self.asked.append(observation)
        return self.action, None


class Counting:
    """Stands for the filter: shows how many frames it has folded in."""

    def __init__(self, space: gym.Space[Any]) -> None:
        self.action_space = space

    def begin(self, frame: Any) -> int:
        self.count = 0
        return 0

    def posterior(self, action: Any, frame: Any) -> int:
        self.count += 1
        return self.count


def trained(space: Any, action: Any, **settings: Any) -> TrainedPolicy:
    settings = dict(noise=0.0, deterministic=True, random_prefix=0, hold=4) | settings
    return TrainedPolicy(Constant(action), Counting(space), **settings)


def test_exploration_noise_is_autoregressive_with_a_scale_an_episode():
    mean = np.float32([0.1, 0.0, -0.1])
    policy = trained(BOX, mean, noise=0.05)
    scales = [(play(policy, 150, seed) - mean).std() for seed in range(100)]
    assert abs(np.mean(scales) - 0.025) < 5 * 0.05 / np.sqrt(12 * 100)
    assert min(scales) < 0.006
    assert 0.042 < max(scales) < 0.065
    long = play(policy, 6_000, 1) - mean
    for i in range(3):
        one = long[:, i] / long[:, i].std()
        for lag in (1, 2, 3):
            assert abs((one[lag:] * one[:-lag]).mean() - 0.8**lag) < 0.08
    assert abs(np.corrcoef(long.T)[0, 1]) < 0.15


def test_noisy_actions_stay_in_bounds():
    actions = play(trained(BOX, np.float32([1, -1, 0]), noise=5.0), 500)
    assert np.abs(actions).max() == 1.0
    assert BOX.contains(actions[0])


def test_without_noise_the_policy_acts_alone_on_what_it_sees():
    policy = trained(BOX, np.float32([0.3, 0, 0]))
    assert (play(policy, 5) == np.float32([0.3, 0, 0])).all()
    assert policy._model.asked == [0, 1, 2, 3, 4]


def test_discrete_exploration_is_a_share_of_uniform_actions():
    policy = trained(gym.spaces.Discrete(4), np.int64(2), noise=1.0)
    others = [np.mean(play(policy, 100, seed) != 2) for seed in range(100)]
    assert abs(np.mean(others) - 0.5 * 3 / 4) < 0.11
    assert min(others) < 0.08
    assert max(others) > 0.6


def test_the_random_prefix_has_every_length():
    policy = trained(BOX, np.float32([0, 0, 0]), random_prefix=3)
    prefixes = []
    for seed in range(400):
        actions = play(policy, 5, seed)
        by_policy = (actions == 0).all(axis=1)
        prefixes.append(int(np.argmax(by_policy)))
        assert by_policy[prefixes[-1] :].all()
    counts = np.bincount(prefixes)
    assert len(counts) == 4
    assert (np.abs(counts - 100) < 5 * 10).all()


@pytest.mark.parametrize("name", ["PPO", "A2C", "SAC", "TD3", "DQN"])
def test_every_algorithm_is_recognised(tmp_path, name):
    action = gym.spaces.Discrete(3) if name == "DQN" else BOX
    env = Spaces(gym.spaces.Box(-8, 8, (6,), np.float32), action)
    buffer = {"buffer_size": 10} if name in ("SAC", "TD3", "DQN") else {}
    model = getattr(sb3, name)("MlpPolicy", env, **small(), **buffer)
    model.save(tmp_path / "policy.zip")
    loaded = load_policy(tmp_path / "policy.zip")
    assert type(loaded).__name__ == name
    seen = np.linspace(-1, 1, 6, dtype=np.float32)
    expected = model.predict(seen, deterministic=True)[0]
    assert np.array_equal(loaded.predict(seen, deterministic=True)[0], expected)


@pytest.mark.parametrize("name", ["PPO", "SAC", "DQN", "gSDE"])
def test_sampling_follows_the_given_generator_alone(name):
    action = gym.spaces.Discrete(3) if name == "DQN" else BOX
    env = Spaces(gym.spaces.Box(-8, 8, (6,), np.float32), action)
    buffer = {"buffer_size": 10} if name in ("SAC", "DQN") else {}
    more = {"use_sde": True} if name == "gSDE" else {}
    algorithm = getattr(sb3, "PPO" if name == "gSDE" else name)
    model = algorithm("MlpPolicy", env, **small(), **buffer, **more)
    seen = np.ones(6, np.float32)

    def sampled(seed: int) -> list[Any]:
        rng = np.random.default_rng(seed)
        return [predict(model, seen, False, rng).tolist() for _ in range(4)]

    first = sampled(1)
    torch.rand(1)  # torch's own generator plays no part …
    state = torch.random.get_rng_state()
    assert sampled(1) == first
    assert torch.equal(torch.random.get_rng_state(), state)  # … and is left alone
    if name != "DQN":
        assert first != sampled(2)
        assert first[0] != first[1]


TEXTS = {
    "other zip": "{",
    "unknown": '{"gamma": 1}',
    "a number": "3",
    "a mark alone": '{"clip_range": 1}',
}


def test_sampling_leaves_nothing_behind():
    """torch.manual_seed would: a call, with its traceback, for each GPU that may yet be used."""
    env = Spaces(gym.spaces.Box(-8, 8, (6,), np.float32), BOX)
    model = sb3.PPO("MlpPolicy", env, **small())
    rng, seen = np.random.default_rng(0), np.zeros((2, 6), np.float32)
    for _ in range(3):
        predict(model, seen, False, rng)
    # A leak is there in every round; what other threads of this process happen to keep is not.
    growth = []
    for _ in range(3):
        tracemalloc.start()
        before = tracemalloc.take_snapshot()
        for _ in range(200):
            predict(model, seen, False, rng)
        grown = tracemalloc.take_snapshot().compare_to(before, "filename")
        tracemalloc.stop()
        growth.append(sum(entry.size_diff for entry in grown))
    assert min(growth) < 20_000


@pytest.mark.parametrize("content", [b"", b"not a zip", "empty zip", *TEXTS])
def test_what_is_no_policy_is_refused(tmp_path, content):
    path = tmp_path / "policy.zip"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            if content != "empty zip":
                archive.writestr("data", TEXTS[content])
    with pytest.raises(PolicyError, match=r"policy.zip: expected a (whole )?policy"):
        load_policy(path)
    with pytest.raises(PolicyError, match="expected a policy"):
        load_policy(tmp_path / "missing.zip")


@pytest.mark.parametrize("damage", ["garbage", "cut", "missing"])
def test_a_damaged_policy_is_refused(ppo, tmp_path, damage):
    path = tmp_path / "policy.zip"
    with zipfile.ZipFile(ppo) as whole, zipfile.ZipFile(path, "w") as archive:
        for name in whole.namelist():
            content = whole.read(name)
            if name == "policy.pth":
                if damage == "missing":
                    continue
                content = b"garbage" if damage == "garbage" else content[: len(content) // 2]
            archive.writestr(name, content)
    with pytest.raises(PolicyError, match=r"policy.zip: expected a whole policy of PPO"):
        load_policy(path)


def test_the_kind_of_observation_is_told_by_its_space(tiny_package):
    config = load_config(tiny_package)
    for kind in ("features", "latent", "pixels"):
        assert observation_kind(config, config.observation_space(kind), "p") == kind
    transposed = gym.spaces.Box(0, 255, (3, *config.observation_shape[:2]), np.uint8)
    assert observation_kind(config, transposed, "p") == "pixels"
    with pytest.raises(PolicyError, match=r"my\.zip: expected a policy over one of tiny's"):
        observation_kind(config, BOX, "my.zip")


def test_a_collected_policy_acts_as_it_would_in_make_real(tiny_package, ppo, tmp_path):
    """Oracle: the policy stepped by hand in make_real, from the recorded seed."""
    real = load_config(tiny_package).real
    config = CollectConfig(
        real,
        tmp_path / "data",
        episodes=1,
        policy=ppo,
        dream=str(tiny_package),
        deterministic=True,
        max_decisions=5,
    )
    threads = torch.get_num_threads()
    rollouts = collect(config)
    assert torch.get_num_threads() == threads
    episode = rollouts.episodes[0]
    assert episode.policy == "ppo.zip"
    env, model = make_real(tiny_package), load_policy(ppo)
    observation, _ = env.reset(seed=episode.seed)
    for action, reward in zip(episode.actions, episode.rewards, strict=True):
        chosen, _ = model.predict(observation, deterministic=True)
        np.testing.assert_allclose(action, chosen, atol=1e-6)
        observation, expected, *_ = env.step(action)
        assert np.float32(expected) == reward
    env.close()


def test_a_sampled_noisy_policy_repeats_whoever_works(tiny_package, ppo, tmp_path):
    config = dict(
        real=load_config(tiny_package).real,
        episodes=2,
        episodes_per_shard=1,
        policy=ppo,
        dream=str(tiny_package),
        noise=0.3,
        random_prefix=2,
        max_decisions=4,
    )
    alone = collect(CollectConfig(out=tmp_path / "one", workers=1, **config)).episodes
    shared = collect(CollectConfig(out=tmp_path / "two", workers=2, **config)).episodes
    for a, b in zip(alone, shared, strict=True):
        assert np.array_equal(a.actions, b.actions)
        assert np.array_equal(a.frames, b.frames)
    assert not np.array_equal(alone[0].actions, alone[1].actions)


def test_a_policy_or_dream_that_is_not_there_is_refused(tiny_package, ppo, tmp_path):
    real, out = load_config(tiny_package).real, tmp_path / "data"
    with pytest.raises(DataError, match=r"policy nowhere\.zip: expected a Stable-Baselines3"):
        collect(CollectConfig(real, out, 1, policy="nowhere.zip", dream=str(tiny_package)))
    with pytest.raises(PackageError):
        collect(CollectConfig(real, out, 1, policy=ppo, dream=str(tmp_path / "nowhere")))
    assert not out.exists()


class Numbering:
    """Acts with the number of frames it saw."""

    def begin(self, frame, rng):
        self.frames = [frame]

    def act(self):
        return np.array(len(self.frames))

    def observe(self, action, frame):
        assert action == len(self.frames)
        self.frames.append(frame)


def test_held_actions_are_decided_by_every_so_many_th_frame():
    policy = HeldPolicy(Numbering(), 3)
    for _ in range(2):  # an episode may end within a decision
        policy.begin(0, np.random.default_rng(0))
        taken = []
        for frame in range(1, 9):
            taken.append(int(policy.act()))
            policy.observe(np.array(taken[-1]), frame)
        assert taken == [1, 1, 1, 2, 2, 2, 3, 3]
        assert policy._policy.frames == [0, 3, 6]
