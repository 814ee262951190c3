"""CustomResourceDefinitions: checking them and turning them into resources that are served.

Checked is what would otherwise fail later in a confusing way: names, versions, structural schemas, patterns, defaults,
CEL rules, printer columns. Conversion webhooks are not supported: all versions of a resource differ in apiVersion only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from luna_local.apiserver.builtin_schemas import OBJECT_META, schema_of
from luna_local.apiserver.cel_rules import RuleTree, compile_rules
from luna_local.apiserver.columns import declared_columns
from luna_local.apiserver.constraints import compile_pattern, show
from luna_local.apiserver.documents import Document, dig, items, section, timestamp
from luna_local.apiserver.errors import FieldProblem
from luna_local.apiserver.metadata import is_qualified_name
from luna_local.apiserver.resources import Registry, Resource, ScalePaths
from luna_local.apiserver.schema import OBJECT_FIELDS, Schema, compile_schema

CLEANUP_FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
_SCHEMA_OF_SCHEMAS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"
_TYPES = ("object", "array", "string", "integer", "number", "boolean")
_FORBIDDEN_KEYWORDS = ("$ref", "definitions", "dependencies", "id", "patternProperties", "$schema", "additionalItems")


def set_defaults(document: Document) -> None:
    """Fill in the names that follow from the kind."""
    spec = section(document, "spec")
    names = section(spec, "names")
    kind = names.get("kind")
    if isinstance(kind, str):
        names.setdefault("singular", kind.lower())
        names.setdefault("listKind", f"{kind}List")
    if spec:
        spec.setdefault("conversion", {"strategy": "None"})


def definition_problems(document: Document) -> list[FieldProblem]:
    """Return what is wrong with a definition whose fields have the right types."""
    spec = section(document, "spec")
    names = section(spec, "names")
    problems = [*_name_problems(document, spec, names)]
    versions = items(spec, "versions")
    if sum(1 for each in versions if each.get("storage")) != 1:
        text = "Invalid value: must have exactly one version marked as storage version"
        problems.append(FieldProblem("spec.versions", text))
    if dig(spec, ("conversion", "strategy")) == "Webhook":
        text = 'Unsupported value: "Webhook": the embedded server converts by apiVersion only'
        problems.append(FieldProblem("spec.conversion.strategy", text, "FieldValueNotSupported"))
    for index, version in enumerate(versions):
        problems += _version_problems(version, f"spec.versions[{index}]")
    return problems


def _name_problems(document: Document, spec: Document, names: Document) -> Iterator[FieldProblem]:
    for path, value in (
        ("spec.group", spec.get("group")),
        ("spec.names.plural", names.get("plural")),
        ("spec.names.kind", names.get("kind")),
    ):
        if not value:
            yield FieldProblem(path, "Required value", "FieldValueRequired")
        elif not is_qualified_name(value):
            yield FieldProblem(path, f"Invalid value: {show(value)}: must be a DNS name")
    if not items(spec, "versions"):
        yield FieldProblem("spec.versions", "Required value", "FieldValueRequired")
    if spec.get("scope") not in ("Namespaced", "Cluster"):
        text = f'Unsupported value: {show(spec.get("scope"))}: supported values: "Cluster", "Namespaced"'
        yield FieldProblem("spec.scope", text, "FieldValueNotSupported")
    wanted = f"{names.get('plural')}.{spec.get('group')}"
    if document["metadata"]["name"] != wanted:
        text = f'Invalid value: {show(document["metadata"]["name"])}: must be spec.names.plural+"."+spec.group'
        yield FieldProblem("metadata.name", text)


def _version_problems(version: Mapping[str, Any], path: str) -> Iterator[FieldProblem]:
    source = dig(version, ("schema", "openAPIV3Schema"))
    place = f"{path}.schema.openAPIV3Schema"
    if not isinstance(source, dict):
        yield FieldProblem(place, "Required value: schemas are required", "FieldValueRequired")
        return
    found = list(_structural_problems(source, place, is_root=True))
    yield from found
    try:
        declared_columns(items(version, "additionalPrinterColumns"))
    except (ValueError, KeyError) as error:
        yield FieldProblem(f"{path}.additionalPrinterColumns", f"Invalid value: {error}")
    if not found:
        schema = _compile(source)
        yield from (FieldProblem(f"{place}.{each.path}", each.message) for each in compile_rules(schema)[1])
        yield from _default_problems(schema, place)


def _structural_problems(source: Any, path: str, *, is_root: bool = False) -> Iterator[FieldProblem]:
    yield from _type_problems(source, path, is_root=is_root)
    yield from _keyword_problems(source, path)
    for name, below in section(source, "properties").items():
        yield from _structural_problems(below, f"{path}.properties[{name}]")
    for keyword in ("additionalProperties", "items"):
        if isinstance(source.get(keyword), dict):
            wrong = list(_wrong_types(source[keyword], f"{path}.{keyword}"))
            yield from wrong or _structural_problems(source[keyword], f"{path}.{keyword}")
    if source.get("type") == "array" and not isinstance(source.get("items"), dict):
        yield FieldProblem(f"{path}.items", "Required value: must be specified", "FieldValueRequired")


def _wrong_types(source: Any, path: str) -> list[FieldProblem]:
    """Return what in a schema is of a type that schemas do not have there.

    The published schema of CRDs says so itself for most keywords; only below ``items`` and ``additionalProperties``
    it lets anything pass.
    """
    problems: list[FieldProblem] = []
    schema_of(_SCHEMA_OF_SCHEMAS).validate(source, path, problems)
    return problems


def _type_problems(source: Mapping[str, Any], path: str, *, is_root: bool) -> Iterator[FieldProblem]:
    kind = source.get("type")
    is_free = source.get("x-kubernetes-int-or-string") or source.get("x-kubernetes-preserve-unknown-fields")
    if is_root and kind != "object":
        yield FieldProblem(f"{path}.type", f"Invalid value: {show(kind)}: must be object at the root")
    elif kind is None and not is_free:
        text = "Required value: must not be empty for specified object fields"
        yield FieldProblem(f"{path}.type", text, "FieldValueRequired")
    elif kind is not None and kind not in _TYPES:
        listed = ", ".join(show(each) for each in _TYPES)
        text = f"Unsupported value: {show(kind)}: supported values: {listed}"
        yield FieldProblem(f"{path}.type", text, "FieldValueNotSupported")


def _keyword_problems(source: Mapping[str, Any], path: str) -> Iterator[FieldProblem]:
    for keyword in _FORBIDDEN_KEYWORDS:
        if source.get(keyword):
            yield FieldProblem(f"{path}.{keyword}", "Forbidden: not supported", "FieldValueForbidden")
    if source.get("uniqueItems"):
        yield FieldProblem(f"{path}.uniqueItems", "Forbidden: uniqueItems cannot be set to true", "FieldValueForbidden")
    if source.get("properties") and source.get("additionalProperties") is not None:
        text = "Forbidden: additionalProperties and properties are mutual exclusive"
        yield FieldProblem(f"{path}.additionalProperties", text, "FieldValueForbidden")
    if source.get("x-kubernetes-list-type") == "map" and not source.get("x-kubernetes-list-map-keys"):
        text = "Required value: must be specified for a list of type map"
        yield FieldProblem(f"{path}.x-kubernetes-list-map-keys", text, "FieldValueRequired")
    yield from _pattern_problems(source, path)
    for junctor in ("allOf", "anyOf", "oneOf"):
        for index, branch in enumerate(items(source, junctor)):
            yield from _branch_problems(branch, f"{path}.{junctor}[{index}]")
    if "not" in source:
        yield from _branch_problems(source["not"], f"{path}.not")


def _pattern_problems(source: Mapping[str, Any], path: str) -> Iterator[FieldProblem]:
    pattern = source.get("pattern")
    if not pattern:
        return
    try:
        compile_pattern(pattern)
    except re.error as error:
        text = f"Invalid value: {show(pattern)}: must be a valid regular expression: {error}"
        yield FieldProblem(f"{path}.pattern", text)


def _branch_problems(branch: Mapping[str, Any], path: str) -> Iterator[FieldProblem]:
    for keyword in ("default", "additionalProperties", "nullable", "x-kubernetes-preserve-unknown-fields"):
        if branch.get(keyword):
            text = "Forbidden: must be undefined to be structural"
            yield FieldProblem(f"{path}.{keyword}", text, "FieldValueForbidden")
    yield from _keyword_problems(branch, path)
    for name, below in section(branch, "properties").items():
        yield from _branch_problems(below, f"{path}.properties[{name}]")
    if "items" in branch:
        yield from _wrong_types(branch["items"], f"{path}.items") or _branch_problems(branch["items"], f"{path}.items")


def _default_problems(schema: Schema, path: str) -> Iterator[FieldProblem]:
    for name, default in schema.defaults.items():
        problems: list[FieldProblem] = []
        schema.properties[name].validate(default, "", problems)
        for problem in problems:
            yield FieldProblem(f"{path}.properties[{name}].default{problem.path}", problem.message)
    for name, child in schema.properties.items():
        if name not in OBJECT_FIELDS:
            yield from _default_problems(child, f"{path}.properties[{name}]")
    if schema.items is not None:
        yield from _default_problems(schema.items, f"{path}.items")
    if schema.additional is not None:
        yield from _default_problems(schema.additional, f"{path}.additionalProperties")


def accept(document: Document, registry: Registry) -> None:
    """Set the status of a valid definition: accepted and established, unless its names are taken by another."""
    spec = section(document, "spec")
    status = document.setdefault("status", {})
    status["storedVersions"] = [each["name"] for each in items(spec, "versions") if each.get("storage")]
    taken_by = _names_conflict(spec, registry)
    if taken_by is None:
        status["acceptedNames"] = spec["names"]
        conditions = [
            ("NamesAccepted", "True", "NoConflicts", "no conflicts found"),
            ("Established", "True", "InitialNamesAccepted", "the initial names have been accepted"),
        ]
    else:
        status.setdefault("acceptedNames", {"kind": "", "plural": ""})
        conditions = [
            ("NamesAccepted", "False", "KindConflict", f"the kind is already in use by {taken_by}"),
            ("Established", "False", "NotAccepted", "not all names are accepted"),
        ]
    for kind, state, reason, message in conditions:
        set_condition(status, kind, state, reason, message)


def set_condition(status: Document, kind: str, state: str, reason: str, message: str) -> None:
    """Set one condition of a definition; its time moves only when its state does."""
    conditions = [each for each in items(status, "conditions") if isinstance(each, dict)]
    old = next((each for each in conditions if each.get("type") == kind), None)
    is_same = old is not None and old.get("status") == state
    since = old["lastTransitionTime"] if old is not None and is_same else timestamp()
    new = {"type": kind, "status": state, "lastTransitionTime": since, "reason": reason, "message": message}
    status["conditions"] = [new if each is old else each for each in conditions] + ([] if old else [new])


def is_established(document: Document) -> bool:
    """Say whether the resources of a definition are served."""
    return any(
        each.get("type") == "Established" and each.get("status") == "True"
        for each in items(document, "status", "conditions")
    )


def _names_conflict(spec: Document, registry: Registry) -> str | None:
    key = (spec["group"], spec["names"]["plural"])
    for resource in registry:
        if resource.key != key and resource.group == spec["group"] and resource.kind == spec["names"]["kind"]:
            return f"{resource.plural}.{resource.group}"
    return None


def resources_of(document: Document, *, is_ending: bool = False) -> list[Resource]:
    """Return the resources a valid definition makes, the storage version first."""
    spec = section(document, "spec")
    versions: Iterable[Mapping[str, Any]] = sorted(items(spec, "versions"), key=lambda each: not each.get("storage"))
    return [_resource(spec, version, is_ending) for version in versions if version.get("served")]


def _resource(spec: Document, version: Mapping[str, Any], is_ending: bool) -> Resource:
    names = spec["names"]
    schema = _compile(dig(version, ("schema", "openAPIV3Schema")))
    rules: RuleTree | None = compile_rules(schema)[0]
    subresources = section(version, "subresources")
    scale = section(subresources, "scale")
    return Resource(
        group=spec["group"],
        version=version["name"],
        plural=names["plural"],
        kind=names["kind"],
        schema=schema,
        singular=names["singular"],
        list_kind=names["listKind"],
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        is_namespaced=spec["scope"] == "Namespaced",
        has_status="status" in subresources,
        scale=_scale_paths(scale) if scale else None,
        rules=rules,
        columns=declared_columns(items(version, "additionalPrinterColumns")),
        selectable=tuple(each["jsonPath"].removeprefix(".") for each in items(version, "selectableFields")),
        is_ending=is_ending,
    )


def _scale_paths(scale: Document) -> ScalePaths:
    return ScalePaths(
        scale["specReplicasPath"].removeprefix("."),
        scale["statusReplicasPath"].removeprefix("."),
        (scale.get("labelSelectorPath") or "").removeprefix("."),
    )


def _compile(source: Mapping[str, Any]) -> Schema:
    """Compile the schema of a custom resource; its metadata is that of every object."""
    properties = section(source, "properties")
    own = {name: each for name, each in properties.items() if name not in OBJECT_FIELDS}
    schema = compile_schema({**source, "properties": own})
    schema.properties["metadata"] = schema_of(OBJECT_META)
    return schema
