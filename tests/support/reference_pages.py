"""The tables of docs/resources.md and docs/lifecycle.md, made from the CRDs and from the transition table.

The pages are written by hand but for the parts between `<!-- BEGIN ... -->` and `<!-- END -->`, which `make generate`
writes anew (support/repository.py) and a test compares.
"""

from __future__ import annotations

import json
import re
from typing import Any

from luna_streams.lifecycle import REFUSALS, TRANSITIONS, Trigger
from luna_streams.v1alpha1 import READABLE_STATES
from support.crd_schemas import Schema, part, version_of
from support.lifecycle_matrix import may_follow

_BLOCK = re.compile(r"(<!-- BEGIN (\w+)(?: ([\w.]+))? -->\n).*?(<!-- END -->)", re.DOTALL)

_TRIGGERS = {
    Trigger.USER_PENDING: "PATCH `pending`, or `desiredStatus: pending`",
    Trigger.USER_PAUSE: "PATCH `pause`, or `desiredStatus: pause`",
    Trigger.USER_CANCEL: "PATCH `cancel`, or `desiredStatus: cancel`",
    Trigger.REPLACED_PENDING: "PUT `pending`, or changed data",
    Trigger.REPLACED_PAUSE: "PUT `pause`, or changed data with `desiredStatus: pause`",
    Trigger.REPLACED_CANCEL: "changed data with `desiredStatus: cancel`",
    Trigger.TAKEN: "a worker takes it from the queue",
    Trigger.REPORTED_DONE: "its worker reports `done`",
    Trigger.REPORTED_FAILURE: "its worker reports `failure`",
    Trigger.HANDLER_LOST: "its worker is gone",
    Trigger.RESTARTED: "an automatic restart is due",
    Trigger.DELETED: "it is deleted",
}


def refreshed(page: str) -> str:
    """Return a page with its generated parts made anew."""
    makers = {"fields": _fields, "columns": _columns, "transitions": _transitions, "matrix": _matrix}
    return _BLOCK.sub(lambda found: found[1] + makers[found[2]](found[3]) + found[4], page)


def _fields(name: str) -> str:
    kind, name = name.split(".")
    rows = "".join(_rows(part(kind, name), ""))
    return f"\n| field | type | default | meaning |\n|---|---|---|---|\n{rows}\n"


def _rows(schema: Schema, prefix: str) -> list[str]:
    rows: list[str] = []
    for name, field in schema.get("properties", {}).items():
        path = f"{prefix}{name}"
        items = field.get("items", {})
        default = _default(field, is_required=name in schema.get("required", []))
        rows.append(f"| `{path}` | {_type(field)} | {default} | {_cell(field.get('description', ''))} |\n")
        if {"name", "key"} == set(field.get("properties", {})):
            continue  # what a reference to a key of a Secret holds is said once, in the prose
        rows += _rows(field, f"{path}.")
        rows += _rows(items, f"{path}[].")
    return rows


def _type(field: Schema) -> str:
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if field["type"] == "array":
        most = field["maxItems"]
        return f"list of {field['items']['type']}s, {'exactly' if field.get('minItems') == most else 'at most'} {most}"
    if field["type"] == "string":
        return "time" if field.get("format") == "date-time" else _text(field)
    if field["type"] in ("integer", "number"):
        return {"integer": "whole number", "number": "number"}[field["type"]] + _range(field)
    return str(field["type"])


def _text(field: Schema) -> str:
    if "a-f0-9" in field.get("pattern", ""):
        return "UUID in lower case"
    return f"text, at most {field['maxLength']}"


def _range(field: Schema) -> str:
    low, high = field.get("minimum"), field.get("maximum")
    low = None if low == -(2**31) else low
    high = None if high == 2**31 - 1 else high
    if low is None and high is None:
        return ""
    return f", {low} to {high}" if low is not None and high is not None else f", at least {low}"


def _default(field: Schema, *, is_required: bool) -> str:
    if is_required:
        return "**required**"
    default: Any = field.get("default")
    if default is None or default == {}:
        return ""
    return f"`{json.dumps(default)}`" if isinstance(default, dict | list | str) else f"`{str(default).lower()}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _columns(kind: str) -> str:
    columns = version_of(kind)["additionalPrinterColumns"]
    shown = ", ".join(f"`{column['name'].upper()}`" for column in columns if not column.get("priority"))
    wide = ", ".join(f"`{column['name'].upper()}`" for column in columns if column.get("priority"))
    fields = ", ".join(f"`{one['jsonPath'][1:]}`" for one in version_of(kind).get("selectableFields", []))
    lines = [f"- columns: {shown}; with `-o wide` also {wide}"]
    lines += [f"- `--field-selector` knows {fields}"] if fields else []
    return "\n" + "".join(f"{line}\n" for line in lines) + "\n"


def _transitions(_: str | None) -> str:
    states = [state.value for state in READABLE_STATES]
    head = f"\n| what happens | {' | '.join(f'`{state}`' for state in states)} |\n|---|{'---|' * len(states)}\n"
    rows = [
        f"| {text} | {' | '.join(_transition(state, trigger) for state in READABLE_STATES)} |\n"
        for trigger, text in _TRIGGERS.items()
    ]
    return head + "".join(rows) + "\n"


def _transition(state: Any, trigger: Trigger) -> str:
    if refusal := REFUSALS.get((state, trigger)):
        return f"refused, {refusal.code}"
    path = TRANSITIONS[state].get(trigger, ())
    return " → ".join(f"`{step.value}`" for step in path) or "·"


def _matrix(_: str | None) -> str:
    cells = may_follow()
    names = list(dict.fromkeys(first for first, _ in cells))
    title = {"none": "(no such stream)"}
    marks = {"+": "+", "o": "○", ".": ""}
    head = f"\n| from ↓ to → | {' | '.join(title.get(name, name) for name in names)} |\n|---|{'---|' * len(names)}\n"
    rows = [
        f"| {title.get(first, first)} | {' | '.join(marks[cells[first, second]] for second in names)} |\n"
        for first in names
    ]
    return head + "".join(rows) + "\n"
