"""What one client may use: sessions, lanes, and steps a second."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, fields

from dreamenv.errors import DreamenvError


class QuotaExceeded(DreamenvError):
    """A client asked for more than its share; nothing was taken."""

    def __init__(
        self, quota: str, *, limit: float, found: str, fix: str, retry_after: float | None = None
    ) -> None:
        """Say which quota it is, its limit, what would be used, and the fix.

        ``retry_after`` is the number of seconds after which the same call may succeed, where that
        is a matter of time.
        """
        super().__init__(f"{quota}: expected at most {limit:,.15g}, found {found}. {fix}")
        self.retry_after = retry_after


@dataclass(frozen=True)
class QuotaConfig:
    """Limits for each client; None for no limit."""

    lanes_per_client: int | None = None
    sessions_per_client: int | None = None
    steps_per_second: float | None = None
    """Lane-steps: a step of 64 lanes counts 64."""
    burst_seconds: float = 2.0
    """So many seconds' worth of steps may be taken at once after a pause."""
    rollout_steps: int | None = None
    """Lane-steps of one rollout: the number of its lanes times its horizon."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise ValueError(f"{field.name}: expected a number above 0, got {value!r}")


class Quotas:
    """Counts what each client uses, and refuses what goes beyond. For one event loop."""

    def __init__(
        self, config: QuotaConfig | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Without a config nothing is limited; ``clock`` tells seconds."""
        self.config = config or QuotaConfig()
        self._clock = clock
        self._rate = self.config.steps_per_second
        self._sessions: dict[str, int] = {}
        self._lanes: dict[str, int] = {}
        self._balances: dict[str, tuple[float, float]] = {}

    def open(self, client: str, lanes: int) -> None:
        """Count a session of so many lanes.

        Raises:
            QuotaExceeded: the client holds too many; nothing is counted.
        """
        self._forget_idle()
        config, sessions = self.config, self._sessions.get(client, 0) + 1
        if config.sessions_per_client is not None and sessions > config.sessions_per_client:
            raise QuotaExceeded(
                "sessions of a client",
                limit=config.sessions_per_client,
                found=f"{sessions:,} with this one",
                fix="Close one first.",
            )
        self.hold(client, lanes)
        self._sessions[client] = sessions

    def close(self, client: str, lanes: int) -> None:
        """Give a session's lanes back."""
        self._sessions[client] -= 1
        assert self._sessions[client] >= 0, "more sessions were closed than opened"
        if not self._sessions[client]:
            del self._sessions[client]
        self.let_go(client, lanes)

    def hold(self, client: str, lanes: int) -> None:
        """Count lanes beside those of sessions: a rollout's.

        Raises:
            QuotaExceeded: the client holds too many; nothing is counted.
        """
        held, limit = self._lanes.get(client, 0) + lanes, self.config.lanes_per_client
        if limit is not None and held > limit:
            raise QuotaExceeded(
                "lanes of a client",
                limit=limit,
                found=f"{held:,} with these {lanes:,}",
                fix="Ask for fewer, or close a session first.",
            )
        self._lanes[client] = held

    def let_go(self, client: str, lanes: int) -> None:
        """Give back what :meth:`hold` counted."""
        self._lanes[client] -= lanes
        assert self._lanes[client] >= 0, "more lanes were given back than held"
        if not self._lanes[client]:
            del self._lanes[client]

    def charge(self, client: str, lane_steps: int) -> None:
        """Take lane-steps off the client's balance.

        Whoever has a balance may overdraw it, and waits until it is made up for: so a batch larger
        than the burst is not refused for ever, and the mean rate holds all the same.

        Raises:
            QuotaExceeded: the balance is overdrawn; nothing is taken. It says when to come again.
        """
        if self._rate is None:
            return
        now = self._clock()
        full = self._rate * self.config.burst_seconds
        balance, then = self._balances.get(client, (full, now))
        balance = min(full, balance + (now - then) * self._rate)
        if balance <= 0:
            wait = max(0.001, -balance / self._rate)
            raise QuotaExceeded(
                "steps per second of a client",
                limit=self._rate,
                found=f"{-balance:,.0f} lane-steps beyond",
                fix=f"Try again in {wait:.3f} s.",
                retry_after=wait,
            )
        self._balances[client] = (balance - lane_steps, now)

    def rollout(self, client: str, lane_steps: int) -> None:
        """Take a rollout's lane-steps off the client's balance.

        Raises:
            QuotaExceeded: it is too long for one, or as in :meth:`charge`.
        """
        limit = self.config.rollout_steps
        if limit is not None and lane_steps > limit:
            raise QuotaExceeded(
                "lane-steps of a rollout",
                limit=limit,
                found=f"{lane_steps:,}",
                fix="Ask for fewer lanes or a shorter horizon.",
            )
        self.charge(client, lane_steps)

    def _forget_idle(self) -> None:
        """Drop the balances that are full again: names of clients may come and go for months."""
        if self._rate is None:
            return
        now, burst = self._clock(), self.config.burst_seconds
        full = self._rate * burst
        for client, (balance, then) in list(self._balances.items()):
            if balance + (now - then) * self._rate >= full:
                del self._balances[client]
