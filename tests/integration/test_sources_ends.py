"""How files end: whole, cut off, or in another codec than they began."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import cast

import av
import numpy as np
import pytest
from av.container import OutputContainer
from av.video.stream import VideoStream

from luna_processor.errors import SourceFailed
from luna_processor.frames import Frame
from luna_processor.sources.adapters import open_source
from luna_streams.stream import SourceType
from support.media import plain_pictures, write_clip
from support.media_server import Script, content, media_server
from support.sources import a_source_plan

SECONDS = 3


def read(reference: object, kind: SourceType = "videofile") -> list[Frame]:
    source = open_source(a_source_plan(kind, reference, is_endless=False))
    try:
        return list(source.frames())
    finally:
        source.close()


@pytest.fixture(scope="module")
def talkies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Clips of three seconds with sound, by the ending of their name; of MP4 what tells the frames comes first."""
    folder = tmp_path_factory.mktemp("talkies")
    return {name: _talkie(folder / f"clip.{name}").read_bytes() for name in ("mp4", "mkv", "avi", "flv")}


@pytest.mark.parametrize("form", ["mp4", "mkv", "avi", "flv"])
def test_a_file_with_sound_that_is_whole_is_read_to_its_end(
    form: str, talkies: dict[str, bytes], tmp_path: Path
) -> None:
    path = tmp_path / f"whole.{form}"
    path.write_bytes(talkies[form])
    assert len(read(path)) == SECONDS * 25


@pytest.mark.parametrize(
    ("video_later_s", "sound_later_s"), [(2.0, 0.0), (0.0, 4.0), (3600.0, 3600.0)], ids=["video", "sound", "both"]
)
@pytest.mark.parametrize("form", ["mp4", "mkv", "flv"])
def test_a_file_whose_streams_begin_late_or_apart_lacks_nothing(
    form: str, video_later_s: float, sound_later_s: float, talkies: dict[str, bytes], tmp_path: Path
) -> None:
    path = tmp_path / f"apart.{form}"
    with av.open(io.BytesIO(talkies[form]), "r") as source, av.open(str(path), "w") as target:
        copies = [target.add_stream_from_template(stream) for stream in (*source.streams.video, *source.streams.audio)]
        later_s = {copies[0].index: video_later_s, copies[1].index: sound_later_s}
        for packet in source.demux():
            if packet.pts is not None and packet.dts is not None and packet.time_base is not None:
                steps = round(later_s[packet.stream_index] / packet.time_base)
                packet.pts, packet.dts = packet.pts + steps, packet.dts + steps
                packet.stream = copies[packet.stream_index]
                target.mux(packet)
    assert len(read(path)) == SECONDS * 25


@pytest.mark.parametrize(("form", "flags"), [("flv", "no_duration_filesize"), ("asf", "")])
def test_a_piece_of_a_recording_that_tells_where_it_ends_lacks_nothing(form: str, flags: str, tmp_path: Path) -> None:
    path = tmp_path / f"piece.{form}"
    with av.open(str(path), "w", options={"flvflags": flags} if flags else {}) as target:
        _mux_pictures(target, [100 * 25 + number for number in range(50)], "flv" if form == "flv" else "mpeg4")
    assert len(read(path)) == 50


def test_an_ivf_file_whose_writer_could_not_come_back_to_its_head_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "piped.ivf"
    clip = bytearray(write_clip(tmp_path / "clip.ivf", plain_pictures(10), codec="libvpx").read_bytes())
    clip[24:28] = b"\xff" * 4
    path.write_bytes(clip)
    source = open_source(a_source_plan("videofile", path))
    assert (len(list(source.frames())), source.info.duration_s) == (10, None)
    source.close()


def test_an_mp4_with_gaps_that_was_trimmed_within_one_lacks_nothing(tmp_path: Path) -> None:
    path = tmp_path / "trimmed.mp4"
    with av.open(str(path), "w") as target:
        # Pictures in bursts, the first of them before the time at which the video begins.
        _mux_pictures(target, [25 * second + number - 33 for second in range(4) for number in range(5)], "libx264")
    assert len(read(path)) == 10


@pytest.mark.parametrize("lost", [0.003, 0.1, 0.5], ids=["some bytes", "a third of a second", "half"])
@pytest.mark.parametrize("form", ["mp4", "mkv", "avi", "flv"])
def test_a_file_with_sound_that_is_cut_off_is_said_to_be(
    form: str, lost: float, talkies: dict[str, bytes], tmp_path: Path
) -> None:
    path = tmp_path / f"cut.{form}"
    path.write_bytes(talkies[form][: round(len(talkies[form]) * (1 - lost))])
    with pytest.raises(SourceFailed, match=rf"cut\.{form} is truncated: "):
        read(path)


def test_a_matroska_file_whose_last_frame_is_shown_for_long_lacks_nothing(
    talkies: dict[str, bytes], tmp_path: Path
) -> None:
    data, name = talkies["mkv"], b"\x44\x89\x88"  # Duration, a double of milliseconds: RFC 9559, section 5.1.2.10
    at = data.index(name) + len(name)
    (length_ms,) = struct.unpack(">d", data[at : at + 8])
    path = tmp_path / "long.mkv"
    path.write_bytes(data[:at] + struct.pack(">d", length_ms + 3000) + data[at + 8 :])
    assert len(read(path)) == SECONDS * 25


