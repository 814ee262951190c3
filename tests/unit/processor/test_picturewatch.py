"""A camera whose picture is black or stands still is noticed; a quiet scene is not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path

import av
import numpy as np
import pytest

from luna_processor.streams.picturewatch import AFTER_S, PictureFault, PictureWatch
from support.frames import ArrayFrame
from support.media import demo_pictures, write_clip

FPS = 10
SECONDS = 14
RNG = np.random.default_rng(7)
SCENE = RNG.integers(30, 220, (9, 16), np.uint8).repeat(20, 0).repeat(20, 1)[..., None].repeat(3, 2)


def shown(seconds: float, change: Callable[[int], np.ndarray]) -> Iterator[np.ndarray]:
    return (np.asarray(np.clip(change(number), 0, 255), np.uint8) for number in range(round(seconds * FPS)))


def still(seconds: float = SECONDS) -> Iterator[np.ndarray]:
    return shown(seconds, lambda _: SCENE)


def noisy(seconds: float = SECONDS, levels: float = 1.5) -> Iterator[np.ndarray]:
    return shown(seconds, lambda _: SCENE + RNG.normal(0, levels, SCENE.shape))


def black(seconds: float = SECONDS, levels: float = 2.0) -> Iterator[np.ndarray]:
    return shown(seconds, lambda _: np.abs(RNG.normal(6, levels, SCENE.shape)))


def with_clock(number: int) -> np.ndarray:
    picture = SCENE.copy()
    picture[4:12, 4 + 8 * (number // FPS % 8) : 12 + 8 * (number // FPS % 8)] = 255
    return picture


def faults(pictures: Iterable[np.ndarray], *, notices_frozen: bool = True) -> list[PictureFault | None]:
    watch = PictureWatch(notices_frozen=notices_frozen)
    found = []
    for number, picture in enumerate(pictures):
        watch.look(ArrayFrame(picture, number, number / FPS))
        found.append(watch.fault)
    return found


def faults_of(clip: Path) -> set[PictureFault | None]:
    watch, found = PictureWatch(), set()
    with av.open(str(clip)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            picture = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
            watch.look(ArrayFrame(picture, number, number / FPS, is_keyframe=bool(frame.key_frame)))
            found.add(watch.fault)
    return found


@pytest.mark.parametrize(
    ("pictures", "fault"),
    [
        pytest.param(still, "frozen", id="the same picture"),
        pytest.param(black, "black", id="dark noise"),
        pytest.param(lambda: shown(SECONDS, lambda _: np.zeros_like(SCENE)), "black", id="black and frozen is black"),
        pytest.param(noisy, None, id="a quiet scene"),
        pytest.param(lambda: noisy(levels=0.6), None, id="a good sensor"),
        pytest.param(lambda: shown(SECONDS, with_clock), None, id="a clock in the corner"),
        pytest.param(lambda: still(AFTER_S - 1), None, id="not for long enough"),
    ],
)
def test_what_a_camera_shows_at_last(pictures: Callable[[], Iterator[np.ndarray]], fault: PictureFault | None) -> None:
    assert faults(pictures())[-1] == fault


@pytest.mark.parametrize("gop", ["5", "50"])
@pytest.mark.parametrize("preset", ["veryfast", "medium"])
@pytest.mark.parametrize(("noise", "told"), [(0.0, {None, "frozen"}), (0.7, {None})], ids=["frozen", "quiet"])
def test_it_is_so_after_compression_too(
    tmp_path: Path, noise: float, told: set[PictureFault | None], preset: str, gop: str
) -> None:
    picture = next(iter(demo_pictures(4, 1, (320, 180))))
    pictures = shown(24, lambda _: picture + RNG.normal(0, noise, picture.shape))
    clip = write_clip(tmp_path / "camera.mp4", pictures, fps=FPS, g=gop, crf="28", preset=preset, rc_lookahead="0")
    assert faults_of(clip) == told


def test_a_fault_is_told_after_ten_seconds_and_taken_back_within_one() -> None:
    found = faults(chain(noisy(2), still(15), noisy(3), black(15), noisy(3)))
    assert found.index("frozen") == pytest.approx((2 + AFTER_S) * FPS, abs=1.5 * FPS)
    assert found[18 * FPS] is None
    assert found.index("black") == pytest.approx((20 + AFTER_S) * FPS, abs=1.5 * FPS)
    assert found[36 * FPS] is None


def test_a_camera_of_stills_may_repeat_itself_but_not_be_black() -> None:
    assert set(faults(still(), notices_frozen=False)) == {None}
    assert faults(black(), notices_frozen=False)[-1] == "black"


def test_most_frames_are_not_even_looked_at() -> None:
    class Counted(ArrayFrame):
        looks = 0

        def luma(self) -> np.ndarray:
            Counted.looks += 1
            return super().luma()

    watch = PictureWatch()
    for number in range(250):
        watch.look(Counted(SCENE, number, number / 25))
    assert Counted.looks <= 2 * 2 * 10 + 2
