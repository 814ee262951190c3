"""The forms in which objects are answered: as they are, as a Table for kubectl, or with their metadata alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from luna_local.apiserver.documents import Document
from luna_local.apiserver.errors import not_acceptable
from luna_local.apiserver.lists import Page
from luna_local.apiserver.resources import Resource
from luna_local.apiserver.store import Record

OBJECT, TABLE, METADATA = "object", "Table", "PartialObjectMetadata"
JSON = "application/json"
_META = "meta.k8s.io/v1"


def negotiate(accept: str) -> str:
    """Return the form a client prefers among those we have.

    Raises:
        ApiError: 406 when it takes none.
    """
    for part in accept.split(",") if accept.strip() else ("*/*",):
        media_type, *parameters = (each.strip() for each in part.split(";"))
        given = dict(re.findall(r"(\w+)=([^;]*)", ";".join(parameters)))
        if media_type not in (JSON, "*/*", "application/*"):
            continue
        if given.get("as") in (None, "APIGroupDiscoveryList"):
            return OBJECT
        if given.get("g") == "meta.k8s.io" and given.get("v") in ("v1", "v1beta1"):
            if given["as"] == TABLE:
                return TABLE
            if given["as"] in (METADATA, f"{METADATA}List"):
                return METADATA
    raise not_acceptable(JSON)


@dataclass(frozen=True)
class View:
    """One form of the objects of one resource.

    Attributes:
        resource: in the version that was asked for.
        form: OBJECT, TABLE or METADATA.
        include: what a table row holds besides its cells: ``None``, ``Metadata`` or ``Object``.
    """

    resource: Resource
    form: str = OBJECT
    include: str = "Metadata"

    def one(self, record: Record) -> bytes:
        """Return one object."""
        if self.form == TABLE:
            return orjson.dumps(self._table([record], {"resourceVersion": str(record.version)}))
        if self.form == METADATA:
            return orjson.dumps(self._metadata_of(record.load()))
        return self._whole(record)

    def many(self, page: Page) -> bytes:
        """Return a list."""
        if self.form == TABLE:
            return orjson.dumps(self._table(page.records, page.metadata()))
        if self.form == METADATA:
            items = [self._metadata_of(record.load()) for record in page.records]
            kind = f"{METADATA}List"
            return orjson.dumps({"kind": kind, "apiVersion": _META, "metadata": page.metadata(), "items": items})
        return b'{"kind":%s,"apiVersion":%s,"metadata":%s,"items":[%s]}' % (
            orjson.dumps(self.resource.list_name),
            orjson.dumps(self.resource.api_version),
            orjson.dumps(page.metadata()),
            b",".join([self._whole(record) for record in page.records]),
        )

    def event(self, kind: str, record: Record, *, is_first: bool = False) -> bytes:
        """Return one line of a watch; a table defines its columns in the first."""
        if self.form == TABLE:
            table = self._table([record], {"resourceVersion": str(record.version)}, with_columns=is_first)
            return event_line(kind, orjson.dumps(table))
        return event_line(kind, self.one(record))

    def bookmark(self, version: int, *, ends_initial: bool = False) -> bytes:
        """Return the watch line that says: you have seen everything up to here."""
        metadata: Document = {"resourceVersion": str(version), "creationTimestamp": None}
        if ends_initial:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        if self.form == TABLE:
            inside = {"kind": METADATA, "apiVersion": _META, "metadata": metadata}
            rows = [{"cells": [None for _ in self.resource.columns], "object": inside}]
            shown: Document = {"kind": TABLE, "apiVersion": _META, "metadata": {"resourceVersion": str(version)}}
            shown |= {"columnDefinitions": [], "rows": rows}
        elif self.form == METADATA:
            shown = {"kind": METADATA, "apiVersion": _META, "metadata": metadata}
        else:
            shown = {"kind": self.resource.kind, "apiVersion": self.resource.api_version, "metadata": metadata}
        return event_line("BOOKMARK", orjson.dumps(shown))

    def _whole(self, record: Record) -> bytes:
        if record.api_version == self.resource.api_version:
            return record.raw
        document = record.load()
        document["apiVersion"] = self.resource.api_version
        return orjson.dumps(document)

    @staticmethod
    def _metadata_of(document: Document) -> Document:
        return {"kind": METADATA, "apiVersion": _META, "metadata": document["metadata"]}

    def _table(self, records: Sequence[Record], metadata: Document, *, with_columns: bool = True) -> Document:
        columns = self.resource.columns
        return {
            "kind": TABLE,
            "apiVersion": _META,
            "metadata": metadata,
            "columnDefinitions": [column.definition() for column in columns] if with_columns else [],
            "rows": [self._row(record.load()) for record in records],
        }

    def _row(self, document: Document) -> Document:
        inside: Any = None
        cells = [column.value(document) for column in self.resource.columns]
        if self.include == "Object":
            inside = {**document, "apiVersion": self.resource.api_version}
        elif self.include != "None":
            inside = self._metadata_of(document)
        return {"cells": cells, "object": inside}


def event_line(kind: str, shown: bytes) -> bytes:
    """Return one line of a watch."""
    return b'{"type":"%s","object":%s}\n' % (kind.encode(), shown)
