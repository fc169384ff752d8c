"""How many real steps a score takes: the loop, and the model-free learner alone, from nothing.

    python benchmarks/real_steps.py --work DIR

For each env and seed: ``dreamenv loop`` by its own recipe, and its control, every real step that is
learned from counted. Scores are means of whole real episodes on seeds that play no part elsewhere.
Killed, the same command goes on. Leaves docs/figures/real_steps.json and a curve for each env.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dreamenv.claim import write_json
from dreamenv.control import control
from dreamenv.loop import LoopConfig, loop
from dreamenv.real_specs import load_real_spec
from dreamenv.recipes import load_recipe
from dreamenv.threads import end_with_parent, one_thread_a_worker

FIGURES = Path(__file__).parents[1] / "docs" / "figures"


@dataclass(frozen=True)
class Task:
    """What is asked of an env."""

    env: str
    target: float
    """Mean return."""
    within: int
    """Real frames in which it is to be reached."""
    budget: int
    """Real frames given to the loop."""


TASKS = (
    Task("Pendulum-v1", -200.0, 3000, 1000),
    Task("CartPole-v1", 475.0, 2000, 1600),
    Task("InvertedPendulum-v5", 950.0, 6000, 1300),
)


def run(task: Task, seed: int, which: str, work: Path) -> None:
    """One loop or one control, in a process of its own."""
    import torch

    torch.set_num_threads(1)
    real, recipe = load_real_spec(task.env), load_recipe(task.env)
    folder = work / task.env / f"seed-{seed}"
    if which == "loop":
        # Audits change nothing of what is learnt, and take as long as a round.
        recipe = recipe.model_copy(update={"audit": False})
        loop(LoopConfig(real, folder, task.budget, recipe, seed=seed, workers=1))
    else:
        control(
            real,
            folder,
            recipe.control,
            seed=seed,
            episodes=recipe.evaluation_episodes,
            target=task.target,
        )


def first_at(points: list[dict[str, Any]], target: float) -> int | None:
    """Real steps of the first point from which on two in a row reach the target.

    >>> points = [{"real_steps": n, "real_return": {"mean": m}} for n, m in
    ...           [(1, 5.0), (2, 0.0), (3, 5.0), (4, 5.0), (5, 0.0), (6, 9.0)]]
    >>> first_at(points, 4.0), first_at(points, 6.0)
    (3, None)
    """
    reached = [p["real_return"]["mean"] >= target for p in points]
    for point, *both in zip(points, reached, reached[1:], strict=False):
        if all(both):
            return int(point["real_steps"])
    return None


def summary(task: Task, work: Path, seeds: list[int]) -> dict[str, Any]:
    """Of all seeds; never reaching the target counts as more than any number of steps.

    Raises:
        SystemExit: a seed was not run.
    """
    found: dict[str, Any] = {**asdict(task), "loop": [], "control": []}
    for seed in seeds:
        folder = work / task.env / f"seed-{seed}"
        for which, file in (("loop", "curve.json"), ("control", "control.json")):
            path = folder / file
            if not path.exists():
                raise SystemExit(
                    f"{path}: expected the {which} of seed {seed}, one of {len(seeds)} asked for, "
                    "found none; run it, with the same command"
                )
            told = json.loads(path.read_text())
            points = told if which == "loop" else told["points"]
            curve = [[p["real_steps"], p["real_return"]["mean"]] for p in points]
            steps = first_at(points, task.target)
            found[which].append({"seed": seed, "steps": steps, "curve": curve})
            if which == "control":
                found["algo"] = told["algo"]
    for which in ("loop", "control"):
        steps = [s["steps"] if s["steps"] is not None else np.inf for s in found[which]]
        middle, low, high = (float(x) for x in (np.median(steps), min(steps), max(steps)))
        found[f"{which}_steps"] = [x if np.isfinite(x) else None for x in (middle, low, high)]
    return found


def draw(found: dict[str, Any], path: Path) -> None:
    """Every seed's curve, loop and control on the same axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    for which, colour, words in (
        ("loop", "tab:blue", "learnt in the dream"),
        ("control", "tab:gray", f"{found.get('algo', 'model-free')} alone"),
    ):
        for number, seed in enumerate(found[which]):
            label = words if number == 0 else None
            axes.plot(*zip(*seed["curve"], strict=True), color=colour, alpha=0.7, label=label)
    axes.axhline(found["target"], color="black", linewidth=0.8, linestyle=":")
    axes.set_xscale("log")
    axes.set_xlabel("real frames that were learned from")
    axes.set_ylabel("real return (mean of 20 episodes)")
    axes.set_title(found["env"])
    axes.legend()
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--envs", nargs="+", default=[task.env for task in TASKS])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--which", nargs="+", default=["loop", "control"])
    parser.add_argument("--workers", type=int, default=2, help="at once, a thread each")
    parser.add_argument("--out", type=Path, default=FIGURES / "real_steps.json")
    asked = parser.parse_args()
    tasks = [task for task in TASKS if task.env in asked.envs]
    seeds = list(range(asked.seeds))
    context = multiprocessing.get_context("spawn")
    with (
        one_thread_a_worker(),
        ProcessPoolExecutor(asked.workers, context, initializer=end_with_parent) as pool,
    ):
        jobs = {
            pool.submit(run, task, seed, which, asked.work): (task.env, seed, which)
            for seed in seeds
            for task in tasks
            for which in asked.which
        }
        for job in as_completed(jobs):
            job.result()
            print("done:", *jobs[job], flush=True)
    if len(tasks) < len(TASKS) or {"loop", "control"} > set(asked.which):
        print("a part only; the same command without --envs and --which writes the figures")
        return
    everything = [summary(task, asked.work, seeds) for task in TASKS]
    write_json(asked.out, everything)
    for found in everything:
        draw(found, asked.out.with_name(f"real_steps_{found['env']}.png"))
        print(found["env"], "loop", found.get("loop_steps"), "control", found.get("control_steps"))


if __name__ == "__main__":
    main()