@pytest.mark.parametrize("lost", [0.0, 0.15, 0.5], ids=["whole", "half a second", "half"])
def test_a_file_with_sound_that_is_sent_is_compared_with_the_length_it_declares(
    lost: float, talkies: dict[str, bytes]
) -> None:
    sent = talkies["mkv"][: round(len(talkies["mkv"]) * (1 - lost))]
    with media_server({"/clip.mkv": content(sent)}) as server:
        if not lost:
            assert len(read(f"{server.origin}/clip.mkv", "tcp")) == SECONDS * 25
            return
        with pytest.raises(SourceFailed, match=r"clip\.mkv is truncated: [12]\.\d s of 3\.\d s could be read"):
            read(f"{server.origin}/clip.mkv", "tcp")


def test_a_connection_that_ends_before_what_was_announced_is_a_truncated_file(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.ts", plain_pictures(50), g="10").read_bytes()
    with (
        media_server({"/clip.ts": _announced(clip, 2 * len(clip))}) as server,
        pytest.raises(SourceFailed, match="is truncated: the connection ended before all of it was sent"),
    ):
        read(f"{server.origin}/clip.ts", "tcp")


@pytest.mark.parametrize("count", [4, 12, 25])
@pytest.mark.parametrize(
    ("first", "then"), [("libx264", "mpeg2video"), ("mpeg2video", "libx264"), ("mpeg4", "libx264")]
)
def test_a_codec_that_changes_shortly_before_the_end_is_said(first: str, then: str, count: int, tmp_path: Path) -> None:
    path = tmp_path / "c.ts"
    before = write_clip(tmp_path / "a.ts", plain_pictures(30), codec=first).read_bytes()
    path.write_bytes(before + write_clip(tmp_path / "b.ts", plain_pictures(count), codec=then).read_bytes())
    with pytest.raises(SourceFailed, match=r"c\.ts cannot be decoded any more, its codec may have changed"):
        read(path)


@pytest.mark.parametrize("then", ["libx264", "mpeg2video"])
def test_a_transport_stream_whose_video_goes_on_under_another_number_is_read_on(then: str, tmp_path: Path) -> None:
    path = tmp_path / "c.ts"
    path.write_bytes(_numbered(tmp_path / "a.ts", "libx264", 256) + _numbered(tmp_path / "b.ts", then, 512))
    if then == "libx264":
        assert len(read(path)) == 60
    else:
        with pytest.raises(SourceFailed, match="its codec may have changed"):
            read(path)


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("form", ["mp4", "mkv", "avi"])
def test_a_file_of_few_frames_is_whole_although_the_decoder_holds_them_all_back(
    form: str, count: int, tmp_path: Path
) -> None:
    assert len(read(write_clip(tmp_path / f"short.{form}", plain_pictures(count), bf="3", preset="fast"))) == count


def test_what_an_edit_left_out_at_the_end_is_not_lost(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "cut.mp4", plain_pictures(60), g="60", bf="2", preset="fast")
    data = bytearray(path.read_bytes())
    entry = data.index(b"elst") + 12  # behind version, flags and the count of entries
    half = int.from_bytes(data[entry : entry + 4]) // 2
    data[entry : entry + 4] = half.to_bytes(4)
    path.write_bytes(bytes(data))
    assert 25 <= len(read(path)) <= 35


def _talkie(path: Path) -> Path:
    """Write a clip whose sound is as long as its video."""
    noise = np.random.default_rng(4)
    options = {"movflags": "faststart"} if path.suffix == ".mp4" else {}
    with av.open(str(path), "w", options=options) as container:
        video = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "crf": "30", "g": "25"})
        video.width, video.height, video.pix_fmt = 320, 180, "yuv420p"
        sound = container.add_stream("aac", rate=16000)
        for number, picture in enumerate(plain_pictures(SECONDS * 25)):
            grainy = picture // 2 + noise.integers(0, 60, picture.shape, np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(grainy, format="rgb24")))
            frame = av.AudioFrame.from_ndarray(
                noise.integers(-3000, 3000, (1, 640), np.int16), format="s16", layout="mono"
            )
            frame.sample_rate, frame.pts = 16000, number * 640
            container.mux(sound.encode(frame))
        container.mux(video.encode())
        container.mux(sound.encode())
    return path


def _mux_pictures(target: OutputContainer, stamps: Sequence[int], codec: str) -> None:
    """Write a picture for each time stamp, 25 of which are a second."""
    video = cast(VideoStream, target.add_stream(codec, rate=25, options={"bf": "0"}))
    video.width, video.height, video.pix_fmt = 320, 180, "yuv420p"
    for stamp, picture in zip(stamps, plain_pictures(len(stamps)), strict=True):
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts = stamp
        target.mux(video.encode(frame))
    target.mux(video.encode())


def _numbered(path: Path, codec: str, pid: int) -> bytes:
    """Return a transport stream of 30 frames whose video has this number."""
    with av.open(str(path), "w", options={"mpegts_start_pid": str(pid)}) as container:
        video = cast(VideoStream, container.add_stream(codec, rate=25, options={"g": "10", "bf": "0"}))
        video.width, video.height, video.pix_fmt = 320, 180, "yuv420p"
        for picture in plain_pictures(30):
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode())
    return path.read_bytes()


def _announced(body: bytes, length: int) -> Script:
    """Answer with less than the head announces."""

    def script(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(length))
        handler.end_headers()
        handler.wfile.write(body)

    return script
