"""The page on Take Cover says what was measured."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def paper_table(monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "docs")
    return importlib.import_module("paper_table")


def test_the_page_shows_the_sweeps_that_are_kept(paper_table):
    (shown,) = paper_table.MARKED.findall(paper_table.PAGE.read_text(encoding="utf-8"))
    kept = [ROOT / "docs" / "figures" / f"sweep_{mode}.json" for mode in ("sample", "threshold")]
    if all(path.exists() for path in kept):
        assert shown == paper_table.table([json.loads(path.read_text()) for path in kept])
    else:
        assert shown == ""  # No figure without a measurement.


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
