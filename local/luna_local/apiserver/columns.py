"""Columns of ``kubectl get``: those of the built-in kinds people look at, and those a CRD declares."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from luna_local.apiserver.documents import Document, dig, items, parse_time, section
from luna_local.apiserver.jsonpath import JsonPath


@dataclass(frozen=True)
class Column:
    """One column: its heading as the Table answer states it, and how to fill a cell."""

    name: str
    value: Callable[[Document], Any]
    type: str = "string"
    format: str = ""
    priority: int = 0
    description: str = ""

    def definition(self) -> Document:
        """Return the entry of ``Table.columnDefinitions``."""
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        }


def age(stamp: Any) -> str:
    """Return how long ago a time was, as kubectl writes it: 5s, 3m20s, 4h, 2d."""
    at = parse_time(stamp)
    if at is None:
        return "<unknown>"
    seconds = max(0, int((datetime.now(UTC) - at).total_seconds()))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    return f"{days}d{hours % 24}h" if days < 8 and hours % 24 else f"{days}d"


def _at(*path: str, default: Any = "") -> Callable[[Document], Any]:
    def read(document: Document) -> Any:
        found = dig(document, path)
        return default if found is None else found

    return read


def _age_of(*path: str) -> Callable[[Document], str]:
    return lambda document: age(dig(document, path))


NAME = Column("Name", _at("metadata", "name"), format="name")
AGE = Column("Age", _age_of("metadata", "creationTimestamp"))


def declared_columns(declared: Sequence[Mapping[str, Any]]) -> tuple[Column, ...]:
    """Return the columns of a CRD: the name, what it declares, and the age if it declares nothing.

    Raises:
        ValueError: when a `jsonPath` cannot be parsed.
    """
    return (NAME, *(_declared(each) for each in declared)) if declared else (NAME, AGE)


def _declared(column: Mapping[str, Any]) -> Column:
    path, kind = JsonPath(column["jsonPath"]), column["type"]

    def read(document: Document) -> Any:
        found = path.find(document)
        if not found or found[0] is None:
            return None
        if kind == "date":
            return age(found[0])
        if kind == "string":
            return found[0] if isinstance(found[0], str) else orjson.dumps(found[0]).decode()
        return found[0]

    return Column(
        column["name"],
        read,
        type=kind,
        format=column.get("format", ""),
        priority=column.get("priority", 0),
        description=column.get("description", ""),
    )


# --- built-in kinds -----------------------------------------------------------------------------------------------


def _ready_containers(pod: Document) -> str:
    statuses = items(pod, "status", "containerStatuses")
    ready = sum(1 for each in statuses if isinstance(each, dict) and each.get("ready") is True)
    return f"{ready}/{len(items(pod, 'spec', 'containers'))}"


def pod_status(pod: Document) -> str:
    """Return what ``kubectl get pods`` shows as the status: the reason that matters most, else the phase."""
    status = section(pod, "status")
    shown = status.get("reason") or status.get("phase") or "Unknown"
    for each in reversed(items(pod, "status", "containerStatuses")):
        state = section(each, "state")
        waiting, ended = section(state, "waiting"), section(state, "terminated")
        if waiting.get("reason"):
            shown = waiting["reason"]
        elif ended:
            shown = ended.get("reason") or f"ExitCode:{ended.get('exitCode')}"
    if dig(pod, ("metadata", "deletionTimestamp")):
        return "Terminating"
    return str(shown)


def _restarts(pod: Document) -> str:
    statuses = [each for each in items(pod, "status", "containerStatuses") if isinstance(each, dict)]
    count = sum(each.get("restartCount") or 0 for each in statuses)
    last = max((dig(each, ("lastState", "terminated", "finishedAt")) or "" for each in statuses), default="")
    return f"{count} ({age(last)} ago)" if count and last else str(count)


def _object_of_event(event: Document) -> str:
    about = section(event, "involvedObject")
    return f"{str(about.get('kind', '')).lower()}/{about.get('name', '')}"


def _node_status(node: Document) -> str:
    conditions = [each for each in items(node, "status", "conditions") if isinstance(each, dict)]
    ready = next((each.get("status") for each in conditions if each.get("type") == "Ready"), "Unknown")
    shown = {"True": "Ready", "False": "NotReady"}.get(str(ready), "Unknown")
    return f"{shown},SchedulingDisabled" if dig(node, ("spec", "unschedulable")) else shown


def _job_completions(job: Document) -> str:
    return f"{dig(job, ('status', 'succeeded')) or 0}/{dig(job, ('spec', 'completions')) or 1}"


def _replicas(document: Document) -> str:
    return f"{dig(document, ('status', 'readyReplicas')) or 0}/{dig(document, ('spec', 'replicas')) or 0}"


def _count(*path: str) -> Callable[[Document], int]:
    return lambda document: len(dig(document, path) or ())


def _ports(service: Document) -> str:
    ports = [each for each in items(service, "spec", "ports") if isinstance(each, dict)]
    return ",".join(f"{each.get('port')}/{each.get('protocol', 'TCP')}" for each in ports) or "<none>"


_WORKLOAD = (NAME, Column("Ready", _replicas), AGE)
BUILTIN_COLUMNS: dict[tuple[str, str], tuple[Column, ...]] = {
    ("", "pods"): (
        NAME,
        Column("Ready", _ready_containers),
        Column("Status", pod_status),
        Column("Restarts", _restarts),
        AGE,
        Column("IP", _at("status", "podIP", default="<none>"), priority=1),
        Column("Node", _at("spec", "nodeName", default="<none>"), priority=1),
    ),
    ("", "namespaces"): (NAME, Column("Status", _at("status", "phase")), AGE),
    ("", "nodes"): (
        NAME,
        Column("Status", _node_status),
        AGE,
        Column("Version", _at("status", "nodeInfo", "kubeletVersion")),
    ),
    ("", "configmaps"): (NAME, Column("Data", _count("data"), type="integer"), AGE),
    ("", "secrets"): (NAME, Column("Type", _at("type")), Column("Data", _count("data"), type="integer"), AGE),
    ("", "services"): (
        NAME,
        Column("Type", _at("spec", "type", default="ClusterIP")),
        Column("Cluster-IP", _at("spec", "clusterIP", default="<none>")),
        Column("Port(s)", _ports),
        AGE,
    ),
    ("", "events"): (
        Column("Last Seen", lambda event: age(event.get("lastTimestamp") or event["metadata"]["creationTimestamp"])),
        Column("Type", _at("type")),
        Column("Reason", _at("reason")),
        Column("Object", _object_of_event),
        Column("Message", lambda event: str(event.get("message") or "").strip()),
        Column("Name", _at("metadata", "name"), format="name", priority=1),
    ),
    ("apps", "deployments"): _WORKLOAD,
    ("apps", "statefulsets"): _WORKLOAD,
    ("apps", "replicasets"): _WORKLOAD,
    ("batch", "jobs"): (NAME, Column("Completions", _job_completions), AGE),
    ("coordination.k8s.io", "leases"): (NAME, Column("Holder", _at("spec", "holderIdentity")), AGE),
    ("apiextensions.k8s.io", "customresourcedefinitions"): (
        NAME,
        Column("Created At", _at("metadata", "creationTimestamp")),
    ),
}
