"""Streams as the two versions of the API show them: JSON text, rendered when first asked for and kept with the entry.

A text depends on the object's version and on the versions of its Secrets; the entry is new with every version of the
object, so the Secrets' versions are what is left to compare.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal

import orjson

from luna_api_shim.storage.catalogue import Entry
from luna_api_shim.storage.store import Store
from luna_streams.credentials import Credentials
from luna_streams.errors import CredentialsMissing
from luna_streams.rest import v1, v2
from luna_streams.stream import Stream, StreamStatus

ApiVersion = Literal[1, 2]
_Renderer = Callable[[Stream, str, StreamStatus, Credentials], dict[str, Any]]

RENDERERS: Final[Mapping[ApiVersion, _Renderer]] = MappingProxyType({1: v1.stream_response, 2: v2.stream_response})


def render(store: Store, entry: Entry, api: ApiVersion) -> bytes:
    """Return a stream as JSON, its credentials put back; where they are missing, without them."""
    key = api, store.secret_versions(entry.stream)
    text = entry.rendered.get(key)
    if text is None:
        try:
            credentials = store.credentials(entry.stream)
        except CredentialsMissing:
            credentials = Credentials()
        text = orjson.dumps(RENDERERS[api](entry.stream, entry.stream_id, entry.record, credentials))
        # What was rendered for older Secrets is of no use any more.
        entry.rendered = {k: v for k, v in entry.rendered.items() if k[1] == key[1]} | {key: text}
    return text


def render_streams(store: Store, entries: Iterable[Entry], api: ApiVersion) -> bytes:
    """Return the body of every answer that lists streams."""
    return b'{"streams":[' + b",".join(render(store, entry, api) for entry in entries) + b"]}"
