"""The README's examples run as they stand, on a tiny package in the shipped one's place."""

from __future__ import annotations

import importlib
import json
import re
import shlex
from pathlib import Path
from types import ModuleType

import gymnasium as gym
import pytest
from typer.main import get_command

from dreamenv.cli import app
from dreamenv.packages import load_package
from dreamenv.sources import ZOO, shipped

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("code", blocks("python"), ids=lambda code: code.splitlines()[-1][:40])
def test_python(code, tiny_package, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / "car").symlink_to(tiny_package)
    if "Dream-CarRacing-v0" not in shipped():
        code = code.replace(
            'gym.make("Dream-CarRacing-v0"', f'gym.make("Dream-v0", model="{tiny_package}"'
        )
        code = code.replace(
            'make_vec("Dream-CarRacing-v0"', f'make_vec("Dream-v0", model="{tiny_package}"'
        )
        code = code.replace('"Dream-CarRacing-v0"', f'"{tiny_package}"')
    # One rollout is enough to see that it learns at all.
    code = code.replace(".learn(1_000_000)", ".learn(128)")
    scope: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), scope)
    for value in scope.values():
        if isinstance(value, gym.Env | gym.vector.VectorEnv):
            value.close()


def commands() -> list[str]:
    lines = "\n".join(blocks("sh")).splitlines()
    inline = re.findall(r"`(dreamenv [a-z][^`]*)`", README)
    return [" ".join(line.split()) for line in (*lines, *inline) if line.startswith("dreamenv ")]


@pytest.mark.parametrize("line", commands())
def test_commands_parse(line):
    name, *arguments = shlex.split(line, comments=True)[1:]
    command = get_command(app).commands[name]
    if arguments:  # Parsed only: an unknown option or a missing one is an error.
        command.make_context(name, arguments)


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"(?:^|`)make ([a-z]+)", README, re.MULTILINE))
    assert targets >= {"demo", "test", "install"}
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_linked_files_exist():
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / link).exists(), link


@pytest.fixture
def gap_table(monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "docs")
    return importlib.import_module("gap_table")


def test_the_gap_is_what_was_measured(gap_table):
    shown = importlib.import_module("marked").marked(README, "gap-table")
    measured = [json.loads(path.read_text()) for path in gap_table.MEASURED]
    assert shown == gap_table.summary(measured)
    assert sorted(found["dream"] for found in measured) == shipped()


@pytest.mark.parametrize("name", shipped())
def test_cards_say_what_was_measured(gap_table, name):
    card = (ZOO / name / "README.md").read_text(encoding="utf-8")
    (measured,) = (
        found
        for found in (json.loads(path.read_text()) for path in gap_table.MEASURED)
        if found["dream"] == name
    )
    assert gap_table.gap_table(measured) in card
    if (audit := json.loads(gap_table.AUDITS.read_text()).get(name)) is not None:
        assert gap_table.audit_said(audit) in card
        assert audit["identity"] == load_package(ZOO / name).identity


def test_gap_table_says_the_figures(gap_table):
    def scores(mean: float) -> dict[str, object]:
        return {"mean": mean, "low": mean - 200, "high": mean + 200, "returns": [mean] * 50}

    seeds = [{"seed": s, "dream": scores(900 + s), "real": scores(700 + s)} for s in range(3)]
    measured = {
        "dream": "Dream-CarRacing-v0",
        "seeds": seeds,
        "random": scores(-150.0),
        "median_of_dream_means": 901,
        "median_of_real_means": 701,
        "real_steps_behind_the_package": 520_000,
        "real_steps_added_by_learning": 0,
    }
    table = gap_table.gap_table(measured).splitlines()
    assert [row.count("|") for row in table[:7]] == [4] * 7
    assert table[2] == "| seed 0 | 900 [700, 1100] | 700 [500, 900] |"
    assert table[5] == "| **median of the seeds** | **901** | **701** |"
    assert "-150 [-350, 50]" in table[6]
    assert "520,000; added by these policies: 0." in table[8]
    assert table[8].startswith("50 episodes")
    assert gap_table.summary([measured]).splitlines()[2] == (
        "| `Dream-CarRacing-v0` | **901** (900, 901, 902) | **701** (700, 701, 702) | -150 "
        "| 520,000 |"
    )
