"""What a round of the loop is made of. Each stage is done once: what is there whole is read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dreamenv.claim import write_json
from dreamenv.config import RealSpec
from dreamenv.data.collect import CollectConfig, collect
from dreamenv.data.manifest import FILE, read_manifest
from dreamenv.data.rollouts import Episode, Rollouts
from dreamenv.evaluate import evaluate
from dreamenv.learn import learn
from dreamenv.packages import Package, load_package
from dreamenv.progress import Progress, silent
from dreamenv.real_specs import real_horizon
from dreamenv.recipes import Recipe, at
from dreamenv.threads import one_torch_thread
from dreamenv.training.train import train_mdnrnn
from dreamenv.training.train_ensemble import EnsembleTrainConfig, train_ensemble

UNLIMITED = 1000
"""Decisions of an episode where the env itself has no limit."""


@dataclass(frozen=True)
class LoopConfig:
    """What the loop's result follows from, ``workers`` and ``out`` apart."""

    real: RealSpec
    out: Path
    real_steps: int
    """Budget of real frames to learn from; evaluation is counted apart."""
    recipe: Recipe
    algo: str | None = None
    """Who learns in the dream; the recipe's own if None."""
    seed: int = 0
    workers: int = 2

    def round_folder(self, number: int) -> Path:
        """Where a round's data, package, policy and scores lie."""
        return self.out / f"round-{number:02d}"

    def round_seed(self, number: int) -> int:
        """Of a round's data, fit and learner."""
        return self.seed * 1000 + number


