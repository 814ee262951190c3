"""The pod of a pool, its hash, and what an override may and may not change."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from luna_operator.manifests import pod, pod_labels, pod_selector, pod_template
from luna_streams import naming
from support.builders import a_pool
from support.operator_builders import SETTINGS


def a_spec_of(**spec: Any) -> dict[str, Any]:
    return pod_template(a_pool(**spec), SETTINGS).spec


def overridden(**container: Any) -> dict[str, Any]:
    """Return the podTemplate that changes the processor's container."""
    return {"spec": {"containers": [{"name": "processor", **container}]}}


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
        "LUNA_PROCESSOR_SHUTDOWN_GRACE": "20",
        "LUNA_PROCESSOR_SPOOL_DIR": "/var/spool/lunastreams/events",
        "LUNA_PROCESSOR_SPOOL_SIZE": str(2**30),
        "POD_NAME": "metadata.name",
    }
    [token] = [volume for volume in spec["volumes"] if volume["name"] == "luna-token"]
    assert token["projected"]["sources"][0]["serviceAccountToken"]["audience"] == "luna-streams"
    assert spec["automountServiceAccountToken"] is False, "no way into the API server"
    assert spec["containers"][0]["command"] == ["luna-streams", "processor"]


@pytest.mark.parametrize(("event_format", "told"), [("events", None), ("stream_events", "stream_events"), (None, None)])
def test_the_pool_says_what_handlers_are_sent(event_format: str | None, told: str | None) -> None:
    platform = {"origin": "http://luna:5000"} | ({"event_format": event_format} if event_format else {})
    assert environment(a_spec_of(platform=platform)).get("LUNA_PROCESSOR_EVENT_FORMAT") == told


def test_the_pool_names_image_and_models() -> None:
    spec = a_spec_of(image="mine:1", models="models-pvc")
    container = spec["containers"][0]
    assert container["image"] == "mine:1"
    folder = environment(spec)["LUNA_PROCESSOR_MODELS_DIR"]
    assert {"name": "models", "mountPath": folder, "readOnly": True} in container["volumeMounts"]
    claim = {"claimName": "models-pvc", "readOnly": True}
    assert {"name": "models", "persistentVolumeClaim": claim} in spec["volumes"]


def test_events_wait_in_a_volume_that_outlives_the_container_and_is_larger_than_they_may_be() -> None:
    spec = a_spec_of()
    told = environment(spec)
    [mount] = [mount for mount in spec["containers"][0]["volumeMounts"] if mount["name"] == "spool"]
    assert told["LUNA_PROCESSOR_SPOOL_DIR"].startswith(f"{mount['mountPath']}/"), "a folder that is the worker's own"
    [volume] = [volume for volume in spec["volumes"] if volume["name"] == "spool"]
    size_bytes = int(volume["emptyDir"]["sizeLimit"].removesuffix("Mi")) * 2**20
    assert size_bytes >= 1.2 * int(told["LUNA_PROCESSOR_SPOOL_SIZE"])


def test_the_spool_may_be_a_claim_of_the_pod() -> None:
    claim = {"volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"]}}}
    volume = {"name": "spool", "$retainKeys": ["name", "ephemeral"], "ephemeral": claim}
    spec = a_spec_of(pod_template={"spec": {"volumes": [volume]}})
    assert {"name": "spool", "ephemeral": claim} in spec["volumes"]


@pytest.mark.parametrize("resource", ["nvidia.com/gpu", "nvidia.com/gpu.shared", "nvidia.com/mig-1g.10gb"])
def test_a_gpu_is_asked_for_by_name_and_its_taint_is_tolerated(resource: str) -> None:
    spec = a_spec_of(gpu={"resource_name": resource, "count": 2})
    assert spec["containers"][0]["resources"]["limits"] == {resource: "2"}
    assert [toleration["key"] for toleration in spec["tolerations"]] == [resource]
    assert "resourceClaims" not in spec
    assert environment(spec)["LUNA_PROCESSOR_DEVICE"] == "gpu"


@pytest.mark.parametrize(
    ("gpu", "claim"),
    [
        ({"claim_template": "t"}, {"name": "gpu", "resourceClaimTemplateName": "t"}),
        ({"claim_name": "c"}, {"name": "gpu", "resourceClaimName": "c"}),
    ],
    ids=["each its own", "shared"],
)
def test_a_claim_belongs_to_the_pod_and_its_container(gpu: dict[str, Any], claim: dict[str, Any]) -> None:
    spec = a_spec_of(gpu=gpu)
    assert spec["resourceClaims"] == [claim]
    assert spec["containers"][0]["resources"]["claims"] == [{"name": "gpu"}]
    assert "limits" not in spec["containers"][0]["resources"]
    assert environment(spec)["LUNA_PROCESSOR_DEVICE"] == "gpu"


