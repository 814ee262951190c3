"""From a source, flags and a file to a stream: every form a person may have, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from luna_processor.errors import StartupError
from luna_processor.tools.recipe import Wishes, read_document, region, shown, source_type, to_stream
from luna_streams.policies import RoiPercent
from support.repository import ROOT

EXAMPLES = sorted((ROOT / "crds" / "examples").glob("*.yaml"))
REST = {
    "account_id": "6d071cca-fda5-4a03-84d5-5bea65904480",
    "name": "gate",
    "status": "pause",
    "group_name": "doors",
    "data": {
        "type": "tcp",
        "reference": "rtsp://user:secret@camera/live",
        "endless": False,
        "analytics": [
            {
                "mode": 2,
                "filtering": {"min_score_body": 0.7},
                "event_handler": {
                    "type": "luna_handler",
                    "handler_id": "557d54ec-29ad-4f3c-93b4-c9092ef12515",
                    "frame_store": None,
                    "authorization": {"token": "abc"},
                },
            }
        ],
    },
}


@pytest.mark.parametrize(
    ("reference", "transport", "mask", "expected"),
    [
        pytest.param("clip.mp4", None, None, "videofile", id="file"),
        pytest.param("pictures", None, "%05d.jpg", "images", id="folder"),
        pytest.param("rtsp://camera/live", None, None, "tcp", id="camera"),
        pytest.param("rtsp://camera/live", "udp", None, "udp", id="camera by UDP"),
        pytest.param("UDP://239.0.0.1:5000", None, None, "udp", id="datagrams"),
        pytest.param("https://host/live.m3u8", None, None, "tcp", id="HLS"),
        pytest.param("/dev/video0", None, None, "tcp", id="camera at this host"),
    ],
)
def test_the_type_of_a_stream_follows_from_its_source(
    reference: str, transport: Any, mask: str | None, expected: str
) -> None:
    assert source_type(reference, transport, mask) == expected


def test_a_source_alone_is_enough() -> None:
    spec = to_stream({}, Wishes(source="clip.mp4")).submission.spec
    assert (spec.data.type, spec.data.reference, len(spec.data.analytics)) == ("videofile", "clip.mp4", 1)
    assert (spec.data.analytics[0].mode, spec.data.preferred_program_stream_frame_width) == (3, 800)


@pytest.mark.parametrize("form", ["body", "data"])
def test_a_body_of_rest_v2_or_its_data_says_what_is_looked_for(form: str) -> None:
    stream = to_stream(REST if form == "body" else REST["data"], Wishes())  # type: ignore[arg-type]
    data = stream.submission.spec.data
    assert (data.type, data.endless, data.reference) == ("tcp", False, "rtsp://camera/live")
    assert stream.submission.reference == "rtsp://user:secret@camera/live"
    assert (data.analytics[0].mode, data.analytics[0].filtering.min_score_body) == (2, 0.7)
    assert stream.submission.spec.display_name == ("gate" if form == "body" else "")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_of_a_manifest_can_be_analysed(path: Path) -> None:
    for document in yaml.safe_load_all(path.read_text()):
        if document["kind"] == "Stream":
            data = to_stream(document, Wishes(source="clip.mp4")).submission.spec.data
            assert (data.type, data.reference) == ("videofile", "clip.mp4")
            assert len(data.analytics) == len(document["spec"]["data"]["analytics"])


def test_flags_go_before_the_file() -> None:
    wishes = Wishes(source="clip.mp4", mode="faces", roi="0,50,100,50%", droi="1,2,3,4", rotation=90, preferred_width=1)
    data = to_stream(REST, wishes).submission.spec.data
    assert (data.type, data.reference, data.endless, data.rotation) == ("videofile", "clip.mp4", None, 90)
    assert data.preferred_program_stream_frame_width == 1
    assert isinstance(data.roi, RoiPercent)
    assert (data.analytics[0].mode, data.analytics[0].droi.width) == (1, 3)


@pytest.mark.parametrize(
    ("document", "wishes", "words"),
    [
        pytest.param({}, Wishes(), "no source", id="nothing"),
        pytest.param({}, Wishes(source="concat:a|b"), "unknown scheme", id="scheme"),
        pytest.param({"kind": "Pod"}, Wishes(source="a"), "not one of a Stream", id="another kind"),
        pytest.param({"policies": {}, "data": {}}, Wishes(source="a"), "REST v1", id="v1"),
        pytest.param({"analytcs": []}, Wishes(source="a"), "data.analytcs", id="misspelt"),
        pytest.param({"analytics": [{"mode": 7}]}, Wishes(source="a"), "data.analytics.0.mode", id="mode"),
        pytest.param({"analytics": ["x"]}, Wishes(source="a"), "list of mappings", id="analytics of words"),
        pytest.param({"data": 5}, Wishes(source="a"), "data", id="data that is a number"),
        pytest.param({}, Wishes(source="a", roi="1,2,3"), "--roi", id="roi"),
        pytest.param({}, Wishes(source="a", droi="1,2,3,-4"), "--droi", id="negative"),
        pytest.param(
            {"referenceFrom": {"name": "s", "key": "k"}, "reference": "rtsp://h/x"}, Wishes(), "Secret", id="s"
        ),
    ],
)
def test_what_is_no_stream_is_refused_in_one_line(document: dict[str, Any], wishes: Wishes, words: str) -> None:
    with pytest.raises(StartupError) as refused:
        to_stream(document, wishes)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "- 1", "a: [", "plain", "\x00", "1: 2", "a: 2024-13-45", "a: 0b_"])
def test_a_file_that_holds_no_stream_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "stream.yaml"
    path.write_text(text)
    with pytest.raises(StartupError) as refused:
        read_document(path)
    assert "\n" not in str(refused.value)


def test_json_is_understood_as_well_and_a_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "stream.json"
    path.write_text('{"data": {"reference": "clip.mp4"}}')
    assert to_stream(read_document(path), Wishes()).submission.spec.data.reference == "clip.mp4"
    with pytest.raises(StartupError, match=r"missing\.yaml cannot be read: No such file"):
        read_document(tmp_path / "missing.yaml")


def test_regions_are_pixels_or_percent() -> None:
    assert region("1, 2,3,4", "--roi") == {"mode": "abs", "x": 1, "y": 2, "width": 3, "height": 4}
    assert region("0,50.5,100,49.5%", "--roi")["mode"] == "percent"


def test_a_reference_for_people_has_no_password() -> None:
    assert shown("rtsp://user:secret@camera/live?token=abc") == "rtsp://camera/live?token=***"
