"""The built-in resources: those that kubectl, kopf, Helm charts and this project put objects into.

They are stored and validated; nothing here acts on Deployments, Jobs and the like (a real cluster's controllers do).
"""

from __future__ import annotations

from dataclasses import dataclass

from luna_local.apiserver.builtin_schemas import schema_names, schema_of
from luna_local.apiserver.columns import AGE, BUILTIN_COLUMNS, NAME
from luna_local.apiserver.resources import Resource, ScalePaths, Subresource


@dataclass(frozen=True)
class _Entry:
    group: str
    version: str
    plural: str
    kind: str
    short_names: tuple[str, ...] = ()
    is_namespaced: bool = True
    has_status: bool = False
    has_generation: bool = False
    in_all: bool = False
    scales: bool = False


_RBAC = "rbac.authorization.k8s.io"
_ENTRIES = (
    _Entry("", "v1", "namespaces", "Namespace", ("ns",), is_namespaced=False, has_status=True),
    _Entry("", "v1", "pods", "Pod", ("po",), has_status=True, has_generation=True, in_all=True),
    _Entry("", "v1", "configmaps", "ConfigMap", ("cm",)),
    _Entry("", "v1", "secrets", "Secret"),
    _Entry("", "v1", "services", "Service", ("svc",), has_status=True, in_all=True),
    _Entry("", "v1", "endpoints", "Endpoints", ("ep",)),
    _Entry("", "v1", "events", "Event", ("ev",)),
    _Entry("", "v1", "nodes", "Node", ("no",), is_namespaced=False, has_status=True),
    _Entry("", "v1", "serviceaccounts", "ServiceAccount", ("sa",)),
    _Entry("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", ("pvc",), has_status=True),
    _Entry("", "v1", "persistentvolumes", "PersistentVolume", ("pv",), is_namespaced=False, has_status=True),
    _Entry("apps", "v1", "deployments", "Deployment", ("deploy",), True, True, True, True, scales=True),
    _Entry("apps", "v1", "statefulsets", "StatefulSet", ("sts",), True, True, True, True, scales=True),
    _Entry("apps", "v1", "replicasets", "ReplicaSet", ("rs",), True, True, True, True, scales=True),
    _Entry("apps", "v1", "daemonsets", "DaemonSet", ("ds",), True, True, True, True),
    _Entry("batch", "v1", "jobs", "Job", (), True, True, True, True),
    _Entry("batch", "v1", "cronjobs", "CronJob", ("cj",), True, True, True, True),
    _Entry("coordination.k8s.io", "v1", "leases", "Lease"),
    _Entry(_RBAC, "v1", "roles", "Role"),
    _Entry(_RBAC, "v1", "rolebindings", "RoleBinding"),
    _Entry(_RBAC, "v1", "clusterroles", "ClusterRole", is_namespaced=False),
    _Entry(_RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", is_namespaced=False),
    _Entry("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", ("netpol",), has_generation=True),
    _Entry("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", ("pdb",), True, True, True),
    _Entry("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", ("hpa",), True, True),
    _Entry("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", ("pc",), False, has_generation=True),
    _Entry(
        "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", ("crd", "crds"),
        is_namespaced=False, has_status=True, has_generation=True,
    ),
)  # fmt: skip

_SUBRESOURCES = {
    ("", "pods"): (
        Subresource("log", "Pod", ("get",)),
        Subresource("binding", "Binding", ("create",)),
        Subresource("eviction", "Eviction", ("create",), "policy", "v1"),
    ),
    ("", "serviceaccounts"): (Subresource("token", "TokenRequest", ("create",), "authentication.k8s.io", "v1"),),
}
_SELECTABLE = {
    ("", "pods"): (
        "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork",
        "status.phase", "status.podIP", "status.nominatedNodeName",
    ),
    ("", "events"): (
        "involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid",
        "involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath", "reason",
        "reportingComponent", "type",
    ),
    ("", "secrets"): ("type",),
    ("", "namespaces"): ("status.phase",),
    ("", "nodes"): ("spec.unschedulable",),
    ("batch", "jobs"): ("status.successful",),
    ("apps", "replicasets"): ("status.replicas",),
}  # fmt: skip
_SCALE = ScalePaths("spec.replicas", "status.replicas")


def builtin_resources() -> list[Resource]:
    """Return all built-in resources."""
    return [_resource(entry) for entry in _ENTRIES]


def _resource(entry: _Entry) -> Resource:
    key = (entry.group, entry.plural)
    return Resource(
        group=entry.group,
        version=entry.version,
        plural=entry.plural,
        kind=entry.kind,
        schema=schema_of(schema_names()[entry.group, entry.version, entry.kind]),
        singular=entry.kind.lower(),
        short_names=entry.short_names,
        categories=("all",) if entry.in_all else (),
        is_namespaced=entry.is_namespaced,
        has_status=entry.has_status,
        scale=_SCALE if entry.scales else None,
        subresources=_SUBRESOURCES.get(key, ()),
        columns=BUILTIN_COLUMNS.get(key, (NAME, AGE)),
        selectable=_SELECTABLE.get(key, ()),
        has_generation=entry.has_generation,
        is_builtin=True,
    )
