"""Live, parsed copies of what surrounds the streams: groups, pools, and the Secrets streams refer to."""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from pydantic import ValidationError

from luna_kube import CacheEvent, EventType, Json, Key, Reflector
from luna_streams.group import StreamGroup
from luna_streams.stream import SecretKeyRef, StreamData

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


class Secrets:
    """Values of the Secrets that streams refer to."""

    def __init__(self, reflector: Reflector) -> None:
        self._reflector = reflector

    def value(self, namespace: str, ref: SecretKeyRef) -> str | None:
        """Return the value of a key; None if there is no such Secret or key, or it is not text."""
        secret = self._reflector.get(namespace, ref.name)
        encoded = (secret.get("data") or {}).get(ref.key) if secret else None
        if encoded is None:
            return None
        try:
            return base64.b64decode(encoded).decode()
        except (binascii.Error, UnicodeDecodeError):
            return None

    def versions(self, namespace: str, data: StreamData) -> tuple[str, ...]:
        """Return the versions of the Secrets a stream refers to; when one changes, so does what is shown."""
        return tuple(self._version(namespace, name) for name in secret_names(data))

    def _version(self, namespace: str, name: str) -> str:
        secret = self._reflector.get(namespace, name)
        return secret["metadata"]["resourceVersion"] if secret else ""


def secret_names(data: StreamData) -> list[str]:
    """Return the names of the Secrets a stream refers to."""
    refs = [data.reference_from]
    refs += [item.event_handler.authorization.token_from for item in data.analytics if item.event_handler.authorization]
    return sorted({ref.name for ref in refs if ref is not None})
