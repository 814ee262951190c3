from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luna_local.kubelet.errors import NoSuchLog
from luna_local.kubelet.logreading import LogOptions, find_run, read_log
from luna_local.kubelet.logs import (
    MAX_LINE_BYTES,
    Line,
    LogFile,
    copy_outputs,
    forget_old_runs,
    log_path,
    rotated_path,
    split_lines,
)


def never() -> bool:
    return False


async def text_of(path: Path, options: LogOptions | None = None, is_running: Callable[[], bool] = never) -> bytes:
    return b"".join([chunk async for chunk in read_log(path, options or LogOptions(), is_running)])


def a_log(path: Path, *texts: bytes, max_bytes: int = 1000) -> Path:
    log = LogFile(path, max_bytes)
    for text in texts:
        log.append("stdout", [Line(text)])
    log.close()
    return path


async def test_lines_are_stored_with_time_stream_and_tag(tmp_path: Path) -> None:
    path = a_log(tmp_path / "0.log", b"hello world")
    stamp, stream, tag, text = path.read_bytes().rstrip(b"\n").split(b" ", 3)
    assert (stream, tag, text) == (b"stdout", b"F", b"hello world")
    assert abs(datetime.now(UTC) - datetime.fromisoformat(stamp.decode())) < timedelta(seconds=10)


async def test_reading_gives_back_what_was_written(tmp_path: Path) -> None:
    path = a_log(tmp_path / "0.log", b"one", b"", b"three")
    assert await text_of(path) == b"one\n\nthree\n"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (LogOptions(tail_lines=2), b"two\nthree\n"),
        (LogOptions(tail_lines=0), b""),
        (LogOptions(tail_lines=9), b"one\ntwo\nthree\n"),
        (LogOptions(since=datetime.now(UTC) + timedelta(hours=1)), b""),
        (LogOptions(since=datetime.now(UTC) - timedelta(hours=1)), b"one\ntwo\nthree\n"),
    ],
)
async def test_options_choose_a_part(tmp_path: Path, options: LogOptions, expected: bytes) -> None:
    path = a_log(tmp_path / "0.log", b"one", b"two", b"three")
    assert await text_of(path, options) == expected


async def test_timestamps_are_shown_on_request(tmp_path: Path) -> None:
    path = a_log(tmp_path / "0.log", b"one")
    stamp, text = (await text_of(path, LogOptions(timestamps=True))).split(b" ", 1)
    assert text == b"one\n"
    assert stamp.endswith(b"Z")


async def test_a_rotated_log_is_bounded_and_read_as_one(tmp_path: Path) -> None:
    path = a_log(tmp_path / "0.log", *(b"line %03d" % number for number in range(40)), max_bytes=500)
    lines = (await text_of(path)).splitlines()
    assert path.stat().st_size <= 500
    assert rotated_path(path).stat().st_size <= 500
    assert lines == [b"line %03d" % number for number in range(40 - len(lines), 40)]


async def test_following_sees_every_line_over_a_rotation_and_ends_with_the_container(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    log = LogFile(path, max_bytes=400)
    running = True

    async def write() -> None:
        nonlocal running
        for number in range(20):
            log.append("stderr", [Line(b"line %03d" % number)])
            await asyncio.sleep(0.02)
        running = False

    writing = asyncio.create_task(write())
    text = await text_of(path, LogOptions(follow=True), lambda: running)
    await writing
    log.close()
    assert text.splitlines() == [b"line %03d" % number for number in range(20)]


@given(st.lists(st.binary(max_size=40)), st.integers(1, 50))
def test_no_byte_is_lost_however_output_is_cut(texts: list[bytes], size: int) -> None:
    data, lines, pending = b"\n".join(texts), list[Line](), b""
    for start in range(0, len(data), size):
        found, pending = split_lines(pending + data[start : start + size])
        lines += found
    assert b"".join(line.text + b"\n" for line in lines) + pending == data


def test_a_long_line_is_cut_into_parts() -> None:
    lines, rest = split_lines(b"x" * (2 * MAX_LINE_BYTES + 5) + b"\ny")
    assert [(len(line.text), line.is_complete) for line in lines] == [
        (MAX_LINE_BYTES, False),
        (MAX_LINE_BYTES, False),
        (5, True),
    ]
    assert rest == b"y"


async def test_a_line_without_end_is_never_kept_in_memory_and_reads_as_one(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    other_reading, other_writing = os.pipe()
    os.close(other_writing)
    log = LogFile(tmp_path / "0.log")
    copying = asyncio.create_task(copy_outputs((os.fdopen(reading, "rb"), os.fdopen(other_reading, "rb")), log))
    await asyncio.to_thread(os.write, writing, b"x" * 40_000)
    os.close(writing)
    await copying
    assert await text_of(tmp_path / "0.log") == b"x" * 40_000 + b"\n"


def test_a_full_disk_loses_lines_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    log = LogFile(Path("/dev/full"))
    log.append("stdout", [Line(b"one"), Line(b"two")])
    log.close()
    assert "lines of /dev/full are lost: No space left on device" in caplog.text


def test_a_file_that_cannot_be_begun_anew_loses_lines_until_it_can(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    log = LogFile(folder / "0.log", max_bytes=1000)
    log.append("stdout", [Line(b"x" * 800)])
    moved = folder.rename(tmp_path / "elsewhere")
    log.append("stdout", [Line(b"y" * 800)])  # no folder, no new file
    log.append("stdout", [Line(b"short")])
    moved.rename(folder)
    log.append("stdout", [Line(b"z" * 800)])
    log.close()
    assert b"short" in rotated_path(folder / "0.log").read_bytes()
    assert b"z" * 800 in (folder / "0.log").read_bytes()


def test_the_last_two_runs_are_kept(tmp_path: Path) -> None:
    for run in range(12):
        a_log(log_path(tmp_path, "main", run), b"x")
    forget_old_runs(tmp_path, "main")
    assert find_run(tmp_path, "main", previous=False).number == 11
    assert find_run(tmp_path, "main", previous=True).number == 10
    assert len(list((tmp_path / "main").iterdir())) == 2


def test_a_missing_log_is_told(tmp_path: Path) -> None:
    with pytest.raises(NoSuchLog, match="is waiting to start"):
        find_run(tmp_path, "main", previous=False)
    a_log(log_path(tmp_path, "main", 0), b"x")
    with pytest.raises(NoSuchLog, match="previous terminated container"):
        find_run(tmp_path, "main", previous=True)
