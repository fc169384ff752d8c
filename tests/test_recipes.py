"""Recipes are data, checked at the door; and the small parts that show what a loop does."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from dreamenv.card import card
from dreamenv.cli import app
from dreamenv.config import DreamDefaults
from dreamenv.control import learner
from dreamenv.door import check_recipe
from dreamenv.errors import DataError
from dreamenv.loop import LoopConfig, command
from dreamenv.models.ensemble import EnsembleSizes
from dreamenv.models.mdnrnn import MDNRNNSizes
from dreamenv.progress import LogLines, console
from dreamenv.real_specs import load_real_spec
from dreamenv.recipes import FOLDER, Recipe, at, load_recipe, own_recipe


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_shipped_recipes_fit_their_env_and_family(path):
    recipe = load_recipe(path.stem)
    assert recipe == load_recipe(path)
    assert recipe != Recipe()
    real = load_real_spec(path.stem)
    if recipe.family == "ensemble":
        EnsembleSizes(observation=1, action=1, **recipe.sizes)
    else:
        MDNRNNSizes(**recipe.sizes)
    DreamDefaults(**recipe.defaults)
    check_recipe(LoopConfig(real, Path("nowhere"), 1, recipe))
    if "control" in recipe.model_fields_set:
        with learner(real, recipe.control, seed=0) as model:
            assert model.num_timesteps == 0  # it can take the env's actions
    limit = real.max_episode_steps
    for plan in (recipe.first, recipe.next):
        assert limit is None or plan.max_decisions is None or plan.max_decisions <= limit


def test_an_env_without_a_recipe_has_the_defaults():
    assert own_recipe("Acrobot-v1") == own_recipe("../no/such") == Recipe()
    assert Recipe.model_validate({}) == Recipe()
    assert own_recipe("CarRacing-v3") == load_recipe("CarRacing-v3")


def test_a_file_that_is_not_there_is_no_recipe(tmp_path):
    for source in (tmp_path / "mine.json", "Acrobot-v1", tmp_path):
        with pytest.raises(DataError, match=r"expected a recipe, a JSON file or one of CarRacing"):
            load_recipe(source)


def test_a_recipe_from_a_file(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"next": {"episodes": 20, "noise": 0.1}, "vae_steps": [5]}))
    recipe = load_recipe(path)
    assert (recipe.next.episodes, recipe.next.noise, recipe.vae_steps) == (20, 0.1, [5])
    assert recipe.first == Recipe().first


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Invalid JSON"),
        ('{"frist": {}}', "frist"),
        ('{"first": {"episodes": 0}}', "first.episodes"),
        ('{"first": {"episodes": 7}}', "first.episodes"),
        ('{"next": {"episodes": 7}}', "next.episodes"),
        ('{"next": {"noise": -1}}', "next.noise"),
        ('{"vae_steps": []}', "vae_steps"),
        ('{"vae": {"colour": 1}}', "expected some of .*free_bits.*got .*colour"),
        ('{"rnn": {"steps": 1}}', "expected some of .*latent_weight.*got .*steps"),
        ('{"rnn": {"length": 2.5}}', "length"),
        ('{"ensemble": {"steps": 1}}', "expected some of .*weight_decay.*got .*steps"),
        ('{"evaluation_episodes": 1}', "evaluation_episodes"),
        ('{"family": "gan"}', "family"),
        (
            '{"family": "ensemble", "frames_per_decision": 4}',
            "frames_per_decision: expected 1 of the family ensemble, got 4",
        ),
        ('{"branches": [0]}', "branches"),
        ('{"restraint": {"window": 0}}', "restraint.window"),
        ('{"control": {"algo": "cma"}}', "control.algo"),
        ('{"learn": {"algo": "trpo"}}', "learn.algo"),
    ],
)
def test_a_recipe_that_says_something_else_is_refused(tmp_path, text, message):
    path = tmp_path / "mine.json"
    path.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        load_recipe(path)
    assert str(path) in str(caught.value)


def test_the_last_value_stays():
    assert [at([30, 20, 10], number) for number in range(5)] == [30, 20, 10, 10, 10]


def test_a_card_says_what_was_measured(make_package):
    config = make_package().config
    figure = {"mean": 12.4, "low": -3.6, "high": 20.0}
    rounds = [
        {
            "round": number,
            "real_steps": 1000 * (number + 1),
            "evaluation_steps": 40,
            "dream_return": figure,
            "real_return": figure | {"mean": number},
        }
        for number in (0, 1)
    ]
    provenance = {"real_steps": 12_345, "command": "dreamenv loop", "curve": rounds}
    text = card(config.model_copy(update={"provenance": provenance}))
    assert "# tiny\n" in text
    assert "CarRacing-v3" in text
    assert "One decision is 4 real frames." in text
    assert "Real frames behind the package: 12,345." in text
    assert "`dreamenv loop`" in text
    assert "| 0 | 1,000 | 40 | 12 [-4, 20] | 0 [-4, 20] |" in text
    assert "| 1 | 2,000 | 40 | 12 [-4, 20] | 1 [-4, 20] |" in text
    plain = card(config)
    assert "Made by" not in plain
    assert "|" not in plain


def test_a_card_says_how_policies_were_learnt(make_package):
    config = make_package().config
    figure = {"mean": 1.0, "low": 0.0, "high": 2.0}
    point = {"round": 0, "real_steps": 9, "evaluation_steps": 9}
    point |= {"dream_return": figure, "real_return": figure}
    for keep, words in (
        (False, "policy is new, and"),
        (True, "went on from the last round's, and"),
    ):
        provenance = {"curve": [point], "keep_policy": keep}
        assert words in card(config.model_copy(update={"provenance": provenance}))


@pytest.mark.parametrize(
    ("change", "algo", "expected"),
    [
        ({}, None, "--real-steps 900 --seed 2 --out DIR"),
        ({}, "sac", "--real-steps 900 --seed 2 --out DIR"),  # which is the recipe's
        ({}, "td3", "--algo td3 --real-steps 900 --seed 2 --out DIR"),
        ({"audit": False}, None, "--no-audit --real-steps 900 --seed 2 --out DIR"),
        ({"rounds": 2}, None, "--recipe FILE --real-steps 900 --seed 2 --out DIR"),
    ],
)
def test_the_command_that_makes_it_parses(change, algo, expected):
    recipe = own_recipe("Pendulum-v1").model_copy(update=change)
    real = load_real_spec("Pendulum-v1")
    said = command(LoopConfig(real, Path("nowhere"), 900, recipe, algo=algo, seed=2))
    assert said == f"dreamenv loop Pendulum-v1 {expected}"
    get_command(app).commands["loop"].make_context("loop", shlex.split(said)[2:])


def test_log_lines_are_few_but_the_last_is_shown(capsys, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    report = LogLines(every=10.0)
    for done in range(1, 31):
        report("learn", done, 30, {"steps/s": 1234.567})
        report("other", done, 1000)
        now[0] += 1.0
    lines = capsys.readouterr().err.splitlines()
    learn = [line.split("  ", 1)[1] for line in lines if "learn" in line]
    assert learn == [f"learn  {n}/30  steps/s 1235" for n in (1, 11, 21, 30)]
    assert [line.split("  ", 2)[2] for line in lines if "other" in line] == [
        "1/1,000",
        "11/1,000",
        "21/1,000",
    ]


def test_where_no_terminal_is_progress_is_log_lines():
    with console() as progress:
        assert isinstance(progress, LogLines)
