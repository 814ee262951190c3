"""Every benchmark of the worker runs, at the smallest size there is; what it finds is no matter here."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys

import pytest

from support.repository import ROOT

SMALLEST = {
    "stages": ["--streams", "1", "--rounds", "1", "--frames", "12", "--size", "320x180", "--target", "1000"],
    "capacity": ["--streams", "1", "--measured", "1.5", "--size", "320x180", "--target", "1000"],
    "soak": ["--minutes", "0.1", "--streams", "2"],
}
SAYS = {"stages": "whole / stages:", "capacity": "held:", "soak": "per 1000"}


@pytest.mark.parametrize("name", SMALLEST)
def test_a_benchmark_of_the_worker_runs_and_says_what_it_found(name: str) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / f"{name}.py"), *SMALLEST[name]]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            said, complained = process.communicate(timeout=150)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with the worker, should it be left
    assert "Traceback" not in complained, complained
    assert SAYS[name] in said, said + complained
    assert process.returncode in (0, 1)  # 1: a figure was missed, as so small a run may
