"""Bring a disposable cluster up, build the images into it, run tests/e2e there, and take it down again.

    python tests/e2e/run.py kit  [--keep] [pytest's arguments]     the cluster kit
    python tests/e2e/run.py kind [--keep] [pytest's arguments]     kind and Docker

The kit is ../shared/cluster/cluster or $LUNA_CLUSTER_KIT; a cluster of it that is up already is used and left up.
The exit status is pytest's; 2 if something else fails, 3 if no cluster comes up on this machine.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
OPERATOR_IMAGE, PROCESSOR_IMAGE = "localhost/luna-operator:e2e", "localhost/luna-processor:e2e"
IMAGES = {OPERATOR_IMAGE: "Dockerfile.operator", PROCESSOR_IMAGE: "Dockerfile.processor"}
KIND_NAME = "luna-e2e"
NODES, GPUS = 2, 4


def main() -> int:
    """Run the command line; the exit status is pytest's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["kit", "kind"])
    parser.add_argument("--keep", action="store_true", help="leave the cluster up")
    arguments, for_pytest = parser.parse_known_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the cluster is taken down then, too
    bring_up = kit if arguments.kind == "kit" else kind
    try:
        with bring_up(arguments.keep) as (enter, environment):
            command = [*enter, sys.executable, "-m", "pytest", "tests/e2e", "-p", "no:cacheprovider", *for_pytest]
            return subprocess.run(command, cwd=ROOT, env=os.environ | environment, check=False).returncode
    except NoCluster as e:
        print(f"e2e: {e}", file=sys.stderr)
        return 3
    except Unusable as e:
        print(f"e2e: {e}", file=sys.stderr)
    except subprocess.CalledProcessError as e:
        print(f"e2e: `{' '.join(map(str, e.cmd))}` failed with status {e.returncode}", file=sys.stderr)
    except subprocess.TimeoutExpired as e:
        print(f"e2e: `{' '.join(map(str, e.cmd))}` did not end within {e.timeout:g} s", file=sys.stderr)
    return 2


class Unusable(Exception):
    """Something is missing here; the text says what to do."""


class NoCluster(Exception):
    """This machine cannot carry a cluster; the text says what was tried."""


@contextmanager
def kit(keep: bool) -> Iterator[tuple[list[str], dict[str, str]]]:
    """Use the cluster kit: nodes are namespaces of this machine, so pytest only enters the network of the cluster."""
    program = Path(os.environ.get("LUNA_CLUSTER_KIT", ROOT.parent / "shared" / "cluster" / "cluster"))
    if not program.exists():
        raise Unusable(f"no cluster kit at {program}: set LUNA_CLUSTER_KIT, or use `make e2e-kind` where Docker is")
    if os.geteuid() != 0:
        raise Unusable("the cluster kit needs root: run `sudo make e2e`")
    state = Path(os.environ.get("CLUSTER_STATE", "/var/lib/luna-cluster"))
    was_up = _answers([program, "kubectl", "get", "--raw", "/readyz"])
    try:
        if not was_up:
            _run(program, "wipe")
        try:
            _run(program, "up", str(NODES))
        except subprocess.CalledProcessError as e:
            raise NoCluster(
                f"`cluster up {NODES}` failed with status {e.returncode}: no cluster on this machine"
            ) from e
        for image, file in IMAGES.items():
            _run(program, "build", image, ROOT, "-f", ROOT / file, "--layers")
        for node in range(1, NODES + 1):
            if _gpus(program, node) != GPUS:
                _run(program, "gpus", str(node), str(GPUS))
        holder = (state / "run" / "ns-cp.pid").read_text().strip()
        yield (
            ["nsenter", f"--net=/proc/{holder}/ns/net"],
            {
                "KUBECONFIG": str(state / "kubeconfig" / "admin"),
                "KUBEBUILDER_ASSETS": str(state / "bin"),
                "LUNA_E2E_HOST": "10.99.0.1",
                "LUNA_E2E_FAULTS": f"kit:{program}",
            },
        )
    finally:
        if not (was_up or keep):
            subprocess.run([program, "wipe"], check=False, timeout=120)


@contextmanager
def kind(keep: bool) -> Iterator[tuple[list[str], dict[str, str]]]:
    """Use kind: nodes are containers, which reach this machine by the gateway of their network."""
    for program in ("kind", "docker", "helm", "kubectl"):
        if shutil.which(program) is None:
            raise Unusable(f"no {program} on the PATH: kind's tests need kind, docker, helm and kubectl")
    if not _answers(["docker", "info"]):
        raise Unusable("Docker does not answer: start it, or use `make e2e` with the cluster kit")
    folder = ROOT / "build" / "e2e"
    folder.mkdir(parents=True, exist_ok=True)
    config, kubeconfig = folder / "kind.json", folder / "kubeconfig"
    roles = ["control-plane", *["worker"] * NODES]
    nodes = [{"role": role} for role in roles]
    config.write_text(json.dumps({"kind": "Cluster", "apiVersion": "kind.x-k8s.io/v1alpha4", "nodes": nodes}))
    try:
        for image, file in IMAGES.items():
            _run("docker", "build", "-t", image, "-f", ROOT / file, ROOT)
        create: list[str | Path] = [
            "kind",
            "create",
            "cluster",
            "--name",
            KIND_NAME,
            "--config",
            config,
            "--kubeconfig",
            kubeconfig,
        ]
        _run(*create, "--wait", "120s")
        _run("kind", "load", "docker-image", *IMAGES, "--name", KIND_NAME)
        gateway = subprocess.run(
            ["docker", "network", "inspect", "kind", "-f", "{{range .IPAM.Config}}{{println .Gateway}}{{end}}"],
            check=True, capture_output=True, text=True,
        ).stdout.split()  # fmt: skip
        host = next(address for address in gateway if ":" not in address)
        yield [], {"KUBECONFIG": str(kubeconfig), "LUNA_E2E_HOST": host, "LUNA_E2E_FAULTS": f"kind:{KIND_NAME}"}
    finally:
        if not keep:
            subprocess.run(["kind", "delete", "cluster", "--name", KIND_NAME], check=False, timeout=300)


def _gpus(program: Path, node: int) -> int:
    path = r"jsonpath={.status.allocatable.nvidia\.com/gpu}"
    answer = subprocess.run(
        [program, "kubectl", "get", "node", f"node{node}", "-o", path], capture_output=True, text=True, check=False
    )
    return int(answer.stdout or 0)


def _answers(command: list[str | Path]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def _run(*command: str | Path) -> None:
    print("+", *command, flush=True)
    subprocess.run(command, check=True, timeout=1200)


if __name__ == "__main__":
    sys.exit(main())
