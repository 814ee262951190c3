"""The settings of a replica as `/config` shows them: in sections, under the names of LUNA Streams where it has one.

Every setting is shown, one that nobody gave a place in the section LUNA_STREAMS. What is secret is masked by its type,
so that a new secret cannot slip through.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any, Final

from pydantic import SecretBytes, SecretStr

from luna_api_shim.influx import NAME as INFLUX_MONITORING
from luna_api_shim.settings import Settings

Sections = dict[str, dict[str, Any]]
"""Settings by section and name; values as JSON has them."""

MASK: Final = "********"

_USER_INFO = re.compile(r"(?<=://)[^/\s]*@")

_PLACES: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "host": ("LUNA_STREAMS_HTTP_SETTINGS", "HOST"),
        "port": ("LUNA_STREAMS_HTTP_SETTINGS", "PORT"),
        "advertised_host": ("LUNA_STREAMS_HTTP_SETTINGS", "ADVERTISED_HOST"),
        "max_body_bytes": ("LUNA_STREAMS_HTTP_SETTINGS", "MAX_BODY_BYTES"),
        "obsoleting_period": ("LUNA_STREAMS", "STREAM_STATUS_OBSOLETING_PERIOD"),
        "log_level": ("LUNA_STREAMS_LOGGER", "LOG_LEVEL"),
        "data_folder": ("LUNA_STREAMS_DB", "DATA_FOLDER"),
        "logs_clear_active": ("LUNA_STREAMS_LOGS_CLEAR_INTERVAL", "active"),
        "logs_clear_interval": ("LUNA_STREAMS_LOGS_CLEAR_INTERVAL", "interval"),
        "logs_clear_interval_type": ("LUNA_STREAMS_LOGS_CLEAR_INTERVAL", "interval_type"),
        "logs_clear_check_interval": ("LUNA_STREAMS_LOGS_CLEAR_INTERVAL", "check_interval"),
        "kubeconfig": ("KUBERNETES", "KUBECONFIG"),
        "namespace": ("KUBERNETES", "NAMESPACE"),
        "all_namespaces": ("KUBERNETES", "ALL_NAMESPACES"),
        "parallel_writes": ("KUBERNETES", "PARALLEL_WRITES"),
        "kubernetes_timeout": ("KUBERNETES", "TIMEOUT"),
    }
)
_FAMILIES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "influx_": "INFLUX_MONITORING",
        "metrics_": "LUNA_SERVICE_METRICS",
        "database_": "LUNA_STREAMS_DB",
        "lease_": "KUBERNETES_LEASE",
    }
)
"""Sections of the settings whose names begin so; there they have the rest of it for their name."""


def sections(settings: Settings) -> Sections:
    """Return all settings."""
    monitoring = {"SEND_DATA_FOR_MONITORING": int(INFLUX_MONITORING in settings.active_plugins), "VERSION": 2}
    found: Sections = {"INFLUX_MONITORING": monitoring}
    for name in type(settings).model_fields:
        section, key = _place(name)
        found.setdefault(section, {})[key] = _shown(getattr(settings, name))
    return found


def as_text(settings: Sections) -> str:
    """Return settings in the form `[SECTION]`, `KEY = value`."""
    blocks = (
        "".join((f"[{section}]\n", *(f"{key} = {_text(value)}\n" for key, value in values.items())))
        for section, values in settings.items()
    )
    return "\n".join(blocks)


def _place(name: str) -> tuple[str, str]:
    if name in _PLACES:
        return _PLACES[name]
    for prefix, section in _FAMILIES.items():
        if name.startswith(prefix):
            return section, name.removeprefix(prefix).upper()
    return "LUNA_STREAMS", name.upper()


def _shown(value: object) -> Any:
    """Return a value as JSON has it: booleans as 0 and 1, like LUNA's; secrets masked."""
    if isinstance(value, SecretStr | SecretBytes):
        return MASK if value.get_secret_value() else ""
    if isinstance(value, Enum):
        return _shown(value.value)
    if isinstance(value, bool):
        return int(value)
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): _shown(item) for key, item in value.items()}
    if isinstance(value, tuple | list | set | frozenset):
        return [_shown(item) for item in value]
    return _USER_INFO.sub(f"{MASK}@", str(value))


def _text(value: Any) -> str:
    """Return a value in one line."""
    if value is None:
        return ""
    if isinstance(value, dict):
        return ",".join(f"{key}={_text(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ",".join(_text(item) for item in value)
    return " ".join(str(value).split())
