"""The book of tracks: numbers, merges, ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from luna_processor.tools.tracks import Part, Sighting, TrackBook


def a_sighting(frame: int, *, is_best: bool = False) -> Sighting:
    face = Part(np.array([10.04, 20, 30, 60.06], np.float32), 0.87654)
    return Sighting(frame, frame / 25, datetime(2024, 1, 1, tzinfo=UTC), face, None, is_best)


def see(book: TrackBook, track_id: str, frame: int, *, is_confirmed: bool = True) -> None:
    book.saw(1, track_id, a_sighting(frame), is_confirmed=is_confirmed)


def test_numbers_are_given_in_the_order_of_confirmation() -> None:
    book = TrackBook()
    see(book, "a", 0, is_confirmed=False)
    see(book, "b", 1)
    see(book, "a", 2)
    assert (book.number_of("b"), book.number_of("a"), book.number_of("c")) == (1, 2, None)


def test_a_track_that_was_never_confirmed_is_not_told_of() -> None:
    book = TrackBook()
    see(book, "a", 0, is_confirmed=False)
    assert book.end(1, "a") is None
    see(book, "b", 1, is_confirmed=False)
    see(book, "c", 1)
    assert [track.track_id for track in book.end_all()] == ["c"]
    assert book.end_all() == []


def test_two_tracks_of_one_person_become_one_with_all_sightings_in_order() -> None:
    book = TrackBook()
    see(book, "older", 0)
    see(book, "newer", 1)
    see(book, "older", 2)
    book.add_shot("newer", "shots/1.jpg")
    book.merge(1, "newer", "older")
    track = book.end(1, "older")
    assert track is not None
    assert [sighting.frame for sighting in track.sightings] == [0, 1, 2]
    assert (track.number, track.shots) == (1, ["shots/1.jpg"])
    assert book.end_all() == []


def test_a_face_and_a_body_of_one_frame_become_one_sighting() -> None:
    book = TrackBook()
    face = a_sighting(4)
    book.saw(3, "face", face, is_confirmed=True)
    book.saw(3, "body", replace(face, face=None, body=face.face, is_best_so_far=True), is_confirmed=True)
    book.merge(3, "body", "face")
    (track,) = book.end_all()
    (sighting,) = track.sightings
    assert sighting.face is sighting.body is face.face
    assert sighting.is_best_so_far


def test_a_track_that_swallows_a_lower_number_takes_it() -> None:
    book = TrackBook()
    see(book, "a", 0)
    see(book, "b", 0)
    book.merge(1, "a", "b")
    assert book.number_of("b") == 1


def test_a_merge_with_an_unknown_track_changes_nothing() -> None:
    book = TrackBook()
    see(book, "a", 0)
    book.merge(1, "unknown", "a")
    assert book.number_of("a") == 1


def test_the_same_person_followed_in_two_modes_is_two_tracks_with_the_same_shots() -> None:
    book = TrackBook()
    for mode in (1, 3):
        book.saw(1 if mode == 1 else 3, "a", a_sighting(0), is_confirmed=True)
    book.add_shot("a", "shots/1.jpg")
    assert [(track.mode, track.shots) for track in book.end_all()] == [(1, ["shots/1.jpg"]), (3, ["shots/1.jpg"])]


def test_a_track_as_json_has_rounded_boxes_in_the_form_of_events() -> None:
    book = TrackBook()
    book.saw(1, "a", a_sighting(3, is_best=True), is_confirmed=True)
    (track,) = book.end_all()
    told = track.to_json()
    assert told["first"] == told["last"] == {"frame": 3, "pts_s": 0.12, "time": "2024-01-01T00:00:00.000000Z"}
    assert told["sightings"] == [
        {
            "frame": 3,
            "pts_s": 0.12,
            "face": {"bounding_box": {"x": 10.0, "y": 20.0, "width": 20.0, "height": 40.1}, "score": 0.8765},
            "body": None,
            "is_best_so_far": True,
        }
    ]
