"""JSON schemas of everything the chart makes, closed, as kubeconform reads them: a field nobody knows is refused.

Kubernetes' own kinds come from the OpenAPI documents of a running API server, ours from their CRDs, those of other
projects from `foreign_crds.yaml`.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import yaml

from support.apiservers import ApiServer
from support.crd_schemas import crds

Json = dict[str, Any]

PATTERN = "{{.Group}}_{{.ResourceAPIVersion}}_{{.ResourceKind}}.json"
"""Names of the files, in kubeconform's words; the kind is in small letters."""

_GROUPS = (
    "api/v1", "apis/apps/v1", "apis/batch/v1", "apis/policy/v1", "apis/networking.k8s.io/v1",
    "apis/rbac.authorization.k8s.io/v1", "apis/admissionregistration.k8s.io/v1",
)  # fmt: skip
_METADATA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string"},
        "namespace": {"type": "string"},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}


def write_schemas(api: ApiServer, folder: Path) -> None:
    """Write a schema per kind into a folder."""
    for group in _GROUPS:
        document = (
            httpx.get(f"{api.url}/openapi/v3/{group}", **api.client_options(), timeout=60).raise_for_status().json()
        )
        parts = closed(document["components"]["schemas"])
        for name, schema in parts.items():
            for known in schema.get("x-kubernetes-group-version-kind", []):
                body = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": parts}}
                _write(folder, (known["group"], known["version"], known["kind"]), body)
    for crd in [*crds().values(), *foreign_crds()]:
        (version,) = crd["spec"]["versions"]
        schema = json.loads(json.dumps(version["schema"]["openAPIV3Schema"]))
        schema.setdefault("properties", {}).update(
            apiVersion={"type": "string"}, kind={"type": "string"}, metadata=_METADATA
        )
        _write(folder, (crd["spec"]["group"], version["name"], crd["spec"]["names"]["kind"]), closed(schema))


def _write(folder: Path, of: tuple[str, str, str], schema: Json) -> None:
    group, version, kind = of
    # kubeconform takes the version of Kubernetes' first kinds for their group, which has no name.
    (folder / f"{group or version}_{version}_{kind.lower()}.json").write_text(json.dumps(schema))


def closed(schema: Any) -> Any:
    """Refuse what a schema does not name, in place, wherever it names something; return it."""
    if isinstance(schema, list):
        for item in schema:
            closed(item)
    if isinstance(schema, dict):
        is_open = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
        if isinstance(schema.get("properties"), dict) and not is_open:
            schema["additionalProperties"] = False
        for child in schema.values():
            closed(child)
    return schema


@cache
def foreign_crds() -> tuple[Json, ...]:
    """Return CustomResourceDefinitions of other projects' kinds, as far as the chart uses them."""
    listed = yaml.safe_load(Path(__file__).with_name("foreign_crds.yaml").read_text())["definitions"]
    return tuple(_definition(item) for item in listed)


def _definition(item: Json) -> Json:
    annotations = {}
    if item["group"].endswith(".k8s.io"):
        annotations["api-approved.kubernetes.io"] = "unapproved, for tests"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{item['plural']}.{item['group']}", "annotations": annotations},
        "spec": {
            "group": item["group"],
            "scope": "Namespaced",
            "names": {"plural": item["plural"], "kind": item["kind"], "singular": item["kind"].lower()},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "required": ["spec"],
                            "properties": {"spec": item["spec"]},
                        }
                    },
                }
            ],
        },
    }
