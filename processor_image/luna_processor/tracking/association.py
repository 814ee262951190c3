"""Decide which detection continues which track: optimal assignment under a gate.

Two measures: overlap with the predicted box, for faces seen a moment ago, and distance in standard deviations of the
prediction, for faces that moved further than their own size (fast, far, low frame rate) or come out of an occlusion.
Source: ByteTrack, Zhang et al. 2022, section 3; gating by distance as in DeepSORT, Wojke et al. 2017.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import lap
import numpy as np
import numpy.typing as npt

from luna_processor.tracking.kalman import BoxState, Motion
from luna_processor.vision.detections import FloatArray, iou_matrix

CostMatrix = npt.NDArray[np.float64]
"""(tracks, detections); infinite where the pair is out of the question."""

MAX_SIZE_RATIO = 1.8
"""A face does not grow or shrink more than this while it is out of sight; the side that is less covered counts."""


@dataclass(frozen=True, slots=True)
class Matching:
    """Pairs (track, detection), and what stayed alone; indices into what was given."""

    pairs: tuple[tuple[int, int], ...]
    alone_tracks: tuple[int, ...]
    alone_detections: tuple[int, ...]


def assign(costs: CostMatrix) -> Matching:
    """Pair rows with columns at the least total cost; infinite costs are never paired, each index occurs once."""
    is_possible = np.isfinite(costs)
    rows = np.flatnonzero(is_possible.any(axis=1))
    columns = np.flatnonzero(is_possible.any(axis=0))
    pairs: list[tuple[int, int]] = []
    if len(rows):
        # The solver knows no impossible pair: a stand-in dearer than any whole assignment keeps them out where it can.
        finite = costs[np.ix_(rows, columns)]
        can_pair = np.isfinite(finite)
        dearest = float(np.abs(finite[can_pair]).max())
        ceiling = dearest * 2 * min(finite.shape) + 1.0
        _, column_of_row, _ = lap.lapjv(np.where(can_pair, finite, ceiling), extend_cost=True)
        pairs = [
            (int(rows[row]), int(columns[column]))
            for row, column in enumerate(column_of_row)
            if column >= 0 and can_pair[row, column]
        ]
    paired_rows = {row for row, _ in pairs}
    paired_columns = {column for _, column in pairs}
    return Matching(
        pairs=tuple(pairs),
        alone_tracks=tuple(row for row in range(costs.shape[0]) if row not in paired_rows),
        alone_detections=tuple(column for column in range(costs.shape[1]) if column not in paired_columns),
    )


def overlap_costs(
    predicted_xyxy: Sequence[FloatArray], last_xyxy: Sequence[FloatArray], boxes_xyxy: FloatArray, min_iou: float
) -> CostMatrix:
    """Return 1 - IoU of tracks and detections; infinite below `min_iou`.

    Args:
        predicted_xyxy: where the tracks should be now.
        last_xyxy: where else they may be, if that fits better: a head that stops or turns round leaves its prediction,
            and so does everything when the camera shakes.
        boxes_xyxy: detections.
        min_iou: least overlap.
    """
    if not predicted_xyxy or not len(boxes_xyxy):
        return np.full((len(predicted_xyxy), len(boxes_xyxy)), np.inf)
    overlaps = np.maximum(
        iou_matrix(np.stack(predicted_xyxy), boxes_xyxy), iou_matrix(np.stack(last_xyxy), boxes_xyxy)
    ).astype(np.float64)
    return np.where(overlaps >= min_iou, 1 - overlaps, np.inf)


def distance_costs(
    states: Sequence[BoxState], motion: Motion, boxes_xyxy: FloatArray, max_deviations: float
) -> CostMatrix:
    """Return distances of the centres in standard deviations; infinite beyond the gate or for another size."""
    if not states or not len(boxes_xyxy):
        return np.full((len(states), len(boxes_xyxy)), np.inf)
    centres = (boxes_xyxy[:, :2] + boxes_xyxy[:, 2:]) / 2
    sides = np.clip(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], 1, None).astype(np.float64)
    predicted = np.stack([state.position for state in states])
    variances = np.stack([state.position_variance[:2] for state in states])
    noise = (motion.measurement * sides.max(axis=1)) ** 2
    squares = (centres[None] - predicted[:, None, :2]) ** 2 / (variances[:, None] + noise[None, :, None])
    distances = np.sqrt(squares.sum(axis=2))
    ratios = np.abs(np.log(sides[None] / np.maximum(predicted[:, None, 2:], 1)))
    is_similar = ratios.min(axis=2) <= np.log(MAX_SIZE_RATIO)
    return np.where(is_similar & (distances <= max_deviations), distances, np.inf)
