"""How fast a dream steps: against the bare model, and against the real env, in one run.

    python benchmarks/dream_speed.py [--dream Dream-CarRacing-v0] [--out docs/figures/speed.json]

Cases take turns for ``--rounds`` rounds, so that whatever else the machine does hits all of them
alike; a figure is the median over the rounds. The bare model is ``model.step`` on rows whose
actions and random numbers are there already: no streams, endings, resets or NumPy. The real env
runs as one process a core, plain and by decisions of the dream's own length.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import torch
from gymnasium.vector import AsyncVectorEnv

import dreamenv
from dreamenv.dream import Dream
from dreamenv.dream.one_step import DYNAMO
from dreamenv.models.world_model import Noise
from dreamenv.packages import Package, load_package
from dreamenv.preprocess import build_env

ACTIONS = 64
"""Batches of actions drawn beforehand, taken in turn."""

Case = Callable[[], Any]


def bare(package: Package, rows: int, compiled: bool) -> Case:
    """One step of the model by itself."""
    model = package.world_model("cpu")
    step = torch.compile(model.step, fullgraph=True) if compiled else model.step
    starts = {
        n: t[:1].expand(rows, *t.shape[1:]) for n, t in package.starts.items() if n != "first"
    }
    with torch.inference_mode():
        state = model.begin(starts, torch.rand(rows, model.noise.start_uniform))
        actions = torch.rand(rows, package.config.action.size) * 2 - 1
        noise = Noise(
            torch.rand(rows, model.noise.uniform).clamp(1e-6, 1 - 1e-6),
            torch.randn(rows, model.noise.normal),
        )
        temperature = torch.ones(rows)

    def run() -> None:
        nonlocal state
        with torch.inference_mode(), torch._dynamo.config.patch(DYNAMO):
            state = step(state, actions, temperature, noise).state

    return run


def stepper(env: Any, batched: bool = True) -> Case:
    """One step of an env, reset whenever it asks for it."""
    space = env.action_space
    actions = [space.sample() for _ in range(ACTIONS)]
    env.reset(seed=0)
    at = 0

    def run() -> None:
        nonlocal at
        at = (at + 1) % ACTIONS
        _, _, terminated, truncated, _ = env.step(actions[at])
        if not batched and (terminated or truncated):
            env.reset()

    return run


def timed(case: Case, seconds: float) -> float:
    """Seconds a call, over at least so many seconds."""
    calls, began = 0, time.perf_counter()
    while (took := time.perf_counter() - began) < seconds:
        case()
        calls += 1
    return took / calls


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dream", default="Dream-CarRacing-v0")
    parser.add_argument("--lanes", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each case, each round")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    dream, lanes = arguments.dream, arguments.lanes
    package = load_package(dreamenv.sources.resolve(dream))
    real = package.config.real
    cores = torch.get_num_threads()

    began = time.perf_counter()
    single = Dream(package, 1)
    opening = time.perf_counter() - began
    rows = single.padded_rows
    single.close()
    began = time.perf_counter()
    compiled_env = gym.make_vec(dream, num_envs=lanes, compile=True)
    compiled_env.reset(seed=0)
    compiling = time.perf_counter() - began
    plain = AsyncVectorEnv([partial(gym.make, real.env_id, **real.kwargs) for _ in range(cores)])
    decisions = AsyncVectorEnv([partial(build_env, real) for _ in range(cores)])
    cases: dict[str, tuple[Case, int]] = {
        f"bare compiled, {lanes} rows": (bare(package, lanes, True), lanes),
        f"bare, {lanes} rows": (bare(package, lanes, False), lanes),
        f"DreamVectorEnv compiled, {lanes} lanes": (stepper(compiled_env), lanes),
        f"DreamVectorEnv, {lanes} lanes": (stepper(gym.make_vec(dream, num_envs=lanes)), lanes),
        "bare, 1 row": (bare(package, 1, False), 1),
        f"bare, {rows} rows": (bare(package, rows, False), 1),
        "DreamEnv": (stepper(gym.make(dream).unwrapped, batched=False), 1),
        "DreamEnv unpadded": (stepper(gym.make(dream, pad_rows=None).unwrapped, False), 1),
        f"real env, {cores} processes": (stepper(plain), cores),
        f"real env's decisions, {cores} processes": (stepper(decisions), cores),
    }
    for case, _ in cases.values():
        timed(case, 2 * arguments.seconds)  # warm-up
    taken: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(arguments.rounds):
        for name, (case, _) in cases.items():
            taken[name].append(timed(case, arguments.seconds))
    plain.close()
    decisions.close()

    def ratio(over: str, under: str) -> float:
        """Median over the rounds of one case's rate over another's."""
        scale = cases[over][1] / cases[under][1]
        pairs = zip(taken[over], taken[under], strict=True)
        return statistics.median(scale * b / a for a, b in pairs)

    names = list(cases)
    figures = {
        "threads": cores,
        "padded rows of one lane": rows,
        "seconds to open one lane": round(opening, 2),
        "seconds to compile": round(compiling, 1),
        "microseconds a call": {n: round(1e6 * statistics.median(t), 1) for n, t in taken.items()},
        "steps per second": {
            n: round(cases[n][1] / statistics.median(t)) for n, t in taken.items()
        },
        "ratios": {
            "compiled env / bare compiled": round(ratio(names[2], names[0]), 3),
            "env / bare compiled": round(ratio(names[3], names[0]), 3),
            "env / bare": round(ratio(names[3], names[1]), 3),
            "compiled env / real env, in its frames": round(
                real.frames_per_step * ratio(names[2], names[8])
            ),
            "compiled env / real env's decisions": round(ratio(names[2], names[9])),
            "env / real env's decisions": round(ratio(names[3], names[9])),
            "1 lane's latency / bare at padded rows": round(1 / ratio(names[6], names[5]), 3),
            "1 lane's latency / bare at 1 row": round(1 / ratio(names[6], names[4]), 3),
            "1 lane unpadded's latency / bare at 1 row": round(1 / ratio(names[7], names[4]), 3),
        },
    }
    print(json.dumps(figures, indent=1))
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
