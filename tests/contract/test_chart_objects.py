"""What the chart makes is accepted: by kubeconform with closed schemas, by a real API server, by Pod Security."""

from __future__ import annotations

import copy
import json
import subprocess
from pathlib import Path

import pytest

from support.apiservers import ApiServer, unique
from support.charts import CASES, VALUES, Json, pod_specs, program, render
from support.object_schemas import PATTERN, foreign_crds, write_schemas
from support.repository import ROOT

pytestmark = pytest.mark.apiserver


def kubectl(server: ApiServer, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [str(program("kubectl")), f"--kubeconfig={server.kubeconfig}", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=120, check=False)


# --- kubeconform ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def schemas(real_api: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("schemas")
    write_schemas(real_api, folder)
    return folder


def kubeconform(schemas: Path, objects: list[Json]) -> tuple[int, list[Json]]:
    """Return how many objects were valid, and what is wrong with the others."""
    command = [
        str(program("kubeconform")),
        "-strict",
        "-schema-location",
        f"{schemas}/{PATTERN}",
        "-output",
        "json",
        "-summary",
    ]
    documents = "\n---\n".join(json.dumps(item) for item in objects)
    answer = subprocess.run(command, input=documents, capture_output=True, text=True, timeout=120, check=False)
    told = json.loads(answer.stdout)
    assert answer.returncode == (1 if told["resources"] else 0), answer.stderr
    assert told["summary"]["skipped"] == 0
    return told["summary"]["valid"], told["resources"]


@pytest.mark.parametrize("values", VALUES)
def test_kubeconform_knows_every_field(values: Json, schemas: Path) -> None:
    objects = render(values)
    assert kubeconform(schemas, objects) == (len(objects), [])


def test_kubeconform_would_refuse_a_misspelt_field_of_any_kind(schemas: Path) -> None:
    broken = []
    for item in render(CASES["everything on"]):
        if "spec" in item and item["kind"] != "ConfigMap":
            wrong = copy.deepcopy(item)
            wrong["spec"]["nobodyKnowsThis"] = 1
            broken.append(wrong)
    assert {"Deployment", "NetworkPolicy", "StreamProcessor", "ServiceMonitor", "HTTPRoute"} <= {
        item["kind"] for item in broken
    }
    valid, complaints = kubeconform(schemas, broken)
    assert (valid, len(complaints)) == (0, len(broken))


# --- a real API server ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def namespace(real_api: ApiServer) -> str:
    """A namespace that enforces `restricted`, and a server that knows all kinds."""
    name = unique("restricted")
    known = kubectl(real_api, "apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    assert known.returncode == 0, known.stderr
    foreign = json.dumps({"apiVersion": "v1", "kind": "List", "items": foreign_crds()})
    known = kubectl(real_api, "apply", "--server-side", "--force-conflicts", "-f", "-", stdin=foreign)
    assert known.returncode == 0, known.stderr
    kubectl(real_api, "wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    kubectl(real_api, "create", "namespace", name)
    levels = [f"pod-security.kubernetes.io/{mode}=restricted" for mode in ("enforce", "warn")]
    assert kubectl(real_api, "label", "namespace", name, *levels).returncode == 0
    return name


@pytest.mark.parametrize("values", VALUES)
def test_a_real_api_server_accepts_every_object(values: Json, namespace: str, real_api: ApiServer) -> None:
    objects = json.dumps({"apiVersion": "v1", "kind": "List", "items": render(values, namespace)})
    arguments = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "-n", namespace, "-f", "-"]
    answer = kubectl(real_api, *arguments, stdin=objects)
    assert answer.returncode == 0, answer.stderr
    assert "Warning" not in answer.stderr, "what Pod Security says of a Deployment's pods is a warning"


@pytest.mark.parametrize("values", VALUES)
def test_pod_security_restricted_admits_every_pod_and_no_looser_one(
    values: Json, namespace: str, real_api: ApiServer
) -> None:
    def admit(**changes: object) -> str:
        pods = [
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec | changes}
            for name, spec in specs.items()
        ]
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": pods})
        return kubectl(real_api, "create", "-n", namespace, "--dry-run=server", "-f", "-", stdin=text).stderr

    specs = dict(pod_specs(render(values, namespace)))
    assert specs
    for spec in specs.values():
        # A dry run of the chart has made no ServiceAccount, and this server has no PriorityClass but its own.
        spec.pop("serviceAccountName", None)
        spec.pop("priorityClassName", None)
    assert admit() == ""
    refused = [line for line in admit(hostNetwork=True).splitlines() if "violates PodSecurity" in line]
    assert len(refused) == len(specs)
