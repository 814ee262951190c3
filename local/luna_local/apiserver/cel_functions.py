"""Functions that Kubernetes offers to CEL rules beyond the core language.

Strings, lists, math and sets come with the wheel (`cel.stdlib`); here are the ones Kubernetes adds for URLs, addresses
and regular expressions. A rule that calls anything else is refused when the CRD is created.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from cel.stdlib import STDLIB_FUNCTIONS

from luna_local.apiserver.constraints import compile_pattern

# What the wheel itself understands, operators (which are no identifiers) aside.
_NATIVE = frozenset({
    "size", "matches", "contains", "startsWith", "endsWith", "int", "uint", "double", "string", "bytes", "bool",
    "timestamp", "duration", "type", "dyn", "getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek",
    "getDayOfYear", "getHours", "getMinutes", "getSeconds", "getMilliseconds", "of", "none", "ofNonZeroValue",
    "hasValue", "value", "orValue", "or",
})  # fmt: skip


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return bool(parts.scheme) or text.startswith("/")


def _url(text: str) -> dict[str, Any]:
    if not _is_url(text):
        raise ValueError(f"URL parse error: {text!r}")
    parts = urlsplit(text)
    query: dict[str, list[str]] = {}
    for pair in parts.query.split("&") if parts.query else ():
        name, _, value = pair.partition("=")
        query.setdefault(name, []).append(value)
    name = parts.hostname or ""
    return {
        "scheme": parts.scheme,
        "host": parts.netloc.rpartition("@")[2],
        "hostname": name,
        "port": str(parts.port or ""),
        "path": parts.path,
        "query": query,
    }


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _find(text: str, pattern: str) -> str:
    match = compile_pattern(pattern).search(text)
    return match.group(0) if match else ""


def _is_sorted(values: Sequence[Any]) -> bool:
    return list(values) == sorted(values)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    **STDLIB_FUNCTIONS,
    "isURL": _is_url,
    "url": _url,
    "getScheme": lambda url: url["scheme"],
    "getHost": lambda url: url["host"],
    "getHostname": lambda url: url["hostname"],
    "getPort": lambda url: url["port"],
    "getEscapedPath": lambda url: url["path"],
    "getQuery": lambda url: url["query"],
    "isIP": _is_address,
    "isCIDR": _is_network,
    "find": _find,
    "findAll": lambda text, pattern: [match.group(0) for match in re.finditer(compile_pattern(pattern), text)],
    "isSorted": _is_sorted,
}
_SHORT_NAMES = {name.rsplit(".", 1)[-1]: name for name in FUNCTIONS}


def needed_functions(called: Sequence[str]) -> dict[str, Callable[..., Any]]:
    """Return the functions a program calls that must be handed to it.

    Raises:
        LookupError: naming a function that nobody offers.
    """
    needed = {}
    for name in called:
        if not name.isidentifier() or name in _NATIVE:
            continue
        full_name = name if name in FUNCTIONS else _SHORT_NAMES.get(name)
        if full_name is None:
            raise LookupError(f"undeclared reference to '{name}' (or not offered by the embedded server)")
        needed[full_name] = FUNCTIONS[full_name]
    return needed
