"""Live, parsed copies of what surrounds the streams: groups and pools."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from pydantic import ValidationError

from luna_kube import CacheEvent, EventType, Json, Key, Reflector
from luna_streams.group import StreamGroup

log = logging.getLogger(__name__)

T = TypeVar("T")


class View(Generic[T]):
    """Every object of a reflector, parsed; one this release does not understand is left out and named in the log.

    Args:
        reflector: the raw objects.
        parse: raises ValidationError for an object it does not understand.
        changed: called after every change.
    """

    def __init__(self, reflector: Reflector, parse: Callable[[Json], T], changed: Callable[[], None]) -> None:
        self._what = str(reflector.collection)
        self._parse = parse
        self._changed = changed
        self._parsed: dict[Key, T] = {}
        self.changes = 0
        """Grows with every change."""
        reflector.subscribe(self._apply)

    def __iter__(self) -> Iterator[T]:
        return iter(self._parsed.values())

    def get(self, namespace: str, name: str) -> T | None:
        """Return one object."""
        return self._parsed.get((namespace, name))

    def _apply(self, event: CacheEvent) -> None:
        self.changes += 1
        self._parsed.pop(event.key, None)
        if event.type is not EventType.DELETED:
            try:
                self._parsed[event.key] = self._parse(event.object)
            except ValidationError as e:
                log.warning("%s of %s is not understood: %s", "/".join(event.key), self._what, e)
        self._changed()


class Groups:
    """The groups of all accounts.

    REST lets an account have one group of a name; manifests can make more. Then the oldest is the group that the name
    means, on every replica.
    """

    def __init__(self, view: View[StreamGroup]) -> None:
        self._view = view
        self._by_name: dict[tuple[str, str], StreamGroup] = {}
        self._by_id: dict[str, StreamGroup] = {}
        self._indexed_at = -1

    def __iter__(self) -> Iterator[StreamGroup]:
        return iter(self._view)

    def named(self, account_id: str, group_name: str) -> StreamGroup | None:
        """Return the group of an account."""
        self._index()
        return self._by_name.get((account_id, group_name))

    def get(self, group_id: str) -> StreamGroup | None:
        """Return the group with an id."""
        self._index()
        return self._by_id.get(group_id)

    def _index(self) -> None:
        if self._indexed_at == self._view.changes:
            return
        self._by_name.clear()
        self._by_id.clear()
        for group in sorted(self._view, key=lambda group: (group.create_time, group.namespace, group.name)):
            self._by_name.setdefault((group.spec.account_id, group.spec.group_name), group)
            self._by_id.setdefault(group.group_id, group)
        self._indexed_at = self._view.changes
