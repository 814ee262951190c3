"""The Helm chart: what it makes of values, and that it is in step with the code it starts."""

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
from luna_api_shim.storage.vault import MANAGER as SHIM_MANAGER
from luna_kube.manifests import crd_manifests
from luna_operator.manifests import MANAGER as OPERATOR_MANAGER
from luna_operator.manifests import PORT as PROCESSOR_PORT
from luna_operator.manifests import pod_labels
from luna_operator.settings import Settings as OperatorSettings
from support.chart_page import explained
from support.charts import (
    DIGEST,
    EVERYTHING,
    PREFIX,
    VALUES,
    WITH_CLAIM,
    Json,
    helm_template,
    one,
    pod_specs,
    program,
    render,
)
from support.repository import CHART

SETTINGS = [("operator", "LUNA_OPERATOR_", OperatorSettings), ("shim", "LUNA_SHIM_", ShimSettings)]


def schema() -> Json:
    loaded: Json = json.loads((CHART / "values.schema.json").read_text())
    return loaded


def test_helm_finds_nothing_to_complain_about() -> None:
    command = [str(program("helm")), "lint", "--strict", str(CHART)]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert answer.returncode == 0, answer.stdout


# --- values -----------------------------------------------------------------------------------------------------------


def test_every_value_is_explained_and_known_to_the_schema() -> None:
    text = (CHART / "values.yaml").read_text()
    jsonschema.validate(yaml.safe_load(text), schema())
    jsonschema.validate(EVERYTHING, schema())
    assert set(explained(text)) == leaves(schema())


def leaves(node: Json, path: str = "") -> set[str]:
    """Return the paths of a schema's properties that have no named properties of their own; images have."""
    if node.get("$ref") == "#/$defs/image":
        node = schema()["$defs"]["image"]
    if "properties" not in node:
        return {path}
    return set().union(
        *(leaves(child, f"{path}.{name}" if path else name) for name, child in node["properties"].items())
    )


def test_the_schema_knows_every_object_whole() -> None:
    """Nothing that values.yaml spells out may be misspelt; only `global` is shared with other charts."""
    open_ = [
        path for path, node in objects(schema()) if "properties" in node and node.get("additionalProperties", True)
    ]
    assert sorted(open_) == ["$defs.named.items", "global"]


