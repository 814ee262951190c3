"""Protobuf request bodies, as far as kubectl sends them.

kubectl since 1.32 sends protobuf from its typed commands (``create namespace|configmap|secret|deployment|job|...``,
``auth can-i``, ``create token``, ``delete``) and does not fall back to JSON. Only the fields those commands can set are
known; a field that is not known is refused by name, so nothing is lost silently. Answers are always JSON, which kubectl
accepts.

The field numbers are those of k8s.io/api's generated.proto files.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any

from luna_local.apiserver.errors import bad_request, unsupported_media_type

_MAGIC = b"k8s\0"
_SUPPORTED = ("application/json", "application/yaml")

Decoder = Callable[[bytes | int], Any]


class _Repeated:
    """A field that may occur several times and makes a list."""

    def __init__(self, item: Decoder) -> None:
        self.item = item


class _Map:
    """A field that holds the entries of a mapping with text keys."""

    def __init__(self, value: Decoder) -> None:
        self.value = value


class _Message:
    """A message: its fields by number, each with its JSON name and how to read it."""

    def __init__(self, name: str, fields: dict[int, tuple[str, Decoder | _Repeated | _Map]]) -> None:
        self._name = name
        self._fields = fields

    def __call__(self, raw: bytes | int) -> dict[str, Any]:
        document: dict[str, Any] = {}
        for number, value in _fields(_bytes(raw)):
            if number not in self._fields:
                raise unsupported_media_type(
                    f"protobuf {self._name} with field {number}, which the embedded server does not know", _SUPPORTED
                )
            name, kind = self._fields[number]
            if isinstance(kind, _Repeated):
                document.setdefault(name, []).append(kind.item(value))
            elif isinstance(kind, _Map):
                entry = dict(_fields(_bytes(value)))
                document.setdefault(name, {})[_text(entry.get(1, b""))] = kind.value(entry.get(2, b""))
            else:
                document[name] = kind(value)
        # Go writes empty fields out; to JSON clients they are absent.
        return {name: value for name, value in document.items() if value not in ("", {}, None)}


def _fields(raw: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Return (number, value) of each field: an int for varints, bytes for everything else."""
    position = 0
    while position < len(raw):
        tag, position = _varint(raw, position)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == 0:
            value, position = _varint(raw, position)
            yield number, value
            continue
        if wire_type == 2:
            length, position = _varint(raw, position)
        elif wire_type in (1, 5):
            length = 8 if wire_type == 1 else 4
        else:
            raise bad_request("the body of the request is not valid protobuf")
        if position + length > len(raw):
            raise bad_request("the body of the request is protobuf cut short")
        yield number, raw[position : position + length]
        position += length


