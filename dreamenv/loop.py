"""``dreamenv loop``: collect, fit, learn in the dream, evaluate on the real env, repeat."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from dreamenv.card import card
from dreamenv.claim import claim, write_json
from dreamenv.config import RealSpec
from dreamenv.data.collect import CollectConfig, collect
from dreamenv.data.rollouts import Rollouts
from dreamenv.errors import DataError
from dreamenv.evaluate import evaluate
from dreamenv.learn import learn
from dreamenv.packages import Package, load_package, save_package
from dreamenv.progress import Progress, labelled, silent
from dreamenv.recipes import SMALLEST_ROUND, Recipe
from dreamenv.training.train import train_mdnrnn


@dataclass(frozen=True)
class LoopConfig:
    """What the loop's result follows from, ``workers`` and ``out`` apart."""

    real: RealSpec
    out: Path
    real_steps: int
    """Budget of real frames to learn from; evaluation is counted apart."""
    recipe: Recipe
    family: Literal["mdnrnn"] = "mdnrnn"
    algo: str = "ppo"
    seed: int = 0
    workers: int = 2


@dataclass(frozen=True)
class Round:
    """One point of ``curve.json``."""

    round: int
    real_steps: int
    """Frames of the real env that were learned from, all rounds up to this one."""
    evaluation_steps: int
    """Frames of the real env that evaluation took, all rounds up to this one."""
    collected_return: float
    """Mean return of the round's new data: the last policy with noise, cut short by patience."""
    dream_return: dict[str, float]
    """mean, low, high of the round's policy in its dream."""
    real_return: dict[str, float]
    """The same on the real env."""
    held_out: dict[str, float]


def loop(config: LoopConfig, progress: Progress = silent) -> list[Round]:
    """Run rounds until the budget of real frames, or the recipe's number of rounds, is used up.

    Leaves ``policy.zip``, ``package/`` and ``curve.json`` in ``config.out``, and every round's
    data, package and policy in ``round-NN``. Killed at any point, the same call goes on where it
    was; a larger budget goes on with more rounds, as far as the recipe has them. The last round is
    the result: no round is chosen by the episodes that are reported.

    Raises:
        DataError: the folder belongs to a loop of another configuration, or the budget is
            too small for a first round.
    """
    if _affordable(config, 0, 0) < SMALLEST_ROUND:
        raise DataError(
            f"real_steps: expected enough for {SMALLEST_ROUND} episodes of the first round, "
            f"got {config.real_steps}"
        )
    _claim(config)
    curve: list[Round] = []
    data: list[Path] = []
    used = evaluated = 0
    package: Package | None = None
    while (episodes := _affordable(config, len(curve), used)) >= SMALLEST_ROUND:
        number = len(curve)
        folder = config.out / f"round-{number:02d}"
        staged = labelled(f"round {number}", progress)
        rollouts = _collected(config, number, episodes, staged)
        data.append(folder / "data")
        used += rollouts.real_steps
        package = _fit(config, number, data, package, staged)
        policy = folder / "policy.zip"
        if not policy.exists():
            learn(
                folder / "package",
                out=policy,
                algo=config.algo,
                seed=config.seed * 1000 + number,
                progress=staged,
            )
        scores = _scores(config, number, staged)
        evaluated += scores["real"]["real_steps"]
        returns = [float(e.rewards.sum(dtype="float64")) for e in rollouts.episodes]
        curve.append(
            Round(
                round=number,
                real_steps=used,
                evaluation_steps=evaluated,
                collected_return=sum(returns) / len(returns),
                dream_return={k: scores["dream"][k] for k in ("mean", "low", "high")},
                real_return={k: scores["real"][k] for k in ("mean", "low", "high")},
                held_out=package.config.provenance["held_out"],
            )
        )
        write_json(config.out / "curve.json", [asdict(r) for r in curve])
    assert package is not None
    _finish(config, package, curve)
    return curve


