"""The Helm chart: rendered by Helm, accepted by a real API server, and in step with the code it starts."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import BaseModel

from luna_api_shim.settings import Settings as ShimSettings
from luna_operator.settings import Settings as OperatorSettings
from support.apiservers import ApiServer, unique
from support.charts import helm_template, program, render
from support.repository import CHART, ROOT

EVERYTHING = {
    "allNamespaces": True,
    "imagePullSecrets": [{"name": "registry"}],
    "platform": {"origin": "http://luna-api:5000"},
    "operator": {
        "replicas": 2,
        "env": {"LUNA_OPERATOR_LOG_LEVEL": "debug"},
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"operator": "Exists"}],
        "serviceAccountAnnotations": {"note": "operator"},
    },
    "shim": {
        "replicas": 2,
        "env": {"LUNA_SHIM_OBSOLETING_PERIOD": 30},
        "affinity": {"podAntiAffinity": {}},
        "service": {"type": "LoadBalancer", "annotations": {"note": "shim"}},
        "log": {"databaseSecret": "log-database"},
        "serviceAccountAnnotations": {"note": "shim"},
    },
    "processor": {"pool": {"name": "gpu", "spec": {"gpu": {"resourceName": "nvidia.com/gpu"}, "slotsPerPod": 40}}},
}
WITH_CLAIM = {"shim": {"log": {"volumeClaim": "log"}}}
VALUES = [
    pytest.param({}, id="as shipped"),
    pytest.param(EVERYTHING, id="everything on"),
    pytest.param(WITH_CLAIM, id="log in a volume"),
]
POOLLESS = {"processor": {"pool": {"create": False}}}


def kubectl(server: ApiServer, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [str(program("kubectl")), f"--kubeconfig={server.kubeconfig}", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=False)


def test_helm_finds_nothing_to_complain_about() -> None:
    answer = subprocess.run(
        [program("helm"), "lint", "--strict", CHART], capture_output=True, text=True, timeout=60, check=False
    )
    assert answer.returncode == 0, answer.stdout


@pytest.mark.parametrize(
    ("component", "prefix", "settings"),
    [("operator", "LUNA_OPERATOR_", OperatorSettings), ("shim", "LUNA_SHIM_", ShimSettings)],
)
def test_the_chart_sets_only_variables_that_the_component_knows(
    component: str, prefix: str, settings: type[BaseModel]
) -> None:
    template = (CHART / "templates" / f"{component}-deployment.yaml").read_text()
    variables = set(re.findall(rf"\b{prefix}\w+", template))
    assert variables
    assert variables <= {prefix + name.upper() for name in settings.model_fields}


@pytest.mark.parametrize("values", VALUES)
def test_a_name_is_given_once(values: dict[str, Any], tmp_path: Path) -> None:
    objects = [(item["kind"], item["metadata"]["name"]) for item in render(values, tmp_path)]
    assert len(objects) == len(set(objects))


def test_without_a_pool_none_is_made(tmp_path: Path) -> None:
    kinds = {item["kind"] for item in render(POOLLESS, tmp_path)}
    assert "Deployment" in kinds
    assert "StreamProcessor" not in kinds


@pytest.mark.parametrize("values", VALUES)
def test_the_log_has_a_folder_that_can_be_written(values: dict[str, Any], tmp_path: Path) -> None:
    pod = shim_deployment(values, tmp_path)["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    folder = next(item["value"] for item in container["env"] if item["name"] == "LUNA_SHIM_DATA_FOLDER")
    (name,) = {mount["name"] for mount in container["volumeMounts"] if mount["mountPath"] == folder}
    assert {"emptyDir", "persistentVolumeClaim"} & {
        key for item in pod["volumes"] if item["name"] == name for key in item
    }


def test_a_claim_is_never_used_by_two_pods(tmp_path: Path) -> None:
    assert shim_deployment(WITH_CLAIM, tmp_path)["spec"]["strategy"] == {"type": "Recreate"}
    two = helm_template({"shim": {"replicas": 2, "log": {"volumeClaim": "log"}}}, tmp_path)
    assert two.returncode != 0
    assert "set shim.log.databaseSecret" in two.stderr


def test_the_url_of_the_database_stays_in_its_secret(tmp_path: Path) -> None:
    (container,) = shim_deployment(EVERYTHING, tmp_path)["spec"]["template"]["spec"]["containers"]
    (variable,) = [item for item in container["env"] if item["name"] == "LUNA_SHIM_DATABASE_URL"]
    assert variable["valueFrom"] == {"secretKeyRef": {"name": "log-database", "key": "url"}}


def shim_deployment(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the Deployment of the shim."""
    objects = render(values, folder)
    return next(item for item in objects if item["kind"] == "Deployment" and item["metadata"]["name"].endswith("shim"))


