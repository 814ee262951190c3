"""Sources at this host: files that are not what they should be, and folders of pictures."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image, ImageOps

from luna_processor.errors import SourceFailed, UnsuitableSource
from luna_processor.frames import Frame, Source
from luna_processor.sources.adapters import open_source
from luna_processor.streams.picturewatch import PictureWatch
from luna_streams.stream import SourceType
from support.media import FPS, plain_pictures, write_clip
from support.sources import a_source_plan


def read(path: Path, kind: SourceType = "videofile", **changes: Any) -> tuple[Source, list[Frame]]:
    source = open_source(a_source_plan(kind, path, **changes))
    try:
        return source, list(source.frames())
    finally:
        source.close()


def joined(path: Path, *clips: Path) -> Path:
    """Write transport streams one after another."""
    path.write_bytes(b"".join(clip.read_bytes() for clip in clips))
    return path


@pytest.mark.parametrize(
    ("content", "text"),
    [
        pytest.param(b"", "cannot be opened: not a video", id="empty"),
        pytest.param(b"hello\n" * 1000, "cannot be opened: not a video", id="text"),
        pytest.param(np.random.default_rng(1).bytes(200_000), "cannot be opened: not a video", id="noise"),
        pytest.param(b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", "cannot be opened: not a video", id="playlist"),
        pytest.param(b"ffconcat version 1.0\nfile /etc/passwd\n", "cannot be opened: not a video", id="concat script"),
    ],
)
def test_what_is_no_video_is_said_to_be_none(content: bytes, text: str, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    with pytest.raises(SourceFailed, match=text):
        read(path)


def test_noise_within_a_file_costs_the_frames_that_it_hits(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "whole.ts", plain_pictures(100), g="10")
    data = bytearray(whole.read_bytes())
    third = len(data) // 188 // 3 * 188
    data[third : third + 188 * 20] = np.random.default_rng(2).bytes(188 * 20)
    whole.write_bytes(bytes(data))
    _, frames = read(whole)
    assert 50 < len(frames) < 100
    assert frames[-1].pts_s == pytest.approx(99 / 25, abs=0.1)


def test_a_size_that_changes_within_a_file_is_said(tmp_path: Path) -> None:
    small = write_clip(tmp_path / "a.ts", plain_pictures(25, 320, 240))
    large = write_clip(tmp_path / "b.ts", plain_pictures(25, 640, 480))
    with pytest.raises(UnsuitableSource, match=r"^frame size is changed from 320x240 to 640x480$"):
        read(joined(tmp_path / "c.ts", small, large))


@pytest.mark.parametrize("other", ["mpeg4", "mpeg2video", "libx265"])
def test_a_codec_that_changes_within_a_file_is_said(other: str, tmp_path: Path) -> None:
    options = {"x265-params": "log-level=none"} if other == "libx265" else {}
    first = write_clip(tmp_path / "a.ts", plain_pictures(50, 320, 240), g="10")
    second = write_clip(tmp_path / "b.ts", plain_pictures(60, 320, 240), fps=FPS, codec=other, **options)
    with pytest.raises(SourceFailed, match=r"c\.ts cannot be decoded any more, its codec may have changed"):
        read(joined(tmp_path / "c.ts", first, second))


def test_a_frame_that_the_decoder_held_back_hides_no_changed_codec(tmp_path: Path) -> None:
    first = write_clip(tmp_path / "a.ts", plain_pictures(50, 320, 240), codec="mpeg2video")
    second = write_clip(tmp_path / "b.ts", plain_pictures(60, 320, 240))
    with pytest.raises(SourceFailed, match=r"c\.ts cannot be decoded any more, its codec may have changed"):
        read(joined(tmp_path / "c.ts", first, second))


@pytest.mark.parametrize("ending", ["h264", "mjpeg"])
def test_pictures_without_time_stamps_are_taken_for_25_a_second(ending: str, tmp_path: Path) -> None:
    codec = {"h264": "libx264", "mjpeg": "mjpeg"}[ending]
    pixels = {"mjpeg": {"pix_fmt": "yuvj420p"}}.get(ending, {})
    _, frames = read(write_clip(tmp_path / f"bare.{ending}", plain_pictures(30), fps=FPS, codec=codec, **pixels))
    assert [round(frame.pts_s, 2) for frame in frames] == [round(number / 25, 2) for number in range(30)]


def test_a_file_that_begins_inside_a_gop_begins_with_its_next_whole_picture(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "whole.ts", plain_pictures(100), g="25")
    data = whole.read_bytes()
    whole.write_bytes(data[len(data) // 188 // 3 * 188 :])
    _, frames = read(whole)
    assert 25 <= len(frames) <= 75
    assert not any(frame.is_damaged for frame in frames)


@pytest.mark.parametrize(("level", "fault"), [(3, "black"), (40, None)], ids=["covered lens", "night"])
def test_a_covered_lens_is_black_as_it_is_decoded(level: int, fault: str | None, tmp_path: Path) -> None:
    noise = np.random.default_rng(5)
    dark = (np.clip(noise.normal(level, 2, (90, 160, 3)), 0, 255).astype(np.uint8) for _ in range(60))
    _, frames = read(write_clip(tmp_path / "dark.mp4", dark, fps=5))
    watch = PictureWatch()
    for frame in frames:
        watch.look(frame)
    assert watch.fault == fault


@pytest.mark.parametrize(("asked", "extra"), [(0, 0), (1, 0), (4, 3)])
def test_a_decoder_has_as_many_threads_as_it_is_given(asked: int, extra: int, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", plain_pictures(60))
    source = open_source(a_source_plan("videofile", clip, thread_count=asked))
    before = len(os.listdir("/proc/self/task"))
    frames = source.frames()
    next(frames)
    assert len(os.listdir("/proc/self/task")) - before >= extra
    assert (len(os.listdir("/proc/self/task")) == before) == (extra == 0)
    assert 1 + sum(1 for _ in frames) == 60
    source.close()


def pictures(folder: Path, names: list[str], size: tuple[int, int] = (64, 48)) -> Path:
    """Write pictures whose brightness tells their order in `names`."""
    for number, name in enumerate(names):
        Image.new("RGB", size, (20 * number,) * 3).save(folder / name)
    return folder


def brightness(frames: list[Frame]) -> list[int]:
    return [round(float(frame.rgb().mean()) / 20) for frame in frames]


@pytest.mark.parametrize(
    ("names", "mask", "order"),
    [
        pytest.param(["a_0001.jpg", "a_0002.jpg", "a_0003.jpg"], "a_%04d.jpg", [0, 1, 2], id="in order"),
        pytest.param(["a_0000.jpg", "a_0001.jpg"], "a_%04d.jpg", [0, 1], id="from zero"),
        pytest.param(["a_0007.jpg", "a_0090.jpg", "a_0008.jpg"], "a_%04d.jpg", [0, 2, 1], id="gaps"),
        pytest.param(["10.png", "9.png", "1.png"], "%d.png", [2, 1, 0], id="numbers, not names"),
        pytest.param(["a1.jpg", "b1.jpg", "a1.png", "a01.jpg"], "a%d.jpg", [0], id="others are left out"),
        pytest.param(["1.jpg", "2.bmp.jpg"], "%d.bmp.jpg", [1], id="dots"),
    ],
)
def test_pictures_are_read_in_the_order_of_their_numbers(
    names: list[str], mask: str, order: list[int], tmp_path: Path
) -> None:
    source, frames = read(pictures(tmp_path, names), "images", mask=mask)
    assert brightness(frames) == order
    assert [frame.number for frame in frames] == list(range(len(order)))
    assert (source.info.width, source.info.height, source.info.remark) == (64, 48, None)


@pytest.mark.parametrize("form", ["jpg", "png", "bmp", "webp", "tiff"])
def test_pictures_may_have_any_usual_form_whatever_their_name(form: str, tmp_path: Path) -> None:
    folder = tmp_path / "100%d"
    folder.mkdir()
    Image.new("RGB", (64, 48), (200, 0, 0)).save(tmp_path / f"x.{form}")
    (tmp_path / f"x.{form}").rename(folder / "7.jpg")
    _, [frame] = read(folder, "images", mask="%d.jpg")
    assert frame.rgb()[..., 0].mean() == pytest.approx(200, abs=4)


@pytest.mark.parametrize("mark", range(1, 9))
def test_a_photo_that_says_how_it_was_held_is_upright(mark: int, tmp_path: Path) -> None:
    stored = np.zeros((48, 64, 3), np.uint8)
    stored[:24, :32] = 255
    photo = Image.fromarray(stored)
    marks = photo.getexif()
    marks[0x0112] = mark
    photo.save(tmp_path / "1.jpg", exif=marks)
    source, [frame] = read(tmp_path, "images", mask="%d.jpg")
    seen = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "1.jpg")))
    assert (frame.width, frame.height) == (source.info.width, source.info.height) == (seen.shape[1], seen.shape[0])
    assert np.abs(frame.rgb().astype(int) - seen).mean() < 2


@pytest.mark.parametrize("form", ["mp4", "mkv", "ts"])
def test_video_whose_samples_are_not_square_is_as_wide_as_a_player_shows_it(form: str, tmp_path: Path) -> None:
    pictures = plain_pictures(10, 320, 240)
    samples: dict[str, Any] = {"x264-params": "sar=4\\:3"}
    source, frames = read(write_clip(tmp_path / f"pal.{form}", pictures, **samples))
    assert (source.info.width, source.info.height) == (427, 240)
    assert frames[0].rgb().shape == (*frames[0].luma().shape, 3) == (240, 427, 3)


@pytest.mark.parametrize(
    ("matrix", "seen"),
    [
        pytest.param((1, 0, 0, 1), [[255, 0], [0, 0]], id="as stored"),
        pytest.param((-1, 0, 0, 1), [[0, 255], [0, 0]], id="mirrored"),
        pytest.param((1, 0, 0, -1), [[0, 0], [255, 0]], id="upside down and mirrored"),
        pytest.param((-1, 0, 0, -1), [[0, 0], [0, 255]], id="upside down"),
    ],
)
def test_a_video_that_says_how_it_was_held_is_upright(
    matrix: tuple[int, int, int, int], seen: list[list[int]], tmp_path: Path
) -> None:
    corner = np.zeros((240, 320, 3), np.uint8)
    corner[:120, :160] = 255
    clip = write_clip(tmp_path / "clip.mp4", [corner] * 3)
    held = tmp_path / "held.mp4"
    with av.open(str(clip)) as source, av.open(str(held), "w") as target:
        stored = source.streams.video[0]
        copy = target.add_stream_from_template(stored)
        a, b, c, d = matrix
        copy.set_display_matrix([a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30])
        for packet in source.demux(stored):
            if packet.size:
                packet.stream = copy
                target.mux(packet)
    _, frames = read(held)
    quarters = frames[0].rgb()[60:240:120, 80:320:160, 0]
    assert (quarters > 128).tolist() == (np.array(seen) > 128).tolist()


def test_a_picture_of_too_many_pixels_is_passed_over_before_it_takes_their_memory(tmp_path: Path) -> None:
    pictures(tmp_path, ["1.jpg"])
    Image.new("1", (16000, 16000)).save(tmp_path / "2.png")
    Image.open(tmp_path / "1.jpg").save(tmp_path / "1.png")

    source, frames = read(tmp_path, "images", mask="%d.png")

    assert len(frames) == 1
    assert source.info.remark == "1 of 2 pictures could not be decoded, '2.png' was the first"


def test_a_broken_picture_is_passed_over_and_told_at_the_end(tmp_path: Path) -> None:
    pictures(tmp_path, ["1.jpg", "2.jpg", "3.jpg", "4.jpg"])
    (tmp_path / "2.jpg").write_bytes(b"no picture")
    (tmp_path / "3.jpg").write_bytes(b"")
    source, frames = read(tmp_path, "images", mask="%d.jpg")
    assert brightness(frames) == [0, 3]
    assert source.info.remark == "2 of 4 pictures could not be decoded, '2.jpg' was the first"


def test_a_picture_of_another_size_is_named(tmp_path: Path) -> None:
    pictures(tmp_path, ["1.jpg"])
    pictures(tmp_path, ["2.jpg"], (32, 24))
    with pytest.raises(UnsuitableSource, match=r"from 64x48 to 32x24 by picture '2\.jpg'"):
        read(tmp_path, "images", mask="%d.jpg")


def test_a_folder_without_such_pictures_says_what_was_looked_for(tmp_path: Path) -> None:
    pictures(tmp_path, ["frame_1.jpg"])
    with pytest.raises(SourceFailed, match=r"fits the mask 'frame_%04d\.jpg', whose first would be 'frame_0000\.jpg'"):
        read(tmp_path, "images", mask="frame_%04d.jpg")
    (tmp_path / "1.jpg").write_bytes(b"x")
    (tmp_path / "2.jpg").write_bytes(b"x")
    with pytest.raises(SourceFailed, match=r"no picture in '.*' can be decoded, '1\.jpg' was the first"):
        read(tmp_path, "images", mask="%d.jpg")
    with pytest.raises(SourceFailed, match=r"folder '.*none' cannot be read: No such file or directory"):
        read(tmp_path / "none", "images", mask="%d.jpg")
    with pytest.raises(SourceFailed, match=r"cannot be read: Not a directory"):
        read(tmp_path / "1.jpg", "images", mask="%d.jpg")


def test_what_is_no_file_is_no_picture(tmp_path: Path) -> None:
    pictures(tmp_path, ["1.jpg"])
    (tmp_path / "2.jpg").mkdir()
    os.mkfifo(tmp_path / "3.jpg")
    source, frames = read(tmp_path, "images", mask="%d.jpg")
    assert (len(frames), source.info.remark) == (1, None)


def test_a_folder_that_nobody_wants_any_more_is_left(tmp_path: Path) -> None:
    stopped = threading.Event()
    source = open_source(a_source_plan("images", pictures(tmp_path, ["1.jpg", "2.jpg"]), mask="%d.jpg"), stopped.is_set)
    frames = source.frames()
    next(frames)
    stopped.set()
    assert list(frames) == []
