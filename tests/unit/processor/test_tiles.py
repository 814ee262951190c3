"""Pieces of a view, and one box for everybody who was found in several of them."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luna_processor.errors import StartupError
from luna_processor.settings import load
from luna_processor.vision.detections import Detections, iou_matrix
from luna_processor.vision.tiles import OVERLAP, merged, tiles_of
from luna_processor.vision.view import PixelRect, Rotation, View
from support.films import Film, body, face


def view(width: int = 1280, height: int = 720, rotation: Rotation = 0) -> View:
    return View(PixelRect(0, 0, width, height), rotation, width, height)


def seen_in(box_xyxy: np.ndarray, people: np.ndarray) -> Detections:
    """Return what a perfect detector finds in a part of the view: everybody as far as the part shows them."""
    corners = np.concatenate([np.maximum(people[:, :2], box_xyxy[:2]), np.minimum(people[:, 2:], box_xyxy[2:])], axis=1)
    shown = corners[((corners[:, 2:] - corners[:, :2]) > 8).all(axis=1)]
    # Of whom only a part is seen, the score is lower.
    sizes = (shown[:, 2:] - shown[:, :2]).prod(axis=1)
    return Detections((shown - np.tile(box_xyxy[:2], 2)).astype(np.float32), (0.5 + sizes / 1e7).astype(np.float32))


def found(whole_view: View, people: np.ndarray, rows: int, min_side_px: float = 0.0) -> Detections:
    """Return everybody; the search of the whole view finds nobody smaller than `min_side_px`."""
    large = people[(people[:, 3] - people[:, 1]) >= min_side_px]
    whole = seen_in(np.array([0, 0, whole_view.width, whole_view.height], np.float32), large)
    pieces = [(tile, seen_in(tile.box_xyxy, people)) for tile in tiles_of(whole_view, rows)]
    return merged(whole_view, whole, pieces)


@pytest.mark.parametrize(
    ("width", "height", "rows", "count"),
    [
        pytest.param(1280, 720, 0, 0, id="switched off"),
        pytest.param(1280, 720, 1, 2, id="16:9 in two squares"),
        pytest.param(720, 1280, 1, 2, id="upright"),
        pytest.param(720, 720, 1, 0, id="a square is searched as a whole"),
        pytest.param(768, 620, 1, 0, id="nearly a square"),
        pytest.param(2560, 720, 1, 5, id="a panorama"),
        pytest.param(1280, 720, 2, 8, id="two rows"),
        pytest.param(720, 720, 2, 4, id="two rows of a square"),
    ],
)
def test_tiles_are_as_few_as_cover_the_view(width: int, height: int, rows: int, count: int) -> None:
    assert len(tiles_of(view(width, height), rows)) == count


@given(st.integers(16, 4000), st.integers(16, 4000), st.integers(1, 4))
def test_tiles_cover_the_view_are_inside_it_and_overlap(width: int, height: int, rows: int) -> None:
    tiles = tiles_of(view(width, height), rows)
    if not tiles:
        return
    for axis, length in ((0, width), (1, height)):
        spans = sorted({(float(tile.box_xyxy[axis]), float(tile.box_xyxy[axis + 2])) for tile in tiles})
        assert spans[0][0] == 0
        assert spans[-1][1] == length
        for (_, end), (start, _) in itertools.pairwise(spans):
            assert end - start >= OVERLAP * tiles[0].view.width - 2


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_a_tile_shows_its_place_of_the_view_whatever_the_rotation(rotation: Rotation) -> None:
    picture = np.random.default_rng(1).integers(0, 255, (720, 1280), np.uint8)
    whole = View(PixelRect(100, 20, 1100, 520), rotation, 1280, 720)
    shown = whole.apply(picture)
    for tile in tiles_of(whole, 1):
        left, top, right, bottom = (int(side) for side in tile.box_xyxy)
        assert (tile.view.apply(picture) == shown[top:bottom, left:right]).all()


def test_somebody_small_is_found_only_in_a_tile() -> None:
    small = np.array([[300, 300, 330, 380]], np.float32)
    assert len(found(view(), small, 0, min_side_px=200)) == 0
    [box] = found(view(), small, 1, min_side_px=200).boxes_xyxy
    assert box.tolist() == small[0].tolist()


people = st.lists(
    st.tuples(st.integers(0, 1200), st.integers(0, 500), st.integers(20, 700)), min_size=1, max_size=6
).map(
    lambda rows: np.array(
        [(x, y, min(1280, x + 0.4 * h), min(720, y + h)) for x, y, h in rows if min(1280, x + 0.4 * h) - x > 12],
        np.float32,
    ).reshape(-1, 4)
)


@settings(deadline=None)
@given(people, st.integers(0, 2))
def test_nobody_is_lost_and_nobody_is_told_in_parts(everybody: Any, rows: int) -> None:
    """People who stand apart: each is one box, wherever the borders of the tiles run."""
    apart = [
        person
        for number, person in enumerate(everybody)
        if not (iou_matrix(person[None], np.delete(everybody, number, axis=0)) > 0).any()
    ]
    truth = np.array(apart, np.float32).reshape(-1, 4)
    boxes = found(view(), truth, rows).boxes_xyxy
    assert len(boxes) == len(truth)
    assert (iou_matrix(truth, boxes).max(axis=1, initial=0.0) > 0.99).all()


def test_somebody_before_somebody_larger_stays_a_person_of_his_own() -> None:
    both = np.array([[400, 50, 680, 700], [560, 300, 700, 700]], np.float32)
    assert len(found(view(), both, 1)) == 2


@pytest.mark.parametrize(("rows", "searches"), [(0, 1), (1, 3), (2, 1 + 6)])
def test_a_stream_searches_bodies_in_the_whole_and_in_its_pieces(rows: int, searches: int) -> None:
    film = Film(stages={"body_tile_rows": rows}, analytics={"mode": 2})
    film.show(body(x=60 + 4 * t) for t in range(20))
    film.pipeline.finish()
    assert film.bodies.calls == 20 * searches
    assert film.stats.tracks_total == 1
    assert film.stats.detections_total == 20, "one box, wherever the borders run"


def test_faces_are_not_searched_in_pieces() -> None:
    film = Film(stages={"body_tile_rows": 1})
    film.show(face() for _ in range(3))
    assert (film.faces.calls, film.bodies.calls) == (3, 0)


@pytest.mark.parametrize(("tiles", "rows"), [("off", 0), ("auto", 1), ("2", 2), ("4", 4)])
def test_the_setting_says_how_many_rows_there_are(tiles: str, rows: int) -> None:
    assert load({"streams_origin": "http://streams:5160", "body_tiles": tiles}, {}).body_tile_rows == rows


@pytest.mark.parametrize("tiles", ["on", "1", "5", "-1"])
def test_other_numbers_of_rows_are_refused(tiles: str) -> None:
    with pytest.raises(StartupError, match="body-tiles"):
        load({"streams_origin": "http://streams:5160", "body_tiles": tiles}, {})
