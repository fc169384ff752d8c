"""``dreamenv audit``: measure the gap between a dream and its real env, and say what it is."""

from __future__ import annotations

import dataclasses
import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dreamenv.audit.bootstrap import LEVEL
from dreamenv.audit.checks import Check, run_checks
from dreamenv.audit.episodes import (
    AuditConfig,
    collect_real,
    open_held_out,
    play_dream,
    real_horizon,
    spread,
)
from dreamenv.audit.filtered import filter_episodes
from dreamenv.audit.findings import Findings
from dreamenv.audit.folder import MARK, check_out, replacing
from dreamenv.audit.frames import Strip, choose, film, is_picture
from dreamenv.audit.open_loop import dream_windows, summarise, windows
from dreamenv.audit.page import render
from dreamenv.audit.play import Played
from dreamenv.audit.plots import (
    draw_frames,
    draw_open_loop,
    draw_reliability,
    draw_returns,
    draw_reward,
    png,
    require_matplotlib,
)
from dreamenv.audit.returns import compare
from dreamenv.audit.reward import audit_reward
from dreamenv.audit.termination import audit_termination
from dreamenv.audit.verdict import Verdict
from dreamenv.data.manifest import installed_versions
from dreamenv.data.rollouts import Episode
from dreamenv.packages import Package, load_package
from dreamenv.progress import Progress, silent

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


def audit(
    dream: str | Path,
    *,
    policy: str | Path | None = None,
    data: str | Path | Sequence[str | Path] | None = None,
    out: str | Path,
    episodes: int | None = None,
    seed: int = 0,
    quick: bool = False,
    workers: int = 1,
    deterministic: bool = True,
    device: str = "cpu",
    progress: Progress | None = None,
) -> AuditReport:
    """Audit a dream, and leave ``audit.json``, ``index.html`` and its figures in a folder.

    Plays the policy and random actions in the real env and in the dream, and holds the model's
    predictions against real episodes it never saw. With several workers a script must guard
    its entry (``if __name__ == "__main__":``), as always with spawned processes.

    Args:
        dream: a package: folder, shipped id or hub id.
        policy: a Stable-Baselines3 ``.zip`` of your own (it holds pickled Python); None
            audits the dream with random actions.
        data: rollouts that the model never saw, to hold its predictions against; None
            uses the real episodes that the audit plays anyway.
        out: the folder; it appears whole, and replaces an earlier audit.
        episodes: real episodes of the policy, and as many of random actions; 20 by default.
        quick: fewer episodes and dreams, unless ``episodes`` says otherwise: a look in a minute.
        deterministic: the policy's mode; else it is sampled.

    Raises:
        PackageError, PolicyError, DataError: no such package, policy or data, they do not go
            together, or ``out`` holds something else. Nothing has been played then.
        ImportError: the extras ``plots``, or those of the policy or the real env, are missing.
        ValueError: a setting out of range.
    """
    require_matplotlib()
    progress = progress or silent
    settings = dataclasses.replace(
        AuditConfig.quick() if quick else AuditConfig(),
        seed=seed,
        workers=workers,
        deterministic=deterministic,
        device=device,
        **({} if episodes is None else {"episodes": episodes}),
    )
    out = Path(out)
    check_out(out)
    package = load_package(dream)
    given = None if data is None else open_held_out(data, package.config)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-rollouts-", dir=out.parent) as rollouts:
        report, strips = _measure(package, dream, policy, given, settings, Path(rollouts), progress)
    report = dataclasses.replace(report, path=out)
    with replacing(out) as folder:
        _write(report, strips, folder)
    return report


def _measure(
    package: Package,
    source: str | Path,
    policy: str | Path | None,
    given: list[Episode] | None,
    settings: AuditConfig,
    rollouts: Path,
    progress: Progress,
) -> tuple[AuditReport, list[Strip]]:
    # The dream first: a policy that does not fit is told before the slow real env is played.
    config = package.config
    dreamed = play_dream(package, policy, settings, progress)
    dreamed_random = play_dream(package, None, settings, progress) if policy else dreamed
    random = collect_real(source, None, config, settings, rollouts / "random", progress)
    real = random
    if policy is not None:
        real = collect_real(source, policy, config, settings, rollouts / "policy", progress)
    played = [*real.episodes, *(random.episodes if policy else [])]
    held_out = spread(given or played, settings.held_out)

    model = package.world_model(settings.device)
    chosen = windows(held_out, settings.horizon, settings.windows)
    filtered = filter_episodes(
        model,
        held_out,
        keep=[[w.start for w in chosen if w.episode == i] for i in range(len(held_out))],
        samples=settings.fed_samples,
        termination_temperature=config.defaults.termination_temperature,
        seed=settings.seed,
        progress=progress,
    )
    drift = dream_windows(
        model,
        filtered,
        chosen,
        horizon=settings.horizon,
        samples=settings.samples,
        seed=settings.seed,
        progress=progress,
    )
    strips = []
    if is_picture(config.observation_shape):
        strips = [film(model, filtered[w.episode], w, settings.seed) for w in choose(chosen)]
    seen = [Played.of(e) for e in (*played, *(given or []))]
    findings = Findings(
        policy=compare(dreamed, [Played.of(e) for e in real.episodes], seen, settings.seed),
        random=compare(
            dreamed_random, [Played.of(e) for e in random.episodes], seen, settings.seed
        ),
        trained=policy is not None,
        ends=config.defaults.termination != "none",
        open_loop=summarise(drift, filtered, settings.seed),
        reward=audit_reward(filtered, drift, settings.seed),
        termination=audit_termination(filtered, settings.seed),
    )
    verdict, checks = run_checks(findings)
    report = AuditReport(
        dream=config.name,
        identity=package.identity,
        policy="random" if policy is None else Path(policy).name,
        verdict=verdict,
        checks=checks,
        findings=findings,
        real_steps=RealSteps(
            policy=real.real_steps if policy else 0,
            random=random.real_steps,
            held_out="given" if given else "the real episodes played for this audit",
        ),
        horizon=real_horizon(config) or config.defaults.horizon,
        settings=settings,
        seeds={
            "policy": [e.seed for e in real.episodes] if policy else [],
            "random": [e.seed for e in random.episodes],
            "held_out": [e.seed for e in held_out],
        },
        versions=installed_versions(),
        path=Path(),
    )
    return report, strips


def _write(report: AuditReport, strips: Sequence[Strip], folder: Path) -> None:
    findings = report.findings
    figures = {
        "returns": draw_returns(findings.policy, findings.random, findings.trained),
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
