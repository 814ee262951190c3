"""What the kubelet asks of the API server and tells it: the one place where it handles raw objects.

Every failure arrives as an error of `luna_kube.errors`; who calls decides what is tried again.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from luna_kube import PODS, SECRETS, AlreadyExists, Json, KubeClient, NotFound, PatchKind, Resource
from luna_local.kubelet.environment import ObjectKey
from luna_local.kubelet.pod import Pod, TokenSource

_SOURCES = {"Secret": SECRETS, "ConfigMap": Resource("", "v1", "configmaps", "ConfigMap")}
_SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount")


@dataclass(frozen=True, slots=True)
class Token:
    """A token of a ServiceAccount, bound to a Pod, and when it expires."""

    value: str
    expires_at: datetime


class PodCluster:
    """The API server, as far as the Pods of a node concern it."""

    def __init__(self, client: KubeClient) -> None:
        self.client = client

    async def bind(self, pod: Pod, node: str) -> None:
        """Give an unbound Pod to a node, as a scheduler does.

        Raises:
            Conflict: if it was bound meanwhile.
        """
        meta = pod.metadata
        target = {"apiVersion": "v1", "kind": "Node", "name": node}
        body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": meta.name, "uid": meta.uid}}
        await self.client.create(PODS.at(meta.namespace, meta.name).sub("binding"), {**body, "target": target})

    async def write_status(self, pod: Pod, status: Json) -> None:
        """Patch the Pod's status; conditions of other writers stay, since they are merged by their type.

        Raises:
            NotFound: if the Pod is gone, or another one has its name.
        """
        meta = pod.metadata
        if "podIPs" in status:
            # Merged by address otherwise: a Pod that runs again with a new one would keep the old one beside it.
            status = {**status, "podIPs": [{"$patch": "replace"}, *status["podIPs"]]}
        body = {"metadata": {"uid": meta.uid}, "status": status}
        await self.client.patch(PODS.at(meta.namespace, meta.name).status, body, PatchKind.STRATEGIC)

    async def remove(self, pod: Pod) -> None:
        """Delete a stopped Pod for good; nothing happens if that incarnation is gone."""
        meta = pod.metadata
        try:
            await self.client.delete(PODS.at(meta.namespace, meta.name), uid=meta.uid, grace_period_s=0)
        except NotFound:
            return

    async def read_data(self, namespace: str, key: ObjectKey) -> Mapping[str, bytes] | None:
        """Return the decoded data of a Secret or ConfigMap, None if there is none of that name."""
        try:
            found = await self.client.get(_SOURCES[key.kind].at(namespace, key.name))
        except NotFound:
            return None
        plain = found.get("data") or {}
        if key.kind == "Secret":
            return {name: base64.b64decode(text) for name, text in plain.items()}
        binary = found.get("binaryData") or {}
        return {
            **{name: text.encode() for name, text in plain.items()},
            **{name: base64.b64decode(text) for name, text in binary.items()},
        }

    async def request_token(self, pod: Pod, source: TokenSource) -> Token:
        """Return a new token of the Pod's ServiceAccount, valid as long as the Pod exists."""
        meta = pod.metadata
        body: Json = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {
                "audiences": [source.audience] if source.audience else [],
                "expirationSeconds": source.expiration_seconds,
                "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": meta.name, "uid": meta.uid},
            },
        }
        account = _SERVICE_ACCOUNTS.at(meta.namespace, pod.spec.service_account_name)
        status = (await self.client.create(account.sub("token"), body))["status"]
        return Token(status["token"], datetime.fromisoformat(status["expirationTimestamp"]))


async def ensure(client: KubeClient, resource: Resource, body: Json) -> None:
    """Create an object unless one of its name exists."""
    try:
        namespace = body["metadata"].get("namespace")
        await client.create(resource.within(namespace) if namespace else resource.everywhere(), body)
    except AlreadyExists:
        return
