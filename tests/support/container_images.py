"""Images as files: their Dockerfiles, read as a builder reads them, and built ones, mounted by buildah."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from dockerfile_parse import DockerfileParser

from support.repository import ROOT

SBOM = "usr/share/sbom/luna-streams.cdx.json"


@dataclass(frozen=True)
class Instruction:
    """One instruction of a Dockerfile; `stage` is its stage's name or, of the last one, "image"."""

    stage: str
    name: str
    value: str


def instructions(part: str) -> list[Instruction]:
    """Return the instructions of Dockerfile.<part>."""
    parser = DockerfileParser(fileobj=_dockerfile(part))
    found, stage = [], "head"
    for entry in parser.structure:
        if entry["instruction"] == "FROM":
            stage = entry["value"].partition(" AS ")[2] or "image"
        if entry["instruction"] != "COMMENT":
            found.append(Instruction(stage, entry["instruction"], entry["value"]))
    return found


def _dockerfile(part: str) -> BytesIO:
    return BytesIO((ROOT / f"Dockerfile.{part}").read_bytes())


def labels(part: str) -> dict[str, str]:
    """Return the labels that Dockerfile.<part> gives, arguments unfilled."""
    parser = DockerfileParser(fileobj=_dockerfile(part), env_replace=False)
    return dict(parser.labels)


@dataclass(frozen=True)
class BuiltImage:
    """An image's root as a folder, and the configuration that says how it runs."""

    root: Path
    config: dict[str, Any]

    def run(self, *command: str, user: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the image as a user ("uid:gid"), everything else as the image says, and wait for it."""
        environment = dict(line.split("=", 1) for line in self.config["Env"])
        return subprocess.run(
            [shutil.which("chroot") or "/usr/sbin/chroot", f"--userspec={user}", "--groups=", self.root, *command],
            env=environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    @property
    def sbom(self) -> dict[str, Any]:
        """Its bill of materials."""
        bill: dict[str, Any] = json.loads((self.root / SBOM).read_text())
        return bill

    @property
    def size_bytes(self) -> int:
        """What its files take, without compression."""
        return sum(path.lstat().st_size for path in self.root.rglob("*") if not path.is_dir())


@contextmanager
def mounted(tag: str) -> Iterator[BuiltImage]:
    """Mount an image of the cluster kit's store, or of buildah's own; skip where there is none."""
    if shutil.which("buildah") is None or os.geteuid() != 0:
        pytest.skip("looking into a built image needs buildah, and root")
    state = Path(os.environ.get("CLUSTER_STATE", "/var/lib/luna-cluster"))
    store: list[str] = []
    if (state / "buildah").exists():
        store = ["--root", str(state / "buildah"), "--runroot", "/run/luna-buildah", "--storage-driver", "overlay"]
    started = _buildah(store, "from", "--pull-never", tag)
    if started.returncode != 0:
        pytest.skip(f"no image {tag} was built here: `make e2e` builds it")
    container = started.stdout.strip()
    try:
        root = Path(_buildah(store, "mount", container).stdout.strip())
        image = json.loads(_buildah(store, "inspect", "--type", "image", tag).stdout)
        yield BuiltImage(root, image["OCIv1"]["config"])
    finally:
        _buildah(store, "rm", container)


def _buildah(store: list[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["buildah", *store, *arguments], capture_output=True, text=True, timeout=120, check=False)