def _varint(raw: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while position < len(raw) and shift < 70:
        byte = raw[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
        shift += 7
    raise bad_request("the body of the request is protobuf cut short")


def _bytes(raw: bytes | int) -> bytes:
    if isinstance(raw, int):
        raise bad_request("the body of the request is not valid protobuf")
    return raw


def _text(raw: bytes | int) -> str:
    try:
        return _bytes(raw).decode()
    except UnicodeDecodeError as error:
        raise bad_request("the body of the request holds text that is not UTF-8") from error


def _base64(raw: bytes | int) -> str:
    return base64.b64encode(_bytes(raw)).decode()


def _number(raw: bytes | int) -> int:
    if isinstance(raw, bytes):
        raise bad_request("the body of the request is not valid protobuf")
    return raw - 2**64 if raw >= 2**63 else raw


def _flag(raw: bytes | int) -> bool:
    return bool(_number(raw))


def _quantity(raw: bytes | int) -> str:
    return _text(dict(_fields(_bytes(raw))).get(1, b""))


def _int_or_string(raw: bytes | int) -> int | str:
    fields = dict(_fields(_bytes(raw)))
    return _text(fields.get(3, b"")) if fields.get(1) == 1 else _number(fields.get(2, 0))


def _ignored(raw: bytes | int) -> None:
    """Read a field that the server sets itself and clients send empty (status, creationTimestamp)."""


_TEXTS, _TEXT_MAP, _NO_STATUS = _Repeated(_text), _Map(_text), ("status", _ignored)
_OWNER = _Message("OwnerReference", {
    1: ("kind", _text), 3: ("name", _text), 4: ("uid", _text), 5: ("apiVersion", _text),
    6: ("controller", _flag), 7: ("blockOwnerDeletion", _flag),
})  # fmt: skip
_METADATA = ("metadata", _Message("ObjectMeta", {
    1: ("name", _text), 2: ("generateName", _text), 3: ("namespace", _text), 4: ("selfLink", _ignored),
    5: ("uid", _text), 6: ("resourceVersion", _text), 7: ("generation", _ignored),
    8: ("creationTimestamp", _ignored), 11: ("labels", _TEXT_MAP), 12: ("annotations", _TEXT_MAP),
    13: ("ownerReferences", _Repeated(_OWNER)), 14: ("finalizers", _TEXTS),
}))  # fmt: skip
_LABEL_REQUIREMENT = _Message(
    "LabelSelectorRequirement", {1: ("key", _text), 2: ("operator", _text), 3: ("values", _TEXTS)}
)
_LABEL_SELECTOR = _Message(
    "LabelSelector", {1: ("matchLabels", _TEXT_MAP), 2: ("matchExpressions", _Repeated(_LABEL_REQUIREMENT))}
)
_PORT = _Message("ContainerPort", {
    1: ("name", _text), 2: ("hostPort", _ignored), 3: ("containerPort", _number), 4: ("protocol", _text),
    5: ("hostIP", _text),
})  # fmt: skip
_VARIABLE = _Message("EnvVar", {1: ("name", _text), 2: ("value", _text)})
_RESOURCES = _Message("ResourceRequirements", {1: ("limits", _Map(_quantity)), 2: ("requests", _Map(_quantity))})
_CONTAINER = _Message("Container", {
    1: ("name", _text), 2: ("image", _text), 3: ("command", _TEXTS), 4: ("args", _TEXTS), 5: ("workingDir", _text),
    6: ("ports", _Repeated(_PORT)), 7: ("env", _Repeated(_VARIABLE)), 8: ("resources", _RESOURCES),
    13: ("terminationMessagePath", _text), 14: ("imagePullPolicy", _text), 16: ("stdin", _flag),
    17: ("stdinOnce", _flag), 18: ("tty", _flag), 20: ("terminationMessagePolicy", _text),
})  # fmt: skip
_POD_SPEC = _Message("PodSpec", {
    2: ("containers", _Repeated(_CONTAINER)), 3: ("restartPolicy", _text),
    4: ("terminationGracePeriodSeconds", _number), 6: ("dnsPolicy", _text), 7: ("nodeSelector", _TEXT_MAP),
    8: ("serviceAccountName", _text), 9: ("serviceAccount", _text), 10: ("nodeName", _text),
    11: ("hostNetwork", _flag), 12: ("hostPID", _flag), 13: ("hostIPC", _flag), 14: ("securityContext", _ignored),
    16: ("hostname", _text), 17: ("subdomain", _text), 19: ("schedulerName", _text), 24: ("priorityClassName", _text),
})  # fmt: skip
_POD_TEMPLATE = _Message("PodTemplateSpec", {1: _METADATA, 2: ("spec", _POD_SPEC)})
_DEPLOYMENT_SPEC = _Message("DeploymentSpec", {
    1: ("replicas", _number), 2: ("selector", _LABEL_SELECTOR), 3: ("template", _POD_TEMPLATE),
    4: ("strategy", _ignored), 5: ("minReadySeconds", _number), 6: ("revisionHistoryLimit", _number),
    7: ("paused", _flag),
})  # fmt: skip
_JOB_SPEC = _Message("JobSpec", {
    1: ("parallelism", _number), 2: ("completions", _number), 3: ("activeDeadlineSeconds", _number),
    4: ("selector", _LABEL_SELECTOR), 6: ("template", _POD_TEMPLATE), 7: ("backoffLimit", _number),
})  # fmt: skip
_CRON_JOB_SPEC = _Message("CronJobSpec", {
    1: ("schedule", _text), 3: ("concurrencyPolicy", _text), 4: ("suspend", _flag),
    5: ("jobTemplate", _Message("JobTemplateSpec", {1: _METADATA, 2: ("spec", _JOB_SPEC)})),
})  # fmt: skip
_SERVICE_PORT = _Message("ServicePort", {
    1: ("name", _text), 2: ("protocol", _text), 3: ("port", _number), 4: ("targetPort", _int_or_string),
    5: ("nodePort", _ignored),
})  # fmt: skip
_SERVICE_SPEC = _Message("ServiceSpec", {
    1: ("ports", _Repeated(_SERVICE_PORT)), 2: ("selector", _TEXT_MAP), 3: ("clusterIP", _text), 4: ("type", _text),
    7: ("sessionAffinity", _text), 8: ("loadBalancerIP", _text), 10: ("externalName", _text),
    11: ("externalTrafficPolicy", _text), 12: ("healthCheckNodePort", _ignored),
    13: ("publishNotReadyAddresses", _flag),
})  # fmt: skip
_RULE = _Message("PolicyRule", {
    1: ("verbs", _TEXTS), 2: ("apiGroups", _TEXTS), 3: ("resources", _TEXTS), 4: ("resourceNames", _TEXTS),
    5: ("nonResourceURLs", _TEXTS),
})  # fmt: skip
_SUBJECT = _Message(
    "Subject", {1: ("kind", _text), 2: ("apiGroup", _text), 3: ("name", _text), 4: ("namespace", _text)}
)
_ROLE_REF = _Message("RoleRef", {1: ("apiGroup", _text), 2: ("kind", _text), 3: ("name", _text)})
_RESOURCE_ATTRIBUTES = _Message("ResourceAttributes", {
    1: ("namespace", _text), 2: ("verb", _text), 3: ("group", _text), 4: ("version", _text), 5: ("resource", _text),
    6: ("subresource", _text), 7: ("name", _text),
})  # fmt: skip
_ACCESS_SPEC = _Message("SelfSubjectAccessReviewSpec", {
    1: ("resourceAttributes", _RESOURCE_ATTRIBUTES),
    2: ("nonResourceAttributes", _Message("NonResourceAttributes", {1: ("path", _text), 2: ("verb", _text)})),
})  # fmt: skip
_TOKEN_SPEC = _Message("TokenRequestSpec", {
    1: ("audiences", _TEXTS), 4: ("expirationSeconds", _number),
    3: ("boundObjectRef", _Message("BoundObjectReference", {
        1: ("kind", _text), 2: ("apiVersion", _text), 3: ("name", _text), 4: ("uid", _text),
    })),
})  # fmt: skip
_DELETE_OPTIONS = _Message("DeleteOptions", {
    1: ("gracePeriodSeconds", _number),
    2: ("preconditions", _Message("Preconditions", {1: ("uid", _text), 2: ("resourceVersion", _text)})),
    3: ("orphanDependents", _flag), 4: ("propagationPolicy", _text), 5: ("dryRun", _TEXTS),
})  # fmt: skip


def _kind(name: str, **fields: Any) -> _Message:
    return _Message(name, {1: _METADATA, **{int(number[1:]): field for number, field in fields.items()}})


_KINDS = {
    "Namespace": _kind("Namespace", _2=("spec", _ignored), _3=_NO_STATUS),
    "ConfigMap": _kind("ConfigMap", _2=("data", _TEXT_MAP), _3=("binaryData", _Map(_base64)), _4=("immutable", _flag)),
    "Secret": _kind(
        "Secret", _2=("data", _Map(_base64)), _3=("type", _text), _4=("stringData", _TEXT_MAP), _5=("immutable", _flag)
    ),
    "ServiceAccount": _kind("ServiceAccount"),
    "Service": _kind("Service", _2=("spec", _SERVICE_SPEC), _3=_NO_STATUS),
    "Pod": _kind("Pod", _2=("spec", _POD_SPEC), _3=_NO_STATUS),
    "Deployment": _kind("Deployment", _2=("spec", _DEPLOYMENT_SPEC), _3=_NO_STATUS),
    "Job": _kind("Job", _2=("spec", _JOB_SPEC), _3=_NO_STATUS),
    "CronJob": _kind("CronJob", _2=("spec", _CRON_JOB_SPEC), _3=_NO_STATUS),
    "Role": _kind("Role", _2=("rules", _Repeated(_RULE))),
    "ClusterRole": _kind("ClusterRole", _2=("rules", _Repeated(_RULE))),
    "RoleBinding": _kind("RoleBinding", _2=("subjects", _Repeated(_SUBJECT)), _3=("roleRef", _ROLE_REF)),
    "ClusterRoleBinding": _kind("ClusterRoleBinding", _2=("subjects", _Repeated(_SUBJECT)), _3=("roleRef", _ROLE_REF)),
    "SelfSubjectAccessReview": _kind("SelfSubjectAccessReview", _2=("spec", _ACCESS_SPEC), _3=_NO_STATUS),
    "SelfSubjectRulesReview": _kind(
        "SelfSubjectRulesReview",
        _2=("spec", _Message("SelfSubjectRulesReviewSpec", {1: ("namespace", _text)})),
        _3=_NO_STATUS,
    ),
    "SelfSubjectReview": _kind("SelfSubjectReview", _2=_NO_STATUS),
    "TokenRequest": _kind("TokenRequest", _2=("spec", _TOKEN_SPEC), _3=_NO_STATUS),
    "Eviction": _kind("Eviction", _2=("deleteOptions", _DELETE_OPTIONS)),
    "DeleteOptions": _DELETE_OPTIONS,
}


def decode(raw: bytes) -> dict[str, Any]:
    """Return the object in a protobuf body.

    Raises:
        ApiError: 400 when it is broken, 415 when it is of a kind or has a field that is not known here.
    """
    if not raw.startswith(_MAGIC):
        raise bad_request("the body of the request is not Kubernetes protobuf")
    envelope = dict(_fields(raw[len(_MAGIC) :]))
    type_meta = dict(_fields(_bytes(envelope.get(1, b""))))
    api_version, kind = _text(type_meta.get(1, b"")), _text(type_meta.get(2, b""))
    message = _KINDS.get(kind)
    if message is None:
        raise unsupported_media_type(f"protobuf {kind}", _SUPPORTED)
    return {"apiVersion": api_version, "kind": kind, **message(envelope.get(2, b""))}
