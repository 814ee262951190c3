"""Names of tracks and events."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from luna_processor.delivery.event_codec import UnreadableEvent, decode, encode
from luna_processor.delivery.formats.requests import request_of
from luna_processor.delivery.identity import DerivedIdentities, Identities, RandomIdentities
from luna_processor.vision.headpose import HeadPose
from luna_streams.policies import GeoPosition, Location
from support.processor_builders import a_body, a_shot, a_target, an_event

NOW = datetime(2024, 4, 5, tzinfo=UTC)
REQUEST_ID = re.compile(r"[0-9]{10},[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}")
"""As the API document has it."""


def names(identities: Identities) -> list[str]:
    """Return the names of what two frames with three tracks bring."""
    found = []
    for frame, count in ((3, 2), (7, 1)):
        identities.begin_frame(frame)
        found += [identities.track_id() for _ in range(count)]
    for analytics in (0, 1):
        for kind in ("face", "body"):
            found += [identities.request_id(analytics, found[0], kind) for _ in range(2)]
    return found


def a_run(run: str = "stream 1 0") -> DerivedIdentities:
    return DerivedIdentities(run, NOW)


def test_a_repeated_run_gives_the_same_names_and_none_twice() -> None:
    first = names(a_run())
    assert names(a_run()) == first
    assert len(set(first)) == len(first)


@pytest.mark.parametrize("other", ["other 1 0", "stream 2 0", "stream 1 1"], ids=["stream", "version", "next run"])
def test_another_run_shares_no_name(other: str) -> None:
    assert not set(names(a_run())) & set(names(a_run(other)))


def test_a_track_keeps_its_name_when_another_one_was_seen_before_it_in_one_run_only() -> None:
    with_another, without = a_run(), a_run()
    with_another.begin_frame(1)
    with_another.track_id()
    for identities in (with_another, without):
        identities.begin_frame(2)
    assert with_another.track_id() == without.track_id()


@pytest.mark.parametrize(
    "identities", [a_run(), RandomIdentities(), DerivedIdentities("x", datetime.fromtimestamp(5, UTC))]
)
def test_request_ids_have_the_documented_form(identities: Identities) -> None:
    assert REQUEST_ID.fullmatch(identities.request_id(0, identities.track_id(), "face"))


def test_live_sources_never_have_a_name_twice() -> None:
    assert not set(names(RandomIdentities())) & set(names(RandomIdentities()))


def test_an_event_is_the_same_after_it_was_stored_down_to_its_request() -> None:
    face = a_shot(frame_jpeg=b"frame", pts_s=3.68, detected_at=NOW)
    assert face.face is not None
    assert isinstance(face.face.pose, HeadPose)
    event = an_event(
        version=2**31 - 1,
        source="Straße 1, \N{CAMERA}",
        location=Location(city="Zürich", geo_position=GeoPosition(longitude=8.5, latitude=47.3)),
        target=a_target(token="secret", frame_store="http://store/1/buckets/b/images"),
        shots=(face, a_shot(body=a_body()), a_shot(face=None, body=a_body())),
    )
    again = decode(encode(event))
    assert request_of(again, (None, "http://store/2", None)) == request_of(event, (None, "http://store/2", None))
    assert (again.target.token, again.shots[0].frame_jpeg, again.version) == ("secret", b"frame", 2**31 - 1)


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x02" + encode(an_event())[1:], encode(an_event())[:-5], b"\x01\x90"])
def test_what_is_no_event_is_refused_without_its_content(data: bytes) -> None:
    with pytest.raises(UnreadableEvent, match=r"written by another version|not an event"):
        decode(data)


def test_fields_that_a_later_version_takes_away_are_passed_over() -> None:
    data = encode(an_event())
    assert data[1] == 0x88, "a map of eight fields"
    with_another = data[:1] + b"\x89" + data[2:] + b"\xa5other\x01"
    assert decode(with_another).request_id == decode(data).request_id
