"""The resources as objects of the Kubernetes API, and the rules that hold across their fields."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from pydantic import ValidationError

from luna_streams import naming
from luna_streams.errors import CannotCancel, GroupExists, GroupNameNotFound, GroupNotFound, StreamNotFound
from luna_streams.model import Model
from luna_streams.v1alpha1 import (
    GpuRequest,
    RoiAbs,
    Stream,
    StreamData,
    StreamGroup,
    StreamProcessor,
    StreamProcessorSpec,
    StreamSpec,
    StreamState,
    StreamStatus,
)
from support.builders import (
    ACCOUNT,
    NOW,
    STREAM_ID,
    a_group,
    a_pool,
    a_record,
    a_spec,
    a_stream,
    an_analytics,
    some_data,
    stream_object,
)
from support.strategies import pool_specs, specs

META = {
    "name": STREAM_ID,
    "namespace": "default",
    "uid": "u",
    "resourceVersion": "7",
    "generation": 3,
    "creationTimestamp": "2026-01-31T12:00:00Z",
}


def an_object(spec: dict[str, Any], **rest: Any) -> dict[str, Any]:
    """Return an object as an API server answers it."""
    return {"metadata": META, "spec": spec} | rest


@given(specs())
def test_a_spec_survives_being_stored(spec: StreamSpec) -> None:
    assert StreamSpec.from_resource(json.loads(json.dumps(spec.to_resource()))) == spec


@given(pool_specs())
def test_the_spec_of_a_pool_survives_being_stored(spec: StreamProcessorSpec) -> None:
    assert StreamProcessorSpec.from_resource(json.loads(json.dumps(spec.to_resource()))) == spec


def test_a_stream_is_read_from_its_object() -> None:
    record = a_record()
    stream = Stream.from_object(an_object(a_spec().to_resource(), status=record.to_resource()))
    assert (stream.namespace, stream.name, stream.uid, stream.resource_version) == ("default", STREAM_ID, "u", "7")
    assert (stream.generation, stream.is_deleting) == (3, False)
    assert stream.create_time == naming.create_time(STREAM_ID, NOW)
    assert (stream.spec, stream.status) == (a_spec(), record)


@pytest.mark.parametrize("status", [None, {}, {"observedGeneration": 1}], ids=["none", "empty", "no-status-yet"])
def test_a_stream_that_nobody_looked_at_has_no_record(status: dict[str, Any] | None) -> None:
    rest = {} if status is None else {"status": status}
    assert Stream.from_object(an_object(a_spec().to_resource(), **rest)).status is None


def test_an_object_that_is_being_deleted_says_so() -> None:
    leaving = {"metadata": META | {"deletionTimestamp": "2026-01-31T13:00:00Z"}}
    assert Stream.from_object(an_object(a_spec().to_resource()) | leaving).is_deleting
    assert StreamProcessor.from_object(an_object({}) | leaving).is_deleting


def test_a_pool_is_read_from_its_object() -> None:
    pool = StreamProcessor.from_object(an_object({"slotsPerPod": 2}, status={"readyReplicas": 1}))
    assert (pool.spec.slots_per_pod, pool.status.ready_replicas, pool.generation) == (2, 1, 3)
    empty = StreamProcessor.from_object({"metadata": META})
    assert (empty.spec, empty.status.replicas) == (StreamProcessorSpec(), 0)


def test_a_group_is_read_from_its_object() -> None:
    group = StreamGroup.from_object(an_object({"accountId": ACCOUNT, "groupName": "doors"}))
    assert (group.group_id, group.spec.group_name, group.spec.description) == (STREAM_ID, "doors", "")
    assert (group.create_time, group.resource_version) == (NOW, "7")
    assert a_group().group_id == naming.group_object_name(ACCOUNT, "doors")


def test_an_object_that_this_release_does_not_understand_is_refused() -> None:
    spec = a_spec().to_resource() | {"brandNew": True}
    with pytest.raises(ValidationError, match="brandNew"):
        Stream.from_object(an_object(spec))


def test_a_resource_is_not_read_in_the_spelling_of_the_api() -> None:
    with pytest.raises(ValidationError):
        StreamSpec.from_resource(a_spec().to_rest())


def test_values_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        a_spec().display_name = "other"  # type: ignore[misc]


def test_a_status_read_from_a_resource_is_the_enumeration_itself() -> None:
    spec = StreamSpec.from_resource(stream_object(desired_status="pause")["spec"])
    record = StreamStatus.from_resource(a_record(status="done").to_resource())
    assert spec.desired_status is StreamState.PAUSE
    assert record.status is StreamState.DONE
    assert record.history[-1].status is StreamState.DONE


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"type": "images", "mask": None}, "mask is required for type images", id="images-without-mask"),
        pytest.param({"type": "tcp", "mask": "a"}, "not permitted for other types", id="mask-elsewhere"),
        pytest.param({"type": "videofile", "endless": False}, "tcp and udp only", id="endless-file"),
        pytest.param({"type": "images", "endless": True}, "tcp and udp only", id="endless-images"),
        pytest.param({"analytics": ()}, "at least 1 item", id="no-analytics"),
        pytest.param({"analytics": (an_analytics(),) * 17}, "at most 16 items", id="too-many-analytics"),
        pytest.param({"type": "file"}, "'tcp', 'udp', 'videofile' or 'images'", id="unknown-type"),
        pytest.param({"reference": "x" * 513}, "at most 512", id="long-reference"),
        pytest.param({"rotation": 45}, "0, 90, 180 or 270", id="odd-rotation"),
    ],
)
def test_data_that_do_not_fit_together_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        some_data(**changes)


@pytest.mark.parametrize(
    ("source", "endless", "is_endless"),
    [
        ("tcp", None, True),
        ("udp", True, True),
        ("tcp", False, False),
        ("videofile", None, False),
        ("images", None, False),
    ],
)
def test_only_a_network_source_goes_on_for_ever(source: str, endless: bool | None, is_endless: bool) -> None:
    data: StreamData = some_data(type=source, endless=endless)
    assert data.is_endless == is_endless


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_what_is_no_number_is_refused(number: float) -> None:
    with pytest.raises(ValidationError, match="finite number"):
        an_analytics(filtering={"min_score_face": number})


def test_true_is_no_number() -> None:
    with pytest.raises(ValidationError, match="valid integer"):
        an_analytics(mode=True)


def test_a_region_given_as_numbers_is_pixels() -> None:
    assert some_data(roi=(1, 2, 3, 4)).roi == RoiAbs(x=1, y=2, width=3, height=4)


@pytest.mark.parametrize(
    "gpu", [{}, {"resource_name": "nvidia.com/gpu", "claim_template": "gpu"}], ids=["neither", "both"]
)
def test_a_gpu_is_asked_for_in_one_way(gpu: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="exactly one"):
        GpuRequest(**gpu)


def test_the_bounds_of_a_pool_are_in_order() -> None:
    with pytest.raises(ValidationError, match="minReplicas must not exceed maxReplicas"):
        a_pool(min_replicas=2, max_replicas=1)


def test_numbers_of_log_entries_go_on_after_old_ones_were_dropped() -> None:
    record = a_record(status="handler_lost")
    assert record.next_seq == len(record.history) + 1
    assert record.model_copy(update={"history": record.history[-1:]}).next_seq == record.next_seq
    assert record.model_copy(update={"history": ()}).next_seq == 1


def test_the_hash_of_the_data_does_not_change_between_releases() -> None:
    """A change here restarts every stream of every cluster that is upgraded: it must be worth it."""
    assert a_stream(display_name="door").spec.data_hash() == "b6628132595780ef5964039919299fe7"


@pytest.mark.parametrize(
    ("error", "code", "detail"),
    [
        (StreamNotFound(STREAM_ID), 39001, f"Stream with id '{STREAM_ID}' not found"),
        (
            CannotCancel(STREAM_ID),
            39005,
            f"Processing of streams with id '{STREAM_ID}' is finished and cannot be cancelled",
        ),
        (GroupExists("doors"), 39006, "Group named 'doors' already exists"),
        (GroupNameNotFound("doors"), 39007, "Group named doors not found"),
        (GroupNotFound(STREAM_ID), 39008, f"Group with id {STREAM_ID} not found"),
    ],
)
def test_refusals_have_the_documented_code_and_words(error: Any, code: int, detail: str) -> None:
    assert (error.code, error.detail, str(error)) == (code, detail, detail)
    assert error.desc in ("Object not found", "Unable to cancel processing", "Unique constraint error")


def test_every_field_of_every_model_has_two_spellings_at_most() -> None:
    for model in _models(Model):
        names = [spelling for name, field in model.model_fields.items() for spelling in {name, field.alias}]
        assert len(names) == len(set(names)), model


def _models(base: type[Model]) -> list[type[Model]]:
    return [model for child in base.__subclasses__() for model in (child, *_models(child))]
