"""The spool on disk: what is written is there again, whatever happens to the process or the disk."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from luna_processor.delivery.spool import Spool, SpoolFailed
from luna_processor.delivery.spool_records import (
    Change,
    ForgetRun,
    NoteFrames,
    Run,
    SetRun,
    SettleEvent,
    StoredEvent,
    StoreEvent,
)
from luna_processor.errors import StartupError
from support.waiting import eventually_blocking


def stored(number: int, body: bytes = b"", **changes: Any) -> StoredEvent:
    known: dict[str, Any] = {
        "number": number, "request_id": f"request-{number}", "stream_id": f"stream-{number % 3}", "version": 1,
        "origin": "http://up", "made_at_s": 1.5, "shot_count": 1, "size_bytes": len(body), "image_origins": (None,),
    }  # fmt: skip
    return StoredEvent(**{**known, **changes})


def picture(number: int, size_bytes: int = 50_000) -> bytes:
    return bytes([number % 251]) * size_bytes


def store(number: int, size_bytes: int = 50_000) -> StoreEvent:
    body = picture(number, size_bytes)
    return StoreEvent(stored(number, body), body)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    opened = Spool(tmp_path / "spool")
    yield opened
    opened.close()


def test_only_its_user_can_look_into_it(spool: Spool) -> None:
    spool.write([store(1)])
    assert spool.folder is not None
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in (spool.folder, *spool.folder.iterdir())}
    assert modes.pop("spool") == 0o700
    assert set(modes.values()) == {0o600}


def test_an_open_folder_is_closed_to_others(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    Spool(tmp_path).close()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_a_second_process_is_told_to_take_another_folder(spool: Spool) -> None:
    imports = "import sys; from pathlib import Path; from luna_processor.delivery.spool import Spool"
    program = f"{imports}; Spool(Path(sys.argv[1]))"
    second = subprocess.run([sys.executable, "-c", program, str(spool.folder)], capture_output=True, text=True)
    assert (
        f"the spool folder {spool.folder} is used by another processor; give each one a --spool-dir of its own"
        in (second.stderr.splitlines()[-1])
    )


def test_a_folder_that_cannot_be_made_is_said_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartupError, match="cannot be used: Not a directory; name one that belongs to this user"):
        Spool(tmp_path / "file" / "spool")


@pytest.mark.parametrize(
    "damage", [pytest.param(b"garbage" * 1000, id="garbage"), pytest.param(b"SQLite format 3\0" * 99, id="half")]
)
def test_a_database_that_is_damaged_is_set_aside_and_work_goes_on(
    tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    first = Spool(tmp_path)
    first.write([store(1)])
    first.close()
    (tmp_path / "events.db").write_bytes(damage)
    second = Spool(tmp_path)
    assert second.waiting() == []
    second.write([store(2)])
    second.close()
    assert (tmp_path / "events.damaged").read_bytes() == damage
    assert "it is kept as" in caplog.text


@pytest.mark.parametrize(
    ("keeps", "least"),
    [
        pytest.param(lambda content: content[: len(content) * 2 // 3], 15, id="its end is missing"),
        pytest.param(lambda content: content[:400_000] + bytes(65536) + content[465_536:], 15, id="a hole in it"),
    ],
)
def test_what_can_still_be_read_of_a_damaged_database_is_kept(
    tmp_path: Path, keeps: Callable[[bytes], bytes], least: int, caplog: pytest.LogCaptureFixture
) -> None:
    first = Spool(tmp_path)
    for number in range(30):
        first.write([store(number)])
    first.close()
    database = tmp_path / "events.db"
    database.write_bytes(keeps(database.read_bytes()))
    second = Spool(tmp_path)
    kept = [event.number for event in second.waiting()]
    assert least <= len(kept) <= 30
    assert all(second.read(number) == picture(number) for number in kept)
    assert f"{len(kept)} events that waited could be read back" in caplog.text
    second.write([store(100)])
    second.close()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["events.db", "lock", "reserve"]


@pytest.mark.parametrize("kept", ["[nul", "{}", "[null, null]"])
def test_where_frames_were_stored_is_forgotten_if_the_disk_did_not_keep_it(kept: str, tmp_path: Path) -> None:
    with contextlib.closing(Spool(tmp_path)) as spool:
        spool.write([store(1), store(2)])
    with contextlib.closing(sqlite3.connect(tmp_path / "events.db", isolation_level=None)) as database:
        database.execute("UPDATE event SET image_origins = ? WHERE number = 1", (kept,))
    with contextlib.closing(Spool(tmp_path)) as spool:
        assert [(event.number, event.image_origins) for event in spool.waiting()] == [(1, (None,)), (2, (None,))]


def test_a_spool_of_another_form_is_set_aside(tmp_path: Path) -> None:
    first = Spool(tmp_path)
    first._database.execute("PRAGMA user_version = 99")
    first.close()
    second = Spool(tmp_path)
    assert second.waiting() == []
    second.close()
    assert (tmp_path / "events.damaged").exists()


def test_an_empty_spool_gives_its_room_back(spool: Spool) -> None:
    for number in range(8):
        spool.write([store(number, 5_000_000)])
    assert spool.folder is not None
    database = spool.folder / "events.db"
    spool.shrink()
    assert database.stat().st_size > 20_000_000, "not while something waits"
    spool.write([SettleEvent(event, None, is_remembered=False) for event in spool.waiting()])
    spool.shrink()
    assert sum(file.stat().st_size for file in spool.folder.iterdir()) < 1_000_000


def test_a_full_disk_loses_nothing_that_was_written_and_takes_more_when_there_is_room(tmp_path: Path) -> None:
    """A real limit: the kernel refuses to make files larger, as it does on a full disk."""
    program = """
