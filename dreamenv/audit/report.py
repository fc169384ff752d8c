"""What an audit found, and the files it leaves."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dreamenv.audit.bootstrap import LEVEL
from dreamenv.audit.checks import Check
from dreamenv.audit.episodes import AuditConfig
from dreamenv.audit.findings import Findings
from dreamenv.audit.folder import MARK
from dreamenv.audit.frames import Strip
from dreamenv.audit.page import render
from dreamenv.audit.plots import (
    draw_frames,
    draw_open_loop,
    draw_parting,
    draw_reliability,
    draw_returns,
    draw_reward,
    png,
)
from dreamenv.audit.verdict import Verdict

FORMAT_VERSION = 1


@dataclass(frozen=True)
class RealSteps:
    """Frames of the real env that this audit played, none of them ever trained on."""

    policy: int
    random: int
    held_out: str
    """Where the episodes behind the model's errors came from."""


@dataclass(frozen=True)
class AuditReport:
    """What was found, as it stands in ``audit.json``."""

    dream: str
    identity: str
    """SHA-256 of the package."""
    policy: str
    verdict: Verdict
    checks: list[Check]
    findings: Findings
    real_steps: RealSteps
    horizon: int
    """Decisions of a whole episode, dreamed and real."""
    settings: AuditConfig
    seeds: dict[str, list[int]]
    """Env seeds of the real episodes."""
    versions: dict[str, str]
    path: Path

    def to_json(self) -> dict[str, Any]:
        """As plain data; what is undefined (NaN) is null."""
        document = {"format_version": FORMAT_VERSION, "level": LEVEL}
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        del fields["path"]
        plain: dict[str, Any] = _plain(document | fields)
        return plain


def write(report: AuditReport, strips: Sequence[Strip], folder: Path) -> None:
    """Write ``audit.json``, ``index.html`` and the figures into an empty folder."""
    findings = report.findings
    figures = {
        "returns": draw_returns(findings.policy, findings.random, findings.trained),
        "parting": draw_parting(findings.parting),
        "reward": draw_reward(findings.reward),
        "open_loop": draw_open_loop(findings.open_loop),
    }
    if findings.termination.calibration is not None:
        figures["termination"] = draw_reliability(findings.termination.calibration)
    if strips:
        figures["frames"] = draw_frames(strips)
    pictures = {name: png(figure) for name, figure in figures.items()}
    for name, picture in pictures.items():
        (folder / f"{name}.png").write_bytes(picture)
    (folder / "index.html").write_text(render(report, pictures), encoding="utf-8")
    (folder / MARK).write_text(json.dumps(report.to_json(), indent=1, allow_nan=False) + "\n")


def _plain(value: Any) -> Any:
    """Dataclasses, arrays and numbers as JSON has them."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value
