"""Learning in a dream: reproducible, an ordinary SB3 file, mistakes refused in words."""

from __future__ import annotations

import base64
import dataclasses
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import stable_baselines3
import torch
from dreamenv_client.sb3 import DreamVecEnv as FaceVecEnv

import dreamenv.sb3
from dreamenv.data.collect import CollectConfig, collect
from dreamenv.errors import PolicyError
from dreamenv.learn import learn
from dreamenv.learn_defaults import LearnDefaults, parse_settings
from dreamenv.learners import DEFAULTS
from dreamenv.packages import load_config, save_package
from dreamenv.real_specs import load_real_spec

SMALL = {"n_steps": 16, "batch_size": 32, "n_epochs": 2, "net_arch": [8]}


def parameters(path: Path, algorithm: str = "PPO") -> dict[str, torch.Tensor]:
    model = getattr(stable_baselines3, algorithm).load(path, device="cpu")
    return model.policy.state_dict()


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


def test_it_leaves_an_ordinary_policy(tiny_package, tmp_path):
    shown = []
    learned = learn(
        tiny_package,
        out=tmp_path / "new" / "policy",
        timesteps=300,
        num_envs=4,
        hyperparameters=SMALL,
        progress=lambda *call: shown.append(call),
    )
    assert learned.path == tmp_path / "new" / "policy.zip"
    assert [p.name for p in learned.path.parent.iterdir()] == ["policy.zip"]
    assert learned.timesteps == 320  # whole rollouts of 4 · 16
    assert learned.seconds > 0
    assert learned.steps_per_second == learned.timesteps / learned.seconds
    model = stable_baselines3.PPO.load(learned.path, device="cpu")
    config = load_config(tiny_package)
    assert model.observation_space == config.observation_space("features")
    assert model.action_space == config.action.space()
    env = dreamenv.sb3.DreamVecEnv(tiny_package, num_envs=2)
    action, _ = model.predict(env.reset())
    assert env.step(action)[1].shape == (2,)
    # The curve: of dream episodes that ended, up to the last decision.
    assert learned.curve[-1][0] == 320
    assert all(np.isfinite(value) for _, value in learned.curve)
    stage, done, total, figures = shown[-1]
    assert (stage, done, total) == ("learn", 300, 300)
    assert figures["dream return"] == learned.curve[-1][1]
    assert figures["steps/s"] > 0


def test_the_seed_decides_the_policy(tiny_package, tmp_path):
    arguments = dict(timesteps=128, num_envs=4, hyperparameters=SMALL)
    one, two, other = (
        parameters(learn(tiny_package, out=tmp_path / name, seed=seed, **arguments).path)
        for name, seed in (("a", 3), ("b", 3), ("c", 4))
    )
    assert same(one, two)
    assert not same(one, other)


def test_with_normalized_rewards_their_unit_does_not_matter(tiny_package, tmp_path, monkeypatch):
    step = FaceVecEnv.step_wait
    learned = {}
    for unit in (2.0**12, 2.0**20):

        def scaled(env, unit=unit):
            observations, rewards, *rest = step(env)
            return observations, rewards * np.float32(unit), *rest

        monkeypatch.setattr(FaceVecEnv, "step_wait", scaled)
        for normalize in (True, False):
            learned[unit, normalize] = learn(
                tiny_package,
                out=tmp_path / f"{unit}-{normalize}",
                timesteps=256,
                num_envs=4,
                hyperparameters=SMALL | {"normalize_reward": normalize},
            )
    small, large = (parameters(learned[unit, True].path) for unit in (2.0**12, 2.0**20))
    assert all(torch.allclose(small[n], large[n], rtol=0, atol=1e-4) for n in small)
    small, large = (parameters(learned[unit, False].path) for unit in (2.0**12, 2.0**20))
    assert not all(torch.allclose(small[n], large[n], rtol=0, atol=1e-4) for n in small)
    # What is told of the dream is in its own unit.
    first, second = (learned[unit, True].curve[-1][1] for unit in (2.0**12, 2.0**20))
    assert second == pytest.approx(first * 2**8, rel=0.05)
    assert abs(second) > 100


