"""Names and identifiers: API group, labels, object names, and ids that survive backup and restore.

Object names are UUIDv7 (RFC 9562), so that the order of names is the order of creation; every other id is a UUIDv5
of what it stands for, so that two replicas compute the same one.
"""

from __future__ import annotations

import re
import secrets
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache

GROUP = "lunastreams.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
STREAMS = "streams"
STREAM_GROUPS = "streamgroups"
STREAM_PROCESSORS = "streamprocessors"

LABEL_POOL = f"{GROUP}/pool"
LABEL_TEMPLATE_HASH = f"{GROUP}/template-hash"
"""On a processor pod: which template it was made of."""
LABEL_COMPONENT = "app.kubernetes.io/component"
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
LABEL_NAME = "app.kubernetes.io/name"
LABEL_CREDENTIALS = f"{GROUP}/credentials"
"""Marks the Secrets that streams refer to; only these are watched."""
ANNOTATION_STREAM = f"{GROUP}/stream"
"""On a Secret that the REST API made: the Stream it was made for."""
ANNOTATION_DRAIN = f"{GROUP}/drain"
TOKEN_AUDIENCE = "luna-streams"  # noqa: S105  the audience of a token, not a token

_NAMESPACE = uuid.UUID("6f0c1c1e-5f0e-5b7a-9a52-6c756e617374")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UUID = re.compile(r"[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}")
_MAX_DNS_LABEL = 63
_MAX_DNS_SUBDOMAIN = 253


class UuidV7Factory:
    """Makes UUIDv7 strings that grow strictly within one factory, also within a millisecond.

    Source: RFC 9562, section 6.2, method 1 (a counter in the bits behind the timestamp).
    """

    def __init__(self, unix_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        self._unix_ms = unix_ms
        self._last_ms = -1
        self._counter = 0

    def __call__(self) -> str:
        """Return the next id."""
        now_ms = max(self._unix_ms(), self._last_ms)
        if now_ms == self._last_ms:
            self._counter += 1
            if self._counter > 0xFFF:
                now_ms, self._counter = now_ms + 1, 0
        else:
            # Start low, so that a burst within this millisecond rarely runs into the next.
            self._counter = secrets.randbelow(0x400)
        self._last_ms = now_ms
        value = (now_ms & 0xFFFF_FFFF_FFFF) << 80 | 0x7 << 76 | self._counter << 64 | 0b10 << 62 | secrets.randbits(62)
        return str(uuid.UUID(int=value))


def is_uuid(text: str) -> bool:
    """Tell whether a text is a UUID in the document's spelling."""
    return _UUID.fullmatch(text) is not None


def create_time(name: str, creation_timestamp: datetime) -> datetime:
    """Return when an object was made: to the millisecond, and unchanged by backup and restore, if its name tells.

    A UUIDv7 is believed unless it lies ahead of the server's own timestamp, which counts whole seconds.
    """
    if not is_uuid(name) or name[14] != "7":
        return creation_timestamp
    named = _EPOCH + timedelta(milliseconds=int(name[:8] + name[9:13], 16))
    return named if named < creation_timestamp + timedelta(seconds=1) else creation_timestamp


def stream_id(namespace: str, name: str) -> str:
    """Return the stream id of an object: its name when that is a UUID, else derived from namespace and name."""
    return name if is_uuid(name) else _derived(f"stream/{namespace}/{name}")


@lru_cache(maxsize=4096)
def _derived(identity: str) -> str:
    """Return the id that stands for something; a pass of the operator asks for the same one several times."""
    return str(uuid.uuid5(_NAMESPACE, identity))


def is_derived(stream_id: str) -> bool:
    """Tell whether a stream id may be one that `stream_id` derived: then it is not the name of the object."""
    return stream_id[14] == "5"


def group_object_name(account_id: str, group_name: str) -> str:
    """Return the object name and group id of a group; equal groups get equal names, so the API server refuses twins."""
    return str(uuid.uuid5(_NAMESPACE, f"group/{account_id}/{group_name}"))


def group_id(namespace: str, name: str) -> str:
    """Return the group id of an object: its name when that is a UUID, else derived from namespace and name."""
    return name if is_uuid(name) else _derived(f"streamgroup/{namespace}/{name}")


def secret_name(stream_object_name: str, mark: str) -> str:
    """Return the name of a Secret that holds credentials of a stream.

    Args:
        stream_object_name: the stream's.
        mark: tells it from the stream's other Secrets; lower case letters and digits.
    """
    suffix = f"-credentials-{mark}"
    if len(stream_object_name) + len(suffix) <= _MAX_DNS_SUBDOMAIN:
        return stream_object_name + suffix
    return _shortened(stream_object_name, f"secret/{stream_object_name}", suffix, _MAX_DNS_SUBDOMAIN)


def pod_name(pool: str, ordinal: int) -> str:
    """Return the stable name of a processor pod; pod names are host names, so at most 63 characters."""
    suffix = f"-{ordinal}"
    if "." not in pool and len(pool) + len(suffix) <= _MAX_DNS_LABEL:
        return pool + suffix
    return _shortened(pool.replace(".", "-"), f"pool/{pool}", suffix, _MAX_DNS_LABEL)


def _shortened(name: str, identity: str, suffix: str, limit: int) -> str:
    """Return the name cut to fit, with a digest in place of what was lost, so that names stay apart."""
    digest = uuid.uuid5(_NAMESPACE, identity).hex[:8]
    head = name[: limit - len(suffix) - len(digest) - 1].rstrip("-.")
    return f"{head}-{digest}{suffix}"
