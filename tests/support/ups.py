"""`luna-streams up` as a process of its own, for tests: started, asked, killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from support.kubelets import children_of, is_alive

Json = dict[str, Any]

COMMAND = Path(sys.executable).with_name("luna-streams")
# Generous: several models are loaded, and a busy machine is slow.
READY_TIMEOUT_S = 150.0


class Up:
    """A running `luna-streams up`."""

    def __init__(self, data: Path, *arguments: str) -> None:
        self.data = data
        self._log = data.parent / f"{data.name}.output"
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [str(COMMAND), "up", "--data", str(data), "--port", "0", *arguments],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        """Everything it wrote so far."""
        return self._log.read_text()

    @property
    def endpoints(self) -> Json:
        """Where everything is, as soon as it is ready."""
        file = self.data / "endpoints.json"
        self.poll(lambda: file.exists() or self.process.poll() is not None, "it is ready", READY_TIMEOUT_S)
        assert self.process.poll() is None, self.output
        content: Json = json.loads(file.read_text())
        return content

    def rest(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Call the REST API."""
        return httpx.request(method, self.endpoints["rest"] + path, timeout=20, **options)

    def stream(self, stream_id: str) -> Json:
        """Return a stream as the REST API shows it."""
        answer = self.rest("GET", f"/2/streams/{stream_id}")
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        return found

    def stream_when(self, stream_id: str, *statuses: str, timeout_s: float = 200.0) -> Json:
        """Return a stream as soon as it has one of the statuses."""
        found: Json = {}

        def has_status() -> bool:
            nonlocal found
            answer = self.rest("GET", f"/2/streams/{stream_id}")
            if answer.status_code == 404:  # made with kubectl: the shim learns of it a moment later
                return False
            assert answer.status_code == 200, answer.text
            found = answer.json()
            return found["status"] in statuses

        self.poll(has_status, f"stream {stream_id} is {' or '.join(statuses)}", timeout_s)
        return found

    def events(self, stream_id: str) -> list[Json]:
        """Return what the inbox got of a stream."""
        answer = httpx.get(self.endpoints["inbox"] + "/events", params={"stream_id": stream_id}, timeout=20)
        found: list[Json] = answer.json()
        return found

    def pids(self) -> list[int]:
        """Return the processes below this one."""
        return children_of(self.process.pid)

    def pids_of(self, command: str) -> list[int]:
        """Return the processes below this one that run a part, e.g. "processor"."""
        return [pid for pid in self.pids() if _arguments(pid)[-1:] == [command]]

    def wait(self, timeout_s: float = 200.0) -> int:
        """Return the exit status as soon as it has ended by itself."""
        return self.process.wait(timeout_s)

    def end(self) -> int:
        """Ask it to end, as Ctrl-C does, and return the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)

    def kill(self) -> list[int]:
        """SIGKILL it alone; returns the processes that it had."""
        pids = self.pids()
        self.process.kill()
        self.process.wait()
        return pids

    def poll(self, condition: Callable[[], object], what: str, timeout_s: float = 200.0) -> None:
        """Return as soon as a condition is true."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}\n{self.output}"
            time.sleep(0.05)


@contextmanager
def running_up(data: Path, *arguments: str) -> Iterator[Up]:
    """Run `luna-streams up` for the length of the block; nothing of it is left afterwards."""
    up = Up(data, *arguments)
    try:
        yield up
    finally:
        pids = up.pids()
        up.end()
        assert not [pid for pid in pids if is_alive(pid)], up.output


def run_up(data: Path, *arguments: str, port: int = 0, timeout_s: float = 300.0) -> subprocess.CompletedProcess[str]:
    """Run `luna-streams up` to its end."""
    command = [str(COMMAND), "up", "--data", str(data), "--port", str(port), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)


def a_file_stream(reference: Path | str, **data: Any) -> Json:
    """Return the REST body of a stream of a video file."""
    account = "6d071cca-fda5-4a03-84d5-5bea65904480"
    handler = {
        "handler_id": "557d54ec-29ad-4f3c-93b4-c9092ef12515",
        "frame_store": None,
        "authorization": {"account_id": account},
    }
    return {
        "account_id": account,
        "name": "lobby",
        "data": {
            "type": "videofile",
            "reference": str(reference),
            "analytics": [{"mode": 1, "event_handler": handler}],
            **data,
        },
    }


def _arguments(pid: int) -> list[str]:
    try:
        text = Path(f"/proc/{pid}/cmdline").read_bytes().decode()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text.rstrip("\0").split("\0")
