"""The documents a replica serves, each made when it is first asked for and kept."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from starlette.routing import BaseRoute

from luna_api_shim.openapi.document import build_document
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
        """Return the OpenAPI document in one of its two forms."""
        return await self._keep(media_type, lambda: self._specification(media_type))

    async def manual_page(self, name: str) -> Document | None:
        """Return a page of the manual, None if there is none of that name.

        Raises:
            DocumentMissing: the manual was not installed.
        """
        if name not in self._manual.chapters:
            return None
        return await self._keep(name, lambda: self._manual.page(name))

    @cached_property
    def _openapi(self) -> dict[str, Any]:
        return build_document(self._routes, self._version)

    @cached_property
    def _manual(self) -> Manual:
        return Manual(manual_folder(self._package))

    def _specification(self, media_type: str) -> bytes:
        return as_yaml(self._openapi).encode() if media_type == YAML else specification_page(self._openapi)

    async def _keep(self, name: str, make: Callable[[], bytes]) -> Document:
        """Return a document; making one takes up to a second, during which the others are served."""
        if name not in self._kept:
            content = await asyncio.to_thread(make)
            self._kept[name] = Document(content, f'"{hashlib.sha256(content).hexdigest()[:24]}"')
        return self._kept[name]