import resource, signal, sys
from pathlib import Path
from luna_processor.delivery.spool import Spool, SpoolFailed
from luna_processor.delivery.spool_records import SettleEvent
sys.path.insert(0, sys.argv[2])
from unit.processor.test_spool import picture, store

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
spool = Spool(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, resource.RLIM_INFINITY))
written = []
for number in range(200):
    try:
        spool.write([store(number)])
        written.append(number)
    except SpoolFailed as e:
        break
else:
    raise SystemExit("the disk never was full")
assert [event.number for event in spool.waiting()] == written, "all of it, and nothing of what did not fit"
assert all(spool.read(number) == picture(number) for number in written)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
spool.write([SettleEvent(event, None, False) for event in spool.waiting()[:10]])
spool.write([store(1000)])
spool.close()
again = Spool(Path(sys.argv[1]))
assert [event.number for event in again.waiting()] == [*written[10:], 1000]
assert again.read(1000) == picture(1000)
"""
    tests = str(Path(__file__).parents[2])
    run = subprocess.run([sys.executable, "-c", program, str(tmp_path), tests], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_a_disk_that_does_not_even_let_go_of_the_reserve_fails_like_a_full_one(tmp_path: Path) -> None:
    program = """
import resource, sys
from pathlib import Path
from luna_processor.delivery.spool import Spool, SpoolFailed
from luna_processor.delivery.spool_records import SettleEvent
sys.path.insert(0, sys.argv[2])
from unit.processor.test_spool import store, stored

spool = Spool(Path(sys.argv[1]))
spool.write([store(number) for number in range(3)])
reserve = Path(sys.argv[1]) / "reserve"
reserve.unlink()
reserve.mkdir()  # which cannot be unlinked
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
try:
    spool.write([SettleEvent(stored(1), None, is_remembered=True)])
except SpoolFailed:
    pass
else:
    raise SystemExit("the disk took it")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
spool.write([SettleEvent(stored(1), None, is_remembered=True)])
assert [event.number for event in spool.waiting()] == [0, 2]
"""
    tests = str(Path(__file__).parents[2])
    run = subprocess.run([sys.executable, "-c", program, str(tmp_path), tests], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_what_was_acknowledged_outlives_a_sigkill(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from luna_processor.delivery.spool import Spool
from luna_processor.delivery.spool_records import SettleEvent
from unit.processor.test_spool import store, stored

spool = Spool(Path(sys.argv[1]))
for number in range(100_000):
    spool.write([store(number)])
    print("+", number, flush=True)
    if number % 2:
        spool.write([SettleEvent(stored(number - 1), None, True)])
        print("-", number - 1, flush=True)
"""
    tests = str(Path(__file__).parents[2])
    log = tmp_path / "log"
    for kill in range(3):
        folder = tmp_path / f"spool-{kill}"
        with log.open("w") as output:
            writer = subprocess.Popen([sys.executable, "-c", program, str(folder), tests], stdout=output)
            try:
                eventually_blocking(lambda: log.read_text().count("\n") > 40, "it writes", 60)
            finally:
                writer.kill()
                writer.wait()
        said = [line.split() for line in log.read_text().splitlines()]
        added = {int(number) for sign, number in said if sign == "+"}
        removed = {int(number) for sign, number in said if sign == "-"}
        spool = Spool(folder)
        there = {event.number for event in spool.waiting()}
        newest, last_removed = max(added), max(removed)
        assert added - removed - {last_removed + 2} <= there, "a removal may have happened that was not said any more"
        assert there <= (added - removed) | {newest + 1}
        assert all(spool.read(number) == picture(number) for number in there)
        spool.close()


