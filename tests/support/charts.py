"""The Helm chart, rendered by Helm, for tests; skipped where there is no Helm."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.apiservers import kubernetes_assets
from support.repository import CHART

Json = dict[str, Any]

RELEASE = "luna"
PREFIX = f"{RELEASE}-luna-streams"
"""What the names of the chart's objects begin with."""

_COMPONENT = {
    "extraEnv": [{"name": "FROM_A_SECRET", "valueFrom": {"secretKeyRef": {"name": "secrets", "key": "token"}}}],
    "podAnnotations": {"note": "pod"},
    "podLabels": {"team": "video"},
    "priorityClassName": "system-cluster-critical",
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"operator": "Exists"}],
    "affinity": {"podAntiAffinity": {}},
    "topologySpreadConstraints": [
        {"topologyKey": "rack", "maxSkew": 2, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}}
    ],
    "volumes": [{"name": "certificates", "secret": {"secretName": "certificates"}}],
    "volumeMounts": [{"name": "certificates", "mountPath": "/certificates", "readOnly": True}],
    "podDisruptionBudget": {"maxUnavailable": "50%"},
}
DIGEST = f"sha256:{'0' * 64}"
EVERYTHING: Json = {
    "global": {"imageRegistry": "registry.example.com/mirror", "imagePullSecrets": [{"name": "shared"}]},
    "allNamespaces": True,
    "commonLabels": {"cost-centre": "cameras"},
    "imagePullSecrets": [{"name": "registry"}, {"name": "shared"}],
    "platform": {"origin": "http://luna-api:5000"},
    "operator": {
        "replicas": 3,
        "image": {"digest": DIGEST},
        "env": {"LUNA_OPERATOR_LOG_LEVEL": "debug"},
        "serviceAccountAnnotations": {"note": "operator"},
        **_COMPONENT,
    },
    "shim": {
        "replicas": 2,
        "image": {"tag": "1.2.3", "digest": DIGEST},
        "env": {"LUNA_SHIM_OBSOLETING_PERIOD": 30},
        "service": {
            "type": "LoadBalancer",
            "annotations": {"note": "shim"},
            "nodePort": 31000,
            "loadBalancerClass": "example.com/lb",
            "loadBalancerSourceRanges": ["10.0.0.0/8"],
        },
        "ingress": {
            "enabled": True,
            "className": "nginx",
            "annotations": {"note": "ingress"},
            "hosts": [
                {"host": "streams.example.com"},
                {"host": "luna.example.com", "paths": [{"path": "/2", "pathType": "Exact"}]},
            ],
            "tls": [{"hosts": ["streams.example.com"], "secretName": "certificate"}],
        },
        "httpRoute": {
            "enabled": True,
            "annotations": {"note": "route"},
            "parentRefs": [{"name": "gateway", "namespace": "gateways", "sectionName": "https"}],
            "hostnames": ["streams.example.com"],
            "filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": ["x-secret"]}}],
        },
        "log": {"databaseSecret": "log-database", "databaseSecretKey": "uri"},
        "serviceAccountAnnotations": {"note": "shim"},
        **_COMPONENT,
    },
    "processor": {
        "image": {"pullPolicy": "Always"},
        "pool": {
            "name": "gpu",
            "annotations": {"note": "pool"},
            "spec": {"gpu": {"resourceName": "nvidia.com/gpu"}, "slotsPerPod": 40},
        },
    },
    "networkPolicy": {
        "apiServer": {"cidrs": ["10.96.0.1/32"], "ports": [443]},
        "metricsFrom": [{"namespaceSelector": {"matchLabels": {"team": "monitoring"}}}],
        "shim": {
            "from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}],
            "databaseTo": [{"podSelector": {"matchLabels": {"app": "postgresql"}}}],
            "extraEgress": [{"ports": [{"port": 8086}]}],
        },
        "processor": {
            "egress": [{"cidr": "192.168.0.0/16"}],
            "extraEgress": [{"ports": [{"port": 5000}]}],
            "extraIngress": [{"ports": [{"port": 34569}]}],
        },
    },
    "metrics": {
        "monitors": {"enabled": True, "labels": {"release": "prometheus"}, "interval": "15s", "scrapeTimeout": "10s"},
        "rules": {
            "enabled": True,
            "labels": {"release": "prometheus"},
            "alertLabels": {"team": "video"},
            "disabled": ["LunaStreamsPluginDown"],
        },
        "dashboards": {"enabled": True, "annotations": {"grafana_folder": "LUNA"}},
    },
}
WITH_CLAIM: Json = {"shim": {"log": {"volumeClaim": "log"}}}
MINIMAL: Json = {
    "crds": {"upgrade": False},
    "operator": {"replicas": 1, "podDisruptionBudget": {"enabled": False}, "serviceAccountName": "theirs"},
    "shim": {"podDisruptionBudget": {"enabled": False}, "serviceAccountName": "theirs"},
    "processor": {"pool": {"create": False}, "serviceAccountName": "theirs"},
    "rbac": {"create": False, "aggregate": False, "guard": False},
    "networkPolicy": {"enabled": False},
}
CASES = {
    "as shipped": {},
    "everything on": EVERYTHING,
    "all namespaces": {"allNamespaces": True},
    "log in a volume": WITH_CLAIM,
    "minimal": MINIMAL,
}
VALUES = [pytest.param(values, id=name) for name, values in CASES.items()]


def program(name: str) -> Path:
    """Return a program of the cluster kit or of the machine; skips when there is none."""
    assets = kubernetes_assets()
    if assets is not None and (assets / name).exists():
        return assets / name
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name}: put it on the PATH, or set KUBEBUILDER_ASSETS to a folder that has it")
    return Path(found)


def render(values: Json, namespace: str = "luna", release: str = RELEASE) -> list[Json]:
    """Return the objects that the chart makes of values, hooks included, its CRDs not."""
    objects: list[Json] = json.loads(_objects(json.dumps(values), namespace, release))
    return objects


def helm_template(values: Json, namespace: str = "luna", release: str = RELEASE) -> subprocess.CompletedProcess[str]:
    """Render the chart; it may refuse the values."""
    return _helm_template(json.dumps(values), namespace, release)


@cache
def _objects(values: str, namespace: str, release: str) -> str:
    """Return them as JSON, which costs little to read again."""
    answer = _helm_template(values, namespace, release)
    assert answer.returncode == 0, answer.stderr
    return json.dumps([document for document in yaml.safe_load_all(answer.stdout) if document])


@cache
def _helm_template(values: str, namespace: str, release: str) -> subprocess.CompletedProcess[str]:
    command = [str(program("helm")), "template", release, str(CHART), "--namespace", namespace, "--values=-"]
    return subprocess.run(command, input=values, capture_output=True, text=True, timeout=120, check=False)


def one(objects: list[Json], kind: str, suffix: str = "") -> Json:
    """Return the one object of a kind whose name ends like that."""
    (found,) = [item for item in objects if item["kind"] == kind and item["metadata"]["name"].endswith(suffix)]
    return found


def pod_specs(objects: list[Json]) -> Iterator[tuple[str, Json]]:
    """Yield the spec of every pod that the objects are or make, with the object's name."""
    for item in objects:
        if item["kind"] in ("Deployment", "Job"):
            yield item["metadata"]["name"], item["spec"]["template"]["spec"]
        elif item["kind"] == "Pod":
            yield item["metadata"]["name"], item["spec"]
