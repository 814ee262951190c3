"""The documents a replica serves, each made when it is first asked for and kept."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from starlette.routing import BaseRoute

from luna_api_shim.openapi.original import served_document
from luna_api_shim.openapi.text import as_yaml
from luna_api_shim.pages.manual import PACKAGE, Manual, manual_folder
from luna_api_shim.pages.specification import specification_page

YAML: Final = "application/x-yaml"
HTML: Final = "text/html"


@dataclass(frozen=True, slots=True)
class Document:
    """A document, and a tag that changes with it."""

    content: bytes
    etag: str


class Documents:
    """The documents of an application.

    Args:
        routes: of the application.
        version: of the API.
        package: folder of the package luna_api_shim, which holds the manual.
    """

    def __init__(self, routes: Sequence[BaseRoute], version: str, package: Path = PACKAGE) -> None:
        self._routes = tuple(routes)
        self._version = version
        self._package = package
        self._kept: dict[str, Document] = {}

    async def specification(self, media_type: str) -> Document:
        """Return the OpenAPI document in one of its two forms; the first time takes a second, others are served."""
        if media_type not in self._kept:
            self._kept[media_type] = _document(await asyncio.to_thread(self._specification, media_type))
        return self._kept[media_type]

    async def manual_page(self, place: str) -> Document | None:
        """Return the page of the manual at a path below /docs, None if there is none.

        Raises:
            DocumentMissing: the manual was not installed.
        """
        if place not in self._kept and (page := await asyncio.to_thread(self._manual_page, place)) is not None:
            self._kept[place] = _document(page)
        return self._kept.get(place)

    @cached_property
    def _openapi(self) -> dict[str, Any]:
        return served_document(self._routes, self._version)

    @cached_property
    def _manual(self) -> Manual:
        return Manual(manual_folder(self._package))

    def _manual_page(self, place: str) -> bytes | None:
        return self._manual.page(place)

    def _specification(self, media_type: str) -> bytes:
        return as_yaml(self._openapi).encode() if media_type == YAML else specification_page(self._openapi)


def _document(content: bytes) -> Document:
    return Document(content, f'"{hashlib.sha256(content).hexdigest()[:24]}"')
