"""The command that says what a dream is worth: audit, of one policy or along a knob."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from dreamenv.cli.door import Deterministic, Dream, Seed
from dreamenv.cli.use import PANEL


def add_to(app: typer.Typer) -> None:
    """Register this file's command."""
    app.command(rich_help_panel=PANEL)(audit)


def audit(
    dream: Dream,
    policy: Annotated[
        Path | None, typer.Option(metavar="POLICY.zip", help="Whose; random actions by default.")
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(metavar="DATA", help="Rollouts that the model never saw; may be repeated."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("audit"),
    episodes: Annotated[
        int | None, typer.Option(help="Real episodes; 20 by default, 100 a policy in a sweep.")
    ] = None,
    within: Annotated[
        int | None, typer.Option(help="Decisions ahead to foretell endings for; 20 by default.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A look, in a minute.")] = False,
    deterministic: Deterministic = False,
    sweep: Annotated[
        str | None,
        typer.Option(metavar="KNOB=VALUE,…", help="Learn at each value, and score both sides."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Policies a value of a sweep.")] = 3,
    temperature: Annotated[
        float | None, typer.Option(help="Of the dreams that are played; the package's by default.")
    ] = None,
    termination: Annotated[
        str | None, typer.Option(help="Of them, too: sample, threshold, none.")
    ] = None,
    trust_penalty: Annotated[
        float | None,
        typer.Option(help="And what is taken off their rewards where they are unsure."),
    ] = None,
    trust_limit: Annotated[
        float | None, typer.Option(help="… or the quantile of uncertainty that cuts them short.")
    ] = None,
    algo: Annotated[str | None, typer.Option(help="Who learns in a sweep.")] = None,
    timesteps: Annotated[
        int | None, typer.Option(min=1, help="Decisions in the dream of each policy of a sweep.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that play the real env.")] = 2,
    seed: Seed = 0,
) -> None:
    """Report the gap between a dream and its real env: JSON, a page, and figures.

    [cyan]dreamenv audit Dream-CarRacing-v0 --policy policy.zip --out audit[/cyan]

    With --sweep, how the gap depends on a knob; killed or stopped, the same command goes on:

    [cyan]dreamenv audit Dream-CarRacing-v0 --sweep temperature=0.5,1.0,1.3 --out sweep[/cyan]
    """
    given = {
        "temperature": temperature,
        "termination": termination,
        "trust_penalty": trust_penalty,
        "trust_limit": trust_limit,
    }
    knobs = {name: value for name, value in given.items() if value is not None}
    if sweep is None:
        asked = {"policy": policy, "data": data or None, "episodes": episodes, "within": within}
        asked |= {"quick": quick, "deterministic": deterministic}
        _one(dream, out, **asked, workers=workers, seed=seed, knobs=knobs)
        return
    if policy is not None or data or quick or deterministic or within is not None:
        raise ValueError(
            "sweep: learns its own policies, and samples them; leave out --policy, --data, "
            "--within, --deterministic and --quick"
        )
    chosen = {} if episodes is None else {"episodes": episodes}
    _sweep(
        dream,
        sweep,
        knobs,
        out,
        workers,
        seeds=seeds,
        algo=algo,
        timesteps=timesteps,
        evaluation_seed=seed,
        **chosen,
    )


def _one(dream: str, out: Path, **asked: Any) -> None:
    from dreamenv.audit import audit as run
    from dreamenv.progress import console

    with console() as progress:
        report = run(dream, out=out, progress=progress, **asked)
    typer.echo(report.verdict.sentence)
    for check in report.checks[1:]:  # the first is the verdict
        mark = {True: "passed", False: "FAILED", None: "cannot tell"}[check.passed]
        typer.echo(f"  {mark:11} {check.name}: {check.measured} (expected {check.expected})")
    typer.echo(f"{out / 'index.html'}")


def _sweep(
    dream: str, text: str, knobs: dict[str, Any], out: Path, workers: int, **settings: Any
) -> None:
    from dreamenv.audit.sweep import SweepConfig, parse_sweep
    from dreamenv.audit.sweep import sweep as run
    from dreamenv.audit.sweep_page import table
    from dreamenv.progress import console

    knob, values = parse_sweep(text)
    config = SweepConfig(dream=dream, knob=knob, values=values, knobs=knobs, **settings)
    with console() as progress:
        found = run(config, out, workers=workers, progress=progress)
    typer.echo(table(found))
    for point in found.points:
        typer.echo(f"{knob} {point.value}: {point.sentence}")
    typer.echo(f"{out}: sweep.json, sweep.md, sweep.png")
