"""Assignment under a gate."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luna_processor.tracking.association import assign, distance_costs, overlap_costs
from luna_processor.tracking.kalman import HEADS, predict, start

cost = st.one_of(st.just(float("inf")), st.floats(0, 10))


@st.composite
def cost_matrices(draw: st.DrawFn) -> np.ndarray:
    rows, columns = draw(st.integers(0, 4)), draw(st.integers(0, 4))
    values = draw(st.lists(cost, min_size=rows * columns, max_size=rows * columns))
    return np.array(values, float).reshape(rows, columns)


@given(cost_matrices())
def test_assignment_is_valid_complete_and_optimal(costs: Any) -> None:
    matching = assign(costs)
    rows = [row for row, _ in matching.pairs]
    columns = [column for _, column in matching.pairs]
    assert len(set(rows)) == len(rows)
    assert len(set(columns)) == len(columns)
    assert all(np.isfinite(costs[pair]) for pair in matching.pairs)
    assert sorted(rows + list(matching.alone_tracks)) == list(range(costs.shape[0]))
    assert sorted(columns + list(matching.alone_detections)) == list(range(costs.shape[1]))
    size, value = best(costs)
    assert len(matching.pairs) == size
    assert -sum(costs[pair] for pair in matching.pairs) == pytest.approx(value)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e5])
@pytest.mark.parametrize(("rows", "columns"), [(1, 5), (5, 1), (4, 5), (5, 5), (6, 3)])
def test_assignment_is_optimal_whatever_the_form_and_the_scale(rows: int, columns: int, scale: float) -> None:
    rng = np.random.default_rng(rows * 10 + columns)
    for _ in range(20):
        costs = np.where(rng.random((rows, columns)) < 0.4, np.inf, rng.random((rows, columns)) * scale)
        matching = assign(costs)
        size, value = best(costs)
        assert len(matching.pairs) == size
        assert -sum(costs[pair] for pair in matching.pairs) == pytest.approx(value)


def test_what_is_no_number_is_never_paired() -> None:
    costs = np.array([[np.nan, 1.0], [np.nan, np.inf], [0.5, np.nan]])
    assert assign(costs).pairs == ((0, 1), (2, 0))


def best(costs: np.ndarray) -> tuple[int, float]:
    """Return the size and negative cost of the best matching, by trying all."""
    count, total = costs.shape
    options = [(0, 0.0)]
    for size in range(1, min(count, total) + 1):
        for rows in itertools.combinations(range(count), size):
            for columns in itertools.permutations(range(total), size):
                values = [costs[row, column] for row, column in zip(rows, columns, strict=True)]
                if np.isfinite(values).all():
                    options.append((size, -sum(values)))
    return max(options)


def test_a_track_is_also_where_it_was_last_seen() -> None:
    last = np.array([0, 0, 50, 50], np.float32)
    predicted = np.array([100, 0, 150, 50], np.float32)
    costs = overlap_costs([predicted], [last], np.array([[0, 0, 50, 50]], np.float32), 0.2)
    assert costs[0, 0] == pytest.approx(0)


def test_the_gate_widens_with_the_time_out_of_sight() -> None:
    state = start(np.array([100, 100, 160, 160], np.float32), HEADS)
    far = np.array([[400, 100, 460, 160]], np.float32)
    assert np.isinf(distance_costs([predict(state, HEADS, 0.04)], HEADS, far, 3)).all()
    assert np.isfinite(distance_costs([predict(state, HEADS, 1.0)], HEADS, far, 3)).all()


def test_another_size_is_another_face_unless_one_side_still_fits() -> None:
    state = predict(start(np.array([100, 100, 160, 160], np.float32), HEADS), HEADS, 0.5)
    huge = np.array([[40, 40, 220, 220]], np.float32)
    narrow = np.array([[120, 100, 135, 160]], np.float32)
    assert np.isinf(distance_costs([state], HEADS, huge, 3)).all()
    assert np.isfinite(distance_costs([state], HEADS, narrow, 3)).all()
