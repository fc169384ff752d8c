"""One imagined step as a function of a flat batch, so that it can be tiled, tested and compiled."""

from __future__ import annotations

import os
import shutil
import sys
import warnings

import torch
from torch import Tensor

from dreamenv.config import BoxAction
from dreamenv.dream.rows import Batch, RowFunction
from dreamenv.models.world_model import Noise, ObservationKind, State, WorldModel
from dreamenv.packages import Package

STATE = "state."
"""Prefix of the model's state in a batch."""
DYNAMO = {"allow_rnn": True, "recompile_limit": 256}
"""Families that read nn.LSTM's weights (and never run it) are refused otherwise; and a process that
compiles many models would be left uncompiled ones beyond the eighth."""
POOL = 64
"""Rows of a :func:`sample_batch`."""


def with_state(state: State, **rest: Tensor) -> Batch:
    """A batch that holds a state, and other tensors by name."""
    return {**{STATE + name: tensor for name, tensor in state.items()}, **rest}


def state_of(batch: Batch) -> State:
    """The state that a batch holds."""
    return {
        name.removeprefix(STATE): rows for name, rows in batch.items() if name.startswith(STATE)
    }


def step_batch(model: WorldModel, batch: Batch) -> Batch:
    """One step of every row.

    Args:
        batch: the state, ``action``, ``temperature``, ``uniform`` and ``normal``, as of
            :class:`~dreamenv.models.world_model.WorldModel`.

    Returns:
        The next state, ``reward``, ``termination_logit`` and, if the family can tell,
        ``uncertainty``.
    """
    noise = Noise(batch["uniform"], batch["normal"])
    imagined = model.step(state_of(batch), batch["action"], batch["temperature"], noise)
    result = with_state(
        imagined.state, reward=imagined.reward, termination_logit=imagined.termination_logit
    )
    if imagined.uncertainty is not None:
        result["uncertainty"] = imagined.uncertainty
    return result


def shown(model: WorldModel, state: State, kind: ObservationKind, bound: float) -> Tensor:
    """What a state shows, in memory of its own; vectors cut to [-bound, bound]."""
    observation = model.observe(state, kind)
    return observation.clone() if kind == "pixels" else observation.clamp(-bound, bound)


def sample_batch(model: WorldModel, package: Package) -> Batch:
    """:data:`POOL` varied rows for a self-test: dreamt a few steps from the bank's states."""
    generator = torch.Generator().manual_seed(0)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(POOL, *shape, generator=generator).clamp(1e-6, 1 - 1e-6).to(model.device)

    def batch_of(state: State) -> Batch:
        act = package.config.action
        return with_state(
            state,
            action=uniform(act.size) * 2 - 1
            if isinstance(act, BoxAction)
            else (uniform() * act.n).long(),
            temperature=0.2 + uniform(),
            uniform=uniform(model.noise.uniform),
            normal=torch.erfinv(uniform(model.noise.normal) * 2 - 1) * 2**0.5,
        )

    entries = {n: t.to(model.device) for n, t in package.starts.items() if n != "first"}
    size = len(next(iter(entries.values())))
    at = torch.arange(POOL, device=model.device) % size
    state = model.begin({n: t[at] for n, t in entries.items()}, uniform(model.noise.start_uniform))
    for _ in range(3):
        state = state_of(step_batch(model, batch_of(state)))
    return batch_of(state)


def compiled_function(function: RowFunction, device: torch.device) -> RowFunction:
    """The function through ``torch.compile``, one graph for every length of batch.

    Raises:
        RuntimeError: there is no C++ compiler, which ``torch.compile`` needs on a CPU.
    """
    compiler = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    if device.type == "cpu" and shutil.which(compiler) is None:
        raise RuntimeError(
            f"compile=True needs a C++ compiler, and there is no {compiler!r} on the PATH: install "
            "one (apt install g++), name one in the environment variable CXX, or leave compile out."
        )
    compiled = torch.compile(function, fullgraph=True)
    lengths: set[int] = set()

    def run(batch: Batch) -> Batch:
        length = len(next(iter(batch.values())))
        if length in lengths:
            return compiled(batch)
        if length > 1:  # a length of one is always compiled by itself
            for rows in batch.values():
                torch._dynamo.mark_dynamic(rows, 0)
        # What torch deprecates within itself is not the user's to mend.
        with torch._dynamo.config.patch(DYNAMO), warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=DeprecationWarning, module="torch")
            result = compiled(batch)
        lengths.add(length)
        return result

    return run
