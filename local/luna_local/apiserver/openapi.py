"""OpenAPI v3 documents, one per group and version: what ``kubectl explain`` prints and kubectl validates with.

Built-in kinds are described by kube-apiserver's own schemas, custom ones by those of their CRDs. Paths are listed as
far as clients look at them: to find the kind, and to see that dry runs and field validation are supported.
"""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from luna_local.apiserver.builtin_schemas import OBJECT_META, definitions, schema_names
from luna_local.apiserver.documents import Document
from luna_local.apiserver.resources import Registry, Resource

_REFERENCE = "#/components/schemas/"
_TYPE_META = {
    "apiVersion": "APIVersion defines the versioned schema of this representation of an object.",
    "kind": "Kind is a string value representing the REST resource this object represents.",
}
"""What every object has, in Kubernetes' words; it stands there whatever a CRD says of these fields."""
_PARAMETERS = [
    {"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}}
    for name in ("dryRun", "fieldManager", "fieldValidation")
]


class OpenApi:
    """Builds the documents and keeps them until the resources they describe change."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._built: dict[tuple[str, str], tuple[list[Resource], bytes]] = {}

    def index(self) -> Document:
        """Return the document of ``/openapi/v3``: where each group version's document is, with a hash of it."""
        paths = {}
        for group, versions in self._registry.groups().items():
            for version, resources in versions.items():
                digest = hashlib.sha256(self._document(group, version, resources)).hexdigest()[:32]
                path = _path(group, version)
                paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"}
        return {"paths": paths}

    def document(self, group: str, version: str) -> bytes | None:
        """Return the document of one version of a group, or None if there is none."""
        resources = self._registry.groups().get(group, {}).get(version)
        return self._document(group, version, resources) if resources else None

    def _document(self, group: str, version: str, resources: list[Resource]) -> bytes:
        known = self._built.get((group, version))
        if known is None or len(known[0]) != len(resources) or any(map(operator.is_not, known[0], resources)):
            known = self._built[group, version] = (resources, orjson.dumps(_build(resources)))
        return known[1]


def _build(resources: Iterable[Resource]) -> Document:
    schemas: Document = {}
    paths: Document = {}
    for resource in resources:
        name = _schema_name(resource)
        schemas |= _schemas_of(resource, name)
        paths |= _paths_of(resource, name)
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "embedded"},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _path(group: str, version: str) -> str:
    return f"apis/{group}/{version}" if group else f"api/{version}"


def _schema_name(resource: Resource) -> str:
    if resource.is_builtin:
        return schema_names()[resource.group, resource.version, resource.kind]
    return f"{'.'.join(reversed(resource.group.split('.')))}.{resource.version}.{resource.kind}"


def _schemas_of(resource: Resource, name: str) -> Document:
    if resource.is_builtin:
        return _reachable([name])
    source = resource.schema.source
    own = {
        **source.get("properties", {}),
        **{field: {"type": "string", "description": text} for field, text in _TYPE_META.items()},
        "metadata": {"allOf": [{"$ref": _REFERENCE + OBJECT_META}]},
    }
    described = {**source, "properties": own, "x-kubernetes-group-version-kind": [_kind(resource)]}
    return {name: described, **_reachable([OBJECT_META])}


def _kind(resource: Resource) -> Document:
    return {"group": resource.group, "version": resource.version, "kind": resource.kind}


def _reachable(names: Iterable[str]) -> Document:
    known, found, waiting = definitions(), dict[str, Any](), list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = known[name]
            waiting.extend(_references(known[name]))
    return found


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for each in node:
            yield from _references(each)
    elif isinstance(node, Mapping):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"].removeprefix(_REFERENCE)
        for each in node.values():
            yield from _references(each)


def _paths_of(resource: Resource, schema_name: str) -> Document:
    content = {"application/json": {"schema": {"$ref": _REFERENCE + schema_name}}}
    answers = {"200": {"description": "OK", "content": content}}

    def operation(action: str) -> Document:
        return {
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": _kind(resource),
            "parameters": _PARAMETERS,
            "responses": answers,
        }

    scope = "/namespaces/{namespace}" if resource.is_namespaced else ""
    base = f"/{_path(resource.group, resource.version)}{scope}/{resource.plural}"
    return {
        base: {"get": operation("list"), "post": operation("post")},
        f"{base}/{{name}}": {method: operation(method) for method in ("get", "put", "patch", "delete")},
    }
