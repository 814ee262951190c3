"""Sources that come in pieces are handed on about as fast as they were taken."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import pytest

from luna_processor.sources.pace import MAX_WAIT_S, SPEED, Pace


def handed_on(frames: Iterable[tuple[float, float]]) -> list[float]:
    """Return when frames are handed on; each is given as (pts, arrival), and comes no sooner than the one before."""
    pace, now_s, moments = Pace(), 0.0, []
    for pts_s, arrival_s in frames:
        now_s = max(now_s, arrival_s)
        now_s += pace.wait_s(pts_s, now_s)
        moments.append(now_s)
    return moments


def test_a_burst_is_spread_over_its_time() -> None:
    moments = handed_on((number / 25, 100.0) for number in range(100))
    assert moments[-1] == pytest.approx(100 + 99 / 25 / SPEED)
    assert max(later - earlier for earlier, later in pairwise(moments)) < 1 / 25


def test_a_burst_that_follows_begins_at_once() -> None:
    segments = [(number / 25, 4.0 * (number // 100)) for number in range(300)]
    moments = handed_on(segments)
    assert moments[100] == 4.0
    assert moments[200] == 8.0


def test_a_camera_that_sends_as_it_takes_is_never_held_back() -> None:
    assert handed_on((number / 25, number / 25) for number in range(50)) == [number / 25 for number in range(50)]


def test_a_gap_is_not_sat_through() -> None:
    moments = handed_on([(0.0, 0.0), (0.5, 0.0), (100.0, 0.0), (100.5, 0.0)])
    assert moments[2] == moments[1]
    assert moments[3] - moments[2] == pytest.approx(0.5 / SPEED)
    assert moments[3] - moments[2] < MAX_WAIT_S
