"""The page on Take Cover says what was measured."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def audit_table(monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "docs")
    return importlib.import_module("audit_table")


@pytest.fixture
def paper_table(monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "docs")
    return importlib.import_module("paper_table")


def test_the_page_shows_the_sweeps_that_are_kept(paper_table):
    page = paper_table.PAGE.read_text(encoding="utf-8")
    shown = importlib.import_module("marked").marked(page, "paper-table")
    kept = [paper_table.kept(name) for name in ("sample", "threshold", "untrained", "others")]
    if all(path.exists() for path in kept):
        *sweeps, control, others = [json.loads(path.read_text()) for path in kept]
        assert shown == paper_table.table(sweeps, control, others)
    else:
        assert shown == ""  # No figure without a measurement.


def test_the_page_shows_the_audits_that_are_kept(audit_table):
    page = audit_table.PAGE.read_text(encoding="utf-8")
    shown = importlib.import_module("marked").marked(page, "audit-table")
    kept = json.loads(audit_table.KEPT.read_text()) if audit_table.KEPT.exists() else None
    assert shown == ("" if kept is None else audit_table.table(kept))


def test_rows_are_the_papers_with_ours_beside_them(paper_table):
    def scores(value):
        return {"value": value, "low": value - 9, "high": value + 9}

    points = [
        {"value": t, "dream": scores(2000 - 1000 * t), "real": scores(100 * t), "word": "honest"}
        | {"dream_std": 5.0, "real_std": 7.0}
        for t in (1.3, 0.1, 0.5, 1.0, 1.15)  # in any order
    ]
    sweep = {"points": points, "random": scores(215.0), "random_std": 90.0}
    sweep["config"] = {"knobs": {"termination": "sample"}, "seeds": 2, "episodes": 100}
    rows = paper_table.table([sweep]).splitlines()
    assert [row.count("|") for row in rows[:8]] == [7] * 8
    assert rows[2] == (
        "| 0.1 | 2086 ± 140 | 193 ± 58 | 1900 [1891, 1909] ± 5 | 10 [1, 19] ± 7 | honest |"
    )
    assert rows[5].startswith("| 1.15 | 918 ± 546 | 1092 ± 556 | 850 ")
    assert rows[7].startswith("| random |  | 210 ± 108 |  | 215 [206, 224] ± 90 |")
    assert "sample: 2 policies a row, 100 episodes each" in rows[9]
    drawn = paper_table.draw([sweep])
    assert [panel.get_title() for panel in drawn.axes] == [
        "the paper",
        "here, termination: sample",
    ]
    (dream, _, _) = drawn.axes[1].containers[0]
    assert list(dream.get_ydata()) == [2000 - 1000 * t for t in paper_table.PAPER]


def test_others_stand_in_the_columns_of_their_termination(paper_table):
    def swept(termination, values, knob="temperature"):
        score = {"value": 100.0, "low": 90.0, "high": 110.0}
        points = [
            {"value": v, "dream": score, "real": score, "dream_std": 1.0, "real_std": 2.0}
            | {"word": "exploited"}
            for v in values
        ]
        config = {"knob": knob, "knobs": {"termination": termination}}
        config |= {"seeds": 1, "episodes": 100}
        return {"points": points, "config": config, "random": score, "random_std": 3.0}

    sweeps = [swept(mode, paper_table.PAPER) for mode in ("sample", "threshold")]
    others = [
        swept("threshold", [[0.75, 1.3]]),
        swept("sample", [0.8], "termination_temperature"),
    ]
    rows = paper_table.table(sweeps, swept("sample", [1.0]), others).splitlines()
    cells = "100 [90, 110] ± 1 | 100 [90, 110] ± 2 | exploited"
    assert rows[7:10] == [
        f"| temperature 0.75 to 1.3 |  |  |  |  |  | {cells} |",
        f"| termination temperature 0.8 |  |  | {cells} |  |  |  |",
        f"| untrained, 1 |  |  | {cells} |  |  |  |",
    ]
    assert {row.count("|") for row in rows[:11]} == {10}


def test_audits_stand_side_by_side(audit_table):
    def figure(value):
        return {"value": value, "low": value - 1, "high": value + 1}

    lengths = {"lengths": {side: {"mean": figure(m)} for side, m in (("dream", 9), ("real", 5))}}
    calibration = {
        name: figure(value) for name, value in (("ece", 0.5), ("auroc", 1), ("skill", 2))
    }
    audit = {
        "verdict": {"word": "exploited", "sentence": "…"},
        "settings": {"episodes": 100},
        "findings": {
            "policy": lengths,
            "random": lengths,
            "parting": {"ended_dream": 0.123, "ended_real": 4.567, "unusual": None},
            "within": {"steps": 20, "moments": 50, "calibration": calibration},
        },
    }
    one = audit_table.extract(audit)
    other = audit_table.extract(audit | {"verdict": {"word": "honest", "sentence": "…"}})
    other["foretold"]["ece"], other["unusual"] = None, 0.1234
    rows = audit_table.table({"a": one, "b": other}).splitlines()
    assert rows[0] == "|  | a | b |"
    assert rows[2] == "| lives, dream | 9 [8, 10] | 9 [8, 10] |"
    assert rows[7] == "| ends in 1,000 decisions, real | 4.57 | 4.57 |"
    assert rows[8].endswith("|  | 12.3% |")
    assert rows[9] == "| foretold: ECE | 0.500 [-0.500, 1.500] | too few |"
    assert rows[12] == "| verdict | exploited | honest |"
    assert "100 real episodes, endings foretold 20 ahead" in rows[14]
