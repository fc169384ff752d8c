"""``dreamenv loop``: collect, fit, learn in the dream, evaluate on the real env, repeat."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from dreamenv.card import card
from dreamenv.claim import claim, write_json
from dreamenv.curve import CURVE, draw_curve, log_point
from dreamenv.data.rollouts import Episode
from dreamenv.door import check_budget, check_recipe
from dreamenv.packages import Package, save_package
from dreamenv.progress import Progress, labelled, silent
from dreamenv.recipes import own_recipe
from dreamenv.rounds import (
    LoopConfig,
    affordable,
    audited,
    collected,
    fitted,
    learnt,
    scored,
)

__all__ = ["LoopConfig", "Round", "command", "loop"]


@dataclass(frozen=True)
class Round:
    """One point of ``curve.json``."""

    round: int
    real_steps: int
    """Frames of the real env that were learned from, all rounds up to this one."""
    evaluation_steps: int
    """Frames of the real env that evaluation and audits took, all rounds up to this one."""
    collected_return: float
    """Mean return of the round's new data: the last policy with noise, cut short by patience and by
    the budget."""
    dream_return: dict[str, float]
    """mean, low, high of the round's policy in its dream."""
    real_return: dict[str, float]
    """The same on the real env."""
    held_out: dict[str, float]
    audit: str | None = None
    """The verdict's word of the round's audit; None without one."""
    stopped: str | None = None
    """Why a restraint stopped the round's learner; None if none did."""


def loop(config: LoopConfig, progress: Progress = silent) -> list[Round]:
    """Run rounds until the budget of real frames, or the recipe's number of rounds, is used up.

    Leaves ``policy.zip``, ``package/``, ``curve.json`` and (with matplotlib) ``curve.png`` in
    ``config.out``, TensorBoard's logs in ``tensorboard``, and every round's data, package, policy
    and audit in ``round-NN``. Killed at any point, the same call goes on where it was; a larger
    budget goes on with more rounds, as far as the recipe has them. The last round is the result: no
    round is chosen by the episodes that are reported.

    Raises:
        DataError: the folder belongs to a loop of another configuration, the budget is too small
            for a first round or for what was used, the recipe's family cannot model what the env
            shows, or the learner cannot do what is asked.
        ImportError: the extra ``plots`` is missing, which the audits need.
    """
    if config.recipe.audit:
        from dreamenv.audit.plots import require_matplotlib

        require_matplotlib()
    check_recipe(config)
    check_budget(config)
    _claim(config)
    told = _read_curve(config.out)
    check_budget(config, told[-1]["real_steps"] if told else 0)
    known = len(told)
    curve: list[Round] = []
    data: list[Path] = []
    episodes: list[Episode] = []
    used = evaluated = 0
    package: Package | None = None
    while (asked := affordable(config, len(curve), used)) is not None:
        number = len(curve)
        staged = labelled(f"round {number}", progress)
        rollouts = collected(asked, staged)
        data.append(asked.out)
        episodes += rollouts.episodes
        used += rollouts.real_steps
        check_budget(config, used)  # that of a larger one may be there, in no curve yet
        package = fitted(config, number, data, package, staged)
        stopped = learnt(config, number, episodes, staged)
        scores = scored(config, number, staged)
        evaluated += scores["real"]["real_steps"]
        verdict = None
        if config.recipe.audit:
            verdict, frames = audited(config, number, staged)
            evaluated += frames
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
                audit=verdict,
                stopped=stopped,
            )
        )
        if number < known:
            continue  # an earlier call has shown it
        told = [asdict(r) for r in curve]
        log_point(config.out / "tensorboard", told[-1])
        write_json(config.out / CURVE, told)
        draw_curve(config.out)
    assert package is not None
    draw_curve(config.out)  # which one that was killed may not have
    _finish(config, package, curve)
    return curve


def _read_curve(folder: Path) -> list[dict[str, Any]]:
    path = folder / CURVE
    found: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
    return found


def _finish(config: LoopConfig, package: Package, curve: list[Round]) -> None:
    last = config.round_folder(len(curve) - 1)
    provenance = package.config.provenance | {
        "command": command(config),
        "curve": [asdict(r) for r in curve],
        "keep_policy": config.recipe.keep_policy,
    }
    named = package.config.model_copy(update={"provenance": provenance})
    save_package(replace(package, config=named, path=None), config.out / "package", card(named))
    shutil.copyfile(last / "policy.zip", config.out / "policy.zip.partial")
    os.replace(config.out / "policy.zip.partial", config.out / "policy.zip")


def command(config: LoopConfig) -> str:
    """The ``dreamenv`` command that does the same, as far as names can say it: ``DIR`` and, for a
    recipe that did not ship, ``FILE`` stand for paths."""
    own, recipe = own_recipe(config.real.env_id), config.recipe
    words = [f"dreamenv loop {config.real.env_id}"]
    if recipe.model_copy(update={"audit": own.audit}) != own:
        words.append("--recipe FILE")
    elif recipe.audit != own.audit:
        words.append("--audit" if recipe.audit else "--no-audit")
    if config.algo not in (None, recipe.learn.algo):
        words.append(f"--algo {config.algo}")
    return " ".join([*words, f"--real-steps {config.real_steps} --seed {config.seed} --out DIR"])


def _claim(config: LoopConfig) -> None:
    """Write what this folder's loop follows from, or check it; the budget may grow."""
    work: dict[str, Any] = {
        "real": config.real.model_dump(mode="json"),
        "recipe": config.recipe.model_dump(mode="json"),
        "algo": config.algo or config.recipe.learn.algo,
        "seed": config.seed,
    }
    claim(config.out / "loop.json", work)
