"""What a file says of its own size, piece by piece."""

from __future__ import annotations

from pathlib import Path

import pytest

from luna_processor.sources.completeness import missing_bytes


def box(kind: bytes, size_bytes: int, held_bytes: int | None = None) -> bytes:
    """Return a box of MP4 that says it has a size, and holds that much unless told otherwise."""
    return size_bytes.to_bytes(4) + kind + bytes((size_bytes if held_bytes is None else held_bytes) - 8)


def riff(content_bytes: int, held_bytes: int | None = None) -> bytes:
    held = content_bytes if held_bytes is None else held_bytes
    return b"RIFF" + content_bytes.to_bytes(4, "little") + bytes(held)


def segment(size: bytes, held_bytes: int) -> bytes:
    """Return a Matroska file whose segment says its size in these bytes."""
    return b"\x1aE\xdf\xa3\x84abcd" + b"\xec\x82vo" + b"\x18S\x80g" + size + bytes(held_bytes)


def flv(*tags: int, held_bytes: int) -> bytes:
    """Return tags of video of these sizes, cut off at a length."""
    head = b"FLV\1\1" + (9).to_bytes(4) + bytes(4)
    return (head + b"".join(b"\t" + size.to_bytes(3) + bytes(7 + size + 4) for size in tags))[:held_bytes]


def transport(packet_bytes: int, count: int) -> bytes:
    return (b"G" + bytes(packet_bytes - 1)) * count


HUGE = (1).to_bytes(4) + b"mdat" + (5_000_000_000).to_bytes(8)
CASES = [
    pytest.param("mov,mp4,m4a,3gp,3g2,mj2", box(b"ftyp", 20) + box(b"mdat", 90), 0, id="mp4: whole"),
    pytest.param("mov,mp4,m4a,3gp,3g2,mj2", box(b"ftyp", 20) + box(b"mdat", 90, 70), 20, id="mp4: cut off"),
    pytest.param("mov,mp4,m4a,3gp,3g2,mj2", HUGE + bytes(84), 4_999_999_900, id="mp4: long box, cut off"),
    pytest.param("mov,mp4,m4a,3gp,3g2,mj2", box(b"ftyp", 20) + box(b"mdat", 0, 90), 0, id="mp4: box to the end"),
    pytest.param("mov,mp4,m4a,3gp,3g2,mj2", box(b"mdat", 90) + bytes(100), 0, id="mp4: padded"),
    pytest.param("mov,mp4,m4a,3gp,3g2,mj2", box(b"mdat", 90) + box(b"XXXX", 900, 8), 0, id="mp4: rubbish at the end"),
    pytest.param("matroska,webm", segment(b"\x50\x00", 0x1000), 0, id="mkv: whole"),
    pytest.param("matroska,webm", segment(b"\x50\x00", 0xFFF), 1, id="mkv: cut off"),
    pytest.param("matroska,webm", segment(b"\x01" + b"\xff" * 7, 50), 0, id="mkv: unknown size"),
    pytest.param("matroska,webm", segment(b"\x01" + bytes(6) + b"\x64", 40), 60, id="mkv: long number, cut off"),
    pytest.param("matroska,webm", b"\x1aE\xdf\xa3", 0, id="mkv: nothing but a name"),
    pytest.param("avi", riff(100), 0, id="avi: whole"),
    pytest.param("avi", riff(108, 100), 0, id="avi: head counted in"),
    pytest.param("avi", riff(100) + riff(100, 60), 32, id="avi: second part cut off"),
    pytest.param("avi", riff(0, 60), 0, id="avi: never told"),
    pytest.param("flv", flv(50, 50, held_bytes=200), 0, id="flv: whole"),
    pytest.param("flv", flv(50, 50, held_bytes=100), 39, id="flv: cut off"),
    pytest.param("flv", flv(50, 50, held_bytes=139), 0, id="flv: without the size of the last tag"),
    pytest.param("flv", flv(50, 50, held_bytes=138), 1, id="flv: without the last byte of a picture"),
    pytest.param("mpegts", transport(188, 9), 0, id="ts: whole"),
    pytest.param("mpegts", transport(188, 30) + b"G" + bytes(99), 88, id="ts: cut off"),
    pytest.param("mpegts", bytes(37) + transport(188, 9), 0, id="ts: begins within a packet"),
    pytest.param("mpegts", transport(188, 9) + bytes(100), 0, id="ts: padded"),
    pytest.param("mpegts", bytes(4) + transport(192, 9)[:-4], 0, id="m2ts: whole"),
    pytest.param("mpegts", bytes(4) + transport(192, 9)[:-14], 10, id="m2ts: cut off"),
    pytest.param("mpegts", transport(204, 9), 0, id="ts with error correction: whole"),
    pytest.param("mpegts", bytes(5000), 0, id="ts: nothing to be recognised"),
    pytest.param("mpeg", b"\0\0\1\xba", 0, id="another container"),
]


@pytest.mark.parametrize(("container", "content", "missing"), CASES)
def test_a_file_that_is_shorter_than_its_pieces_is_cut_off(
    container: str, content: bytes, missing: int, tmp_path: Path
) -> None:
    path = tmp_path / "clip"
    path.write_bytes(content)
    assert missing_bytes(path, container) == missing


def test_a_file_that_is_gone_is_not_said_to_be_cut_off(tmp_path: Path) -> None:
    assert missing_bytes(tmp_path / "none", "avi") == 0
