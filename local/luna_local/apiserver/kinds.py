"""What the server knows about particular built-in kinds: defaults at creation, rules beyond the schema.

Only what clients of this project rely on or would otherwise get away with here and fail with on a real cluster.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from luna_local.apiserver import crds
from luna_local.apiserver.documents import Document, dig, items, section
from luna_local.apiserver.errors import FieldProblem
from luna_local.apiserver.resources import DEFINITIONS, NAMESPACES, PODS, Resource, ResourceKey

# Namespaces that always exist.
SYSTEM_NAMESPACES = ("default", "kube-system", "kube-public")


@dataclass(frozen=True)
class KindRules:
    """Hooks of one kind; each may change its first argument in place."""

    on_create: Callable[[Document], None] = lambda document: None
    on_update: Callable[[Document, Document], None] = lambda document, old: None
    problems: Callable[[Document, Document | None], Iterator[FieldProblem]] = lambda document, old: iter(())


_NO_RULES = KindRules()


def rules_for(resource: Resource) -> KindRules:
    """Return the rules of a resource's kind; of custom ones, none."""
    return _RULES.get(resource.key, _NO_RULES) if resource.is_builtin else _NO_RULES


# --- pods ---------------------------------------------------------------------------------------------------------

_POD_DEFAULTS: Document = {
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "schedulerName": "default-scheduler",
    "serviceAccountName": "default",
    "securityContext": {},
    "enableServiceLinks": True,
}
# What may change in the spec of a Pod that exists.
_MUTABLE_IN_POD = ("activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds", "nodeName")


def _create_pod(pod: Document) -> None:
    _default_pod_spec(pod.setdefault("spec", {}))
    pod["status"] = {"phase": "Pending", "qosClass": _quality_of_service(pod["spec"])}


def _default_pod_spec(spec: Document) -> None:
    for name, value in _POD_DEFAULTS.items():
        spec.setdefault(name, dict(value) if isinstance(value, dict) else value)
    spec.setdefault("serviceAccount", spec["serviceAccountName"])
    for container in [*items(spec, "containers"), *items(spec, "initContainers")]:
        _default_container(container)
    for volume in items(spec, "volumes"):
        for kind in ("configMap", "secret", "projected", "downwardAPI"):
            if isinstance(volume, dict) and isinstance(volume.get(kind), dict):
                volume[kind].setdefault("defaultMode", 0o644)


def _default_container(container: Document) -> None:
    container.setdefault("resources", {})
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    image = str(container.get("image") or "")
    is_latest = image.endswith(":latest") or ":" not in image.rpartition("/")[2]
    container.setdefault("imagePullPolicy", "Always" if is_latest else "IfNotPresent")
    for port in items(container, "ports"):
        port.setdefault("protocol", "TCP")
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if isinstance(container.get(probe), dict):
            _default_probe(container[probe])
    for variable in items(container, "env"):
        reference = dig(variable, ("valueFrom", "fieldRef"))
        if isinstance(reference, dict):
            reference.setdefault("apiVersion", "v1")


def _default_probe(probe: Document) -> None:
    defaults = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
    for name, value in defaults.items():
        probe.setdefault(name, value)
    if isinstance(probe.get("httpGet"), dict):
        probe["httpGet"].setdefault("scheme", "HTTP")
        probe["httpGet"].setdefault("path", "/")


def _quality_of_service(spec: Document) -> str:
    resources = [section(each, "resources") for each in items(spec, "containers")]
    limits = [section(each, "limits") for each in resources]
    requests = [section(each, "requests") for each in resources]
    if not any([*limits, *requests]):
        return "BestEffort"
    guaranteed = all(
        {"cpu", "memory"} <= limit.keys() and all(request.get(name, limit[name]) == limit[name] for name in limit)
        for limit, request in zip(limits, requests, strict=True)
    )
    return "Guaranteed" if guaranteed else "Burstable"


def _pod_problems(pod: Document, old: Document | None) -> Iterator[FieldProblem]:
    spec = section(pod, "spec")
    yield from _pod_spec_problems(spec, "spec")
    if old is not None and _fixed_part(spec) != _fixed_part(section(old, "spec")):
        text = (
            "Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
            "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations`,"
            "`spec.terminationGracePeriodSeconds`"
        )
        yield FieldProblem("spec", text, "FieldValueForbidden")
    if old is not None and dig(old, ("spec", "nodeName")) not in (None, spec.get("nodeName")):
        yield FieldProblem("spec.nodeName", "Forbidden: a Pod stays on its node", "FieldValueForbidden")


def _pod_spec_problems(spec: Document, path: str) -> Iterator[FieldProblem]:
    containers = items(spec, "containers")
    if not containers:
        yield FieldProblem(f"{path}.containers", "Required value", "FieldValueRequired")
    names = set()
    for index, container in enumerate(containers):
        place = f"{path}.containers[{index}]"
        name = container.get("name") or ""
        if name in names:
            yield FieldProblem(f"{place}.name", f'Duplicate value: "{name}"', "FieldValueDuplicate")
        names.add(name)
        for required in ("name", "image"):
            if not container.get(required):
                yield FieldProblem(f"{place}.{required}", "Required value", "FieldValueRequired")
    volumes = {each.get("name") for each in items(spec, "volumes") if isinstance(each, dict)}
    for index, container in enumerate(containers):
        for at, mount in enumerate(items(container, "volumeMounts")):
            if mount.get("name") not in volumes:
                where = f"{path}.containers[{index}].volumeMounts[{at}].name"
                yield FieldProblem(where, f'Not found: "{mount.get("name")}"', "FieldValueNotFound")


