"""When everything is ready, and what to say when it never will be."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from luna_local.kubelet.errors import NoSuchLog
from luna_local.up.cluster import LocalCluster
from luna_local.up.errors import UpError
from luna_local.up.manifests import OPERATOR, POOL, SHIM, SYSTEM_NAMESPACE, USER_NAMESPACE
from luna_streams import naming

Json = dict[str, Any]

READY_TIMEOUT_S = 180.0
_POLL_S = 0.1
# One restart may be left from an earlier run; a second one without getting ready means that it cannot start.
_HOPELESS_RESTARTS = 2
_LOG_LINES = 20


@dataclass(slots=True)
class _Watched:
    """The Pods that have to become ready."""

    processors: int
    first_restarts: dict[str, int] = field(default_factory=dict)

    def missing(self, pods: list[Json]) -> list[str]:
        """Return what is not ready yet, for people."""
        ready = [pod for pod in pods if _is_ready(pod)]
        names = {(pod["metadata"]["namespace"], pod["metadata"]["name"]) for pod in ready}
        missing = [part for part in (SHIM, OPERATOR) if (SYSTEM_NAMESPACE, part) not in names]
        processors = sum(_is_processor(pod) for pod in ready)
        if processors < self.processors:
            missing.append(f"{self.processors - processors} of {self.processors} processors")
        return missing

    def hopeless(self, pods: list[Json]) -> Iterator[Json]:
        """Yield Pods that were started again and again without getting ready."""
        for pod in pods:
            restarts = _restarts(pod)
            first = self.first_restarts.setdefault(pod["metadata"]["uid"], restarts)
            if not _is_ready(pod) and restarts - first >= _HOPELESS_RESTARTS:
                yield pod


async def wait_until_ready(cluster: LocalCluster, processors: int) -> None:
    """Return when shim, operator and so many processors are ready.

    Raises:
        UpError: if one of them cannot start, with its own last words, or it takes too long.
    """
    watched = _Watched(processors)
    deadline = time.monotonic() + READY_TIMEOUT_S
    while True:
        pods = [pod for pod in cluster.server.list("v1", "Pod") if _is_system(pod) or _is_processor(pod)]
        missing = watched.missing(pods)
        if not missing:
            return
        for pod in watched.hopeless(pods):
            raise UpError(f"the {_role(pod)} does not start: {await _last_words(cluster, pod)}")
        if trouble := cluster.server.storage_trouble:
            raise UpError(f"nothing can be saved: {trouble}; make room, or choose another --data")
        if time.monotonic() > deadline:
            raise UpError(f"not ready within {READY_TIMEOUT_S:g} s; still missing: {', '.join(missing)}")
        await asyncio.sleep(_POLL_S)


def _is_system(pod: Json) -> bool:
    return bool(pod["metadata"]["namespace"] == SYSTEM_NAMESPACE)


def _is_processor(pod: Json) -> bool:
    meta = pod["metadata"]
    return meta["namespace"] == USER_NAMESPACE and (meta.get("labels") or {}).get(naming.LABEL_POOL) == POOL


def _role(pod: Json) -> str:
    return "processor" if _is_processor(pod) else str(pod["metadata"]["name"])


def _is_ready(pod: Json) -> bool:
    conditions = pod.get("status", {}).get("conditions") or []
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _restarts(pod: Json) -> int:
    return sum(each.get("restartCount", 0) for each in pod.get("status", {}).get("containerStatuses") or [])


async def _last_words(cluster: LocalCluster, pod: Json) -> str:
    """Return the last line that a Pod's container wrote in its present run or the one before, or how it ended."""
    for is_previous in (False, True):
        if line := await _last_line(cluster, pod, is_previous=is_previous):
            return line
    ended = pod["status"]["containerStatuses"][0].get("lastState", {}).get("terminated", {})
    return str(ended.get("message") or f"it ends with status {ended.get('exitCode')}")


async def _last_line(cluster: LocalCluster, pod: Json, *, is_previous: bool) -> str:
    container = pod["spec"]["containers"][0]["name"]
    try:
        pieces = cluster.kubelet.open_log(
            pod["metadata"]["uid"], container, tail_lines=_LOG_LINES, previous=is_previous
        )
        text = b"".join([piece async for piece in pieces]).decode("utf-8", "replace")
    except NoSuchLog:
        return ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
