"""The Pod of a pool: pure, from the pool's spec and the operator's settings."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from luna_operator.facts import CAPACITY_VARIABLE, CONTAINER, LABEL_ZONE
from luna_operator.settings import Settings
from luna_operator.strategic_merge import merge
from luna_streams import naming
from luna_streams.v1alpha1 import GpuRequest, StreamProcessor, StreamProcessorSpec

Json = dict[str, Any]

PORT: Final = 34569
GRACE_PERIOD_S: Final = 30
MANAGER: Final = "luna-operator"
"""Value of the label managed-by; the operator watches only pods that carry it."""

_TOKEN_FOLDER: Final = "/var/run/secrets/lunastreams"  # noqa: S105  a folder, not a token
_TOKEN_LIFETIME_S: Final = 3600
_MAX_LABEL_VALUE: Final = 63
_MODELS_FOLDER: Final = "/var/lib/lunastreams/models"


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


def pod_template(pool: StreamProcessor, settings: Settings) -> Json:
    """Return everything of a pod that is the same for all pods of the pool.

    The override's labels cannot replace ours: by them the operator knows its pods.
    """
    override = pool.spec.pod_template
    metadata = _mapping(override.get("metadata"))
    return {
        "metadata": {
            "labels": {**_mapping(metadata.get("labels")), **pod_labels(pool.name)},
            "annotations": _mapping(metadata.get("annotations")),
        },
        "spec": merge(_pod_spec(pool, settings), _mapping(override.get("spec"))),
    }


def template_hash(template: Json) -> str:
    """Return the hash by which a pod is known to be of the present template."""
    text = json.dumps(template, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def pod(pool: StreamProcessor, template: Json, name: str) -> Json:
    """Return the manifest of one pod, owned by its pool."""
    annotations = {**template["metadata"]["annotations"], naming.ANNOTATION_TEMPLATE_HASH: template_hash(template)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": pool.namespace,
            "labels": template["metadata"]["labels"],
            "annotations": annotations,
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
        "spec": template["spec"],
    }


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
    if spec.gpu is not None and spec.gpu.claim_template is not None:
        template = spec.gpu.claim_template
        pod_spec["resourceClaims"] = [{"name": "gpu", "resourceClaimTemplateName": template}]
    if spec.spread != "none":
        pod_spec["topologySpreadConstraints"] = [_spread(spec.spread, pool.name)]
    if spec.preferred_zones:
        pod_spec["affinity"] = {"nodeAffinity": _zone_preference(spec.preferred_zones)}
    return pod_spec


def _container(spec: StreamProcessorSpec, settings: Settings) -> Json:
    container: Json = {
        "name": CONTAINER,
        "image": spec.image or settings.processor_image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["luna-streams", "processor"],
        "env": _environment(spec, settings),
        "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "http"}, "periodSeconds": 2, "timeoutSeconds": 2},
        "livenessProbe": {
            "httpGet": {"path": "/healthz", "port": "http"},
            "initialDelaySeconds": 10, "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 3,
        },
        "securityContext": {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": _volume_mounts(spec),
    }  # fmt: skip
    if spec.gpu is not None:
        container["resources"] = _gpu_resources(spec.gpu)
    return container


def _environment(spec: StreamProcessorSpec, settings: Settings) -> list[Json]:
    platform_origin, platform_version = settings.platform_origin, settings.platform_api_version
    if spec.platform is not None:
        platform_origin, platform_version = spec.platform.origin, spec.platform.api_version
    values = {
        "LUNA_PROCESSOR_STREAMS_ORIGIN": settings.streams_origin,
        "LUNA_PROCESSOR_API_VERSION": "2",
        CAPACITY_VARIABLE: str(spec.slots_per_pod),
        "LUNA_PROCESSOR_PORT": str(PORT),
        "LUNA_PROCESSOR_TOKEN_FILE": f"{_TOKEN_FOLDER}/token",
    }
    if platform_origin is not None:
        values["LUNA_PROCESSOR_PLATFORM_ORIGIN"] = platform_origin
        values["LUNA_PROCESSOR_PLATFORM_API_VERSION"] = str(platform_version)
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
    ]
    if spec.models is not None:
        volumes.append({"name": "models", "persistentVolumeClaim": {"claimName": spec.models, "readOnly": True}})
    return volumes


def _volume_mounts(spec: StreamProcessorSpec) -> list[Json]:
    mounts: list[Json] = [
        {"name": "luna-token", "mountPath": _TOKEN_FOLDER, "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  of the container, not of this machine
    ]
    if spec.models is not None:
        mounts.append({"name": "models", "mountPath": _MODELS_FOLDER, "readOnly": True})
    return mounts


def _gpu_resources(gpu: GpuRequest) -> Json:
    if gpu.resource_name is not None:
        return {"limits": {gpu.resource_name: str(gpu.count)}}
    return {"claims": [{"name": "gpu"}]}


def _spread(spread: str, pool: str) -> Json:
    key = LABEL_ZONE if spread == "zone" else "kubernetes.io/hostname"
    return {
        "maxSkew": 1,
        "topologyKey": key,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": pod_labels(pool)},
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
    return {"preferredDuringSchedulingIgnoredDuringExecution": terms}


def _mapping(value: object) -> Json:
    """Return an object of the override; what is not one is ignored, since the CRD leaves its inside open."""
    return value if isinstance(value, dict) else {}


def _label_value(name: str) -> str:
    """Return an object's name as a label value, which has at most 63 characters where a name may have 253."""
    if len(name) <= _MAX_LABEL_VALUE:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: _MAX_LABEL_VALUE - len(digest) - 1].rstrip('-.')}-{digest}"
