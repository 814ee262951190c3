"""The folder of an analysis is valid at every moment."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from luna_processor.errors import StartupError
from luna_processor.tools.folder import GrowingList, Lines, prepare, write_json

ITEMS = st.lists(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=9), max_size=3), max_size=5)


@given(items=ITEMS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_list_can_be_read_after_every_item(items: list[dict[str, Any]], tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    growing = GrowingList(path)
    assert json.loads(path.read_text()) == []
    for count, item in enumerate(items, 1):
        growing.append(item)
        assert json.loads(path.read_text()) == items[:count]
    growing.close()
    assert growing.count == len(items)


class FullDisk:
    """A file whose disk is full after some bytes."""

    def __init__(self, file: Any, room: int) -> None:
        self._file, self._room = file, room

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, data: Any) -> int:
        part = bytes(data)[: self._room]
        if data and not part:
            self._room = 10  # what was cut off makes room again
            raise OSError(errno.ENOSPC, "No space left on device")
        self._room -= len(part)
        written: int = self._file.write(part)
        return written


@pytest.mark.parametrize("room", [0, 1, 7, 20])
def test_a_full_disk_leaves_what_was_whole(room: int, tmp_path: Path) -> None:
    growing, lines = GrowingList(tmp_path / "list.json"), Lines(tmp_path / "lines.jsonl")
    for each in (growing, lines):
        each.append({"first": 1})
        each._file = FullDisk(each._file, room)  # type: ignore[assignment]
        with pytest.raises(OSError, match="No space"):
            each.append({"second": "x" * 50})
        each.close()
        assert each.count == 1
    assert json.loads((tmp_path / "list.json").read_text()) == [{"first": 1}]
    assert (tmp_path / "lines.jsonl").read_text() == '{"first": 1}\n'


def test_a_summary_replaces_the_old_one_at_once(tmp_path: Path) -> None:
    write_json(tmp_path / "summary.json", {"a": "ä"})
    write_json(tmp_path / "summary.json", {"b": 2})
    assert json.loads((tmp_path / "summary.json").read_text()) == {"b": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]


def test_a_folder_that_is_a_file_or_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartupError, match="is not a folder"):
        prepare(tmp_path / "file", overwrite=True)
    with pytest.raises(StartupError, match="--overwrite"):
        prepare(tmp_path, overwrite=False)
    with pytest.raises(StartupError, match="cannot be written: Not a directory"):
        prepare(tmp_path / "file" / "deep", overwrite=False)
    prepare(tmp_path / "new" / "deep", overwrite=False)
    assert (tmp_path / "new" / "deep" / "shots").is_dir()
