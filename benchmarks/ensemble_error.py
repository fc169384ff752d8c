"""How far an ensemble's dreams are from what happened, and whether their spread covers it.

    python benchmarks/ensemble_error.py --work runs/ensembles --out docs/figures/ensemble_error.json

An ensemble and a linear model are fitted on random actions, and dream stretches of other episodes
under the recorded actions, 1 to 100 steps, without seeing anything on the way. Held out are
episodes like those behind the fit, random actions that are held for longer, and those of a policy,
where one is given: ``--policy Hopper-v5 PACKAGE POLICY.zip``. ``--package Hopper-v5 PACKAGE`` looks
at a package as it is, without a linear model. Killed, the same command goes on with what it made.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ensemble_data import held_out, random_package
from ensemble_plots import draw
from linear_model import Linear
from numpy.typing import NDArray
from open_loop_samples import (
    Windows,
    by_episode,
    covered,
    dreams,
    places,
    squared_error,
    windows,
)

from dreamenv.audit.bootstrap import ratio
from dreamenv.data.rollouts import Rollouts
from dreamenv.models.ensemble import Ensemble, Propagation
from dreamenv.packages import Package, load_package
from dreamenv.progress import LogLines, Progress
from dreamenv.sources import resolve
from dreamenv.training.transitions import Transitions

ENVS = ("Pendulum-v1", "CartPole-v1", "Hopper-v5")
HELD_OUT_EPISODES = {"Pendulum-v1": 40, "CartPole-v1": 100, "Hopper-v5": 150}
PROPAGATIONS: dict[str, Propagation] = {
    "ensemble, TS1": "ts1",
    "ensemble, TS∞": "tsinf",
    "ensemble, mean": "mean",
    "single network": "member",
}
HORIZON = 100
SHOWN_K = (1, 5, 20, 50)
RATES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
LEAST_EPISODES = 5
"""A figure of fewer is left out."""


def figures(values: NDArray[np.float64], there: NDArray[np.float64], of: Windows) -> dict[str, Any]:
    """Σ values / Σ there ``[windows, n]``, with intervals over episodes; None where too few
    episodes reach."""
    sums, counts = by_episode(values, of.episode), by_episode(there, of.episode)
    found = ratio(sums, counts, seed=0)
    reached = (counts > 0).sum(0) >= LEAST_EPISODES
    return {
        name: [
            float(f"{v:.4g}") if ok and np.isfinite(v) else None
            for v, ok in zip(getattr(found, name), reached, strict=True)
        ]
        for name in ("value", "low", "high")
    }


def measure(
    model: Ensemble, linear: Linear | None, rollouts: Rollouts, per_episode: int, samples: int
) -> dict[str, Any]:
    """Error of every predictor against k, and coverage of those that are sampled."""
    seen = windows(rollouts.episodes, HORIZON, per_episode)
    # Not cut to the bound of states: what happened is what happened.
    truth = (seen.truth - model.mean) / model.scale
    there = (~torch.isnan(truth[:, :, 0])).double().numpy()
    rng = np.random.default_rng(0)
    error: dict[str, Any] = {}
    coverage: dict[str, Any] = {}
    for name, propagation in PROPAGATIONS.items():
        squared = np.full(there.shape, np.nan)
        place: dict[int, NDArray[np.float64]] = {}
        for k, states in enumerate(dreams(model, propagation, seen, samples, seed=0)):
            squared[:, k] = squared_error(states.mean(1), truth[:, k])
            if k + 1 in SHOWN_K and propagation in ("ts1", "tsinf"):
                place[k + 1] = places(states, truth[:, k], rng)
        error[name] = figures(squared, there, seen)
        if place:
            coverage[name] = {str(k): covers(found, seen) for k, found in place.items()}
    start = model.normalised(seen.first)
    if linear is not None:
        s, squared = start.double(), np.full(there.shape, np.nan)
        for k in range(HORIZON):
            s = linear.step(s, seen.actions[:, k])
            squared[:, k] = squared_error(s, truth[:, k])
        error["linear model"] = figures(squared, there, seen)
    still = (start.unsqueeze(1) - truth).double().square().mean(2).numpy()
    error["held still"] = figures(still, there, seen)
    return {
        "episodes": len(rollouts.episodes),
        "decisions": sum(map(len, rollouts.episodes)),
        "windows": there.sum(0).astype(int).tolist(),
        "episodes that reach": (by_episode(there, seen.episode) > 0).sum(0).tolist(),
        "squared error": error,
        "coverage": coverage,
    }


def covers(place: NDArray[np.float64], seen: Windows) -> dict[str, Any]:
    """Share of truths ``[windows, n]`` in the central intervals: of all numbers together with
    intervals over episodes, and of each."""
    inside = np.stack([covered(place, rate) for rate in RATES], axis=2).astype(float)
    there = np.repeat(np.isfinite(place)[:, :, None], len(RATES), axis=2).astype(float)
    together = figures(inside.sum(1), there.sum(1), seen)
    numbers = [figures(inside[:, i], there[:, i], seen)["value"] for i in range(inside.shape[1])]
    return {"together": together, "numbers": numbers}


def sets_of(
    env: str, work: Path, policy: tuple[str, Path] | None, share: float, progress: Progress
) -> dict[str, Rollouts]:
    """Held-out episodes by name."""
    episodes = max(LEAST_EPISODES, round(share * HELD_OUT_EPISODES[env]))
    found = {
        "as fitted": held_out(env, work, episodes, progress),
        "actions held longer": held_out(env, work, episodes, progress, hold=16),
    }
    if policy is not None:
        dream, path = policy
        few = max(LEAST_EPISODES, round(share * 40))
        found["a policy"] = held_out(env, work, few, progress, policy=path, dream=dream)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--envs", nargs="+", default=list(ENVS), choices=ENVS)
    parser.add_argument("--work", type=Path, required=True, help="keeps episodes and packages")
    parser.add_argument("--out", type=Path, help="a .json, beside which goes a .png")
    parser.add_argument("--package", nargs=2, action="append", default=[], metavar=("ENV", "DREAM"))
    parser.add_argument(
        "--policy", nargs=3, action="append", default=[], metavar=("ENV", "DREAM", "ZIP")
    )
    parser.add_argument("--steps", type=int, default=2000, help="of a fit")
    parser.add_argument("--seed", type=int, default=0, help="of a fit")
    parser.add_argument("--samples", type=int, default=49)
    parser.add_argument("--windows", type=int, default=5, help="an episode")
    parser.add_argument("--quick", action="store_true", help="a look: fewer of everything")
    given = parser.parse_args()
    torch.set_num_threads(1)
    progress = LogLines(30)
    share = 0.25 if given.quick else 1.0
    samples = 29 if given.quick else given.samples
    packages = {env: Path(resolve(dream)) for env, dream in given.package}
    policies = {env: (dream, Path(path)) for env, dream, path in given.policy}
    result: dict[str, Any] = {
        "horizon": HORIZON, "rates": RATES, "samples": samples, "quick": given.quick,
        "envs": {},
    }  # fmt: skip
    for env in given.envs:
        package: Package
        linear, fitted_on = None, None
        if env in packages:
            package = load_package(packages[env])
        else:
            package = random_package(
                env, given.work, steps=given.steps, seed=given.seed, progress=progress
            )
        model = package.world_model("cpu")
        assert isinstance(model, Ensemble)
        if env not in packages:
            behind = Rollouts.open(given.work / env / "training")
            fitted_on = behind.real_steps
            linear = Linear(model, Transitions.of(behind.episodes))
        found = {}
        for name, rollouts in sets_of(env, given.work, policies.get(env), share, progress).items():
            found[name] = measure(model, linear, rollouts, given.windows, samples)
            for predictor, error in found[name]["squared error"].items():
                shown = [error["value"][k - 1] for k in (*SHOWN_K, HORIZON)]
                roots = ["-" if v is None else f"{v**0.5:.4f}" for v in shown]
                print(f"{env}, {name}: {predictor}: {' '.join(roots)}", flush=True)
        result["envs"][env] = {"steps behind the fit": fitted_on, "sets": found}
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps(result, ensure_ascii=False) + "\n", encoding="utf-8")
        draw(result, given.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