def _fixed_part(spec: Document) -> Document:
    fixed = {name: value for name, value in spec.items() if name not in _MUTABLE_IN_POD}
    for kind in ("containers", "initContainers"):
        if kind in fixed:
            fixed[kind] = [{**each, "image": ""} for each in fixed[kind] if isinstance(each, dict)]
    return fixed


# --- workloads ----------------------------------------------------------------------------------------------------


def _create_replicated(document: Document) -> None:
    document.setdefault("status", {})
    spec = section(document, "spec")
    spec.setdefault("replicas", 1)
    if isinstance(dig(spec, ("template", "spec")), dict):
        _default_pod_spec(spec["template"]["spec"])


def _create_job(job: Document) -> None:
    job.setdefault("status", {})
    spec = section(job, "spec")
    spec.setdefault("backoffLimit", 6)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)


def _workload_problems(document: Document, old: Document | None) -> Iterator[FieldProblem]:
    spec = section(document, "spec")
    labels = section(spec, "selector", "matchLabels")
    template = section(spec, "template")
    yield from _pod_spec_problems(section(template, "spec"), "spec.template.spec")
    if not section(spec, "selector"):
        yield FieldProblem("spec.selector", "Required value", "FieldValueRequired")
    elif not labels.items() <= section(template, "metadata", "labels").items():
        text = "Invalid value: `selector` does not match template `labels`"
        yield FieldProblem("spec.template.metadata.labels", text)
    if old is not None and section(old, "spec", "selector") != section(spec, "selector"):
        yield FieldProblem("spec.selector", "Invalid value: field is immutable")


def _job_problems(job: Document, old: Document | None) -> Iterator[FieldProblem]:
    template = section(job, "spec", "template")
    yield from _pod_spec_problems(section(template, "spec"), "spec.template.spec")
    if old is not None and section(old, "spec", "template") != template:
        yield FieldProblem("spec.template", "Invalid value: field is immutable")


# --- configuration ------------------------------------------------------------------------------------------------


def _encode_string_data(secret: Document) -> None:
    plain = secret.pop("stringData", None)
    if isinstance(plain, dict):
        data = secret.setdefault("data", {})
        for name, value in plain.items():
            data[name] = base64.b64encode(str(value).encode()).decode()


def _create_secret(secret: Document) -> None:
    secret.setdefault("type", "Opaque")
    _encode_string_data(secret)


def _update_secret(secret: Document, old: Document) -> None:
    secret.setdefault("type", old.get("type", "Opaque"))
    _encode_string_data(secret)


def _configuration_problems(document: Document, old: Document | None) -> Iterator[FieldProblem]:
    for name in [*section(document, "data"), *section(document, "binaryData")]:
        if not name or not all(char.isalnum() or char in "-_." for char in name):
            yield FieldProblem(f"data[{name}]", "Invalid value: a valid config key consists of letters, digits, '-_.'")
    if old is None:
        return
    if old.get("immutable") and any(old.get(part) != document.get(part) for part in ("data", "binaryData")):
        yield FieldProblem("data", "Forbidden: field is immutable when `immutable` is set", "FieldValueForbidden")
    if old.get("type") != document.get("type"):
        yield FieldProblem("type", "Invalid value: field is immutable")


# --- namespaces and definitions -----------------------------------------------------------------------------------


def _create_namespace(namespace: Document) -> None:
    namespace["spec"] = {"finalizers": ["kubernetes"]}
    namespace["status"] = {"phase": "Active"}
    labels = namespace["metadata"].setdefault("labels", {})
    labels["kubernetes.io/metadata.name"] = namespace["metadata"]["name"]


def _update_namespace(namespace: Document, old: Document) -> None:
    namespace["spec"] = old["spec"]
    labels = namespace["metadata"].setdefault("labels", {})
    labels["kubernetes.io/metadata.name"] = namespace["metadata"]["name"]


def _create_definition(definition: Document) -> None:
    crds.set_defaults(definition)
    finalizers = definition["metadata"].setdefault("finalizers", [])
    if crds.CLEANUP_FINALIZER not in finalizers:
        finalizers.append(crds.CLEANUP_FINALIZER)


def _definition_problems(definition: Document, old: Document | None) -> Iterator[FieldProblem]:
    yield from crds.definition_problems(definition)
    for path in (("spec", "group"), ("spec", "scope"), ("spec", "names", "plural"), ("spec", "names", "kind")):
        if old is not None and dig(old, path) != dig(definition, path):
            yield FieldProblem(".".join(path), "Invalid value: field is immutable")


_WORKLOAD = KindRules(on_create=_create_replicated, problems=_workload_problems)
_SECRET = KindRules(on_create=_create_secret, on_update=_update_secret, problems=_configuration_problems)
_RULES: dict[ResourceKey, KindRules] = {
    PODS: KindRules(on_create=_create_pod, problems=_pod_problems),
    NAMESPACES: KindRules(on_create=_create_namespace, on_update=_update_namespace),
    DEFINITIONS: KindRules(
        on_create=_create_definition,
        on_update=lambda definition, old: crds.set_defaults(definition),
        problems=_definition_problems,
    ),
    ("", "secrets"): _SECRET,
    ("", "configmaps"): KindRules(problems=_configuration_problems),
    ("apps", "deployments"): _WORKLOAD,
    ("apps", "replicasets"): _WORKLOAD,
    ("apps", "statefulsets"): _WORKLOAD,
    ("apps", "daemonsets"): KindRules(problems=_workload_problems),
    ("batch", "jobs"): KindRules(on_create=_create_job, problems=_job_problems),
}