class CrashMachine(RuleBasedStateMachine):
    """A spool against a model; its log is cut off at any byte that was not synchronised yet, or anywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.spool = Spool(self.folder / "spool")
        self.states: list[dict[int, tuple[str | None, ...]]] = [{}]
        """What waits and where its frame is, after each transaction since the log began."""
        self.next = 1

    @property
    def state(self) -> dict[int, tuple[str | None, ...]]:
        return self.states[-1]

    @initialize()
    def begin_runs(self) -> None:
        self.spool.write([SetRun(Run(f"stream-{number}", 1, 0, 1.0), forgets_settled=False) for number in range(3)])

    def write(self, changes: list[Change], state: dict[int, tuple[str | None, ...]]) -> None:
        self.spool.write(changes)
        self.states.append(state)

    @rule(sizes=st.lists(st.integers(0, 100_000), min_size=1, max_size=4))
    def store_some(self, sizes: list[int]) -> None:
        numbers = range(self.next, self.next + len(sizes))
        self.next += len(sizes)
        changes: list[Change] = [store(number, size) for number, size in zip(numbers, sizes, strict=True)]
        self.write(changes, {**self.state, **dict.fromkeys(numbers, (None,))})

    @precondition(lambda self: self.state)
    @rule(data=st.data())
    def settle_one(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.state)))
        self.write(
            [SettleEvent(stored(number), None, is_remembered=True)],
            {kept: origins for kept, origins in self.state.items() if kept != number},
        )

    @precondition(lambda self: self.state)
    @rule(data=st.data())
    def note_a_frame(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.state)))
        self.write([NoteFrames(number, ("http://store/1",))], {**self.state, number: ("http://store/1",)})

    @rule()
    def forget_a_stream(self) -> None:
        self.write([ForgetRun("stream-0")], dict(self.state))

    @rule()
    def end_in_order(self) -> None:
        self.spool.close()
        self.spool = Spool(self.folder / "spool")
        self.states = [self.state]

    @rule(data=st.data())
    def crash(self, data: st.DataObject) -> None:
        """Lose the tail of the log, at any byte: a state that was there is there again, whole."""
        copy = self.folder / "copy"
        shutil.copytree(self.folder / "spool", copy)
        (copy / "events.db-shm").unlink(missing_ok=True)  # memory of the processes that are gone
        log = copy / "events.db-wal"
        size_bytes = log.stat().st_size
        cut = data.draw(st.integers(0, size_bytes))
        with log.open("r+b") as file:
            file.truncate(cut)
        recovered = Spool(copy)
        found = {event.number: event.image_origins for event in recovered.waiting()}
        assert found in self.states
        if cut == size_bytes:
            assert found == self.state, "nothing that was acknowledged is lost"
        for event in recovered.waiting():
            assert recovered.read(event.number) == picture(event.number, event.size_bytes)
        recovered.write([store(10**6)])
        recovered.close()
        shutil.rmtree(copy)

    @invariant()
    def is_as_the_model(self) -> None:
        assert {event.number: event.image_origins for event in self.spool.waiting()} == self.state

    def teardown(self) -> None:
        self.spool.close()
        shutil.rmtree(self.folder)


CrashMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
TestCrashes = CrashMachine.TestCase


def test_a_database_that_cannot_be_opened_is_said_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "events.db").mkdir()
    with pytest.raises(StartupError, match="cannot be opened: unable to open database file"):
        Spool(tmp_path)


def test_a_change_that_cannot_be_written_leaves_the_spool_usable() -> None:
    spool = Spool(None)
    with pytest.raises(OverflowError):
        spool.write([store(1), StoreEvent(stored(2, version=2**63), b"")])
    spool.write([store(3)])
    assert [event.number for event in spool.waiting()] == [3]
    spool.close()


def test_in_memory_everything_is_the_same() -> None:
    spool = Spool(None)
    spool.write([store(1)])
    assert spool.read(1) == picture(1)
    with pytest.raises(SpoolFailed, match="not in the spool any more"):
        spool.read(2)
    spool.close()
