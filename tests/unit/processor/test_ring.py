"""The buffer between decoding and analysis."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from luna_processor.streams.ring import FrameRing


def in_thread(action: Any) -> threading.Thread:
    thread = threading.Thread(target=action, daemon=True)
    thread.start()
    return thread


def test_a_live_ring_keeps_the_newest_and_counts_what_it_drops() -> None:
    ring: FrameRing[int] = FrameRing(2, drops_oldest=True)
    for number in range(5):
        assert ring.put(number)
    assert [ring.get(), ring.get()] == [3, 4]
    assert ring.dropped_count == 3


def test_a_file_ring_makes_the_writer_wait_and_drops_nothing() -> None:
    ring: FrameRing[int] = FrameRing(2, drops_oldest=False)

    def write() -> None:
        for number in range(20):
            ring.put(number)
        ring.finish()

    writer = in_thread(write)
    read = []
    while (item := ring.get()) is not None:
        read.append(item)
    writer.join(60)
    assert read == list(range(20))
    assert ring.dropped_count == 0


def test_an_error_of_the_writer_reaches_the_reader_after_the_last_item() -> None:
    ring: FrameRing[int] = FrameRing(2, drops_oldest=True)
    ring.put(1)
    ring.finish(RuntimeError("camera gone"))
    assert ring.get() == 1
    with pytest.raises(RuntimeError, match="camera gone"):
        ring.get()


def test_stopping_releases_a_waiting_reader() -> None:
    ring: FrameRing[int] = FrameRing(2, drops_oldest=True)
    got = []
    reader = in_thread(lambda: got.append(ring.get()))
    ring.stop()
    reader.join(60)
    assert got == [None]


def test_stopping_releases_a_waiting_writer_and_says_so() -> None:
    ring: FrameRing[int] = FrameRing(1, drops_oldest=False)
    ring.put(1)
    accepted = []
    writer = in_thread(lambda: accepted.append(ring.put(2)))
    ring.stop()
    writer.join(60)
    assert accepted == [False]
    assert ring.put(3) is False


def test_a_live_ring_may_be_told_to_keep_everything() -> None:
    ring: FrameRing[int] = FrameRing(2, drops_oldest=True)
    ring.keep_all()

    def write() -> None:
        for number in range(10):
            ring.put(number)
        ring.finish()

    writer = threading.Thread(target=write)
    writer.start()
    assert [ring.get() for _ in range(10)] == list(range(10))
    writer.join(60)
    assert (ring.dropped_count, ring.get()) == (0, None)
