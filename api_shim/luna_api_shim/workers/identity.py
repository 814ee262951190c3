"""Who a worker is: a pod of this cluster, known by its token, or anybody else.

A token that is shown and not accepted is refused: a managed worker must never be taken for one from outside.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from luna_api_shim.errors import BadRequest, BadToken
from luna_api_shim.previews.destinations import Address, address_of
from luna_kube import (
    PODS,
    TOKEN_REVIEWS,
    Forbidden,
    Json,
    KubeClient,
    NotFound,
    TooManyRequests,
    Unavailable,
)
from luna_streams import naming
from luna_streams.lifecycle import ANONYMOUS_WORKER
from luna_streams.stream import DEFAULT_HANDLER

log = logging.getLogger(__name__)

WORKER_HEADER: Final = "Luna-Worker-Id"
RECEIVED_HEADER: Final = "Luna-Received-Until"
"""In an answer of the queue: when the newest of its streams was taken. In feedback: the newest that was received."""
HANDLERS_HEADER: Final = "Luna-Worker-Handlers"
"""Types of event handlers that a worker delivers to, comma-separated; without it, as a FaceStream's, LUNA's only."""

_WORKER_ID = re.compile(r"[A-Za-z0-9._:\-]{1,128}")
_EXTRA: Final = "authentication.kubernetes.io/"
_ACCEPTED_FOR_S: Final = 30.0
_REFUSED_FOR_S: Final = 5.0
_BELIEVED_FOR_S: Final = 300.0
"""How long a token that was accepted still is while the API server cannot be asked about it again."""
_REVIEW_PATIENCE_S: Final = 1.0
"""How long a worker whose token was accepted before waits for another review; it waits 4 s for the whole answer."""
_REVIEW_AGAIN_S: Final = 5.0
"""When the API server is asked again that could not be asked."""
_MOST_REMEMBERED: Final = 10_000
_LONGEST_TOKEN: Final = 16_384


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod of this cluster."""

    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Worker:
    """Who asks for streams or reports on them.

    Attributes:
        process: what the process calls itself; `ANONYMOUS_WORKER` where it does not say.
        pod: None for a worker from outside.
        address: its IP address, where it was looked for and is known.
        received_until: when the newest stream was taken that it has received; None where it does not say.
        handlers: types of event handlers that it delivers to.
    """

    process: str
    pod: Pod | None = None
    address: Address | None = None
    received_until: datetime | None = None
    handlers: frozenset[str] = frozenset({DEFAULT_HANDLER})


@dataclass(frozen=True, slots=True)
class _Reviewed:
    """What a review said of a token; times are monotonic seconds.

    Attributes:
        pod: it is bound to; None if it is refused.
        review_at: when it is to be reviewed again.
        believed_until: until when this holds while the API server cannot be asked.
    """

    pod: Pod | None
    review_at: float
    believed_until: float


