r"""How fast an ensemble steps: all members as one product, against one after the other.

    python benchmarks/ensemble_speed.py --peer-python PEER/bin/python \
        --out docs/figures/ensemble_speed.json

Sizes are those of Hopper-v5. The looped ensemble has the same weights and gives the same numbers
(that is checked first); it comes in two kinds, see ``looped_members.py``. The peer is mbrl-lib, see
``ensemble_peer.py``; without ``--peer-python`` it is left out. Cases take turns for ``--rounds``
rounds; a figure is the median over the rounds, and a ratio the median, least and most over the
rounds of what they gave each.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from dream_speed import timed
from ensemble_peer_process import Peer
from looped_members import Looped, Rows

from dreamenv.config import BoxAction, PackageConfig, TrustScale
from dreamenv.dream import Dream
from dreamenv.dream.one_step import DYNAMO
from dreamenv.models.ensemble import Ensemble, EnsembleSizes
from dreamenv.models.world_model import Noise
from dreamenv.packages import Package
from dreamenv.real_specs import load_real_spec

OBSERVATION, ACTION = 11, 3
ACTIONS = 64
"""Batches of actions drawn beforehand, taken in turn."""
FOREVER = 10_000_000

Timed = Callable[[float], float]
"""Seconds a call, over at least so many seconds."""


def random_package(hidden: int) -> Package:
    """An untrained ensemble of these sizes: how long it takes does not depend on its weights."""
    torch.manual_seed(0)
    sizes = EnsembleSizes(observation=OBSERVATION, action=ACTION, hidden=hidden)
    model = Ensemble(sizes)
    with torch.no_grad():
        model.change_scale.fill_(0.1)
    return Package(
        config=PackageConfig(
            name="speed",
            family="ensemble",
            sizes=asdict(sizes),
            observation_shape=[OBSERVATION],
            observation_dtype="float32",
            action=BoxAction(size=ACTION),
            latent=OBSERVATION,
            features=OBSERVATION,
            latent_bound=sizes.latent_bound,
            real=load_real_spec("Hopper-v5"),
            trust=TrustScale(quantiles=np.linspace(0.0, 1.0, 101).tolist()),
        ),
        weights=model.state_dict(),
        starts={"s": torch.randn(256, OBSERVATION).half(), "first": torch.ones(256).byte()},
    )


def bare(
    package: Package,
    lanes: int,
    *,
    device: str,
    tells: bool,
    looped: Rows | None = None,
    compiled: bool = False,
) -> Callable[[], torch.Tensor]:
    """One step of the model by itself, from its last state, waited for; gives the next one."""
    model = package.world_model(device)
    assert isinstance(model, Ensemble)
    model.tells = tells
    stepped = model.step if looped is None else Looped(model, looped).step
    if compiled:
        stepped = torch.compile(stepped, fullgraph=True)
    generator = torch.Generator().manual_seed(0)
    state = model.begin({"s": torch.randn(lanes, OBSERVATION, generator=generator).to(device)})
    actions = (torch.rand(ACTIONS, lanes, ACTION, generator=generator) * 2 - 1).to(device)
    noise = Noise(
        torch.rand(lanes, 1, generator=generator).clamp(1e-6, 1 - 1e-6).to(device),
        torch.randn(lanes, OBSERVATION, generator=generator).to(device),
    )
    temperature, at = torch.ones(lanes, device=device), 0

    def run() -> torch.Tensor:
        nonlocal state, at
        at = (at + 1) % ACTIONS
        with torch.inference_mode(), torch._dynamo.config.patch(DYNAMO):
            state = stepped(state, actions[at], temperature, noise).state
        if device != "cpu":
            torch.cuda.synchronize()
        return state["s"]

    return run


def whole(
    package: Package, lanes: int, *, looped: Rows | None = None, **knobs: Any
) -> Callable[[], Any]:
    """One step of a dream: with noise of its own, endings, knobs and arrays."""
    dream = Dream(package, lanes, termination="none", horizon=FOREVER, **knobs)
    if looped is not None:
        model: Any = dream.table.lanes.model
        model.step = Looped(model, looped).step
    rng, at = np.random.default_rng(0), 0
    actions = rng.uniform(-1, 1, (ACTIONS, lanes, ACTION)).astype(np.float32)
    dream.reset(seeds=range(lanes))

    def run() -> Any:
        nonlocal at
        at = (at + 1) % ACTIONS
        return dream.step(actions[at])

    return run


RATIOS = {
    "step, telling / looped": ("step, telling", "looped, telling"),
    "step, not telling / looped": ("step, not telling", "looped, not telling"),
    "step, not telling / looped over own lanes": ("step, not telling", "looped over own lanes"),
    "step, telling, compiled / looped": ("step, telling, compiled", "looped, telling"),
    "step, telling, compiled / looped, compiled": (
        "step, telling, compiled",
        "looped, telling, compiled",
    ),
    "Dream, telling / looped": ("Dream, telling", "Dream, telling, looped"),
    "Dream, not telling / looped": ("Dream, not telling", "Dream, not telling, looped"),
    "Dream, not telling / Dream, telling": ("Dream, not telling", "Dream, telling"),
    "step, not telling / mbrl-lib, TS1": ("step, not telling", "mbrl-lib, TS1"),
    "Dream, not telling / mbrl-lib, TS1": ("Dream, not telling", "mbrl-lib, TS1"),
    "Dream, telling / mbrl-lib, mean": ("Dream, telling", "mbrl-lib, mean"),
    "Dream, telling, compiled / mbrl-lib, mean": ("Dream, telling, compiled", "mbrl-lib, mean"),
}
"""How many times as fast the first is as the second."""


def measured(hidden: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """All figures of one width, with the threads that torch has now."""
    package, lanes, device = random_package(hidden), arguments.lanes, arguments.device
    same_numbers(package, lanes, device)
    bare_here, whole_here = partial(bare, device=device), partial(whole, device=device)
    runs: dict[str, Callable[[], Any]] = {}
    for tells, name in ((True, "telling"), (False, "not telling")):
        runs[f"step, {name}"] = bare_here(package, lanes, tells=tells)
        runs[f"looped, {name}"] = bare_here(package, lanes, tells=tells, looped="all")
        runs[f"Dream, {name}"] = whole_here(package, lanes, uncertainty=tells)
        runs[f"Dream, {name}, looped"] = whole_here(package, lanes, uncertainty=tells, looped="all")
    runs["looped over own lanes"] = bare_here(package, lanes, tells=False, looped="own")
    if not arguments.eager:
        runs["step, telling, compiled"] = bare_here(package, lanes, tells=True, compiled=True)
        runs["looped, telling, compiled"] = bare_here(
            package, lanes, tells=True, looped="all", compiled=True
        )
        runs["Dream, telling, compiled"] = whole_here(package, lanes, compile=True)
    cases: dict[str, Timed] = {n: lambda s, run=run: timed(run, s) for n, run in runs.items()}
    peer = None
    if arguments.peer_python:
        sizes = EnsembleSizes(**package.config.sizes)
        peer = Peer(arguments.peer_python, sizes, lanes)
        cases["mbrl-lib, TS1"] = lambda s: peer.timed("random_model", s)
        cases["mbrl-lib, mean"] = lambda s: peer.timed("expectation", s)
    for case in cases.values():
        for _ in range(3):  # warm-up; what is compiled may be anew for a state of its own making
            case(arguments.seconds)
    taken: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(arguments.rounds):
        for name, case in cases.items():
            taken[name].append(case(arguments.seconds))
    versions = {"torch": torch.__version__} | ({"peer": peer.versions} if peer else {})
    if peer:
        peer.close()

    def ratio(fast: str, slow: str) -> list[float]:
        times = [b / a for a, b in zip(taken[fast], taken[slow], strict=True)]
        return [round(f(times), 2) for f in (statistics.median, min, max)]

    return {
        "hidden": hidden,
        "threads": torch.get_num_threads(),
        "milliseconds": {n: round(1e3 * statistics.median(t), 3) for n, t in taken.items()},
        "times as fast": {n: ratio(*pair) for n, pair in RATIOS.items() if set(pair) <= set(taken)},
        "versions": versions,
        "load": round(os.getloadavg()[0], 1),
    }


def same_numbers(package: Package, lanes: int, device: str) -> None:
    """Refuse to time loops that compute something else."""
    own = bare(package, lanes, device=device, tells=False)
    others = [bare(package, lanes, device=device, tells=True)]
    others += [
        bare(package, lanes, device=device, tells=True, looped=rows) for rows in ("all", "own")
    ]
    for _ in range(3):
        expected = own()
        for other in others:
            torch.testing.assert_close(other(), expected, rtol=1e-3, atol=1e-3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lanes", type=int, default=1024)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--hidden", type=int, nargs="+", default=[64, 200])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, torch.get_num_threads()])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.5, help="of each case, each round")
    parser.add_argument("--eager", action="store_true", help="leave compiled cases out")
    parser.add_argument("--peer-python", help="a Python that has mbrl")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    results = []
    for threads in sorted(set(arguments.threads)):
        torch.set_num_threads(threads)
        for hidden in arguments.hidden:
            results.append(measured(hidden, arguments))
            print(json.dumps(results[-1], indent=1), flush=True)
    figures = {
        "lanes": arguments.lanes,
        "rounds": arguments.rounds,
        "cores": os.cpu_count(),
        "device": "cpu" if arguments.device == "cpu" else torch.cuda.get_device_name(),
        "cases": results,
    }
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
