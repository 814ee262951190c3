"""Subresources of Pods and ServiceAccounts: binding, eviction, logs, tokens.

Logs come from whoever runs the Pods (the process kubelet), through `LogProvider`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol

from luna_local.apiserver.deletion import DeleteOptions, Deletions
from luna_local.apiserver.documents import Document, dig, items, parse_time, section, timestamp
from luna_local.apiserver.errors import ApiError, FieldProblem, bad_request, conflict, invalid, not_implemented
from luna_local.apiserver.lists import number
from luna_local.apiserver.objects import Objects, WriteOptions
from luna_local.apiserver.resources import PODS, Resource
from luna_local.apiserver.store import ObjectKey, Record, Store
from luna_local.apiserver.tokens import API_AUDIENCE, DEFAULT_S, LONGEST_S, SHORTEST_S, Tokens

SUCCESS: Document = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


class LogProvider(Protocol):
    """Who has the logs of Pods."""

    def open_log(  # noqa: PLR0913 these are the parameters of the API
        self,
        pod_uid: str,
        container: str,
        *,
        follow: bool,
        tail_lines: int | None,
        since_seconds: int | None,
        timestamps: bool,
        previous: bool,
    ) -> AsyncIterator[bytes]:
        """Return the log of a container in pieces; with `follow`, until the container ends.

        Raises:
            LookupError: when called or at the first piece, when there is no such log; its text is shown to the user.
        """


def bind(objects: Objects, resource: Resource, key: ObjectKey, binding: Document, options: WriteOptions) -> None:
    """Put a Pod on a node.

    Raises:
        ApiError: 400 without a node, 404, 409 when it has one already.
    """
    node = dig(binding, ("target", "name"))
    if not isinstance(node, str) or not node:
        raise bad_request("target.name: Required value")
    assigned = dig(objects.get(resource, key).load(), ("spec", "nodeName"))
    if assigned:
        raise conflict(resource, key[1], f"pod {key[1]} is already assigned to node {assigned!r}")

    def assign(pod: Document) -> Document:
        pod["spec"]["nodeName"] = node
        return pod

    def note(pod: Document) -> Document:
        conditions = pod.setdefault("status", {}).setdefault("conditions", [])
        conditions.append({"type": "PodScheduled", "status": "True", "lastTransitionTime": timestamp()})
        return pod

    objects.patch(resource, key, assign, options)
    objects.patch(resource, key, note, replace(options, subresource="status"))


def evict(deletions: Deletions, resource: Resource, key: ObjectKey, eviction: Document, options: WriteOptions) -> None:
    """Delete a Pod on behalf of an eviction (PodDisruptionBudgets are not looked at).

    Raises:
        ApiError: as for a deletion.
    """
    asked = delete_options(section(eviction, "deleteOptions"), {}, dry_run=options.dry_run)
    deletions.delete(resource, key, asked)


def delete_options(body: Document, query: Mapping[str, str], *, dry_run: bool) -> DeleteOptions:
    """Read how to delete from a body and a query; the body wins.

    Raises:
        ApiError: 400 for values that make no sense.
    """
    grace = body.get("gracePeriodSeconds")
    if grace is None and "gracePeriodSeconds" in query:
        grace = number(query, "gracePeriodSeconds")
    if grace is not None and (not isinstance(grace, int) or isinstance(grace, bool) or grace > 2**31):
        raise bad_request("gracePeriodSeconds must be a whole number")
    propagation = body.get("propagationPolicy") or query.get("propagationPolicy") or None
    if body.get("orphanDependents") is True or query.get("orphanDependents") == "true":
        propagation = "Orphan"
    if propagation not in (None, "Orphan", "Background", "Foreground"):
        raise bad_request('propagationPolicy: supported values: "Background", "Foreground", "Orphan"')
    preconditions = section(body, "preconditions")
    return DeleteOptions(
        grace_period_s=None if grace is None else max(0, grace),
        propagation=propagation,
        uid=_text(preconditions, "uid"),
        resource_version=_text(preconditions, "resourceVersion"),
        dry_run=dry_run or "All" in items(body, "dryRun"),
    )


def _text(document: Document, name: str) -> str | None:
    value = document.get(name)
    if value is not None and not isinstance(value, str):
        raise bad_request(f"preconditions.{name} must be a string")
    return value


def open_log(provider: LogProvider | None, pod: Record, query: Mapping[str, str]) -> AsyncIterator[bytes]:
    """Return the log of a Pod's container.

    Raises:
        ApiError: 400 for a container that is not named or not there, 501 when nobody runs Pods.
    """
    document = pod.load()
    container = _container(document, query.get("container", ""))
    since_s = number(query, "sinceSeconds") if query.get("sinceSeconds") else None
    if since := query.get("sinceTime"):
        at = parse_time(since)
        if at is None:
            raise bad_request(f"sinceTime: Invalid value: {since[:100]!r}")
        since_s = max(0, int((datetime.now(UTC) - at).total_seconds()))
    tail_lines = number(query, "tailLines") if query.get("tailLines") else None
    if provider is None:
        raise not_implemented("nothing runs Pods on this server, so there are no logs")
    try:
        pieces = provider.open_log(
            pod.uid,
            container,
            follow=query.get("follow") in ("true", "1"),
            tail_lines=tail_lines,
            since_seconds=since_s,
            timestamps=query.get("timestamps") in ("true", "1"),
            previous=query.get("previous") in ("true", "1"),
        )
    except LookupError as error:
        raise no_log(error) from error
    limit = number(query, "limitBytes")
    return _limited(pieces, limit) if limit else pieces


def no_log(error: LookupError) -> ApiError:
    """Return the answer for a log that a provider does not have."""
    return bad_request(str(error.args[0] if error.args else error))


def _container(pod: Document, wanted: str) -> str:
    name = pod["metadata"]["name"]
    names = [each["name"] for part in ("containers", "initContainers") for each in items(pod, "spec", part)]
    if wanted:
        if wanted not in names:
            raise bad_request(f"container {wanted} is not valid for pod {name}")
        return wanted
    if len(items(pod, "spec", "containers")) > 1:
        raise bad_request(f"a container name must be specified for pod {name}, choose one of: {names}")
    return str(names[0])


async def _limited(pieces: AsyncIterator[bytes], limit: int) -> AsyncIterator[bytes]:
    try:
        async for piece in pieces:
            yield piece[:limit]
            limit -= len(piece)
            if limit <= 0:
                return
    finally:
        if isinstance(pieces, AsyncGenerator):
            await pieces.aclose()


def request_token(store: Store, tokens: Tokens, resource: Resource, account: Record, request: Document) -> Document:
    """Answer a ``TokenRequest`` for a ServiceAccount.

    Raises:
        ApiError: 400 or 422 for a request that makes no sense, 409 for a Pod of another uid.
    """
    spec = section(request, "spec")
    lifetime_s = spec.get("expirationSeconds", DEFAULT_S)
    if not isinstance(lifetime_s, int) or not SHORTEST_S <= lifetime_s <= LONGEST_S:
        text = f"Invalid value: may not specify a duration less than 10 minutes: {lifetime_s!r}"
        raise invalid(resource, account.key[1], [FieldProblem("spec.expirationSeconds", text)])
    audiences = items(spec, "audiences") or [API_AUDIENCE]
    if not all(isinstance(each, str) for each in audiences):
        raise bad_request("spec.audiences must be a list of strings")
    pod = _bound_pod(store, resource, account, section(spec, "boundObjectRef"))
    token, expires = tokens.issue(account, audiences, lifetime_s, pod)
    namespace, name = account.key
    return {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"name": name, "namespace": namespace, "creationTimestamp": timestamp()},
        "spec": {**spec, "audiences": audiences, "expirationSeconds": lifetime_s},
        "status": {"token": token, "expirationTimestamp": timestamp(datetime.fromtimestamp(expires, UTC))},
    }


def _bound_pod(store: Store, resource: Resource, account: Record, reference: Document) -> Record | None:
    if not reference:
        return None
    if reference.get("kind") != "Pod":
        raise bad_request("spec.boundObjectRef: tokens can be bound to Pods only")
    name: Any = reference.get("name")
    pod = store.get(PODS, (account.key[0], name)) if isinstance(name, str) else None
    if pod is None:
        raise bad_request(f"spec.boundObjectRef: there is no Pod {name!r}")
    if reference.get("uid") and reference["uid"] != pod.uid:
        why = f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record ({pod.uid})"
        raise conflict(resource, account.key[1], why)
    return pod
