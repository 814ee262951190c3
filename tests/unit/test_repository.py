"""Facts about the repository that a test can hold."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from luna_api_shim.app import ROUTES
from luna_api_shim.http.routing import Resource
from luna_streams import conditions
from luna_streams.rest.v2 import StreamToBeCreatedV2
from luna_streams.stream import StreamSpec
from support.repository import CHART, COMPONENT_FOLDERS, ROOT, files, generated, packages, pyproject, texts

MODELS = ROOT / "processor_image" / "models"
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
LOCKED_EXTRAS = {
    "local": {"local"},
    "test": {"test"},
    "dev": {"dev"},
    "operator": {"operator", "api-shim"},
    "processor": {"processor"},
    "processor-gpu": {"processor-gpu"},
}
DECISIONS = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
PAGES = [path for path in files() if path.suffix == ".md"]


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


# --- packages ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", [*COMPONENT_FOLDERS, "tests", "benchmarks"])
def test_no_top_level_folder_is_a_package(folder: str) -> None:
    # operator/__init__.py would be imported in place of the standard library's module.
    assert not (ROOT / folder / "__init__.py").exists()


def test_every_package_is_typed_distributed_and_under_the_import_contracts() -> None:
    settings = pyproject()["tool"]
    wheel = settings["hatch"]["build"]["targets"]["wheel"]
    for package in packages():
        assert (package / "py.typed").exists()
        assert relative(package) in wheel["only-include"]
        assert wheel["sources"][relative(package)] == package.name
        assert package.name in settings["importlinter"]["root_packages"]


def test_the_domain_stands_below_and_the_components_apart() -> None:
    layers = pyproject()["tool"]["importlinter"]["contracts"][0]["layers"]
    assert layers == ["luna_local", "luna_operator | luna_api_shim | luna_processor", "luna_kube", "luna_streams"]


def test_every_folder_with_code_is_type_checked() -> None:
    folders = {path.relative_to(ROOT).parts[0] for path in files() if path.suffix == ".py"}
    assert folders == set(pyproject()["tool"]["mypy"]["files"])


def test_no_module_has_a_name_that_says_nothing() -> None:
    empty = {"utils.py", "util.py", "helpers.py", "helper.py", "common.py", "misc.py", "base.py", "manager.py"}
    assert [relative(path) for path in files() if path.name in empty] == []


# --- locks ------------------------------------------------------------------------------------------------------------


def pins(lock: Path) -> dict[str, str]:
    """Return the version of each package in a lock."""
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^ ;]+)", lock.read_text(), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


def requirements(extras: set[str]) -> Iterator[Requirement]:
    """Yield what the project and some of its extras ask for, extras of extras included."""
    project: dict[str, Any] = pyproject()["project"]
    yield from map(Requirement, project["dependencies"])
    for extra in extras:
        for requirement in map(Requirement, project["optional-dependencies"][extra]):
            if requirement.name == project["name"]:
                yield from requirements(requirement.extras)
            else:
                yield requirement


@pytest.mark.parametrize("lock", LOCKS, ids=relative)
def test_a_lock_has_hashes_and_no_address(lock: Path) -> None:
    text = lock.read_text()
    blocks = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    assert blocks
    assert [block.splitlines()[0] for block in blocks if "--hash=sha256:" not in block] == []
    assert not re.search(r"://|--(?:extra-)?index|--find-links|--trusted-host", text)


@pytest.mark.parametrize(("name", "extras"), LOCKED_EXTRAS.items(), ids=LOCKED_EXTRAS)
def test_a_lock_holds_what_the_project_asks_for(name: str, extras: set[str]) -> None:
    locked = pins(ROOT / "requirements" / f"{name}.txt")
    missing = [
        str(requirement)
        for requirement in requirements(extras)
        if not requirement.specifier.contains(locked.get(canonicalize_name(requirement.name), "0"), prereleases=True)
    ]
    assert missing == [], "run `make lock`"


@pytest.mark.parametrize("name", ["local", "test", "operator", "processor"])
def test_all_locks_agree_with_the_one_the_tests_ran_with(name: str) -> None:
    developed = pins(ROOT / "requirements" / "dev.txt")
    assert pins(ROOT / "requirements" / f"{name}.txt").items() <= developed.items()


# --- files ------------------------------------------------------------------------------------------------------------


def test_no_file_names_a_folder_of_one_machine() -> None:
    machine = re.compile(r"(?<![\w.}~-])/(?:home|root|Users|work|farm)/\w")
    assert [relative(path) for path, text in texts() if machine.search(text)] == []


def test_scripts_can_be_run_and_parsed() -> None:
    for path, text in texts():
        if text.startswith("#!"):
            assert os.access(path, os.X_OK), f"{relative(path)} is not executable"
        if text.startswith(("#!/usr/bin/env bash", "#!/bin/sh", "#!/bin/bash")):
            subprocess.run(["bash", "-n", path], check=True)


def test_every_model_has_its_licence_and_stands_in_the_notice() -> None:
    notice = (ROOT / "NOTICE").read_text()
    models = yaml.safe_load((MODELS / "manifest.yaml").read_text())["models"]
    assert {path.name for path in MODELS.glob("*.onnx")} == {model["file"] for model in models}
    for model in models:
        assert hashlib.sha256((MODELS / model["file"]).read_bytes()).hexdigest() == model["sha256"]
        assert "Copyright" in (MODELS / model["licence_file"]).read_text()
        assert model["file"] in notice


@pytest.mark.parametrize("image", ["operator", "processor"])
def test_a_dockerfile_copies_only_what_is_there_and_not_ignored(image: str) -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / f"Dockerfile.{image}").read_text(), re.MULTILINE)
    sources = [source for copy in copies for source in copy.split()]
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source
        assert source.split("/")[0] in allowed, source


# --- documentation ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_links_inside_the_repository_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)[^)]*\)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_every_page_is_reached_from_the_readme() -> None:
    reached, fringe = set[Path](), {ROOT / "README.md"}
    while fringe:
        page = fringe.pop()
        reached.add(page)
        targets = re.findall(r"\]\((?!https?:|#)([^)#\s]+\.md)[^)]*\)", page.read_text())
        fringe |= {(page.parent / target).resolve() for target in targets} - reached
    assert {page for page in PAGES if page.is_relative_to(ROOT / "docs")} - reached == set()


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md"], ids=relative)
def test_a_make_command_that_is_named_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    commands = re.findall(r"(?:^|`)make((?: [a-z][a-z0-9-]*)+)", page.read_text(), re.MULTILINE)
    assert commands
    assert {word for command in commands for word in command.split()} <= targets


@pytest.mark.parametrize("decision", DECISIONS, ids=relative)
def test_a_decision_is_one_page_with_its_four_parts_and_in_the_index(decision: Path) -> None:
    text = decision.read_text()
    title = text.splitlines()[0]
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Alternatives", "Non-goals"]
    assert len(text) < 6000
    assert title.startswith(f"# {int(decision.name[:4])}. ")
    index = (decision.parent / "README.md").read_text()
    assert f"({decision.name}) | {title.split('. ', 1)[1]} |" in index


def test_the_examples_of_the_readme_are_accepted() -> None:
    request, manifest = re.findall(r"<<EOF\n(.*?)\nEOF", (ROOT / "README.md").read_text(), re.DOTALL)
    submission = StreamToBeCreatedV2.model_validate(json.loads(request)).to_submission("secret")
    spec = StreamSpec.from_resource(yaml.safe_load(manifest)["spec"])
    for reference in (submission.reference, spec.data.reference):
        assert (ROOT / reference.removeprefix("$PWD/")).is_file()


def test_every_reason_of_a_condition_is_explained() -> None:
    page = (ROOT / "docs" / "conditions.md").read_text()
    word = re.compile(r"[A-Z][A-Za-z]+")
    constants = {value for name, value in vars(conditions).items() if name.isupper() and isinstance(value, str)}
    explained = set(re.findall(rf"`({word.pattern})`", page))
    assert {value for value in constants if word.fullmatch(value)} - explained == set()


def test_the_page_on_rest_lists_what_is_served_and_nothing_else() -> None:
    served = {
        (method, route.template.replace("{api:api}", "{version}"))
        for route in ROUTES
        if isinstance(route, Resource)
        for method in (route.methods or set()) - {"HEAD"}
    }
    section = (ROOT / "docs" / "rest.md").read_text().split("## Not yet")[0]
    rows = re.findall(r"^\| ([A-Z, ]+) \| `([^`]+)` \|", section, re.MULTILINE)
    assert {(method, path) for methods, path in rows for method in methods.split(", ")} == served


# --- generated files --------------------------------------------------------------------------------------------------


def test_generated_files_are_up_to_date() -> None:
    stale = [relative(path) for path, text in generated().items() if not path.exists() or path.read_text() != text]
    assert stale == [], "run `make generate`"


def test_the_chart_has_the_version_of_the_project() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == pyproject()["project"]["version"]
