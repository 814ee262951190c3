"""The Pod of a pool: pure, from the pool's spec and the operator's settings."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Final

from luna_operator.facts import CAPACITY_VARIABLE, CONTAINER, LABEL_ZONE
from luna_operator.overrides import PORT_VARIABLE, TOKEN_VARIABLE, objection
from luna_operator.settings import Settings
from luna_operator.strategic_merge import InvalidOverride, merge
from luna_streams import naming
from luna_streams.v1alpha1 import GpuRequest, StreamProcessor, StreamProcessorSpec

Json = dict[str, Any]

PORT: Final = 34569
GRACE_PERIOD_S: Final = 30
"""Time for a pod to stop: to end its streams, and to deliver what it has of them."""
MANAGER: Final = "luna-operator"
"""Value of the label managed-by; the operator watches only pods that carry it."""

_TOKEN_FOLDER: Final = "/var/run/secrets/lunastreams"  # noqa: S105  a folder, not a token
_TOKEN_LIFETIME_S: Final = 3600
_MAX_LABEL_VALUE: Final = 63
_PREFERRED: Final = "preferredDuringSchedulingIgnoredDuringExecution"
_HIGHEST_WEIGHT: Final = 100
_MODELS_FOLDER: Final = "/var/lib/lunastreams/models"
_SPOOL_FOLDER: Final = "/var/spool/lunastreams"
_SPOOL_MI, _SPOOL_MARGIN_MI = 1024, 256
"""Events that may wait; what the database and its log take beyond that: a pod whose volume overflows is evicted."""
_ENDING_S: Final = 10
"""Of the time to stop, what is kept for everything but deliveries."""
_MEMORY_MI, _MEMORY_PER_SLOT_MI = 256, 32
"""What a pod asks for, without a limit: measured are 264 MiB without streams; a decoder and its frames of 1080p."""
_CPU_M, _CPU_PER_SLOT_M = 100, 10
"""The least that keeps a pod alive on a busy node; what a stream costs depends too much on it and on the GPU."""

_ANNOTATIONS: Final = {
    "kubectl.kubernetes.io/default-container": CONTAINER,
    # Streams move when their pod is evicted, so that no node has to stay for it.
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "true",
}


@dataclass(frozen=True, slots=True)
class PodTemplate:
    """Everything of a pod that is the same for all pods of a pool.

    Attributes:
        metadata: labels and annotations.
        spec: of the pod.
        hash: by which a pod is known to be of this template.
        objection: why no pod can be made of it, for people; "" if one can.
    """

    metadata: Json
    spec: Json
    hash: str
    objection: str = ""


def pod_labels(pool: str) -> dict[str, str]:
    """Return the labels of a pool's pods."""
    return {
        naming.LABEL_NAME: "luna-streams",
        naming.LABEL_COMPONENT: "processor",
        naming.LABEL_MANAGED_BY: MANAGER,
        naming.LABEL_POOL: _label_value(pool),
    }


def pod_selector(pool: str) -> str:
    """Return the label selector of a pool's pods, as the scale subresource shows it."""
    return ",".join(f"{key}={value}" for key, value in sorted(pod_labels(pool).items()))


def pod_template(pool: StreamProcessor, settings: Settings) -> PodTemplate:
    """Return the template of a pool's pods.

    The override's labels cannot replace ours: by them the operator knows its pods.
    """
    override = pool.spec.pod_template
    metadata = {
        "labels": {**override.metadata.labels, **pod_labels(pool.name)},
        "annotations": {**_ANNOTATIONS, **override.metadata.annotations},
    }
    spec: Json = {}
    try:
        spec = merge(_pod_spec(pool, settings), override.spec)
        why_not = objection(override.spec, spec)
    except InvalidOverride as e:
        why_not = f"podTemplate.spec: {e}."
    text = json.dumps([metadata, spec, why_not], sort_keys=True, separators=(",", ":"))
    return PodTemplate(metadata, spec, hashlib.sha256(text.encode()).hexdigest()[:16], why_not)


