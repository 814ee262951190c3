"""Schemas of the built-in kinds, as kube-apiserver 1.35 publishes them.

`builtin_schemas.json.gz` holds the component schemas of its OpenAPI documents that our built-in kinds need, nothing
else and nothing changed (Kubernetes, Apache-2.0; `tests/contract/test_builtin_schemas.py` compares it with a running
kube-apiserver and can write it anew). From it come validation and pruning of built-in objects, ``kubectl explain``,
and the merge keys of strategic merge patch and server-side apply.
"""

from __future__ import annotations

import gzip
from functools import cache
from importlib import resources
from typing import Any

import orjson

from luna_local.apiserver.schema import Schema, compile_schema

# The release whose documents these are and whose behaviour the server follows.
EMULATED_MINOR = 35
OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


@cache
def definitions() -> dict[str, dict[str, Any]]:
    """Return the component schemas by name (``io.k8s.api.core.v1.Pod``)."""
    packed = resources.files("luna_local.apiserver").joinpath("builtin_schemas.json.gz").read_bytes()
    loaded: dict[str, dict[str, Any]] = orjson.loads(gzip.decompress(packed))
    return loaded


@cache
def schema_names() -> dict[tuple[str, str, str], str]:
    """Return the name of the schema of each (group, version, kind)."""
    return {
        (each["group"], each["version"], each["kind"]): name
        for name, schema in definitions().items()
        for each in schema.get("x-kubernetes-group-version-kind", ())
        if name.endswith("." + each["kind"])
    }


@cache
def schema_of(name: str) -> Schema:
    """Return the compiled schema called `name`."""
    return compile_schema({"$ref": f"#/components/schemas/{name}"}, definitions())
