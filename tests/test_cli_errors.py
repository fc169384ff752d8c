"""How the ``dreamenv`` command fails: one line, exit code 2, and nothing left behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dreamenv.cli import app

PLAIN = {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200"}

WRONG = {
    "an unknown env": (["collect", "Nowhere-v9", "--episodes", 1, "--out", "new"], "Nowhere-v9"),
    "no episodes": (["collect", "CarRacing-v3", "--episodes", 0, "--out", "new"], "at least 1"),
    "a policy without its dream": (
        ["collect", "CarRacing-v3", "--episodes", 1, "--policy", "p.zip", "--out", "new"],
        "dream",
    ),
    "an unknown family": (["train", "gan", "data", "--out", "new"], "mdnrnn"),
    "another family's steps": (
        ["train", "ensemble", "data", "--vae-steps", 1, "--out", "new"],
        "--vae-steps: the family ensemble has no such steps",
    ),
    "an ensemble's steps": (
        ["train", "mdnrnn", "data", "--steps", 1, "--out", "new"],
        "--steps: the family mdnrnn has no such steps",
    ),
    "another family's recipe": (
        ["train", "ensemble", "data", "--recipe", "CarRacing-v3", "--out", "new"],
        "is of another family than ensemble",
    ),
    "an unknown recipe": (
        ["train", "mdnrnn", "data", "--recipe", "Nowhere-v9", "--out", "new"],
        "one of CarRacing-v3",
    ),
    "no data": (["train", "mdnrnn", "data", "--out", "new"], "manifest.json"),
    "no vectors": (["train", "ensemble", "data", "--out", "new"], "manifest.json"),
    "fewer than no steps of an ensemble": (
        ["train", "ensemble", "data", "--out", "new", "--steps=-1"],
        "--steps",
    ),
    "an unknown dream": (["learn", "Dream-Nowhere-v0", "--out", "new.zip"], "shipped id"),
    "an unknown algorithm": (["learn", "PACKAGE", "--algo", "es", "--out", "new.zip"], "ppo"),
    "discrete learner": (["learn", "PACKAGE", "--algo", "dqn", "--out", "new.zip"], "Discrete"),
    "trust in a dream that cannot tell": (
        ["learn", "PACKAGE", "--trust-limit", 0.9, "--out", "new.zip"],
        "cannot tell how unsure it is",
    ),
    "an audit's, too": (["audit", "PACKAGE", "--trust-penalty", 1], "cannot tell how unsure it is"),
    "a hot dream": (["learn", "PACKAGE", "--temperature", -1, "--out", "new.zip"], "temperature"),
    "an unknown setting": (
        ["learn", "PACKAGE", "--set", "gama=0.9", "--out", "new.zip"],
        "got 'gama=0.9'",
    ),
    "a wild setting": (["learn", "PACKAGE", "--set", "gamma=9", "--out", "new.zip"], "gamma"),
    "a wild knob": (["learn", "PACKAGE", "--set", "starts=[]", "--out", "new.zip"], "starts"),
    "no such place": (["evaluate", "random", "PACKAGE", "--on", "moon"], "moon"),
    "no such policy": (["evaluate", "p.zip", "PACKAGE", "--on", "dream"], "p.zip"),
    "too small a budget": (
        ["loop", "CarRacing-v3", "--real-steps", 1, "--out", "new"],
        "real_steps",
    ),
    "no recipe": (
        ["loop", "CarRacing-v3", "--real-steps", 1, "--recipe", "r.json", "--out", "new"],
        "r.json",
    ),
    "no package": (["verify", "nothing"], "nothing"),
    "no file to learn to": (["learn", "PACKAGE", "--out", "."], "path of a file"),
    "fewer than no steps": (
        ["train", "mdnrnn", "data", "--out", "new", "--vae-steps=-1"],
        "--vae-steps",
    ),
    "a loop of another family": (
        ["loop", "Pendulum-v1", "--real-steps", 900, "--family", "mdnrnn", "--out", "new"],
        "family: expected ensemble, which the recipe declares, got mdnrnn",
    ),
    "a loop of too few frames": (
        ["loop", "Pendulum-v1", "--real-steps", 9, "--out", "new"],
        "at least 100 frames of the first round",
    ),
    "no folder of rollouts": (["learn", "PACKAGE", "--data", "none", "--out", "p.zip"], "none"),
    "starts in data without a folder": (
        ["learn", "PACKAGE", "--set", "starts=data", "--out", "p.zip"],
        "--data",
    ),
    "no hub name": (["push", "PACKAGE", "a:b"], "org/name"),
    "no dream to audit": (["audit", "nothing", "--out", "new"], "dreamenv list"),
    "no such option": (["list", "--loud"], "--loud"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_call_says_what_is_wrong_and_leaves_nothing(
    case, tiny_package, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    arguments, named = WRONG[case]
    given = [str(tiny_package) if a == "PACKAGE" else str(a) for a in arguments]
    result = CliRunner().invoke(app, given, env=PLAIN)
    assert result.exit_code == 2, result.output
    assert named in result.stderr
    assert "Traceback" not in result.output
    assert list(tmp_path.iterdir()) == []


def test_a_control_that_cannot_act_there_is_told_of_before_the_loop(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.json").write_text('{"family": "ensemble", "control": {"algo": "sac"}}')
    asked = ["loop", "CartPole-v1", "--real-steps", "99999", "--recipe", "mine.json"]
    result = CliRunner().invoke(app, [*asked, "--control", "--out", "new"], env=PLAIN)
    assert result.exit_code == 2
    assert "sac on Discrete(2)" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.json"]


def failing(error: Exception) -> Callable[[], list[str]]:
    def shipped() -> list[str]:
        raise error

    return shipped


@pytest.mark.parametrize("bug", [KeyError("a bug"), ImportError("a bug", name="dreamenv.gone")])
def test_a_bug_keeps_its_traceback(bug, monkeypatch):
    monkeypatch.setattr("dreamenv.sources.shipped", failing(bug))
    assert CliRunner().invoke(app, ["list"]).exception is bug


def test_a_missing_extra_is_a_line(monkeypatch):
    missing = ImportError('that needs: pip install "dreamenv[hub]"')
    monkeypatch.setattr("dreamenv.sources.shipped", failing(missing))
    result = CliRunner().invoke(app, ["list"], env=PLAIN)
    assert (result.exit_code, result.stderr) == (2, f"error: {missing}\n")


def dreamenv(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The installed command, as a shell runs it."""
    command = Path(sys.executable).with_name("dreamenv")
    return subprocess.run(
        [command, *arguments],
        env=os.environ | PLAIN,
        capture_output=True,
        text=True,
        check=False,
    )


