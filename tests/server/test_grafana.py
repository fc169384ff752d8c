"""The dashboard asks only for what the server tells, in a shape that Grafana takes."""

from __future__ import annotations

import inspect
import json
import re
from itertools import combinations
from pathlib import Path

import pytest
from dreamenv_server.metrics import Metrics
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

DASHBOARD = json.loads(
    (Path(__file__).parents[2] / "docs" / "grafana.json").read_text(encoding="utf-8")
)
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]]
UNITS = {"short", "s", "percentunit", "reqps", "ops", "Bps", "bytes"}


@pytest.fixture(scope="module")
def told() -> dict[str, set[str]]:
    """The labels of every series that a server tells once everything has happened."""
    metrics = Metrics()
    sample = {int: 1, float: 0.1, str: "x"}
    for name, method in inspect.getmembers(metrics, inspect.ismethod):
        if name.startswith("_"):
            continue
        kinds = inspect.get_annotations(method.__func__, eval_str=True)
        kinds.pop("return")
        method(*(sample[kind] for kind in kinds.values()))
    series: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(generate_latest(metrics.registry).decode()):
        for found in family.samples:
            series.setdefault(found.name, set()).update(found.labels)
    return series


def names(query: str) -> set[str]:
    return set(re.findall(r"\b(?:dreamenv|process)_[a-z_]+\b", query))


@pytest.mark.parametrize("query", QUERIES)
def test_every_series_and_label_is_told(query, told):
    assert names(query)
    for name in names(query):
        assert name in told, f"{name}: expected one of {sorted(told)}"
    for name, matchers in re.findall(r"((?:dreamenv|process)_[a-z_]+)\{([^}]*)\}", query):
        used = set(re.findall(r"(\w+)\s*(?:=~|!=|!~|=)", matchers)) - {"instance"}
        assert used <= told[name], name
    for grouped in re.findall(r"by \(([^)]*)\)", query):
        known = set.union(*(told[name] for name in names(query)))
        assert set(re.split(r",\s*", grouped)) <= known


@pytest.mark.parametrize("query", QUERIES)
def test_counters_are_asked_for_their_rate_and_gauges_are_not(query):
    for name in names(query):
        counts = name.endswith(("_total", "_bucket"))
        within = re.search(rf"(rate|increase)\({name}\{{[^}}]*\}}\[\$__rate_interval\]\)", query)
        assert bool(within) == counts, name
    assert query.count("(") == query.count(")")


def test_every_metric_of_ours_is_shown(told):
    shown = set().union(*map(names, QUERIES))
    base = {re.sub(r"_(total|bucket|sum|count|created)$", "", name) for name in told}
    ours = {name for name in base if name.startswith("dreamenv_")}
    assert ours == {
        re.sub(r"_(total|bucket)$", "", name) for name in shown if name.startswith("dreamenv_")
    }


def test_legends_name_labels_that_the_query_keeps():
    for panel in PANELS:
        for target in panel["targets"]:
            legend = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            kept = set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", target["expr"]))))
            summed = re.search(r"\bsum\b", target["expr"])
            assert legend <= (kept if summed else {"instance"}), panel["title"]


def test_grafana_takes_it():
    assert DASHBOARD["schemaVersion"] >= 36
    assert isinstance(DASHBOARD["uid"], str)
    assert len(DASHBOARD["uid"]) <= 40
    assert "id" not in DASHBOARD  # Grafana gives its own.
    variables = {one["name"]: one for one in DASHBOARD["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["query"] == "prometheus"
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    source = {"type": "prometheus", "uid": "${datasource}"}
    assert variables["instance"]["datasource"] == source
    for panel in PANELS:
        assert panel["type"] in {"stat", "timeseries", "heatmap"}
        assert panel["title"]
        assert panel["description"]
        assert panel["datasource"] == source
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
        refs = [target["refId"] for target in panel["targets"]]
        assert refs == sorted(set(refs))
        for target in panel["targets"]:
            assert target["datasource"] == source
            wanted = set(re.findall(r"\$\{?(\w+)", target["expr"]))
            assert wanted <= {*variables, "__rate_interval"}


def test_panels_do_not_overlap():
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    for place in places:
        assert place["x"] >= 0
        assert place["x"] + place["w"] <= 24
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above, (one, other)
