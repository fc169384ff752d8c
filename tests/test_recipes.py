"""Recipes are data, checked at the door; and the small parts that show what a loop does."""

from __future__ import annotations

import json

import pytest

from dreamenv.card import card
from dreamenv.config import DreamDefaults
from dreamenv.errors import DataError
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
    MDNRNNSizes(**recipe.sizes)
    DreamDefaults(**recipe.defaults)
    limit = real.max_episode_steps
    for plan in (recipe.first, recipe.next):
        assert limit is None or plan.max_decisions is None or plan.max_decisions <= limit


def test_an_env_without_a_recipe_has_the_defaults():
    assert own_recipe("CartPole-v1") == own_recipe("../no/such") == Recipe()
    assert Recipe.model_validate({}) == Recipe()
    assert own_recipe("CarRacing-v3") == load_recipe("CarRacing-v3")


def test_a_file_that_is_not_there_is_no_recipe(tmp_path):
    for source in (tmp_path / "mine.json", "CartPole-v1", tmp_path):
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
        ('{"evaluation_episodes": 1}', "evaluation_episodes"),
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
