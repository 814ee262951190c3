"""The allocator of the C library, in a process of its own: how many arenas threads get."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys

import pytest

from luna_processor.allocator import ARENAS

THREADS = 12
MEASURE = f"""
import ctypes, threading
from luna_processor.allocator import bound_arenas

bound_arenas()
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
libc.malloc.restype = ctypes.c_void_p
together = threading.Barrier({THREADS})

def allocate():
    together.wait()
    libc.malloc(ctypes.c_size_t(1000))
    together.wait()

threads = [threading.Thread(target=allocate) for _ in range({THREADS})]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
shown = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, shown)
libc.fflush(shown)
"""

HOLES = """
import asyncio, ctypes
from pathlib import Path
from luna_processor import allocator

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]

def resident_mib():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 >> 20

async def main():
    pieces = [libc.malloc(ctypes.c_size_t(100_000)) for _ in range(2000)]
    for piece in pieces:
        ctypes.memset(piece, 1, 100_000)
    for piece in pieces[:-1]:
        libc.free(ctypes.c_void_p(piece))
    allocator.RETURN_EVERY_S = 0.01
    returning = asyncio.create_task(allocator.return_free_memory_for_ever())
    before = resident_mib()
    for _ in range(1000):
        await asyncio.sleep(0.05)
        if resident_mib() < before - 150:
            break
    print(before - resident_mib())
    returning.cancel()

asyncio.run(main())
"""

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has arenas")


def arenas_of(environment: dict[str, str]) -> int:
    clean = {name: value for name, value in os.environ.items() if name not in ("MALLOC_ARENA_MAX", "GLIBC_TUNABLES")}
    run = subprocess.run(
        [sys.executable, "-c", MEASURE], env=clean | environment, capture_output=True, text=True, check=True, timeout=60
    )
    return len(re.findall("<heap nr=", run.stdout))


def test_the_threads_of_many_streams_share_few_arenas() -> None:
    assert 1 <= arenas_of({}) <= ARENAS


@pytest.mark.parametrize(
    "choice", [{"MALLOC_ARENA_MAX": "5"}, {"GLIBC_TUNABLES": "glibc.malloc.arena_max=5"}], ids=["variable", "tunable"]
)
def test_a_number_that_the_user_chose_stays(choice: dict[str, str]) -> None:
    assert arenas_of(choice) == 5


def test_what_is_free_between_what_is_used_goes_back_to_the_system() -> None:
    run = subprocess.run([sys.executable, "-c", HOLES], capture_output=True, text=True, check=True, timeout=120)
    assert int(run.stdout) > 150, "of 190 MiB"
