"""Commands that make a dream: collect, train, loop."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dreamenv.cli.door import Seed

if TYPE_CHECKING:
    from dreamenv.data.collect import CollectProgress
    from dreamenv.progress import Progress

PANEL = "Make a dream"


def add_to(app: typer.Typer) -> None:
    """Register this file's commands."""
    for command in (collect, train, loop):
        app.command(rich_help_panel=PANEL)(command)


def collect(
    env: Annotated[
        str, typer.Argument(metavar="ENV", help="CarRacing-v3, or a JSON file that declares an env.")
    ],
    episodes: Annotated[int, typer.Option(help="Episodes in all, earlier runs' included.")],
    out: Annotated[Path, typer.Option(help="Folder to write, or to go on with.")],
    policy: Annotated[
        str, typer.Option(metavar="random|POLICY.zip", help="Who acts.")
    ] = "random",
    dream: Annotated[
        str | None, typer.Option(help="The dream that POLICY.zip learnt in, through which it sees.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes.")] = 1,
    seed: Seed = 0,
    noise: Annotated[
        float, typer.Option(help="Most exploration noise on a policy's actions, in units of action.")
    ] = 0.0,
    hold: Annotated[int, typer.Option(help="Most decisions that a random action is held for.")] = 4,
    max_decisions: Annotated[
        int | None, typer.Option(help="Truncate an episode after so many decisions.")
    ] = None,
    patience: Annotated[
        int | None, typer.Option(help="… or after so many in a row without reward.")
    ] = None,
) -> None:
    """Record episodes of the real env; killed or stopped, the same command goes on.

    [cyan]dreamenv collect CarRacing-v3 --episodes 200 --workers 2 --out data/random[/cyan]
    """
    from dreamenv.data.collect import CollectConfig
    from dreamenv.data.collect import collect as run
    from dreamenv.progress import console
    from dreamenv.real_specs import load_real_spec

    config = CollectConfig(
        real=load_real_spec(env),
        out=out,
        episodes=episodes,
        seed=seed,
        workers=workers,
        policy=policy,
        dream=dream,
        noise=noise,
        hold=hold,
        max_decisions=max_decisions,
        patience=patience,
    )
    with console() as progress:
        rollouts = run(config, lambda now: _report(progress, now))
    typer.echo(f"{out}: {len(rollouts.episodes)} episodes, {rollouts.real_steps:,} real frames")


def _report(progress: Progress, now: CollectProgress) -> None:
    figures = {"real frames": float(now.real_steps)}
    progress("collect", now.episodes, now.planned, figures)


def train(
    family: Annotated[str, typer.Argument(metavar="mdnrnn", help="The family of world model.")],
    data: Annotated[
        list[Path], typer.Argument(metavar="DATA...", help="Folders of dreamenv collect.")
    ],
    out: Annotated[Path, typer.Option(help="The package's folder.")],
    initial: Annotated[
        str | None, typer.Option(metavar="DREAM", help="A package of the same sizes to train on from.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The package's name; OUT's by default.")] = None,
    vae_steps: Annotated[int | None, typer.Option(help="Gradient steps of the VAE.")] = None,
    rnn_steps: Annotated[int | None, typer.Option(help="Gradient steps of the MDN-RNN.")] = None,
    seed: Seed = 0,
) -> None:
    """Fit a world model on recorded episodes; killed or stopped, the same command goes on.

    Checkpoints and TensorBoard logs are kept in OUT.training.

    [cyan]dreamenv train mdnrnn data/random data/driven --out packages/car[/cyan]
    """
    if family != "mdnrnn":
        raise ValueError(f'family: expected "mdnrnn", got {family!r}')
    from dataclasses import replace

    from dreamenv.packages import load_package
    from dreamenv.progress import console
    from dreamenv.training.train import TrainConfig, train_mdnrnn

    config = TrainConfig(name=name or out.name, seed=seed)
    if vae_steps is not None:
        config = replace(config, vae=replace(config.vae, steps=vae_steps))
    if rnn_steps is not None:
        config = replace(config, rnn=replace(config.rnn, steps=rnn_steps))
    start = load_package(initial) if initial is not None else None
    with console() as progress:
        package = train_mdnrnn(data, out, config, initial=start, progress=progress)
    typer.echo(f"{out}: {package.config.name}, {package.config.provenance['real_steps']:,} real frames")
