"""What a worker reports is kept without the secrets of its stream, whichever way the shim learns of the stream."""

from __future__ import annotations

import pytest

from luna_api_shim.storage.catalogue import Entry
from luna_api_shim.storage.records import Records
from luna_api_shim.workers.feedback import Feedback
from luna_api_shim.workers.handlers import HandlerWatch
from luna_api_shim.workers.identity import Worker
from luna_streams.rest.messages import FeedbackItem
from luna_streams.stream import SecretKeyRef
from luna_streams.v1alpha1 import Authorization, EventHandler
from support.builders import HANDLER, WORKER, a_record, a_stream, an_analytics, some_data
from support.memory_store import MemoryStore

TOLD = "401 for admin with hun/ter2 (hun%2fter2), and not with tok-12345"
KEPT = "401 for admin with *** (***), and not with ***"
SECRET = {"reference": "admin:hun%2Fter2", "token-0": "tok-12345"}


def running(store: MemoryStore) -> Entry:
    """Add a stream in progress whose secrets lie in the Secret `mine`."""
    handler = EventHandler(
        handler_id=HANDLER, authorization=Authorization(token_from=SecretKeyRef(name="mine", key="token-0"))
    )
    data = some_data(
        type="tcp",
        reference="rtsp://camera/live",
        reference_from=SecretKeyRef(name="mine", key="reference"),
        analytics=(an_analytics(event_handler=handler),),
    )
    stream = a_stream(data=data)
    return store.add(stream.model_copy(update={"status": a_record(stream.spec, status="in_progress")}))


async def report(store: MemoryStore, entry: Entry, status: str) -> None:
    records = Records(store)
    feedback = Feedback(store, records, HandlerWatch(store, records, period_s=20))
    body = {"stream_id": entry.stream_id, "status": status, "version": 1, "error": TOLD, "video_info": None}
    await feedback.report(Worker(WORKER), [FeedbackItem.from_peer(body)])


@pytest.mark.parametrize("status", ["in_progress", "failure"])
@pytest.mark.parametrize("is_known", [True, False], ids=["known", "not-yet-known"])
async def test_an_error_is_kept_without_the_secrets_of_its_stream(status: str, is_known: bool) -> None:
    store = MemoryStore()
    store.secrets["mine"] = SECRET
    entry = running(store)
    if not is_known:
        store.forget(entry)
    await report(store, entry, status)
    assert store.record(entry).last_error == KEPT


async def test_a_missing_secret_costs_no_report() -> None:
    store = MemoryStore()
    entry = running(store)
    await report(store, entry, "failure")
    assert store.record(entry).last_error == TOLD
