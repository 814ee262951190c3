"""What users do to streams, while others write too or a write fails; in memory."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luna_api_shim.editing.editor import Editor
from luna_api_shim.errors import BadBody, UnknownGroupId, UnknownGroupName
from luna_api_shim.storage.catalogue import Entry
from luna_api_shim.storage.records import Records
from luna_api_shim.workers.feedback import Feedback
from luna_api_shim.workers.handlers import HandlerWatch
from luna_api_shim.workers.identity import Worker
from luna_kube import ApiError, Conflict, Forbidden, Invalid, Unavailable
from luna_streams.errors import CannotCancel, CannotPause, StreamNotFound
from luna_streams.lifecycle import Taken, advance, observe
from luna_streams.rest.messages import FeedbackAnswer, FeedbackItem, StreamPatch
from luna_streams.rest.v2 import StreamToBeCreatedV2
from luna_streams.stream import ProcessorBinding, SecretKeyRef, Stream, StreamPlacement, StreamSpec, StreamState
from support.builders import NOW, OTHER_ACCOUNT, STREAM_ID, WORKER, a_group, a_record, a_stream, some_data, v2_body
from support.memory_store import MemoryStore


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def editor(store: MemoryStore) -> Editor:
    return Editor(store, Records(store))


def a_body(**changes: Any) -> StreamToBeCreatedV2:
    return StreamToBeCreatedV2.from_peer(v2_body(**changes))


def with_password(user_info: str = "user:password", reference: str = "rtsp://camera/live") -> StreamToBeCreatedV2:
    body = v2_body()
    body["data"]["reference"] = reference.replace("://", f"://{user_info}@")
    return StreamToBeCreatedV2.from_peer(body)


def credentials_of(store: MemoryStore, entry: Entry) -> str:
    """Return the user info of a stream as it stands, wherever it came from."""
    found = store.credentials(store.objects[entry.key]).user_info
    assert found is not None
    return found.get_secret_value()


def fail(store: MemoryStore, what: str, error: ApiError) -> None:
    def before_write(present: str, _stream: Stream | None) -> None:
        if present == what:
            raise error

    store.before_write = before_write


def existing(store: MemoryStore, status: str = "pending", **spec: Any) -> Entry:
    blank = a_stream(**spec)
    return store.add(blank.model_copy(update={"status": a_record(blank.spec, status=status)}))


def as_operator(store: MemoryStore, stream: Stream) -> None:
    """Bring the stored record in line with the stored spec, as the operator does when it sees a change."""
    present = store.objects[stream.namespace, stream.name]
    record = observe(present.spec, present.status, STREAM_ID, NOW).record
    if record is not present.status:
        store.change(present, status=record)


async def test_a_new_stream_takes_one_write_and_its_secret_two_more(store: MemoryStore, editor: Editor) -> None:
    await editor.create(a_body())
    assert store.writes == ["create"]
    entry = await editor.create(with_password())
    assert store.writes == ["create", "secret", "create", "adopt"]
    assert credentials_of(store, entry) == "user:password"
    assert list(store.owners.values()) == [entry.stream.uid]


@pytest.mark.parametrize(
    ("failing", "error", "is_kept"),
    [
        pytest.param("secret", Unavailable("POST secrets", "no answer"), False, id="secret"),
        pytest.param("create", Invalid("POST streams", "wrong", status=422), False, id="stream-refused"),
        pytest.param("create", Forbidden("POST streams", "quota", status=403), False, id="stream-forbidden"),
        pytest.param("create", Unavailable("POST streams", "no answer"), True, id="stream-perhaps-written"),
    ],
)
async def test_no_stream_is_ever_there_without_its_secret(
    store: MemoryStore, editor: Editor, failing: str, error: ApiError, is_kept: bool
) -> None:
    fail(store, failing, error)
    with pytest.raises((ApiError, BadBody)):
        await editor.create(with_password())
    assert store.objects == {}
    assert bool(store.secrets) == is_kept


async def test_a_stream_is_created_although_its_secret_gets_no_owner_yet(store: MemoryStore, editor: Editor) -> None:
    fail(store, "adopt", Unavailable("PUT secrets", "no answer"))
    assert credentials_of(store, await editor.create(with_password())) == "user:password"


async def test_every_put_has_a_secret_of_its_own_and_drops_the_one_it_replaces(
    store: MemoryStore, editor: Editor
) -> None:
    entry = await editor.create(with_password("one"))
    entry = await editor.replace(entry, with_password("two"))
    assert credentials_of(store, entry) == "two"
    assert (len(store.secrets), list(store.owners.values())) == (1, [entry.stream.uid])
    await editor.replace(entry, a_body())
    assert store.secrets == {}


async def test_a_put_that_a_proxy_repeats_keeps_its_own_credentials(
    store: MemoryStore, editor: Editor, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = await editor.replace(existing(store), with_password("one"))
    write = store.replace_spec

    async def repeated(entry: Entry, spec: StreamSpec) -> Entry:
        monkeypatch.undo()
        await write(entry, spec)
        raise Conflict("PUT", "the first of the two was carried out")

    monkeypatch.setattr(store, "replace_spec", repeated)
    entry = await editor.replace(entry, with_password("two"))
    assert credentials_of(store, entry) == "two"


async def test_a_put_that_is_not_written_leaves_the_old_credentials_alone(store: MemoryStore, editor: Editor) -> None:
    entry = await editor.create(with_password("one"))
    fail(store, "spec", Invalid("PUT streams", "wrong", status=422))
    with pytest.raises(BadBody):
        await editor.replace(entry, with_password("two"))
    assert credentials_of(store, entry) == "one"
    assert len(store.secrets) == 1


async def test_a_put_never_deletes_a_secret_that_a_user_made(store: MemoryStore, editor: Editor) -> None:
    store.secrets["front-door"] = {"reference": "user:password"}
    data = some_data(
        type="tcp", reference="rtsp://camera/live", reference_from=SecretKeyRef(name="front-door", key="reference")
    )
    await editor.replace(existing(store, data=data), with_password("two"))
    assert store.secrets["front-door"] == {"reference": "user:password"}


@given(order=st.randoms(use_true_random=False), crash_at=st.integers(0, 16))
@settings(max_examples=150)
async def test_specs_never_stand_with_the_credentials_of_another_put(order: random.Random, crash_at: int) -> None:
    """Several PUTs at once, each step of each in a random order, the process gone at some point."""
    store = MemoryStore()
    store.order = order
    editor = Editor(store, Records(store))
    entry = await editor.create(with_password("first", "rtsp://first/live"))
    steps = 0

    def crash(_what: str, _stream: Stream | None) -> None:
        nonlocal steps
        steps += 1
        if steps > crash_at:
            raise asyncio.CancelledError

    store.before_write = crash
    puts = [editor.replace(entry, with_password(f"put{n}", f"rtsp://put{n}/live")) for n in range(3)]
    await asyncio.gather(*puts, return_exceptions=True)

    spec = store.objects[entry.key].spec
    assert spec.data.reference == f"rtsp://{credentials_of(store, entry)}/live"


async def test_a_stream_joins_groups_of_its_account_only(store: MemoryStore, editor: Editor) -> None:
    own, other = a_group("own"), a_group("other", account_id=OTHER_ACCOUNT)
    store.groups.all = [own, other]

    entry = await editor.create(a_body(group_name="own", group_id=own.group_id))
    assert entry.stream.spec.groups == ("own",)
    with pytest.raises(UnknownGroupName):
        await editor.create(a_body(group_name="other"))
    with pytest.raises(UnknownGroupId):
        await editor.create(a_body(group_id=other.group_id))


@pytest.mark.parametrize("operator_writes_after", ["nobody", "spec"])
async def test_put_raises_the_version_once_even_if_the_operator_sees_the_spec_first(
    store: MemoryStore, editor: Editor, operator_writes_after: str
) -> None:
    entry = existing(store, "in_progress")

    def interfere(what: str, stream: Stream | None) -> None:
        if what == "status" and operator_writes_after == "spec" and stream is not None:
            as_operator(store, stream)

    store.before_write = interfere
    for version in (2, 3):
        entry = await editor.replace(entry, a_body())
        assert entry.record.version == version
        assert store.record(entry).version == version
        assert store.record(entry).status == StreamState.PENDING


async def test_put_keeps_what_the_rest_api_does_not_know(store: MemoryStore, editor: Editor) -> None:
    placement = StreamPlacement(preferred_zones=("a",), preemption_policy="PreemptLowerPriority")
    entry = existing(store, priority=7, groups=("doors",), placement=placement)
    store.groups.all = [a_group("gates")]
    entry = await editor.replace(entry, a_body(group_name="gates"))
    assert (entry.stream.spec.priority, entry.stream.spec.groups) == (7, ("doors", "gates"))
    assert entry.stream.spec.placement == placement


async def test_put_of_a_stream_without_a_status_is_version_two(store: MemoryStore, editor: Editor) -> None:
    entry = await editor.create(a_body())
    assert (await editor.replace(entry, a_body())).record.version == 2


async def test_put_with_a_new_password_writes_the_secret_before_the_spec(store: MemoryStore, editor: Editor) -> None:
    entry = existing(store)
    await editor.replace(entry, with_password())
    assert store.writes == ["secret", "spec", "status"]


@pytest.mark.parametrize(
    ("status", "data", "wanted", "refusal"),
    [
        ("in_progress", "videofile", "pause", CannotPause),
        ("done", "tcp", "cancel", CannotCancel),
        ("failure", "tcp", "cancel", CannotCancel),
    ],
)
async def test_a_refused_patch_writes_nothing(
    store: MemoryStore, editor: Editor, status: str, data: str, wanted: str, refusal: type[Exception]
) -> None:
    blank = a_stream()
    entry = existing(store, status, data=blank.spec.data.model_copy(update={"type": data}))
    with pytest.raises(refusal):
        await editor.patch(entry, StreamPatch(status=wanted, description="new"))
    assert store.writes == []


async def test_patch_of_the_description_alone_leaves_the_status_alone(store: MemoryStore, editor: Editor) -> None:
    entry = existing(store)
    await editor.patch(entry, StreamPatch(description="new"))
    assert store.writes == ["spec"]


async def test_patch_that_changes_nothing_writes_nothing(store: MemoryStore, editor: Editor) -> None:
    await editor.patch(existing(store), StreamPatch(status="pending"))
    assert store.writes == []


async def test_patch_decides_again_when_the_stream_changed_meanwhile(store: MemoryStore, editor: Editor) -> None:
    entry = existing(store, "in_progress")

    def finish_first(what: str, stream: Stream | None) -> None:
        if what == "spec" and stream is not None and store.writes.count("spec") == 1:
            store.change(stream, status=a_record(stream.spec, status="done"))

    store.before_write = finish_first
    with pytest.raises(CannotCancel):
        await editor.patch(entry, StreamPatch(status="cancel"))


async def test_patch_does_not_undo_what_happened_after_the_operator_followed_it(
    store: MemoryStore, editor: Editor
) -> None:
    """Resumed by the operator and taken by a worker, all between the two writes: the stream stays in progress."""
    entry = existing(store, "pause", desired_status=StreamState.PAUSE)

    def resume_and_take(what: str, stream: Stream | None) -> None:
        if what == "status" and stream is not None and store.writes.count("status") == 1:
            as_operator(store, stream)
            present = store.objects[stream.namespace, stream.name]
            assert present.status is not None
            taken = advance(present.status, Taken("worker"), NOW).record
            store.change(present, status=taken.model_copy(update={"processor": ProcessorBinding(worker="worker")}))

    store.before_write = resume_and_take
    entry = await editor.patch(entry, StreamPatch(status="pending"))
    assert store.record(entry).status == StreamState.IN_PROGRESS


async def test_changing_a_stream_that_was_deleted_meanwhile_finds_nothing(store: MemoryStore, editor: Editor) -> None:
    entry = existing(store)
    store.objects.clear()
    for change in (
        editor.patch(entry, StreamPatch(status="pause")),
        editor.replace(entry, a_body()),
        editor.delete(entry),
    ):
        with pytest.raises(StreamNotFound):
            await change


async def test_a_stream_made_anew_under_the_old_name_is_another_one(store: MemoryStore, editor: Editor) -> None:
    entry = existing(store)
    store.change(entry.stream, uid="another")
    with pytest.raises(StreamNotFound):
        await editor.patch(entry, StreamPatch(status="pause"))


# --- a cancel that races the end of a stream --------------------------------------------------------------------------


@pytest.mark.parametrize("order", range(40))
async def test_a_cancel_and_the_end_of_a_stream_leave_wish_and_status_in_line(order: int) -> None:
    """Whoever is first wins, and the other hears of it: no finished stream keeps a wish to be cancelled."""
    store = MemoryStore()
    store.order = random.Random(order)
    records = Records(store)
    feedback = Feedback(store, records, HandlerWatch(store, records, period_s=20))
    entry = existing(store, "in_progress")
    done = FeedbackItem.from_peer(
        {"stream_id": entry.stream_id, "status": "done", "version": 1, "error": None, "video_info": None}
    )

    cancelled, answer = await asyncio.gather(
        Editor(store, records).patch(entry, StreamPatch(status="cancel")),
        feedback.report(Worker(WORKER), [done]),
        return_exceptions=True,
    )

    stream = store.objects[entry.key]
    assert isinstance(answer, FeedbackAnswer)
    if isinstance(cancelled, CannotCancel):
        assert (store.record(entry).status, stream.spec.desired_status) == ("done", "pending")
        assert [told.status for told in answer.streams.unmodified] == ["done"]
    else:
        assert (store.record(entry).status, stream.spec.desired_status) == ("cancel", "cancel")
        assert [told.status for told in answer.streams.modified] == ["cancel"]
    again = await Editor(store, records).patch(Entry(stream), StreamPatch(status="pending"))
    assert (again.record.status, again.stream.spec.desired_status) == ("pending", "pending")
