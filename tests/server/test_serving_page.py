"""docs/serving.md says what the server, its command and its clients do."""

from __future__ import annotations

import ast
import importlib
import json
import re
import shlex
from pathlib import Path
from types import ModuleType

import dreamenv_client
import pytest
from dreamenv_client.errors import Code, RemoteError
from dreamenv_client.remote_source import SERVER_KNOBS
from typer.main import get_command

from dreamenv.cli import app

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "serving.md").read_text(encoding="utf-8")
SERVE = get_command(app).commands["serve"]


@pytest.fixture
def tables(monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(DOCS)
    return importlib.import_module("serving_table")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def serving() -> list[str]:
    lines = "\n".join(blocks("sh")).splitlines()
    return [line for line in lines if line.startswith("dreamenv serve")]


@pytest.mark.parametrize("line", serving())
def test_commands_parse(line):
    SERVE.make_context("serve", shlex.split(line)[2:])


def test_options_are_the_commands():
    ours = {flag for option in SERVE.params for flag in option.opts}
    told = {
        flag
        for code in re.findall(r"`(--[a-z][^`]*)`", PAGE)
        for flag in re.findall(r"--[a-z-]+", code)
    }
    assert told - ours <= {"--stop-timeout"}
    # What decides who comes in and how much they get is all told.
    assert ours - set(re.findall(r"--[a-z-]+", PAGE)) <= {"--log-level", "--compile", "--device"}


def test_keywords_of_the_faces_are_told():
    rows = PAGE.partition("| keyword | what it sets |")[2].partition("\n\n")[0]
    told = set(
        re.findall(r"`([a-z_]+)`", "\n".join(r.split("|")[1] for r in rows.splitlines()[2:]))
    )
    assert told == {"server", *SERVER_KNOBS}
    for code in blocks("python"):
        keywords = {
            key.value
            for node in ast.walk(ast.parse(code))
            if isinstance(node, ast.Dict)
            for key in node.keys
            if isinstance(key, ast.Constant)
        }
        assert keywords <= told


def test_every_error_is_in_the_table():
    table = PAGE.partition("| what is raised |")[2].partition("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.split("|")[1:3]] for line in table]
    named = {cell.strip("`") for cell, _ in cells if re.fullmatch(r"`\w+`", cell)}
    ours = {
        name
        for name, found in vars(dreamenv_client).items()
        if isinstance(found, type) and issubclass(found, RemoteError)
    }
    assert named == ours | {"ValueError", "RuntimeError"}
    statuses = {status for _, cell in cells for status in re.findall(r"\b[A-Z_]{5,}\b", cell)}
    assert statuses <= {code.name for code in Code}


def test_linked_files_exist():
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", PAGE):
        assert (DOCS / link).exists(), link
    for path in re.findall(r"`((?:server|examples|benchmarks|docs|tests)/[\w./]+)`", PAGE):
        assert (DOCS.parent / path).exists(), path


def test_tables_are_what_was_measured(tables):
    marked = importlib.import_module("marked").marked
    memory = json.loads(tables.MEMORY.read_text(encoding="utf-8"))
    assert marked(PAGE, "lane-memory-table") == tables.memory_table(memory)
    if tables.SPEED.exists():
        speed = json.loads(tables.SPEED.read_text(encoding="utf-8"))
        assert marked(PAGE, "serving-table") == tables.speed_table(speed)


def test_speed_table_says_the_figures(tables):
    timed = {"steps per second": 1234, "p50 microseconds": 56.7, "p99 microseconds": 890.1}
    timed |= {"client cpu": 0.25}
    far = timed | {"server cpu": 0.5, "batches by lanes at most": {"1": 0.25, "64": 0.75}}
    ratio = {"median": 0.834, "least": 0.7, "most": 0.91}
    case = {"remote / in process": ratio, "in process": timed, "remote": far}
    table = tables.speed_table(
        {
            "dream": "Dream-CarRacing-v0",
            "cores": 2,
            "rounds": 9,
            "seconds of a block": 0.7,
            "fingerprint": "a chip",
            "1 client": case,
        }
    ).splitlines()
    assert "| 1 client | remote / in process | 0.83 | 0.70–0.91 |" in table
    assert "| 1 client | in process | 1,234 | 57 | 890 | 0.25 |  |" in table
    assert "|  | remote | 1,234 | 57 | 890 | 0.25 | 0.50 |" in table
    assert "- 1 client: 1: 25%, 64: 75%" in table