def objects(node: Any, path: str = "") -> list[tuple[str, Json]]:
    """Return the schemas of objects within a schema, by where they stand."""
    if not isinstance(node, dict):
        return []
    below = [
        found
        for name, child in node.items()
        if name not in ("enum", "required", "pattern")
        for found in objects(child, path if name == "properties" else f"{path}.{name}" if path else name)
    ]
    return [(path, node), *below] if node.get("type") == "object" else below


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        pytest.param({"shim": {"replica": 2}}, "additional properties 'replica' not allowed", id="a misspelt name"),
        pytest.param(
            {"operator": {"env": {"LUNA_SHIM_PORT": "1"}}}, "LUNA_SHIM_PORT", id="a variable of the other part"
        ),
        pytest.param({"platform": {"origin": "luna:5000"}}, "at '/platform/origin'", id="no URL"),
        pytest.param({"shim": {"image": {"digest": "latest"}}}, "at '/shim/image/digest'", id="no digest"),
        pytest.param({"shim": {"replicas": "two"}}, "got string, want integer", id="no number"),
        pytest.param(
            {"networkPolicy": {"shim": {"from": [{}]}}},
            "at '/networkPolicy/shim/from/0'",
            id="a peer that is everybody",
        ),
        pytest.param(
            {"shim": {"replicas": 2, "log": {"volumeClaim": "log"}}},
            "shim.log.volumeClaim keeps the file of one replica: with several, set shim.log.databaseSecret",
            id="a file for two",
        ),
        pytest.param(
            {"shim": {"log": {"volumeClaim": "log", "databaseSecret": "db"}}},
            "shim.log.volumeClaim and shim.log.databaseSecret exclude each other",
            id="a file and a database",
        ),
        pytest.param(
            {"shim": {"ingress": {"enabled": True}}}, "shim.ingress.enabled needs shim.ingress.hosts", id="no host"
        ),
        pytest.param(
            {"shim": {"httpRoute": {"enabled": True}}},
            "shim.httpRoute.enabled needs shim.httpRoute.parentRefs",
            id="no gateway",
        ),
        pytest.param(
            {"shim": {"env": {"LUNA_SHIM_PORT": 1}}}, "LUNA_SHIM_PORT is set by the chart", id="a port of his own"
        ),
        pytest.param(
            {"shim": {"log": {"databaseSecret": "db"}, "extraEnv": [{"name": "LUNA_SHIM_DATABASE_URL", "value": "x"}]}},
            "LUNA_SHIM_DATABASE_URL is set by the chart",
            id="two databases",
        ),
        pytest.param(
            {"processor": {"pool": {"spec": {"slotPerPod": 8}}}},
            "at '/processor/pool/spec': additional properties 'slotPerPod' not allowed",
            id="a misspelt field of the pool",
        ),
        pytest.param(
            {"commonLabels": {"app.kubernetes.io/name": "x"}},
            "at '/commonLabels/app.kubernetes.io~1name'",
            id="a label that selectors need",
        ),
        pytest.param({"fullnameOverride": "A_b"}, "at '/fullnameOverride'", id="no name of an object"),
        pytest.param({"fullnameOverride": "9-lives"}, "at '/fullnameOverride'", id="no name of a Service"),
        pytest.param({"nameOverride": "x" * 64}, "at '/nameOverride'", id="no label"),
        pytest.param(
            {"metrics": {"rules": {"disabled": ["LunaStreamsPlugInDown"]}}},
            "metrics.rules.disabled: there is no alert LunaStreamsPlugInDown",
            id="an alert that is none",
        ),
        pytest.param(
            {"networkPolicy": {"apiServer": {"ports": []}}}, "at '/networkPolicy/apiServer/ports'", id="every port"
        ),
        pytest.param(
            {"networkPolicy": {"apiServer": {"ports": None}}}, "would allow all of them", id="every port, by null"
        ),
        pytest.param({"networkPolicy": {"dns": {"ports": None}}}, "would allow all of them", id="every port of names"),
        pytest.param(
            {"shim": {"podDisruptionBudget": {"maxUnavailable": "0%"}}}, "maxUnavailable", id="nodes never drained"
        ),
        pytest.param(
            {"shim": {"env": {"LUNA_SHIM_X": 1}, "extraEnv": [{"name": "LUNA_SHIM_X", "value": "2"}]}},
            "LUNA_SHIM_X is set twice: in shim.env and in shim.extraEnv",
            id="a variable set twice",
        ),
        pytest.param(
            {"shim": {"shutdownDelaySeconds": 30}},
            "shim.shutdownDelaySeconds must be less than",
            id="no time left to end",
        ),
    ],
)
def test_values_that_cannot_be_meant_end_with_a_sentence(values: Json, complaint: str) -> None:
    answer = helm_template(values)
    assert answer.returncode != 0
    assert complaint in answer.stderr


def test_values_of_an_older_chart_that_were_kept_are_told_apart() -> None:
    """--reuse-values puts the old chart's values in the place of this one's, so those that are new are missing."""
    old = {name: None for name in ("global", "networkPolicy", "metrics", "rbac", "crds", "commonLabels")}
    answer = helm_template(old)
    assert answer.returncode != 0
    assert "use --reset-then-reuse-values" in answer.stderr


@pytest.mark.parametrize("part", ["global", "platform", "shim", "metrics"])
def test_a_part_of_the_values_that_is_null_is_no_puzzle(part: str) -> None:
    answer = helm_template({part: None})
    assert answer.returncode != 0
    assert "values of this version are missing" in answer.stderr


# --- in step with the code --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("component", "prefix", "settings"), SETTINGS)
def test_the_chart_sets_only_variables_that_the_component_knows(
    component: str, prefix: str, settings: type[BaseModel]
) -> None:
    template = (CHART / "templates" / f"{component}-deployment.yaml").read_text()
    variables = set(re.findall(rf"\b{prefix}\w+", template))
    assert variables
    assert variables <= {prefix + name.upper() for name in settings.model_fields}


