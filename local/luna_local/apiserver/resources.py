"""Resources: what is served, under which names, and what belongs to each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from luna_local.apiserver.cel_rules import RuleTree
from luna_local.apiserver.columns import AGE, NAME, Column
from luna_local.apiserver.schema import Schema

# Group and plural: objects of all versions of a resource are stored together under it.
ResourceKey = tuple[str, str]

NAMESPACES: ResourceKey = ("", "namespaces")
PODS: ResourceKey = ("", "pods")
EVENTS: ResourceKey = ("", "events")
SERVICE_ACCOUNTS: ResourceKey = ("", "serviceaccounts")
DEFINITIONS: ResourceKey = ("apiextensions.k8s.io", "customresourcedefinitions")

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True)
class ScalePaths:
    """Where a resource keeps what the scale subresource speaks of (dotted paths without the leading dot)."""

    spec_replicas: str
    status_replicas: str
    selector: str = ""


@dataclass(frozen=True)
class Subresource:
    """A subresource as discovery lists it."""

    name: str
    kind: str
    verbs: tuple[str, ...]
    group: str = ""
    version: str = ""


@dataclass(frozen=True)
class Resource:
    """One resource in one version.

    Attributes:
        schema: what objects may hold; built-ins have the one of kube-apiserver.
        rules: CEL rules, if any.
        selectable: dotted paths that field selectors may name, besides name and namespace.
        has_generation: whether `metadata.generation` counts changes of anything but metadata and status.
        is_builtin: not defined by a CRD.
        is_ending: its definition is being deleted; nothing may be created.
    """

    group: str
    version: str
    plural: str
    kind: str
    schema: Schema
    singular: str = ""
    list_kind: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    is_namespaced: bool = True
    has_status: bool = False
    scale: ScalePaths | None = None
    subresources: tuple[Subresource, ...] = ()
    rules: RuleTree | None = None
    columns: tuple[Column, ...] = (NAME, AGE)
    selectable: tuple[str, ...] = ()
    has_generation: bool = True
    is_builtin: bool = False
    is_ending: bool = False

    @property
    def key(self) -> ResourceKey:
        """Group and plural."""
        return (self.group, self.plural)

    @property
    def api_version(self) -> str:
        """``group/version``, or the version alone in the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def list_name(self) -> str:
        """Kind of a list of these."""
        return self.list_kind or f"{self.kind}List"


class Registry:
    """The resources that are served at this moment."""

    def __init__(self) -> None:
        self._served: dict[ResourceKey, dict[str, Resource]] = {}

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        """Return the resource at a path."""
        return self._served.get((group, plural), {}).get(version)

    def of_kind(self, api_version: str, kind: str) -> Resource | None:
        """Return the resource a manifest means."""
        return next((each for each in self if (each.api_version, each.kind) == (api_version, kind)), None)

    def any_version(self, key: ResourceKey) -> Resource | None:
        """Return a resource of this key in its first version (the storage version of a CRD)."""
        return next(iter(self._served.get(key, {}).values()), None)

    def serve(self, versions: list[Resource]) -> None:
        """Serve the versions of one resource, in place of what was served under its key."""
        if versions:
            self._served[versions[0].key] = {each.version: each for each in versions}

    def withdraw(self, key: ResourceKey) -> None:
        """Serve a resource no longer."""
        self._served.pop(key, None)

    def __iter__(self) -> Iterator[Resource]:
        for versions in self._served.values():
            yield from versions.values()

    def groups(self) -> dict[str, dict[str, list[Resource]]]:
        """Return resources by group and version, the core group first, newest version first."""
        found: dict[str, dict[str, list[Resource]]] = {"": {}}
        for resource in self:
            found.setdefault(resource.group, {}).setdefault(resource.version, []).append(resource)
        return {
            group: dict(sorted(versions.items(), key=lambda each: _version_rank(each[0]), reverse=True))
            for group, versions in found.items()
        }


def _version_rank(version: str) -> tuple[int, int, int]:
    """Order versions as Kubernetes does: v2 > v1 > v1beta2 > v1beta1 > v1alpha1."""
    for word, rank in (("alpha", 0), ("beta", 1)):
        if word in version:
            major, _, minor = version.removeprefix("v").partition(word)
            return (rank, int(major) if major.isdigit() else 0, int(minor) if minor.isdigit() else 0)
    digits = version.removeprefix("v")
    return (2, int(digits) if digits.isdigit() else 0, 0)
