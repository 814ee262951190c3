"""The CRD manifests are found in a source tree and in an installed wheel, and are the same in both."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from luna_kube.manifests import CRD_FILES, crd_manifests
from support.repository import ROOT


def test_a_source_tree_has_them_beside_the_package() -> None:
    assert crd_manifests() == tuple(ROOT / "crds" / name for name in CRD_FILES)


def test_a_wheel_takes_them_into_the_package(tmp_path: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    for source, target in included.items():
        if source.startswith("crds/"):
            (tmp_path / target).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / target).write_bytes((ROOT / source).read_bytes())
    found = crd_manifests(tmp_path / "luna_streams")
    assert found == tuple(tmp_path / "luna_streams" / "manifests" / name for name in CRD_FILES)
    assert [path.read_bytes() for path in found] == [path.read_bytes() for path in crd_manifests()]


def test_every_manifest_of_the_repository_is_one_of_them() -> None:
    assert {path.name for path in (ROOT / "crds").glob("*.yaml")} == set(CRD_FILES)


def test_an_incomplete_installation_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="install luna-streams-operator again"):
        crd_manifests(tmp_path / "luna_streams")