@pytest.mark.parametrize(("component", "prefix"), [("operator", "LUNA_OPERATOR_"), ("shim", "LUNA_SHIM_")])
def test_no_variable_of_a_component_is_set_twice(component: str, prefix: str) -> None:
    """Server-side apply refuses two of one name, so what the chart sets is no business of `env` and `extraEnv`."""
    values: Json = EVERYTHING[component]
    (container,) = one(render(EVERYTHING), "Deployment", component)["spec"]["template"]["spec"]["containers"]
    own = {item["name"] for item in container["env"] if item["name"].startswith(prefix)} - set(values["env"])
    assert own
    for name in own:
        again = {**EVERYTHING, component: {**values, "extraEnv": [{"name": name, "value": "x"}]}}
        assert f"{name} is set by the chart" in helm_template(again).stderr


def test_the_values_know_the_fields_of_a_pool() -> None:
    definition = yaml.safe_load((CHART / "crds" / "streamprocessor.yaml").read_text())["spec"]["versions"][0]
    fields = definition["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    (pattern,) = schema()["properties"]["processor"]["properties"]["pool"]["properties"]["spec"]["patternProperties"]
    assert set(pattern.removeprefix("^(").removesuffix(")$").split("|")) == set(fields)


def test_processor_pods_are_known_by_the_labels_and_the_port_the_operator_gives_them() -> None:
    made = render(EVERYTHING)
    selectors = [
        one(made, "PodMonitor")["spec"]["selector"]["matchLabels"],
        one(made, "NetworkPolicy", "-processor")["spec"]["podSelector"]["matchLabels"],
    ]
    for selector in selectors:
        assert selector.items() <= pod_labels("any").items()
    (ingress, _) = one(made, "NetworkPolicy", "-processor")["spec"]["ingress"]
    assert [rule["port"] for rule in ingress["ports"]] == [PROCESSOR_PORT]


@pytest.mark.parametrize(("component", "manager"), [("shim", SHIM_MANAGER), ("operator", OPERATOR_MANAGER)])
def test_the_admission_policies_know_the_label_that_the_code_sets(component: str, manager: str) -> None:
    rules = one(render({}), "ValidatingAdmissionPolicy", component)["spec"]["validations"]
    assert all(f"== '{manager}'" in rule["expression"] for rule in rules)


def test_the_job_may_change_the_definitions_of_the_chart_and_no_others() -> None:
    (rule,) = one(render({}), "ClusterRole", "-crds")["rules"]
    names = {yaml.safe_load(path.read_text())["metadata"]["name"] for path in crd_manifests()}
    assert set(rule["resourceNames"]) == names
    assert rule["verbs"] == ["get", "patch"]


# --- objects ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("values", VALUES)
def test_a_name_is_given_once(values: Json) -> None:
    names = [(item["kind"], item["metadata"]["name"]) for item in render(values)]
    assert len(names) == len(set(names))


def test_releases_of_one_name_in_two_namespaces_share_nothing() -> None:
    def clusterwide(namespace: str) -> set[tuple[str, str]]:
        values = {**EVERYTHING, "shim": {**EVERYTHING["shim"], "service": {"type": "ClusterIP"}}}
        return {
            (item["kind"], item["metadata"]["name"])
            for item in render(values, namespace)
            if item["kind"].startswith(("Cluster", "ValidatingAdmission"))
        }

    assert clusterwide("one")
    assert clusterwide("one") & clusterwide("two") == set()


@pytest.mark.parametrize("name", ["my.release", "a" * 53, f"{'a' * 49}.b", "luna-streams", "x--y"])
def test_a_name_that_helm_allows_becomes_one_that_services_may_have(name: str) -> None:
    for item in render({"allNamespaces": True}, "n" * 63, release=name):
        made = item["metadata"]["name"]
        longest = 63 if item["kind"] in ("Service", "Deployment", "Job", "Pod") else 253
        assert re.fullmatch(rf"[a-z0-9][a-z0-9.-]{{0,{longest - 2}}}[a-z0-9]", made)
        assert item["kind"] != "Service" or re.fullmatch(r"[a-z][a-z0-9-]*", made)


def test_a_label_that_is_given_twice_is_written_once() -> None:
    metrics = {kind: {"enabled": True, "labels": {"team": "own"}} for kind in ("monitors", "rules", "dashboards")}
    values = {
        "commonLabels": {"team": "common"},
        "metrics": metrics,
        "operator": {"podLabels": {"team": "own"}},
        "shim": {"podLabels": {"team": "own"}},
    }
    answer = helm_template(values).stdout
    made = [document for document in yaml.load_all(answer, OnceOnly) if document]
    for item in made:
        is_special = item["kind"] in ("ServiceMonitor", "PodMonitor", "PrometheusRule", "ConfigMap")
        assert item["metadata"]["labels"]["team"] == ("own" if is_special else "common")
        if item["kind"] == "Deployment":
            assert item["spec"]["template"]["metadata"]["labels"]["team"] == "own"


class OnceOnly(yaml.SafeLoader):
    """Reads YAML in which no key may stand twice, as the API server wants it."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuse a key that is there already."""
        keys = [key.value for key, _ in node.value]
        assert len(keys) == len(set(keys)), keys
        return super().construct_mapping(node, deep)


def test_a_release_whose_name_begins_with_a_digit_is_told_what_to_do() -> None:
    answer = helm_template({}, release="9lives")
    assert answer.returncode != 0
    assert "must begin with a letter, and 9lives-luna-streams-shim does not: set fullnameOverride" in answer.stderr


@pytest.mark.parametrize("word", ["123", "on", "null", "1e3"])
def test_names_that_yaml_takes_for_something_else_stay_names(word: str) -> None:
    values = {
        "fullnameOverride": "luna",
        "nameOverride": word,
        "imagePullSecrets": [{"name": word}],
        "operator": {"serviceAccountName": word, "priorityClassName": word},
        "shim": {
            "serviceAccountName": word,
            "service": {"type": "LoadBalancer", "loadBalancerClass": word},
            "log": {"databaseSecret": word, "databaseSecretKey": word},
            "ingress": {"enabled": True, "className": word, "hosts": [{"host": word}]},
        },
        "processor": {"serviceAccountName": word, "pool": {"name": word}},
    }
    for item in render(values, word, release=word):
        texts = {"name", "namespace", "serviceAccountName", "priorityClassName", "value", "host", "key"}
        texts |= {"ingressClassName", "loadBalancerClass", "app.kubernetes.io/name", "app.kubernetes.io/instance"}
        assert [found for found in said(item, texts) if not isinstance(found, str | dict)] == []


def said(node: Any, fields: set[str]) -> list[Any]:
    """Return what stands in fields of these names, at any depth."""
    if isinstance(node, list):
        return [found for child in node for found in said(child, fields)]
    if not isinstance(node, dict):
        return []
    here = [child for name, child in node.items() if name in fields]
    return here + [found for child in node.values() for found in said(child, fields)]


@pytest.mark.parametrize("values", VALUES)
def test_every_object_is_labelled_as_one_of_the_release(values: Json) -> None:
    for item in render(values):
        labels = item["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == "luna"
        assert values.get("commonLabels", {}).items() <= labels.items()


@pytest.mark.parametrize("values", VALUES)
def test_what_exists_only_for_a_while_is_taken_away_whatever_becomes_of_it(values: Json) -> None:
    for item in render(values):
        annotations = item["metadata"].get("annotations", {})
        if "helm.sh/hook" in annotations:
            policy = set(annotations["helm.sh/hook-delete-policy"].split(","))
            assert policy == {"before-hook-creation", "hook-succeeded", "hook-failed"}


def test_without_a_pool_none_is_made() -> None:
    kinds = {item["kind"] for item in render({"processor": {"pool": {"create": False}}})}
    assert "Deployment" in kinds
    assert "StreamProcessor" not in kinds


def test_the_least_of_it_needs_no_right_to_make_anything_clusterwide() -> None:
    kinds = {item["kind"] for item in render(dict(VALUES[-1].values[0]))}  # type: ignore[call-overload]  # pytest's own type says object
    assert kinds == {"Deployment", "Service", "Pod"}


@pytest.mark.parametrize("values", VALUES)
def test_every_container_is_restricted_and_has_probes_where_it_lasts(values: Json) -> None:
    for name, spec in pod_specs(render(values)):
        (container,) = spec["containers"]
        assert spec["securityContext"]["runAsNonRoot"], name
        assert container["securityContext"]["readOnlyRootFilesystem"], name
        assert container["resources"]["requests"], name
        assert "memory" in container["resources"]["limits"], name
        if spec.get("restartPolicy") != "Never":
            assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys(), name


def test_a_cluster_that_chooses_users_may() -> None:
    fixed = {"runAsUser": None, "runAsGroup": None, "fsGroup": None}
    for name, spec in pod_specs(render({"podSecurityContext": fixed})):
        assert spec["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}, name


def test_images_follow_registry_tag_and_digest() -> None:
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    mirror = "registry.example.com/mirror/luna-streams"
    images = {name: spec["containers"][0]["image"] for name, spec in pod_specs(render(EVERYTHING))}
    assert images == {
        f"{PREFIX}-operator": f"{mirror}-operator:{version}@{DIGEST}",
        f"{PREFIX}-crds": f"{mirror}-operator:{version}@{DIGEST}",
        f"{PREFIX}-shim": f"{mirror}-operator:1.2.3@{DIGEST}",
        f"{PREFIX}-check": f"{mirror}-operator:1.2.3@{DIGEST}",
    }
    assert variables_of(EVERYTHING, "operator")["LUNA_OPERATOR_PROCESSOR_IMAGE"] == f"{mirror}-processor:{version}"


def test_pull_secrets_reach_every_pod_once() -> None:
    for _, spec in pod_specs(render(EVERYTHING)):
        assert spec["imagePullSecrets"] == [{"name": "shared"}, {"name": "registry"}]
    variables = variables_of(EVERYTHING, "operator")
    assert variables["LUNA_OPERATOR_PROCESSOR_PULL_SECRETS"] == "shared,registry"
    assert variables["LUNA_OPERATOR_PROCESSOR_PULL_POLICY"] == "Always"


def variables_of(values: Json, component: str) -> dict[str, str]:
    """Return the variables of a component that have a plain value."""
    (container,) = one(render(values), "Deployment", component)["spec"]["template"]["spec"]["containers"]
    return {item["name"]: item["value"] for item in container["env"] if "value" in item}


def test_processors_of_the_release_have_an_account_without_rights() -> None:
    made = render({})
    name = f"{PREFIX}-processor"
    assert variables_of({}, "operator")["LUNA_OPERATOR_PROCESSOR_SERVICE_ACCOUNT"] == name
    assert one(made, "ServiceAccount", name)["automountServiceAccountToken"] is False
    subjects = [
        subject["name"] for item in made if item["kind"].endswith("Binding") for subject in item.get("subjects", [])
    ]
    assert name not in subjects


def test_pools_of_other_namespaces_take_the_account_that_every_namespace_has() -> None:
    variables = variables_of({"allNamespaces": True}, "operator")
    assert variables["LUNA_OPERATOR_PROCESSOR_SERVICE_ACCOUNT"] == "default"


# --- the log ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("values", VALUES)
def test_the_log_has_a_folder_that_can_be_written(values: Json) -> None:
    pod = one(render(values), "Deployment", "shim")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    folder = next(item["value"] for item in container["env"] if item["name"] == "LUNA_SHIM_DATA_FOLDER")
    name = next(item["name"] for item in container["volumeMounts"] if item["mountPath"] == folder)
    (volume,) = [item for item in pod["volumes"] if item["name"] == name]
    assert {"emptyDir", "persistentVolumeClaim"} & volume.keys()


def test_a_claim_is_never_used_by_two_pods() -> None:
    assert one(render(WITH_CLAIM), "Deployment", "shim")["spec"]["strategy"]["type"] == "Recreate"


def test_the_url_of_the_database_stays_in_its_secret() -> None:
    pod = one(render(EVERYTHING), "Deployment", "shim")["spec"]["template"]["spec"]
    (variable,) = [item for item in pod["containers"][0]["env"] if item["name"] == "LUNA_SHIM_DATABASE_URL"]
    assert variable["valueFrom"] == {"secretKeyRef": {"name": "log-database", "key": "uri"}}


def test_a_database_that_is_named_by_a_variable_is_one_too(tmp_path: Path) -> None:
    url = {"name": "LUNA_SHIM_DATABASE_URL", "valueFrom": {"secretKeyRef": {"name": "db", "key": "dsn"}}}
    values: Json = {"shim": {"replicas": 2, "extraEnv": [url]}}
    egress = one(render(values), "NetworkPolicy", "-shim")["spec"]["egress"]
    assert {"ports": [{"protocol": "TCP", "port": 5432}]} in egress
    assert "log of" not in notes(values, tmp_path)


# --- network ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("values", VALUES[:-1])
def test_every_pod_of_the_release_is_denied_what_is_not_named(values: Json) -> None:
    made = render(values)
    policies = [item["spec"] for item in made if item["kind"] == "NetworkPolicy"]
    assert all(policy["policyTypes"] == ["Ingress", "Egress"] for policy in policies)
    labels = [item["spec"]["template"]["metadata"]["labels"] for item in made if item["kind"] in ("Deployment", "Job")]
    labels += [item["metadata"]["labels"] for item in made if item["kind"] == "Pod"]
    for pod in [*labels, pod_labels("any")]:
        chosen = [policy for policy in policies if policy["podSelector"]["matchLabels"].items() <= pod.items()]
        assert len(chosen) == 1, pod


def test_nobody_reads_metrics_unless_somebody_is_to() -> None:
    def sources(values: Json) -> list[Json]:
        spec = one(render(values), "NetworkPolicy", "-operator")["spec"]
        found: list[Json] = spec["ingress"][0]["from"]
        return [peer for peer in found if "namespaceSelector" in peer]

    assert sources({}) == []
    assert sources({"metrics": {"monitors": {"enabled": True}}}) == [{"namespaceSelector": {}}]
    assert sources(EVERYTHING) == EVERYTHING["networkPolicy"]["metricsFrom"]


def test_the_policy_of_processors_can_be_copied_to_the_namespaces_of_their_pools() -> None:
    spec = one(render({"allNamespaces": True}, "system"), "NetworkPolicy", "-processor")["spec"]
    peers = [*spec["ingress"][0]["from"], *(peer for rule in spec["egress"] for peer in rule["to"])]
    shims = [peer for peer in peers if "podSelector" in peer]
    assert len(shims) == 2
    for peer in shims:
        assert peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "shim"
        assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "system"}


def test_processors_may_not_ask_the_cloud_who_their_node_is() -> None:
    egress = one(render({}), "NetworkPolicy", "-processor")["spec"]["egress"]
    blocks = [peer["ipBlock"] for rule in egress for peer in rule["to"] if "ipBlock" in peer]
    (everywhere,) = [block for block in blocks if block["cidr"] == "0.0.0.0/0"]
    assert everywhere["except"] == ["169.254.0.0/16", "168.63.129.16/32", "100.100.100.200/32"]


# --- what is said afterwards ------------------------------------------------------------------------------------------


def notes(values: Json, folder: Path) -> str:
    """Return what Helm would say after an install."""
    file = folder / "values.json"
    file.write_text(json.dumps(values))
    command = [str(program("helm")), "install", "luna", str(CHART), "--namespace=luna", f"--values={file}"]
    # A kubeconfig that does not exist: nothing is to be asked of any cluster.
    command += ["--dry-run=client", f"--kubeconfig={folder / 'none'}"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.partition("NOTES:\n")[2]


@pytest.mark.parametrize("values", VALUES)
def test_notes_say_where_the_api_is_and_how_to_try_it(values: Json, tmp_path: Path) -> None:
    text = notes(values, tmp_path)
    assert f"http://{PREFIX}-shim.luna.svc:5160" in text
    assert "helm -n luna test luna" in text
    assert text.isascii()


@pytest.mark.parametrize(
    ("values", "warning"),
    [
        pytest.param({}, "No LUNA PLATFORM is set", id="no platform"),
        pytest.param({}, "The log of streams goes with the shim's pod", id="no place for the log"),
        pytest.param(
            {"shim": {"replicas": 2}},
            "Each of the 2 replicas of the shim keeps a log of its own",
            id="two logs",
        ),
        pytest.param(
            {"shim": {"service": {"type": "NodePort"}}}, "asks nobody who they are, and is published", id="open"
        ),
        pytest.param({"allNamespaces": True}, "NetworkPolicies protect this namespace only", id="other namespaces"),
        pytest.param({"processor": {"pool": {"create": False}}}, "No StreamProcessor was made", id="no pool"),
    ],
)
def test_notes_warn_of_what_will_surprise(values: Json, warning: str, tmp_path: Path) -> None:
    assert warning in notes(values, tmp_path)
    assert warning not in notes(EVERYTHING | {"allNamespaces": False}, tmp_path)
