"""Builders of domain objects and REST bodies for tests: say what matters to the test, the rest is filled in.

    a_stream(groups=("doors",), data=some_data(type="udp"))
    a_stream(record=a_record(status="in_progress"))
    a_pool("gpu", slots_per_pod=2, selector={"names": ["door"]})

`tests/support/strategies.py` has the hypothesis strategies.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any, Final

from luna_streams import naming
from luna_streams.lifecycle import HandlerLost, Report, Taken, UserRequest, advance, create
from luna_streams.v1alpha1 import (
    Analytics,
    EventHandler,
    Stream,
    StreamData,
    StreamGroup,
    StreamGroupSpec,
    StreamProcessor,
    StreamProcessorSpec,
    StreamSpec,
    StreamState,
    StreamStatus,
)

ACCOUNT: Final = "6d071cca-fda5-4a03-84d5-5bea65904480"
OTHER_ACCOUNT: Final = "00000000-0000-4000-b000-000000000146"
HANDLER: Final = "ee4c42b6-23ae-410e-a2aa-a4220e64ba4b"
STREAM_ID: Final = "0193e0d5-5f6a-7c3e-8a5b-2f6d0c1b4a39"
NOW: Final = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)
WORKER: Final = "b1f7a3de-6f0a-4f57-9d1b-0a6a4f0c2e11"


def an_analytics(**changes: Any) -> Analytics:
    """Return an analytics that delivers to a handler by the account of the stream."""
    return Analytics(**{"event_handler": EventHandler(handler_id=HANDLER)} | changes)


def some_data(**changes: Any) -> StreamData:
    """Return the data of a video file, or of whatever `type` says."""
    references = {"tcp": "rtsp://camera.local/live", "udp": "udp://239.0.0.1:1234", "images": "/media/frames"}
    kind = changes.get("type", "videofile")
    own = {"type": kind, "reference": references.get(kind, "/media/clip.mp4"), "analytics": (an_analytics(),)}
    if kind == "images":
        own["mask"] = "frame_%04d.jpg"
    return StreamData(**own | changes)


def a_spec(**changes: Any) -> StreamSpec:
    """Return the spec of a stream."""
    return StreamSpec(**{"account_id": ACCOUNT, "data": some_data()} | changes)


def a_record(
    spec: StreamSpec | None = None,
    *,
    status: StreamState | str = StreamState.PENDING,
    now: datetime = NOW,
    worker: str = WORKER,
    error: str | None = None,
    **changes: Any,
) -> StreamStatus:
    """Return a record that came to its status by the rules; `changes` are put on top."""
    record = create(spec or a_spec(), now).record
    wanted = StreamState(status)
    if wanted in (StreamState.PAUSE, StreamState.CANCEL):
        record = advance(record, UserRequest(wanted, STREAM_ID, is_videofile=False), now).record
    elif wanted != StreamState.PENDING:
        record = advance(record, Taken(worker), now).record
        if wanted == StreamState.HANDLER_LOST:
            record = advance(record, HandlerLost(error or "no feedback"), now).record
        else:
            record = advance(record, Report(wanted, record.version, error=error, worker=worker), now).record
    return record.model_copy(update=changes)


def a_stream(
    name: str = STREAM_ID,
    *,
    namespace: str = "default",
    record: StreamStatus | None = None,
    create_time: datetime = NOW,
    generation: int = 1,
    is_deleting: bool = False,
    **spec: Any,
) -> Stream:
    """Return a Stream as the rest of the code sees it; further arguments go into its spec."""
    return Stream(
        namespace=namespace,
        name=name,
        uid=str(uuid.uuid5(uuid.NAMESPACE_OID, f"{namespace}/{name}")),
        resource_version="1",
        generation=generation,
        create_time=create_time,
        is_deleting=is_deleting,
        spec=a_spec(**spec),
        status=record,
    )


def a_group(group_name: str = "doors", *, account_id: str = ACCOUNT, namespace: str = "default") -> StreamGroup:
    """Return a StreamGroup as the REST API makes it."""
    name = naming.group_object_name(account_id, group_name)
    return StreamGroup(
        namespace=namespace,
        name=name,
        uid=str(uuid.uuid5(uuid.NAMESPACE_OID, name)),
        resource_version="1",
        create_time=NOW,
        spec=StreamGroupSpec(account_id=account_id, group_name=group_name),
    )


def a_pool(
    name: str = "pool", *, namespace: str = "default", is_deleting: bool = False, **spec: Any
) -> StreamProcessor:
    """Return a StreamProcessor; further arguments go into its spec."""
    return StreamProcessor(
        namespace=namespace,
        name=name,
        uid=str(uuid.uuid5(uuid.NAMESPACE_OID, f"{namespace}/{name}")),
        resource_version="1",
        create_time=NOW,
        is_deleting=is_deleting,
        spec=StreamProcessorSpec(**spec),
    )


def stream_object(name: str = STREAM_ID, *, namespace: str = "default", **spec: Any) -> dict[str, Any]:
    """Return a Stream as it is sent to a Kubernetes API server."""
    return {
        "apiVersion": naming.API_VERSION,
        "kind": "Stream",
        "metadata": {"name": name, "namespace": namespace},
        "spec": a_spec(**spec).to_resource(),
    }


def v1_body(**changes: Any) -> dict[str, Any]:
    """Return the smallest body of POST /1/streams."""
    return {
        "account_id": ACCOUNT,
        "data": {"type": "tcp", "reference": "rtsp://some_stream_address"},
        "event_handler": {
            "origin": "http://127.0.0.1:5000",
            "api_version": 6,
            "bestshot_handler": {"handler_id": HANDLER},
        },
    } | changes


def v2_body(**changes: Any) -> dict[str, Any]:
    """Return the smallest body of POST /2/streams."""
    account = changes.get("account_id", ACCOUNT)
    handler = {"handler_id": HANDLER, "frame_store": None, "authorization": {"account_id": account}}
    return {
        "account_id": account,
        "data": {
            "type": "tcp",
            "reference": "rtsp://some_stream_address",
            "analytics": [{"event_handler": handler}],
        },
    } | changes
