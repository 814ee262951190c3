"""`.ci/run` on a checkout whose steps are stand-ins: what it runs, prints last and ends with."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from support.repository import ROOT

TOOLS = ("ruff", "mypy", "lint-imports", "codespell")


def script(path: Path, body: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def run_ci(folder: Path, tests: str, *, mypy: str = "true") -> subprocess.CompletedProcess[str]:
    """Run the gate; `tests` is what `make test` does, `mypy` what the type check does."""
    (folder / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", folder / ".ci" / "run")
    (folder / "Makefile").write_text(f".PHONY: install test\ninstall:\n\t@true\ntest:\n\t@{tests}\n")
    for tool in TOOLS:
        script(folder / ".venv" / "bin" / tool, mypy if tool == "mypy" else "true")
    # Nothing is installed on the machine that runs this: every package is said to be there.
    script(folder / "stubs" / "dpkg-query", "echo install ok installed")
    path = f"{folder / 'stubs'}:{os.environ['PATH']}"
    environ = {"PATH": path, "KUBEBUILDER_ASSETS": str(folder), "MAKELEVEL": "1", "MAKEFLAGS": "w"}
    command = ["bash", str(folder / ".ci" / "run")]
    return subprocess.run(
        command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("tests", "is_good"),
    [
        ("echo '=== 5 passed in 1.00s ==='", True),
        ("echo '=== 1 failed, 4 passed in 1.00s ==='; exit 1", False),
        ("echo '!!! KeyboardInterrupt !!!'; echo '=== 4 passed in 1.00s ==='; kill -INT $$$$", False),
    ],
    ids=["passed", "failed", "interrupted"],
)
def test_the_summary_of_the_tests_is_the_last_line_of_the_gate(tests: str, is_good: bool, tmp_path: Path) -> None:
    result = run_ci(tmp_path, tests)
    assert result.stdout.splitlines()[-1].startswith("==="), result.stdout
    assert result.stdout.splitlines()[-1].endswith("in 1.00s ===")
    assert (result.returncode == 0) is is_good


def test_a_linter_that_fails_is_named_and_fails_the_gate_although_the_tests_pass(tmp_path: Path) -> None:
    result = run_ci(tmp_path, "echo '=== 5 passed in 1.00s ==='", mypy="exit 1")
    assert "Failed so far: mypy" in result.stdout
    assert result.stdout.splitlines()[-1] == "=== 5 passed in 1.00s ==="
    assert result.returncode != 0