def _affordable(config: LoopConfig, number: int, used: int) -> int:
    """Episodes of the next round that the budget surely covers."""
    if number == config.recipe.rounds:
        return 0
    plan = config.recipe.next if number else config.recipe.first
    longest = plan.max_decisions or config.real.max_episode_steps or 1000
    each = longest * config.real.frames_per_step
    return min(plan.episodes, (config.real_steps - used) // each)


def _collected(config: LoopConfig, number: int, episodes: int, progress: Progress) -> Rollouts:
    """The round's data: what is there if it is whole, else collected now."""
    folder = config.out / f"round-{number:02d}" / "data"
    if any(folder.glob("shard-*")) and (found := Rollouts.open(folder)).complete:
        return found
    return collect(_collection(config, number, episodes), progress)


def _collection(config: LoopConfig, number: int, episodes: int) -> CollectConfig:
    folder = config.out / f"round-{number:02d}"
    common = CollectConfig(
        real=config.real,
        out=folder / "data",
        episodes=episodes,
        seed=config.seed * 1000 + number,
        workers=config.workers,
    )
    if number == 0:
        first = config.recipe.first
        return replace(
            common, hold=first.hold, max_decisions=first.max_decisions, patience=first.patience
        )
    following, last = config.recipe.next, config.out / f"round-{number - 1:02d}"
    return replace(
        common,
        policy=str(last / "policy.zip"),
        dream=str(last / "package"),
        noise=following.noise,
        deterministic=following.deterministic,
        random_prefix=following.random_prefix,
        max_decisions=following.max_decisions,
        patience=following.patience,
    )


def _fit(
    config: LoopConfig,
    number: int,
    data: list[Path],
    initial: Package | None,
    progress: Progress,
) -> Package:
    """The round's package: trained on from the last one, on all data so far, evenly."""
    out = config.out / f"round-{number:02d}" / "package"
    if out.exists():
        return load_package(out)
    fit = config.recipe.training(number, config.seed * 1000 + number)
    return train_mdnrnn(data, out, fit, initial=initial, progress=progress)


def _scores(config: LoopConfig, number: int, progress: Progress) -> dict[str, Any]:
    """The round's policy in its dream and on the real env, on episodes of their own."""
    folder = config.out / f"round-{number:02d}"
    path = folder / "evaluation.json"
    if not path.exists():
        plays: list[tuple[Literal["dream", "real"], int]] = [("dream", 5), ("real", 1)]
        scores = {
            on: evaluate(
                folder / "policy.zip",
                folder / "package",
                on=on,
                episodes=config.recipe.evaluation_episodes * times,
                seed=1000 + number,
                workers=config.workers,
                progress=progress,
            ).to_json()
            for on, times in plays
        }
        write_json(path, scores)
    return dict(json.loads(path.read_text()))


def _finish(config: LoopConfig, package: Package, curve: list[Round]) -> None:
    last = config.out / f"round-{len(curve) - 1:02d}"
    command = (
        f"dreamenv loop {config.real.env_id} --family {config.family} --algo {config.algo} "
        f"--real-steps {config.real_steps} --seed {config.seed} --out DIR"
    )
    provenance = package.config.provenance | {
        "command": command,
        "curve": [asdict(r) for r in curve],
    }
    named = package.config.model_copy(update={"provenance": provenance})
    save_package(replace(package, config=named, path=None), config.out / "package", card(named))
    shutil.copyfile(last / "policy.zip", config.out / "policy.zip.partial")
    os.replace(config.out / "policy.zip.partial", config.out / "policy.zip")


def _claim(config: LoopConfig) -> None:
    """Write what this folder's loop follows from, or check it; the budget may grow."""
    work = {
        "real": config.real.model_dump(mode="json"),
        "recipe": config.recipe.model_dump(mode="json"),
        "family": config.family,
        "algo": config.algo,
        "seed": config.seed,
    }
    claim(config.out / "loop.json", work)
