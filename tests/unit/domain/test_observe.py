"""`observe` brings a record in line with an edited spec, whoever calls it first and however often."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings

from luna_streams.lifecycle import Outcome, UserRequest, advance, create, observe
from luna_streams.v1alpha1 import (
    AutorestartPolicy,
    Location,
    RoiPercent,
    StreamPlacement,
    StreamSpec,
    StreamState,
    StreamStatus,
)
from support.builders import NOW, OTHER_ACCOUNT, STREAM_ID, a_record, a_spec, an_analytics, some_data
from support.strategies import specs

LATER = NOW + timedelta(minutes=1)
SPEC = a_spec()


def seen(spec: StreamSpec, record: StreamStatus | None) -> Outcome:
    """Observe a minute later."""
    return observe(spec, record, STREAM_ID, LATER)


def test_a_stream_without_a_record_gets_its_first_one() -> None:
    assert observe(SPEC, None, STREAM_ID, NOW) == create(SPEC, NOW)


@given(specs(), specs())
@settings(max_examples=50)
def test_observing_again_changes_nothing(first: StreamSpec, second: StreamSpec) -> None:
    record = seen(first, None).record
    assert seen(first, record).record is record
    record = seen(second, record).record
    again = seen(second, record)
    assert again.record is record
    assert again.entries == ()


@given(specs())
@settings(max_examples=50)
def test_what_was_stored_and_read_again_is_not_a_change(spec: StreamSpec) -> None:
    record = create(spec, NOW).record
    stored = StreamSpec.from_resource(spec.to_resource())
    assert seen(stored, StreamStatus.from_resource(record.to_resource())).entries == ()
    assert stored.data_hash() == spec.data_hash()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"account_id": OTHER_ACCOUNT}, id="account"),
        pytest.param({"display_name": "other"}, id="name"),
        pytest.param({"location": Location(city="Riga")}, id="location"),
        pytest.param({"restarted_at": NOW}, id="restarted"),
        pytest.param({"data": some_data(reference="/media/other.mp4")}, id="reference"),
        pytest.param({"data": some_data(roi=RoiPercent(x=0, y=0, width=50, height=50))}, id="roi"),
        pytest.param({"data": some_data(analytics=(an_analytics(mode=1),))}, id="mode"),
        pytest.param({"data": some_data(analytics=(an_analytics(), an_analytics()))}, id="more-analytics"),
    ],
)
@pytest.mark.parametrize("status", ["pending", "in_progress", "done", "pause", "cancel", "failure"])
def test_changed_data_start_the_stream_over_as_a_new_version(status: str, change: dict[str, Any]) -> None:
    record = a_record(SPEC, status=status, error="old")
    outcome = seen(a_spec(**change), record)
    assert (outcome.record.version, outcome.record.status) == (2, StreamState.PENDING)
    assert (outcome.record.last_error, outcome.record.video_info, outcome.record.preview) == (None, None, None)
    assert outcome.record.processor.worker is None
    assert [(entry.status, entry.version) for entry in outcome.entries] == [("pending", 2)]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"description": "other"}, id="description"),
        pytest.param({"groups": ("doors",)}, id="groups"),
        pytest.param({"priority": 7}, id="priority"),
        pytest.param({"placement": StreamPlacement(required_zones=("a",))}, id="placement"),
        pytest.param({"data": some_data(rotation=0)}, id="a-default-written-out"),
    ],
)
def test_what_no_worker_acts_upon_disturbs_no_stream(change: dict[str, Any]) -> None:
    record = a_record(SPEC, status="in_progress")
    assert seen(a_spec(**change), record).record is record


@pytest.mark.parametrize(
    ("status", "wish", "after"),
    [
        pytest.param("in_progress", "cancel", "cancel", id="cancel-a-running-one"),
        pytest.param("pending", "pause", "pause", id="pause-a-waiting-one"),
        pytest.param("done", "cancel", "done", id="cancel-of-a-finished-one-has-no-effect"),
        pytest.param("failure", "cancel", "failure", id="cancel-of-a-failed-one-has-no-effect"),
        pytest.param("in_progress", "pause", "in_progress", id="pause-of-a-running-file-has-no-effect"),
    ],
)
def test_a_wish_is_followed_once(status: str, wish: str, after: str) -> None:
    spec = a_spec(desired_status=wish)
    outcome = seen(spec, a_record(SPEC, status=status))
    assert (outcome.record.status, outcome.record.version) == (after, 1)
    assert outcome.record.observed_intent.desired_status == wish
    assert seen(spec, outcome.record).record is outcome.record


def test_a_wish_that_was_followed_already_is_not_followed_again() -> None:
    paused = seen(a_spec(desired_status="pause"), a_record(SPEC)).record
    resumed = advance(paused, UserRequest(StreamState.PENDING, STREAM_ID, True), LATER).record
    assert resumed.observed_intent.desired_status == StreamState.PENDING
    assert seen(SPEC, resumed).record is resumed


@pytest.mark.parametrize("status", ["done", "failure", "cancel", "in_progress"])
def test_a_stream_is_run_again_by_the_time_of_its_restart(status: str) -> None:
    outcome = seen(a_spec(restarted_at=LATER), a_record(SPEC, status=status))
    assert (outcome.record.status, outcome.record.version) == ("pending", 2)


@pytest.mark.parametrize(
    ("policy", "before", "after"),
    [
        pytest.param(1, "disabled", "enabled", id="switched-on"),
        pytest.param(0, "failed", "disabled", id="switched-off"),
        pytest.param(1, "failed", "failed", id="unchanged"),
    ],
)
def test_autorestart_follows_its_switch(policy: int, before: str, after: str) -> None:
    record = a_record(SPEC, status="failure", error="gone")
    record = record.model_copy(
        update={"autorestart": record.autorestart.model_copy(update={"status": before, "last_attempt_time": NOW})}
    )
    outcome = seen(a_spec(autorestart=AutorestartPolicy(restart=policy)), record)
    assert (outcome.record.autorestart.status, outcome.record.status) == (after, "failure")
    assert outcome.record.autorestart.last_attempt_time == NOW
