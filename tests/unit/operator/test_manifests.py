"""The pod of a pool, its hash, and what an override may and may not change."""

from __future__ import annotations

from typing import Any

import pytest

from luna_operator.manifests import pod, pod_labels, pod_selector, pod_template, template_hash
from luna_operator.strategic_merge import merge
from luna_streams import naming
from support.builders import a_pool
from support.operator_builders import SETTINGS


def a_spec_of(**spec: Any) -> dict[str, Any]:
    found: dict[str, Any] = pod_template(a_pool(**spec), SETTINGS)["spec"]
    return found


def environment(spec: dict[str, Any]) -> dict[str, Any]:
    return {v["name"]: v.get("value") or v["valueFrom"]["fieldRef"]["fieldPath"] for v in spec["containers"][0]["env"]}


def test_the_processor_is_told_what_it_needs() -> None:
    spec = a_spec_of(slots_per_pod=5, platform={"origin": "http://luna:5000", "api_version": 6})
    assert environment(spec) == {
        "LUNA_PROCESSOR_STREAMS_ORIGIN": "http://shim:5160",
        "LUNA_PROCESSOR_API_VERSION": "2",
        "LUNA_PROCESSOR_CAPACITY": "5",
        "LUNA_PROCESSOR_PORT": "34569",
        "LUNA_PROCESSOR_TOKEN_FILE": "/var/run/secrets/lunastreams/token",
        "LUNA_PROCESSOR_PLATFORM_ORIGIN": "http://luna:5000",
        "LUNA_PROCESSOR_PLATFORM_API_VERSION": "6",
        "LUNA_PROCESSOR_ADVERTISED_HOST": "status.podIP",
        "LUNA_PROCESSOR_LISTEN_HOST": "status.podIP",
        "POD_NAME": "metadata.name",
    }
    [token] = [volume for volume in spec["volumes"] if volume["name"] == "luna-token"]
    assert token["projected"]["sources"][0]["serviceAccountToken"]["audience"] == "luna-streams"
    assert spec["automountServiceAccountToken"] is False, "no way into the API server"
    assert spec["containers"][0]["command"] == ["luna-streams", "processor"]


def test_the_pool_names_image_models_and_gpu() -> None:
    spec = a_spec_of(image="mine:1", models="models-pvc", gpu={"resource_name": "nvidia.com/mig-1g.10gb", "count": 2})
    container = spec["containers"][0]
    assert container["image"] == "mine:1"
    assert container["resources"] == {"limits": {"nvidia.com/mig-1g.10gb": "2"}}
    assert environment(spec)["LUNA_PROCESSOR_MODELS_DIR"] in [mount["mountPath"] for mount in container["volumeMounts"]]
    claimed = a_spec_of(gpu={"claim_template": "gpu"})
    assert claimed["resourceClaims"] == [{"name": "gpu", "resourceClaimTemplateName": "gpu"}]
    assert claimed["containers"][0]["resources"] == {"claims": [{"name": "gpu"}]}