def affordable(config: LoopConfig, number: int, used: int) -> CollectConfig | None:
    """The next round's collection, as far as the budget covers it; None if that is too little."""
    recipe = config.recipe
    if number == recipe.rounds:
        return None
    plan = recipe.next if number else recipe.first
    left = config.real_steps - used
    limit = real_horizon(config.real)
    most = plan.max_decisions or (None if limit else UNLIMITED)
    asked: dict[str, Any]
    planned = plan.real_steps
    if isinstance(planned, list):
        planned = at(planned, number - 1)
    if planned is not None:
        # A budget, not a number of episodes: as many as it takes.
        budget = min(planned, left)
        enough = budget >= min(planned, recipe.smallest_budget)
        asked = {"real_steps": budget, "episodes": budget}
    else:
        longest = plan.max_decisions or limit or UNLIMITED
        episodes = min(plan.episodes, left // (longest * config.real.frames_per_step))
        enough, asked = episodes >= recipe.smallest_round, {"episodes": episodes}
    if not enough:
        return None
    common = CollectConfig(
        real=config.real,
        out=config.round_folder(number) / "data",
        seed=config.round_seed(number),
        workers=config.workers,
        max_decisions=most,
        patience=plan.patience,
        **asked,
    )
    if number == 0:
        return replace(common, hold=recipe.first.hold)
    last, following = config.round_folder(number - 1), recipe.next
    return replace(
        common,
        policy=str(last / "policy.zip"),
        dream=str(last / "package"),
        noise=following.noise,
        deterministic=following.deterministic,
        random_prefix=following.random_prefix,
    )


def collected(asked: CollectConfig, progress: Progress) -> Rollouts:
    """The round's data: what is there if it is whole, else collected now."""
    if any(asked.out.glob("shard-*")) and (found := Rollouts.open(asked.out)).complete:
        return found
    return collect(_begun(asked), progress)


def _begun(asked: CollectConfig) -> CollectConfig:
    """As much as the folder was begun for: less than is affordable, if the budget has grown."""
    if not (asked.out / FILE).exists():
        return asked
    there = read_manifest(asked.out)
    budget = there.source.get("real_steps")
    if asked.real_steps is not None and isinstance(budget, int):
        asked = replace(asked, real_steps=min(asked.real_steps, budget))
    return replace(asked, episodes=min(asked.episodes, there.episodes))


def fitted(
    config: LoopConfig,
    number: int,
    data: list[Path],
    last: Package | None,
    progress: Progress,
) -> Package:
    """The round's package, on all data so far, evenly; trained on from the last one if so asked."""
    out = config.round_folder(number) / "package"
    if out.exists():
        return load_package(out)
    fit = config.recipe.training(number, config.round_seed(number))
    initial = last if config.recipe.keep_model else None
    if isinstance(fit, EnsembleTrainConfig):
        return train_ensemble(data, out, fit, initial=initial, progress=progress)
    return train_mdnrnn(data, out, fit, initial=initial, progress=progress)


def learnt(
    config: LoopConfig, number: int, episodes: Sequence[Episode], progress: Progress
) -> str | None:
    """Learn the round's policy in the round's dream.

    Args:
        episodes: all real ones so far, which a restraint holds the dream against.

    Returns:
        Why a restraint stopped it; None if none did.
    """
    folder, recipe = config.round_folder(number), config.recipe
    told = folder / "learnt.json"
    if (folder / "policy.zip").exists() and told.exists():
        found = json.loads(told.read_text())["stopped"]
        return None if found is None else str(found)
    restraint = recipe.restraint
    goes_on = recipe.keep_policy and number > 0
    # An ensemble's products are as small as a learner's: more threads only cost.
    with one_torch_thread() if recipe.family == "ensemble" else nullcontext():
        learned = learn(
            folder / "package",
            out=folder / "policy.zip",
            algo=config.algo,
            timesteps=at(recipe.learn_steps, number) if recipe.learn_steps else None,
            seed=config.round_seed(number),
            knobs={"horizon": at(recipe.branches, number)} if recipe.branches else None,
            initial=config.round_folder(number - 1) / "policy.zip" if goes_on else None,
            restraint=restraint,
            best_real=best_pace(episodes, restraint.window) if restraint else float("inf"),
            progress=progress,
        )
    write_json(told, {"stopped": learned.stopped, "timesteps": learned.timesteps})
    return learned.stopped


def best_pace(episodes: Sequence[Episode], window: int) -> float:
    """The most that a real episode was paid a decision, over so many in a row (or all of a shorter
    one, if none is as long)."""
    longest = max(map(len, episodes))
    length = min(window, longest)
    best = -float("inf")
    for episode in episodes:
        if len(episode) >= length:
            sums = np.concatenate([[0.0], np.cumsum(episode.rewards, dtype=np.float64)])
            best = max(best, float((sums[length:] - sums[:-length]).max()) / length)
    return best


def scored(config: LoopConfig, number: int, progress: Progress = silent) -> dict[str, Any]:
    """The round's policy in its dream and on the real env, on episodes of their own."""
    folder, recipe = config.round_folder(number), config.recipe
    path = folder / "evaluation.json"
    if not path.exists():
        plays: list[tuple[Literal["dream", "real"], int]] = [("dream", 5), ("real", 1)]
        scores = {
            on: evaluate(
                folder / "policy.zip",
                folder / "package",
                on=on,
                episodes=recipe.evaluation_episodes * times,
                seed=1000 + number,
                deterministic=recipe.evaluation_deterministic,
                workers=config.workers,
                progress=progress,
            ).to_json()
            for on, times in plays
        }
        write_json(path, scores)
    return dict(json.loads(path.read_text()))


def audited(config: LoopConfig, number: int, progress: Progress) -> tuple[str, int]:
    """A quick audit of the round's policy and package: the verdict's word, and the real frames that
    it took."""
    from dreamenv.audit import audit

    folder = config.round_folder(number)
    path = folder / "audit" / "audit.json"
    if not path.exists():
        audit(
            folder / "package",
            policy=folder / "policy.zip",
            out=folder / "audit",
            seed=number,
            quick=True,
            workers=config.workers,
            deterministic=config.recipe.evaluation_deterministic,
            progress=progress,
        )
    found = json.loads(path.read_text())
    steps = found["real_steps"]
    return str(found["verdict"]["word"]), int(steps["policy"]) + int(steps["random"])
