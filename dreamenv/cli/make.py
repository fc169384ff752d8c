"""Commands that make a dream: collect, train, loop."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dreamenv.cli.door import Deterministic, Seed, interval

if TYPE_CHECKING:
    from rich.table import Table

    from dreamenv.control import ControlPoint
    from dreamenv.loop import Round

PANEL = "Make a dream"


def add_to(app: typer.Typer) -> None:
    """Register this file's commands."""
    for command in (collect, train, loop):
        app.command(rich_help_panel=PANEL)(command)


def collect(
    env: Annotated[
        str,
        typer.Argument(metavar="ENV", help="CarRacing-v3, or a JSON file that declares an env."),
    ],
    episodes: Annotated[int, typer.Option(help="Episodes in all, earlier runs' included.")],
    out: Annotated[Path, typer.Option(help="Folder to write, or to go on with.")],
    policy: Annotated[str, typer.Option(metavar="random|POLICY.zip", help="Who acts.")] = "random",
    dream: Annotated[
        str | None, typer.Option(help="The dream that POLICY.zip learnt in, through which it sees.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes.")] = 1,
    seed: Seed = 0,
    noise: Annotated[
        float,
        typer.Option(help="Most exploration noise on a policy's actions, in units of action."),
    ] = 0.0,
    deterministic: Deterministic = False,
    random_prefix: Annotated[
        int, typer.Option(help="Most random decisions before a policy takes over.")
    ] = 0,
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
        deterministic=deterministic,
        random_prefix=random_prefix,
        hold=hold,
        max_decisions=max_decisions,
        patience=patience,
    )
    with console() as progress:
        rollouts = run(config, progress)
    typer.echo(f"{out}: {len(rollouts.episodes)} episodes, {rollouts.real_steps:,} real frames")


