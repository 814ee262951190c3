from __future__ import annotations

import json
import os
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
