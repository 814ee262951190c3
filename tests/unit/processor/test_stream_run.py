"""A run of a stream: its source comes and goes, fails and comes back, shows nothing; and it always ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from luna_processor.errors import SourceFailed, UnsuitableSource
from luna_processor.frames import Frame, SourceInfo
from luna_processor.streams.health import MIN_RETRY_DELAY_S
from luna_processor.streams.picturewatch import TEXTS
from luna_processor.streams.plan import SourcePlan
from luna_processor.streams.run import RING_CAPACITY
from support.frames import ArrayFrame
from support.stream_runs import MadeSource, ObservedRun, a_run
from support.streams_server import stream_v2
from support.waiting import eventually_blocking

CAMERA = SourceInfo(64, 48, 10, 0, None, codec="h264")
RNG = np.random.default_rng(3)
SCENE = RNG.integers(30, 220, (48, 64, 3), np.uint8)


def camera(**data: Any) -> dict[str, Any]:
    """Return a live stream that is tried again at once."""
    healthcheck = {"max_error_count": 1000, "period": 3600, "retry_delay": 0}
    body = stream_v2("rtsp://cam/1", kind="tcp", healthcheck=healthcheck)
    body["data"] |= data
    return body


def frames(count: int, picture: Callable[[int], np.ndarray], fps: float = 10.0) -> Iterator[Frame]:
    for number in range(count):
        yield ArrayFrame(np.asarray(np.clip(picture(number), 0, 255), np.uint8), number, number / fps)


def quiet(number: int) -> np.ndarray:
    return SCENE + RNG.normal(0, 2, SCENE.shape)


def one_by_one(observed: ObservedRun, made: Iterator[Frame]) -> Iterator[Frame]:
    """Yield a frame when the one before was analysed, so that none is dropped."""
    stats = observed.run.stats
    for frame in made:
        yield frame
        eventually_blocking(lambda: stats.frames_analysed >= stats.frames_read, "analysed")


def watched(make: Callable[[], Iterator[Frame]], info: SourceInfo = CAMERA, **data: Any) -> ObservedRun:
    """Run a camera that shows these frames once and then fails for good."""
    body = camera(**data)
    body["data"]["analytics"][0]["healthcheck"]["max_error_count"] = 1
    observed = a_run(body, lambda plan, is_stopped: MadeSource(info, lambda: one_by_one(observed, make())))
    observed.run.start()
    observed.run.join(60)
    assert observed.run.is_over
    return observed


@pytest.mark.parametrize(
    ("fault", "picture"),
    [("frozen", lambda _: SCENE), ("black", lambda _: np.zeros_like(SCENE))],
    ids=["frozen", "black"],
)
def test_a_camera_that_shows_nothing_is_reported_until_it_shows_something(fault: Any, picture: Any) -> None:
    def shown() -> Iterator[Frame]:
        return frames(250, lambda number: picture(number) if 30 <= number < 200 else quiet(number))

    observed = watched(shown)
    assert observed.errors[:3] == [None, TEXTS[fault], None]
    assert observed.run.stats.is_frozen is observed.run.stats.is_black is False


@pytest.mark.parametrize(
    ("info", "data"),
    [
        pytest.param(SourceInfo(64, 48, 10, 0, None, codec="mjpeg"), {}, id="single pictures"),
        pytest.param(CAMERA, {"endless": False}, id="a file that is sent"),
    ],
)
def test_what_may_stand_still_is_not_reported(info: SourceInfo, data: dict[str, Any]) -> None:
    observed = watched(lambda: frames(200, lambda _: SCENE), info, **data)
    assert not any(report.error in TEXTS.values() for report in observed.reports)


def test_a_camera_that_comes_and_goes_leaves_no_threads_and_counts_its_errors() -> None:
    sources: list[MadeSource] = []

    def open_source(plan: SourcePlan, is_stopped: Callable[[], bool]) -> MadeSource:
        if len(sources) % 3 == 2:
            sources.append(MadeSource(CAMERA, lambda: iter(())))
            raise SourceFailed("rtsp://cam/1 cannot be opened: Connection refused")
        sources.append(MadeSource(CAMERA, lambda: frames(2, quiet)))
        return sources[-1]

    before = threading.active_count()
    observed = a_run(camera(), open_source)
    observed.run.start()
    eventually_blocking(lambda: len(sources) > 20, "twenty connections")
    assert threading.active_count() <= before + 2
    observed.run.stop(sends_rest=True)
    observed.run.join(60)
    eventually_blocking(lambda: threading.active_count() <= before, "all threads end")
    assert observed.run.stats.source_errors >= 20
    assert all(source.is_closed for number, source in enumerate(sources) if number % 3 != 2)
    assert {"rtsp://cam/1 has ended", "rtsp://cam/1 cannot be opened: Connection refused"} <= set(observed.errors)


def test_attempts_have_a_pause_between_them_though_none_is_asked_for() -> None:
    moments: list[float] = []

    def open_source(plan: SourcePlan, is_stopped: Callable[[], bool]) -> MadeSource:
        moments.append(time.monotonic())
        raise SourceFailed("nobody there")

    observed = a_run(camera(), open_source)
    observed.run.start()
    eventually_blocking(lambda: len(moments) >= 4, "four attempts")
    observed.run.stop(sends_rest=False)
    observed.run.join(60)
    assert moments[3] - moments[0] >= 3 * MIN_RETRY_DELAY_S


def test_the_limit_of_errors_ends_the_stream() -> None:
    body = camera()
    body["data"]["analytics"][0]["healthcheck"] = {"max_error_count": 3, "period": 3600, "retry_delay": 0}

    def open_source(plan: SourcePlan, is_stopped: Callable[[], bool]) -> MadeSource:
        raise SourceFailed("nobody there")

    observed = a_run(body, open_source)
    observed.run.start()
    observed.run.join(60)
    assert observed.run.report.status == "failure"
    assert observed.run.report.error == "nobody there; given up after 3 errors"
    assert len(observed.opened) == 3


def test_a_changed_size_is_no_error_that_is_tried_again() -> None:
    def changing() -> Iterator[Frame]:
        yield from frames(2, quiet)
        raise UnsuitableSource("frame size is changed from 64x48 to 32x24")

    observed = a_run(camera(), lambda plan, is_stopped: MadeSource(CAMERA, changing))
    observed.run.start()
    observed.run.join(60)
    assert observed.run.report.status == "failure"
    assert observed.run.report.error == "frame size is changed from 64x48 to 32x24"
    assert len(observed.opened) == 1


def test_a_network_stream_that_is_not_endless_is_done_at_its_end() -> None:
    observed = a_run(camera(endless=False), lambda plan, is_stopped: MadeSource(CAMERA, lambda: frames(3, quiet)))
    observed.run.start()
    observed.run.join(60)
    assert (observed.run.report.status, observed.run.report.error) == ("done", None)


def test_what_a_source_remarks_at_its_end_is_reported() -> None:
    body = stream_v2("/pictures", kind="images")
    body["data"]["mask"] = "%d.jpg"
    info = SourceInfo(64, 48, 25, 0, None, remark="1 of 4 pictures could not be decoded, '2.jpg' was the first")
    observed = a_run(body, lambda plan, is_stopped: MadeSource(info, lambda: frames(3, quiet)))
    observed.run.start()
    observed.run.join(60)
    assert (observed.run.report.status, observed.run.report.error) == ("done", info.remark)
    assert observed.run.stats.frames_analysed == 3


def test_a_flood_is_dropped_and_no_frame_is_older_than_the_ring() -> None:
    alive = []

    class Counted(ArrayFrame):
        def __init__(self, number: int) -> None:
            super().__init__(SCENE, number, number / 1000)
            alive.append(number)

        def __del__(self) -> None:
            alive.remove(self.number)

    most = 0

    def flood() -> Iterator[Frame]:
        nonlocal most
        for number in range(3000):
            yield Counted(number)
            most = max(most, len(alive))

    observed = a_run(camera(endless=False), lambda plan, is_stopped: MadeSource(CAMERA, flood))
    observed.run.start()
    observed.run.join(60)
    stats = observed.run.stats
    assert stats.frames_read == 3000
    assert stats.frames_dropped + stats.frames_analysed == 3000
    assert stats.frames_dropped > 0
    assert most <= RING_CAPACITY + 6, "those in the ring, those in hand, and the latest for previews"


@pytest.mark.parametrize(("is_endless", "analysed"), [(False, 200), (True, None)], ids=["sent once", "a camera"])
def test_of_a_file_that_is_sent_no_frame_is_dropped(is_endless: bool, analysed: int | None) -> None:
    body = camera(endless=is_endless)
    body["data"]["analytics"][0]["healthcheck"]["max_error_count"] = 1
    info = replace(CAMERA, is_sent_whole=True)
    observed = a_run(body, lambda plan, is_stopped: MadeSource(info, lambda: frames(200, lambda _: SCENE)))
    observed.run.start()
    observed.run.join(60)
    assert observed.run.stats.frames_read == 200
    assert (observed.run.stats.frames_dropped == 0) == (not is_endless)
    assert analysed is None or observed.run.stats.frames_analysed == analysed


def test_what_comes_in_pieces_is_spread_over_its_time() -> None:
    body = camera()
    body["data"]["analytics"][0]["healthcheck"]["max_error_count"] = 1
    info = replace(CAMERA, comes_in_pieces=True)
    observed = a_run(body, lambda plan, is_stopped: MadeSource(info, lambda: frames(20, lambda _: SCENE)))
    began_s = time.monotonic()
    observed.run.start()
    observed.run.join(60)
    assert time.monotonic() - began_s >= 1.9 / 1.1
    assert observed.run.stats.frames_read == 20
