"""Pages show what docs/figures hold."""

import importlib
import json
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(
    ("page", "part", "figures", "module", "table"),
    [
        ("trust", "transfer", "trust", "trust_table", "transfer_table"),
        ("trust", "ranks", "trust", "trust_table", "ranks_table"),
        ("trust", "speed", "ensemble_speed", "trust_table", "speed_table"),
        ("trust", "gpu", "ensemble_speed_cuda", "trust_table", "speed_table"),
        ("exploitation", "doubts", "mdnrnn_trust", "doubts_table", "doubts_table"),
        ("ensembles", "errors", "ensemble_error", "ensemble_table", "error_table"),
        ("ensembles", "coverage", "ensemble_error", "ensemble_table", "coverage_table"),
        ("ensembles", "ranges", "healthy_range", "ensemble_table", "ranges_table"),
        ("trust", "narrow", "trust_narrow", "trust_table", "transfer_table"),
        ("trust", "networks", "trust_networks", "trust_table", "transfer_table"),
        ("ensembles", "endings", "learned_endings", "ensemble_table", "endings_table"),
    ],
)
def test_tables_are_those_of_the_figures(monkeypatch, page, part, figures, module, table):
    monkeypatch.syspath_prepend(DOCS)
    tables, marked = importlib.import_module(module), importlib.import_module("marked")
    measured = json.loads((DOCS / "figures" / f"{figures}.json").read_text(encoding="utf-8"))
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    assert marked.marked(text, part) == getattr(tables, table)(measured)
