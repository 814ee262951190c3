"""The parameters of a stream: every leaf of the bodies that the REST API takes, from the OpenAPI document in docs/."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import yaml

from support.apiservers import REPOSITORY

PAGE = REPOSITORY / "docs" / "parameters.md"
_ROW = re.compile(r"^\| (?P<parameters>`.+?) \| (?P<effect>.+?) \| (?P<tests>.+?) \|$")
_CODE = re.compile(r"`([^`]+)`")

Json = Any


@cache
def _document() -> Json:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load((REPOSITORY / "docs" / "openapi.yaml").read_text(), loader)  # noqa: S506  either is a safe loader


@cache
def documented(version: str) -> frozenset[str]:
    """Return the paths of all leaves of the body of POST /{version}/streams, e.g. `policies.sending.type`.

    Items of lists have the path of the list; a list of plain values is a leaf.
    """
    body = _document()["paths"][f"/{version}/streams"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    return frozenset(_leaves(body, ""))


def _leaves(schema: Json, path: str) -> Iterator[str]:
    if "$ref" in schema:
        schema = _document()["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    branches = [branch for word in ("allOf", "oneOf", "anyOf") for branch in schema.get(word, ())]
    found = [leaf for branch in branches for leaf in _leaves(branch, path)]
    found += [
        leaf
        for name, field in schema.get("properties", {}).items()
        for leaf in _leaves(field, f"{path}.{name}" if path else name)
    ]
    if "items" in schema:
        found += _leaves(schema["items"], path)
    # What is told by several forms (a region: object or array) has the leaves of the object.
    deeper = [leaf for leaf in found if leaf != path]
    yield from deeper or [path]


def described() -> dict[str, tuple[str, list[str]]]:
    """Return what the page says of each parameter: version and path, with its effect and the tests it names."""
    rows: dict[str, tuple[str, list[str]]] = {}
    for line in PAGE.read_text().splitlines():
        if row := _ROW.match(line):
            for parameter in _CODE.findall(row["parameters"]):
                assert parameter not in rows, f"{parameter} stands on the page twice"
                rows[parameter] = row["effect"], _CODE.findall(row["tests"])
    return rows


@cache
def names_of_tests(file: str) -> frozenset[str]:
    """Return the names of the tests in a file, relative to tests/."""
    tree = ast.parse((REPOSITORY / "tests" / file).read_text())
    return frozenset(
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    )