def pod(pool: StreamProcessor, template: PodTemplate, name: str, avoid: tuple[str, ...] = ()) -> Json:
    """Return the manifest of one pod, owned by its pool.

    Args:
        pool: it belongs to.
        template: of all pods of the pool.
        name: of the pod.
        avoid: nodes on which pods had trouble. The scheduler may not know of it yet; it takes one for want of others.
    """
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": pool.namespace,
            "labels": {**template.metadata["labels"], naming.LABEL_TEMPLATE_HASH: template.hash},
            "annotations": template.metadata["annotations"],
            "ownerReferences": [
                {
                    "apiVersion": naming.API_VERSION,
                    "kind": "StreamProcessor",
                    "name": pool.name,
                    "uid": pool.uid,
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": _avoiding(template.spec, avoid),
    }


def _avoiding(spec: Json, nodes: tuple[str, ...]) -> Json:
    """Return a pod's spec with the wish not to run on some nodes; it is no part of the template."""
    if not nodes:
        return spec
    fields = [{"key": "metadata.name", "operator": "NotIn", "values": [node]} for node in nodes]
    wish = {"weight": _HIGHEST_WEIGHT, "preference": {"matchFields": fields}}
    affinity = spec.get("affinity") or {}
    of_nodes = (affinity.get("nodeAffinity") or {}) if isinstance(affinity, dict) else None
    if not isinstance(of_nodes, dict) or not isinstance(wishes := of_nodes.get(_PREFERRED) or [], list):
        return spec  # an affinity that is none is left to the API server to refuse
    return {**spec, "affinity": {**affinity, "nodeAffinity": {**of_nodes, _PREFERRED: [*wishes, wish]}}}


def _pod_spec(pool: StreamProcessor, settings: Settings) -> Json:
    spec = pool.spec
    pod_spec: Json = {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": GRACE_PERIOD_S,
        "serviceAccountName": settings.processor_service_account,
        # The processor reads hostile video: it gets a token for the shim only, none for the API server.
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(spec, settings)],
        "volumes": _volumes(spec),
    }  # fmt: skip
    if settings.processor_pull_secrets:
        pod_spec["imagePullSecrets"] = [{"name": name} for name in settings.processor_pull_secrets]
    if spec.gpu is not None:
        pod_spec |= _gpu_of_the_pod(spec.gpu)
    if spec.spread != "none":
        pod_spec["topologySpreadConstraints"] = [_spread(spec.spread, pool.name)]
    if spec.preferred_zones:
        pod_spec["affinity"] = {"nodeAffinity": _zone_preference(spec.preferred_zones)}
    return pod_spec