class Workers:
    """Tells who a worker is.

    Args:
        client: asks for reviews of tokens.
        clock: monotonic seconds.
    """

    def __init__(self, client: KubeClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._known: dict[bytes, _Reviewed] = {}
        self._addresses: dict[tuple[str, str], Address] = {}

    async def identify(self, headers: Mapping[str, str]) -> Worker:
        """Return who sent a request.

        Raises:
            BadToken: it shows a token that is not one of a pod.
            BadRequest: its Luna-Worker-Id cannot be one, or Luna-Received-Until is no time.
        """
        process = headers.get(WORKER_HEADER, ANONYMOUS_WORKER)
        if not _WORKER_ID.fullmatch(process):
            raise BadRequest(f"{WORKER_HEADER} must be 1 to 128 letters, digits, dots, colons, underscores or hyphens")
        received_until = _time_of(headers.get(RECEIVED_HEADER))
        authorization = headers.get("Authorization")
        pod = None if authorization is None else await self._pod(authorization)
        handlers = headers.get(HANDLERS_HEADER, DEFAULT_HANDLER)
        return Worker(
            process,
            pod,
            received_until=received_until,
            handlers=frozenset(name.strip() for name in handlers.split(",")),
        )

    def knows(self, headers: Mapping[str, str]) -> bool:
        """Tell whether a request can be identified without the API server."""
        authorization = headers.get("Authorization")
        if authorization is None:
            return True
        known = self._known.get(_digest(authorization.partition(" ")[2].strip()))
        return known is not None and self._clock() < max(known.review_at, known.believed_until)

    async def locate(self, worker: Worker, sender: Address | None) -> Worker:
        """Return a worker with its address: a pod's own, for others the one they are heard from.

        A pod is often heard from another address, for example its node's.

        Raises:
            ApiError: the API server does not answer; the worker may ask again.
        """
        if worker.pod is None:
            return replace(worker, address=sender)
        key = worker.pod.uid, worker.process  # a sandbox that is made anew has another address, and another process
        if key not in self._addresses:
            address = await self._address_of_pod(worker.pod)
            if address is None:
                return worker
            while len(self._addresses) >= _MOST_REMEMBERED:
                del self._addresses[next(iter(self._addresses))]
            self._addresses[key] = address
        return replace(worker, address=self._addresses[key])

    async def _address_of_pod(self, pod: Pod) -> Address | None:
        try:
            found = await self._client.get(PODS.at(pod.namespace, pod.name))
        except (Forbidden, NotFound) as e:
            log.warning("previews of streams in pod %s cannot be shown: %s", pod.name, e)
            return None
        if found["metadata"]["uid"] != pod.uid:
            return None
        return address_of((found.get("status") or {}).get("podIP") or "")

    async def _pod(self, authorization: str) -> Pod:
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not 0 < len(token) <= _LONGEST_TOKEN:
            raise BadToken
        digest = _digest(token)
        known = self._known.get(digest)
        if known is None or self._clock() >= known.review_at:
            known = await self._reviewed(token, known)
            self._remember(digest, known)
        if known.pod is None:
            raise BadToken
        return known.pod

    async def _reviewed(self, token: str, known: _Reviewed | None) -> _Reviewed:
        """Have a token reviewed; if that cannot be done now, what was known of it holds for a while."""
        is_believed = known is not None and known.pod is not None and self._clock() < known.believed_until
        try:
            async with asyncio.timeout(_REVIEW_PATIENCE_S if is_believed else None):
                pod = await self._review(token)
        except (Unavailable, TooManyRequests, TimeoutError):
            if known is None or not is_believed:
                raise
            return replace(known, review_at=self._clock() + _REVIEW_AGAIN_S)
        until = self._clock() + (_REFUSED_FOR_S if pod is None else _ACCEPTED_FOR_S)
        return _Reviewed(pod, until, until if pod is None else until + _BELIEVED_FOR_S)

    async def _review(self, token: str) -> Pod | None:
        body = {
            "apiVersion": TOKEN_REVIEWS.api_version,
            "kind": TOKEN_REVIEWS.kind,
            "spec": {"token": token, "audiences": [naming.TOKEN_AUDIENCE]},
        }
        return pod_of(await self._client.create(TOKEN_REVIEWS.everywhere(), body))

    def _remember(self, digest: bytes, reviewed: _Reviewed) -> None:
        if digest not in self._known and len(self._known) >= _MOST_REMEMBERED:
            now = self._clock()
            self._known = {key: value for key, value in self._known.items() if value.believed_until > now}
        if digest in self._known or len(self._known) < _MOST_REMEMBERED:
            self._known[digest] = reviewed


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def _time_of(header: str | None) -> datetime | None:
    try:
        time_ = None if header is None else datetime.fromisoformat(header)
    except ValueError:
        time_ = datetime.min  # without an offset, as below
    if time_ is not None and time_.tzinfo is None:
        raise BadRequest(f"{RECEIVED_HEADER} must be a time with an offset, as the queue answered it")
    return time_


def pod_of(review: Json) -> Pod | None:
    """Return the pod a reviewed token is bound to; None if the token is not good, not for us, or bound to no pod."""
    status = review.get("status") or {}
    if not status.get("authenticated") or naming.TOKEN_AUDIENCE not in (status.get("audiences") or []):
        return None
    user = status.get("user") or {}
    extra = user.get("extra") or {}
    names, uids = extra.get(f"{_EXTRA}pod-name"), extra.get(f"{_EXTRA}pod-uid")
    parts = str(user.get("username", "")).split(":")  # system:serviceaccount:<namespace>:<name>
    if not names or not uids or parts[:2] != ["system", "serviceaccount"]:
        return None
    return Pod(parts[2], names[0], uids[0])
