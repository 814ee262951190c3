"""JSON documents: reading and writing them, and looking into them safely.

A document that arrives from outside may hold anything at any place; these functions never raise on a wrong type,
only on text that is no JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
import yaml

from luna_local.apiserver.errors import bad_request

Document = dict[str, Any]


class _PlainLoader(yaml.SafeLoader):
    """YAML as far as it is JSON: no aliases (they can blow up), no dates."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not supported")
        return super().compose_node(parent, index)


_PlainLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def decode_json(raw: bytes) -> Any:
    """Return the value written in `raw`.

    Raises:
        ApiError: 400 when it is no JSON.
    """
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise bad_request(f"the body of the request is not valid JSON: {error}") from error


def decode_yaml(raw: bytes) -> Any:
    """Return the value written in `raw`, JSON or YAML (without aliases).

    Raises:
        ApiError: 400 when it is neither.
    """
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        pass
    try:
        return orjson.loads(orjson.dumps(yaml.load(raw, Loader=_PlainLoader)))  # noqa: S506 a SafeLoader
    except (yaml.YAMLError, TypeError, ValueError, RecursionError) as error:
        raise bad_request(f"the body of the request is not valid YAML: {error}") from error


def encode(document: Any) -> bytes:
    """Return `document` as JSON.

    Raises:
        ApiError: 400 when it is nested too deeply or holds numbers beyond 64 bits.
    """
    try:
        return orjson.dumps(document)
    except TypeError as error:
        raise bad_request(f"the object cannot be stored as JSON: {error}") from error


def copy(document: Any) -> Any:
    """Return a deep copy (by way of JSON, several times faster than copy.deepcopy)."""
    return orjson.loads(encode(document))


def same(one: Any, other: Any) -> bool:
    """Say whether two values are the same JSON: unlike in Python, true is not 1."""
    if one != other:
        return False
    if not isinstance(one, dict | list):
        return type(one) is type(other)
    return orjson.dumps(one, option=orjson.OPT_SORT_KEYS) == orjson.dumps(other, option=orjson.OPT_SORT_KEYS)


def dig(document: Any, path: Sequence[str]) -> Any:
    """Return what lies at `path`, or None."""
    for name in path:
        if not isinstance(document, dict):
            return None
        document = document.get(name)
    return document


def section(document: Any, *path: str) -> Document:
    """Return the mapping at `path`; an empty one when there is none or it is something else."""
    found = dig(document, path)
    return found if isinstance(found, dict) else {}


def items(document: Any, *path: str) -> list[Any]:
    """Return the list at `path`; an empty one when there is none or it is something else."""
    found = dig(document, path)
    return found if isinstance(found, list) else []


def plant(document: Document, path: Sequence[str], value: Any) -> None:
    """Set what lies at `path`, making the mappings on the way."""
    for name in path[:-1]:
        below = document.get(name)
        if not isinstance(below, dict):
            below = document[name] = {}
        document = below
    document[path[-1]] = value


def timestamp(at: datetime | None = None) -> str:
    """Return a time in the form of Kubernetes (UTC, seconds): now, unless given."""
    return (at or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: Any) -> datetime | None:
    """Return the time written in `text`, or None."""
    if not isinstance(text, str):
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
