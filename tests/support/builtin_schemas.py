"""Where the schemas of the built-in kinds come from: a running kube-apiserver.

``PYTHONPATH=tests python -m support.builtin_schemas`` starts one and writes the packaged file anew.
"""

from __future__ import annotations

import gzip
import json
import tempfile
from pathlib import Path
from typing import Any

import httpx

from luna_local import apiserver
from support.apiservers import ApiServer, kubernetes_assets, real_server

PACKAGED = Path(apiserver.__file__).parent / "builtin_schemas.json.gz"
KINDS = {
    "api/v1": [
        "Binding", "ConfigMap", "Endpoints", "Event", "Namespace", "Node", "PersistentVolume",
        "PersistentVolumeClaim", "Pod", "Secret", "Service", "ServiceAccount",
    ],
    "apis/apiextensions.k8s.io/v1": ["CustomResourceDefinition"],
    "apis/apps/v1": ["DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"],
    "apis/authentication.k8s.io/v1": ["SelfSubjectReview", "TokenReview"],
    "apis/authorization.k8s.io/v1": ["SelfSubjectAccessReview", "SelfSubjectRulesReview", "SubjectAccessReview"],
    "apis/autoscaling/v2": ["HorizontalPodAutoscaler"],
    "apis/batch/v1": ["CronJob", "Job"],
    "apis/coordination.k8s.io/v1": ["Lease"],
    "apis/networking.k8s.io/v1": ["NetworkPolicy"],
    "apis/policy/v1": ["PodDisruptionBudget"],
    "apis/rbac.authorization.k8s.io/v1": ["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"],
    "apis/scheduling.k8s.io/v1": ["PriorityClass"],
}  # fmt: skip


def fetch(server: ApiServer) -> dict[str, Any]:
    """Return the component schemas of KINDS and everything they refer to."""
    found: dict[str, Any] = {}
    for path, kinds in KINDS.items():
        answer = httpx.get(f"{server.url}/openapi/v3/{path}", **server.client_options(), timeout=30)
        schemas = answer.raise_for_status().json()["components"]["schemas"]
        wanted = [name for name in schemas if _kind_of(name, schemas[name]) in kinds]
        while wanted:
            name = wanted.pop()
            if name not in found:
                found[name] = schemas[name]
                wanted.extend(_references(schemas[name]))
    return found


def _kind_of(name: str, schema: dict[str, Any]) -> str | None:
    kind = name.rsplit(".", 1)[-1]
    named = schema.get("x-kubernetes-group-version-kind", [])
    return kind if any(each["kind"] == kind for each in named) else None


def _references(node: Any) -> list[str]:
    if isinstance(node, list):
        return [name for each in node for name in _references(each)]
    if not isinstance(node, dict):
        return []
    here = [node["$ref"].rsplit("/", 1)[-1]] if isinstance(node.get("$ref"), str) else []
    return here + [name for each in node.values() for name in _references(each)]


def main() -> None:
    """Write the packaged file."""
    assets = kubernetes_assets()
    if assets is None:
        raise SystemExit("no kube-apiserver: set KUBEBUILDER_ASSETS to a folder with etcd and kube-apiserver")
    with tempfile.TemporaryDirectory() as folder, real_server(assets, Path(folder)) as server:
        text = json.dumps(fetch(server), sort_keys=True, separators=(",", ":"))
    PACKAGED.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


if __name__ == "__main__":
    main()
