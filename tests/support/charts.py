"""The Helm chart, rendered by Helm, for tests; skipped where there is no Helm."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.apiservers import kubernetes_assets
from support.repository import CHART

RELEASE = "luna"


def program(name: str) -> Path:
    """Return a program of the cluster kit or of the machine; skips when there is none."""
    assets = kubernetes_assets()
    if assets is not None and (assets / name).exists():
        return assets / name
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name}: put it on the PATH, or set KUBEBUILDER_ASSETS to a folder that has it")
    return Path(found)


def render(values: dict[str, Any], folder: Path, namespace: str = "luna") -> list[dict[str, Any]]:
    """Return the objects that the chart makes of values, its CRDs not included."""
    answer = helm_template(values, folder, namespace)
    assert answer.returncode == 0, answer.stderr
    return [document for document in yaml.safe_load_all(answer.stdout) if document]


def helm_template(values: dict[str, Any], folder: Path, namespace: str = "luna") -> subprocess.CompletedProcess[str]:
    """Render the chart; it may refuse the values."""
    file = folder / "values.json"
    file.write_text(json.dumps(values))
    command = [str(program("helm")), "template", RELEASE, str(CHART), "--namespace", namespace, f"--values={file}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
