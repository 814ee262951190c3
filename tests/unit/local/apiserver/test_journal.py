"""The journal: what a restart finds, however the last run ended."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luna_local.apiserver import ApiError, DataFolderError, EmbeddedApiServer
from luna_local.apiserver import journal as journal_module
from luna_local.apiserver.journal import open_journal
from luna_local.apiserver.store import Store
from support.kubernetes_api import a_camera, a_config_map, a_definition

_CAMERAS = ("contract.luna.test", "cameras")


def a_document(name: str, value: int = 0) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default", "uid": f"uid-{name}"}
    return {"apiVersion": "contract.luna.test/v1", "kind": "Camera", "metadata": metadata, "value": value}


class Run:
    """One life of a store on a folder."""

    def __init__(self, folder: Path) -> None:
        self.journal = open_journal(folder)
        self.store = Store(self.journal)
        self.store.version = self.journal.load(self.store.restore) or self.store.version
        self.journal.begin(self.store.version)

    def state(self) -> dict[str, int]:
        records = self.store.table(_CAMERAS).select("", None)
        return {record.key[1]: record.load()["value"] for record in records}

    def end(self) -> None:
        self.journal.close(self.store.version)

    def crash(self) -> None:
        """Let go as a killed process does."""
        self.journal.release()


def test_a_restart_finds_the_last_state_of_every_object(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.store.put(_CAMERAS, a_document("a", 1))
    run.store.put(_CAMERAS, a_document("a", 2))
    run.store.put(_CAMERAS, a_document("b", 1))
    run.store.remove(_CAMERAS, ("default", "b"))
    version = run.store.version
    run.end()
    again = Run(tmp_path)
    assert again.state() == {"a": 2}
    assert again.store.version == version
    again.end()


def test_a_killed_run_loses_nothing_and_its_versions_are_not_given_out_again(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.store.put(_CAMERAS, a_document("a", 1))
    version = run.store.version
    run.crash()
    again = Run(tmp_path)
    assert again.state() == {"a": 1}
    assert again.store.version > version + 1000
    again.end()


@given(
    steps=st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 9), st.sampled_from(["put", "remove", "end", "crash"]))
    ),
)
@settings(max_examples=60, deadline=None)
def test_whatever_happened_before_a_restart_is_so_after_it(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, str]]
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    run, expected, version = Run(folder), dict[str, int](), 0
    for name, value, what in steps:
        if what == "put":
            run.store.put(_CAMERAS, a_document(name, value))
            expected[name] = value
        elif what == "remove" and name in expected:
            run.store.remove(_CAMERAS, ("default", name))
            del expected[name]
        elif what in ("end", "crash"):
            run.end() if what == "end" else run.crash()
            run = Run(folder)
        assert run.store.version >= version
        version = run.store.version
        assert run.state() == expected
    run.end()


@given(cut=st.integers(1, 200))
@settings(max_examples=40, deadline=None)
def test_a_last_line_cut_short_is_dropped(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    folder = tmp_path_factory.mktemp("journal")
    run = Run(folder)
    run.store.put(_CAMERAS, a_document("a", 1))
    run.store.put(_CAMERAS, a_document("b", 2))
    run.crash()
    path = folder / "objects.jsonl"
    last_line = len(path.read_bytes().splitlines(keepends=True)[-1])
    os.truncate(path, path.stat().st_size - min(cut, last_line))
    again = Run(folder)
    assert again.state() == {"a": 1}
    again.store.put(_CAMERAS, a_document("c", 3))
    again.crash()
    last = Run(folder)
    assert last.state() == {"a": 1, "c": 3}
    last.end()


def test_dropping_a_line_is_said_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = Run(tmp_path)
    run.store.put(_CAMERAS, a_document("a", 1))
    run.crash()
    with (tmp_path / "objects.jsonl").open("ab") as file:
        file.write(b'{"op":"put","resource":["con')
    with caplog.at_level(logging.WARNING):
        Run(tmp_path).end()
    assert "cut short" in caplog.text


def test_a_broken_line_in_the_middle_stops_the_start_with_what_to_do(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.store.put(_CAMERAS, a_document("a", 1))
    run.end()
    path = tmp_path / "objects.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"rubbish\n" + b"".join(lines[1:]))
    with pytest.raises(DataFolderError, match=r"line 2 is broken; restore the folder .* or delete the file"):
        EmbeddedApiServer(tmp_path)
    # The folder was let go.
    path.write_bytes(b"".join(lines))
    EmbeddedApiServer(tmp_path)


def test_a_journal_of_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "objects.jsonl").write_text('{"op":"start","format":99,"version":5}\n')
    with pytest.raises(DataFolderError, match="format 99"):
        EmbeddedApiServer(tmp_path)


def test_two_servers_cannot_share_a_folder(tmp_path: Path) -> None:
    run = Run(tmp_path)
    with pytest.raises(DataFolderError, match=rf"in use by another server \(process {os.getpid()}\)"):
        open_journal(tmp_path)
    run.end()
    Run(tmp_path).end()


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataFolderError, match="cannot be used as a data folder"):
        open_journal(tmp_path / "file" / "below")


def test_a_full_disk_refuses_the_write_and_leaves_the_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(tmp_path)
    run.store.put(_CAMERAS, a_document("a", 1))
    before = (tmp_path / "objects.jsonl").read_bytes()
    write = os.write

    def half(descriptor: int, data: bytes) -> int:
        if len(data) < 40:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[: len(data) // 2])

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(ApiError) as refused:
        run.store.put(_CAMERAS, a_document("b", 2))
    assert (refused.value.code, refused.value.reason) == (503, "ServiceUnavailable")
    monkeypatch.setattr(os, "write", write)
    assert run.state() == {"a": 1}
    assert (tmp_path / "objects.jsonl").read_bytes() == before
    run.store.put(_CAMERAS, a_document("c", 3))
    run.crash()
    again = Run(tmp_path)
    assert again.state() == {"a": 1, "c": 3}
    again.end()


async def test_a_journal_much_larger_than_the_state_is_rewritten_while_writes_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "SYNC_INTERVAL_S", 0.01)
    monkeypatch.setattr(journal_module, "SMALLEST_REWRITE_BYTES", 20_000)
    run = Run(tmp_path)
    rewriting, may_finish = threading.Event(), threading.Event()
    write_snapshot = journal_module._write_snapshot

    def slow_snapshot(*arguments: Any) -> int:
        size = write_snapshot(*arguments)
        rewriting.set()
        may_finish.wait(60)
        return size

    monkeypatch.setattr(journal_module, "_write_snapshot", slow_snapshot)
    for value in range(500):
        run.store.put(_CAMERAS, a_document(f"n{value % 7}", value))
    path = tmp_path / "objects.jsonl"
    large = path.stat()
    keeping = asyncio.create_task(run.journal.keep(run.store.everything))
    await asyncio.to_thread(rewriting.wait, 60)
    # What is committed between the snapshot and its taking the place of the journal must be in it.
    run.store.put(_CAMERAS, a_document("meanwhile", 1))
    run.store.remove(_CAMERAS, ("default", "n3"))
    may_finish.set()
    async with asyncio.timeout(60):
        while path.stat().st_ino == large.st_ino:
            await asyncio.sleep(0.005)
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    assert path.stat().st_size < large.st_size / 4
    assert not (tmp_path / "objects.new").exists()
    run.store.put(_CAMERAS, a_document("after", 1))
    expected, version = run.state(), run.store.version
    run.crash()
    again = Run(tmp_path)
    assert again.state() == expected
    assert again.store.version > version
    again.end()


async def test_a_server_killed_and_started_again_has_its_objects_definitions_and_tokens(tmp_path: Path) -> None:
    script = (
        "import asyncio, pathlib, sys\n"
        "from luna_local.apiserver import EmbeddedApiServer\n"
        "async def main():\n"
        "    async with EmbeddedApiServer(pathlib.Path(sys.argv[1])) as server:\n"
        "        print(server.url, flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    child = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        url = (await asyncio.to_thread(child.stdout.readline)).strip()
        await _fill(url)
    finally:
        child.send_signal(signal.SIGKILL)
        child.communicate()
    async with EmbeddedApiServer(tmp_path) as server:
        camera = server.get("contract.luna.test/v1", "Camera", "one", "default")
        assert camera is not None
        assert camera["spec"]["fps"] == 25
        assert server.get("v1", "ConfigMap", "two", "default") is None
        assert [each["metadata"]["name"] for each in server.list("v1", "Namespace")] == [
            "default", "kube-public", "kube-system",
        ]  # fmt: skip
        server.apply(a_camera("three"))


async def _fill(url: str) -> None:
    from support.apiservers import ApiServer
    from support.kubernetes_api import CAMERAS, CONFIGMAPS, connected, define_cameras

    async with connected(ApiServer("embedded", url, Path())) as api:
        await define_cameras(api)
        await api.create(CAMERAS, a_camera("one"))
        await api.create(CONFIGMAPS, a_config_map("two"))
        assert (await api.delete(f"{CONFIGMAPS}/two")).status == 200


async def test_work_that_a_restart_interrupted_goes_on(tmp_path: Path) -> None:
    first = EmbeddedApiServer(tmp_path)
    first.apply(a_definition())
    owner = first.apply(a_camera("owner"))
    reference = {"apiVersion": owner["apiVersion"], "kind": "Camera", "name": "owner", "uid": owner["metadata"]["uid"]}
    first.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}})
    first.apply(a_config_map("inside", namespace="n"))
    first.apply(a_config_map("owned", ownerReferences=[reference]))
    # The collector of the first server never ran.
    first.delete("contract.luna.test/v1", "Camera", "owner", "default")
    first.delete("v1", "Namespace", "n")
    await first.stop()
    async with EmbeddedApiServer(tmp_path) as second:
        for _ in range(200):
            if second.get("v1", "Namespace", "n") is None:
                break
            await asyncio.sleep(0.01)
        assert second.get("v1", "Namespace", "n") is None
        assert second.get("v1", "ConfigMap", "inside", "n") is None
        assert second.get("v1", "ConfigMap", "owned", "default") is None