def test_what_is_not_given_is_the_packages_own(make_package, tmp_path, monkeypatch):
    package = make_package()
    recipe = LearnDefaults(
        algo="a2c",
        timesteps=64,
        num_envs=3,
        dream={"horizon": 5, "temperature": [0.5, 1.5], "starts": "any"},
        hyperparameters={"n_steps": 4, "net_arch": [6], "gamma": 0.9},
    )
    config = package.config.model_copy(update={"learn": recipe})
    path = save_package(dataclasses.replace(package, config=config), tmp_path / "own", "")
    made = []
    init = FaceVecEnv.__init__

    def recorded(env, source, num_envs=1, **settings):
        made.append((num_envs, source.open.knobs))
        init(env, source, num_envs, **settings)

    monkeypatch.setattr(FaceVecEnv, "__init__", recorded)
    learned = learn(path, out=tmp_path / "policy.zip")
    model = stable_baselines3.A2C.load(learned.path, device="cpu")
    assert learned.timesteps == 72  # 64, in whole rollouts of 3 · 4
    assert (model.n_envs, model.n_steps, model.gamma) == (3, 4, 0.9)
    assert model.policy_kwargs["net_arch"] == [6]
    assert made == [
        (3, {"device": "cpu", "horizon": 5, "temperature": (0.5, 1.5), "starts": "any"})
    ]
    # Another algorithm than the recipe's gets its own defaults, and what is given goes first.
    given = learn(
        path,
        out=tmp_path / "other.zip",
        algo="ppo",
        timesteps=8,
        num_envs=2,
        knobs={"horizon": 7},
        hyperparameters={"n_steps": 4, "batch_size": 8},
    )
    model = stable_baselines3.PPO.load(given.path, device="cpu")
    assert (model.n_envs, model.n_steps, model.batch_size) == (2, 4, 8)
    assert (model.gamma, model.n_epochs) == (DEFAULTS["ppo"]["gamma"], DEFAULTS["ppo"]["n_epochs"])
    assert model.policy_kwargs["net_arch"] == DEFAULTS["ppo"]["net_arch"]
    assert model.policy_kwargs["log_std_init"] == DEFAULTS["ppo"]["log_std_init"]
    assert made[1] == (2, made[0][1] | {"horizon": 7})


def test_the_learning_rate_falls_to_its_final_value(tiny_package, tmp_path, monkeypatch):
    rates = []
    train = stable_baselines3.PPO.train

    def recorded(model):
        train(model)
        rates.append(model.policy.optimizer.param_groups[0]["lr"])

    monkeypatch.setattr(stable_baselines3.PPO, "train", recorded)
    learned = learn(
        tiny_package,
        out=tmp_path / "policy.zip",
        timesteps=256,
        num_envs=4,
        hyperparameters=SMALL | {"learning_rate": 5e-3, "final_learning_rate": 1e-3},
    )
    # Four updates, each at the rate for what is left of the decisions when it comes.
    assert rates == pytest.approx([4e-3, 3e-3, 2e-3, 1e-3])
    schedule = stable_baselines3.PPO.load(learned.path, device="cpu").lr_schedule
    assert [schedule(left) for left in (1.0, 0.5, 0.0)] == pytest.approx([5e-3, 3e-3, 1e-3])


def test_the_file_needs_no_dreamenv(tiny_package, tmp_path):
    """What SB3 pickled into it names nothing of ours, so it loads where only SB3 is installed."""
    arguments = dict(timesteps=64, num_envs=4, hyperparameters=SMALL)
    learned = learn(tiny_package, out=tmp_path / "policy.zip", **arguments)
    with zipfile.ZipFile(learned.path) as archive:
        data = json.loads(archive.read("data"))
    pickled = {
        name: base64.b64decode(value[":serialized:"])
        for name, value in data.items()
        if isinstance(value, dict) and ":serialized:" in value
    }
    assert "learning_rate" in pickled
    assert not [name for name, value in pickled.items() if b"dreamenv" in value]


@pytest.mark.parametrize("algo", ["sac", "td3"])
def test_off_policy_algorithms_learn_too(tiny_package, tmp_path, algo):
    settings = {"learning_starts": 16, "gradient_steps": 1, "buffer_size": 200, "net_arch": [8]}
    learned = learn(
        tiny_package,
        out=tmp_path / "policy.zip",
        algo=algo,
        timesteps=40,
        num_envs=4,
        hyperparameters=settings,
    )
    model = getattr(stable_baselines3, algo.upper()).load(learned.path, device="cpu")
    assert model.num_timesteps == learned.timesteps == 40


