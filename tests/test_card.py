"""A package's card says what it is, in words of its own family."""

from __future__ import annotations

import pytest

from dreamenv.card import card
from dreamenv.packages import Package


@pytest.fixture
def curve() -> list[dict[str, object]]:
    figure = {"mean": 1.0, "low": 0.0, "high": 2.0}
    return [
        {
            "round": 0,
            "real_steps": 1000,
            "evaluation_steps": 40,
            "dream_return": figure,
            "real_return": figure,
        }
    ]


def text_of(package: Package, curve: list[dict[str, object]]) -> str:
    provenance = {"real_steps": 1234, "curve": curve}
    return card(package.config.model_copy(update={"provenance": provenance}))


def test_an_ensembles_card(make_unsure_package, curve):
    text = text_of(make_unsure_package(), curve)
    assert "A dream of `Hopper-v5`: a bootstrapped ensemble of probabilistic networks" in text
    assert "(Chua et al. 2018; Janner et al. 2019)" in text
    assert "learned termination" in text
    assert "- One decision is 1 real step.\n" in text
    assert "- Real steps behind the package: 1,234.\n" in text
    assert "| round | real steps | evaluation steps |" in text
    assert "`trust_penalty`" in text
    assert "frame" not in text
    assert "VAE" not in text


def test_a_card_of_frames(make_package, curve):
    text = text_of(make_package(), curve)
    assert "A dream of `CarRacing-v3`: a VAE + MDN-RNN (Ha & Schmidhuber 2018)" in text
    assert "- One decision is 4 real frames.\n" in text
    assert "| round | real frames | evaluation frames |" in text
    assert "ensemble" not in text
    assert "trust" not in text


def test_where_episodes_end_is_said_in_the_real_envs_units(make_unsure_package):
    provenance = {
        "healthy_range": [
            {"number": 0, "sign": -1, "bound": 0.70004},
            {"number": 1, "sign": 1, "bound": 0.2},
        ]
    }
    config = make_unsure_package().config
    text = card(config.model_copy(update={"provenance": provenance}))
    assert (
        "- Episodes end where, as the data show, `observation[0]` is below 0.7 or "
        "`observation[1]` is above 0.2.\n"
    ) in text
    assert "Episodes end where" not in card(config)


@pytest.mark.parametrize(("rounds", "shown"), [(25, 25), (26, 25), (240, 25)])
def test_of_many_rounds_some_are_shown(make_package, curve, rounds, shown):
    many = [curve[0] | {"round": number} for number in range(rounds)]
    lines = [line for line in text_of(make_package(), many).splitlines() if line.endswith("2] |")]
    numbers = [int(line.split("|")[1]) for line in lines]
    assert len(numbers) == shown
    assert (numbers[0], numbers[-1]) == (0, rounds - 1)
    assert numbers == sorted(set(numbers))
