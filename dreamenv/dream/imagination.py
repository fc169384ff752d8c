"""The model's side of a dream: the lanes' states, and one step of some or all of them."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Hashable
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamenv.dream.bars import bars
from dreamenv.dream.clock import Rows
from dreamenv.dream.lengths import Lengths
from dreamenv.dream.one_step import (
    STATE,
    compiled_function,
    sample_batch,
    shown,
    state_of,
    step_batch,
    with_state,
)
from dreamenv.dream.rows import EFFORT, Batch, RowPlan, fingerprint, plan_rows
from dreamenv.dream.states import States
from dreamenv.errors import PackageError
from dreamenv.models.propagation import Propagation, propagated
from dreamenv.models.world_model import Noise, ObservationKind, State, Telling, WorldModel
from dreamenv.packages import Package
from dreamenv.pictures import shows_pictures

PICTURE_EFFORT = 64
"""Rows a length that the self-test compares as pixels, which are dear."""

PadRows = int | Literal["auto"] | None


class _Inputs:
    """What the arrays of a batch are copied into at each step; one for each length, since code
    paths may depend on where in memory a matrix begins."""

    def __init__(self, action: Tensor, temperature: Tensor) -> None:
        self.action, self.action_array = action, action.numpy()
        self.temperature, self.temperature_array = temperature, temperature.numpy()


class Imagination:
    """A model and its states of a table of lanes. Batches are padded by rows that dream along.

    Args:
        uncertainty: whether steps tell how unsure the model is, where it can.
        propagation: the members of an ensemble that steps follow; the package's own if None.
        pad_rows: rows are padded to a multiple of this; ``"auto"`` finds the least that makes
            lanes independent of one another, None pads none.

    Raises:
        ValueError: no such device, a bad ``pad_rows``, or a ``propagation`` that the family does
            not have.
        RuntimeError: ``compile`` without a C++ compiler.
        PackageError: weights that dream infinities.
    """

    def __init__(
        self,
        package: Package,
        num_lanes: int,
        kind: ObservationKind,
        *,
        uncertainty: bool = True,
        propagation: Propagation | None = None,
        device: str = "cpu",
        compile: bool = False,
        pad_rows: PadRows = "auto",
    ) -> None:
        if propagation is not None:
            package = replace(package, config=propagated(package.config, propagation))
        self.model: WorldModel = package.world_model(_check_device(device))
        self._asked = [] if propagation is None else [f"propagation {propagation}"]
        if isinstance(self.model, Telling):
            self.model.tells = uncertainty
            self._asked += [] if uncertainty else ["no uncertainty"]
        self.device = self.model.device
        self.num_lanes = num_lanes
        self._kind, self._bound = kind, package.config.latent_bound
        self._has_pictures = shows_pictures(package.config)
        self._compiled = compile

        def step(batch: Batch) -> Batch:
            result = step_batch(self.model, batch)
            if not uncertainty:
                result.pop("uncertainty", None)
            return {**result, "observation": self._shown(state_of(result))}

        self._step = compiled_function(step, self.device) if compile else step
        sample = sample_batch(self.model, package)
        dreamt = step_batch(self.model, sample)
        self.tells = uncertainty and "uncertainty" in dreamt
        """Whether steps tell how unsure the model is."""
        if not all(torch.isfinite(rows).all() for rows in dreamt.values()):
            raise PackageError.at(
                package.path or package.config.name,
                "weights",
                expected="finite numbers in its dreams",
                found="infinity or NaN",
                fix="Train the package again: its weights are out of all proportion.",
            )
        self._sample, self._decides = sample, self._decided_by(package)
        self.lengths = Lengths(functools.partial(self._plan, pad_rows), num_lanes)
        if pad_rows == "auto" and not self.lengths.plan.stable:
            warnings.warn(
                "no padding makes rows of this model independent of their neighbours here: a lane "
                "may differ in its last bits from the same lane in another batch. pad_rows=None "
                "accepts that.",
                RuntimeWarning,
                stacklevel=4,
            )
        blank = {name: rows[:1] for name, rows in state_of(sample).items()}
        self.states = States(blank, self.lengths.plan.padded(num_lanes))
        self._inputs: dict[int, _Inputs] = {}

    @property
    def fingerprint(self) -> str:
        """What decides the bits of a dream: equal fingerprints, equal trajectories."""
        found = fingerprint(self.lengths.plan, self.device, self._compiled)
        return "; ".join([found, *self._asked])

    @property
    def whole(self) -> bool:
        """Whether all rows can be stepped where they are."""
        return self.lengths.of(self.num_lanes).rows == self.states.rows

    def step(
        self, at: Rows, actions: NDArray[Any], temperature: NDArray[np.float32], noise: Noise
    ) -> dict[str, Tensor]:
        """Step some lanes, or all of them where they are, and keep the new states.

        Args:
            at: which lanes; all only if :attr:`whole`.
            actions: ``[lanes, *action]``.
            temperature: ``[lanes]``.
            noise: of as many rows as :attr:`lengths` wants for so many lanes.

        Returns:
            ``observation`` ``[rows, *observation]``, in memory of its own, and what else
            :func:`~dreamenv.dream.one_step.step_batch` gives ``[rows]``, but the state. The first
            rows are the lanes', in order.
        """
        count = len(actions)
        length = self.lengths.of(count)
        inputs = self._inputs.get(length.rows) or self._new_inputs(length.rows)
        inputs.action_array[:count] = actions
        inputs.temperature_array[:count] = temperature
        states, whole = self.states, isinstance(at, slice)
        state = states.all() if isinstance(at, slice) else states.some(at, length.rows)
        batch = with_state(
            state,
            action=inputs.action.to(self.device),
            temperature=inputs.temperature.to(self.device),
            uniform=noise.uniform,
            normal=noise.normal,
        )
        result = length.plan.run(self._step, batch)
        (states.keep_all if whole else states.keep)(state_of(result))
        return {name: rows for name, rows in result.items() if not name.startswith(STATE)}

    def observe(self, lanes: NDArray[np.intp]) -> Tensor:
        """What those lanes show, ``[n, *observation]``, in memory of its own."""

        def look(batch: Batch) -> Batch:
            return {"observation": self._shown(state_of(batch))}

        length = self.lengths.of(len(lanes))
        batch = with_state(self.states.copies(lanes, length.rows))
        return length.plan.run(look, batch)["observation"][: len(lanes)]

    def pictures(self, lanes: NDArray[np.intp]) -> NDArray[np.uint8]:
        """Those lanes' states, decoded: uint8 ``[n, H, W, 3]``; where observations are no pictures,
        grey or RGB, the latents as :func:`~dreamenv.dream.bars.bars`."""
        state = self.states.copies(lanes, self.lengths.of(len(lanes)).rows)
        if not self._has_pictures:
            latents = shown(self.model, state, "latent", self._bound)[: len(lanes)]
            return bars(latents.cpu().numpy(), self._bound)
        pictures = self.model.observe(state, "pixels")[: len(lanes)]
        pictures = pictures if pictures.ndim == 4 else pictures.unsqueeze(-1)
        return pictures.expand(*pictures.shape[:-1], 3).cpu().numpy().copy()

    def _new_inputs(self, rows: int) -> _Inputs:
        action = self._sample["action"]
        inputs = self._inputs[rows] = _Inputs(
            torch.zeros(rows, *action.shape[1:], dtype=action.dtype), torch.ones(rows)
        )
        return inputs

    def _shown(self, state: State) -> Tensor:
        return shown(self.model, state, self._kind, self._bound)

    def _decided_by(self, package: Package) -> Hashable:
        """What the padding depends on, beside the number of threads."""
        config, pixels = package.config, self._kind == "pixels"
        decides = (config.family, config.model_dump_json(include={"sizes"}), pixels)
        return decides, (str(self.device), self._compiled, *self._asked)

    def _plan(self, pad_rows: PadRows, rows: int) -> RowPlan:
        if pad_rows is None:
            return RowPlan(1, stable=False)
        if pad_rows != "auto":
            if isinstance(pad_rows, bool) or not isinstance(pad_rows, int) or pad_rows < 1:
                raise ValueError(f'pad_rows is {pad_rows!r}; expected "auto", None or at least 1.')
            return RowPlan(pad_rows, stable=False)
        effort = PICTURE_EFFORT if self._kind == "pixels" else EFFORT
        return plan_rows(self._step, self._sample, rows, self._decides, effort=effort)


def to_host(tensors: dict[str, Tensor], lanes: int) -> dict[str, NDArray[Any]]:
    """The first ``lanes`` rows of each as arrays; from an accelerator, in one copy."""
    if next(iter(tensors.values())).device.type != "cpu":
        packed = torch.cat([t.contiguous().view(-1).view(torch.uint8) for t in tensors.values()])
        sizes = [t.numel() * t.element_size() for t in tensors.values()]
        pieces = torch.split(packed.cpu(), sizes)
        tensors = {
            name: piece.view(t.dtype).view(t.shape)
            for piece, (name, t) in zip(pieces, tensors.items(), strict=True)
        }
    return {name: t.numpy()[:lanes] for name, t in tensors.items()}


def _check_device(device: str) -> str:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f'device is {device!r}, which is not to be had here ({error}); expected "cpu", or '
            '"cuda" on a machine with a GPU and a build of torch for it.'
        ) from error
    return device
