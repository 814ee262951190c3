"""The Secrets of streams in an API server: reading them, and keeping those that the REST API makes.

Every POST and PUT with credentials makes a Secret of its own, which is never changed: the spec that names it is what
makes it count. So a spec always stands with the credentials it was sent with, whatever crashes or happens at the same
time. A Secret that no spec names (any more) is of no use: whoever took its place deletes it, and the sweeper finds
what a crash left behind. Secrets that users made are only read.
"""

from __future__ import annotations

import base64
import binascii
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from luna_api_shim.storage.catalogue import Key
from luna_kube import SECRETS, STREAMS, ApiError, Conflict, Json, KubeClient, NotFound, Reflector
from luna_streams import naming
from luna_streams.credentials import secret_names
from luna_streams.stream import SecretKeyRef, Stream, StreamData

log = logging.getLogger(__name__)

MANAGER: Final = "luna-streams-shim"
_MARK: Final = re.compile(r"-credentials-([a-z0-9]+)$")


@dataclass(frozen=True, slots=True)
class MadeSecret:
    """A Secret that the REST API made.

    Attributes:
        stream: name of the object it was made for, in the same namespace.
        owner_uid: of the Stream with which it is deleted; None if there is none yet.
    """

    namespace: str
    name: str
    uid: str
    stream: str
    owner_uid: str | None
    create_time: datetime


class Vault:
    """The Secrets that streams refer to.

    Args:
        client: open client.
        secrets: live copy of the Secrets with the label of credentials.
    """

    def __init__(self, client: KubeClient, secrets: Reflector) -> None:
        self._client = client
        self._secrets = secrets

    # -- reading -------------------------------------------------------------------------------------------------------

    def value(self, namespace: str, ref: SecretKeyRef) -> str | None:
        """Return the value of a key; None if there is no such Secret or key, or it is not text."""
        secret = self._secrets.get(namespace, ref.name)
        encoded = (secret.get("data") or {}).get(ref.key) if secret else None
        if encoded is None:
            return None
        try:
            return base64.b64decode(encoded).decode()
        except (binascii.Error, UnicodeDecodeError):
            return None

    def versions(self, namespace: str, data: StreamData) -> tuple[str, ...]:
        """Return the versions of the Secrets a stream refers to; when one changes, so does what is shown."""
        return tuple(self._version(namespace, name) for name in secret_names(data))

    def _version(self, namespace: str, name: str) -> str:
        secret = self._secrets.get(namespace, name)
        return secret["metadata"]["resourceVersion"] if secret else ""

    async def fetch(self, stream: Stream) -> None:
        """Read those Secrets of a stream that the watch has not told of yet."""
        for name in secret_names(stream.spec.data):
            if self._secrets.get(stream.namespace, name) is None:
                with suppress(NotFound):
                    secret = await self._client.get(SECRETS.at(stream.namespace, name))
                    if naming.LABEL_CREDENTIALS in (secret["metadata"].get("labels") or {}):
                        self._secrets.observe(secret)

    def made(self) -> Iterator[MadeSecret]:
        """Yield the Secrets that the REST API made."""
        for _, obj in self._secrets.cache.items():
            if (secret := made_secret(obj)) is not None:
                yield secret

    # -- writing -------------------------------------------------------------------------------------------------------

    async def create(self, key: Key, name: str, values: Mapping[str, str], owner: Stream | None) -> None:
        """Make a Secret for a stream that is about to refer to it.

        Args:
            key: namespace and name of the stream.
            name: of the Secret, see `naming.secret_name`.
            values: by key of the Secret.
            owner: the stream; None if it does not exist yet.
        """
        namespace, stream = key
        body = {
            **_header(namespace, name),
            "type": "Opaque",
            "immutable": True,
            "data": {key: base64.b64encode(value.encode()).decode() for key, value in values.items()},
        }
        body["metadata"] |= {
            "labels": {naming.LABEL_CREDENTIALS: "stream", naming.LABEL_MANAGED_BY: MANAGER},
            "annotations": {naming.ANNOTATION_STREAM: stream},
            "ownerReferences": [] if owner is None else [_owner(owner)],
        }
        self._secrets.observe(await self._client.create(SECRETS.within(namespace), body))

    async def adopt(self, stream: Stream) -> None:
        """Let the Secrets that were made for a stream be deleted together with it."""
        for name in secret_names(stream.spec.data):
            obj = self._secrets.get(stream.namespace, name)
            secret = made_secret(obj) if obj is not None else None
            if obj is None or secret is None or secret.stream != stream.name or secret.owner_uid == stream.uid:
                continue
            owned = {**obj, **_header(stream.namespace, name)}
            owned["metadata"] = {**obj["metadata"], "ownerReferences": [_owner(stream)]}
            with suppress(NotFound, Conflict):  # gone, or somebody else did it
                self._secrets.observe(await self._client.replace(SECRETS.at(stream.namespace, name), owned))

    async def discard(self, key: Key, names: Iterable[str]) -> None:
        """Delete Secrets that a stream does not refer to; what fails is left to the sweeper.

        Args:
            key: namespace and name of the stream.
            names: of Secrets; those that were not made for this stream are passed over.
        """
        namespace, stream = key
        for name in names:
            try:
                with suppress(NotFound):
                    # Not in the copy: another replica may have made it just now.
                    obj = self._secrets.get(namespace, name) or await self._client.get(SECRETS.at(namespace, name))
                    secret = made_secret(obj)
                    if secret is not None and secret.stream == stream:
                        await self.delete(secret)
            except ApiError as e:
                log.warning("Secret %s/%s is of no use any more and could not be deleted yet: %s", namespace, name, e)

    async def delete(self, secret: MadeSecret) -> None:
        """Delete a Secret, if it is still the same one."""
        with suppress(NotFound, Conflict):
            await self._client.delete(SECRETS.at(secret.namespace, secret.name), uid=secret.uid)
        self._secrets.observe_deleted(secret.namespace, secret.name, secret.uid)


def made_secret(obj: Json) -> MadeSecret | None:
    """Return what is known of a Secret that the REST API made; None for one that somebody else made.

    It takes all the signs, so that a copy that somebody made and changed is not mistaken for ours.
    """
    meta = obj["metadata"]
    stream = (meta.get("annotations") or {}).get(naming.ANNOTATION_STREAM)
    mark = _MARK.search(meta["name"])
    if (
        stream is None
        or mark is None
        or meta["name"] != naming.secret_name(stream, mark[1])
        or (meta.get("labels") or {}).get(naming.LABEL_MANAGED_BY) != MANAGER
        or obj.get("immutable") is not True
    ):
        return None
    owners = [owner["uid"] for owner in meta.get("ownerReferences") or () if owner["kind"] == STREAMS.kind]
    return MadeSecret(
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        stream=stream,
        owner_uid=owners[0] if owners else None,
        create_time=datetime.fromisoformat(meta["creationTimestamp"]),
    )


def _header(namespace: str, name: str) -> dict[str, Any]:
    return {
        "apiVersion": SECRETS.api_version,
        "kind": SECRETS.kind,
        "metadata": {"namespace": namespace, "name": name},
    }


def _owner(stream: Stream) -> Json:
    return {
        "apiVersion": STREAMS.api_version,
        "kind": STREAMS.kind,
        "name": stream.name,
        "uid": stream.uid,
        "blockOwnerDeletion": False,
        "controller": True,
    }
