"""The same sizes of ensemble in mbrl-lib (Pineda et al. 2021), stepped when asked.

    PEER_PYTHON benchmarks/ensemble_peer.py OBSERVATION ACTION HIDDEN LAYERS MEMBERS ELITES LANES

Runs under a Python that has mbrl, in an environment of its own: ``pip install torch mbrl`` and, for
a Python above 3.10, ``pip install --no-deps hydra-core==1.3.2 omegaconf==2.3.0
antlr4-python3-runtime==4.9.3``, as what mbrl asks for does not run there. Each line of its input,
``CASE THREADS SECONDS``, is answered by how long a call of ``ModelEnv.step`` took. There reward is
one more output of the dynamics, and termination a written rule.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
import time
from typing import Any

import numpy as np
import torch
from mbrl.env import termination_fns
from mbrl.models import GaussianMLP, ModelEnv, OneDTransitionRewardModel

CASES = ("random_model", "expectation")
"""TS1, in which a lane costs one member; and the mean, in which it costs all elites."""
ACTIONS = 64


class Space:
    """What ModelEnv asks of an env."""

    observation_space = action_space = None


def stepper(case: str, numbers: list[int]) -> Any:
    observation, action, hidden, layers, members, elites, lanes = numbers
    torch.manual_seed(0)
    model = GaussianMLP(
        observation + action,
        observation + 1,
        device="cpu",
        num_layers=layers,
        ensemble_size=members,
        hid_size=hidden,
        propagation_method=case,
        activation_fn_cfg={"_target_": "torch.nn.SiLU"},
    )
    model.set_elite(range(elites))
    wrapped = OneDTransitionRewardModel(model, target_is_delta=True, normalize=True)
    wrapped.input_normalizer.mean = torch.zeros(1, observation + action)
    wrapped.input_normalizer.std = torch.ones(1, observation + action)
    generator = torch.Generator().manual_seed(0)
    env = ModelEnv(Space(), wrapped, termination_fns.hopper, generator=generator)
    # It deals the same number of lanes to each elite, and refuses others.
    lanes = -(-lanes // elites) * elites
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (ACTIONS, lanes, action)).astype(np.float32)
    start = rng.normal(size=(lanes, observation)).astype(np.float32)
    state, at = env.reset(start), 0

    def run() -> None:
        nonlocal state, at
        at = (at + 1) % ACTIONS
        found, _, _, state = env.step(actions[at], state, sample=True)
        # Random weights run away; begin anew, as rarely as an episode ends.
        if at == 0 or not np.isfinite(found).all():
            state = env.reset(start)

    return run


def main() -> None:
    cases = {case: stepper(case, [int(word) for word in sys.argv[1:]]) for case in CASES}
    versions = {name: importlib.metadata.version(name) for name in ("mbrl", "torch")}
    print("peer", json.dumps(versions), flush=True)
    for line in sys.stdin:
        case, threads, seconds = line.split()
        torch.set_num_threads(int(threads))
        calls, began = 0, time.perf_counter()
        while (took := time.perf_counter() - began) < float(seconds):
            cases[case]()
            calls += 1
        print("took", took / calls, flush=True)


if __name__ == "__main__":
    main()
