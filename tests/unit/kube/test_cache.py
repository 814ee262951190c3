"""The cache: newer wins, the dead stay dead, indexes follow."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luna_kube.cache import Cache, CacheEvent, EventType, Key

Json = dict[str, Any]


def an_object(name: str = "a", version: object = 1, uid: str = "") -> Json:
    metadata = {"namespace": "n", "name": name, "uid": uid or f"uid-{name}", "resourceVersion": str(version)}
    return {"metadata": metadata}


def types(events: list[CacheEvent]) -> list[str]:
    return [event.type.value for event in events]


def test_a_new_object_is_added_and_a_newer_one_modifies_it() -> None:
    cache = Cache()
    assert types(cache.put(an_object(version=9))) == ["ADDED"]
    [event] = cache.put(an_object(version=10))
    assert event.type is EventType.MODIFIED
    assert event.old == an_object(version=9)
    assert cache["n", "a"] == an_object(version=10)


def test_an_older_or_equal_version_changes_nothing() -> None:
    cache = Cache()
    cache.put(an_object(version=10), is_own_write=True)
    assert cache.put(an_object(version=9)) == []
    assert cache.put(an_object(version=10)) == []
    assert cache["n", "a"] == an_object(version=10)


@pytest.mark.parametrize(
    ("obj", "is_known"),
    [
        (an_object(version=9), True),
        (an_object(version=10), True),
        (an_object(version=11), False),
        (an_object(version="x7f"), False),
        (an_object(version=11, uid="another"), False),
        (an_object("b", version=9), False),
    ],
    ids=["older", "equal", "newer", "not comparable", "another incarnation", "another name"],
)
def test_what_is_known_changes_nothing(obj: Json, is_known: bool) -> None:
    cache = Cache()
    cache.put(an_object(version=10), is_own_write=True)
    assert cache.knows(obj) is is_known
    assert (cache.put(obj) == []) is is_known


def test_versions_are_compared_as_integers_of_any_size() -> None:
    cache = Cache()
    cache.put(an_object(version=10**30))
    assert cache.put(an_object(version=9 * 10**29)) == []
    assert types(cache.put(an_object(version=10**30 + 1))) == ["MODIFIED"]


def test_opaque_versions_leave_the_say_to_the_watch() -> None:
    cache = Cache()
    cache.put(an_object(version="x7f"))
    assert cache.put(an_object(version="a01"), is_own_write=True) == []
    assert types(cache.put(an_object(version="a01"))) == ["MODIFIED"]


def test_a_late_event_does_not_resurrect_what_an_own_delete_removed() -> None:
    cache = Cache()
    cache.put(an_object(version=5))
    assert types(cache.remove_own(("n", "a"), "uid-a")) == ["DELETED"]
    assert cache.put(an_object(version=6)) == []
    assert cache.remove(an_object(version=7)) == []
    assert len(cache) == 0


def test_a_late_own_write_does_not_resurrect_what_the_watch_removed() -> None:
    cache = Cache()
    cache.put(an_object(version=5))
    cache.remove(an_object(version=7))
    assert cache.put(an_object(version=6), is_own_write=True) == []
    assert len(cache) == 0


def test_the_name_of_a_deleted_object_can_be_used_again() -> None:
    cache = Cache()
    cache.put(an_object(version=5))
    cache.remove_own(("n", "a"), "uid-a")
    assert types(cache.put(an_object(version=8, uid="second"), is_own_write=True)) == ["ADDED"]
    assert cache.remove(an_object(version=7)) == []
    assert cache["n", "a"]["metadata"]["uid"] == "second"


def test_a_new_incarnation_is_a_deletion_and_an_addition() -> None:
    cache = Cache()
    cache.put(an_object(version=5))
    gone, new = cache.put(an_object(version=8, uid="second"))
    assert (gone.type, gone.object["metadata"]["uid"]) == (EventType.DELETED, "uid-a")
    assert (new.type, new.object["metadata"]["uid"]) == (EventType.ADDED, "second")


def test_an_object_may_leave_a_selector_and_come_back() -> None:
    cache = Cache()
    cache.put(an_object(version=5))
    cache.remove(an_object(version=6))
    assert types(cache.put(an_object(version=7))) == ["ADDED"]


def test_a_list_makes_up_for_what_was_missed() -> None:
    cache = Cache()
    for name, version in (("same", 1), ("changed", 2), ("deleted", 3)):
        cache.put(an_object(name, version))
    snapshot = [an_object("same", 1), an_object("changed", 5), an_object("new", 6)]
    events = cache.replace(snapshot, "7", seen_before=3)
    assert {(e.type.value, e.key[1]) for e in events} == {
        ("DELETED", "deleted"), ("MODIFIED", "changed"), ("ADDED", "new"),
    }  # fmt: skip
    assert {name for _, name in cache} == {"same", "changed", "new"}


def test_a_list_older_than_an_own_write_does_not_undo_it() -> None:
    cache = Cache()
    cache.put(an_object("created", 9), is_own_write=True)
    cache.put(an_object("changed", 10), is_own_write=True)
    assert cache.replace([an_object("changed", 2)], "8", seen_before=8) == []
    assert cache["n", "created"] == an_object("created", 9)
    assert cache["n", "changed"] == an_object("changed", 10)


def test_a_list_from_before_an_own_delete_does_not_undo_it() -> None:
    cache = Cache()
    cache.put(an_object(version=5))
    cache.remove_own(("n", "a"), "uid-a")
    assert cache.replace([an_object(version=5)], "6", seen_before=5) == []


def test_a_server_restored_from_a_backup_is_believed() -> None:
    cache = Cache()
    cache.put(an_object("kept", 1))
    cache.put(an_object("newer", 50))
    cache.put(an_object("lost", 60))
    cache.remove_own(("n", "back"), "uid-back")
    snapshot = [an_object("kept", 1), an_object("newer", 20), an_object("back", 21)]
    events = cache.replace(snapshot, "30", seen_before=60)
    assert [(e.type.value, e.key[1]) for e in events] == [
        ("DELETED", "newer"), ("DELETED", "lost"), ("ADDED", "newer"), ("ADDED", "back"),
    ]  # fmt: skip
    assert cache.highest_version == 30
    assert types(cache.put(an_object("newer", 31))) == ["MODIFIED"]


def test_tombstones_are_forgotten_in_the_end() -> None:
    now = 0.0
    cache = Cache(clock=lambda: now)
    for number in range(100):
        cache.remove_own(("n", str(number)), f"uid-{number}")
    now = 3600.0
    cache.remove_own(("n", "last"), "uid-last")
    assert len(cache._tombstones) == 1


names = st.sampled_from("abc")
steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), names), st.tuples(st.just("delete"), names),
        st.tuples(st.just("deliver"), st.integers(1, 3)), st.tuples(st.just("list"), st.just(0)),
    ),
    max_size=40,
)  # fmt: skip


class Storm:
    """A server, a watch that lags behind it by any number of events, own writes seen at once, lists in between."""

    def __init__(self) -> None:
        self.cache, self.replayed = Cache(), dict[Key, Json]()
        self.server: dict[Key, Json] = {}
        self.lagging: list[tuple[str, Json]] = []
        self.version = 10

    def put(self, name: str) -> None:
        old = self.server.get(("n", name))
        obj = an_object(name, self.version, uid=old["metadata"]["uid"] if old else f"uid-{self.version}")
        self.server["n", name] = obj
        self.lagging.append(("PUT", obj))
        self._tell(self.cache.put(obj, is_own_write=True))

    def delete(self, name: str) -> None:
        if last := self.server.pop(("n", name), None):
            uid = last["metadata"]["uid"]
            self.lagging.append(("DELETED", an_object(name, self.version, uid=uid)))
            self._tell(self.cache.remove_own(("n", name), uid))

    def deliver(self, count: int) -> None:
        for type_, obj in self.lagging[:count]:
            self._tell(self.cache.remove(obj) if type_ == "DELETED" else self.cache.put(obj))
        del self.lagging[:count]

    def list(self, _: int) -> None:
        self._tell(self.cache.replace([*self.server.values()], str(self.version), self.cache.highest_version))

    def _tell(self, events: Iterable[CacheEvent]) -> None:
        for event in events:
            assert (event.key in self.replayed) == (event.type is not EventType.ADDED)
            self.replayed.pop(event.key, None)
            if event.type is not EventType.DELETED:
                self.replayed[event.key] = event.object


@settings(deadline=None)
@given(steps=steps)
def test_in_whatever_order_the_three_sources_tell_the_cache_is_as_the_server(steps: list[tuple[str, Any]]) -> None:
    storm = Storm()
    for step, argument in steps:
        storm.version += 1
        getattr(storm, step)(argument)
        assert dict(storm.cache) == storm.server, "own writes are readable at once"
    storm.deliver(len(storm.lagging))
    assert dict(storm.cache) == storm.server == storm.replayed
