"""What stops a learner whose dream has been exploited, before its policy is any worse for it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from dreamenv.strict import Strict


class Restraint(Strict):
    """Bounds on what the dream shows a learner; past one of them, learning stops.

    Losses do not tell when a policy has found what a dream pays for wrongly, but two things do: a
    dream that pays more than anything real, and a model that is unsure of where it is led.
    """

    window: Annotated[int, Field(ge=1, le=1_000_000)] = 50
    """Decisions of every lane that are looked at together."""
    pace: Annotated[float, Field(gt=0, le=1000)] | None = 1.05
    """Most that the lanes may be paid a decision, on average, as a share of the best that a real
    episode was paid over a stretch of ``window``; None for no bound. Where that is negative, the
    bound is as far above it."""
    unsure: Annotated[float, Field(gt=0, le=1e6)] | None = None
    """Most that the lanes' uncertainty may be on average, in units of the 95th percentile of
    held-out real decisions; None for no bound, and where the family cannot tell."""

    def highest(self, best_real: float) -> float:
        """The bound on the mean reward of a decision.

        >>> Restraint(pace=1.5).highest(2.0), Restraint(pace=1.5).highest(-2.0)
        (3.0, -1.0)
        """
        return float("inf") if self.pace is None else best_real + (self.pace - 1) * abs(best_real)
