"""Holds answers against API documents: status, media type, headers and body of each have to be as one of them says."""

from __future__ import annotations

import re
from typing import Any

import httpx
from jsonschema import Draft202012Validator

from luna_api_shim.app import ROUTES
from luna_api_shim.openapi.document import build_document
from support import api_document
from support.api_document import FORMATS, as_json_schema

Json = Any


class Judge:
    """Judges by one document.

    Attributes:
        used: operations that were judged, e.g. `GET /2/streams/{stream_id}`.
    """

    def __init__(self, document: Json) -> None:
        self._document = document
        self._paths = sorted(document["paths"], key=lambda path: path.count("{"))
        self.used: set[str] = set()

    @property
    def operations(self) -> set[str]:
        """All operations of the document."""
        verbs = ("get", "post", "put", "patch", "delete")
        return {
            f"{verb.upper()} {path}" for path, item in self._document["paths"].items() for verb in verbs if verb in item
        }

    def check(self, answer: httpx.Response) -> None:
        """Assert that an answer is one that is documented."""
        request = answer.request
        path = next(path for path in self._paths if _pattern(path).fullmatch(request.url.path))
        what = f"{request.method} {path}"
        self.used.add(what)
        documented = self._document["paths"][path][request.method.lower()]["responses"]
        response = self._resolve(documented.get(str(answer.status_code), documented.get(answer.status_code)))
        assert response is not None, f"{what}: {answer.status_code} is not documented: {answer.text}"
        for name, header in response.get("headers", {}).items():
            is_required = self._resolve(header).get("required", False)
            assert name in answer.headers or not is_required, f"{what}: no header {name}"
        if content := response.get("content"):
            self._check_body(what, answer, content)
        elif answer.status_code == 204:
            assert answer.content == b"", what

    def _check_body(self, what: str, answer: httpx.Response, content: Json) -> None:
        media_type = answer.headers["content-type"].partition(";")[0]
        assert media_type in content, f"{what}: {media_type} is not documented"
        if media_type == "application/json":
            schema = {**content[media_type]["schema"], "components": self._document["components"]}
            problems = Draft202012Validator(schema, format_checker=FORMATS).iter_errors(answer.json())
            told = [f"{error.json_path}: {error.message[:300]}" for error in problems]
            assert not told, f"{what}: " + "\n".join(told)

    def _resolve(self, node: Json) -> Json:
        while node is not None and "$ref" in node:
            target = self._document
            for part in node["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            node = target
        return node


def judges() -> list[Judge]:
    """Return a judge by our own document, and one by the original where there is a copy of it."""
    found = [Judge(as_json_schema(build_document(ROUTES, "1.1.18")))]
    return found + ([Judge(api_document.document())] if api_document.where() else [])


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{\w+\}", "[^/]+", path))
