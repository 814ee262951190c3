"""The chart as an administrator installs it, in a namespace that enforces `restricted`, two replicas of each part."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.charts import program
from support.clusters import Cluster
from support.repository import CHART

Json = dict[str, Any]

HELM_TIMEOUT_S = 150
NAME = "luna"
GPU = "nvidia.com/gpu"
PODS, SLOTS = 4, 32


@dataclass
class Release:
    """The release of the test run.

    Attributes:
        values: what Helm is given; `upgrade` changes them.
    """

    cluster: Cluster
    namespace: str
    folder: Path
    values: Json = field(default_factory=dict)
    chart: Path = CHART

    def make_namespace(self) -> None:
        """Make its namespace, in which pods must be `restricted`."""
        self.kubectl("create", "namespace", self.namespace)
        self.kubectl("label", "namespace", self.namespace, "pod-security.kubernetes.io/enforce=restricted")

    def install(self) -> None:
        """Install it and wait until all of it is ready."""
        self._with_values("install", "--wait", f"--timeout={HELM_TIMEOUT_S}s")

    def upgrade(self, changes: Json | None = None, chart: Path | None = None) -> None:
        """Upgrade it, with changed values or another chart."""
        self.values = merged(self.values, changes or {})
        self.chart = chart or self.chart
        self._with_values("upgrade", "--wait", f"--timeout={HELM_TIMEOUT_S}s")

    def test(self) -> str:
        """Run `helm test`; return what it said."""
        return self.helm("test", NAME, f"--timeout={HELM_TIMEOUT_S}s")

    def uninstall(self) -> None:
        """Take it away."""
        self.helm("uninstall", NAME, "--wait", f"--timeout={HELM_TIMEOUT_S}s")

    def kubectl(self, *arguments: str, stdin: Json | str | None = None, is_checked: bool = True) -> str:
        """Run kubectl in the release's namespace; return what it printed."""
        text = stdin if isinstance(stdin, str) or stdin is None else json.dumps(stdin)
        command = ["kubectl", f"--kubeconfig={self.cluster.kubeconfig}", f"--namespace={self.namespace}", *arguments]
        return _run(command, text, is_checked)

    def objects(self, kind: str, *arguments: str) -> list[Json]:
        """Return the objects of a kind."""
        found: list[Json] = json.loads(self.kubectl("get", kind, "-o", "json", *arguments))["items"]
        return found

    def helm(self, *arguments: str) -> str:
        """Run Helm for the release's namespace."""
        return _run(["helm", *arguments, f"--namespace={self.namespace}", f"--kubeconfig={self.cluster.kubeconfig}"])

    def _with_values(self, verb: str, *arguments: str) -> None:
        file = self.folder / "values.json"
        file.write_text(json.dumps(self.values))
        self.helm(verb, NAME, str(self.chart), f"--values={file}", *arguments)


def values_for(cluster: Cluster, platform_origin: str, database_secret: str) -> Json:
    """Return values of a highly available release whose pool has a GPU for each pod, where there are any."""
    operator_image, processor_image = _image(cluster.operator_image), _image(cluster.processor_image)
    # One node alone has slots for sixty streams: those of a pod or node that dies find room at once.
    pool: Json = {"slotsPerPod": SLOTS, "minReplicas": PODS, "maxReplicas": PODS}
    if has_gpus(cluster):
        pool["gpu"] = {"resourceName": GPU, "count": 1}
        # They are pretended ones: a worker that was told to use them would not start.
        on_cpu = {"name": "processor", "env": [{"name": "LUNA_PROCESSOR_DEVICE", "value": "cpu"}]}
        pool["podTemplate"] = {"spec": {"containers": [on_cpu]}}
    return {
        "platform": {"origin": platform_origin},
        "operator": {"replicas": 2, "image": operator_image},
        "shim": {"replicas": 2, "image": operator_image, "log": {"databaseSecret": database_secret}},
        "processor": {"image": processor_image, "pool": {"spec": pool}},
    }


def has_gpus(cluster: Cluster) -> bool:
    """Whether nodes offer GPUs."""
    text = _run(["kubectl", f"--kubeconfig={cluster.kubeconfig}", "get", "nodes", "-o", "json"])
    return any(int(node["status"]["allocatable"].get(GPU, 0)) for node in json.loads(text)["items"])


def merged(values: Json, changes: Json) -> Json:
    """Return values with some replaced, as `helm --values` merges files."""
    result = dict(values)
    for key, value in changes.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


def _image(reference: str) -> Json:
    repository, _, tag = reference.rpartition(":")
    return {"repository": repository, "tag": tag}


def _run(command: list[str], stdin: str | None = None, is_checked: bool = True) -> str:
    command = [str(program(command[0])), *command[1:]]
    outcome = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=170, check=False)
    assert outcome.returncode == 0 or not is_checked, f"{' '.join(command)}: {outcome.stdout}{outcome.stderr}"
    return outcome.stdout