def test_a_pool_without_a_gpu_computes_on_the_cpu_and_one_with_may_be_told_to() -> None:
    assert "LUNA_PROCESSOR_DEVICE" not in environment(a_spec_of())
    container = {"name": "processor", "env": [{"name": "LUNA_PROCESSOR_DEVICE", "value": "cpu"}]}
    spec = a_spec_of(gpu={"resource_name": "nvidia.com/gpu"}, pod_template={"spec": {"containers": [container]}})
    assert environment(spec)["LUNA_PROCESSOR_DEVICE"] == "cpu"


def test_a_pod_asks_for_more_memory_the_more_streams_it_takes_and_has_no_limit() -> None:
    few, many = (a_spec_of(slots_per_pod=slots)["containers"][0]["resources"] for slots in (1, 8))
    assert few == {"requests": {"cpu": "110m", "memory": "288Mi"}}
    assert many == {"requests": {"cpu": "180m", "memory": "512Mi"}}


def test_pull_policy_and_secrets_are_the_operators() -> None:
    settings = SETTINGS.model_copy(
        update={"processor_pull_policy": "Always", "processor_pull_secrets": ("registry", "other")}
    )
    spec = pod_template(a_pool(), settings).spec
    assert spec["imagePullSecrets"] == [{"name": "registry"}, {"name": "other"}]
    assert spec["containers"][0]["imagePullPolicy"] == "Always"
    assert "imagePullSecrets" not in a_spec_of()