def test_pods_are_spread_and_prefer_zones_softly() -> None:
    zonal = a_spec_of(spread="zone", preferred_zones=("a", "b"))
    [constraint] = zonal["topologySpreadConstraints"]
    assert (constraint["topologyKey"], constraint["whenUnsatisfiable"]) == (
        "topology.kubernetes.io/zone", "ScheduleAnyway",
    )  # fmt: skip
    terms = zonal["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert [term["weight"] for term in terms] == [100, 95]
    assert "topologySpreadConstraints" not in a_spec_of(spread="none")


def test_an_override_is_merged_but_cannot_take_the_labels_by_which_pods_are_known() -> None:
    override = {
        "metadata": {"labels": {"team": "doors", naming.LABEL_MANAGED_BY: "me"}, "annotations": {"a": "b"}},
        "spec": {
            "runtimeClassName": "nvidia",
            "containers": [{"name": "processor", "env": [{"name": "TZ", "value": "UTC"}]}, {"name": "sidecar"}],
        },
    }
    template = pod_template(a_pool(pod_template=override), SETTINGS)
    assert template["metadata"]["labels"] == {**pod_labels("pool"), "team": "doors"}
    assert template["metadata"]["annotations"] == {"a": "b"}
    assert template["spec"]["runtimeClassName"] == "nvidia"
    assert [container["name"] for container in template["spec"]["containers"]] == ["processor", "sidecar"]
    assert environment(template["spec"])["TZ"] == "UTC"
    assert environment(template["spec"])["LUNA_PROCESSOR_PORT"] == "34569"


@pytest.mark.parametrize("override", [{"metadata": "x"}, {"spec": 3}, {"metadata": {"labels": []}}, {"other": {}}])
def test_an_override_of_the_wrong_shape_changes_nothing(override: dict[str, Any]) -> None:
    assert pod_template(a_pool(pod_template=override), SETTINGS) == pod_template(a_pool(), SETTINGS)


def test_the_hash_changes_with_the_template_only() -> None:
    plain = template_hash(pod_template(a_pool(), SETTINGS))
    assert template_hash(pod_template(a_pool(max_replicas=9), SETTINGS)) == plain
    assert template_hash(pod_template(a_pool(image="new"), SETTINGS)) != plain
    assert template_hash(pod_template(a_pool(slots_per_pod=9), SETTINGS)) != plain


def test_a_pod_is_owned_by_its_pool_and_carries_the_hash() -> None:
    pool = a_pool()
    template = pod_template(pool, SETTINGS)
    metadata = pod(pool, template, "pool-0")["metadata"]
    assert (metadata["name"], metadata["namespace"]) == ("pool-0", "default")
    assert metadata["annotations"][naming.ANNOTATION_TEMPLATE_HASH] == template_hash(template)
    [owner] = metadata["ownerReferences"]
    assert (owner["uid"], owner["controller"]) == (pool.uid, True)


def test_a_long_pool_name_still_makes_a_label() -> None:
    first, second = (pod_labels("p" * 80 + end)[naming.LABEL_POOL] for end in "ab")
    assert len(first) <= 63
    assert first != second
    assert f"{naming.LABEL_POOL}={first}" in pod_selector("p" * 80 + "a")


@pytest.mark.parametrize(
    ("base", "override", "merged"),
    [
        ({"a": 1, "b": 2}, {"b": None, "c": 3}, {"a": 1, "c": 3}),
        ({"a": {"x": 1}}, {"a": {"y": 2}}, {"a": {"x": 1, "y": 2}}),
        ({"a": {"x": 1}}, {"a": {"$patch": "replace", "y": 2}}, {"a": {"y": 2}}),
        ({"tolerations": [{"key": "a"}]}, {"tolerations": [{"key": "b"}]}, {"tolerations": [{"key": "b"}]}),
        (
            {"env": [{"name": "a", "value": "1"}, {"name": "b", "value": "2"}]},
            {"env": [{"name": "b", "value": "3"}, {"name": "c", "value": "4"}]},
            {"env": [{"name": "a", "value": "1"}, {"name": "b", "value": "3"}, {"name": "c", "value": "4"}]},
        ),
        ({"env": [{"name": "a"}, {"name": "b"}]}, {"env": [{"name": "a", "$patch": "delete"}]},
         {"env": [{"name": "b"}]}),
        ({"env": [{"name": "a"}]}, {"env": [{"name": "b"}, {"$patch": "replace"}]}, {"env": [{"name": "b"}]}),
        ({"volumes": [{"name": "a"}]}, {"volumes": [{"nome": "b"}]}, {"volumes": [{"nome": "b"}]}),
        ({"env": "text"}, {"env": [{"name": "a"}]}, {"env": [{"name": "a"}]}),
    ],
)  # fmt: skip
def test_strategic_merge(base: dict[str, Any], override: dict[str, Any], merged: dict[str, Any]) -> None:
    assert merge(base, override) == merged
