"""Builders of Pods, for tests of the kubelet."""

from __future__ import annotations

from typing import Any

from luna_local.kubelet.pod import Container, Pod

Json = dict[str, Any]


def a_container(*command: str, name: str = "main", **fields: Any) -> Json:
    """Return a container that runs a command."""
    return {"name": name, "image": "none", "command": list(command), **fields}


def a_pod(*containers: Json, name: str = "pod", **spec: Any) -> Json:
    """Return the manifest of a Pod; without containers it gets one that does nothing."""
    defaults = {"terminationGracePeriodSeconds": 5, "automountServiceAccountToken": False}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {**defaults, "containers": list(containers) or [a_container("true")], **spec},
    }


def a_shell_pod(script: str, name: str = "pod", **spec: Any) -> Json:
    """Return the manifest of a Pod with one container that runs a shell script."""
    return a_pod(a_container("sh", "-c", script), name=name, **spec)


def parsed(manifest: Json, **metadata: Any) -> Pod:
    """Return a Pod as the kubelet sees it, as if the API server had made it."""
    return Pod.model_validate({**manifest, "metadata": {"uid": "u-1", **manifest["metadata"], **metadata}})


def parsed_container(*command: str, **fields: Any) -> Container:
    """Return a container as the kubelet sees it."""
    return Container.model_validate(a_container(*command, **fields))
