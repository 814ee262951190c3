"""The OpenAPI document, made of the routes and of what their operations declare."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from pydantic import BaseModel
from starlette.routing import BaseRoute

from luna_api_shim.http.parameters import REQUEST_ID, Parameter
from luna_api_shim.http.replies import error_content
from luna_api_shim.http.routing import Resource
from luna_api_shim.openapi.schemas import Schemas
from luna_api_shim.operations import answers
from luna_api_shim.operations.declaration import JSON, Answer, Body, ByVersion, Operation
from luna_api_shim.storage.rendering import ApiVersion

Json = dict[str, Any]

OPENAPI: Final = "3.0.0"
MSGPACK: Final = "application/msgpack"
VERSIONS: Final[tuple[ApiVersion, ...]] = (1, 2)

_INTRODUCTION: Final = """\
Declares video streams, groups them, hands them to workers and tells what became of them. Version 2 knows several
analytics per stream, for faces and bodies; version 1 knows one, for faces. A stream that one version created can be
read through the other.

Bodies are JSON. Every answer carries `Luna-Request-Id`, which also stands in the logs of the service. What goes wrong
is answered with a code, its meaning, what was wrong this time, and a link to the page of the code. A page that does
not exist is 404 with code 12013, a method that a page does not have 405 with code 12021, and a body that is
larger than the service takes 413 with code 12046. Query parameters that an
operation does not list are passed over; fields of a body that it does not list are refused with code 12022. Whole
numbers in the data of a stream have 32 bits.

The default port is 5160.
"""

TAGS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "streams": "What is to be watched, and what became of it.",
        "groups": "Names under which an account gathers streams.",
        "linker": "Who is in which group.",
        "queue": "For workers: take streams, report on them.",
        "preview": "Pictures of a stream that is being processed.",
        "streams logs": "Every status that streams took.",
        "documents": "What you are reading, and the manual.",
        "config": "How the service is set up.",
        "plugins": "What runs beside the service.",
    }
)
"""Groups of operations that both versions have, in the order in which people read them."""
SERVICE_TAGS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "version": "Which API this is.",
        "health": "Whether all is well.",
        "metrics": "Figures for Prometheus.",
    }
)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an operation stands in the document; `api` is None outside of the two versions."""

    path: str
    method: str
    api: ApiVersion | None
    operation: Operation


def build_document(routes: Iterable[BaseRoute], version: str) -> Json:
    """Return the document.

    Args:
        routes: of the application; those without a declared operation are not part of the API.
        version: of the API.
    """
    places = [place for route in routes if isinstance(route, Resource) for place in _places(route)]
    places.sort(key=lambda place: (place.api is None, place.api))
    requests = {model for place in places if place.operation.body for model in _models(place.operation.body.model)}
    parts = _Parts(Schemas(sorted(requests, key=lambda model: model.__name__)))
    paths: dict[str, Json] = {}
    for place in places:
        paths.setdefault(place.path, {})[place.method] = _operation(place, parts)
    document = {
        "openapi": OPENAPI,
        "info": {"title": "LUNA Streams API", "version": version, "description": _INTRODUCTION},
        "tags": [{"name": name, "description": text} for name, text in _tags()],
        "paths": paths,
        "components": {
            "headers": parts.headers,
            "parameters": parts.parameters,
            "schemas": dict(sorted(parts.schemas.components.items())),
        },
    }
    return copy.deepcopy(document)  # whoever changes it must not change what operations declare


class _Parts:
    """What several operations refer to."""

    def __init__(self, schemas: Schemas) -> None:
        self.schemas = schemas
        self.parameters: dict[str, Json] = {}
        self.headers: dict[str, Json] = {
            "Luna-Request-Id": {
                "description": "Names the request in logs: the one that was sent, or a new one.",
                "required": True,
                "schema": dict(REQUEST_ID.kind.schema),
            }
        }
        self._names: dict[int, str] = {}

    def parameter(self, parameter: Parameter[Any]) -> Json:
        """Return a reference to a parameter; different ones of the same name are numbered."""
        name = self._names.get(id(parameter))
        if name is None:
            namesakes = sum(one["name"] == parameter.name for one in self.parameters.values())
            name = f"{parameter.name}.{namesakes + 1}" if namesakes else parameter.name
            self._names[id(parameter)] = name
            self.parameters[name] = parameter.to_openapi()
        return {"$ref": f"#/components/parameters/{name}"}

    def headers_of(self, content: Json) -> Json:
        """Return the headers of an answer; OpenAPI passes over Content-Type, and yet people look for it."""
        told: Json = {"Luna-Request-Id": {"$ref": "#/components/headers/Luna-Request-Id"}}
        if content:
            name = "Content-Type." + "-".join(media_type.partition("/")[2] for media_type in content)
            self.headers[name] = {"required": True, "schema": {"type": "string", "enum": list(content)}}
            told["Content-Type"] = {"$ref": f"#/components/headers/{name}"}
        return told


