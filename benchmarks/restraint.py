"""What keeps a policy from exploiting its dream: the same learner under one restraint or another.

    python benchmarks/restraint.py --work DIR --out docs/figures/restraint.json [--data DATA ...] \
        [--real DATA ...]

Each variant's policies learn from scratch by the package's own recipe, but for what the variant
changes, and are scored in the dream they learnt in and on the real env; the tracks are others than
those of ``transfer.py``. Variants that fit a model of their own need the ``--data`` that the
package was made from, and keep its VAE. Variants that hold the dream against real episodes need
some, ``--real``. Killed, the same command goes on.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dreamenv.card import card
from dreamenv.data.rollouts import Rollouts
from dreamenv.packages import Package, load_package, save_package
from dreamenv.progress import LogLines
from dreamenv.restraint import Restraint
from dreamenv.rounds import best_pace
from dreamenv.sources import resolve
from dreamenv.training.mdnrnn import RNNConfig
from dreamenv.training.train import TrainConfig, train_mdnrnn
from dreamenv.training.vae import VAEConfig
from dreamenv.trial import TrialConfig
from dreamenv.trials import run_trials


@dataclass(frozen=True)
class Variant:
    """What differs from the package as shipped."""

    knobs: Mapping[str, Any] = field(default_factory=dict)
    """Of the dream while learning, and while scored in the dream."""
    dream: Mapping[str, Any] = field(default_factory=dict)
    """Sizes changed in the config alone: the weights stay."""
    fit: Mapping[str, Any] | None = None
    """Sizes to fit an MDN-RNN of its own with."""
    restraint: Restraint | None = None
    """Past which learning stops."""


VARIANTS = {
    "as shipped": Variant(),
    "no dropout in the dream": Variant(dream={"dropout": 0.0}),
    "fitted without dropout": Variant(fit={"dropout": 0.0}),
    "fitted again": Variant(fit={}),
    "temperature 0.5": Variant({"temperature": 0.5}),
    "temperature 1.15": Variant({"temperature": 1.15}),
    "temperature 1.3": Variant({"temperature": 1.3}),
    "temperature 0.75 to 1.25": Variant({"temperature": [0.75, 1.25]}),
    "whole laps": Variant({"starts": "first", "horizon": 250}),
    "pace 1.05": Variant(restraint=Restraint(pace=1.05)),
    "pace 1 of a lap": Variant(restraint=Restraint(pace=1.0, window=250)),
}


def package_of(
    variant: Variant, folder: Path, package: Package, data: list[Path], steps: int
) -> Path:
    """The folder of the package that a variant's policies dream in."""
    if variant.fit is not None:
        if not data:
            raise SystemExit("--data: expected the rollouts behind the package, to fit it again")
        config = TrainConfig(
            name=folder.name,
            vae=VAEConfig(steps=0),
            rnn=RNNConfig(steps=steps),
            sizes={n: v for n, v in package.config.sizes.items() if n in ("vae_base", "dropout")}
            | dict(variant.fit),
            learn=package.config.learn.model_dump(exclude_defaults=True),
            defaults={"horizon": package.config.defaults.horizon},
        )
        if not folder.exists():
            train_mdnrnn(data, folder, config, initial=package, progress=LogLines(30))
    elif not folder.exists():
        sizes = {**package.config.sizes, **variant.dream}
        named = package.config.model_copy(update={"sizes": sizes})
        save_package(replace(package, config=named, path=None), folder, card(named))
    return folder


def best_of(variant: Variant, real: list[Path]) -> float:
    """The most that a real episode was paid a decision, over the restraint's window."""
    if variant.restraint is None:
        return math.inf
    if not real:
        raise SystemExit("--real: expected rollouts, to hold the dream against them")
    return best_pace(Rollouts.open(real).episodes, variant.restraint.window)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dream", default="Dream-CarRacing-v0")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--data", nargs="+", type=Path, default=[])
    parser.add_argument("--real", nargs="+", type=Path, default=[], help="episodes to hold it to")
    parser.add_argument("--rnn-steps", type=int, default=3000, help="of variants that fit")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--tracks", type=int, default=500, help="first seed of the evaluation")
    parser.add_argument("--timesteps", type=int)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--work", type=Path, required=True, help="keeps packages and policies")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    package = load_package(resolve(arguments.dream))
    result: dict[str, Any] = {"dream": arguments.dream, "episodes": arguments.episodes}
    table: dict[str, Any] = {}
    for name in arguments.variants:
        variant = VARIANTS[name]
        folder = arguments.work / name.replace(" ", "-") / "package"
        dream = package_of(variant, folder, package, arguments.data, arguments.rnn_steps)
        best = best_of(variant, arguments.real)
        trials = run_trials(
            [
                (
                    TrialConfig(
                        dream=str(dream),
                        seed=seed,
                        knobs=variant.knobs,
                        timesteps=arguments.timesteps,
                        episodes=arguments.episodes,
                        evaluation_seed=arguments.tracks + seed,
                        restraint=variant.restraint,
                        best_real=best,
                    ),
                    folder.parent / str(seed),
                )
                for seed in range(arguments.seeds)
            ],
            workers=arguments.workers,
            progress=LogLines(30),
        )
        table[name] = {
            on: statistics.mean(getattr(trial, on).mean for trial in trials)
            for on in ("dream", "real")
        } | {"seeds": [{"dream": t.dream.mean, "real": t.real.mean} for t in trials]}
        if variant.restraint is not None:
            learnt = [folder.parent / str(seed) / "learnt.json" for seed in range(arguments.seeds)]
            table[name] |= {
                "best_real": best,
                "learnt": [json.loads(p.read_text()) for p in learnt],
            }
        print(f"{name}: {table[name]}", flush=True)
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(result | {"variants": table}, indent=1) + "\n")


if __name__ == "__main__":
    main()