def test_dqn_learns_discrete_actions(tiny_discrete_package, tmp_path):
    settings = {"learning_starts": 8, "gradient_steps": 1, "buffer_size": 200, "net_arch": [8]}
    learned = learn(
        tiny_discrete_package,
        out=tmp_path / "policy.zip",
        algo="dqn",
        timesteps=24,
        num_envs=4,
        hyperparameters=settings,
    )
    model = stable_baselines3.DQN.load(learned.path, device="cpu")
    assert model.action_space.n == 5


def test_first_horizons_are_staggered_and_then_whole(tiny_package, tmp_path, monkeypatch):
    """Lengths of finished episodes, lane by lane: the first 1 to the horizon, all others it."""
    lengths: list[list[int]] = [[] for _ in range(8)]
    now = np.zeros(8, dtype=int)
    step = FaceVecEnv.step_wait

    def recorded(env):
        result = step(env)
        now[:] += 1
        for lane in np.flatnonzero(result[2]):
            assert result[3][lane]["TimeLimit.truncated"]
            lengths[lane].append(int(now[lane]))
            now[lane] = 0
        return result

    monkeypatch.setattr(FaceVecEnv, "step_wait", recorded)
    learn(
        tiny_package,
        out=tmp_path / "policy.zip",
        timesteps=8 * 64,
        num_envs=8,
        knobs={"horizon": 20, "termination": "none"},
        hyperparameters=SMALL,
    )
    assert all(len(lane) >= 3 for lane in lengths)
    assert {length for lane in lengths for length in lane[1:]} == {20}
    first = [lane[0] for lane in lengths]
    assert all(1 <= length <= 20 for length in first)
    assert len(set(first)) > 3


def test_a_policy_appears_when_it_is_whole(tiny_package, tmp_path, monkeypatch):
    """Killed while it is written: the file that was there stays."""
    path = tmp_path / "policy.zip"
    path.write_bytes(b"the last one")
    save = stable_baselines3.PPO.save

    def killed(model, file):
        save(model, file)
        raise KeyboardInterrupt

    monkeypatch.setattr(stable_baselines3.PPO, "save", killed)
    arguments = dict(out=path, timesteps=64, num_envs=4, hyperparameters=SMALL)
    with pytest.raises(KeyboardInterrupt):
        learn(tiny_package, **arguments)
    assert path.read_bytes() == b"the last one"
    monkeypatch.undo()
    learn(tiny_package, **arguments)
    assert zipfile.is_zipfile(path)
    assert [p.name for p in tmp_path.iterdir()] == ["policy.zip"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"algo": "trpo"}, "algo: expected one of a2c, cma, dqn, ppo, sac, td3, got 'trpo'"),
        ({"algo": "dqn"}, r"dqn on Box\(-1.0, 1.0, \(3,\), float32\): .*Discrete"),
        ({"hyperparameters": {"gama": 0.9}}, "ppo on Box.*gama"),
        ({"timesteps": 0}, "timesteps: expected at least 1, got 0"),
        ({"num_envs": 0}, "expected .*1"),
        ({"knobs": {"horizon": 0}}, "horizon"),
        ({"knobs": {"temperature": -1.0}}, "temperature"),
        ({"knobs": {"starts": "last"}}, "starts"),
    ],
)
def test_what_cannot_be_learned_is_refused(tiny_package, tmp_path, settings, message):
    arguments = dict(timesteps=64, num_envs=4) | settings
    with pytest.raises(ValueError, match=message):
        learn(tiny_package, out=tmp_path / "policy.zip", **arguments)
    assert not list(tmp_path.iterdir())


def test_continuous_algorithms_refuse_discrete_actions(tiny_discrete_package, tmp_path):
    with pytest.raises(ValueError, match=r"sac on Discrete\(5\): .*Box"):
        learn(tiny_discrete_package, out=tmp_path / "p.zip", algo="sac", timesteps=8, num_envs=2)


