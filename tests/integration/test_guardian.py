"""Nothing outlives the kubelet, however it ends: seen from outside, by process ids."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from luna_kube import PODS, KubeClient, load_credentials
from support.apiservers import ApiServer, embedded_server
from support.kubelets import all_dead, children_of, delete_all_pods, is_alive
from support.pods import a_container, a_pod
from support.waiting import PATIENCE_S, eventually

HOST = Path(__file__).parents[1] / "support" / "kubelet_host.py"
# A container with three children, which print their process ids: an ordinary one, one that left for a session of its
# own, and one that threw its environment away.
SCRIPT = """
echo $$$$
env -i sh -c 'echo bare $$$$; while :; do sleep 0.2; done' &
sh -c 'echo $$$$; while :; do sleep 0.2; done' &
setsid sh -c 'echo $$$$; while :; do sleep 0.2; done' &
while :; do sleep 0.2; done
"""


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with embedded_server(tmp_path_factory.mktemp("guardian-api")) as server:
        yield server


class Host:
    """A kubelet in a process of its own, with one Pod of two containers."""

    def __init__(self, api: ApiServer, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "endpoints"
        self._api = api
        folder.mkdir(exist_ok=True)
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        """Start the kubelet (again)."""
        arguments = [str(self._api.kubeconfig), str(self.folder / "pods"), str(self.file)]
        self.process = subprocess.Popen([sys.executable, str(HOST), *arguments])
        return self.process

    @property
    def guardian(self) -> int:
        """The guardian's process id."""
        (pid,) = [pid for pid in children_of(self.process.pid) if b"guardian.py" in _command_line(pid)]
        return pid

    def pids(self, *, without: str = "-") -> list[int]:
        """The process ids that the containers printed, without those whose line has this word."""
        logs = [path.read_text() for path in self.folder.glob("pods/*/logs/*/*.log")]
        lines = [line.split() for text in logs for line in text.splitlines()]
        return [int(words[-1]) for words in lines if without not in words]


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


@pytest.fixture
async def host(api: ApiServer, tmp_path: Path) -> AsyncIterator[Host]:
    async with KubeClient(await load_credentials(api.kubeconfig)) as client:
        host = Host(api, tmp_path)
        try:
            await eventually(host.file.exists, "the kubelet is ready")
            containers = [a_container("sh", "-c", SCRIPT, name=name) for name in ("a", "b")]
            await client.create(PODS.within("default"), a_pod(*containers))
            await eventually(lambda: len(host.pids()) == 8, "both containers and their children run")
            yield host
        finally:
            host.process.kill()
            host.process.wait()
            await delete_all_pods(client)


async def test_killing_the_kubelet_leaves_no_process_and_no_file(host: Host) -> None:
    everything = [*host.pids(), *children_of(host.process.pid)]
    assert all(is_alive(pid) for pid in host.pids())
    host.process.kill()
    host.process.wait()
    await all_dead(everything)
    assert not host.file.exists()


async def test_what_ran_under_a_killed_kubelet_is_said_to_be_lost_and_runs_again(host: Host, api: ApiServer) -> None:
    host.process.kill()
    host.process.wait()
    await eventually(lambda: not host.file.exists(), "the guardian cleared up")
    host.start()
    await eventually(host.file.exists, "the next kubelet is ready")
    await eventually(lambda: len(host.pids()) == 16, "both containers run again")
    statuses: list[dict[str, Any]] = []
    async with KubeClient(await load_credentials(api.kubeconfig)) as client, asyncio.timeout(PATIENCE_S):
        while [status["restartCount"] for status in statuses] != [1, 1]:
            statuses = (await client.get(PODS.at("default", "pod")))["status"]["containerStatuses"]
    assert {status["lastState"]["terminated"]["reason"] for status in statuses} == {"ContainerStatusUnknown"}


async def test_a_killed_guardian_is_replaced_and_the_new_one_does_the_same(host: Host) -> None:
    first = host.guardian
    os.kill(first, signal.SIGKILL)
    await eventually(lambda: not is_alive(first) and _guardian_of(host) not in {None, first}, "a new guardian runs")
    assert all(is_alive(pid) for pid in host.pids())
    everything = [*host.pids(), *children_of(host.process.pid)]
    host.process.kill()
    host.process.wait()
    await all_dead(everything)


def _guardian_of(host: Host) -> int | None:
    found = [pid for pid in children_of(host.process.pid) if b"guardian.py" in _command_line(pid)]
    return found[0] if found else None


async def test_killing_both_at_once_ends_the_containers_and_the_next_kubelet_ends_the_rest(host: Host) -> None:
    pids = host.pids(without="bare")
    bare = set(host.pids()) - set(pids)  # cannot be recognised by anybody who has not seen them start
    guardian = host.guardian
    for pid in (host.process.pid, guardian):
        os.kill(pid, signal.SIGSTOP)  # neither can react to the end of the other
    os.kill(guardian, signal.SIGKILL)
    host.process.kill()
    host.process.wait()
    await eventually(lambda: sum(not is_alive(pid) for pid in pids) >= 2, "the containers themselves end")
    host.file.unlink()
    host.start()
    await eventually(host.file.exists, "the next kubelet is ready")
    try:
        await all_dead(pids)
    finally:
        for pid in bare:
            os.kill(pid, signal.SIGKILL)


async def test_a_signal_to_the_whole_terminal_group_does_not_end_the_guardian(host: Host) -> None:
    guardian = host.guardian
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    await eventually(lambda: all(_ignores(guardian, number) for number in numbers), "it has begun")
    for number in numbers:
        os.kill(guardian, number)
    assert os.getsid(guardian) == guardian
    everything = host.pids()
    host.process.kill()
    host.process.wait()
    await all_dead([*everything, guardian])


def _ignores(pid: int, number: int) -> bool:
    """Tell whether a process ignores a signal. Source: proc_pid_status(5)."""
    (mask,) = (line.split()[1] for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "SigIgn" in line)
    return bool(int(mask, 16) >> number - 1 & 1)


async def test_a_stopped_container_does_not_escape(host: Host) -> None:
    pids = host.pids()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    host.process.kill()
    host.process.wait()
    await all_dead(pids)


async def test_a_container_cannot_hold_the_guardians_pipe_open(host: Host) -> None:
    links = [os.readlink(f"/proc/{pid}/fd/{number}") for pid in host.pids() for number in os.listdir(f"/proc/{pid}/fd")]
    guardians_pipe = os.readlink(f"/proc/{host.guardian}/fd/0")
    assert guardians_pipe.startswith("pipe:")
    assert guardians_pipe not in links
