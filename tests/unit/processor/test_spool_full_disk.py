"""A spool on a disk that is really full: a small file system of its own, in a namespace that ends with the test."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from luna_processor.delivery.spool import Spool, SpoolFailed
from luna_processor.delivery.spool_records import SettleEvent
from unit.processor.test_spool import picture, store

_UNSHARE = ("unshare", "--user", "--map-root-user", "--mount")
_MOUNT = 'mount -t tmpfs -o size=12m none "$1" && shift && exec "$@"'


def fill(disk: Path) -> list[int]:
    """Take up all the room that is left; returns the numbers of the events that the spool took before."""
    spool, written = Spool(disk / "spool"), []
    for number in range(1000):
        try:
            spool.write([store(number)])
        except SpoolFailed:
            break
        written.append(number)
    with (disk / "others").open("wb", buffering=0) as others:
        try:
            while others.write(bytes(4096)):
                pass
        except OSError:
            pass  # that is what was wanted
    assert os.statvfs(disk).f_bavail == 0
    spool.close()
    return written


def main(disk: Path) -> None:
    """Run in a process whose `disk` is full soon."""
    written = fill(disk)
    assert len(written) > 20
    spool = Spool(disk / "spool")
    waiting = spool.waiting()
    assert [event.number for event in waiting] == written, "it opens, and has all that it took"
    assert all(spool.read(number) == picture(number) for number in written)
    for event in waiting[:-5]:
        spool.write([SettleEvent(event, None, is_remembered=True)])
    spool.close()

    (disk / "others").unlink()
    spool = Spool(disk / "spool")
    assert [event.number for event in spool.waiting()] == written[-5:], "what was delivered is not sent again"
    spool.write([store(2000)])
    assert spool.read(2000) == picture(2000)


@pytest.fixture
def unshare() -> Sequence[str]:
    """What gives a command file systems of its own."""
    if subprocess.run([*_UNSHARE, "true"], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a file system of their own")
    return _UNSHARE


def test_a_full_disk_opens_and_lets_go_of_what_was_delivered(tmp_path: Path, unshare: Sequence[str]) -> None:
    imports = "import sys; from pathlib import Path; from unit.processor.test_spool_full_disk import main"
    program = f"{imports}; main(Path(sys.argv[1]))"
    run = subprocess.run(
        [*unshare, "sh", "-c", _MOUNT, "sh", str(tmp_path), sys.executable, "-c", program, str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert run.returncode == 0, run.stderr