def train(
    family: Annotated[
        str,
        typer.Argument(
            metavar="mdnrnn|ensemble", help="The family of world model: of frames, or of vectors."
        ),
    ],
    data: Annotated[
        list[Path], typer.Argument(metavar="DATA...", help="Folders of dreamenv collect.")
    ],
    out: Annotated[Path, typer.Option(help="The package's folder.")],
    initial: Annotated[
        str | None,
        typer.Option(metavar="DREAM", help="A package of the same sizes to train on from."),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="ENV|FILE", help="Sizes and settings of an env's own recipe, or a JSON file's."
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="The package's name; OUT's by default.")] = None,
    vae_steps: Annotated[int | None, typer.Option(min=0, help="Gradient steps of the VAE.")] = None,
    rnn_steps: Annotated[
        int | None, typer.Option(min=0, help="Gradient steps of the MDN-RNN.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=0, help="Gradient steps of an ensemble.")] = None,
    seed: Seed = 0,
) -> None:
    """Fit a world model on recorded episodes; killed or stopped, the same command goes on.

    Checkpoints and TensorBoard logs are kept in OUT.training.

    [cyan]dreamenv train mdnrnn data/random data/driven --out packages/car[/cyan]
    """
    if family not in ("mdnrnn", "ensemble"):
        raise ValueError(f'family: expected "mdnrnn" or "ensemble", got {family!r}')
    others = {"--vae-steps": vae_steps, "--rnn-steps": rnn_steps}
    others = {"--steps": steps} if family == "mdnrnn" else others
    for option, value in others.items():
        if value is not None:
            raise ValueError(f"{option}: the family {family} has no such steps; leave it out")
    from dataclasses import replace

    from dreamenv.packages import load_package
    from dreamenv.progress import console
    from dreamenv.recipes import load_recipe
    from dreamenv.training.train import TrainConfig, train_mdnrnn
    from dreamenv.training.train_ensemble import EnsembleTrainConfig, train_ensemble

    config: TrainConfig | EnsembleTrainConfig
    if recipe is not None:
        config = load_recipe(recipe).training(0, seed)
    else:
        config = (TrainConfig if family == "mdnrnn" else EnsembleTrainConfig)(seed=seed)
    if isinstance(config, TrainConfig) != (family == "mdnrnn"):
        raise ValueError(f"--recipe: {recipe} is of another family than {family}")
    config = replace(config, name=name or out.name)
    start = load_package(initial) if initial is not None else None
    with console() as progress:
        if isinstance(config, EnsembleTrainConfig):
            if steps is not None:
                config = replace(config, ensemble=replace(config.ensemble, steps=steps))
            package = train_ensemble(data, out, config, initial=start, progress=progress)
        else:
            if vae_steps is not None:
                config = replace(config, vae=replace(config.vae, steps=vae_steps))
            if rnn_steps is not None:
                config = replace(config, rnn=replace(config.rnn, steps=rnn_steps))
            package = train_mdnrnn(data, out, config, initial=start, progress=progress)
    typer.echo(
        f"{out}: {package.config.name}, {package.config.provenance['real_steps']:,} real "
        f"{'frames' if package.config.observation_dtype == 'uint8' else 'steps'}"
    )


def loop(
    env: Annotated[
        str,
        typer.Argument(metavar="ENV", help="CarRacing-v3, or a JSON file that declares an env."),
    ],
    real_steps: Annotated[int, typer.Option(help="Budget of real frames to learn from.")],
    out: Annotated[Path, typer.Option(help="Folder to write, or to go on with.")],
    recipe: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="A JSON file; the env's own recipe by default."),
    ] = None,
    family: Annotated[
        str | None,
        typer.Option(
            metavar="mdnrnn|ensemble", help="Refuse a recipe of another family of world model."
        ),
    ] = None,
    algo: Annotated[
        str | None,
        typer.Option(
            help="Who learns in the dream: ppo, a2c, sac, td3, dqn, cma; the recipe's by default."
        ),
    ] = None,
    audit: Annotated[
        bool | None,
        typer.Option(
            "--audit/--no-audit", help="Audit each round's dream; as the recipe says by default."
        ),
    ] = None,
    control: Annotated[
        bool,
        typer.Option("--control", help="Then let a model-free learner alone learn the real env."),
    ] = False,
    workers: Annotated[int, typer.Option(min=1, help="Processes that play the real env.")] = 2,
    seed: Seed = 0,
) -> None:
    """Collect, fit, learn in the dream, evaluate, and again; killed, the same command goes on.

    Leaves OUT/policy.zip, OUT/package/, OUT/curve.json and OUT/curve.png: real return against real
    frames. Those of evaluation and audits are shown apart. A control's budget is the recipe's.

    [cyan]dreamenv loop CarRacing-v3 --real-steps 500000 --out runs/car[/cyan]

    [cyan]dreamenv loop Pendulum-v1 --real-steps 1000 --out runs/pendulum --control[/cyan]
    """
    from dreamenv.loop import LoopConfig
    from dreamenv.loop import loop as run
    from dreamenv.progress import console
    from dreamenv.real_specs import load_real_spec
    from dreamenv.recipes import load_recipe, own_recipe

    real = load_real_spec(env)
    chosen = load_recipe(recipe) if recipe else own_recipe(real.env_id)
    if family not in (None, chosen.family):
        raise ValueError(
            f"family: expected {chosen.family}, which the recipe declares, got {family}; leave "
            "--family out, or give a --recipe of that family"
        )
    if audit is not None:
        chosen = chosen.model_copy(update={"audit": audit})
    config = LoopConfig(
        real=real,
        out=out,
        real_steps=real_steps,
        recipe=chosen,
        algo=algo,
        seed=seed,
        workers=workers,
    )
    points: list[ControlPoint] = []
    with console() as progress:
        if control:
            from dreamenv.control import control as run_control
            from dreamenv.control import learner

            with learner(real, chosen.control, seed):
                pass  # one that cannot learn there is told of now, not after hours
        rounds = run(config, progress)
        if control:
            points = run_control(
                real,
                out,
                chosen.control,
                seed=seed,
                episodes=chosen.evaluation_episodes,
                deterministic=chosen.evaluation_deterministic,
                progress=progress,
            )
    from rich.console import Console

    Console().print(_rounds_table(rounds))
    if points:
        last = points[-1]
        typer.echo(
            f"{chosen.control.algo} alone: {interval(**last.real_return)} after "
            f"{last.real_steps:,} real frames"
        )
    for each in rounds:
        if each.stopped:
            typer.echo(f"round {each.round} was stopped: {each.stopped}")
    typer.echo(f"{out}: policy.zip, package/, curve.json, curve.png")


def _rounds_table(rounds: Sequence[Round]) -> Table:
    from rich.table import Table

    table = Table(
        "round",
        "real frames",
        "evaluation frames",
        "dream return",
        "real return",
        "audit",
        "stopped",
        box=None,
    )
    for each in rounds:
        table.add_row(
            str(each.round),
            f"{each.real_steps:,}",
            f"{each.evaluation_steps:,}",
            interval(**each.dream_return),
            interval(**each.real_return),
            each.audit or "–",
            "yes" if each.stopped else "–",
        )
    return table