def test_a_pod_may_take_minutes_to_load_models_and_one_to_answer() -> None:
    container = a_spec_of()["containers"][0]
    startup, liveness = container["startupProbe"], container["livenessProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 300
    assert liveness["periodSeconds"] * liveness["failureThreshold"] >= 60


@pytest.mark.parametrize(("grace_s", "delivery_s"), [(120, "110"), (5, "0"), (None, "20")])
def test_who_gives_a_pod_more_time_to_stop_gives_it_more_time_to_deliver(grace_s: int | None, delivery_s: str) -> None:
    override = {"spec": {"terminationGracePeriodSeconds": grace_s} if grace_s is not None else {}}
    spec = a_spec_of(pod_template=override)
    assert environment(spec)["LUNA_PROCESSOR_SHUTDOWN_GRACE"] == delivery_s
    assert spec["terminationGracePeriodSeconds"] == (grace_s or 30)


def test_pods_are_spread_and_prefer_zones_softly() -> None:
    zonal = a_spec_of(spread="zone", preferred_zones=("a", "b"))
    [constraint] = zonal["topologySpreadConstraints"]
    assert (constraint["topologyKey"], constraint["whenUnsatisfiable"]) == (
        "topology.kubernetes.io/zone", "ScheduleAnyway",
    )  # fmt: skip
    assert constraint["matchLabelKeys"] == [naming.LABEL_TEMPLATE_HASH], "pods that are replaced do not count"
    terms = zonal["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert [term["weight"] for term in terms] == [100, 95]
    assert "topologySpreadConstraints" not in a_spec_of(spread="none")


def test_an_override_is_merged_but_cannot_take_the_labels_by_which_pods_are_known() -> None:
    override = {
        "metadata": {"labels": {"team": "doors", naming.LABEL_MANAGED_BY: "me"}, "annotations": {"a": "b"}},
        "spec": {
            "runtimeClassName": "nvidia",
            "containers": [
                {"name": "processor", "env": [{"name": "TZ", "value": "UTC"}]},
                {"name": "sidecar", "image": "s"},
            ],
        },
    }
    template = pod_template(a_pool(pod_template=override), SETTINGS)
    assert template.objection == ""
    assert template.metadata["labels"] == {**pod_labels("pool"), "team": "doors"}
    assert template.metadata["annotations"]["a"] == "b"
    assert template.spec["runtimeClassName"] == "nvidia"
    assert [container["name"] for container in template.spec["containers"]] == ["processor", "sidecar"]
    assert environment(template.spec)["TZ"] == "UTC"
    assert environment(template.spec)["LUNA_PROCESSOR_PORT"] == "34569"


def test_an_autoscaler_may_take_a_node_from_under_a_pod_unless_told_otherwise() -> None:
    key = "cluster-autoscaler.kubernetes.io/safe-to-evict"
    assert pod_template(a_pool(), SETTINGS).metadata["annotations"][key] == "true"
    override = {"metadata": {"annotations": {key: "false"}}}
    assert pod_template(a_pool(pod_template=override), SETTINGS).metadata["annotations"][key] == "false"


@pytest.mark.parametrize(
    ("override", "why"),
    [
        (overridden(**{"$patch": "delete"}), "takes away the container processor"),
        (
            {"spec": {"containers": [{"$patch": "replace"}, {"name": "other", "image": "x"}]}},
            "takes away the container",
        ),
        ({"spec": {"containers": None}}, "takes away the container processor"),
        ({"spec": {"containers": [{"name": "main", "tty": True}]}}, "main has no image; to change the processor's"),
        (overridden(env=[{"name": "LUNA_PROCESSOR_CAPACITY", "value": "9"}]), "set slotsPerPod instead"),
        (overridden(env=[{"name": "LUNA_PROCESSOR_TOKEN_FILE", "$patch": "delete"}]), "by that token the shim knows"),
        (overridden(env=[{"name": "LUNA_PROCESSOR_PORT", "value": "1"}]), "probes, previews"),
        (overridden(env=[{"value": "1"}]), "every item of env needs a name"),
        ({"spec": {"restartPolicy": "Never"}}, "restartPolicy must be Always"),
        ({"spec": {"securityContext": {"$patch": "merge"}}}, "$patch is delete or replace"),
    ],
)
def test_an_override_that_breaks_what_the_pod_must_do_is_objected_to(override: dict[str, Any], why: str) -> None:
    template = pod_template(a_pool(pod_template=override), SETTINGS)
    assert why in template.objection
    assert template.objection.startswith("podTemplate.spec")
    assert template.objection.endswith(".")
    assert template.hash != pod_template(a_pool(), SETTINGS).hash


def test_the_hash_changes_with_the_template_only() -> None:
    plain = pod_template(a_pool(), SETTINGS).hash
    assert pod_template(a_pool(max_replicas=9), SETTINGS).hash == plain
    assert pod_template(a_pool(image="new"), SETTINGS).hash != plain
    assert pod_template(a_pool(slots_per_pod=9), SETTINGS).hash != plain
    assert pod_template(a_pool(pod_template={"metadata": {"labels": {"a": "b"}}}), SETTINGS).hash != plain


def test_a_pod_is_owned_by_its_pool_and_carries_the_hash() -> None:
    pool = a_pool()
    template = pod_template(pool, SETTINGS)
    metadata = pod(pool, template, "pool-0")["metadata"]
    assert (metadata["name"], metadata["namespace"]) == ("pool-0", "default")
    assert metadata["labels"][naming.LABEL_TEMPLATE_HASH] == template.hash
    [owner] = metadata["ownerReferences"]
    assert (owner["uid"], owner["controller"]) == (pool.uid, True)


def test_a_pod_wishes_to_be_elsewhere_than_where_others_had_trouble() -> None:
    pool = a_pool(preferred_zones=("a",))
    template = pod_template(pool, SETTINGS)
    made = pod(pool, template, "pool-0", avoid=("n1", "n2"))
    wishes = made["spec"]["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    fields = [{"key": "metadata.name", "operator": "NotIn", "values": [node]} for node in ("n1", "n2")]
    assert wishes[1:] == [{"weight": 100, "preference": {"matchFields": fields}}], "besides the zone"
    plain = pod(pool, template, "pool-0")
    assert plain["metadata"]["labels"] == made["metadata"]["labels"], "it is of the same template"
    assert len(plain["spec"]["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]) == 1


def test_a_long_pool_name_still_makes_a_label() -> None:
    first, second = (pod_labels("p" * 80 + end)[naming.LABEL_POOL] for end in "ab")
    assert len(first) <= 63
    assert first != second
    assert f"{naming.LABEL_POOL}={first}" in pod_selector("p" * 80 + "a")


SCALARS = st.none() | st.booleans() | st.integers(-1, 1) | st.sampled_from(["processor", "delete", "replace", ""])
FIELDS = st.sampled_from(
    ["containers", "env", "name", "affinity", "nodeAffinity", "volumes", "resources", "$patch", "$retainKeys",
     "$setElementOrder/containers", "preferredDuringSchedulingIgnoredDuringExecution", "image"]
)  # fmt: skip
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=3), max_leaves=12
)


@given(st.dictionaries(FIELDS, ANYTHING, max_size=4))
@example({"containers": 1})
@example({"containers": [{"name": "processor", "env": 1}]})
@example({"containers": [{"name": "processor", "env": [{"name": []}]}]})
@example({"affinity": 1})
@example({"affinity": {"nodeAffinity": []}})
def test_whatever_a_user_writes_harms_no_other_pool(override: dict[str, Any]) -> None:
    """The schema takes anything there; all pools of a namespace have one pass."""
    pool = a_pool(pod_template={"spec": override})
    template = pod_template(pool, SETTINGS)
    assert template.objection or pod(pool, template, "pool-0", ("n1",))["metadata"]["name"] == "pool-0"
