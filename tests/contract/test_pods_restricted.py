"""kube-apiserver takes every kind of processor pod, also in a namespace that enforces Pod Security `restricted`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from luna_operator.manifests import pod, pod_template
from luna_operator.settings import Settings
from support.apiservers import ApiServer, unique
from support.builders import a_pool
from support.waiting import eventually_blocking

pytestmark = pytest.mark.apiserver

Json = dict[str, Any]
SETTINGS = Settings(
    streams_origin="http://shim:5160", platform_origin="http://luna:5000", processor_pull_secrets=("registry",)
)
TAINTED = {"key": "nvidia.com/gpu", "operator": "Exists"}


def gpu_node(**container: Any) -> Json:
    """Return a podTemplate for nodes with GPUs."""
    spec = {"runtimeClassName": "nvidia", "tolerations": [TAINTED], "nodeSelector": {"gpu": "a100"}}
    return {"spec": {**spec, **({"containers": [{"name": "processor", **container}]} if container else {})}}


VARIANTS: dict[str, Json] = {
    "on the CPU": {},
    "on a GPU": {"gpu": {"resource_name": "nvidia.com/gpu"}, "pod_template": gpu_node()},
    "on two GPUs": {"gpu": {"resource_name": "nvidia.com/gpu", "count": 2}},
    "on a shared GPU": {"gpu": {"resource_name": "nvidia.com/gpu.shared"}, "pod_template": gpu_node()},
    "on a MIG slice": {"gpu": {"resource_name": "nvidia.com/mig-1g.10gb"}, "decoder": {"megapixels_per_second": 0}},
    "with a claim of its own": {"gpu": {"claim_template": "gpu"}, "pod_template": gpu_node()},
    "with a claim of all pods": {"gpu": {"claim_name": "gpu"}},
    "with two claims": {
        "gpu": {"claim_template": "gpu"},
        "pod_template": {
            "spec": {
                "resourceClaims": [{"name": "decoder", "resourceClaimName": "decoder"}],
                "containers": [
                    {"name": "processor", "resources": {"claims": [{"name": "gpu"}, {"name": "decoder"}]}},
                ],
            }
        },
    },
    "with models on a volume": {"models": "models", "slots_per_pod": 1000},
    "in zones": {"spread": "zone", "preferred_zones": ("a", "b")},
    "anywhere": {"spread": "none"},
    "with limits and another image": {
        "image": "registry.example/luna@sha256:" + "0" * 64,
        "pod_template": gpu_node(resources={"limits": {"memory": "4Gi", "cpu": "2"}}, imagePullPolicy="Always"),
    },
    "with another volume for its files": {
        "pod_template": {
            "spec": {
                "volumes": [
                    {
                        "name": "tmp",
                        "$retainKeys": ["name", "persistentVolumeClaim"],
                        "persistentVolumeClaim": {"claimName": "spool"},
                    }
                ]
            }
        }
    },
}


@pytest.fixture(scope="module")
def namespace(real_api: ApiServer) -> Iterator[httpx.Client]:
    """Return a client of a restricted namespace with what the pods of VARIANTS name."""
    name = unique("restricted")
    options = real_api.client_options()
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    with httpx.Client(base_url=real_api.url, **options) as cluster:
        cluster.post("/api/v1/namespaces", json={"metadata": {"name": name, "labels": labels}}).raise_for_status()
        runtime = {"apiVersion": "node.k8s.io/v1", "metadata": {"name": "nvidia"}, "handler": "nvidia"}
        assert cluster.post("/apis/node.k8s.io/v1/runtimeclasses", json=runtime).status_code in (201, 409)
        account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
        eventually_blocking(lambda: cluster.get(account).is_success, "the namespace has its ServiceAccount", 30)
        with httpx.Client(base_url=f"{real_api.url}/api/v1/namespaces/{name}", **options) as client:
            yield client
        cluster.delete(f"/api/v1/namespaces/{name}").raise_for_status()


def create(namespace: httpx.Client, **spec: Any) -> httpx.Response:
    pool = a_pool(namespace=str(namespace.base_url).rstrip("/").rpartition("/")[2], **spec)
    template = pod_template(pool, SETTINGS)
    assert template.objection == ""
    return namespace.post("/pods?dryRun=All&fieldValidation=Strict", json=pod(pool, template, "pool-0"))


@pytest.mark.parametrize("spec", VARIANTS.values(), ids=VARIANTS.keys())
def test_it_is_taken_and_satisfies_restricted(namespace: httpx.Client, spec: Json) -> None:
    answer = create(namespace, **spec)
    assert answer.status_code == 201, answer.json()["message"]
    assert "warning" not in answer.headers, answer.headers["warning"]


def test_a_claim_is_in_the_pod_as_the_scheduler_wants_it(namespace: httpx.Client) -> None:
    made = create(namespace, **VARIANTS["with two claims"]).json()["spec"]
    assert made["containers"][0]["resources"]["claims"] == [{"name": "gpu"}, {"name": "decoder"}]
    assert {claim["name"] for claim in made["resourceClaims"]} == {"gpu", "decoder"}


def test_the_spread_counts_pods_of_the_same_template_only(namespace: httpx.Client) -> None:
    made = create(namespace).json()
    [constraint] = made["spec"]["topologySpreadConstraints"]
    assert constraint["matchLabelKeys"] == ["lunastreams.dev/template-hash"]
    assert "lunastreams.dev/template-hash" in made["metadata"]["labels"]


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"hostNetwork": True}, "violates PodSecurity"),
        ({"containers": [{"name": "processor", "securityContext": {"runAsNonRoot": False}}]}, "violates PodSecurity"),
        ({"runtimeClasName": "nvidia"}, 'unknown field "spec.runtimeClasName"'),
        ({"volumes": [{"name": "tmp", "hostPath": {"path": "/x"}}]}, "may not specify more than 1 volume type"),
        ({"tolerations": "all"}, "tolerations"),
    ],
)
def test_what_it_does_not_take_it_says(namespace: httpx.Client, spec: Json, why: str) -> None:
    answer = create(namespace, pod_template={"spec": spec})
    assert answer.status_code in (400, 403, 422)
    assert why in answer.json()["message"]
