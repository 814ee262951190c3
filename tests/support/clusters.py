"""A disposable cluster for tests/e2e: where it is, how pods reach the test, how its nodes are made to fail.

``tests/e2e/run.py`` brings one up and says by variables where it is:

* ``KUBECONFIG``: how to reach it.
* ``LUNA_E2E_HOST``: the address under which pods reach this process.
* ``LUNA_E2E_FAULTS``: ``kit:<program>`` or ``kind:<name>``; unset, tests that break nodes are skipped.
* ``LUNA_E2E_OPERATOR_IMAGE``, ``LUNA_E2E_PROCESSOR_IMAGE``: images that its nodes have.

A cluster that somebody uses is never touched: one that is neither of the kit nor of kind must be named on purpose.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.waiting import eventually_blocking

KIT_CLUSTER = "luna"
KIT_HOST = "10.99.0.1"
OPERATOR_IMAGE = "localhost/luna-operator:e2e"
PROCESSOR_IMAGE = "localhost/luna-processor:e2e"
GPUS_PER_NODE = 4
CONSENT = "LUNA_E2E_ANY_CLUSTER"


@dataclass(frozen=True)
class Cluster:
    """A cluster that tests may break.

    Attributes:
        host: address under which pods reach this process.
        faults: what breaks nodes; None where nothing can.
    """

    kubeconfig: Path
    host: str
    operator_image: str
    processor_image: str
    faults: KitFaults | KindFaults | None


class KitFaults:
    """Nodes of the cluster kit; they are named node1, node2, …"""

    def __init__(self, program: str) -> None:
        self._program = program

    def cut(self, node: str) -> None:
        """Take a node off the network."""
        self._run("cut", _number(node))

    def heal(self, node: str) -> None:
        """Bring it back."""
        self._run("heal", _number(node))

    def kill(self, node: str) -> None:
        """Cut its power."""
        self._run("kill", _number(node))
        # Its end of the wire goes when the kernel has cleaned up behind it; until then it cannot be plugged in again.
        eventually_blocking(lambda: not self._has_wire(node), f"the wire of {node} is gone", timeout_s=60)

    def revive(self, node: str) -> None:
        """Give it power, and its GPUs, again."""
        self._run("up", _number(node))
        self._run("gpus", _number(node), str(GPUS_PER_NODE))

    def gpu_health(self, node: str, gpu: str, health: str) -> None:
        """Let a GPU be "good" or "bad"."""
        self._run("gpu-health", _number(node), gpu, health)

    def on_node(self, node: str, *command: str) -> str:
        """Return what a command on a node prints."""
        outcome = subprocess.run(
            [self._program, "node", _number(node), *command], capture_output=True, text=True, timeout=60, check=False
        )
        return outcome.stdout

    def kill_container(self, node: str, container_id: str) -> None:
        """Kill a container's process, as the kernel does when memory is short."""
        ctr = ("ctr", "-a", "/run/luna/containerd.sock", "-n", "k8s.io")
        self._run("node", _number(node), *ctr, "task", "kill", "-s", "SIGKILL", container_id.rpartition("/")[2])

    @contextmanager
    def api_server_frozen(self) -> Iterator[None]:
        """Let the API server say nothing for the length of the block."""
        pid = subprocess.run(
            [self._program, "exec", "pgrep", "-x", "kube-apiserver"], capture_output=True, text=True, check=True
        ).stdout.strip()
        self._run("exec", "kill", "-STOP", pid)
        try:
            yield
        finally:
            self._run("exec", "kill", "-CONT", pid)

    @property
    def audit_log(self) -> Path:
        """What the API server wrote down of every request."""
        return Path(os.environ.get("CLUSTER_STATE", "/var/lib/luna-cluster")) / "audit" / "audit.log"

    def _has_wire(self, node: str) -> bool:
        wire = ["ip", "link", "show", f"v{_number(node)}"]
        return subprocess.run([self._program, "exec", *wire], capture_output=True, check=False).returncode == 0

    def _run(self, *arguments: str) -> None:
        outcome = subprocess.run([self._program, *arguments], capture_output=True, text=True, timeout=170, check=False)
        assert outcome.returncode == 0, f"cluster {' '.join(arguments)}: {outcome.stderr}"


