"""The catalogue finds what a plain look at every stream would find, in the documented order."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luna_api_shim.storage.catalogue import Catalogue, Entry, StreamFilter
from luna_streams.stream import ProcessorBinding, Stream, StreamState
from support.builders import ACCOUNT, NOW, OTHER_ACCOUNT, a_record, a_stream


def uuid_of(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012x}"


def an_entry(number: int, *, age: int = 0, status: str = "pending", **spec: Any) -> Entry:
    stream = a_stream(uuid_of(number), create_time=NOW + timedelta(seconds=age), **spec)
    return Entry(stream.model_copy(update={"status": a_record(stream.spec, status=status)}))


entries = st.builds(
    an_entry,
    st.integers(0, 30),
    age=st.integers(0, 5),
    status=st.sampled_from(["pending", "in_progress", "done", "pause"]),
    account_id=st.sampled_from([ACCOUNT, OTHER_ACCOUNT]),
    display_name=st.sampled_from(["", "a", "b"]),
    groups=st.sampled_from([(), ("g",), ("g", "h")]),
)
some_ids = st.frozensets(st.integers(0, 35).map(uuid_of), max_size=6)
filters = st.builds(
    StreamFilter,
    account_id=st.none() | st.just(ACCOUNT),
    stream_ids=st.none() | some_ids,
    names=st.none() | st.frozensets(st.sampled_from(["", "a", "c"])),
    statuses=st.none() | st.frozensets(st.sampled_from(["pending", "done", "restart"])),
    group_name=st.none() | st.sampled_from(["g", "h", "x"]),
    create_time_gte=st.none() | st.just(NOW + timedelta(seconds=2)),
    create_time_lt=st.none() | st.just(NOW + timedelta(seconds=4)),
    stream_id_gte=st.none() | st.integers(0, 30).map(uuid_of),
    stream_id_lt=st.none() | st.integers(0, 30).map(uuid_of),
)


def fits(entry: Entry, wanted: StreamFilter) -> bool:
    spec, created = entry.stream.spec, entry.stream.create_time
    return all(
        (
            wanted.account_id in (None, spec.account_id),
            wanted.stream_ids is None or entry.stream_id in wanted.stream_ids,
            wanted.names is None or spec.display_name in wanted.names,
            wanted.statuses is None or entry.record.status.value in wanted.statuses,
            wanted.group_name is None or wanted.group_name in spec.groups,
            wanted.create_time_gte is None or created >= wanted.create_time_gte,
            wanted.create_time_lt is None or created < wanted.create_time_lt,
            wanted.stream_id_gte is None or entry.stream_id >= wanted.stream_id_gte,
            wanted.stream_id_lt is None or entry.stream_id < wanted.stream_id_lt,
        )
    )


@settings(deadline=None)
@given(st.lists(entries), st.sets(st.integers(0, 30)), filters, st.booleans(), st.integers(0, 5), st.integers(1, 8))
def test_a_query_finds_the_page_that_a_look_at_every_stream_finds(
    put: list[Entry], removed: set[int], wanted: StreamFilter, newest_first: bool, offset: int, limit: int
) -> None:
    catalogue, model = Catalogue(), dict[str, Entry]()
    for entry in put:
        present = model.get(entry.stream_id)
        if present is not None and present.age != entry.age:  # an object never changes its age
            catalogue.remove(present.key)
        catalogue.put(entry)
        model[entry.stream_id] = entry
    for number in removed:
        catalogue.remove(("default", uuid_of(number)))
        model.pop(uuid_of(number), None)

    by_id = wanted.stream_id_gte is not None or wanted.stream_id_lt is not None
    expected = sorted(
        (entry for entry in model.values() if fits(entry, wanted)),
        key=lambda entry: (0, entry.stream_id) if by_id else (entry.stream.create_time, entry.stream_id),
        reverse=newest_first,
    )
    found = catalogue.select(wanted, newest_first=newest_first, offset=offset, limit=limit)
    assert [entry.stream_id for entry in found] == [entry.stream_id for entry in expected[offset : offset + limit]]
    assert catalogue.count(wanted) == len(expected)
    assert len(catalogue) == len(model)
    for account in (None, ACCOUNT, OTHER_ACCOUNT):
        active = [
            entry
            for entry in model.values()
            if entry.record.status is not StreamState.DONE and account in (None, entry.stream.spec.account_id)
        ]
        assert catalogue.count_active(account) == len(active)


@settings(deadline=None)
@given(st.lists(entries))
def test_indexes_forget_what_is_gone(put: list[Entry]) -> None:
    catalogue = Catalogue()
    for entry in put:
        catalogue.remove(entry.key)
        catalogue.put(entry)
    for entry in put:
        catalogue.remove(entry.key)
    assert vars(catalogue) == vars(Catalogue())


def test_streams_are_found_by_their_pod_and_by_having_no_status() -> None:
    catalogue = Catalogue()
    assigned = an_entry(1)
    binding = ProcessorBinding(pod="pod", pod_uid="uid")
    record = assigned.record.model_copy(update={"processor": binding})
    assigned = Entry(assigned.stream.model_copy(update={"status": record}))
    blank = Entry(a_stream(uuid_of(2)))
    catalogue.put(assigned)
    catalogue.put(blank)
    assert catalogue.of_pod("uid") == [assigned]
    assert catalogue.blank() == [blank]
    assert set(catalogue.with_status(StreamState.PENDING)) == {assigned, blank}


@pytest.fixture
def twins() -> tuple[Stream, Stream]:
    return a_stream(uuid_of(1), namespace="one"), a_stream(uuid_of(1), namespace="two")


def test_of_two_objects_with_one_id_the_first_is_the_stream(twins: tuple[Stream, Stream]) -> None:
    catalogue = Catalogue()
    first, second = Entry(twins[0]), Entry(twins[1])
    catalogue.put(first)
    catalogue.put(second)
    assert catalogue.get(uuid_of(1)) is first
    assert catalogue.at(second.key) is None
    catalogue.remove(first.key)
    assert catalogue.get(uuid_of(1)) is second


def test_the_hidden_one_of_two_may_go_first(twins: tuple[Stream, Stream]) -> None:
    catalogue = Catalogue()
    first, second = Entry(twins[0]), Entry(twins[1])
    catalogue.put(first)
    catalogue.put(second)
    catalogue.remove(second.key)
    catalogue.remove(first.key)
    assert vars(catalogue) == vars(Catalogue())
