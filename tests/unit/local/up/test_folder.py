from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from luna_local.up.errors import UpError
from luna_local.up.folder import DataFolder, Endpoints

ENDPOINTS = Endpoints("http://127.0.0.1:1", "http://127.0.0.1:2", "/data/kubeconfig", "http://127.0.0.1:3", 4711)


def test_the_endpoints_are_there_from_publishing_to_withdrawing(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    with folder.locked():
        assert not folder.endpoints.exists()
        folder.publish(ENDPOINTS)
        assert json.loads(folder.endpoints.read_text()) == {
            "rest": "http://127.0.0.1:1",
            "kubernetes": "http://127.0.0.1:2",
            "kubeconfig": "/data/kubeconfig",
            "inbox": "http://127.0.0.1:3",
            "pid": 4711,
        }
    assert not folder.endpoints.exists()


def test_endpoints_of_a_run_that_was_killed_are_gone_before_anything_starts(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    folder.publish(ENDPOINTS)
    with folder.locked():
        assert not folder.endpoints.exists()


def test_a_folder_has_one_user_at_a_time(tmp_path: Path) -> None:
    message = rf"in use by another `luna-streams up` \(process {os.getpid()}\)"
    with DataFolder(tmp_path).locked(), pytest.raises(UpError, match=message), DataFolder(tmp_path).locked():
        pass
    with DataFolder(tmp_path).locked():
        pass


def test_nobody_else_may_look_into_the_folder(tmp_path: Path) -> None:
    with DataFolder(tmp_path / "data").locked():
        assert (tmp_path / "data").stat().st_mode & 0o077 == 0


def test_a_folder_that_was_open_is_shut_if_it_is_empty_or_was_used_before(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    folder.path.mkdir(mode=0o755)
    for _ in range(2):
        folder.path.chmod(0o755)
        with folder.locked():
            assert not folder.is_open_to_others
        assert folder.path.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_holds_other_things_keeps_its_mode_and_that_is_known(tmp_path: Path) -> None:
    (tmp_path / "somebody's").touch()
    tmp_path.chmod(0o755)
    with (folder := DataFolder(tmp_path)).locked():
        assert folder.is_open_to_others


def test_what_a_killed_run_left_is_waited_for(tmp_path: Path) -> None:
    """Its guardian holds the lock until everything is cleared up; here that is a process which inherited it."""
    script = "import os; os.write(1, b'x'); os.read(0, 1)"
    folder = DataFolder(tmp_path / "data")
    killed = subprocess.Popen(["true"])
    killed.wait()
    with folder.locked():
        guardian = subprocess.Popen(
            [sys.executable, "-c", script], pass_fds=(folder.lock,), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert guardian.stdout is not None
        assert guardian.stdin is not None
        guardian.stdout.read(1)
        os.pwrite(folder.lock, f"{killed.pid}\n".encode(), 0)
        may_end, its_input = threading.Event(), guardian.stdin

    def let_it_end() -> None:
        may_end.set()
        its_input.close()

    with guardian:
        threading.Timer(0.3, let_it_end).start()
        with DataFolder(tmp_path / "data").locked():
            assert may_end.is_set()
            assert guardian.wait(60) == 0
