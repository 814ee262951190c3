"""Structural schemas: what a resource may hold, compiled once and applied to every write.

A schema does two things to an object, in this order, as kube-apiserver does: `conform` drops fields nobody declared
(and says which), drops nulls where null means nothing, and fills in defaults; `validate` then finds every problem.
It also tells strategic merge patch and server-side apply how lists and maps behave (`list_type`, `merge_key`, ...).

CEL rules are not here but in `cel_rules`. Not supported, because CRDs may not use them: ``$ref`` (except inside the
schemas of the built-in kinds, which may recurse), ``uniqueItems``, ``patternProperties``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from luna_local.apiserver.constraints import Constraint, constraints_of, has_type, show, wrong_type
from luna_local.apiserver.documents import copy, same
from luna_local.apiserver.errors import FieldProblem

# Fields of every object, whatever its schema says.
OBJECT_FIELDS = frozenset({"apiVersion", "kind", "metadata"})
# Stands for a value that is not there; equal to nothing.
ABSENT = object()


class Schema:
    """One node of a compiled schema. Build it with `compile_schema`."""

    __slots__ = (
        "additional",
        "all_of",
        "any_of",
        "constraints",
        "defaults",
        "is_embedded",
        "is_int_or_string",
        "items",
        "keeps_unknown",
        "list_keys",
        "list_type",
        "map_type",
        "merge_key",
        "merge_strategy",
        "none_of",
        "nullable",
        "one_of",
        "properties",
        "required",
        "source",
        "type",
    )

    def __init__(self, source: Mapping[str, Any]) -> None:
        self.source = source
        self.type: str | None = source.get("type")
        self.nullable = bool(source.get("nullable"))
        self.is_int_or_string = bool(source.get("x-kubernetes-int-or-string"))
        self.is_embedded = bool(source.get("x-kubernetes-embedded-resource"))
        self.keeps_unknown = bool(source.get("x-kubernetes-preserve-unknown-fields"))
        self.list_type: str = source.get("x-kubernetes-list-type", "atomic")
        self.list_keys: tuple[str, ...] = tuple(source.get("x-kubernetes-list-map-keys") or ())
        self.map_type: str = source.get("x-kubernetes-map-type", "granular")
        self.merge_key: str | None = source.get("x-kubernetes-patch-merge-key")
        self.merge_strategy: str = source.get("x-kubernetes-patch-strategy", "")
        self.required: tuple[str, ...] = tuple(source.get("required") or ())
        self.constraints: tuple[Constraint, ...] = constraints_of(source)
        self.properties: dict[str, Schema] = {}
        self.defaults: dict[str, Any] = {}
        self.additional: Schema | None = None
        self.items: Schema | None = None
        self.all_of: tuple[Schema, ...] = ()
        self.any_of: tuple[Schema, ...] = ()
        self.one_of: tuple[Schema, ...] = ()
        self.none_of: Schema | None = None

    def child(self, name: str) -> Schema | None:
        """Return the schema of a field or map entry, if it has one."""
        return self.properties.get(name) or self.additional

    # --- conform --------------------------------------------------------------------------------------------------

    def conform(self, value: Any, path: str, unknown: list[str]) -> None:
        """Prune and default `value` in place; the paths of what was dropped are added to `unknown`."""
        if isinstance(value, dict):
            self._conform_object(value, path, unknown)
        elif isinstance(value, list) and self.items is not None:
            for index, item in enumerate(value):
                self.items.conform(item, f"{path}[{index}]", unknown)

    def _conform_object(self, value: dict[str, Any], path: str, unknown: list[str]) -> None:
        prefix = f"{path}." if path else ""
        for name in list(value):
            child = self.child(name)
            if child is None:
                if not self._keeps(name, path):
                    unknown.append(prefix + name)
                    del value[name]
            elif value[name] is None:
                if not child.nullable and name in self.properties:
                    del value[name]
            elif child.type not in ("string", "integer", "boolean", "number"):
                child.conform(value[name], prefix + name, unknown)
        for name, default in self.defaults.items():
            if name not in value:
                value[name] = copy(default)

    def _keeps(self, name: str, path: str) -> bool:
        return self.keeps_unknown or ((self.is_embedded or not path) and name in OBJECT_FIELDS)

    # --- validate -------------------------------------------------------------------------------------------------

    def validate(self, value: Any, path: str, problems: list[FieldProblem], old: Any = ABSENT) -> None:
        """Add every way in which `value` breaks this schema to `problems`.

        What equals its `old` state is not looked at: as in kube-apiserver, an object that is older than its schema
        can still be written elsewhere.
        """
        if same(value, old) or (value is None and self.nullable):
            return
        if not self._type_holds(value, path, problems):
            return
        for constraint in self.constraints:
            if problem := constraint(value, path):
                problems.append(problem)
        if isinstance(value, dict):
            self._validate_object(value, path, problems, old)
        elif isinstance(value, list):
            self._validate_list(value, path, problems)
        self._validate_junctors(value, path, problems)

    def _type_holds(self, value: Any, path: str, problems: list[FieldProblem]) -> bool:
        if self.is_int_or_string:
            if isinstance(value, int | str) and not isinstance(value, bool):
                return True
            problems.append(wrong_type(value, path, "integer,string"))
            return False
        if self.type is None:
            return True
        if has_type(value, self.type):
            return True
        problems.append(wrong_type(value, path, self.type))
        return False

    def _validate_object(self, value: dict[str, Any], path: str, problems: list[FieldProblem], old: Any) -> None:
        former = old if isinstance(old, dict) else {}
        prefix = f"{path}." if path else ""
        problems.extend(
            FieldProblem(prefix + name, "Required value", "FieldValueRequired")
            for name in self.required
            if name not in value
        )
        for name, inner in value.items():
            if (child := self.properties.get(name)) is not None:
                child.validate(inner, prefix + name, problems, former.get(name, ABSENT))
            elif self.additional is not None:
                self.additional.validate(inner, f"{path}.{name}", problems, former.get(name, ABSENT))

    def _validate_list(self, value: list[Any], path: str, problems: list[FieldProblem]) -> None:
        if self.items is not None:
            for index, item in enumerate(value):
                self.items.validate(item, f"{path}[{index}]", problems)
        if self.list_type == "atomic":
            return
        seen: set[str] = set()
        for index, item in enumerate(value):
            identity = show(self.item_key(item))
            if identity in seen:
                text = f"Duplicate value: {identity}"
                problems.append(FieldProblem(f"{path}[{index}]", text, "FieldValueDuplicate"))
            seen.add(identity)

    def item_key(self, item: Any) -> Any:
        """Return what tells an item of a set or map list from the others (absent keys take their default)."""
        if self.list_type != "map" or not isinstance(item, dict):
            return item
        defaults = self.items.defaults if self.items is not None else {}
        return {key: item.get(key, defaults.get(key)) for key in self.list_keys}

    def _validate_junctors(self, value: Any, path: str, problems: list[FieldProblem]) -> None:
        for branch in self.all_of:
            branch.validate(value, path, problems)
        if self.any_of and not any(branch.allows(value) for branch in self.any_of):
            problems.append(FieldProblem(path, f"Invalid value: {path} in body must validate at least one schema"))
        if self.one_of and sum(branch.allows(value) for branch in self.one_of) != 1:
            problems.append(FieldProblem(path, f"Invalid value: {path} in body must validate one and only one schema"))
        if self.none_of is not None and self.none_of.allows(value):
            problems.append(FieldProblem(path, f"Invalid value: {path} in body must not validate the schema (not)"))

    def allows(self, value: Any) -> bool:
        """Say whether `value` has no problem under this schema."""
        problems: list[FieldProblem] = []
        self.validate(value, "", problems)
        return not problems


def compile_schema(source: Mapping[str, Any], definitions: Mapping[str, Mapping[str, Any]] | None = None) -> Schema:
    """Compile a schema.

    Args:
        source: OpenAPI v3 schema as in a CRD.
        definitions: targets of ``#/components/schemas/NAME`` references; given for the built-in kinds only, whose
            documents differ in two ways: their defaults are Go's zero values and are not applied, and objects
            without declared fields hold anything.

    Raises:
        re.error: when a `pattern` is no regular expression.
        KeyError: when a reference has no target.
    """
    return _Compiler(definitions).compile(source)


class _Compiler:
    def __init__(self, definitions: Mapping[str, Mapping[str, Any]] | None) -> None:
        self._definitions = definitions
        self._known: dict[str, Schema] = {}

    def compile(self, source: Mapping[str, Any]) -> Schema:
        target = self._reference(source)
        if target is None:
            return self._fill(Schema(source))
        if target not in self._known:
            assert self._definitions is not None  # noqa: S101 only documents with definitions hold references
            self._known[target] = Schema(self._definitions[target])
            self._fill(self._known[target])
        return self._known[target]

    def _reference(self, source: Mapping[str, Any]) -> str | None:
        if self._definitions is None:
            return None
        branches: list[Mapping[str, Any]] = source.get("allOf") or []
        reference = source.get("$ref") or (branches[0].get("$ref") if len(branches) == 1 else None)
        return reference.rsplit("/", 1)[-1] if reference else None

    def _fill(self, schema: Schema) -> Schema:
        source = schema.source
        for name, below in (source.get("properties") or {}).items():
            if schema.is_embedded and name in OBJECT_FIELDS:
                continue
            child = schema.properties[name] = self.compile(below)
            if self._definitions is None and "default" in below:
                default = copy(below["default"])
                child.conform(default, name, [])
                schema.defaults[name] = default
        additional = source.get("additionalProperties")
        if isinstance(additional, dict):
            schema.additional = self.compile(additional)
        schema.keeps_unknown |= additional is True or (
            self._definitions is not None and not schema.properties and schema.additional is None
        )
        if isinstance(source.get("items"), dict):
            schema.items = self.compile(source["items"])
        schema.all_of = tuple(self.compile(each) for each in source.get("allOf") or ())
        schema.any_of = tuple(self.compile(each) for each in source.get("anyOf") or ())
        schema.one_of = tuple(self.compile(each) for each in source.get("oneOf") or ())
        if isinstance(source.get("not"), dict):
            schema.none_of = self.compile(source["not"])
        return schema
