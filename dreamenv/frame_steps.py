"""A declared env's observations: frames picked, cropped and resized, in exact integers; vectors
picked."""

from __future__ import annotations

import math
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from dreamenv.config import VECTOR_BOUND, Crop, Pick, RealSpec, Resize
from dreamenv.errors import DataError
from dreamenv.vectors import shown_vector


class FrameSteps:
    """A spec's crops and resizes of one frame, in its order; a vector has none."""

    def __init__(self, spec: RealSpec, space: gym.Space[Any]) -> None:
        """Check that the steps fit observations of ``space``.

        Raises:
            DataError: neither a uint8 Box nor one of float vectors, or a step that does not fit it.
        """
        self._env_id = spec.env_id
        self._key = next((s.key for s in spec.preprocessing if isinstance(s, Pick)), None)
        if self._key is not None:
            if not isinstance(space, gym.spaces.Dict) or self._key not in space.spaces:
                raise DataError(
                    f"pick: expected a Dict of observations with {self._key!r}, got {space}"
                )
            space = space[self._key]
        if not isinstance(space, gym.spaces.Box) or not _is_shown(space):
            raise DataError(
                f"{spec.env_id}: expected uint8 frames, or vectors [n] of float32 or float64 (a "
                f"Box space), got {space}; no other observations can be modelled; a pick step "
                "takes them out of a Dict"
            )
        self.is_vector = space.dtype != np.uint8
        """Whether observations are float32 vectors."""
        self._steps: list[Crop | AreaResize] = []
        shape = tuple(space.shape)
        for step in spec.preprocessing:
            if isinstance(step, Crop | Resize) and (self.is_vector or len(shape) not in (2, 3)):
                raise DataError(
                    f"{step.name}: expected frames [H, W(, C)], got {space.dtype} of shape {shape}"
                )
            if isinstance(step, Crop):
                if not (step.top < step.bottom <= shape[0] and step.left < step.right <= shape[1]):
                    raise DataError(
                        f"crop: expected top < bottom ≤ {shape[0]} and left < right ≤ {shape[1]}, "
                        f"got rows {step.top}:{step.bottom}, columns {step.left}:{step.right}"
                    )
                self._steps.append(step)
                shape = (step.bottom - step.top, step.right - step.left, *shape[2:])
            elif isinstance(step, Resize):
                self._steps.append(AreaResize(shape[:2], (step.height, step.width)))
                shape = (step.height, step.width, *shape[2:])
        self.shape = shape
        """Of an observation after all steps."""

    @property
    def space(self) -> gym.spaces.Box:
        """Of observations after all steps: uint8 frames, or float32 vectors within
        ±:data:`~dreamenv.config.VECTOR_BOUND`."""
        return shown_space(self.shape, "float32" if self.is_vector else "uint8")

    def __call__(self, observation: Any) -> NDArray[Any]:
        """An observation after all steps, as :attr:`space` has it; a fresh array.

        Raises:
            DataError: a vector with a NaN.
        """
        frame = observation if self._key is None else observation[self._key]
        if self.is_vector:
            return shown_vector(frame, self._env_id)
        for step in self._steps:
            if isinstance(step, Crop):
                frame = frame[step.top : step.bottom, step.left : step.right]
            else:
                frame = step(frame)
        return np.array(frame, order="C")


def shown_space(shape: tuple[int, ...], dtype: Literal["uint8", "float32"]) -> gym.spaces.Box:
    """Of frames (uint8) or vectors (float32) as models and rollouts have them."""
    if dtype == "float32":
        return gym.spaces.Box(-VECTOR_BOUND, VECTOR_BOUND, shape, np.float32)
    return gym.spaces.Box(0, 255, shape, np.uint8)


def _is_shown(space: gym.spaces.Box) -> bool:
    """Whether model and policy can be shown what the space has."""
    vector = space.dtype in (np.float32, np.float64) and len(space.shape) == 1
    return space.dtype == np.uint8 or (vector and space.shape[0] > 0)


class AreaResize:
    """Average the area that falls under each new pixel, in exact integers.

    A new row covers ``old/new`` old rows. Counted in units of ``1/new`` of an old row, its overlaps
    are integers, and so are all sums: the result is rounded half up from the exact average, and the
    same on every machine.

    >>> AreaResize((2, 3), (1, 2))(np.array([[0, 30, 60], [6, 36, 66]], np.uint8)).tolist()
    [[13, 53]]
    """

    def __init__(self, old: tuple[int, ...], new: tuple[int, int]) -> None:
        rows, columns = (_overlaps(o, n) for o, n in zip(old, new, strict=True))
        self._area = int(rows[0].sum() * columns[0].sum())
        # Sums stay below area · 255: exact in float32 up to 2**24, in float64 far beyond any frame.
        exact = np.float32 if self._area * 255 < 2**24 else np.float64
        self._rows, self._columns = rows.astype(exact), columns.astype(exact)

    def __call__(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """uint8 ``[H, W]`` or ``[H, W, C]`` to the new height and width."""
        height, width = frame.shape[:2]
        values = frame.astype(self._rows.dtype).reshape(height, -1)
        summed = np.matmul(self._rows, values).reshape(len(self._rows), width, -1)
        # Channels beside rows: one product; one a row, three columns wide, takes 6 x as long.
        beside = summed.transpose(0, 2, 1).reshape(-1, width)
        both = np.matmul(beside, self._columns.T)
        both = both.reshape(len(self._rows), -1, len(self._columns))
        total = both.transpose(0, 2, 1).astype(np.int64)
        average = (2 * total + self._area) // (2 * self._area)
        shape = (*average.shape[:2], *frame.shape[2:])
        resized: NDArray[np.uint8] = average.astype(np.uint8).reshape(shape)
        return resized


def _overlaps(old: int, new: int) -> NDArray[np.int64]:
    """``[new, old]``: how much of each old pixel lies under each new one, in units of 1/new."""
    shared = math.gcd(old, new)
    old_step, new_step = new // shared, old // shared
    old_edges, new_edges = np.arange(old + 1) * old_step, np.arange(new + 1) * new_step
    right = np.minimum(old_edges[None, 1:], new_edges[1:, None])
    left = np.maximum(old_edges[None, :-1], new_edges[:-1, None])
    overlaps: NDArray[np.int64] = np.maximum(right - left, 0)
    return overlaps
