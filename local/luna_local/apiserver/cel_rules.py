"""``x-kubernetes-validations``: CEL rules of a CRD, compiled once, evaluated on every write.

Rules hang on schema nodes. An object is walked together with its former state; a rule that mentions ``oldSelf`` runs
only where a former value can be matched (fields by name, items of map lists by their keys), as in kube-apiserver.

Values are handed to CEL by their declared type (a ``number`` is a double, a ``date-time`` a timestamp), and fields
whose names are no CEL identifiers by their escaped names. Not supported: optional syntax (``?.``), cost budgets.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property, lru_cache
from typing import Any

import cel

from luna_local.apiserver.cel_functions import needed_functions
from luna_local.apiserver.constraints import show, type_name
from luna_local.apiserver.documents import parse_time, same
from luna_local.apiserver.errors import FieldProblem
from luna_local.apiserver.schema import Schema

_RESERVED = frozenset({
    "as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in", "let", "loop",
    "namespace", "null", "package", "return", "true", "var", "void", "while",
})  # fmt: skip
_NOT_IDENTIFIER = ((re.compile("__"), "__underscores__"), (re.compile(r"\."), "__dot__"), (re.compile("-"), "__dash__"))
_SELF = re.compile(r"\b(?:self|oldSelf)\b(?:\s*\.\s*([A-Za-z_]\w*)(?!\w*\s*\())?")
_MACRO_VARIABLE = re.compile(r"\.(?:all|exists|exists_one|map|filter)\(\s*([A-Za-z_]\w*)\s*,")
# Names that are neither variables nor functions: types, and what functions are grouped under.
_NAMES = frozenset({
    "int", "uint", "double", "bool", "string", "bytes", "list", "map", "null_type", "type",
    "math", "sets", "strings", "lists", "base64", "optional",
})  # fmt: skip
_REASONS = frozenset({"FieldValueInvalid", "FieldValueForbidden", "FieldValueRequired", "FieldValueDuplicate"})


class RuleError(ValueError):
    """A rule cannot be compiled; the text says why."""


class Expression:
    """One compiled CEL expression over ``self`` and ``oldSelf``.

    Attributes:
        uses_old: whether it mentions ``oldSelf``.
        fields: the fields of ``self`` and ``oldSelf`` it looks at, by their escaped names; None for the whole.
    """

    def __init__(self, text: str) -> None:
        try:
            self._program = cel.compile(text)
            self._functions: dict[str, Callable[..., Any]] = needed_functions(self._program.functions())
        except (ValueError, LookupError) as error:
            raise RuleError(f"compilation failed: {error.args[0]}") from error
        used = set(self._program.variables()) - set(_MACRO_VARIABLE.findall(text)) - _NAMES
        if unknown := used - {"self", "oldSelf"}:
            raise RuleError(f"compilation failed: undeclared reference to '{sorted(unknown)[0]}'")
        self.uses_old = "oldSelf" in used
        self.fields = _fields_used(text)

    def evaluate(self, variables: dict[str, Any]) -> Any:
        """Return the value.

        Raises:
            Exception: whatever the wheel raises for a runtime error (TypeError, KeyError, RuntimeError, ...).
        """
        if not self._functions:
            return self._program.execute(variables)
        return self._program.execute(cel.Context(variables=variables, functions=self._functions))


def _fields_used(text: str) -> frozenset[str] | None:
    """Return the fields an expression can look at: handing over only those saves most of the cost of a rule."""
    used = [match[1] for match in _SELF.finditer(text)]
    return None if None in used else frozenset(used)


@dataclass(frozen=True)
class Rule:
    """One entry of ``x-kubernetes-validations``."""

    text: str
    expression: Expression
    message: str
    message_expression: Expression | None
    field_path: str
    reason: str
    optional_old: bool
    fields: frozenset[str] | None

    @classmethod
    def compile(cls, source: Mapping[str, Any]) -> Rule:
        """Compile a rule.

        Raises:
            RuleError: when an expression does not compile or `reason` is unknown.
        """
        text = str(source.get("rule") or "")
        reason = source.get("reason") or "FieldValueInvalid"
        if reason not in _REASONS:
            raise RuleError(f"reason: Unsupported value: {show(reason)}")
        told = source.get("messageExpression")
        expression = Expression(text)
        return cls(
            text=text,
            expression=expression,
            message=str(source.get("message") or "").strip() or f"failed rule: {text}",
            message_expression=Expression(str(told)) if told else None,
            field_path=str(source.get("fieldPath") or ""),
            reason=reason,
            optional_old=bool(source.get("optionalOldSelf")),
            # A message may speak of anything, but is rarely there.
            fields=None if told else expression.fields,
        )

    def problem(self, value: Any, variables: dict[str, Any], path: str) -> FieldProblem | None:
        """Evaluate the rule; return what to say when it does not hold."""
        try:
            if self.expression.evaluate(variables) is True:
                return None
        except Exception as error:  # noqa: BLE001,RUF100 a rule may fail in any way, and that is the answer
            return FieldProblem(path, f'Invalid value: "{type_name(value)}": {_failure(self.text, error)}')
        where = path + self.field_path if path else self.field_path.removeprefix(".")
        return FieldProblem(where, f'Invalid value: "{type_name(value)}": {self._say(variables)}', self.reason)

    def _say(self, variables: dict[str, Any]) -> str:
        if self.message_expression is not None:
            try:
                said = self.message_expression.evaluate(variables)
            except Exception:  # noqa: BLE001,RUF100 the fixed message is the documented fallback
                return self.message
            if isinstance(said, str) and said.strip() and "\n" not in said:
                return said
        return self.message


def _failure(rule: str, error: Exception) -> str:
    missing = f"no such key: {error.args[0]}" if isinstance(error, KeyError) else str(error)
    return f"rule compile or evaluation error: {missing} evaluating rule: {rule}"


@dataclass
class RuleTree:
    """The rules of a schema node and of the nodes below it.

    What did not change is not checked again, except by rules about changes (``oldSelf``): as kube-apiserver does, so
    that an object older than a rule can still be written elsewhere.
    """

    schema: Schema
    rules: tuple[Rule, ...] = ()
    fields: dict[str, RuleTree] = field(default_factory=dict)
    entries: RuleTree | None = None
    items: RuleTree | None = None

    def check(self, value: Any, old: Any, path: str, problems: list[FieldProblem]) -> None:
        """Add a problem for every rule that does not hold; `old` is None where there was nothing."""
        if value is None or (not self.watches_changes and same(value, old)):
            return
        if self.rules:
            self._check_here(value, old, path, problems)
        if isinstance(value, dict):
            former = old if isinstance(old, dict) else {}
            for name, below in self._below(value):
                place = f"{path}.{name}" if path else name
                below.check(value[name], former.get(name), place, problems)
        elif isinstance(value, list) and self.items is not None:
            former_items = self._keyed(old)
            for index, item in enumerate(value):
                self.items.check(item, former_items.get(self._key(item)), f"{path}[{index}]", problems)

    @cached_property
    def watches_changes(self) -> bool:
        """Whether any rule here or below mentions ``oldSelf``."""
        below = [each for each in (*self.fields.values(), self.entries, self.items) if each is not None]
        return any(rule.expression.uses_old for rule in self.rules) or any(each.watches_changes for each in below)

    def _check_here(self, value: Any, old: Any, path: str, problems: list[FieldProblem]) -> None:
        is_same = same(value, old)
        for rule in self.rules:
            if rule.expression.uses_old:
                if old is None and not rule.optional_old:
                    continue
            elif is_same:
                continue
            variables = {"self": self._seen(value, rule, is_root=not path)}
            if rule.expression.uses_old:
                before = None if old is None else self._seen(old, rule, is_root=not path)
                variables["oldSelf"] = before if not rule.optional_old else _optional(before)
            if problem := rule.problem(value, variables, path):
                problems.append(problem)

    def _seen(self, value: Any, rule: Rule, *, is_root: bool) -> Any:
        return cel_value(self.schema, value, is_root=is_root, only=rule.fields)

    def _below(self, value: dict[str, Any]) -> Iterator[tuple[str, RuleTree]]:
        for name in value:
            below = self.fields.get(name) or (None if name in self.schema.properties else self.entries)
            if below is not None:
                yield name, below

    def _keyed(self, old: Any) -> dict[str, Any]:
        if self.schema.list_type != "map" or not isinstance(old, list):
            return {}
        return {self._key(item): item for item in old}

    def _key(self, item: Any) -> str:
        return show(self.schema.item_key(item)) if self.schema.list_type == "map" else ""


def compile_rules(schema: Schema, path: str = "") -> tuple[RuleTree | None, list[FieldProblem]]:
    """Compile the rules of a schema.

    Returns:
        The tree (None when there is no rule anywhere), and one problem per rule that does not compile; its path is
        that of the rule in the schema (``properties[spec].x-kubernetes-validations[0].rule``).
    """
    tree, problems = RuleTree(schema), list[FieldProblem]()
    compiled = []
    for index, source in enumerate(schema.source.get("x-kubernetes-validations") or ()):
        try:
            compiled.append(Rule.compile(source))
        except RuleError as error:
            where = f"{path}x-kubernetes-validations[{index}].rule"
            problems.append(FieldProblem(where, f"Invalid value: {show(source.get('rule'))}: {error}"))
    tree.rules = tuple(compiled)
    for name, child in schema.properties.items():
        below, wrong = compile_rules(child, f"{path}properties[{name}].")
        problems += wrong
        if below is not None:
            tree.fields[name] = below
    for child_schema, attribute, word in (
        (schema.additional, "entries", "additionalProperties."),
        (schema.items, "items", "items."),
    ):
        if child_schema is not None:
            below, wrong = compile_rules(child_schema, path + word)
            problems += wrong
            setattr(tree, attribute, below)
    is_empty = not (tree.rules or tree.fields or tree.entries or tree.items)
    return (None if is_empty else tree), problems


def cel_value(schema: Schema | None, value: Any, *, is_root: bool = False, only: frozenset[str] | None = None) -> Any:
    """Return a value as CEL shall see it, by its declared type; of an object, `only` these fields."""
    if schema is None:
        return value
    if isinstance(value, dict):
        seen = {}
        for name, inner in value.items():
            child = schema.child(name)
            called = _escape(name) if name in schema.properties else name
            if child is not None and (only is None or called in only):
                seen[called] = cel_value(child, inner)
        return {**seen, **_object_fields(value)} if is_root or schema.is_embedded else seen
    if isinstance(value, list):
        return [cel_value(schema.items, item) for item in value]
    if isinstance(value, int) and schema.type == "number" and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str) and schema.type == "string" and "format" in schema.source:
        return _formatted(schema.source["format"], value)
    return value


def _optional(value: Any) -> Any:
    return cel.OptionalValue.none() if value is None else cel.OptionalValue.of(value)


def _object_fields(value: dict[str, Any]) -> dict[str, Any]:
    metadata = value.get("metadata")
    named = metadata if isinstance(metadata, dict) else {}
    return {
        "apiVersion": value.get("apiVersion"),
        "kind": value.get("kind"),
        "metadata": {name: named[name] for name in ("name", "generateName") if name in named},
    }


def _formatted(form: Any, value: str) -> Any:
    if form in ("date-time", "date"):
        return parse_time(value) or value
    if form == "byte":
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            return value
    if form == "duration":
        return _duration(value) or value
    return value


def _duration(text: str) -> timedelta | None:
    units = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
    parts = re.findall(r"([-+]?[\d.]+)(ns|us|µs|ms|s|m|h)", text)
    try:
        return timedelta(seconds=sum(float(number) * units[unit] for number, unit in parts)) if parts else None
    except (ValueError, OverflowError):
        return None


@lru_cache(4096)
def _escape(name: str) -> str:
    for pattern, replacement in _NOT_IDENTIFIER:
        name = pattern.sub(replacement, name)
    name = name.replace("/", "__slash__")
    return f"__{name}__" if name in _RESERVED else name
