"""How long to go on trying."""

from __future__ import annotations

import random
import time

SHORTEST = 0.05
LONGEST = 1.0


class Patience:
    """Pauses between attempts: none, then 50 ms and doubling to a second, for so long in all.

    A fourth of each pause is left to chance, so that many clients of one server do not all come at
    once. The time runs from the first failure.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._ends: float | None = None
        self._pause = 0.0

    @property
    def left(self) -> float:
        """Seconds."""
        return self.seconds if self._ends is None else self._ends - time.monotonic()

    @property
    def tried(self) -> bool:
        """Whether a second attempt has failed as well."""
        return self._pause > SHORTEST

    def pause(self, least: float = 0.0) -> bool:
        """Wait for the next attempt; False if there is no time left for one."""
        if self._ends is None:
            self._ends = time.monotonic() + self.seconds
        if self.left <= 0:
            return False
        wait = max(least, self._pause * random.uniform(0.75, 1.0))
        time.sleep(max(0.0, min(wait, self.left)))
        self._pause = min(max(SHORTEST, 2 * self._pause), LONGEST)
        return True