OFF_POLICY = {"learning_starts": 40, "batch_size": 8, "gradient_steps": 1, "net_arch": [8]}


def test_a_replay_buffer_is_no_larger_than_what_it_will_hold(tiny_package, tmp_path):
    """And learns bitwise as SB3's own million rows do, of which the most would never be written."""
    learned = {}
    for name, more in (("own", {}), ("million", {"buffer_size": 1_000_000})):
        path = learn(
            tiny_package,
            out=tmp_path / name,
            algo="sac",
            timesteps=70,
            num_envs=4,
            hyperparameters=OFF_POLICY | more,
        ).path
        learned[name] = stable_baselines3.SAC.load(path, device="cpu")
    assert same(*(model.policy.state_dict() for model in learned.values()))
    assert learned["own"].buffer_size == learned["own"].num_timesteps == 72  # whole steps of 4


@pytest.fixture
def steady(tiny_package, tmp_path) -> Path:
    """A SAC of the tiny dream that always does the same, 0.5, however it is sampled."""
    path = learn(
        tiny_package,
        out=tmp_path / "steady.zip",
        algo="sac",
        timesteps=60,
        num_envs=4,
        hyperparameters=OFF_POLICY,
    ).path
    model = stable_baselines3.SAC.load(path, device="cpu")
    with torch.no_grad():
        for layer, bias in ((model.actor.mu, np.arctanh(0.5)), (model.actor.log_std, -20.0)):
            layer.weight.zero_()
            layer.bias.fill_(bias)
    model.save(path)
    return path


@pytest.mark.parametrize("goes_on", [True, False])
def test_a_policy_that_goes_on_fills_the_buffer_itself(
    tiny_package, tmp_path, monkeypatch, steady, goes_on
):
    acted, updates = [], []
    step, train = FaceVecEnv.step_async, stable_baselines3.SAC.train

    def recorded_step(env, actions):
        acted.append(np.array(actions))
        step(env, actions)

    def recorded_train(model, **asked):
        updates.append((model.num_timesteps, asked["gradient_steps"]))
        train(model, **asked)

    monkeypatch.setattr(FaceVecEnv, "step_async", recorded_step)
    monkeypatch.setattr(stable_baselines3.SAC, "train", recorded_train)
    learned = learn(
        tiny_package,
        out=tmp_path / "on.zip",
        algo="sac",
        timesteps=60,
        num_envs=4,
        hyperparameters=OFF_POLICY,
        initial=steady if goes_on else None,
    )
    before = np.stack(acted[:11])  # up to the step after which the first update comes
    assert np.allclose(before, 0.5, atol=1e-4) == goes_on
    assert updates == [(44, 1), (48, 1), (52, 1), (56, 1), (60, 1)]
    model = stable_baselines3.SAC.load(learned.path, device="cpu")
    assert (model.learning_starts, model.gradient_steps) == (40, 1)


def test_too_short_to_fill_the_buffer_it_stays_as_it_was(tiny_package, tmp_path, steady):
    learned = learn(
        tiny_package,
        out=tmp_path / "on.zip",
        algo="sac",
        timesteps=40,
        num_envs=4,
        hyperparameters=OFF_POLICY,
        initial=steady,
    )
    assert same(parameters(learned.path, "SAC"), parameters(steady, "SAC"))
    model = stable_baselines3.SAC.load(learned.path, device="cpu")
    assert (model.learning_starts, model.gradient_steps) == (40, 1)


