"""Which variant of a source is read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luna_processor.sources.variants import Variant, choose_variant


def variants(*sizes: tuple[int, int]) -> list[Variant]:
    """Return variants of (width, bit rate), in this order."""
    return [Variant(index, width, width * 9 // 16, rate, "h264") for index, (width, rate) in enumerate(sizes)]


@pytest.mark.parametrize(
    ("sizes", "preferred", "chosen"),
    [
        pytest.param([(640, 0), (800, 0), (1920, 0)], 800, 1, id="exactly"),
        pytest.param([(640, 0), (1920, 0)], 800, 0, id="nearest below"),
        pytest.param([(320, 0), (900, 0)], 800, 1, id="nearest above"),
        pytest.param([(1920, 0), (320, 0)], 0, 1, id="0 is the smallest"),
        pytest.param([(320, 0), (1920, 0)], 100_000, 1, id="far beyond is the largest"),
        pytest.param([(700, 0), (900, 0)], 800, 1, id="equally near: the wider"),
        pytest.param([(800, 10), (800, 30), (800, 20)], 800, 1, id="one width: the higher bit rate"),
        pytest.param([(800, 0), (800, 0)], 800, 0, id="one width: the first"),
        pytest.param([(0, 9), (1920, 0)], 100, 1, id="unknown width is the last resort"),
        pytest.param([(0, 1), (0, 9)], 800, 1, id="nothing known"),
    ],
)
def test_the_nearest_width_is_chosen(sizes: list[tuple[int, int]], preferred: int, chosen: int) -> None:
    assert choose_variant(variants(*sizes), preferred).index == chosen


@given(st.lists(st.tuples(st.integers(1, 4096), st.integers(0, 9)), min_size=1), st.integers(0, 2**31 - 1))
def test_nothing_is_nearer_than_what_is_chosen(sizes: list[tuple[int, int]], preferred: int) -> None:
    chosen = choose_variant(variants(*sizes), preferred)
    assert abs(chosen.width - preferred) == min(abs(width - preferred) for width, _ in sizes)
