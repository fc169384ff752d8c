"""Verdicts on published and recorded cases, and on constructed ones."""

from __future__ import annotations

import numpy as np
import pytest

from dreamenv.audit.bootstrap import Interval
from dreamenv.audit.verdict import Evidence, judge


def evidence(
    dream: tuple[float, float],
    real: tuple[float, float],
    episodes: int,
    random: tuple[float, float],
    best_real: float | None = None,
    **more: object,
) -> Evidence:
    """From (mean, standard deviation) of each, by the normal approximation."""

    def interval(mean: float, std: float) -> Interval:
        reach = 1.96 * std / np.sqrt(episodes)
        return Interval(mean, mean - reach, mean + reach)

    return Evidence(
        dream=interval(*dream),
        real=interval(*real),
        gap=interval(dream[0] - real[0], float(np.hypot(dream[1], real[1]))),
        random=random[0],
        random_std=random[1],
        best_real=real[0] + 3 * real[1] if best_real is None else best_real,
        **more,  # type: ignore[arg-type]
    )


# Ha & Schmidhuber 2018, table 2: Take Cover at five temperatures, 100 episodes, random 210 ± 108.
# The paper's reading: at low temperatures the policy cheats the dream, at 1.15 it transfers.
PAPER = [
    ((2086, 140), (193, 58), "exploited"),
    ((2060, 277), (196, 50), "exploited"),
    ((1145, 690), (868, 511), "flattering"),
    ((918, 546), (1092, 556), "honest"),
    ((732, 269), (753, 139), "honest"),
]


@pytest.mark.parametrize(("dream", "real", "word"), PAPER)
def test_the_paper_s_own_dream(dream, real, word):
    assert judge(evidence(dream, real, 100, (210, 108))).word == word


# Three rounds on Car Racing: dream and real return of the same policy over the same 300 steps.
ROUNDS = [
    ((104, 20), (-54, 20), "exploited"),  # random data alone
    ((204, 40), (185, 70), "honest"),  # one more round
    ((361, 30), (5, 51), "exploited"),  # a third: the reward head dreams
]


@pytest.mark.parametrize(("dream", "real", "word"), ROUNDS)
def test_three_rounds_of_the_car(dream, real, word):
    verdict = judge(evidence(dream, real, 10, (-15, 10)))
    assert verdict.word == word
    if word == "exploited":
        assert f"dream says {dream[0]}, real says {real[0]}" in verdict.sentence


def test_a_dream_that_pays_somewhat_more_is_flattering_and_says_both_figures():
    verdict = judge(evidence((600, 50), (400, 50), 50, (0, 10), best_real=700))
    assert verdict.word == "flattering"
    assert "dream says 600, real says 400" in verdict.sentence


def test_the_same_gap_above_anything_real_is_exploitation():
    above_best = judge(evidence((600, 50), (400, 50), 50, (0, 10), best_real=550))
    assert above_best.word == "exploited"
    assert "best real episode (550)" in above_best.sentence
    above_pace = judge(
        evidence((600, 50), (400, 50), 50, (0, 10), best_real=700, above_real=("pace 9, real 2",))
    )
    assert above_pace.word == "exploited"
    assert "pace 9, real 2" in above_pace.sentence


def test_paid_beyond_reality_but_no_gap_is_not_exploitation():
    assert judge(evidence((410, 50), (400, 50), 50, (0, 10), above_real=("pace",))).word == "honest"


def test_a_policy_that_beats_its_dream():
    assert judge(evidence((300, 50), (600, 50), 50, (0, 10))).word == "pessimistic"


def test_two_wild_episodes_decide_nothing():
    assert judge(evidence((600, 500), (400, 500), 2, (0, 10))).word == "undecided"
    # The same mean is no proof of honesty where exploitation cannot be ruled out.
    assert judge(evidence((600, 500), (600, 500), 2, (0, 10))).word == "undecided"


def test_random_play_exploits_nothing():
    assert judge(evidence((900, 50), (0, 10), 50, (0, 10), trained=False)).word == "flattering"
    assert judge(evidence((1, 10), (0, 10), 50, (0, 10), trained=False)).word == "honest"


def test_a_policy_no_better_than_random_is_honest_if_its_dream_says_so():
    assert judge(evidence((-26, 30), (-30, 30), 20, (-30, 15))).word == "honest"


def test_honest_policies_are_hardly_ever_called_anything_else():
    """Dream and real drawn from one distribution, as the audit would draw them."""
    from dreamenv.audit.bootstrap import mean, mean_difference

    words = []
    for trial in range(20):
        rng = np.random.default_rng(trial)
        dream, real = rng.normal(400, 120, 200), rng.normal(400, 120, 20)
        random = rng.normal(-30, 15, 20)
        found = Evidence(
            dream=mean(dream, seed=trial),
            real=mean(real, seed=trial),
            gap=mean_difference(dream, real, seed=trial),
            random=float(random.mean()),
            random_std=float(random.std(ddof=1)),
            best_real=float(max(real.max(), random.max())),
        )
        words.append(judge(found).word)
    assert words.count("honest") >= 19
