"""``dreamenv audit``: measure the gap between a dream and its real env, and say what it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dreamenv.audit.checks import run_checks
from dreamenv.audit.episodes import AuditConfig, collect_real, open_held_out, play_dream, spread
from dreamenv.audit.filtered import filter_episodes
from dreamenv.audit.findings import Findings
from dreamenv.audit.folder import check_out, replacing
from dreamenv.audit.frames import Strip, choose, film
from dreamenv.audit.open_loop import dream_windows, summarise, windows
from dreamenv.audit.parting import part
from dreamenv.audit.play import Played
from dreamenv.audit.plots import require_matplotlib
from dreamenv.audit.report import AuditReport, RealSteps, write
from dreamenv.audit.returns import compare
from dreamenv.audit.reward import audit_reward
from dreamenv.audit.termination import audit_termination
from dreamenv.audit.within import audit_within, known_moments
from dreamenv.data.manifest import installed_versions
from dreamenv.data.rollouts import Episode
from dreamenv.data.scratch import scratch_folder
from dreamenv.dream.trust import check_trust
from dreamenv.packages import Package, load_package
from dreamenv.pictures import shows_pictures
from dreamenv.progress import Progress, silent
from dreamenv.real_specs import real_horizon


def audit(
    dream: str | Path,
    *,
    policy: str | Path | None = None,
    data: str | Path | Sequence[str | Path] | None = None,
    out: str | Path,
    episodes: int | None = None,
    within: int | None = None,
    seed: int = 0,
    quick: bool = False,
    workers: int = 1,
    deterministic: bool = False,
    device: str = "cpu",
    knobs: Mapping[str, Any] | None = None,
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
        within: decisions ahead for which endings are foretold; 20 by default.
        quick: fewer episodes and dreams, unless ``episodes`` says otherwise: a look in a minute.
        deterministic: the policy's mode; else it is sampled.
        knobs: ``temperature``, ``termination`` and ``termination_temperature`` of the dream that is
            played, where a policy learnt in another than the package's own. Predictions are held
            against real episodes as the model makes them, whatever the knobs.

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
        knobs=dict(knobs or {}),
        **{n: v for n, v in {"episodes": episodes, "within": within}.items() if v is not None},
    )
    out = Path(out)
    check_out(out)
    package = load_package(dream)
    check_trust(package.config, **settings.knobs)
    given = None if data is None else open_held_out(data, package.config)
    out.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(f".{out.name}-rollouts-", out.parent) as rollouts:
        report, strips = _measure(package, dream, policy, given, settings, rollouts, progress)
    report = dataclasses.replace(report, path=out)
    with replacing(out) as folder:
        write(report, strips, folder)
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
    moments = known_moments(
        held_out,
        settings.within,
        settings.within_moments * len(held_out),
        settings.seed,
        real_horizon(config.real),
    )
    filtered = filter_episodes(
        model,
        held_out,
        keep=[
            [*(w.start for w in chosen if w.episode == i), *moments[i]]
            for i in range(len(held_out))
        ],
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
    if shows_pictures(config):
        strips = [film(model, filtered[w.episode], w, settings.seed) for w in choose(chosen)]
    seen = [Played.of(e) for e in (*played, *(given or []))]
    findings = Findings(
        policy=compare(dreamed, [Played.of(e) for e in real.episodes], seen, settings.seed),
        random=compare(
            dreamed_random, [Played.of(e) for e in random.episodes], seen, settings.seed
        ),
        parting=part(
            dreamed,
            [Played.of(e) for e in real.episodes],
            [f.foreseen for f in filtered],
            settings.seed,
        ),
        trained=policy is not None,
        ends=config.defaults.termination != "none",
        open_loop=summarise(drift, filtered, settings.seed),
        reward=audit_reward(filtered, drift, settings.seed),
        termination=audit_termination(filtered, settings.seed),
        within=audit_within(
            model,
            filtered,
            moments,
            steps=settings.within,
            samples=settings.within_samples,
            termination_temperature=config.defaults.termination_temperature,
            seed=settings.seed,
            progress=progress,
        ),
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
        horizon=real_horizon(config.real) or config.defaults.horizon,
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
