"""What the images are made by: the root that is copied, and the bill of materials."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component

from support.repository import ROOT


@pytest.fixture(scope="module")
def minimal_root() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "images" / "minimal_root.py"))


@pytest.fixture(scope="module")
def sbom() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "images" / "sbom.py"))


def test_a_link_is_copied_as_a_link_with_what_it_leads_to(minimal_root: dict[str, Any], tmp_path: Path) -> None:
    system, made = tmp_path / "system", tmp_path / "made"
    (system / "lib").mkdir(parents=True)
    (system / "lib" / "real.so.1").write_text("library")
    (system / "lib" / "real.so").symlink_to("real.so.1")
    (system / "merged").symlink_to("lib")
    minimal_root["Root"](made).add(system / "merged" / "real.so")
    copy = made / system.relative_to("/")
    assert (copy / "merged").readlink() == Path("lib")
    assert (copy / "lib" / "real.so").readlink() == Path("real.so.1")
    assert (copy / "merged" / "real.so").read_text() == "library"


def test_what_is_not_there_is_left_out(minimal_root: dict[str, Any], tmp_path: Path) -> None:
    minimal_root["Root"](tmp_path / "made").add(tmp_path / "missing")
    assert not (tmp_path / "made").exists()


def test_the_standard_library_comes_without_what_only_development_needs(minimal_root: dict[str, Any]) -> None:
    paths = [*minimal_root["standard_library"]()]
    assert "asyncio" in {path.parent.name for path in paths}
    folders = {folder for path in paths for folder in path.parts}
    assert folders & {"idlelib", "ensurepip", "site-packages", "dist-packages", "__pycache__"} == set()


def test_a_hash_is_found_whatever_way_a_package_writes_its_name(sbom: dict[str, Any]) -> None:
    archive = {"archive_info": {"hashes": {"sha256": "ab" * 32}}}
    report = {"install": [{"metadata": {"name": "Ruamel_yaml.clib"}, "download_info": archive}]}
    bill = Bom(components=[Component(name="ruamel.yaml-clib")])
    (component,) = sbom["complete"](bill, report, []).components
    assert [found.content for found in component.hashes] == ["ab" * 32]


def test_a_debian_package_has_its_version_and_architecture(sbom: dict[str, Any], tmp_path: Path) -> None:
    stanza = "Package: libc6\nVersion: 2.36-9+deb12u9\nArchitecture: amd64\nDescription: C library\n more: text\n"
    (tmp_path / "libc6").write_text(stanza)
    (component,) = sbom["debian_packages"](tmp_path)
    assert str(component.purl) == "pkg:deb/debian/libc6@2.36-9%2Bdeb12u9?arch=amd64"
    assert component.description == "C library"


def test_every_model_of_the_manifest_is_listed(sbom: dict[str, Any]) -> None:
    folder = ROOT / "processor_image" / "models"
    assert {model.name for model in sbom["models"](folder)} == {path.name for path in folder.glob("*.onnx")}