class KindFaults:
    """Nodes of kind, which are containers."""

    audit_log: Path | None = None

    def __init__(self, name: str) -> None:
        self._name = name

    def cut(self, node: str) -> None:
        """Take a node off the network."""
        _docker("network", "disconnect", "kind", node)

    def heal(self, node: str) -> None:
        """Bring it back."""
        _docker("network", "connect", "kind", node)

    def kill(self, node: str) -> None:
        """Cut its power."""
        _docker("kill", node)

    def revive(self, node: str) -> None:
        """Give it power again."""
        _docker("start", node)

    def on_node(self, node: str, *command: str) -> str:
        """Return what a command on a node prints."""
        outcome = subprocess.run(
            ["docker", "exec", node, *command], capture_output=True, text=True, timeout=60, check=False
        )
        return outcome.stdout

    def kill_container(self, node: str, container_id: str) -> None:
        """Kill a container's process, as the kernel does when memory is short."""
        container = container_id.rpartition("/")[2]
        _docker("exec", node, "ctr", "-n", "k8s.io", "task", "kill", "-s", "SIGKILL", container)

    @contextmanager
    def api_server_frozen(self) -> Iterator[None]:
        """Let the API server, and all that runs beside it, say nothing for the length of the block."""
        control_plane = f"{self._name}-control-plane"
        _docker("pause", control_plane)
        try:
            yield
        finally:
            _docker("unpause", control_plane)

    def gpu_health(self, node: str, gpu: str, health: str) -> None:
        """Skip: kind offers no GPUs, not even pretend ones."""
        pytest.skip(f"kind has no {gpu} on {node} to make {health}")


def the_cluster(environment: Mapping[str, str] = os.environ) -> Cluster:
    """Return the cluster that the environment names; skip where there is none."""
    path = environment.get("KUBECONFIG")
    if not path:
        pytest.skip("no cluster: `make e2e` or `make e2e-kind` brings one up (or set KUBECONFIG)")
    kubeconfig = Path(path)
    name, server = _names(yaml.safe_load(kubeconfig.read_text()))
    is_kit, is_kind = name == KIT_CLUSTER and KIT_HOST in server, name.startswith("kind-")
    if not (is_kit or is_kind or environment.get(CONSENT) == name):
        pytest.skip(f"cluster {name!r} is not known as disposable: set {CONSENT}={name} if tests may break it")
    host = environment.get("LUNA_E2E_HOST", KIT_HOST if is_kit else "")
    if not host:
        pytest.skip("set LUNA_E2E_HOST to the address under which pods reach this machine")
    return Cluster(
        kubeconfig=kubeconfig,
        host=host,
        operator_image=environment.get("LUNA_E2E_OPERATOR_IMAGE", OPERATOR_IMAGE),
        processor_image=environment.get("LUNA_E2E_PROCESSOR_IMAGE", PROCESSOR_IMAGE),
        faults=_faults(environment.get("LUNA_E2E_FAULTS", "")),
    )


@contextmanager
def cut_off(faults: KitFaults | KindFaults, node: str) -> Iterator[None]:
    """Keep a node off the network for the length of the block."""
    faults.cut(node)
    try:
        yield
    finally:
        faults.heal(node)


def _faults(text: str) -> KitFaults | KindFaults | None:
    kind, _, rest = text.partition(":")
    if kind == "kit":
        return KitFaults(rest)
    return KindFaults(rest) if kind == "kind" else None


def _names(config: dict[str, Any]) -> tuple[str, str]:
    """Return the names of the current cluster: of its context, which is what people see, and its address."""
    context = next(c["context"] for c in config["contexts"] if c["name"] == config["current-context"])
    server = next(c["cluster"]["server"] for c in config["clusters"] if c["name"] == context["cluster"])
    return context["cluster"], server


def _number(node: str) -> str:
    return node.removeprefix("node")


def _docker(*arguments: str) -> None:
    subprocess.run(["docker", *arguments], check=True, capture_output=True, timeout=60)
