"""One policy, learnt in a dream and scored on both sides: what every comparison is made of."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from dreamenv.claim import claim, write_json
from dreamenv.evaluate import Evaluation, evaluate
from dreamenv.learn import learn
from dreamenv.packages import load_package
from dreamenv.progress import Progress, silent
from dreamenv.restraint import Restraint
from dreamenv.threads import one_torch_thread

KEPT = ("temperature", "termination", "termination_temperature")
"""Knobs that a policy is scored with in the dream as well as learnt with. Horizon and starts are
the package's own there: whole episodes from their beginning, as on the real env."""


@dataclass(frozen=True)
class TrialConfig:
    """What a trial's result follows from."""

    dream: str
    """A package: folder, shipped id or hub id."""
    seed: int = 0
    """Of the learner."""
    knobs: Mapping[str, Any] = field(default_factory=dict)
    """Of the dream that is learnt in, over those of the package's own recipe."""
    algo: str | None = None
    timesteps: int | None = None
    episodes: int = 50
    """On each side."""
    evaluation_seed: int = 0
    """Which episodes: disjoint for different seeds."""
    deterministic: bool = False
    """The policy's mode; else it is sampled."""
    restraint: Restraint | None = None
    """Bounds past which learning stops."""
    best_real: float = math.inf
    """The most that a real episode was paid a decision, over ``restraint.window``."""


@dataclass(frozen=True)
class Trial:
    """What came of it."""

    seed: int
    dream: Evaluation
    real: Evaluation


def run_trial(
    config: TrialConfig, folder: Path, *, workers: int = 2, progress: Progress = silent
) -> Trial:
    """Learn, then score in the dream and on the real env; killed, the same call goes on.

    Leaves ``policy.zip``, ``learnt.json``, ``dream.json`` and ``real.json`` in ``folder``.

    Raises:
        DataError: the folder holds another trial.
    """
    folder.mkdir(parents=True, exist_ok=True)
    package = load_package(config.dream)
    recipe = package.config.learn
    learnt_from = {
        "package": package.identity,
        "seed": config.seed,
        **recipe.model_dump(mode="json"),
        "dream": {**recipe.knobs, **config.knobs},
        "algo": config.algo or recipe.algo,
        "timesteps": recipe.timesteps if config.timesteps is None else config.timesteps,
    }
    restraint = config.restraint  # None without, as in folders that know of none
    learnt_from["restraint"] = None if restraint is None else restraint.model_dump(mode="json")
    learnt_from["best_real"] = None if restraint is None else config.best_real
    claim(folder / "trial.json", learnt_from)
    # One thread: with more, sums and so what is learnt may depend on how many.
    with one_torch_thread():
        return _learn_and_score(config, folder, workers, progress)


def _learn_and_score(config: TrialConfig, folder: Path, workers: int, progress: Progress) -> Trial:
    policy, told = folder / "policy.zip", folder / "learnt.json"
    if not policy.exists() or (config.restraint is not None and not told.exists()):
        learned = learn(
            config.dream,
            out=policy,
            algo=config.algo,
            timesteps=config.timesteps,
            seed=config.seed,
            knobs=config.knobs,
            restraint=config.restraint,
            best_real=config.best_real,
            progress=progress,
        )
        write_json(told, {"timesteps": learned.timesteps, "stopped": learned.stopped})
    kept = {name: value for name, value in config.knobs.items() if name in KEPT}
    plays: list[tuple[Literal["dream", "real"], dict[str, Any]]] = [("dream", kept), ("real", {})]
    scored = {
        on: score(
            policy,
            config.dream,
            on,
            folder / f"{on}.json",
            workers=workers,
            progress=progress,
            knobs=knobs,
            episodes=config.episodes,
            seed=config.evaluation_seed,
            deterministic=config.deterministic,
        )
        for on, knobs in plays
    }
    return Trial(config.seed, **scored)


def score(
    policy: str | Path,
    dream: str,
    on: Literal["dream", "real"],
    kept: Path,
    *,
    workers: int = 2,
    progress: Progress = silent,
    **asked: Any,
) -> Evaluation:
    """:func:`~dreamenv.evaluate.evaluate`, or what ``kept`` holds of it if the same was asked."""
    key = {"package": load_package(dream).identity, **asked}
    if kept.exists():
        found = json.loads(kept.read_text())
        if found["asked"] == key:
            return Evaluation(**found["scored"])
    scored = evaluate(policy, dream, on=on, workers=workers, progress=progress, **asked)
    write_json(kept, {"asked": key, "scored": scored.to_json()})
    return scored
