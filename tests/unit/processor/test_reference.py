"""Nothing but cameras and recordings is opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from luna_processor.errors import SourceFailed, UnsuitableStream
from luna_processor.sources.reference import opening


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip 1.mp4"
    path.write_bytes(b"x")
    return path


def test_a_file_is_opened_as_a_file_and_nothing_else(clip: Path) -> None:
    found = opening("videofile", str(clip), str(clip))
    assert found.url == f"file:{clip}"
    assert not found.is_live
    assert found.options["protocol_whitelist"] == "file"
    assert "hls" not in found.options["format_whitelist"]
    assert "concat" not in found.options["format_whitelist"]


@pytest.mark.parametrize("reference", ["rtsp://cam/1", "rtsps://cam/1", "http://cam/1.m3u8", "HTTPS://cam/x"])
def test_known_schemes_are_read(reference: Any) -> None:
    found = opening("tcp", reference, reference)
    assert found.is_live
    assert "file" not in found.options["protocol_whitelist"].split(",")


def test_rtsp_runs_over_tcp() -> None:
    assert opening("tcp", "rtsp://cam/1", "rtsp://cam/1").options["rtsp_transport"] == "tcp"


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
    with pytest.raises(UnsuitableStream, match="rtsp, rtsps, http or https"):
        opening("tcp", reference, reference)


@pytest.mark.parametrize("reference", ["http://host/clip.mp4", "concat:a.mp4|b.mp4", "file:///tmp/clip.mp4", "pipe:0"])
def test_video_files_are_given_by_their_path(reference: Any) -> None:
    with pytest.raises(UnsuitableStream, match="by its path"):
        opening("videofile", reference, reference)


def test_a_missing_file_and_a_directory_are_named(tmp_path: Path) -> None:
    missing = str(tmp_path / "no.mp4")
    with pytest.raises(SourceFailed, match=r"no\.mp4' cannot be opened: No such file or directory"):
        opening("videofile", missing, missing)
    with pytest.raises(SourceFailed, match="is a directory"):
        opening("videofile", str(tmp_path), str(tmp_path))
    with pytest.raises(SourceFailed, match="not a regular file"):
        opening("videofile", "/dev/zero", "/dev/zero")


def test_passwords_show_neither_in_texts_nor_in_reprs() -> None:
    found = opening("tcp", "rtsp://user:secret@cam/1", "rtsp://cam/1")
    assert "secret" not in repr(found)
    with pytest.raises(UnsuitableStream) as refusal:
        opening("tcp", "ftp://user:secret@cam/1", "ftp://cam/1")
    assert "secret" not in str(refusal.value)
