"""Settings of a process from its environment and its command line: one rule for every component, and no I/O.

A component has one frozen model of its settings and a prefix: the field `port` is the variable `<PREFIX>PORT`
and, where the component has flags, `--port`, which wins. What is misspelt is refused, not ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

SettingsModel = TypeVar("SettingsModel", bound=BaseModel)


class SettingsError(Exception):
    """A setting is missing or wrong; the text is one line that names it, for a person."""


def load_settings(
    model: type[SettingsModel], prefix: str, environment: Mapping[str, str], flags: Mapping[str, object]
) -> SettingsModel:
    """Return the settings of a component.

    Args:
        model: of the settings; its field names are the names.
        prefix: of the component's variables; with it, an unknown name is an error.
        environment: of the process.
        flags: fields given on the command line.

    Raises:
        SettingsError: a variable is unknown, or a value is missing or not permitted. Values are never quoted.
    """
    given: dict[str, object] = {}
    for variable, value in environment.items():
        if variable.startswith(prefix):
            name = variable.removeprefix(prefix).lower()
            if name not in model.model_fields:
                known = ", ".join(prefix + field.upper() for field in model.model_fields)
                raise SettingsError(f"unknown variable {variable}; known: {known}")
            given[name] = value
    try:
        return model.model_validate({**given, **flags})
    except ValidationError as e:
        raise SettingsError(_first_fault(e, prefix, flags)) from e


def _first_fault(error: ValidationError, prefix: str, flags: Mapping[str, object]) -> str:
    fault = error.errors(include_input=False, include_url=False)[0]
    if not fault["loc"]:
        return f"settings {prefix}*: {_text(fault)}"
    name = str(fault["loc"][0])
    variable, flag = prefix + name.upper(), "--" + name.replace("_", "-")
    if fault["type"] == "missing":
        return f"{flag} (or {variable}) is required"
    return f"{flag if name in flags else variable}: {_text(fault)}"


def _text(fault: ErrorDetails) -> str:
    """Return what is wrong; a sentence of ours stands as it was written."""
    own = fault.get("ctx", {}).get("error")
    return str(own) if fault["type"] == "value_error" and own else fault["msg"]
