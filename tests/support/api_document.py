"""The OpenAPI document of LUNA Streams as a judge of answers, where a copy of it is at hand.

It is not part of this repository: set LUNA_STREAMS_OPENAPI, or keep it in <repository>/../shared/spec/openapi.yaml.
Its known errors are mended here, each by name, or a right answer would be judged wrong.
"""

from __future__ import annotations

import copy
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator, FormatChecker

from support.apiservers import REPOSITORY

Json = Any

FORMATS = FormatChecker(["uuid"])
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


@FORMATS.checks("date-time")  # type: ignore[untyped-decorator]  # the library's
def _is_time(value: object) -> bool:
    return not isinstance(value, str) or _RFC_3339.fullmatch(value) is not None


def where() -> Path | None:
    """Return the path of the document, None where there is no copy of it."""
    path = Path(os.environ.get("LUNA_STREAMS_OPENAPI", REPOSITORY.parent / "shared" / "spec" / "openapi.yaml"))
    return path if path.is_file() else None


@cache
def original() -> dict[str, Json]:
    """Return the document as it is; skips the test where there is none."""
    path = where()
    if path is None:
        pytest.skip("no OpenAPI document of LUNA Streams: set LUNA_STREAMS_OPENAPI to a copy of openapi.yaml")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C one reads the 6,000 lines ten times as fast
    parsed: dict[str, Json] = yaml.load(path.read_text(), loader)  # noqa: S506  either is a safe loader
    return parsed


@cache
def document() -> dict[str, Json]:
    """Return the document with its errors mended; skips the test where there is none."""
    parsed = copy.deepcopy(original())
    mend(parsed["components"]["schemas"])
    mended: dict[str, Json] = as_json_schema(parsed)
    return mended


def request_examples(path: str, method: str) -> dict[str, Json]:
    """Return the bodies the document gives as examples."""
    content = document()["paths"][path][method]["requestBody"]["content"]["application/json"]
    return {name: example["value"] for name, example in content.get("examples", {}).items()}


def check(path: str, method: str, status: int, body: Json) -> None:
    """Assert that an answer is as the document says.

    Args:
        path: template, e.g. /1/streams/{stream_id}.
    """
    response = document()["paths"][path][method]["responses"][status]
    response = _resolve(response)
    schema = response["content"]["application/json"]["schema"]
    validator = Draft202012Validator({**schema, "components": document()["components"]}, format_checker=FORMATS)
    problems = [f"{error.json_path}: {error.message[:300]}" for error in validator.iter_errors(body)]
    assert not problems, "\n".join(problems)


def _resolve(node: Json) -> Json:
    while "$ref" in node:
        target = document()
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


def mend(schemas: dict[str, Json]) -> None:
    """Mend the schemas of answers; numbers as in the list of the document's errors that this project keeps."""
    # 4: `nullable` without a type has no effect, yet real installations answer detection_handler: null.
    handler = schemas["stream_event_handler_base"]["properties"]
    handler["detection_handler"] = {"anyOf": [{"$ref": "#/components/schemas/handler"}, {"type": "null"}]}
    # 6: version 0 of a stream that was not found is beaten by stream_version's minimum of 1.
    schemas["feedback_response_modified_stream"]["properties"]["version"] = {"type": "integer", "minimum": 0}
    # 7: the queue's answer asks for event_handler and policies in both versions; streams of v2 have neither.
    item = schemas["queue_streams_response_in_progress_base"]["properties"]["streams"]["items"]
    item["required"] = [name for name in item["required"] if name not in ("event_handler", "policies")]
    # 11: a description may have 512 characters when it is sent.
    for name in ("stream_response", "stream_response_v2"):
        schemas[name]["properties"]["description"] = {"type": "string", "maxLength": 512}


def as_json_schema(node: Json) -> Json:
    """Turn `nullable` into what JSON Schema understands."""
    if isinstance(node, list):
        return [as_json_schema(item) for item in node]
    if not isinstance(node, dict):
        return node
    children = {name: as_json_schema(value) for name, value in node.items() if name != "nullable"}
    if node.get("nullable") is not True:
        return children
    return {"anyOf": [children, {"type": "null"}]}
