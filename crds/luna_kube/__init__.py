"""The one Kubernetes client of this project: configuration, raw requests, reflector, leadership.

Used by the operator, the REST shim and the local mode; never by the processor, which needs no Kubernetes. Objects
stay plain dicts here, as they came over the wire: parsing them into the domain's models is the caller's business.

    async with KubeClient(await load_credentials()) as client:
        streams = Reflector(client, STREAMS.everywhere())
        async with streams.running():
            await client.patch(STREAMS.at("default", "lobby").status, {"status": {...}})

What it does not do: typed objects, discovery, exec and port-forward, retries of creations (see docs/adr/0005).
"""

from luna_kube.cache import Cache, CacheEvent, EventType, Key
from luna_kube.client import Json, KubeClient, ListResult, PatchKind, WatchEvent
from luna_kube.credentials import Credentials, load_credentials
from luna_kube.errors import (
    AlreadyExists,
    ApiError,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    NotConfigured,
    NotFound,
    TooManyRequests,
    Unauthorized,
    Unavailable,
)
from luna_kube.leadership import Leadership, LeadershipLost, LeaseSettings, Outlook, leadership
from luna_kube.patches import merge_patch
from luna_kube.reflector import Reflector
from luna_kube.resources import (
    CUSTOM_RESOURCE_DEFINITIONS,
    EVENTS,
    LEASES,
    NAMESPACES,
    NODES,
    PODS,
    SECRETS,
    STREAM_GROUPS,
    STREAM_PROCESSORS,
    STREAMS,
    TOKEN_REVIEWS,
    CollectionRef,
    ObjectRef,
    Resource,
)
from luna_kube.transport import open_session

__all__ = [
    "CUSTOM_RESOURCE_DEFINITIONS",
    "EVENTS",
    "LEASES",
    "NAMESPACES",
    "NODES",
    "PODS",
    "SECRETS",
    "STREAMS",
    "STREAM_GROUPS",
    "STREAM_PROCESSORS",
    "TOKEN_REVIEWS",
    "AlreadyExists",
    "ApiError",
    "Cache",
    "CacheEvent",
    "CollectionRef",
    "Conflict",
    "Credentials",
    "EventType",
    "Forbidden",
    "Gone",
    "Invalid",
    "Json",
    "Key",
    "KubeClient",
    "Leadership",
    "LeadershipLost",
    "LeaseSettings",
    "ListResult",
    "NotConfigured",
    "NotFound",
    "ObjectRef",
    "Outlook",
    "PatchKind",
    "Reflector",
    "Resource",
    "TooManyRequests",
    "Unauthorized",
    "Unavailable",
    "WatchEvent",
    "leadership",
    "load_credentials",
    "merge_patch",
    "open_session",
]