def _places(route: Resource) -> Iterator[_Place]:
    for method, operation in route.operations.items():
        if "{api:api}" not in route.template:
            yield _Place(route.template, method.lower(), None, operation)
            continue
        for api in VERSIONS:
            yield _Place(route.template.replace("{api:api}", str(api)), method.lower(), api, operation)


def _models(model: type[BaseModel] | ByVersion) -> Iterable[type[BaseModel]]:
    return model.values() if isinstance(model, Mapping) else (model,)


def _of(model: type[BaseModel] | ByVersion, api: ApiVersion | None) -> type[BaseModel]:
    return model[api or 1] if isinstance(model, Mapping) else model


def _operation(place: _Place, parts: _Parts) -> Json:
    operation, is_v2 = place.operation, place.api == 2
    told: Json = {
        "tags": [operation.tag + (" V2" if is_v2 else "")],
        "summary": operation.summary,
        "description": operation.description,
        "operationId": operation.id + ("V2" if is_v2 else ""),
        "parameters": [parts.parameter(parameter) for parameter in (REQUEST_ID, *operation.parameters)],
        "responses": _responses(place, parts),
    }
    if operation.body is not None:
        told["requestBody"] = _body(operation.body, place.api, parts)
    return told


def _body(body: Body, api: ApiVersion | None, parts: _Parts) -> Json:
    examples = body.examples_v2 if api == 2 and body.examples_v2 else body.examples
    content: Json = {"schema": parts.schemas.request(_of(body.model, api))}
    if examples:
        content["examples"] = {name: {"value": value} for name, value in examples.items()}
    return {"required": True, "content": {JSON: content}}


def _responses(place: _Place, parts: _Parts) -> Json:
    told = {str(answer.status): _answer(answer, place.api, parts) for answer in place.operation.answers}
    by_status: dict[int, list[Exception]] = {}
    for error in (*place.operation.errors, Exception()):
        by_status.setdefault(error_content(error)[0], []).append(error)
    for status, errors in sorted(by_status.items()):
        told[str(status)] = _error_response(errors, parts)
    return told


def _answer(answer: Answer, api: ApiVersion | None, parts: _Parts) -> Json:
    content: Json = {}
    if answer.model is not None:
        content[JSON] = {"schema": parts.schemas.answer(_of(answer.model, api))}
        if answer.msgpack:
            content[MSGPACK] = dict(content[JSON])
        if answer.example is not None:
            content[JSON]["example"] = answer.example_v2 if api == 2 and answer.example_v2 else answer.example
    for media_type, description in answer.texts.items():
        is_text = media_type.startswith("text/") or media_type.endswith(("yaml", "text"))
        schema = {"type": "string"} if is_text else {"type": "string", "format": "binary"}
        content[media_type] = {"schema": schema | {"description": description}}
    told: Json = {"description": answer.description, "headers": parts.headers_of(content)}
    told["headers"] |= {
        name: {"description": text, "required": True, "schema": {"type": "string"}}
        for name, text in answer.headers.items()
    }
    told |= {"content": content} if content else {}
    return told | {"links": links} if (links := _links(answer, api)) else told


def _links(answer: Answer, api: ApiVersion | None) -> Json:
    """Return what a client, or a test, can go on with."""
    return {
        name: {
            "operationId": name + ("V2" if api == 2 else ""),
            "parameters": {field: f"$response.body#/{field}"},
        }
        for field, names in answer.links.items()
        for name in names
    }


def _error_response(errors: list[Exception], parts: _Parts) -> Json:
    contents = [error_content(error)[1] for error in errors]
    meanings = dict.fromkeys(str(content["desc"]) for content in contents)
    examples = {
        f"{content['error_code']}" + (f"_{index}" if index else ""): {"value": content}
        for index, content in _numbered(contents)
    }
    content = {JSON: {"schema": parts.schemas.answer(answers.Error), "examples": examples}}
    return {"description": "; ".join(meanings) + ".", "headers": parts.headers_of(content), "content": content}


def _numbered(contents: list[Json]) -> Iterator[tuple[int, Json]]:
    """Yield each error with how many of its code came before."""
    seen: dict[object, int] = {}
    for content in contents:
        code = content["error_code"]
        yield seen.get(code, 0), content
        seen[code] = seen.get(code, 0) + 1


def _tags() -> Iterator[tuple[str, str]]:
    for suffix in ("", " V2"):
        yield from ((name + suffix, text) for name, text in TAGS.items())
    yield from SERVICE_TAGS.items()
