"""The ``dreamenv`` command: what it says and what it leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from stable_baselines3 import PPO
from typer.main import get_command
from typer.testing import CliRunner

from dreamenv.cli import app
from dreamenv.cli.door import complete_dream, interval
from dreamenv.learn_defaults import LearnDefaults
from dreamenv.packages import load_config
from dreamenv.sources import shipped

COMMANDS = ["list", "info", "learn", "evaluate", "audit"]
COMMANDS += ["collect", "train", "loop", "import", "export", "verify", "push", "pull", "serve"]
PLAIN = {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200"}


def run(*arguments: object) -> str:
    """Standard output of a command that succeeds."""
    result = CliRunner().invoke(app, [str(a) for a in arguments], env=PLAIN)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def short(make_package, tmp_path_factory) -> Path:
    """A tiny package whose real episodes end after 6 decisions."""
    from dreamenv.packages import save_package

    package = make_package()
    real = package.config.real.model_copy(update={"max_episode_steps": 6})
    steps = {"n_steps": 16, "batch_size": 32, "n_epochs": 1}
    learn = LearnDefaults(num_envs=2, timesteps=64, hyperparameters=steps)
    config = package.config.model_copy(update={"real": real, "learn": learn})
    card = "# tiny\n\nred: \x1b[31m and a bell\x07\n"
    return save_package(
        replace(package, config=config), tmp_path_factory.mktemp("short") / "tiny", card
    )


@pytest.fixture(scope="module")
def policy(short, tmp_path_factory) -> Path:
    """A policy learnt in it for a moment, by the command."""
    path = tmp_path_factory.mktemp("policy") / "policy.zip"
    said = run("learn", short, "--horizon", 5, "--out", path)
    assert str(path) in said
    return path


def test_help_names_every_command():
    said = run("--help")
    assert set(get_command(app).commands) == set(COMMANDS)
    for name in COMMANDS:
        assert f" {name} " in said


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"list"}))
def test_every_command_shows_an_example_that_parses(name):
    import re
    import shlex

    said = run(name, "--help")
    example = re.search(rf"dreamenv ({name} .*?)\s*(│|$)", said, re.MULTILINE)
    assert example, said
    get_command(app).commands[name].make_context(name, shlex.split(example[1])[1:])


def test_help_and_list_bring_in_no_torch():
    code = (
        "import sys\n"
        "from dreamenv.cli import app\n"
        "app(['--help'], standalone_mode=False)\n"
        "app(['list'], standalone_mode=False)\n"
        "sys.exit(3 if 'torch' in sys.modules else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_list_is_what_ships():
    found = json.loads(run("list", "--json"))
    assert sorted(found) == shipped()
    for name in found:
        assert found[name] == load_config(name).model_dump(mode="json")


def test_info_shows_the_card_without_its_escape_sequences(short):
    said = run("info", short)
    assert "red:" in said
    assert "\x1b" not in said
    assert "\x07" not in said
    assert json.loads(run("info", short, "--json"))["name"] == "tiny"


def test_a_policy_learnt_is_an_ordinary_sb3_file(short, policy):

    model = PPO.load(policy, device="cpu")
    assert model.observation_space == load_config(short).observation_space("features")
    assert model.num_timesteps >= 64


def test_settings_reach_the_dream_and_the_algorithm(short, tmp_path):
    out = tmp_path / "p.zip"
    settings = ["obs=latent", "temperature=[0.5,1.5]", "n_steps=8", "net_arch=[3]"]
    asked = [part for item in settings for part in ("--set", item)]
    run("learn", short, "--timesteps", 16, *asked, "--out", out)
    model = PPO.load(out, device="cpu")
    assert model.n_steps == 8
    assert model.observation_space.shape == (load_config(short).latent,)
    assert model.policy.mlp_extractor.policy_net[0].out_features == 3


def test_trust_reaches_the_dream_either_way(unsure_package, tmp_path):
    def weights(*asked: str) -> np.ndarray:
        out = tmp_path / f"{len(list(tmp_path.iterdir()))}.zip"
        short = ["--timesteps", 64, "--num-envs", 4, "--set", "n_steps=16"]
        run("learn", unsure_package, *short, *asked, "--out", out)
        parameters = PPO.load(out, device="cpu").policy.parameters()
        return np.concatenate([p.detach().numpy().ravel() for p in parameters])

    options = weights("--trust-penalty", "2", "--trust-limit", "0.9")
    settings = weights("--set", "trust_penalty=2", "--set", "trust_limit=0.9")
    np.testing.assert_array_equal(options, settings)
    assert not np.array_equal(options, weights())


def test_the_same_seed_learns_the_same(short, tmp_path):

    def weights(out: str, seed: int) -> np.ndarray:
        run("learn", short, "--seed", seed, "--out", tmp_path / out)
        parameters = PPO.load(tmp_path / out, device="cpu").policy.parameters()
        return np.concatenate([p.detach().numpy().ravel() for p in parameters])

    first = weights("a.zip", 1)
    np.testing.assert_array_equal(first, weights("b.zip", 1))
    assert not np.array_equal(first, weights("c.zip", 2))


@pytest.mark.parametrize("on", ["dream", "real"])
def test_evaluate_json(short, policy, on):
    arguments = (
        "evaluate",
        policy,
        short,
        "--on",
        on,
        "--episodes",
        3,
        "--seed",
        4,
        "--workers",
        1,
    )
    scored = json.loads(run(*arguments, "--json"))
    assert len(scored["returns"]) == len(scored["lengths"]) == len(set(scored["seeds"])) == 3
    assert scored["mean"] == pytest.approx(np.mean(scored["returns"]))
    assert scored["std"] == pytest.approx(np.std(scored["returns"], ddof=1))
    assert scored["low"] <= scored["mean"] <= scored["high"]
    assert scored["real_steps"] == (0 if on == "dream" else 4 * sum(scored["lengths"]))
    again = json.loads(run(*arguments, "--json"))
    assert again["returns"] == scored["returns"]


def test_evaluate_says_it_in_a_line(short):
    said = run("evaluate", "random", short, "--on", "dream", "--episodes", 4)
    assert "dream return" in said
    assert "4 episodes" in said


def test_from_a_real_env_to_an_audit(short, tmp_path, monkeypatch):
    """Collect, train, verify, audit: each takes what the one before left."""
    monkeypatch.chdir(tmp_path)
    spec = load_config(short).real.model_copy(update={"max_episode_steps": 20})
    Path("env.json").write_text(spec.model_dump_json())
    said = run("collect", "env.json", "--episodes", 4, "--seed", 1, "--out", "data")
    assert f"4 episodes, {4 * 20 * 4} real frames" in said
    again = run("collect", "env.json", "--episodes", 4, "--seed", 1, "--out", "data")
    assert again.splitlines()[-1] == said.splitlines()[-1]
    run("train", "mdnrnn", "data", "--out", "car", "--vae-steps", 1, "--rnn-steps", 1)
    config = load_config("car")
    assert config.name == "car"
    assert config.provenance["real_steps"] == 4 * 20 * 4
    recipe = {"name": "mine", "sizes": {"latent": 3}, "vae_steps": [1], "rnn_steps": [2, 9]}
    Path("recipe.json").write_text(json.dumps(recipe))
    run("train", "mdnrnn", "data", "--out", "own", "--recipe", "recipe.json", "--rnn-steps", 0)
    own = load_config("own")
    assert (own.name, own.latent) == ("own", 3)
    assert own.provenance["training"]["vae"]["steps"] == 1
    assert own.provenance["training"]["rnn"]["steps"] == 0
    assert "a whole package" in run("verify", "car")
    said = run("audit", "car", "--episodes", 2, "--quick", "--workers", 1, "--out", "gap")
    assert (tmp_path / "gap" / "index.html").exists()
    found = json.loads((tmp_path / "gap" / "audit.json").read_text())
    assert found["verdict"]["sentence"] in said
    assert not found["settings"]["deterministic"]
    run("audit", "car", "--episodes", 2, "--quick", "--deterministic", "--out", "mode")
    assert json.loads((tmp_path / "mode" / "audit.json").read_text())["settings"]["deterministic"]


def test_from_a_real_env_of_vectors_to_a_dream(tmp_path, monkeypatch):
    """Pendulum, whose episodes never end but at its limit of 200."""
    import gymnasium as gym

    import dreamenv  # noqa: F401, which registers Dream-v0

    monkeypatch.chdir(tmp_path)
    said = run("collect", "Pendulum-v1", "--episodes", 3, "--seed", 1, "--out", "data")
    assert f"3 episodes, {3 * 200} real" in said
    said = run("train", "ensemble", "data", "--out", "pendulum", "--steps", 2, "--seed", 5)
    assert said.splitlines()[-1] == "pendulum: pendulum, 600 real steps"
    config = load_config("pendulum")
    assert (config.family, config.observation_shape) == ("ensemble", [3])
    assert (config.defaults.horizon, config.defaults.termination) == (200, "none")
    assert config.trust is not None
    training = config.provenance["training"]
    assert (training["ensemble"]["steps"], training["seed"]) == (2, 5)
    options = ["--initial", "pendulum", "--name", "again", "--steps", 0]
    run("train", "ensemble", "data", "--out", "more", *options)
    assert load_config("more").name == "again"
    assert "a whole package" in run("verify", "pendulum")
    env = gym.make("Dream-v0", model="pendulum", obs="pixels")
    real = gym.make("Pendulum-v1")
    first, _ = env.reset(seed=0)
    assert first.shape == real.observation_space.shape
    assert abs(np.hypot(first[0], first[1]) - 1.0) < 0.05, "a real beginning: cosine and sine"


POLE = {
    "name": "pole",
    "family": "ensemble",
    "first": {"real_steps": 60},
    "next": {"real_steps": 40},
    "smallest_budget": 20,
    "sizes": {"members": 2, "elites": 2, "hidden": 4, "layers": 1, "outcome": 4},
    "ensemble_steps": [5],
    "defaults": {"horizon": 6},
    "learn": {
        "timesteps": 32,
        "num_envs": 2,
        "hyperparameters": {"n_steps": 8, "batch_size": 8, "n_epochs": 1, "net_arch": [4]},
    },
    "restraint": {"window": 2, "pace": 0.5},
    "evaluation_episodes": 2,
    "control": {
        "algo": "dqn",
        "timesteps": 30,
        "every": 10,
        "hyperparameters": {"learning_starts": 5, "net_arch": [4]},
    },
}


def test_a_loop_with_its_control(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.json").write_text(json.dumps(POLE))
    asked = ["loop", "CartPole-v1", "--real-steps", 100, "--recipe", "mine.json", "--workers", 1]
    said = run(*asked, "--out", "out", "--no-audit", "--control", "--family", "ensemble")
    curve = json.loads(Path("out/curve.json").read_text())
    rows = [line.split() for line in said.splitlines() if line.split()[0] in ("0", "1")]
    assert [row[:3] for row in rows] == [
        [str(p["round"]), f"{p['real_steps']:,}", f"{p['evaluation_steps']:,}"] for p in curve
    ]
    assert [row[-2:] for row in rows] == [["–", "yes"]] * 2
    assert f"round 1 was stopped: {curve[1]['stopped']}" in said
    points = json.loads(Path("out/control.json").read_text())["points"]
    assert [p["real_steps"] for p in points] == [10, 20, 30, 32]  # SB3 updates every 4
    assert f"dqn alone: {interval(**points[-1]['real_return'])} after 32 real frames" in said
    assert Path("out/curve.png").exists()
    again = run(*asked, "--out", "out", "--no-audit", "--control")
    assert again == said


def test_a_loop_shows_what_its_audits_say(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = {n: v for n, v in POLE.items() if n != "restraint"} | {"rounds": 1, "audit": False}
    Path("mine.json").write_text(json.dumps(recipe))
    asked = ["loop", "CartPole-v1", "--real-steps", 100, "--recipe", "mine.json", "--workers", 1]
    said = run(*asked, "--out", "out", "--audit", "--algo", "a2c")
    (only,) = json.loads(Path("out/curve.json").read_text())
    row = next(line.split() for line in said.splitlines() if line.split()[0] == "0")
    assert row[-2:] == [only["audit"], "–"]
    assert only["audit"] is not None
    assert "control" not in said
    assert not Path("out/control.json").exists()
    assert json.loads(Path("out/loop.json").read_text())["algo"] == "a2c"


def test_learning_starts_in_folders(pendulum_package, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, seed in (("a", 1), ("b", 2)):
        limits = ["--max-decisions", 5, "--seed", seed]
        run("collect", "Pendulum-v1", "--episodes", 2, *limits, "--out", name)

    def weights(*asked: object) -> np.ndarray:
        short = ["--timesteps", 64, "--num-envs", 4, "--set", "n_steps=16", "--horizon", 3]
        run("learn", pendulum_package, *short, *asked, "--out", "p.zip")
        parameters = PPO.load("p.zip", device="cpu").policy.parameters()
        return np.concatenate([p.detach().numpy().ravel() for p in parameters])

    one, both, bank = weights("--data", "a"), weights("--data", "a", "--data", "b"), weights()
    np.testing.assert_array_equal(one, weights("--data", "a"))
    assert not np.array_equal(one, both)
    assert not np.array_equal(one, bank)


def test_shell_completion():
    command = Path(sys.executable).with_name("dreamenv")
    asked = {"_DREAMENV_COMPLETE": "complete_bash", "COMP_WORDS": "dreamenv eva", "COMP_CWORD": "1"}
    said = subprocess.run(
        [command], env=os.environ | PLAIN | asked, capture_output=True, text=True, check=False
    )
    assert said.stdout.split() == ["evaluate"]
    assert complete_dream("Dream-") == [name for name in shipped() if name.startswith("Dream-")]
    assert complete_dream("nothing") == []


def test_interval_digits():
    assert interval(-31.4, -40.2, -20.0) == "-31.40 [-40.20, -20.00]"
    assert interval(612.34, 580.1, 640.0) == "612 [580, 640]"
