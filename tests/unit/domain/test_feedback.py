"""What feedback does, and what the worker is told; the decision table of the public documents."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from luna_streams.lifecycle import ANONYMOUS_WORKER, HandlerLost, Report, Taken, advance, follows_report
from luna_streams.rest.messages import FeedbackItem
from luna_streams.stream import ERROR_LIMIT
from luna_streams.v1alpha1 import Preview, PreviewUrl, StreamState, StreamStatus, VideoInfo
from support.builders import NOW, STREAM_ID, WORKER, a_record, a_spec

LATER = NOW + timedelta(seconds=5)
SPEC = a_spec()
VIDEO = VideoInfo(width=1920, height=1080, frame_rate=25, bit_rate=4_000_000, gop_size=50, start_time=NOW)
PREVIEW = Preview(live=PreviewUrl(url="http://10.0.0.7:34569/live"))

S = StreamState


@pytest.mark.parametrize(
    ("before", "version", "reported", "after", "is_unmodified"),
    [
        pytest.param(S.IN_PROGRESS, 1, S.IN_PROGRESS, S.IN_PROGRESS, True, id="still-running"),
        pytest.param(S.IN_PROGRESS, 1, S.DONE, S.DONE, True, id="finished"),
        pytest.param(S.IN_PROGRESS, 1, S.FAILURE, S.FAILURE, True, id="failed"),
        pytest.param(S.IN_PROGRESS, 2, S.IN_PROGRESS, S.IN_PROGRESS, False, id="newer-version"),
        pytest.param(S.IN_PROGRESS, 2, S.DONE, S.IN_PROGRESS, False, id="finished-in-another-version"),
        pytest.param(S.PAUSE, 1, S.IN_PROGRESS, S.PAUSE, False, id="late-after-pause"),
        pytest.param(S.PAUSE, 1, S.DONE, S.PAUSE, False, id="finished-after-pause"),
        pytest.param(S.PAUSE, 1, S.FAILURE, S.PAUSE, False, id="failed-after-pause"),
        pytest.param(S.CANCEL, 1, S.IN_PROGRESS, S.CANCEL, False, id="late-after-cancel"),
        pytest.param(S.CANCEL, 1, S.DONE, S.CANCEL, False, id="finished-after-cancel"),
        pytest.param(S.PENDING, 1, S.IN_PROGRESS, S.PENDING, False, id="running-but-in-the-queue-again"),
        pytest.param(S.PENDING, 1, S.DONE, S.PENDING, False, id="finished-but-in-the-queue-again"),
        pytest.param(S.DONE, 1, S.IN_PROGRESS, S.DONE, False, id="running-after-done"),
        pytest.param(S.DONE, 1, S.FAILURE, S.DONE, False, id="failed-after-done"),
        pytest.param(S.DONE, 1, S.DONE, S.DONE, True, id="done-repeated"),
        pytest.param(S.FAILURE, 1, S.IN_PROGRESS, S.FAILURE, False, id="running-after-failure"),
        pytest.param(S.FAILURE, 1, S.DONE, S.FAILURE, False, id="done-after-failure"),
        pytest.param(S.FAILURE, 1, S.FAILURE, S.FAILURE, True, id="failure-repeated"),
    ],
)
def test_feedback_changes_a_stream_in_progress_only(
    before: StreamState, version: int, reported: StreamState, after: StreamState, is_unmodified: bool
) -> None:
    record = a_record(SPEC, status=before)
    report = Report(reported, version, worker=WORKER)
    outcome = advance(record, report, LATER)
    assert outcome.record.status == after
    assert [entry.status for entry in outcome.entries] == ([after] if after != before else [])
    assert follows_report(outcome.record, report) == is_unmodified
    if after == before:
        assert outcome.record is record


def test_a_report_is_kept_without_a_log_entry_while_the_stream_runs() -> None:
    outcome = advance(running(), Report(S.IN_PROGRESS, 1, "late frames", VIDEO, PREVIEW, WORKER), LATER)
    assert outcome.entries == ()
    assert (outcome.record.last_error, outcome.record.video_info) == ("late frames", VIDEO)
    assert outcome.record.preview == PREVIEW


def test_the_same_report_again_is_nothing_to_write() -> None:
    report = Report(S.IN_PROGRESS, 1, "late frames", VIDEO, PREVIEW, WORKER)
    record = advance(running(), report, LATER).record
    assert advance(record, report, LATER).record is record


def test_a_report_without_video_info_and_preview_keeps_what_is_known() -> None:
    record = advance(running(), Report(S.IN_PROGRESS, 1, "late frames", VIDEO, PREVIEW, WORKER), LATER).record
    outcome = advance(record, Report(S.IN_PROGRESS, 1, worker=WORKER), LATER)
    assert (outcome.record.last_error, outcome.record.video_info, outcome.record.preview) == (None, VIDEO, PREVIEW)


def test_the_last_report_stands_in_the_log() -> None:
    outcome = advance(running(), Report(S.FAILURE, 1, "gone", VIDEO, PREVIEW, WORKER), LATER)
    entry = outcome.entries[-1]
    assert (entry.status, entry.error, entry.video_info, entry.preview) == (S.FAILURE, "gone", VIDEO, PREVIEW)


@pytest.mark.parametrize("reported", [S.IN_PROGRESS, S.DONE, S.FAILURE])
def test_a_worker_that_does_not_hold_the_stream_changes_nothing(reported: StreamState) -> None:
    record, report = running(), Report(reported, 1, worker="another")
    outcome = advance(record, report, LATER)
    assert outcome.record is record
    assert not follows_report(outcome.record, report)


def test_a_worker_that_does_not_say_who_it_is_is_followed_for_what_such_a_worker_took() -> None:
    record = advance(a_record(SPEC), Taken(ANONYMOUS_WORKER), NOW).record
    report = Report(S.DONE, 1)
    assert advance(record, report, LATER).record.status == S.DONE
    assert not follows_report(advance(running(), report, LATER).record, report)


@pytest.mark.parametrize("letter", ["x", "ж", "日"])
def test_an_endless_error_is_cut(letter: str) -> None:
    outcome = advance(running(), Report(S.FAILURE, 1, letter * 10_000, worker=WORKER), LATER)
    assert outcome.record.last_error is not None
    assert outcome.record.last_error.endswith(letter + "…")
    assert ERROR_LIMIT - 4 < len(outcome.record.last_error.encode()) <= ERROR_LIMIT
    assert StreamStatus.from_resource(outcome.record.to_resource()) == outcome.record


def test_an_error_that_fits_is_kept_whole() -> None:
    error = "x" * ERROR_LIMIT
    assert advance(running(), Report(S.FAILURE, 1, error, worker=WORKER), LATER).record.last_error == error


def test_a_password_that_a_worker_quotes_is_not_kept() -> None:
    report = Report(S.FAILURE, 1, "cannot open rtsp://admin:hunter2@camera/live", worker=WORKER)
    outcome = advance(running(), report, LATER)
    assert outcome.record.last_error == outcome.entries[0].error == "cannot open rtsp://camera/live"


def test_feedback_of_the_api_becomes_a_report() -> None:
    item = FeedbackItem.from_rest(
        f'{{"stream_id": "{STREAM_ID}", "status": "failure", "version": 3, "error": "gone", "video_info": null,'
        ' "preview": {"live": {"url": "http://10.0.0.7:34569/live"}}}'
    )
    assert item.to_report("me") == Report(S.FAILURE, 3, "gone", None, PREVIEW, "me")


def test_feedback_is_sent_with_the_required_fields_and_no_unknown_ones() -> None:
    info = VideoInfo(**dict(VIDEO) | {"progress": 0.5})
    item = FeedbackItem(stream_id=STREAM_ID, status="in_progress", version=1, error=None, video_info=info)
    assert item.to_rest() == {
        "stream_id": STREAM_ID,
        "status": "in_progress",
        "version": 1,
        "error": None,
        "video_info": {
            "width": 1920,
            "height": 1080,
            "frame_rate": 25,
            "bit_rate": 4_000_000,
            "gop_size": 50,
            "start_time": "2026-01-31T12:00:00Z",
            "progress": 0.5,
        },
    }


def test_times_without_an_offset_are_utc() -> None:
    assert VideoInfo(**dict(VIDEO) | {"start_time": datetime(2026, 1, 31, 12)}).start_time == NOW.astimezone(UTC)


def running() -> StreamStatus:
    """Return a record that WORKER holds."""
    return a_record(SPEC, status="in_progress")


@pytest.mark.parametrize("reported", [S.IN_PROGRESS, S.DONE, S.FAILURE])
def test_a_report_about_an_earlier_run_at_the_same_worker_does_not_touch_the_present_one(reported: StreamState) -> None:
    """The worker's last word on the first run was on its way for long; it got the stream again meanwhile."""
    first = running()
    lost = advance(first, HandlerLost("no feedback"), LATER).record
    second = advance(lost, Taken(WORKER), LATER + timedelta(seconds=1)).record
    late = Report(reported, 1, "the first run", worker=WORKER, received_until=first.status_time)
    assert advance(second, late, LATER).record is second
    assert not follows_report(second, late)
    present = Report(reported, 1, worker=WORKER, received_until=second.status_time)
    assert advance(second, present, LATER).record.status == reported