@pytest.mark.parametrize("goes_on", [True, False])
def test_a_dqn_that_goes_on_does_not_explore_as_if_it_knew_nothing(
    tiny_discrete_package, tmp_path, monkeypatch, goes_on
):
    rates = []
    on_step = stable_baselines3.DQN._on_step

    def recorded(model):
        on_step(model)
        rates.append(model.exploration_rate)

    settings = {"hyperparameters": OFF_POLICY | {"exploration_final_eps": 0.1}, "timesteps": 60}
    asked = {"algo": "dqn", "num_envs": 4, **settings}
    first = learn(tiny_discrete_package, out=tmp_path / "first.zip", **asked).path
    monkeypatch.setattr(stable_baselines3.DQN, "_on_step", recorded)
    initial = first if goes_on else None
    learn(tiny_discrete_package, out=tmp_path / "on.zip", initial=initial, **asked)
    assert (max(rates) == pytest.approx(0.1)) == goes_on
    assert rates[-1] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("algo", "settings", "found"),
    [
        ("a2c", {}, "expected a policy of A2C with the same networks, found PPO"),
        ("sac", OFF_POLICY, "expected a policy of SAC with the same networks, found PPO"),
        ("ppo", {"net_arch": [9]}, "expected a policy of PPO .* found others: .*size mismatch"),
        ("ppo", {"net_arch": [8, 8]}, "expected a policy of PPO .* found others: .*Missing key"),
    ],
)
def test_another_learners_policy_is_not_gone_on_with(tiny_package, tmp_path, algo, settings, found):
    ppo = learn(
        tiny_package,
        out=tmp_path / "ppo.zip",
        algo="ppo",
        timesteps=64,
        num_envs=4,
        hyperparameters=SMALL,
    )
    own = SMALL if algo == "ppo" else {"net_arch": [8]}
    with pytest.raises(PolicyError, match=found):
        learn(
            tiny_package,
            out=tmp_path / "new.zip",
            algo=algo,
            timesteps=64,
            num_envs=4,
            hyperparameters=own | settings,
            initial=ppo.path,
        )
    assert [p.name for p in tmp_path.iterdir()] == ["ppo.zip"]


def test_a_policy_to_go_on_with_must_be_one(tiny_package, tmp_path):
    with pytest.raises(PolicyError, match=r"none\.zip"):
        learn(tiny_package, out=tmp_path / "p.zip", initial=tmp_path / "none.zip", num_envs=2)
    assert not list(tmp_path.iterdir())


def test_starts_by_either_name_and_none_without_folders():
    named = LearnDefaults(dream={"starts": "bank"})
    assert named == LearnDefaults(dream={"starts": "any"})
    assert named.knobs == {"starts": "any"}
    with pytest.raises(ValueError, match=r"needs folders, which no package names.*--data"):
        LearnDefaults(dream={"starts": "data"})
    with pytest.raises(ValueError, match=r"starts: got 'data'.*--data"):
        parse_settings(["starts=data"])


def test_learning_starts_in_recorded_data(pendulum_package, tmp_path, monkeypatch):
    """Every episode's first observation is one that was recorded, as the model has it."""
    data = tmp_path / "data"
    spec = load_real_spec("Pendulum-v1")
    recorded = collect(CollectConfig(spec, data, episodes=3, max_decisions=6)).episodes
    begun = []
    reset, step = FaceVecEnv.reset, FaceVecEnv.step_wait

    def seen_reset(env):
        begun.extend(shown := reset(env))
        return shown

    def seen_step(env):
        shown = step(env)
        begun.extend(shown[0][shown[2]])  # where one ended, another begins
        return shown

    monkeypatch.setattr(FaceVecEnv, "reset", seen_reset)
    monkeypatch.setattr(FaceVecEnv, "step_wait", seen_step)
    arguments = dict(timesteps=128, num_envs=4, hyperparameters=SMALL)
    for knobs in ({"starts": "data", "data": data}, {"starts": "data", "data": [str(data)]}):
        begun.clear()
        given = {"horizon": 2, **knobs}
        learn(pendulum_package, out=tmp_path / "p.zip", knobs=given, **arguments)
        moments = np.concatenate([e.frames for e in recorded])
        moments = (moments - [0.5, 0.0, 1.0]) / [0.5, 0.5, 4.0]
        apart = np.abs(np.stack(begun)[:, None] - moments[None]).max(-1)
        assert len(begun) > 60
        assert (apart.min(1) < 1e-5).all()
        assert len(np.unique(apart.argmin(1))) > 12  # of 21 moments
    # And without, they are others: the bank's.
    begun.clear()
    learn(pendulum_package, out=tmp_path / "p.zip", knobs={"horizon": 2}, **arguments)
    apart = np.abs(np.stack(begun)[:, None] - moments[None]).max(-1)
    assert (apart.min(1) > 1e-3).all()
    with pytest.raises(ValueError, match=r"data is .*expected starts"):
        learn(pendulum_package, out=tmp_path / "q.zip", knobs={"data": data}, **arguments)
