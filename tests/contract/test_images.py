"""The Dockerfiles keep their promises: pinned, for any user, nothing but what is needed, labelled."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.container_images import SBOM, instructions, labels
from support.repository import ROOT

PARTS = ("operator", "processor")
OCI = {
    "title", "description", "documentation", "licenses", "version", "revision", "created", "source",
    "base.name", "base.digest",
}  # fmt: skip
SOURCES = {"crds", "operator", "api_shim", "local", "docs"}


def values(part: str, name: str, stage: str | None = None) -> list[str]:
    return [i.value for i in instructions(part) if i.name == name and stage in (None, i.stage)]


@pytest.mark.parametrize("part", PARTS)
def test_a_dockerfile_has_nothing_that_hadolint_objects_to(part: str) -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    found = subprocess.run([hadolint, "--no-color", ROOT / f"Dockerfile.{part}"], capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (0, "")


@pytest.mark.parametrize("part", PARTS)
def test_the_base_is_an_argument_with_a_version_and_the_image_itself_starts_from_nothing(part: str) -> None:
    bases = values(part, "FROM")
    assert bases == ["${PYTHON_IMAGE} AS dependencies", "dependencies AS application", "scratch"]
    assert re.fullmatch(r"PYTHON_IMAGE=docker\.io/library/python:3\.\d+-slim\S*", values(part, "ARG", "head")[0])


@pytest.mark.parametrize("part", PARTS)
def test_every_package_from_an_index_is_installed_by_its_hash(part: str) -> None:
    installs = [install for run in values(part, "RUN") for install in re.findall(r"pip(?: \S+)*? install [^&]+", run)]
    assert len(installs) == 3
    assert all("--require-hashes" in i or "--no-index" in i for i in installs), installs


@pytest.mark.parametrize("part", PARTS)
def test_what_is_copied_is_named_and_nothing_comes_from_an_address(part: str) -> None:
    assert values(part, "ADD") == []
    copied = {source for value in values(part, "COPY", "application") for source in value.split()[:-1]}
    ours = {source for source in copied if not (ROOT / source).is_file()}
    assert ours == SOURCES | {"processor_image" if part == "processor" else "processor_image/luna_processor"}
    assert all(value.startswith("--from=") for value in values(part, "COPY", "image"))


@pytest.mark.parametrize("part", PARTS)
def test_dependencies_are_copied_before_models_and_models_before_our_own_code(part: str) -> None:
    copies = [value.split()[1] for value in values(part, "COPY", "image")]
    models = ["/layers/models"] if part == "processor" else []
    assert copies == ["/layers/root", "/opt/luna-streams", *models, "/layers/application", "/layers/sbom"]


@pytest.mark.parametrize("part", PARTS)
def test_it_runs_as_a_user_that_kubernetes_knows_is_not_root(part: str) -> None:
    assert values(part, "USER") == ["65532:65532"]
    environment = " ".join(values(part, "ENV", "image"))
    assert "PYTHONSAFEPATH=1" in environment
    assert "PYTHONDONTWRITEBYTECODE=1" in environment


@pytest.mark.parametrize("part", PARTS)
def test_it_is_started_without_a_shell_so_that_sigterm_reaches_it(part: str) -> None:
    assert values(part, "ENTRYPOINT") == ['["luna-streams"]']
    assert values(part, "CMD") == [f'["{part}"]']


@pytest.mark.parametrize("part", PARTS)
def test_its_labels_say_what_it_is_and_where_its_bill_of_materials_lies(part: str) -> None:
    given = labels(part)
    assert {name.removeprefix("org.opencontainers.image.") for name in given} == OCI | {"io.luna-streams.sbom"}
    assert given["io.luna-streams.sbom"] == f"/{SBOM}"


@pytest.mark.parametrize("part", PARTS)
def test_arguments_that_change_with_every_build_come_last(part: str) -> None:
    last = [i.name for i in instructions(part) if i.stage == "image"]
    assert set(last[last.index("ARG") :]) == {"ARG", "LABEL"}


def test_the_context_of_a_build_is_a_list_of_what_may_be_in_it() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert lines[1] == "*"
    assert not {".git", ".venv", "tests", "charts", ".demo"} & {line[1:] for line in lines if line.startswith("!")}


def test_building_without_a_builder_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "sh").symlink_to("/bin/sh")
    built = subprocess.run(
        ["/bin/sh", "images/build", "operator", "x"],
        env={"PATH": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 1
    assert built.stderr.count("\n") == 1
    assert "docker, podman or buildah" in built.stderr


@pytest.mark.parametrize("builder", ["docker", "podman", "buildah"])
def test_whichever_builder_is_there_gets_the_commit_and_the_base_as_arguments(builder: str, tmp_path: Path) -> None:
    program = tmp_path / builder
    program.write_text('#!/bin/sh\nfor argument; do echo "$argument"; done\n')
    program.chmod(0o755)
    base = "registry.example/python:3.11-slim@sha256:" + "0" * 64
    environment = {"PATH": "/usr/bin:/bin", "BUILDER": str(program), "PYTHON_IMAGE": base, "SOURCE_DATE_EPOCH": "86400"}
    command = ["/bin/sh", "images/build", "processor", "tag:1", "--build-arg", "ACCELERATOR=gpu"]
    told = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    assert told[0] == ("bud" if builder == "buildah" else "build")
    assert {f"PYTHON_IMAGE={base}", f"PYTHON_DIGEST=sha256:{'0' * 64}", "CREATED=1970-01-02T00:00:00Z"} < set(told)
    assert "ACCELERATOR=gpu" in told
    assert told[-2] == "."
