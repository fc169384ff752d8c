"""Commands that use a dream: list, info, learn, evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dreamenv.cli.door import Deterministic, Dream, Seed, interval, print_json, progress_for

PANEL = "Use a dream"


def add_to(app: typer.Typer) -> None:
    """Register this file's commands."""
    app.command("list", rich_help_panel=PANEL)(list_dreams)
    for command in (info, learn, evaluate):
        app.command(rich_help_panel=PANEL)(command)


def list_dreams(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for scripts.")] = False,
) -> None:
    """List the dreams that come with dreamenv."""
    from dreamenv.packages import load_config
    from dreamenv.sources import shipped

    dreams = {name: load_config(name) for name in shipped()}
    if as_json:
        print_json({name: config.model_dump(mode="json") for name, config in dreams.items()})
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "dream", "real env", "family", "real frames", "features", box=None, pad_edge=False
    )
    for name, config in dreams.items():
        frames = config.provenance.get("real_steps")
        table.add_row(
            name,
            config.real.env_id,
            config.family,
            f"{frames:,}" if isinstance(frames, int) else "–",
            str(config.features),
        )
    Console().print(table)


def info(
    dream: Dream,
    as_json: Annotated[bool, typer.Option("--json", help="config.json, for scripts.")] = False,
) -> None:
    """Show a dream's card: what it is, its gap to the real env, how it was made.

    [cyan]dreamenv info Dream-CarRacing-v0[/cyan]
    """
    from dreamenv.package_files import MAX_BYTES, open_files
    from dreamenv.packages import load_config
    from dreamenv.sources import resolve

    folder = resolve(dream)
    config = load_config(folder)
    if as_json:
        print_json(config.model_dump(mode="json"))
        return
    from rich.console import Console
    from rich.markdown import Markdown

    with open_files(folder, ["README.md"]) as files:
        card = files["README.md"].read(MAX_BYTES["README.md"]).decode(errors="replace")
    # A stranger's card may hold the terminal's escape sequences.
    Console().print(Markdown("".join(c for c in card if c.isprintable() or c == "\n")))


def learn(
    dream: Dream,
    out: Annotated[Path, typer.Option(metavar="POLICY.zip", help="The policy's file.")],
    algo: Annotated[
        str | None, typer.Option(help="ppo, a2c, sac, td3, dqn or cma; the dream's own by default.")
    ] = None,
    timesteps: Annotated[
        int | None, typer.Option(min=1, help="Decisions in the dream; its own by default.")
    ] = None,
    num_envs: Annotated[int | None, typer.Option(min=1, help="Lanes; its own by default.")] = None,
    temperature: Annotated[float | None, typer.Option(help="Of the dream.")] = None,
    horizon: Annotated[int | None, typer.Option(help="Decisions an episode.")] = None,
    trust_penalty: Annotated[
        float | None, typer.Option(help="Taken off the reward where the dream is unsure.")
    ] = None,
    trust_limit: Annotated[
        float | None, typer.Option(help="Quantile of uncertainty beyond which it is cut short.")
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER",
            help="Start at any moment of what dreamenv collect recorded there; may be repeated.",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Any other knob of the dream or setting of the algorithm; may be repeated.",
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="Where the dream runs: cpu, cuda.")] = "cpu",
    seed: Seed = 0,
) -> None:
    """Train a policy from scratch in a dream; no real env is touched.

    An ordinary Stable-Baselines3 file. What is not said is the dream's own recipe, which transfers.

    [cyan]dreamenv learn Dream-CarRacing-v0 --algo ppo --seed 1 --out policy.zip[/cyan]

    [cyan]dreamenv learn Dream-CarRacing-v0 --set temperature=[0.8,1.2] --set gamma=0.98 …[/cyan]
    """
    from dreamenv.learn import learn as run
    from dreamenv.learn_defaults import parse_settings
    from dreamenv.progress import console

    knobs, hyperparameters = parse_settings(settings or [])
    given = {
        "temperature": temperature,
        "horizon": horizon,
        "trust_penalty": trust_penalty,
        "trust_limit": trust_limit,
    }
    knobs |= {name: value for name, value in given.items() if value is not None}
    if data:
        knobs |= {"starts": "data", "data": data}
    with console() as progress:
        learned = run(
            dream,
            out=out,
            algo=algo,
            timesteps=timesteps,
            seed=seed,
            num_envs=num_envs,
            knobs=knobs,
            hyperparameters=hyperparameters,
            device=device,
            progress=progress,
        )
    pace = f"{learned.steps_per_second:,.0f} steps/s"
    typer.echo(f"{learned.path}: {learned.timesteps:,} decisions in the dream, {pace}")


def evaluate(
    policy: Annotated[str, typer.Argument(metavar="POLICY.zip|random", help="Who acts.")],
    dream: Dream,
    on: Annotated[str, typer.Option(metavar="dream|real", help="Where.")] = "real",
    episodes: Annotated[int, typer.Option(min=1, help="Whole episodes, on unseen tracks.")] = 20,
    deterministic: Deterministic = False,
    workers: Annotated[int, typer.Option(min=1, help="Processes that play the real env.")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, for scripts.")] = False,
    seed: Seed = 0,
) -> None:
    """Score a policy, in the dream or in the real env.

    A policy's file holds pickled Python, which runs as it is loaded: give your own only.

    [cyan]dreamenv evaluate policy.zip Dream-CarRacing-v0 --on real --episodes 50 --json[/cyan]
    """
    if on not in ("dream", "real"):
        raise ValueError(f'on: expected "dream" or "real", got {on!r}')
    from dreamenv.evaluate import evaluate as run

    with progress_for(as_json) as progress:
        scored = run(
            policy,
            dream,
            on="dream" if on == "dream" else "real",
            episodes=episodes,
            seed=seed,
            deterministic=deterministic,
            workers=workers,
            progress=progress,
        )
    if as_json:
        print_json(scored.to_json())
        return
    line = f"{on} return {interval(scored.mean, scored.low, scored.high)}, std {scored.std:.0f}"
    typer.echo(f"{line}, over {episodes} episodes ({scored.real_steps:,} real frames)")
