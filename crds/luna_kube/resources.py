"""Which resource, which collection, which object: values that know their path in the API."""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import quote

from luna_streams import naming


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of object as the API serves it."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """The apiVersion of its objects, e.g. "v1" or "lunastreams.dev/v1alpha1"."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def at(self, namespace: str | None, name: str) -> ObjectRef:
        """Return the reference of one object; the namespace is None for cluster-wide kinds."""
        return ObjectRef(self, namespace, name)

    def within(self, namespace: str) -> CollectionRef:
        """Return the collection of one namespace."""
        return CollectionRef(self, namespace)

    def everywhere(self) -> CollectionRef:
        """Return the collection of the whole cluster."""
        return CollectionRef(self, None)


@dataclass(frozen=True, slots=True)
class CollectionRef:
    """All objects of a resource, in one namespace or (None) in the cluster."""

    resource: Resource
    namespace: str | None

    @property
    def path(self) -> str:
        """The path below the server's address."""
        root = f"/apis/{self.resource.group}" if self.resource.group else "/api"
        middle = f"/namespaces/{quote(self.namespace, safe='')}" if self.namespace is not None else ""
        return f"{root}/{self.resource.version}{middle}/{self.resource.plural}"

    def __str__(self) -> str:
        where = f"namespace {self.namespace}" if self.namespace is not None else "the cluster"
        return f"{self.resource.plural} of {where}"


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """One object, or one of its subresources."""

    resource: Resource
    namespace: str | None
    name: str
    subresource: str = ""

    @property
    def status(self) -> ObjectRef:
        """The status subresource of the object."""
        return self.sub("status")

    def sub(self, subresource: str) -> ObjectRef:
        """Return the reference of a subresource, e.g. "status" or "eviction"."""
        return replace(self, subresource=subresource)

    @property
    def path(self) -> str:
        """The path below the server's address."""
        collection = CollectionRef(self.resource, self.namespace).path
        suffix = f"/{self.subresource}" if self.subresource else ""
        return f"{collection}/{quote(self.name, safe='')}{suffix}"

    def __str__(self) -> str:
        where = f"{self.namespace}/" if self.namespace is not None else ""
        return f"{self.resource.kind} {where}{self.name}"


PODS = Resource("", "v1", "pods", "Pod")
SECRETS = Resource("", "v1", "secrets", "Secret")
EVENTS = Resource("", "v1", "events", "Event")
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
NODES = Resource("", "v1", "nodes", "Node", namespaced=False)
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")
TOKEN_REVIEWS = Resource("authentication.k8s.io", "v1", "tokenreviews", "TokenReview", namespaced=False)
SELF_SUBJECT_REVIEWS = Resource(
    "authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview", namespaced=False
)
CUSTOM_RESOURCE_DEFINITIONS = Resource(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
)
STREAMS = Resource(naming.GROUP, naming.VERSION, naming.STREAMS, "Stream")
STREAM_GROUPS = Resource(naming.GROUP, naming.VERSION, naming.STREAM_GROUPS, "StreamGroup")
STREAM_PROCESSORS = Resource(naming.GROUP, naming.VERSION, naming.STREAM_PROCESSORS, "StreamProcessor")
