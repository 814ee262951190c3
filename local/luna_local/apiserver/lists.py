"""Lists: selection, paging, and what a client may ask about resourceVersions.

All pages of a list show one moment: the records chosen at the first page are kept (they are immutable, so this costs a
pointer each) until the last page is fetched, or for some minutes. A token nobody knows any more is answered 410, and
clients list again.
"""

from __future__ import annotations

import base64
import binascii
import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from luna_local.apiserver.errors import bad_request, expired, version_too_large
from luna_local.apiserver.resources import Resource
from luna_local.apiserver.selectors import field_requirements, matcher
from luna_local.apiserver.store import Record, Store

LIFETIME_S = 300.0
MOST_UNFINISHED = 200


@dataclass(frozen=True)
class Page:
    """A list, or a part of one: the records, the moment they show, and how to go on."""

    records: list[Record]
    version: int
    next_token: str = ""
    remaining: int | None = None

    def metadata(self) -> dict[str, object]:
        """Return the ``ListMeta``."""
        found: dict[str, object] = {"resourceVersion": str(self.version)}
        if self.next_token:
            found["continue"] = self.next_token
        if self.remaining is not None:
            found["remainingItemCount"] = self.remaining
        return found


@dataclass
class _Unfinished:
    records: list[Record]
    version: int
    is_filtered: bool
    expires: float


class Lists:
    """Answers lists from the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._unfinished: OrderedDict[str, _Unfinished] = OrderedDict()

    def select(self, resource: Resource, namespace: str, query: Mapping[str, str]) -> list[Record]:
        """Return what matches the selectors of a query, in order.

        Raises:
            ApiError: 400 for selectors that make no sense.
        """
        labels, fields = query.get("labelSelector", ""), query.get("fieldSelector", "")
        matches = matcher(resource, labels, fields)
        table = self._store.table(resource.key)
        if namespace or not resource.is_namespaced:
            for path, must_equal, value in field_requirements(fields):
                if path == "metadata.name" and must_equal:
                    record = table.records.get((namespace, value))
                    return [record] if record is not None and (matches is None or matches(record)) else []
        return table.select(namespace, matches)

    def page(self, resource: Resource, namespace: str, query: Mapping[str, str]) -> Page:
        """Answer a list request.

        Raises:
            ApiError: 400, 410 (a token or version of the past) or 504 (a version of the future).
        """
        limit = number(query, "limit")
        if token := query.get("continue"):
            return self._continue(token, limit)
        self._require_version(query)
        records = self.select(resource, namespace, query)
        is_filtered = bool(query.get("labelSelector") or query.get("fieldSelector"))
        return self._cut(_Unfinished(records, self._store.version, is_filtered, 0), 0, limit)

    def _require_version(self, query: Mapping[str, str]) -> None:
        asked, current = number(query, "resourceVersion"), self._store.version
        match = query.get("resourceVersionMatch", "")
        if match not in ("", "Exact", "NotOlderThan"):
            raise bad_request(f"resourceVersionMatch: Unsupported value: {match!r}")
        if asked > current:
            raise version_too_large(asked, current)
        if match == "Exact" and asked != current:
            raise expired(f"The provided resource version is too old: {asked} (current: {current})")

    def _cut(self, whole: _Unfinished, start: int, limit: int, identity: str = "") -> Page:
        stop = start + limit
        if not limit or stop >= len(whole.records):
            self._unfinished.pop(identity, None)
            return Page(whole.records[start:], whole.version)
        identity = identity or secrets.token_hex(8)
        whole.expires = time.monotonic() + LIFETIME_S
        self._unfinished[identity] = whole
        self._unfinished.move_to_end(identity)
        self._forget()
        remaining = None if whole.is_filtered else len(whole.records) - stop
        token = base64.urlsafe_b64encode(orjson.dumps({"list": identity, "start": stop})).decode()
        return Page(whole.records[start:stop], whole.version, token, remaining)

    def _continue(self, token: str, limit: int) -> Page:
        try:
            asked = orjson.loads(base64.b64decode(token, altchars=b"-_", validate=True))
            identity, start = str(asked["list"]), int(asked["start"])
        except (binascii.Error, ValueError, KeyError, TypeError) as error:
            raise bad_request(f"continue key is not valid: {token[:100]!r}") from error
        self._forget()
        whole = self._unfinished.get(identity)
        if whole is None or start < 0:
            raise expired("The provided continue parameter is too old to display a consistent list result.")
        return self._cut(whole, start, limit, identity)

    def _forget(self) -> None:
        now = time.monotonic()
        while self._unfinished:
            identity, oldest = next(iter(self._unfinished.items()))
            if oldest.expires > now and len(self._unfinished) <= MOST_UNFINISHED:
                return
            del self._unfinished[identity]


def number(query: Mapping[str, str], name: str, default: int = 0) -> int:
    """Return a whole number of a query.

    Raises:
        ApiError: 400 when it is none.
    """
    text = query.get(name) or ""
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 19:
        raise bad_request(f"{name}: Invalid value: {text[:100]!r}: must be a non-negative integer")
    return int(text)