def _container(spec: StreamProcessorSpec, settings: Settings) -> Json:
    return {
        "name": CONTAINER,
        "image": spec.image or settings.processor_image,
        "imagePullPolicy": settings.processor_pull_policy,
        "command": ["luna-streams", "processor"],
        "env": _environment(spec, settings),
        "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
        **_probes(),
        "securityContext": {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": _volume_mounts(spec),
        "resources": _resources(spec),
    }  # fmt: skip


def _probes() -> Json:
    """Return the probes: models may take minutes to load, and a busy node is no reason to kill a busy pod.

    A worker that does not work loses its streams after 20 s anyway: the shim hears nothing from it.
    """
    alive = {"httpGet": {"path": "/healthz", "port": "http"}}
    ready = {"httpGet": {"path": "/readyz", "port": "http"}}
    return {
        "startupProbe": {**alive, "periodSeconds": 1, "timeoutSeconds": 5, "failureThreshold": 600},
        "readinessProbe": {**ready, "periodSeconds": 2, "timeoutSeconds": 5, "failureThreshold": 3},
        "livenessProbe": {**alive, "periodSeconds": 10, "timeoutSeconds": 10, "failureThreshold": 6},
    }


def _environment(spec: StreamProcessorSpec, settings: Settings) -> list[Json]:
    platform_origin, platform_version = settings.platform_origin, settings.platform_api_version
    if spec.platform is not None:
        platform_origin, platform_version = spec.platform.origin, spec.platform.api_version
    values = {
        "LUNA_PROCESSOR_STREAMS_ORIGIN": settings.streams_origin,
        "LUNA_PROCESSOR_API_VERSION": "2",
        CAPACITY_VARIABLE: str(spec.slots_per_pod),
        PORT_VARIABLE: str(PORT),
        TOKEN_VARIABLE: f"{_TOKEN_FOLDER}/token",
        "LUNA_PROCESSOR_SHUTDOWN_GRACE": str(_delivery_time_s(spec)),
        # A folder in the volume and not the volume itself, which belongs to root: events are for this user alone.
        "LUNA_PROCESSOR_SPOOL_DIR": f"{_SPOOL_FOLDER}/events",
        "LUNA_PROCESSOR_SPOOL_SIZE": str(_SPOOL_MI * 2**20),
    }
    if platform_origin is not None:
        values["LUNA_PROCESSOR_PLATFORM_ORIGIN"] = platform_origin
        values["LUNA_PROCESSOR_PLATFORM_API_VERSION"] = str(platform_version)
    if spec.platform is not None and spec.platform.event_format != "events":
        values["LUNA_PROCESSOR_EVENT_FORMAT"] = spec.platform.event_format
    if spec.gpu is not None:
        # Said, not found out: a pod whose card or packages are missing fails with a sentence instead of being slow.
        values["LUNA_PROCESSOR_DEVICE"] = "gpu"
    if spec.models is not None:
        values["LUNA_PROCESSOR_MODELS_DIR"] = _MODELS_FOLDER
    fields = {
        "POD_NAME": "metadata.name",
        "LUNA_PROCESSOR_ADVERTISED_HOST": "status.podIP",
        "LUNA_PROCESSOR_LISTEN_HOST": "status.podIP",
    }
    return [
        *({"name": name, "value": value} for name, value in values.items()),
        *({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields.items()),
    ]


def _volumes(spec: StreamProcessorSpec) -> list[Json]:
    token = {"audience": naming.TOKEN_AUDIENCE, "expirationSeconds": _TOKEN_LIFETIME_S, "path": "token"}
    volumes: list[Json] = [
        {"name": "luna-token", "projected": {"sources": [{"serviceAccountToken": token}]}},
        {"name": "tmp", "emptyDir": {}},
        {"name": "spool", "emptyDir": {"sizeLimit": f"{_SPOOL_MI + _SPOOL_MARGIN_MI}Mi"}},
    ]
    if spec.models is not None:
        volumes.append({"name": "models", "persistentVolumeClaim": {"claimName": spec.models, "readOnly": True}})
    return volumes


def _volume_mounts(spec: StreamProcessorSpec) -> list[Json]:
    mounts: list[Json] = [
        {"name": "luna-token", "mountPath": _TOKEN_FOLDER, "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  of the container, not of this machine
        {"name": "spool", "mountPath": _SPOOL_FOLDER},
    ]
    if spec.models is not None:
        mounts.append({"name": "models", "mountPath": _MODELS_FOLDER, "readOnly": True})
    return mounts


def _resources(spec: StreamProcessorSpec) -> Json:
    """Return what the container asks for; limits are the user's, since no figure fits all streams."""
    slots, gpu = spec.slots_per_pod, spec.gpu
    resources: Json = {
        "requests": {
            "cpu": f"{_CPU_M + _CPU_PER_SLOT_M * slots}m",
            "memory": f"{_MEMORY_MI + _MEMORY_PER_SLOT_MI * slots}Mi",
        }
    }
    if gpu is not None and gpu.resource_name is not None:
        resources["limits"] = {gpu.resource_name: str(gpu.count)}
    elif gpu is not None:
        resources["claims"] = [{"name": "gpu"}]
    return resources


def _gpu_of_the_pod(gpu: GpuRequest) -> Json:
    """Return what a GPU means for the pod, beside its container."""
    if gpu.resource_name is not None:
        # Nodes with GPUs are often tainted by the name of the resource, to keep others away.
        return {"tolerations": [{"key": gpu.resource_name, "operator": "Exists", "effect": "NoSchedule"}]}
    if gpu.claim_template is not None:
        return {"resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": gpu.claim_template}]}
    return {"resourceClaims": [{"name": "gpu", "resourceClaimName": gpu.claim_name}]}


def _delivery_time_s(spec: StreamProcessorSpec) -> int:
    """Return how long a worker that was told to end may deliver: the pod's time to stop, as it is overridden."""
    given = spec.pod_template.spec.get("terminationGracePeriodSeconds")
    grace_s = given if isinstance(given, int) else GRACE_PERIOD_S
    return max(0, grace_s - _ENDING_S)


def _spread(spread: str, pool: str) -> Json:
    key = LABEL_ZONE if spread == "zone" else "kubernetes.io/hostname"
    return {
        "maxSkew": 1,
        "topologyKey": key,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": pod_labels(pool)},
        # Pods that are about to be replaced do not count.
        "matchLabelKeys": [naming.LABEL_TEMPLATE_HASH],
    }


def _zone_preference(zones: tuple[str, ...]) -> Json:
    """Prefer the earlier zones more; weights are 1 to 100."""
    terms = [
        {
            "weight": 100 - rank * 5,
            "preference": {"matchExpressions": [{"key": LABEL_ZONE, "operator": "In", "values": [zone]}]},
        }
        for rank, zone in enumerate(zones)
    ]
    return {_PREFERRED: terms}


def _label_value(name: str) -> str:
    """Return an object's name as a label value, which has at most 63 characters where a name may have 253."""
    if len(name) <= _MAX_LABEL_VALUE:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: _MAX_LABEL_VALUE - len(digest) - 1].rstrip('-.')}-{digest}"
