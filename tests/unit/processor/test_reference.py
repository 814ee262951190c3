"""Nothing but cameras and recordings is opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest

from luna_processor.errors import SourceFailed, UnsuitableStream
from luna_processor.sources.reference import Opening, check_camera
from luna_processor.sources.reference import opening as opening_of
from luna_streams.references import SCHEMES, TRANSPORT_SCHEMES
from luna_streams.stream import SourceType
from support.sources import a_source_plan


def opening(kind: SourceType, reference: str) -> Opening:
    return opening_of(a_source_plan(kind, reference))


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip 1.mp4"
    path.write_bytes(b"x")
    return path


def test_a_file_is_opened_as_a_file_and_nothing_else(clip: Path) -> None:
    found = opening("videofile", str(clip))
    assert found.url == f"file:{clip}"
    assert not found.is_live
    assert found.options["protocol_whitelist"] == "file"
    assert "hls" not in found.options["format_whitelist"]
    assert "concat" not in found.options["format_whitelist"]


@pytest.mark.parametrize("reference", ["rtsp://cam/1", "rtsps://cam/1", "http://cam/1.m3u8", "HTTPS://cam/x"])
def test_known_schemes_are_read(reference: Any) -> None:
    found = opening("tcp", reference)
    assert found.is_live
    assert "file" not in found.options["protocol_whitelist"].split(",")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_whatever_may_be_declared_is_read(scheme: str) -> None:
    kinds = [kind for kind in get_args(SourceType) if scheme in TRANSPORT_SCHEMES.get(kind, ())]
    assert kinds
    for kind in kinds:
        assert opening(kind, f"{scheme}://127.0.0.1:5000").is_live


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_rtsp_runs_over_the_transport_that_the_stream_names(transport: Any) -> None:
    assert opening(transport, "rtsp://cam/1").options["rtsp_transport"] == transport


@pytest.mark.parametrize("address", ["udp://239.1.2.3:5000", "UDP://127.0.0.1:5000?localaddr=10.0.0.1&reuse=1"])
def test_datagrams_are_for_type_udp(address: str) -> None:
    assert opening("udp", address).is_live
    with pytest.raises(UnsuitableStream, match=r"needs type udp"):
        opening("tcp", address)


@pytest.mark.parametrize("address", ["http://cam/1", "https://cam/1.m3u8", "rtsps://cam/1"])
def test_what_runs_over_tcp_is_for_type_tcp(address: str) -> None:
    with pytest.raises(UnsuitableStream, match=r"needs type tcp"):
        opening("udp", address)


@pytest.mark.parametrize(
    ("address", "text"),
    [
        pytest.param("udp://239.1.2.3", "no port", id="no port"),
        pytest.param("udp://239.1.2.3:x", "no port", id="port that is none"),
        pytest.param("udp://:5000?fifo_size=100000000", "option 'fifo_size'", id="memory without bound"),
        pytest.param("udp://:5000?reuse=1&pkt_size=9", "option 'pkt_size'", id="second option"),
        pytest.param("udp://:5000?reuse=1#&fifo_size=9", "has a '#'", id="option behind the end of the query"),
        pytest.param("udp://:5000#?fifo_size=9", "has a '#'", id="query that Python takes for none"),
    ],
)
def test_what_datagrams_cannot_be_asked_for_is_said(address: str, text: str) -> None:
    with pytest.raises(UnsuitableStream, match=text):
        opening("udp", address)


@pytest.mark.parametrize("kind", ["tcp", "udp"])
@pytest.mark.parametrize("camera", ["/dev/video987", "987", "/dev/v4l/by-id/usb-Cam-index0"])
def test_a_camera_that_is_not_there_is_named(kind: Any, camera: str) -> None:
    with pytest.raises(SourceFailed, match=r"camera '/dev/v.*' cannot be opened: No such file or directory"):
        opening(kind, camera)


@pytest.mark.parametrize("path", ["/dev/null", "/dev/video0/../sda", "/dev/video", "/dev/v4l/by-id/../../sda", "/dev/"])
def test_other_devices_are_no_cameras(path: str) -> None:
    with pytest.raises(UnsuitableStream, match="not the name of a camera"):
        opening("tcp", path)


@pytest.mark.parametrize("path", ["/dev/null", "/etc/passwd"])
def test_what_is_named_like_a_camera_and_is_none_is_noticed(path: str) -> None:
    with pytest.raises(SourceFailed, match="is not a camera"):
        check_camera(Path(path))


@pytest.mark.parametrize(
    "reference",
    [
        "file:///etc/passwd",
        "concat:a|b",
        "subfile,,start,0,end,9,,:/etc/passwd",
        "/etc/passwd",
        "exec:ls",
        "ftp://h/x",
        "",
        "data:video/mp4;base64,AAAA",
        "lavfi:testsrc",
        "pipe:0",
    ],
)
def test_network_streams_open_no_local_files_and_no_tricks(reference: Any) -> None:
    with pytest.raises(UnsuitableStream, match="rtsp, rtsps, http or https, or a camera /dev/videoN, not"):
        opening("tcp", reference)


@pytest.mark.parametrize("reference", ["http://host/clip.mp4", "concat:a.mp4|b.mp4", "file:///tmp/clip.mp4", "pipe:0"])
def test_video_files_are_given_by_their_path(reference: Any) -> None:
    with pytest.raises(UnsuitableStream, match="by its path"):
        opening("videofile", reference)


def test_a_missing_file_and_a_directory_are_named(tmp_path: Path) -> None:
    missing = str(tmp_path / "no.mp4")
    with pytest.raises(SourceFailed, match=r"no\.mp4' cannot be opened: No such file or directory"):
        opening("videofile", missing)
    with pytest.raises(SourceFailed, match=r"is a directory; .* type images"):
        opening("videofile", str(tmp_path))
    with pytest.raises(SourceFailed, match="not a regular file"):
        opening("videofile", "/dev/zero")


def test_passwords_show_neither_in_texts_nor_in_reprs() -> None:
    found = opening("tcp", "rtsp://user:secret@cam/1")
    assert "secret" not in repr(found)
    with pytest.raises(UnsuitableStream) as refusal:
        opening("tcp", "ftp://user:secret@cam/1")
    assert "secret" not in str(refusal.value)
