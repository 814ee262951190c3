"""Search a picture in pieces besides as a whole: people who are far away are too small, and squeezed, in the whole.

A network that takes 300x300 pixels sees a wide picture at a sixth of its size, and narrower than it is. Tiles are
square cut-outs that overlap by more than a small person is wide; what is larger than that is found in the whole. So of
the boxes that a tile's border cuts, another search has the whole one. Pure: who detects is somebody else.
Source: the idea is SAHI's (Akyon et al. 2022), whose merging knows only IoU; here a border tells what is a part.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from luna_processor.vision.detections import Detections, FloatArray, box_areas, iou_matrix, suppress_overlaps
from luna_processor.vision.view import PixelRect, View

BoolArray = npt.NDArray[np.bool_]

OVERLAP = 0.2
"""Of neighbouring tiles, in sides of a tile: as wide as somebody is who is half as high as the tile."""
WIDE = 1.25
"""A picture whose sides differ by less is searched as a whole only, unless tiles of several rows are asked for."""
NEAR_BORDER = 0.04
"""A box that comes this near to the border of a tile is cut by it; in sides of the tile."""
SAME_IOU = 0.45
"""Boxes of two searches that overlap more are one person: both saw it at another scale."""
PART = 0.6
"""A box that a border cuts is part of one that none cuts, is no weaker, and covers so much of it."""
INSIDE = 0.85
"""The same of a box of a tile that no border cuts, if the other is stronger."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A piece of a view."""

    view: View
    """To be searched like any other view."""
    left: int
    """Where it lies in the view, pixels."""
    top: int

    @property
    def box_xyxy(self) -> FloatArray:
        """Its place in the view."""
        return np.array([self.left, self.top, self.left + self.view.width, self.top + self.view.height], np.float32)


def tiles_of(view: View, rows: int) -> tuple[Tile, ...]:
    """Return the pieces of a view.

    Args:
        view: what of the frame is looked at.
        rows: tiles along its shorter side; 0 is none.
    """
    shorter, longer = sorted((view.width, view.height))
    if rows == 0 or (rows == 1 and longer < WIDE * shorter):
        return ()
    side = math.ceil(shorter / (1 + (rows - 1) * (1 - OVERLAP)))
    return tuple(
        _tile(view, left, top, side) for top in _starts(view.height, side) for left in _starts(view.width, side)
    )


def merged(view: View, whole: Detections, pieces: Sequence[tuple[Tile, Detections]]) -> Detections:
    """Return everybody once, in pixels of the view.

    Args:
        view: that the tiles are pieces of.
        whole: what was found in it as a whole.
        pieces: what was found in its tiles, in pixels of each.
    """
    boxes, scores, is_cut = [whole.boxes_xyxy], [whole.scores], [np.zeros(len(whole), bool)]
    for tile, found in pieces:
        place = tile.box_xyxy
        boxes.append(found.boxes_xyxy + np.tile(place[:2], 2))
        scores.append(found.scores)
        is_cut.append(_is_cut(boxes[-1], place, view))
    everybody = Detections(np.concatenate(boxes), np.concatenate(scores))
    has_part = np.concatenate(is_cut)
    is_piece = np.arange(len(everybody)) >= len(whole)
    entire = np.flatnonzero(~has_part)
    inside = _covers(everybody.boxes_xyxy[entire], everybody.boxes_xyxy)
    mine, others = everybody.scores[None], everybody.scores[entire, None]
    # What the whole view shows as one person may show in a tile as an arm or a bicycle, too.
    is_part = has_part & ((inside * (others >= mine)).max(axis=0, initial=0.0) >= PART)
    is_part |= is_piece & ((inside * (others > mine)).max(axis=0, initial=0.0) >= INSIDE)
    kept = everybody.take(np.flatnonzero(~is_part))
    return kept.take(suppress_overlaps(kept.boxes_xyxy, kept.scores, SAME_IOU))


def _starts(length: int, side: int) -> list[int]:
    """Return where tiles begin along a side of the view: as few as overlap enough, spread evenly."""
    count = max(1, math.ceil((length - side) / (side * (1 - OVERLAP))) + 1) if length > side else 1
    return [round(number * (length - side) / max(1, count - 1)) for number in range(count)]


def _tile(view: View, left: int, top: int, side: int) -> Tile:
    right, bottom = min(left + side, view.width), min(top + side, view.height)
    corners = view.to_frame(np.array([left, top, right, bottom], np.float32))
    cut = PixelRect(*(round(float(corner)) for corner in corners))
    return Tile(replace(view, cut=cut), left, top)


def _is_cut(boxes_xyxy: FloatArray, place_xyxy: FloatArray, view: View) -> BoolArray:
    """Return which boxes reach a border of their tile that is none of the view."""
    margin = NEAR_BORDER * float(place_xyxy[2] - place_xyxy[0])
    limits = np.array([0, 0, view.width, view.height], np.float32)
    is_inner = np.abs(place_xyxy - limits) > 0.5
    is_near = np.abs(boxes_xyxy - place_xyxy) <= margin
    return np.asarray((is_near & is_inner).any(axis=1))


def _covers(boxes_xyxy: FloatArray, parts_xyxy: FloatArray) -> FloatArray:
    """Return which part of each second box lies in each first one, float32 (N, M)."""
    overlaps = iou_matrix(boxes_xyxy, parts_xyxy)
    areas, part_areas = box_areas(boxes_xyxy)[:, None], box_areas(parts_xyxy)[None]
    shared = overlaps * (areas + part_areas) / (1 + overlaps)
    return np.asarray(shared / np.maximum(part_areas, 1e-6), np.float32)
