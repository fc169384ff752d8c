"""Whether trust pays: policies learnt from narrow data, and what disagreement says of real error.

    python benchmarks/trust.py --work runs/trust --out docs/figures/trust.json

The narrow data are few episodes of one behaviour policy: random actions. An ensemble is fitted on
them, and the same learner trains in its dream plainly, with ``trust_penalty`` and with
``trust_limit``. How much of each is chosen by what learners of ``--tuning-seeds`` score on the real
env; reported are other learners on other episodes, all by the policies' modes. Then, decision by
decision, how unsure the model is of what happened is ranked against how wrong it was: on held-out
episodes of the behaviour policy, on random actions that are held for longer, and on those of the
policies that were learnt. Killed, the same command goes on.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rank_correlation import spearman

from dreamenv.data.collect import CollectConfig, collect
from dreamenv.data.rollouts import Rollouts
from dreamenv.evaluate import evaluate
from dreamenv.models.ensemble import Ensemble
from dreamenv.models.world_model import Noise
from dreamenv.packages import Package, load_package
from dreamenv.progress import LogLines, Progress
from dreamenv.real_specs import load_real_spec
from dreamenv.training.ensemble import EnsembleConfig
from dreamenv.training.train_ensemble import EnsembleTrainConfig, train_ensemble
from dreamenv.training.transitions import Transitions
from dreamenv.trial import TrialConfig, run_trial

Knobs = Mapping[str, float]
LEARN: dict[str, Any] = {
    "algo": "sac",
    "num_envs": 4,
    "dream": {"starts": "any", "horizon": 100},
    "hyperparameters": {
        "learning_starts": 200,
        "gradient_steps": 2,
        "net_arch": [64, 64],
        "batch_size": 128,
        "learning_rate": 0.001,
        "gamma": 0.99,
        "tau": 0.01,
    },
}
FIRST_TUNING_SEED = 100
"""Of the learners, and of the episodes they are scored on; reported ones count from 0."""
UNSEEN_SEED = 7_000_000
"""Episodes that nothing is fitted on are collected under seeds from here on."""


def variant(knobs: Knobs) -> str:
    return ", ".join(f"{name}={value:g}" for name, value in knobs.items()) or "no trust"


def learnt(knobs: Knobs, seed: int, arguments: argparse.Namespace, progress: Progress) -> Any:
    """One learner, scored in its dream without trust and on the real env."""
    folder = trial_folder(arguments.work, knobs, seed)
    config = TrialConfig(
        dream=str(arguments.work / "package"),
        seed=seed,
        knobs=dict(knobs),
        timesteps=arguments.timesteps,
        episodes=arguments.episodes,
        evaluation_seed=seed,
        deterministic=True,
    )
    trial = run_trial(config, folder, workers=1, progress=progress)
    print(f"{variant(knobs)}, {seed}: dream {trial.dream.mean:.0f}, real {trial.real.mean:.0f}")
    scores = {
        on: {name: getattr(getattr(trial, on), name) for name in ("mean", "low", "high")}
        for on in ("dream", "real")
    }
    return {"seed": seed, **scores}


def trial_folder(work: Path, knobs: Knobs, seed: int) -> Path:
    return work / "trials" / variant(knobs).replace(", ", "-").replace(" ", "-") / str(seed)


def chosen(arguments: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    """The penalty and the limit whose learners score most on the real env; a single one is not
    tried."""
    seeds = range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + arguments.tuning_seeds)
    tried: dict[str, Any] = {}
    best: list[dict[str, float]] = []
    for name, values in (
        ("trust_penalty", arguments.penalties),
        ("trust_limit", arguments.limits),
    ):
        if len(values) == 1:
            best.append({name: values[0]})
            continue
        scores = {}
        for value in values:
            rows = [learnt({name: value}, seed, arguments, progress) for seed in seeds]
            tried[variant({name: value})] = rows
            scores[value] = statistics.mean(row["real"]["mean"] for row in rows)
        best.append({name: max(scores, key=scores.__getitem__)})
    return {"tried": tried, "chosen": best}


@torch.inference_mode()
def figures(package: Package, rollouts: Rollouts) -> dict[str, Any]:
    """Error of the mean prediction of each real decision, and how it ranks against both kinds of
    uncertainty. All in units of the typical change in one step."""
    model = package.world_model()
    assert isinstance(model, Ensemble)
    model.propagation, model.tells = "mean", False
    data, lengths = Transitions.of(rollouts.episodes), [len(e) for e in rollouts.episodes]
    state, count = model.begin({"observation": data.observation}), len(data)
    none = Noise(torch.full((count, 1), 0.5), torch.zeros(count, model.noise.normal))
    foreseen = model.step(state, data.action, torch.zeros(count), none).state["s"]
    wrong = (foreseen - model.normalised(data.following)) / model.change_scale
    error: NDArray[np.floating] = wrong.square().mean(1).sqrt().numpy()
    unsure = model.uncertainty(state, data.action)
    unit = package.config.trust.unit if package.config.trust else 1.0
    kinds = {"epistemic": unsure.epistemic.numpy(), "aleatoric": unsure.aleatoric.numpy()}
    return {
        "episodes": len(lengths),
        "decisions": count,
        "error": [float(q) for q in np.quantile(error, (0.5, 0.95))],
        "uncertainty": [float(q) / unit for q in np.quantile(kinds["epistemic"], (0.5, 0.95))],
        "noise": [float(q) for q in np.quantile(kinds["aleatoric"], (0.5, 0.95))],
        "spearman": {n: asdict(spearman(u, error, lengths)) for n, u in kinds.items()},
    }


def unseen(arguments: argparse.Namespace, trust: list[Knobs], say: Progress) -> dict[str, Rollouts]:
    """Real episodes that the package was not fitted on, by where they come from."""
    real, folder = load_real_spec(arguments.env), arguments.work / "unseen"
    found = {
        name: collect(
            CollectConfig(
                real, folder / f"held-{hold}", 60, seed=UNSEEN_SEED + hold, hold=hold,
                episodes_per_shard=60,
            ),
            say,
        )
        for name, hold in (("the behaviour policy", 4), ("random actions, held for longer", 30))
    }  # fmt: skip
    for knobs in ({}, *trust):
        policy = trial_folder(arguments.work, knobs, 0) / "policy.zip"
        config = CollectConfig(
            real, folder / variant(knobs), 20, seed=UNSEEN_SEED, policy=str(policy),
            dream=str(arguments.work / "package"), noise=0.3, deterministic=True,
            episodes_per_shard=20,
        )  # fmt: skip
        found[f"a policy learnt with {variant(knobs)}"] = collect(config, say)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--env", default="Hopper-v5")
    parser.add_argument("--behaviour-episodes", type=int, default=250)
    parser.add_argument("--timesteps", type=int, default=10_000)
    parser.add_argument("--penalties", type=float, nargs="+", default=[0.1, 0.3, 1.0])
    parser.add_argument("--limits", type=float, nargs="+", default=[0.99, 1.0, 2.0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tuning-seeds", type=int, default=2)
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument(
        "--networks", action="store_true", help="endings are said by networks, whatever data show"
    )
    parser.add_argument("--work", type=Path, required=True, help="keeps data and policies")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    say, work = LogLines(30), arguments.work
    data = collect(
        CollectConfig(
            load_real_spec(arguments.env), work / "data", arguments.behaviour_episodes,
            episodes_per_shard=50,
        ),
        say,
    )  # fmt: skip
    folder = work / "package"
    if not folder.exists():
        fit = EnsembleConfig(healthy_range=not arguments.networks)
        config = EnsembleTrainConfig(name=arguments.env, ensemble=fit, learn=LEARN)
        train_ensemble(work / "data", folder, config, progress=say)
    package = load_package(folder)
    tuning = chosen(arguments, say)
    trust: list[Knobs] = tuning["chosen"]
    table = {
        variant(knobs): [learnt(knobs, seed, arguments, say) for seed in range(arguments.seeds)]
        for knobs in ({}, *trust)
    }
    behaviour = evaluate("random", folder, on="real", episodes=arguments.episodes, seed=0)
    result = {
        "env": arguments.env,
        "real_steps": data.real_steps,
        "timesteps": arguments.timesteps,
        "episodes": arguments.episodes,
        "random": {name: getattr(behaviour, name) for name in ("mean", "low", "high")},
        "tuning": tuning,
        "variants": table,
        "ranks": {
            name: figures(package, rollouts)
            for name, rollouts in unseen(arguments, trust, say).items()
        },
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result["ranks"], indent=1))


if __name__ == "__main__":
    main()
