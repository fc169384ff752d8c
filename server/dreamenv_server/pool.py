"""A pool of lanes that sessions share: one dream of a model and kind of observation."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

import numpy as np

from dreamenv.dream import Dream
from dreamenv.dream.part import Part
from dreamenv.errors import DreamenvError

DUE = 2.0
"""A session is due for so many times as long as sessions have taken lately to come again."""
LONGEST_AWAY = 0.05
"""Seconds after which a session is not stepping but learning, or gone."""
SMOOTHING = 0.1
UNKNOWN = 1.0
"""Seconds that a batch of a size not yet seen may take."""


class NoLanes(DreamenvError):
    """All lanes are taken."""


class Pool:
    """Lanes of one dream, handed out and taken back.

    Args:
        name: of the model.
        kind: of observation.
        dream: of as many lanes as there are to hand out; nobody else uses it.
    """

    def __init__(self, name: str, kind: str, dream: Dream) -> None:
        self.name, self.kind, self.dream = name, kind, dream
        self.lanes = dream.num_lanes
        self._free = list(range(self.lanes))
        self._seconds: dict[int, float] = {}
        self._out: dict[Part, float] = {}
        """Parts that were answered and have not come again yet: when, oldest first."""
        self._away = 0.0
        """Seconds between an answer and the next step, lately."""

    @property
    def free(self) -> int:
        """How many lanes are nobody's."""
        return len(self._free)

    @property
    def observation_bytes(self) -> int:
        """Bytes that one lane shows."""
        space = self.dream.observation_space
        return int(np.prod(space.shape or ())) * int(np.dtype(space.dtype).itemsize)

    def require(self, lanes: int) -> None:
        """See whether so many lanes are free.

        Raises:
            NoLanes: they are not.
        """
        if lanes > len(self._free):
            raise NoLanes(
                f"{self.name} ({self.kind}): {lanes} lanes were asked for; expected at most the "
                f"{len(self._free)} that are free of {self.lanes}. Ask for fewer, wait until "
                "others are closed, or serve with more: dreamenv serve --lanes."
            )

    def take(self, lanes: int, starts: str | None = None) -> Part:
        """So many lanes, those with the lowest numbers.

        Args:
            starts: which states of the bank their episodes begin with; the package's own if None.

        Raises:
            NoLanes: there are not so many.
        """
        self.require(lanes)
        taken = sorted(heapq.heappop(self._free) for _ in range(lanes))
        return self.dream.part(np.array(taken, np.intp), starts=starts)

    def give_back(self, lanes: Iterable[int]) -> None:
        """Let others take lanes, whose part was closed."""
        for lane in lanes:
            heapq.heappush(self._free, lane)

    def forget(self, part: Part) -> None:
        """Expect no more steps of it."""
        self._out.pop(part, None)

    def seconds(self, lanes: int) -> float:
        """How long a batch of so many lanes is likely to take."""
        return self._seconds.get(lanes.bit_length(), UNKNOWN)

    def took(self, lanes: int, seconds: float) -> None:
        """Learn how long one took."""
        size = lanes.bit_length()
        before = self._seconds.get(size, seconds)
        self._seconds[size] = before + SMOOTHING * (seconds - before)

    def came(self, part: Part, now: float) -> None:
        """A session asks for its next step."""
        answered = self._out.pop(part, None)
        if answered is not None:
            away = min(now - answered, LONGEST_AWAY)
            self._away += SMOOTHING * (away - self._away)

    def answered(self, parts: Iterable[Part], now: float) -> None:
        """Sessions got what they waited for."""
        self._out.update((part, now) for part in parts)

    def any_due(self, now: float) -> bool:
        """Whether some session is likely to step within moments."""
        last = next(reversed(self._out.values()), None)
        return last is not None and now - last < DUE * self._away
