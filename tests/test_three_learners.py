"""The example with a server and three learners on hosts of their own."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def three_learners(monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module("three_learners")


def test_learners_elsewhere_learn_the_same_bit_for_bit(three_learners, tiny_package, capsys):
    lesson = three_learners.Lesson(dream=str(tiny_package), lanes=4, timesteps=512)
    try:
        assert three_learners.run(lesson)
    except three_learners.NoHosts as error:
        pytest.skip(str(error))
    shown = capsys.readouterr().out
    assert shown.count("the same") == 3
    # Three seeds, three policies: what is the same was no constant.
    assert len(set(re.findall(r"\b[0-9a-f]{16}\b", shown))) == 3
    left = subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout
    assert f"dreams{os.getpid()}-" not in left


def test_without_root_it_says_what_it_takes(three_learners, monkeypatch, capsys):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr("sys.argv", ["three_learners.py"])
    three_learners.main()
    assert "skipped: hosts of their own take root" in capsys.readouterr().out
