"""docs/ensembles.md shows what docs/figures hold."""

import importlib
import json
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(
    ("part", "figures", "table"),
    [
        ("errors", "ensemble_error", "error_table"),
        ("coverage", "ensemble_error", "coverage_table"),
        ("endings", "learned_endings", "endings_table"),
    ],
)
def test_tables_are_those_of_the_figures(monkeypatch, part, figures, table):
    monkeypatch.syspath_prepend(DOCS)
    tables, marked = importlib.import_module("ensemble_table"), importlib.import_module("marked")
    measured = json.loads((DOCS / "figures" / f"{figures}.json").read_text(encoding="utf-8"))
    page = (DOCS / "ensembles.md").read_text(encoding="utf-8")
    assert marked.marked(page, part) == getattr(tables, table)(measured)
