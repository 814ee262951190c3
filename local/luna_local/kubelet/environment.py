"""Environment, command and arguments of a container: pure functions, as Kubernetes defines them.

`$(NAME)` refers to a variable defined before; an unknown name stays as it is written; `$$` is a dollar sign.
Where a value comes from a Secret, a ConfigMap or a field of the Pod, the facts are passed in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from luna_local.kubelet.errors import ContainerConfigError
from luna_local.kubelet.pod import Container, EnvSource, KeyRef, NamedRef, Pod

_REFERENCE = re.compile(r"\$(?:\$|\(([^)]*)\))")
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")


@dataclass(frozen=True, slots=True)
class ObjectKey:
    """A Secret or ConfigMap of the Pod's namespace."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class PodFacts:
    """What only the kubelet knows of a Pod, for the downward API."""

    node_name: str
    pod_ip: str
    host_ip: str


@dataclass(frozen=True, slots=True)
class Sources:
    """Everything that values may be taken from.

    Attributes:
        objects: data of Secrets and ConfigMaps, decoded; None for one that does not exist.
    """

    pod: Pod
    facts: PodFacts
    objects: Mapping[ObjectKey, Mapping[str, bytes] | None] = field(default_factory=dict)


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace `$(NAME)` by its value; unknown names stay, `$$` becomes `$`."""

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        return "$" if name is None else variables.get(name, match.group(0))

    return _REFERENCE.sub(value, text)


def referenced_objects(container: Container) -> Iterator[ObjectKey]:
    """Yield the Secrets and ConfigMaps that a container's environment needs."""
    for source in container.env_from:
        if source.secret_ref:
            yield ObjectKey("Secret", source.secret_ref.name)
        if source.config_map_ref:
            yield ObjectKey("ConfigMap", source.config_map_ref.name)
    for variable in container.env:
        origin = variable.value_from
        if origin and origin.secret_key_ref:
            yield ObjectKey("Secret", origin.secret_key_ref.name)
        if origin and origin.config_map_key_ref:
            yield ObjectKey("ConfigMap", origin.config_map_key_ref.name)


def container_environment(container: Container, base: Mapping[str, str], sources: Sources) -> dict[str, str]:
    """Return the variables of a container: the base, then `envFrom`, then `env`, later ones winning.

    Raises:
        ContainerConfigError: if a value that is not optional does not exist.
    """
    variables = dict(base)
    for origin in container.env_from:
        for kind, ref in (("ConfigMap", origin.config_map_ref), ("Secret", origin.secret_ref)):
            if ref is not None:
                variables.update((origin.prefix + key, text) for key, text in _all_keys(kind, ref, sources))
    for variable in container.env:
        if variable.value_from is None:
            variables[variable.name] = expand(variable.value, variables)
        elif (text := _value_from(variable.value_from, sources)) is not None:
            variables[variable.name] = text
    return variables


def field_value(path: str, pod: Pod, facts: PodFacts) -> str:
    """Return a field of the Pod as the downward API gives it.

    Raises:
        ContainerConfigError: if the field cannot be referred to.
    """
    if match := _SUBSCRIPT.fullmatch(path):
        table = pod.metadata.labels if match.group(1) == "labels" else pod.metadata.annotations
        return table.get(match.group(2), "")
    values = {
        "metadata.name": pod.metadata.name,
        "metadata.namespace": pod.metadata.namespace,
        "metadata.uid": pod.metadata.uid,
        "metadata.labels": _as_lines(pod.metadata.labels),
        "metadata.annotations": _as_lines(pod.metadata.annotations),
        "spec.nodeName": facts.node_name,
        "spec.serviceAccountName": pod.spec.service_account_name,
        "status.podIP": facts.pod_ip,
        "status.podIPs": facts.pod_ip,
        "status.hostIP": facts.host_ip,
    }
    try:
        return values[path]
    except KeyError:
        raise ContainerConfigError(f"the field {path!r} of a Pod cannot be referred to") from None


def _as_lines(table: Mapping[str, str]) -> str:
    return "\n".join(f'{key}="{value}"' for key, value in sorted(table.items()))


def _value_from(origin: EnvSource, sources: Sources) -> str | None:
    if origin.field_ref:
        return field_value(origin.field_ref.field_path, sources.pod, sources.facts)
    if origin.secret_key_ref:
        return _one_key("Secret", origin.secret_key_ref, sources)
    if origin.config_map_key_ref:
        return _one_key("ConfigMap", origin.config_map_key_ref, sources)
    raise ContainerConfigError("this kind of valueFrom is not supported by the local kubelet")


def _one_key(kind: str, ref: KeyRef, sources: Sources) -> str | None:
    data = sources.objects.get(ObjectKey(kind, ref.name))
    if data is not None and ref.key in data:
        return data[ref.key].decode("utf-8", "surrogateescape")
    if ref.optional:
        return None
    if data is None:
        raise ContainerConfigError(f'{kind.lower()} "{ref.name}" not found')
    raise ContainerConfigError(f"couldn't find key {ref.key} in {kind} {sources.pod.metadata.namespace}/{ref.name}")


def _all_keys(kind: str, ref: NamedRef, sources: Sources) -> list[tuple[str, str]]:
    data = sources.objects.get(ObjectKey(kind, ref.name))
    if data is None:
        if ref.optional:
            return []
        raise ContainerConfigError(f'{kind.lower()} "{ref.name}" not found')
    return [(key, value.decode("utf-8", "surrogateescape")) for key, value in data.items()]
