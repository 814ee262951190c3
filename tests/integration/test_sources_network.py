"""Sources over the network as FFmpeg reads them: MJPEG, HLS, MPEG-TS in datagrams; and what must not be reached."""

from __future__ import annotations

import io
import os
import re
import socket
import threading
import time
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from luna_processor.errors import SourceFailed, UnsuitableSource
from luna_processor.frames import Frame, Source
from luna_processor.sources import packets
from luna_processor.sources.adapters import open_source
from luna_processor.sources.memory import MAX_BLOCK_BYTES
from luna_streams.stream import SourceType
from support.cameras import needs_gstreamer, rtsp_server
from support.datagrams import datagrams, free_udp_port
from support.media import plain_pictures, write_clip
from support.media_server import Script, content, endless, media_server, parts, redirect, slowly, then
from support.sources import a_source_plan
from support.waiting import eventually_blocking

MULTIPART = "multipart/x-mixed-replace; boundary=frame"
HLS = "application/vnd.apple.mpegurl"
SECONDS = 2


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Transport streams of two seconds, by what is in them."""
    folder = tmp_path_factory.mktemp("clips")

    def clip(name: str, width: int = 320, codec: str = "libx264") -> bytes:
        pictures = plain_pictures(SECONDS * 25, width, 240)
        return write_clip(folder / f"{name}.ts", pictures, codec=codec, g="10").read_bytes()

    return {
        "320": clip("320"),
        "640": clip("640", 640),
        "1280": clip("1280", 1280),
        "mpeg2": clip("m", 320, "mpeg2video"),
    }


@pytest.fixture(scope="module")
def jpegs() -> list[bytes]:
    found = []
    for picture in plain_pictures(10, 320, 240):
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "JPEG")
        found.append(buffer.getvalue())
    return found


def read(reference: str, count: int = 1000, kind: SourceType = "tcp", **changes: Any) -> tuple[Source, list[Frame]]:
    """Read up to `count` frames of a source, or all."""
    source = open_source(a_source_plan(kind, reference, **changes))
    try:
        return source, list(islice(source.frames(), count))
    finally:
        source.close()


def playlist(segment: str, tags: str = "") -> Script:
    return content(f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n{tags}#EXTINF:2,\n{segment}\n#EXT-X-ENDLIST\n".encode(), HLS)


@pytest.mark.parametrize("form", ["parts with a length", "parts without", "bare"])
def test_mjpeg_is_timed_by_the_clock_on_the_wall(form: str, jpegs: list[bytes]) -> None:
    chunks = jpegs if form == "bare" else parts(jpegs, with_length=form == "parts with a length")
    content_type = "video/x-motion-jpeg" if form == "bare" else MULTIPART
    with media_server({"/cam": endless(chunks, content_type, pause_s=0.06)}) as server:
        source, frames = read(f"{server.origin}/cam", 36)
    assert (source.info.codec, source.info.width, source.info.height) == ("mjpeg", 320, 240)
    assert frames[-1].pts_s - frames[-6].pts_s > 0.25, "five pauses of 60 ms, not five frames of a film"
    assert frames[0].rgb().shape == (240, 320, 3)


@pytest.mark.parametrize("wrong_by", [-2000, -10, 10, 3000, 10**9], ids=["half", "less", "more", "next", "endless"])
def test_parts_that_are_not_as_long_as_they_say_are_read_by_the_marks_of_jpeg(
    wrong_by: int, jpegs: list[bytes]
) -> None:
    chunks = parts(jpegs, wrong_by=wrong_by)
    with media_server({"/cam": endless(chunks, MULTIPART, pause_s=0.02)}) as server:
        _, frames = read(f"{server.origin}/cam", 20, timeout_s=3.0, thread_count=2)
        assert len(server.paths) == 2
    assert len(frames) == 20
    whole = [np.asarray(Image.open(io.BytesIO(jpeg)).convert("L"), int) for jpeg in jpegs]
    for frame in frames[3:]:
        assert min(np.abs(frame.luma().astype(int) - picture).mean() for picture in whole) < 3


@pytest.mark.parametrize(("preferred", "width"), [(300, 320), (800, 640), (5000, 1280)])
def test_of_the_variants_of_hls_only_the_nearest_is_fetched(
    preferred: int, width: int, clips: dict[str, bytes]
) -> None:
    widths = (1280, 320, 640)
    scripts: dict[str, Script] = {
        f"/{size}_{number}.ts": content(clips[str(size)], "video/mp2t") for size in widths for number in range(6)
    }
    for size in widths:
        segments = "".join(f"#EXT-X-DISCONTINUITY\n#EXTINF:2,\n{size}_{number}.ts\n" for number in range(6))
        scripts[f"/{size}.m3u8"] = content(
            f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n{segments}#EXT-X-ENDLIST\n".encode(), HLS
        )
    master = "".join(f"#EXT-X-STREAM-INF:BANDWIDTH={size}000,RESOLUTION={size}x240\n{size}.m3u8\n" for size in widths)
    scripts["/cam.m3u8"] = content(f"#EXTM3U\n{master}".encode(), HLS)
    with media_server(scripts) as server:
        source, frames = read(f"{server.origin}/cam.m3u8", preferred_width=preferred, is_endless=False)
    assert len(frames) == 6 * SECONDS * 25
    assert {frame.width for frame in frames} == {width}
    assert [variant.width for variant in source.info.variants] == list(widths)
    assert source.info.bit_rate == width * 1000, "as the playlist of variants says"
    others = {path for path in server.paths if re.fullmatch(r"/\d+_[2-5]\.ts", path) and f"/{width}_" not in path}
    assert others == set(), "their first segments tell what is in them; no more is fetched"


def test_of_several_videos_in_a_transport_stream_the_nearest_is_read(tmp_path: Path) -> None:
    path = tmp_path / "programs.ts"
    with av.open(str(path), "w") as container:
        streams = {width: container.add_stream("libx264", rate=25) for width in (640, 320)}
        for width, stream in streams.items():
            stream.width, stream.height, stream.pix_fmt = width, 240, "yuv420p"
        for pair in zip(*(plain_pictures(25, width, 240) for width in streams), strict=True):
            for stream, picture in zip(streams.values(), pair, strict=True):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        for stream in streams.values():
            container.mux(stream.encode())
    with media_server({"/cam.ts": content(path.read_bytes(), "video/mp2t")}) as server:
        for preferred, width in ((100, 320), (2000, 640)):
            _, frames = read(f"{server.origin}/cam.ts", preferred_width=preferred)
            assert [frame.width for frame in frames] == [width] * 25
    _, frames = read(str(path), kind="videofile", preferred_width=100)
    assert frames[0].width == 640, "the width is for tcp and udp; of a file, the first is read"


@pytest.mark.parametrize("host", ["127.0.0.1", "239.255.12.7"], ids=["unicast", "multicast"])
def test_datagrams_are_read_and_their_end_is_noticed(host: str, clips: dict[str, bytes]) -> None:
    port = free_udp_port()
    query = "?localaddr=127.0.0.1" if host.startswith("239") else ""
    with datagrams(clips["320"], host, port, duration_s=1.0) as stop:
        source = open_source(a_source_plan("udp", f"udp://{host}:{port}{query}", timeout_s=8.0))
        frames = source.frames()
        got = list(islice(frames, 40))
        assert (source.info.container, got[-1].width) == ("mpegts", 320)
        stop.set()
    source.close()


def test_datagrams_of_few_frames_are_read_on_although_the_timeout_is_short(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "slow.ts", plain_pictures(15), fps=5, g="5", bf="0").read_bytes()
    port = free_udp_port()
    with datagrams(clip, "127.0.0.1", port, duration_s=3.0):
        _, frames = read(f"udp://127.0.0.1:{port}", 18, kind="udp", timeout_s=2.5)
    assert len(frames) == 18


def test_datagrams_that_nobody_sends_are_waited_for_no_longer_than_asked() -> None:
    began_s = time.monotonic()
    with pytest.raises(SourceFailed, match=r"cannot be opened: no answer within 0\.5 s"):
        read(f"udp://127.0.0.1:{free_udp_port()}", kind="udp", timeout_s=0.5)
    assert time.monotonic() - began_s < 30


def test_a_stream_that_is_entered_inside_a_gop_begins_with_its_next_whole_picture(clips: dict[str, bytes]) -> None:
    whole = clips["320"]
    middle = len(whole) // 188 // 3 * 188
    with media_server({"/cam": content(whole[middle:] + whole, "video/mp2t")}) as server:
        _, frames = read(f"{server.origin}/cam")
    assert SECONDS * 25 < len(frames) < 2 * SECONDS * 25
    assert not any(frame.is_damaged for frame in frames)
    assert (frames[0].number, frames[0].pts_s) == (0, 0.0)
    times = [frame.pts_s for frame in frames]
    assert times == sorted(times)


def test_a_count_that_begins_anew_takes_no_time_back(clips: dict[str, bytes]) -> None:
    with media_server({"/cam": content(clips["320"] * 2, "video/mp2t")}) as server:
        _, frames = read(f"{server.origin}/cam")
    steps = [later.pts_s - earlier.pts_s for earlier, later in pairwise(frames)]
    assert min(steps) >= 0
    assert frames[-1].pts_s > frames[0].pts_s + SECONDS - 0.2


def test_a_changed_size_ends_the_stream_with_the_documented_words(clips: dict[str, bytes]) -> None:
    changed = r"^frame size is changed from 320x240 to 640x240$"
    scripts = {"/cam": content(clips["320"] + clips["640"], "video/mp2t")}
    with media_server(scripts) as server, pytest.raises(UnsuitableSource, match=changed):
        read(f"{server.origin}/cam")


def test_a_changed_codec_is_said_and_is_no_changed_size(clips: dict[str, bytes]) -> None:
    scripts = {"/cam": content(clips["320"] + clips["mpeg2"] * 4, "video/mp2t")}
    with media_server(scripts) as server, pytest.raises(SourceFailed, match="any more, its codec may have changed"):
        read(f"{server.origin}/cam")


@pytest.mark.parametrize("part", [0.5, 1.0], ids=["half", "whole"])
def test_a_file_that_is_sent_is_compared_with_the_length_it_declares(part: float, tmp_path: Path) -> None:
    data = write_clip(tmp_path / "clip.mkv", plain_pictures(150), g="25").read_bytes()
    with media_server({"/clip.mkv": content(data[: round(len(data) * part)])}) as server:
        if part == 1.0:
            assert len(read(f"{server.origin}/clip.mkv", is_endless=False)[1]) == 150
        else:
            with pytest.raises(SourceFailed, match=r"clip\.mkv is truncated: [23]\.\d s of 6\.0 s could be read"):
                read(f"{server.origin}/clip.mkv", is_endless=False)


def test_a_password_is_in_no_error() -> None:
    with media_server({"/cam": content(b"no", "text/plain", status=401)}) as server:
        reference = server.origin.replace("://", "://user:hunter2@") + "/cam"
        with pytest.raises(SourceFailed, match="401 Unauthorized") as refusal:
            read(reference)
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize(
    "trick",
    [
        "segment file://",
        "segment file:",
        "segment path",
        "segment concat",
        "segment subfile",
        "segment redirect",
        "key file",
        "map file",
        "redirect file",
        "redirect concat",
    ],
)
def test_nothing_on_the_network_leads_to_a_local_file(trick: str, tmp_path: Path, clips: dict[str, bytes]) -> None:
    secret = tmp_path / "secret.ts"
    secret.write_bytes(clips["320"])
    scripts: dict[str, Script] = {
        "/clip.ts": content(clips["320"], "video/mp2t"),
        "/moved.ts": redirect(f"file://{secret}"),
    }
    scripts["/cam.m3u8"] = {
        "segment file://": playlist(f"file://{secret}"),
        "segment file:": playlist(f"file:{secret}"),
        "segment path": playlist(str(secret)),
        "segment concat": playlist(f"concat:{secret}|{secret}"),
        "segment subfile": playlist(f"subfile,,start,0,end,0,,:{secret}"),
        "segment redirect": playlist("moved.ts"),
        "key file": playlist("clip.ts", f'#EXT-X-KEY:METHOD=AES-128,URI="file://{secret}"\n'),
        "map file": playlist("clip.ts", f'#EXT-X-MAP:URI="file://{secret}"\n'),
        "redirect file": redirect(f"file://{secret}"),
        "redirect concat": redirect(f"concat:{secret}"),
    }[trick]
    with media_server(scripts) as server, pytest.raises(SourceFailed):
        read(f"{server.origin}/cam.m3u8")


def test_a_plain_playlist_is_read(clips: dict[str, bytes]) -> None:
    """The counterpart of the tricks: it is not the playlist itself that fails."""
    with media_server({"/clip.ts": content(clips["320"], "video/mp2t"), "/cam.m3u8": playlist("clip.ts")}) as server:
        source, frames = read(f"{server.origin}/cam.m3u8", is_endless=False)
    assert len(frames) == SECONDS * 25
    assert source.info.bit_rate == 0, "the size of the playlist says nothing about the video"


@pytest.mark.parametrize("garbage", ["zeros", "noise", "zeros after pictures", "noise after a transport stream"])
def test_garbage_without_end_is_an_error_and_takes_no_memory(
    garbage: str, jpegs: list[bytes], clips: dict[str, bytes]
) -> None:
    noise, zeros = os.urandom(1 << 20), bytes(1 << 20)
    script = {
        "zeros": then(b"", zeros),
        "noise": then(b"", noise),
        "zeros after pictures": then(b"".join(jpegs), zeros),
        "noise after a transport stream": then(clips["320"], noise),
    }[garbage]
    before = _resident_bytes()
    largest = before
    done = threading.Event()

    def watch() -> None:
        nonlocal largest
        while not done.wait(0.02):
            largest = max(largest, _resident_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with media_server({"/cam": script}) as server, pytest.raises(SourceFailed):
            read(f"{server.origin}/cam", timeout_s=1.0)
    finally:
        done.set()
        watcher.join()
    assert largest - before < 2.5 * MAX_BLOCK_BYTES


def test_video_that_stops_while_the_connection_goes_on_is_noticed(tmp_path: Path) -> None:
    stream = _one_second_of_video_in_sound(tmp_path / "cam.ts", seconds=30)
    answers = {"/cam.ts": slowly(stream, chunk_bytes=len(stream) // 200, pause_s=0.03)}
    noticed = pytest.raises(SourceFailed, match=r"sends no video any more|no answer within 0\.5 s")
    with media_server(answers) as server, noticed:
        read(f"{server.origin}/cam.ts", timeout_s=0.5)


def test_a_reader_that_is_stopped_ends_although_packets_still_come(jpegs: list[bytes]) -> None:
    stopped = threading.Event()
    got: list[Frame] = []
    with media_server({"/cam": endless(parts(jpegs), MULTIPART, pause_s=0.02)}) as server:
        source = open_source(a_source_plan("tcp", f"{server.origin}/cam"), stopped.is_set)
        reading = threading.Thread(target=lambda: got.extend(source.frames()))
        reading.start()
        eventually_blocking(lambda: server.paths, "the camera is asked")
        stopped.set()
        reading.join(60)
        assert not reading.is_alive()
        source.close()


def test_fifty_connections_leave_nothing_behind(jpegs: list[bytes]) -> None:
    with media_server(
        {"/cam": content(b"".join(parts(jpegs)), MULTIPART), "/none": content(b"x", "text/plain")}
    ) as server:

        def visit(times: int) -> None:
            for _ in range(times):
                read(f"{server.origin}/cam")
                with pytest.raises(SourceFailed):
                    read(f"{server.origin}/none")

        visit(5)
        threads, handles = threading.active_count(), len(os.listdir("/proc/self/fd"))
        visit(50)
        eventually_blocking(lambda: threading.active_count() <= threads, "threads end")
        eventually_blocking(lambda: len(os.listdir("/proc/self/fd")) <= handles + 1, "handles are closed")


def test_a_camera_that_accepts_and_never_speaks_rtsp_gives_no_answer() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as camera,
        pytest.raises(SourceFailed, match=r"no answer within 0\.5 s"),
    ):
        read(f"rtsp://127.0.0.1:{camera.getsockname()[1]}/cam", timeout_s=0.5)


def test_no_wait_is_longer_than_the_limit_whatever_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packets, "MAX_TIMEOUT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as camera, pytest.raises(SourceFailed, match=r"within 0\.5 s"):
        read(f"http://127.0.0.1:{camera.getsockname()[1]}/cam", timeout_s=2_000_000.0)


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def _one_second_of_video_in_sound(path: Path, seconds: int) -> bytes:
    """Return a transport stream whose video ends early."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 320, 240, "yuv420p"
        sound = container.add_stream("aac", rate=8000)
        for picture in plain_pictures(25, 320, 240):
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode())
        for start in range(0, seconds * 8000, 1024):
            noise = np.random.default_rng(start).integers(-3000, 3000, (1, 1024), np.int16)
            frame = av.AudioFrame.from_ndarray(noise, format="s16", layout="mono")
            frame.sample_rate, frame.pts = 8000, start
            container.mux(sound.encode(frame))
        container.mux(sound.encode())
    return path.read_bytes()


@pytest.mark.rtsp
@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_rtsp_runs_over_exactly_the_transport_of_the_type(transport: SourceType, tmp_path: Path) -> None:
    needs_gstreamer()
    clip = write_clip(tmp_path / "camera.mp4", plain_pictures(75), g="25", bf="0")
    with rtsp_server(clip) as (_, port):
        source = open_source(a_source_plan(transport, f"rtsp://127.0.0.1:{port}/cam"))
        try:
            frames = source.frames()
            got = list(islice(frames, 10))
            assert _has_datagram_sockets() == (transport == "udp")
        finally:
            source.close()
    assert (got[0].width, got[0].height) == (320, 180)


def _has_datagram_sockets() -> bool:
    """Tell whether this process has a UDP socket open."""
    handles = {os.readlink(handle.path) for handle in os.scandir("/proc/self/fd") if os.path.lexists(handle.path)}
    tables = Path("/proc/net/udp").read_text().splitlines()[1:] + Path("/proc/net/udp6").read_text().splitlines()[1:]
    return any(f"socket:[{line.split()[9]}]" in handles for line in tables)
