"""Our own OpenAPI document as a judge of a running shim: every answer has a described status, media type and form.

shim.http.event_hooks["response"].append(Judge().check)
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import httpx
from openapi_schema_validator import OAS30Validator

from luna_api_shim.app import API_VERSION, ROUTES
from luna_api_shim.openapi.document import build_document

Schema = dict[str, Any]


@cache
def our_document() -> Schema:
    """Return the exact document: what is taken and answered."""
    return build_document(ROUTES, API_VERSION)


class Judge:
    """Checks answers and remembers which operations it saw with which status."""

    def __init__(self) -> None:
        self.seen: set[tuple[str, int]] = set()
        self._components = _closed(our_document()["components"])
        self._paths = sorted(our_document()["paths"].items(), key=lambda item: item[0].count("{"))

    async def check(self, response: httpx.Response) -> None:
        """Assert that an answer is as the document says."""
        operation = self._operation(response.request)
        described = operation["responses"]
        where = f"{response.request.method} {response.request.url}: {response.status_code}"
        assert str(response.status_code) in described, f"{where} is not described; {sorted(described)} are"
        self.seen.add((operation["operationId"], response.status_code))
        assert response.headers["Luna-Request-Id"]
        content = described[str(response.status_code)].get("content")
        if content is None:
            assert await response.aread() == b"", where
            return
        media_type = response.headers["Content-Type"].partition(";")[0]
        assert media_type in content, f"{where}: {media_type}"
        if media_type == "application/json":
            await response.aread()
            problems = self.problems(content[media_type]["schema"], response.json())
            assert problems == [], f"{where}: {problems}"

    def problems(self, schema: Schema, body: Any) -> list[str]:
        """Return what is wrong with a body, a field that is not described included."""
        validator = OAS30Validator({**schema, "components": self._components})
        return [f"{one.json_path}: {one.message[:300]}" for one in validator.iter_errors(body)]

    def _operation(self, request: httpx.Request) -> Schema:
        for path, methods in self._paths:
            pattern = re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))
            if re.fullmatch(pattern, request.url.path) and request.method.lower() in methods:
                operation: Schema = methods[request.method.lower()]
                return operation
        raise AssertionError(f"{request.method} {request.url.path} is not described")


def _closed(node: Any) -> Any:
    """Forbid fields that are not described, which clients would have to put up with."""
    if isinstance(node, list):
        return [_closed(one) for one in node]
    if not isinstance(node, dict):
        return node
    closed = {key: _closed(child) for key, child in node.items()}
    if isinstance(closed.get("properties"), dict) and closed.get("type") == "object":
        closed["additionalProperties"] = False
    return closed
