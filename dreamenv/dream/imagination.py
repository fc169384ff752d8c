"""The model's side of a dream: the lanes' states as padded rows, and one step of all of them."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

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
from dreamenv.errors import PackageError
from dreamenv.models.world_model import Noise, ObservationKind, State, WorldModel
from dreamenv.packages import Package

PICTURE_EFFORT = 64
"""Rows a length that the self-test compares as pixels, which are dear."""

PadRows = int | Literal["auto"] | None


class Imagination:
    """The states of a batch of lanes. Rows beyond the lanes are padding, and dream along.

    Args:
        pad_rows: rows are padded to a multiple of this; ``"auto"`` finds the least that makes
            lanes independent of one another, None pads none.

    Raises:
        ValueError: no such device, or a bad ``pad_rows``.
        RuntimeError: ``compile`` without a C++ compiler.
        PackageError: weights that dream infinities.
    """

    def __init__(
        self,
        package: Package,
        num_lanes: int,
        kind: ObservationKind,
        *,
        device: str = "cpu",
        compile: bool = False,
        pad_rows: PadRows = "auto",
    ) -> None:
        self.model: WorldModel = package.world_model(_check_device(device))
        self.device = self.model.device
        self.num_lanes = num_lanes
        self._kind, self._bound = kind, package.config.latent_bound
        self._shape = tuple(package.config.observation_shape)
        self._compiled = compile

        def step(batch: Batch) -> Batch:
            result = step_batch(self.model, batch)
            return {**result, "observation": self._shown(state_of(result))}

        self._step = compiled_function(step, self.device) if compile else step
        sample = sample_batch(self.model, package)
        if not all(torch.isfinite(rows).all() for rows in step_batch(self.model, sample).values()):
            raise PackageError.at(
                package.path or package.config.name,
                "weights",
                expected="finite numbers in its dreams",
                found="infinity or NaN",
                fix="Train the package again: its weights are out of all proportion.",
            )
        self.plan = self._plan(package, sample, pad_rows)
        self.rows = self.plan.padded(num_lanes)
        at = torch.zeros(self.rows, dtype=torch.int64, device=self.device)
        self.state: State = {name: rows[at] for name, rows in state_of(sample).items()}
        # What the lanes' arrays are copied into at each step.
        action = sample["action"][:1].cpu().numpy()
        self._action = np.zeros((self.rows, *action.shape[1:]), action.dtype)
        self._temperature = np.ones(self.rows, np.float32)

    @property
    def fingerprint(self) -> str:
        """What decides the bits of a dream: equal fingerprints, equal trajectories."""
        return fingerprint(self.plan, self.device, self._compiled)

    def step(
        self, actions: NDArray[Any], temperature: NDArray[np.float32], noise: Noise
    ) -> dict[str, Tensor]:
        """Step every row, and keep the new states.

        Args:
            actions: ``[lanes, *action]``.
            temperature: ``[lanes]``.
            noise: of all rows.

        Returns:
            ``observation`` ``[rows, *observation]``, in memory of its own, and what else
            :func:`~dreamenv.dream.one_step.step_batch` gives ``[rows]``, but the state.
        """
        lanes = self.num_lanes
        self._action[:lanes] = actions
        self._temperature[:lanes] = temperature
        batch = with_state(
            self.state,
            action=self._to(self._action),
            temperature=self._to(self._temperature),
            uniform=noise.uniform,
            normal=noise.normal,
        )
        result = self.plan.run(self._step, batch)
        self.state = state_of(result)
        return {name: rows for name, rows in result.items() if not name.startswith(STATE)}

    def observe(self, lanes: NDArray[np.intp]) -> Tensor:
        """What those lanes show, ``[n, *observation]``, in memory of its own."""

        def look(batch: Batch) -> Batch:
            return {"observation": self._shown(state_of(batch))}

        return self.plan.run(look, with_state(self._padded(lanes)))["observation"][: len(lanes)]

    def pictures(self, lanes: NDArray[np.intp]) -> NDArray[np.uint8]:
        """Those lanes' states, decoded: uint8 ``[n, H, W, 3]``.

        Raises:
            ValueError: the model's observations are no pictures, grey or RGB.
        """
        if len(self._shape) != 3 or self._shape[-1] not in (1, 3):
            raise ValueError(f"observations have shape {self._shape}; expected [H, W, 1 or 3].")
        pictures = self.model.observe(self._padded(lanes), "pixels")[: len(lanes)]
        return pictures.expand(*pictures.shape[:-1], 3).cpu().numpy().copy()

    def put(self, lanes: NDArray[np.intp], state: State) -> None:
        """Set those lanes' states; rows of ``state`` beyond them are padding."""
        at = self._to(lanes)
        for name, rows in self.state.items():
            rows.index_copy_(0, at, state[name][: len(lanes)])

    def take(self, lanes: NDArray[np.intp]) -> State:
        """Copies of those lanes' states."""
        at = self._to(lanes)
        return {name: rows[at] for name, rows in self.state.items()}

    def _padded(self, lanes: NDArray[np.intp]) -> State:
        """Copies of those lanes' states, in as many rows as the plan wants."""
        spare = self.plan.padded(len(lanes)) - len(lanes)
        return self.take(np.pad(lanes, (0, spare), mode="edge"))

    def _shown(self, state: State) -> Tensor:
        return shown(self.model, state, self._kind, self._bound)

    def _plan(self, package: Package, sample: Batch, pad_rows: PadRows) -> RowPlan:
        if pad_rows is None:
            return RowPlan(1, stable=False)
        if pad_rows != "auto":
            if isinstance(pad_rows, bool) or not isinstance(pad_rows, int) or pad_rows < 1:
                raise ValueError(f'pad_rows is {pad_rows!r}; expected "auto", None or at least 1.')
            return RowPlan(pad_rows, stable=False)

        config, pixels = package.config, self._kind == "pixels"
        decides = (config.family, config.model_dump_json(include={"sizes"}), pixels)
        where = (str(self.device), self._compiled)
        effort = PICTURE_EFFORT if pixels else EFFORT
        plan = plan_rows(self._step, sample, self.num_lanes, (decides, where), effort=effort)
        if not plan.stable:
            warnings.warn(
                "no padding makes rows of this model independent of their neighbours here: a lane "
                "may differ in its last bits from the same lane in another batch. pad_rows=None "
                "accepts that.",
                RuntimeWarning,
                stacklevel=4,
            )
        return plan

    def _to(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(array).to(self.device)


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
