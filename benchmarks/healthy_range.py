"""Where a healthy range says that episodes end, and where networks say so, on envs of all kinds.

    python benchmarks/healthy_range.py --work DIR --out docs/figures/healthy_range.json

An ensemble is fitted on random actions twice, once by ``dreamenv train ensemble``'s defaults, which
take a range where the data show one, and once with its networks alone. Both judge the real
observations that followed the decisions of other episodes. Killed, the same command goes on.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from ending_counts import counted
from ensemble_data import HELD_OUT_SEED

from dreamenv.config import RealSpec
from dreamenv.data.collect import CollectConfig, collect
from dreamenv.data.rollouts import Rollouts
from dreamenv.models.ensemble import Ensemble
from dreamenv.packages import Package, load_package
from dreamenv.progress import LogLines, Progress
from dreamenv.training.ensemble import EnsembleConfig, judged
from dreamenv.training.train_ensemble import EnsembleTrainConfig, train_ensemble
from dreamenv.training.transitions import Transitions

ENVS = (
    "CartPole-v1",
    "InvertedPendulum-v5",
    "Hopper-v5",
    "Walker2d-v5",
    "Ant-v5",
    "InvertedDoublePendulum-v5",
    "LunarLander-v3",
    "Acrobot-v1",
)
MOST_DECISIONS = 300
"""Of an episode."""


def episodes(env: str, out: Path, count: int, seed: int, say: Progress) -> Rollouts:
    """Random actions, each held for up to three decisions."""
    config = CollectConfig(
        RealSpec(env_id=env), out, count, seed=seed, hold=3, max_decisions=MOST_DECISIONS
    )
    return collect(config, say)


def package(data: Path, out: Path, steps: int, ranged: bool, say: Progress) -> Package:
    """Fitted on them, or read if it is there."""
    if out.exists():
        return load_package(out)
    fit = EnsembleConfig(steps=steps, healthy_range=ranged)
    return train_ensemble(data, out, EnsembleTrainConfig(ensemble=fit), progress=say)


def shares(model: Ensemble, data: Transitions) -> dict[str, Any]:
    """Precision and recall of an ending that is likelier than not, by the mean of the elites."""
    said = torch.sigmoid(judged(model, data)[1]).mean(0) > 0.5
    return counted(said.double().numpy(), data.terminated.numpy() > 0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--envs", nargs="+", default=list(ENVS))
    parser.add_argument("--fitted", type=int, default=200, help="episodes")
    parser.add_argument("--unseen", type=int, default=100, help="episodes")
    parser.add_argument("--steps", type=int, default=1500, help="of a fit")
    parser.add_argument("--work", type=Path, required=True, help="keeps episodes and packages")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    torch.set_num_threads(1)
    say = LogLines(30)
    found: dict[str, Any] = {"fitted": given.fitted, "unseen": given.unseen, "envs": {}}
    for env in given.envs:
        work = given.work / env
        episodes(env, work / "fitted", given.fitted, 1, say)
        unseen = episodes(env, work / "unseen", given.unseen, HELD_OUT_SEED, say)
        data = Transitions.of(unseen.episodes)
        rows = {}
        for name, ranged in (("default", True), ("networks", False)):
            of = package(work / "fitted", work / name, given.steps, ranged, say)
            model = of.world_model("cpu")
            assert isinstance(model, Ensemble)
            rows[name] = shares(model, data)
            if ranged:
                rows["range"] = of.config.provenance.get("healthy_range", [])
        found["envs"][env] = rows
        print(env, json.dumps(rows), flush=True)
    given.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
