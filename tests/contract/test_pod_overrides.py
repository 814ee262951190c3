"""A pool's podTemplate means what `kubectl patch --type strategic` means: compared with kube-apiserver's own merge."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from luna_local.apiserver.builtin_schemas import definitions
from luna_operator.strategic_merge import MERGE_KEYS, InvalidOverride, merge
from support.apiservers import ApiServer, unique

Json = dict[str, Any]

BASE: Json = {
    "containers": [
        {
            "name": "a", "image": "i",
            "env": [{"name": name, "value": "1"} for name in "xyz"],
            "ports": [{"containerPort": 1, "name": "p"}],
            "resources": {"limits": {"gpu/x": "1"}, "claims": [{"name": "c"}]},
            "volumeMounts": [{"name": "v", "mountPath": "/v"}],
        }
    ],
    "volumes": [{"name": "v", "emptyDir": {}}, {"name": "w", "emptyDir": {}}],
    "resourceClaims": [{"name": "c", "resourceClaimTemplateName": "t"}, {"name": "d", "resourceClaimName": "d"}],
    "securityContext": {"runAsUser": 5, "runAsNonRoot": True},
    "tolerations": [{"key": "k", "operator": "Exists"}],
    "topologySpreadConstraints": [{"topologyKey": "h", "maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway"}],
}  # fmt: skip


def the_container(**fields: Any) -> Json:
    return {"containers": [{"name": "a", **fields}]}


def variables(*names: str) -> list[Json]:
    return [{"name": name, "value": "9"} for name in names]


MERGED: dict[str, Json] = {
    "a sidecar": {"containers": [{"name": "s", "image": "j"}]},
    "a sidecar behind": {"containers": [{"name": "a"}, {"name": "s", "image": "j"}]},
    "a new variable": the_container(env=variables("n")),
    "new and old variables": the_container(env=variables("z", "n", "x")),
    "a variable twice": the_container(env=[{"name": "n", "value": "1"}, {"name": "n", "value": "2"}]),
    "a variable less": the_container(env=[{"name": "y", "$patch": "delete"}, {"name": "q", "$patch": "delete"}]),
    "other variables": the_container(env=[{"$patch": "replace"}, *variables("n")]),
    "no variables": the_container(env=None),
    "another source of a variable": the_container(
        env=[{"name": "x", "value": None, "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]
    ),
    "claims of the container": the_container(resources={"claims": [{"name": "d"}]}),
    "claims of the pod": {
        "resourceClaims": [{"name": "d", "$patch": "delete"}, {"name": "e", "resourceClaimName": "e"}]
    },
    "nothing to delete": {"initContainers": [{"name": "q", "$patch": "delete"}]},
    "nothing to take out": {"initContainers": [{"name": "q", "image": "x", "args": None}]},
    "a map replaced": {"securityContext": {"$patch": "replace", "runAsUser": 7}},
    "a map emptied": {"securityContext": {"$patch": "delete"}},
    "tolerations": {"tolerations": [{"key": "z", "operator": "Exists"}]},
    "a larger volume": {"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Gi"}}]},
    "another kind of volume": {
        "volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/x"}}]
    },
    "another order": {
        "$setElementOrder/volumes": [{"name": "w"}, {"name": "v"}],
        "volumes": [{"name": "w", "emptyDir": {"sizeLimit": "1Gi"}}],
    },
    "only another order": {"$setElementOrder/volumes": [{"name": "w"}, {"name": "v"}]},
    "half an order": {"$setElementOrder/volumes": [{"name": "w"}]},
    "a second spread": {
        "topologySpreadConstraints": [{"topologyKey": "z", "maxSkew": 2, "whenUnsatisfiable": "DoNotSchedule"}]
    },
    "a stricter spread": {"topologySpreadConstraints": [{"topologyKey": "h", "whenUnsatisfiable": "DoNotSchedule"}]},
}

REFUSED: dict[str, Json] = {
    "an unknown directive": {"securityContext": {"$patch": "no"}},
    "a variable without a name": the_container(env=[{"value": "1"}]),
    "a deletion of nothing": the_container(env=[{"$patch": "delete"}]),
    "a key that is not kept": {"volumes": [{"name": "v", "$retainKeys": ["name"], "hostPath": {"path": "/x"}}]},
}


@pytest.fixture(scope="module")
def api(real_api: ApiServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{real_api.url}/api/v1/namespaces/default", **real_api.client_options()) as client:
        yield client


def create(api: httpx.Client, spec: Json, name: str = "merged", query: str = "?dryRun=All") -> httpx.Response:
    body = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": name}, "template": {"spec": spec}}
    return api.post(f"/podtemplates{query}", json=body)


@pytest.fixture(scope="module")
def base(api: httpx.Client) -> str:
    """Return the path of a template with BASE, which tests patch without changing it."""
    name = unique("template")
    assert create(api, BASE, name, "").status_code == 201
    return f"/podtemplates/{name}?dryRun=All"


def patched(api: httpx.Client, base: str, patch: Json) -> httpx.Response:
    headers = {"Content-Type": "application/strategic-merge-patch+json"}
    return api.patch(base, json={"template": {"spec": patch}}, headers=headers)


@pytest.mark.apiserver
@pytest.mark.parametrize("override", MERGED.values(), ids=MERGED.keys())
def test_the_api_server_merges_it_the_same_way(api: httpx.Client, base: str, override: Json) -> None:
    theirs, ours = patched(api, base, override), create(api, merge(BASE, override))
    assert (theirs.status_code, ours.status_code) == (200, 201), (theirs.text, ours.text)
    assert ours.json()["template"]["spec"] == theirs.json()["template"]["spec"]


@pytest.mark.apiserver
@pytest.mark.parametrize("override", REFUSED.values(), ids=REFUSED.keys())
def test_what_the_api_server_refuses_is_refused(api: httpx.Client, base: str, override: Json) -> None:
    assert not patched(api, base, override).is_success
    with pytest.raises(InvalidOverride):
        merge(BASE, override)


def test_the_lists_that_are_merged_are_those_of_the_schema() -> None:
    found = dict(merged_lists("io.k8s.api.core.v1.PodSpec", set()))
    assert found == dict(MERGE_KEYS)
    others = set(replaced_lists("io.k8s.api.core.v1.PodSpec", set()))
    assert others.isdisjoint(MERGE_KEYS), "a name means the same wherever it stands in a pod"


def merged_lists(name: str, seen: set[str]) -> Iterator[tuple[str, str]]:
    """Yield the lists below a definition that Kubernetes merges by a key."""
    for field, schema in lists_below(name, seen):
        if "merge" in schema.get("x-kubernetes-patch-strategy", ""):
            yield field, schema["x-kubernetes-patch-merge-key"]


def replaced_lists(name: str, seen: set[str]) -> Iterator[str]:
    """Yield those that it replaces."""
    for field, schema in lists_below(name, seen):
        if "merge" not in schema.get("x-kubernetes-patch-strategy", ""):
            yield field


def lists_below(name: str, seen: set[str]) -> Iterator[tuple[str, Json]]:
    if name in seen or not name.startswith("io.k8s.api.core."):  # the metadata of a claim in a volume is replaced
        return
    seen.add(name)
    for field, schema in definitions()[name].get("properties", {}).items():
        if schema.get("type") == "array":
            yield field, schema
        for reference in references(schema):
            yield from lists_below(reference, seen)


def references(schema: Json) -> Iterator[str]:
    """Yield the definitions that a field is made of."""
    for part in (schema, *schema.get("allOf", ()), schema.get("items") or {}, schema.get("additionalProperties") or {}):
        if "$ref" in part:
            yield part["$ref"].rsplit("/", 1)[-1]
        yield from (each["$ref"].rsplit("/", 1)[-1] for each in part.get("allOf", ()) if "$ref" in each)
