"""Discovery: which groups, versions and resources there are, in the old form and the aggregated one (v2)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from luna_local.apiserver.documents import Document
from luna_local.apiserver.resources import ALL_VERBS, Registry, Resource, Subresource

AGGREGATED_TYPE = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


@dataclass(frozen=True)
class Review:
    """A resource that only answers: nothing is stored."""

    group: str
    version: str
    plural: str
    kind: str


REVIEWS = (
    Review("authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview"),
    Review("authentication.k8s.io", "v1", "tokenreviews", "TokenReview"),
    Review("authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview"),
    Review("authorization.k8s.io", "v1", "selfsubjectrulesreviews", "SelfSubjectRulesReview"),
    Review("authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview"),
)


def wants_aggregated(accept: str) -> bool:
    """Say whether a client asks for the aggregated form before any other."""
    first = accept.partition(",")[0].replace(" ", "")
    return "as=APIGroupDiscoveryList" in first and "v=v2" in first.split(";")


def group_versions(registry: Registry) -> dict[str, list[str]]:
    """Return the versions of every group, preferred first."""
    found = {group: list(versions) for group, versions in registry.groups().items()}
    for review in REVIEWS:
        found.setdefault(review.group, [])
        if review.version not in found[review.group]:
            found[review.group].append(review.version)
    return found


def group_list(registry: Registry) -> Document:
    """Return the ``APIGroupList`` of ``/apis``."""
    groups = [group_document(name, versions) for name, versions in group_versions(registry).items() if name]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def group_document(name: str, versions: list[str]) -> Document:
    """Return the ``APIGroup`` of one group."""
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"kind": "APIGroup", "apiVersion": "v1", "name": name, "versions": listed, "preferredVersion": listed[0]}


def resource_list(registry: Registry, group: str, version: str) -> Document:
    """Return the ``APIResourceList`` of one version of a group."""
    resources: list[Document] = []
    for resource in registry.groups().get(group, {}).get(version, []):
        resources.append(_resource(resource))
        resources += [_subresource(resource, each) for each in subresources(resource)]
    for review in REVIEWS:
        if (review.group, review.version) == (group, version):
            entry = {"name": review.plural, "singularName": review.kind.lower(), "namespaced": False}
            resources.append({**entry, "kind": review.kind, "verbs": ["create"]})
    name = f"{group}/{version}" if group else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": resources}


def subresources(resource: Resource) -> Iterable[Subresource]:
    """Return what can be asked of one object besides itself."""
    if resource.has_status:
        yield Subresource("status", resource.kind, ("get", "patch", "update"))
    if resource.scale is not None:
        yield Subresource("scale", "Scale", ("get", "patch", "update"), "autoscaling", "v1")
    yield from resource.subresources


def _resource(resource: Resource) -> Document:
    entry: Document = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.is_namespaced,
        "kind": resource.kind,
        "verbs": list(ALL_VERBS),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    return entry


def _subresource(resource: Resource, subresource: Subresource) -> Document:
    entry: Document = {
        "name": f"{resource.plural}/{subresource.name}",
        "singularName": "",
        "namespaced": resource.is_namespaced,
        "kind": subresource.kind,
        "verbs": list(subresource.verbs),
    }
    if subresource.version:
        entry |= {"group": subresource.group, "version": subresource.version}
    return entry


def aggregated(registry: Registry, *, core: bool) -> Document:
    """Return the ``APIGroupDiscoveryList`` of ``/api`` (the core group) or ``/apis`` (all others)."""
    groups = []
    for group, versions in group_versions(registry).items():
        if (not group) is core:
            listed = [
                {
                    "version": version,
                    "resources": _aggregated_resources(registry, group, version),
                    "freshness": "Current",
                }
                for version in versions
            ]
            groups.append({"metadata": {"name": group, "creationTimestamp": None}, "versions": listed})
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": groups}


def _aggregated_resources(registry: Registry, group: str, version: str) -> list[Document]:
    found: dict[str, Document] = {}
    for entry in resource_list(registry, group, version)["resources"]:
        kind = {"group": entry.get("group", group), "version": entry.get("version", version), "kind": entry["kind"]}
        base, _, sub = entry["name"].partition("/")
        if sub:
            below = {"subresource": sub, "responseKind": kind, "verbs": entry["verbs"]}
            found[base].setdefault("subresources", []).append(below)
            continue
        listed: dict[str, Any] = {
            "resource": base,
            "responseKind": kind,
            "scope": "Namespaced" if entry["namespaced"] else "Cluster",
            "singularResource": entry["singularName"],
            "verbs": entry["verbs"],
        }
        listed |= {name: entry[name] for name in ("shortNames", "categories") if name in entry}
        found[base] = listed
    return list(found.values())
