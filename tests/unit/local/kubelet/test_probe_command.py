"""Exec probes: what they run ends with them."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from luna_local.kubelet.container import run_probe_command
from luna_local.kubelet.guarding import Guard
from luna_local.kubelet.process import Command
from support.waiting import eventually


def children() -> set[int]:
    """Return the ids of this process's children, of zombies as well."""
    tasks = Path("/proc/self/task").glob("*/children")
    return {int(pid) for file in tasks for pid in file.read_text().split()}


def a_shell(tmp_path: Path, script: str) -> Command:
    return Command(("sh", "-c", script), {"PATH": os.environ["PATH"]}, tmp_path)


@pytest.mark.parametrize(("script", "is_success", "message"), [("echo fine", True, "fine"), ("exit 3", False, "3")])
async def test_the_exit_code_is_the_answer(script: str, is_success: bool, message: str, tmp_path: Path) -> None:
    async with Guard(tmp_path).running() as guard:
        answer = await run_probe_command(a_shell(tmp_path, script), guard)
    assert answer.is_success is is_success
    assert message in answer.message


async def test_a_probe_that_is_cancelled_leaves_no_process_behind_not_even_a_dead_one(tmp_path: Path) -> None:
    async with Guard(tmp_path).running() as guard:
        before = children()
        probing = asyncio.create_task(run_probe_command(a_shell(tmp_path, "touch here; sleep 60"), guard))
        await eventually((tmp_path / "here").exists)
        probing.cancel()
        await asyncio.wait({probing})
        assert children() == before
