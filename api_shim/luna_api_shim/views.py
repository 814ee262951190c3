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
        reflector.subscribe(self._apply)

    def __iter__(self) -> Iterator[T]:
        return iter(self._parsed.values())

    def get(self, namespace: str, name: str) -> T | None:
        """Return one object."""
        return self._parsed.get((namespace, name))

    def _apply(self, event: CacheEvent) -> None:
        self._parsed.pop(event.key, None)
        if event.type is not EventType.DELETED:
            try:
                self._parsed[event.key] = self._parse(event.object)
            except ValidationError as e:
                log.warning("%s of %s is not understood: %s", "/".join(event.key), self._what, e)
        self._changed()


class Groups:
    """The groups of all accounts."""

    def __init__(self, view: View[StreamGroup]) -> None:
        self._view = view

    def __iter__(self) -> Iterator[StreamGroup]:
        return iter(self._view)

    def named(self, account_id: str, group_name: str) -> StreamGroup | None:
        """Return the group of an account."""
        return next(
            (one for one in self._view if one.spec.group_name == group_name and one.spec.account_id == account_id), None
        )

    def get(self, group_id: str) -> StreamGroup | None:
        """Return the group with an id."""
        return next((one for one in self._view if one.group_id == group_id), None)
