"""Rights: what a chart's rules allow a ServiceAccount, and what the API server's audit log says that it used."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Json = dict[str, Any]

_REASON = "authorization.k8s.io/reason"
_DECISION = "authorization.k8s.io/decision"
_BINDINGS = {"RoleBinding": "Role", "ClusterRoleBinding": "ClusterRole"}


@dataclass(frozen=True, order=True)
class Right:
    """A verb on a resource ("streams", "streams/status") of a group."""

    group: str
    resource: str
    verb: str

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}" + (f".{self.group}" if self.group else "")


@dataclass(frozen=True)
class Use:
    """A request of a ServiceAccount, as the API server judged it.

    Attributes:
        right: None for what is no resource, for example /version.
        reason: which binding allowed it, in the API server's words.
    """

    right: Right | None
    uri: str
    is_allowed: bool
    reason: str


def uses(log: Path, namespace: str, account: str) -> Iterator[Use]:
    """Yield what a ServiceAccount asked for so far; a watch is told when it begins and when it ends."""
    user = f"system:serviceaccount:{namespace}:{account}"
    for line in log.read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        if event["user"].get("username") != user:
            continue
        ref, notes = event.get("objectRef"), event.get("annotations", {})
        right = None
        if ref is not None:
            resource = "/".join(part for part in (ref["resource"], ref.get("subresource")) if part)
            right = Right(ref.get("apiGroup", ""), resource, event["verb"])
        yield Use(right, event["requestURI"], notes.get(_DECISION) == "allow", notes.get(_REASON, ""))


def rules_of(objects: Iterable[Json], account: str) -> list[tuple[str, Json]]:
    """Return the rules that the rendered objects bind to a ServiceAccount, each with the name of its binding."""
    made = list(objects)
    found = []
    for binding in made:
        if binding["kind"] in _BINDINGS and account in [subject["name"] for subject in binding["subjects"]]:
            (role,) = [
                item
                for item in made
                if (item["kind"], item["metadata"]["name"]) == (binding["roleRef"]["kind"], binding["roleRef"]["name"])
            ]
            found += [(binding["metadata"]["name"], rule) for rule in role["rules"]]
    return found


def rights_of(rules: Iterable[tuple[str, Json]]) -> set[Right]:
    """Return every single right of rules."""
    return {
        Right(group, resource, verb)
        for _, rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