def test_exit_codes_of_the_installed_command():
    plain = dreamenv("verify", "nothing")
    assert (plain.returncode, plain.stdout) == (2, "")
    assert plain.stderr.startswith("error: ")
    assert plain.stderr.count("\n") == 1
    debug = dreamenv("--debug", "verify", "nothing")
    assert debug.returncode == 1
    assert "Traceback" in debug.stderr
    assert dreamenv("--version").stdout.startswith("dreamenv 0.")


def test_the_card_is_read_as_the_rest_of_a_package(tiny_package, tmp_path):
    """No link, no pipe; and found where a killed save left it."""
    package = Path(shutil.copytree(tiny_package, tmp_path / "one"))
    card = package / "README.md"
    card.unlink()
    card.symlink_to("/etc/hostname")
    result = CliRunner().invoke(app, ["info", str(package)], env=PLAIN)
    assert result.exit_code == 2
    assert "expected a plain file, found a link" in result.stderr
    card.unlink()
    os.mkfifo(card)
    assert CliRunner().invoke(app, ["info", str(package)], env=PLAIN).exit_code == 2
    card.unlink()
    card.write_text("# safe and sound")
    package.rename(tmp_path / ".one.previous")
    result = CliRunner().invoke(app, ["info", str(package)], env=PLAIN)
    assert "safe and sound" in result.stdout


def test_a_loop_of_a_declared_file_has_that_envs_recipe(tmp_path, monkeypatch):
    """The file says which env; it is no recipe itself."""
    from dreamenv.real_specs import FOLDER
    from dreamenv.recipes import load_recipe

    asked = []
    monkeypatch.setattr("dreamenv.loop.loop", lambda config, progress: asked.append(config) or [])
    mine = tmp_path / "mine.json"
    mine.write_bytes((FOLDER / "CarRacing-v3.json").read_bytes())
    arguments = ["loop", str(mine), "--real-steps", "100000", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, arguments, env=PLAIN)
    assert result.exit_code == 0, result.output
    assert asked[0].recipe == load_recipe("CarRacing-v3")
