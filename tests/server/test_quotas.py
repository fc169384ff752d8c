"""What one client may use, against a count of our own."""

from __future__ import annotations

import re
import timeit

import pytest
from dreamenv_server.quotas import QuotaConfig, QuotaExceeded, Quotas
from hypothesis import given
from hypothesis import strategies as st


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


OPENED = st.tuples(st.just("open"), st.sampled_from("ab"), st.integers(1, 6))
CLOSED = st.tuples(st.just("close"), st.sampled_from("ab"), st.integers(0, 5))


@given(st.lists(st.one_of(OPENED, CLOSED), max_size=60))
def test_sessions_and_lanes_are_counted_for_each_client_apart(actions):
    quotas = Quotas(QuotaConfig(lanes_per_client=10, sessions_per_client=3))
    held: dict[str, list[int]] = {"a": [], "b": []}
    for what, client, number in actions:
        mine = held[client]
        if what == "close":
            if mine:
                quotas.close(client, mine.pop(number % len(mine)))
        elif len(mine) < 3 and sum(mine) + number <= 10:
            quotas.open(client, number)
            mine.append(number)
        else:
            with pytest.raises(QuotaExceeded) as refused:
                quotas.open(client, number)
            assert refused.value.retry_after is None


def test_a_refusal_names_the_quota_its_limit_and_the_fix():
    quotas = Quotas(QuotaConfig(lanes_per_client=100, sessions_per_client=2, rollout_steps=5000))
    quotas.open("a", 60)
    lanes = "lanes of a client: expected at most 100, found 120 with these 60. Ask for fewer"
    with pytest.raises(QuotaExceeded, match=lanes):
        quotas.open("a", 60)
    quotas.open("a", 40)
    with pytest.raises(QuotaExceeded, match="sessions of a client: expected at most 2, found 3"):
        quotas.open("a", 1)
    quotas.rollout("a", 5000)
    steps = "lane-steps of a rollout: expected at most 5,000, found 6,000. Ask for fewer lanes"
    with pytest.raises(QuotaExceeded, match=steps):
        quotas.rollout("a", 6000)


def test_steps_come_at_the_rate_after_a_burst():
    clock = Clock()
    quotas = Quotas(QuotaConfig(steps_per_second=100, burst_seconds=2), clock)
    taken = 0
    for _ in range(10_000):  # 100 s, a try each 10 ms
        clock.now += 0.01
        try:
            quotas.charge("a", 7)
            taken += 7
        except QuotaExceeded:
            pass
    assert 100 * 100 <= taken <= 100 * 100 + 200 + 7
    quotas.charge("b", 7)  # another's steps are not ours


def test_it_says_when_to_come_again_and_that_is_right():
    clock = Clock()
    quotas = Quotas(QuotaConfig(steps_per_second=50, burst_seconds=1), clock)
    quotas.charge("a", 150)  # more than the burst, and yet not refused for ever
    with pytest.raises(
        QuotaExceeded, match=r"at most 50, found 100 .*again in 2\.000 s"
    ) as refused:
        quotas.charge("a", 1)
    assert re.match("steps per second of a client", str(refused.value))
    assert refused.value.retry_after == pytest.approx(2.0)
    clock.now += 1.99
    with pytest.raises(QuotaExceeded):
        quotas.charge("a", 1)
    clock.now += 0.02
    quotas.charge("a", 1)


def test_opening_again_does_not_refill_the_balance_and_the_idle_are_forgotten():
    clock = Clock()
    quotas = Quotas(QuotaConfig(steps_per_second=10), clock)
    quotas.open("a", 1)
    quotas.charge("a", 100)
    quotas.close("a", 1)
    quotas.open("a", 1)
    with pytest.raises(QuotaExceeded):
        quotas.charge("a", 1)
    quotas.close("a", 1)
    for number in range(1000):
        clock.now += 60
        quotas.open(f"job-{number}", 1)
        quotas.charge(f"job-{number}", 1)
        quotas.close(f"job-{number}", 1)
    assert len(quotas._balances) == 1
    assert not quotas._lanes
    assert not quotas._sessions


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_a_limit_is_a_number_above_0(value):
    with pytest.raises(ValueError, match="steps_per_second: expected a number above 0"):
        QuotaConfig(steps_per_second=value)


def test_no_limit_costs_nothing():
    quotas = Quotas()
    quotas.open("a", 1 << 30)
    best = min(timeit.repeat(lambda: quotas.charge("a", 64), number=1000, repeat=20)) / 1000
    assert best < 5e-6  # some 0.05 µs; a busy machine has room