def test_every_value_is_explained_and_known_to_the_schema() -> None:
    text = (CHART / "values.yaml").read_text()
    schema = json.loads((CHART / "values.schema.json").read_text())
    jsonschema.validate(yaml.safe_load(text), schema)
    jsonschema.validate(EVERYTHING, schema)
    assert explained(text) == leaves(schema, schema["$defs"]) - {"global"}


def explained(values: str) -> set[str]:
    """Return the paths of the values that have a comment of the form `# -- ...` above them."""
    paths, parents, is_explained = set(), list[str](), False
    for line in values.splitlines():
        if match := re.match(r"( *)(\w+):", line):
            parents[len(match[1]) // 2 :] = [match[2]]
            if is_explained:
                paths.add(".".join(parents))
        is_explained = line.lstrip().startswith("# -- ")
    return paths


def leaves(schema: dict[str, Any], definitions: dict[str, Any], path: str = "") -> set[str]:
    """Return the paths of a schema's properties that have no properties of their own."""
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    if "properties" not in schema:
        return {path}
    below = (
        leaves(child, definitions, f"{path}.{name}" if path else name) for name, child in schema["properties"].items()
    )
    return set().union(*below)


@pytest.mark.parametrize(
    "values", [{"shim": {"replica": 2}}, {"operator": {"env": {"LUNA_SHIM_PORT": "1"}}}, {"platform": {"origin": "x"}}]
)
def test_a_misspelt_value_is_refused(values: dict[str, Any]) -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(values, schema)


@pytest.mark.apiserver
@pytest.mark.parametrize("values", VALUES)
def test_a_real_api_server_accepts_every_object(values: dict[str, Any], tmp_path: Path, real_api: ApiServer) -> None:
    crds = kubectl(real_api, "apply", "--server-side", "-f", str(ROOT / "crds"))
    assert crds.returncode == 0, crds.stderr
    kubectl(real_api, "wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    kubectl(real_api, "create", "namespace", "luna")
    objects = json.dumps({"apiVersion": "v1", "kind": "List", "items": render(values, tmp_path)})
    answer = kubectl(real_api, "apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=objects)
    assert answer.returncode == 0, answer.stderr
    assert "Warning" not in answer.stderr


@pytest.mark.apiserver
@pytest.mark.parametrize("component", ["operator", "shim"])
def test_its_pods_satisfy_pod_security_restricted(component: str, tmp_path: Path, real_api: ApiServer) -> None:
    namespace = unique("restricted")
    kubectl(real_api, "create", "namespace", namespace)
    kubectl(real_api, "label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    deployment = next(
        item
        for item in render({}, tmp_path)
        if item["kind"] == "Deployment" and item["metadata"]["name"].endswith(component)
    )
    template = deployment["spec"]["template"]
    template["spec"].pop("serviceAccountName")  # a dry run has not made it

    def admit(spec: dict[str, Any]) -> subprocess.CompletedProcess[str]:
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": component}, "spec": spec}
        return kubectl(real_api, "create", "-n", namespace, "--dry-run=server", "-f", "-", stdin=json.dumps(pod))

    answer = admit(template["spec"])
    assert answer.returncode == 0, answer.stderr
    loose = admit({**template["spec"], "hostNetwork": True})
    assert "violates PodSecurity" in loose.stderr
