"""What was really built: small, for any user, with a true bill of materials and without sources or a shell."""

from __future__ import annotations

import ast
import hashlib
import os
from collections.abc import Iterator

import pytest

from support import clusters
from support.container_images import BuiltImage, mounted

OPERATOR_IMAGE = os.environ.get("LUNA_E2E_OPERATOR_IMAGE", clusters.OPERATOR_IMAGE)
PROCESSOR_IMAGE = os.environ.get("LUNA_E2E_PROCESSOR_IMAGE", clusters.PROCESSOR_IMAGE)
# Bytes without compression; above these somebody should look at what came in.
LIMITS = {OPERATOR_IMAGE: 280_000_000, PROCESSOR_IMAGE: 560_000_000}
COMMANDS = {OPERATOR_IMAGE: ("operator", "shim", "crds", "check"), PROCESSOR_IMAGE: ("processor", "probe", "analyze")}
NO_KNOWN_LICENCE = {"protobuf"}  # "3-Clause BSD License" is no name that cyclonedx-py takes over; its text is there
USERS = ("65532:65532", "1000620000:0")  # the image's own, and one as OpenShift gives
SITE = "opt/luna-streams/lib/python3.*/site-packages"


@pytest.fixture(scope="module", params=[OPERATOR_IMAGE, PROCESSOR_IMAGE], ids=["operator", "processor"])
def tag(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def image(tag: str) -> Iterator[BuiltImage]:
    with mounted(tag) as built:
        yield built


@pytest.mark.parametrize("user", USERS)
def test_every_command_starts_as_any_user_and_writes_nothing(image: BuiltImage, tag: str, user: str) -> None:
    before = {path: path.lstat().st_mtime_ns for path in image.root.rglob("*")}
    for command in COMMANDS[tag]:
        told = image.run("/opt/luna-streams/bin/luna-streams", command, "--help", user=user)
        assert told.returncode == 0, told.stderr  # without /proc, ONNX Runtime warns
        assert f"luna-streams {command}" in told.stdout
    assert {path: path.lstat().st_mtime_ns for path in image.root.rglob("*")} == before


def test_it_says_its_version(image: BuiltImage) -> None:
    told = image.run("/opt/luna-streams/bin/luna-streams", "--version", user=USERS[0])
    assert told.stdout == f"luna-streams {image.config['Labels']['org.opencontainers.image.version']}\n"


def test_the_bill_of_materials_names_what_python_sees_with_the_hash_of_each_archive(image: BuiltImage) -> None:
    script = "from importlib.metadata import distributions as d; print({x.name.lower(): x.version for x in d()})"
    told = image.run("/opt/luna-streams/bin/python", "-c", script, user=USERS[0])
    seen: dict[str, str] = ast.literal_eval(told.stdout)
    ours = {"luna-streams-operator": seen.pop("luna-streams-operator")}
    root = image.sbom["metadata"]["component"]
    assert ours == {root["name"]: root["version"]}
    listed = [c for c in image.sbom["components"] if c.get("purl", "").startswith("pkg:pypi/")]
    assert {c["name"].lower(): c["version"] for c in listed if c["name"] != root["name"]} == seen
    assert [c["name"] for c in listed if c["name"] != root["name"] and not c.get("hashes")] == []
    assert {c["name"] for c in listed if not c.get("licenses")} <= NO_KNOWN_LICENCE


def test_the_bill_of_materials_names_the_packages_of_the_base(image: BuiltImage) -> None:
    listed = {c["name"] for c in image.sbom["components"] if c.get("purl", "").startswith("pkg:deb/")}
    assert listed == {path.name for path in (image.root / "var/lib/dpkg/status.d").iterdir()}
    assert {"libc6", "libssl3", "ca-certificates"} <= {name.removesuffix("t64") for name in listed}


def test_models_come_with_their_hashes_and_licences(image: BuiltImage, tag: str) -> None:
    listed = {c["name"]: c for c in image.sbom["components"] if c["type"] == "machine-learning-model"}
    files = {path.name: path for path in image.root.glob(f"{SITE}/**/*.onnx") if "luna_processor" in path.parts}
    assert set(listed) == set(files)
    assert bool(files) == (tag == PROCESSOR_IMAGE)
    for name, path in files.items():
        assert listed[name]["hashes"] == [{"alg": "SHA-256", "content": hashlib.sha256(path.read_bytes()).hexdigest()}]
    notices = image.root / "usr/share/doc/luna-streams-operator"
    assert {"LICENSE", "NOTICE"} <= {path.name for path in notices.iterdir()}
    assert (notices / "models").exists() == bool(files)


def test_there_is_no_shell_no_packager_and_no_source_tree(image: BuiltImage) -> None:
    programs = {path.name for path in (image.root / "usr/bin").iterdir()}
    assert {name for name in programs if not name.startswith("python")} == set()
    assert [*image.root.glob(f"{SITE}/pip")] == []
    assert not (image.root / "src").exists()
    assert [*image.root.glob("**/pip.conf")] == []


def test_only_temporary_folders_may_be_written_by_others(image: BuiltImage) -> None:
    writable = [p for p in image.root.rglob("*") if not p.is_symlink() and p.stat().st_mode & 0o002]
    assert {f"/{path.relative_to(image.root)}" for path in writable} == {"/tmp", "/var/tmp"}  # noqa: S108


def test_a_module_beside_the_working_folder_does_not_shadow_a_package(image: BuiltImage) -> None:
    told = image.run("/opt/luna-streams/bin/python", "-c", "import sys; print(sys.flags.safe_path)", user=USERS[0])
    assert told.stdout.strip() == "True"
    assert image.config["User"] == "65532:65532"


def test_bytecode_is_there_and_no_file_needs_to_be_compiled_at_start(image: BuiltImage) -> None:
    sources = [*image.root.glob(f"{SITE}/luna_*/**/*.py")]
    assert sources
    missing = [s.name for s in sources if not [*s.parent.glob(f"__pycache__/{s.stem}.cpython-3*.pyc")]]
    assert missing == []


def test_it_is_small(image: BuiltImage, tag: str) -> None:
    assert image.size_bytes < LIMITS[tag]
