"""The healthcheck policy."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luna_processor.streams.health import MIN_RETRY_DELAY_S, GiveUp, Health, HealthPolicy, Retry


def test_errors_below_the_limit_are_retried_after_the_delay() -> None:
    health = Health(HealthPolicy(max_error_count=3, period_s=3600, retry_delay_s=5))
    assert health.failed(0) == Retry(5)
    assert health.failed(6) == Retry(5)
    assert health.failed(12) == GiveUp(3)


def test_errors_older_than_the_period_are_forgotten() -> None:
    health = Health(HealthPolicy(max_error_count=2, period_s=10, retry_delay_s=1))
    assert health.failed(0) == Retry(1)
    assert health.failed(10.1) == Retry(1)
    assert health.failed(20) == GiveUp(2)


@pytest.mark.parametrize("limit", [1, 0, -5])
def test_a_limit_of_one_or_less_gives_up_at_once(limit: Any) -> None:
    assert isinstance(Health(HealthPolicy(max_error_count=limit)).failed(0), GiveUp)


@pytest.mark.parametrize("delay", [0, -1])
def test_no_delay_is_a_short_one(delay: Any) -> None:
    assert Health(HealthPolicy(retry_delay_s=delay)).failed(0) == Retry(MIN_RETRY_DELAY_S)


def test_any_number_of_errors_is_counted_in_bounded_memory() -> None:
    health = Health(HealthPolicy(max_error_count=10_000, period_s=10_000, retry_delay_s=0))
    verdicts = [health.failed(number) for number in range(5_000)]
    assert all(isinstance(verdict, Retry) for verdict in verdicts)
    assert len(health._moments) <= 4097
    late = [health.failed(20_000 + number / 10) for number in range(10_000)]
    assert late[-1] == GiveUp(10_000)
    assert isinstance(late[-2], Retry)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=40), st.integers(1, 8), st.floats(0, 200))
def test_it_gives_up_exactly_when_the_window_holds_the_limit(gaps: Any, limit: Any, period: Any) -> None:
    health = Health(HealthPolicy(limit, period, 1))
    times, now = [], 0.0
    for gap in gaps:
        now += gap
        times.append(now)
        in_window = sum(now - moment <= period for moment in times)
        assert health.failed(now) == (GiveUp(in_window) if in_window >= limit else Retry(1))
