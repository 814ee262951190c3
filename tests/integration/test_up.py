"""`luna-streams up` as people and scripts use it: the whole path, and every way to end it."""

from __future__ import annotations

import io
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from PIL import Image

from luna_local.demo import CLIP, EXPECTED_FACES, TRUTH
from luna_local.serving import bind_loopback
from luna_streams import naming
from support.apiservers import free_port
from support.datagrams import datagrams, free_udp_port
from support.kubelets import is_alive
from support.media import demo_pictures, write_clip
from support.ups import COMMAND, Up, a_file_stream, run_up, running_up

Json = dict[str, Any]

pytestmark = pytest.mark.timeout(600)
# At which the short clip takes 9 s, which is long enough to kill what reads it, and costs little.
SLOW_FPS = 8


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One `up` for the tests that do not end it."""
    with running_up(tmp_path_factory.mktemp("up") / "data") as up:
        assert up.endpoints
        yield up


@pytest.fixture(scope="module")
def short_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds in which one face is seen: quicker than the whole clip where its content does not matter."""
    return write_clip(tmp_path_factory.mktemp("clips") / "short.mp4", demo_pictures(2.0, 3.0, (640, 360)))


def one_line(errors: str) -> str:
    """Return the only line of a text."""
    (line,) = errors.splitlines()
    return line


# --- the main job ---------------------------------------------------------------------------------------------------


def test_the_demo_delivers_a_best_shot_of_each_face_and_does_so_again(tmp_path: Path) -> None:
    for run in (1, 2):
        ended = run_up(tmp_path / "data", "--demo", "--exit-when-idle")
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert "The demo is done: 2 best shots arrived." in ended.stdout
        lines = (tmp_path / "data" / "inbox" / "events.jsonl").read_text().splitlines()
        assert len(lines) == EXPECTED_FACES * run
    assert not (tmp_path / "data" / "endpoints.json").exists()


def test_best_shots_lie_on_the_faces(up: Up) -> None:
    stream_id = up.rest("POST", "/2/streams", json=a_file_stream(CLIP)).json()["stream_id"]
    up.stream_when(stream_id, "done")
    events = up.events(stream_id)
    truth = json.loads(TRUTH.read_text())
    faces = {_face_of(event["fields"]["meta"]["detections"][0], truth) for event in events}
    assert len(events) == EXPECTED_FACES
    assert faces == {0, 1}
    for event in events:
        picture = httpx.get(event["images"][0]["url"])
        assert picture.headers["Content-Type"] == "image/jpeg"


def _face_of(detection: Json, truth: Json) -> int:
    """Return the face on which a detection lies, by the truth about its frame."""
    box = detection["face_detection_data"][0]["bounding_box"]
    seen = (box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"])
    frame = round(detection["detect_ts"] * truth["frames_per_second"])
    best = max(truth["frames"][frame], key=lambda face: _overlap(seen, face["box_xyxy"]))
    assert _overlap(seen, best["box_xyxy"]) >= 0.5
    number: int = best["face"]
    return number


def _overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the intersection over union of two boxes x1 y1 x2 y2."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    common = max(0.0, width) * max(0.0, height)
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)


def test_everything_answers_when_the_endpoints_appear(up: Up) -> None:
    endpoints = up.endpoints
    assert set(endpoints) == {"rest", "kubernetes", "kubeconfig", "inbox", "pid"}
    assert endpoints["pid"] == up.process.pid
    assert httpx.get(endpoints["rest"] + "/healthcheck").status_code == 200
    assert httpx.get(endpoints["inbox"] + "/healthcheck").status_code == 200
    pods = httpx.get(endpoints["kubernetes"] + "/api/v1/pods").json()["items"]
    assert all(pod["status"]["containerStatuses"][0]["ready"] for pod in pods)
    assert {pod["metadata"]["name"] for pod in pods} == {"shim", "operator", "default-0"}
    server = yaml.safe_load(Path(endpoints["kubeconfig"]).read_text())["clusters"][0]["cluster"]["server"]
    assert server == endpoints["kubernetes"]
    assert f"export KUBECONFIG={endpoints['kubeconfig']}" in up.output


def test_a_running_stream_is_shown_by_the_rest_api(up: Up) -> None:
    stream_id = up.rest("POST", "/2/streams", json=a_file_stream(CLIP, real_time_mode_fps=5)).json()["stream_id"]
    preview = f"/2/streams/{stream_id}/preview/handler/"
    up.poll(lambda: up.rest("GET", preview + "frame").status_code == 200, "there is a frame")
    frame = up.rest("GET", preview + "frame")
    assert (frame.headers["Content-Type"], _size_of(frame.content)) == ("image/jpeg", (1280, 720))

    with httpx.stream("GET", up.endpoints["rest"] + preview + "live", timeout=20) as live:
        assert live.headers["Content-Type"].startswith("multipart/x-mixed-replace; boundary=")
        body, parts = b"", [b""]
        for chunk in live.iter_raw():
            body += chunk
            parts = body.split(b"--frame\r\n")[1:-1]  # the last one may still be coming
            if len(parts) >= 3:
                break
    pictures = {part.partition(b"\r\n\r\n")[2] for part in parts}
    assert len(pictures) == len(parts)
    assert {_size_of(picture) for picture in pictures} == {(640, 360)}

    up.rest("DELETE", f"/2/streams/{stream_id}")
    assert up.rest("GET", preview + "frame").json()["error_code"] == 39001


def _size_of(jpeg: bytes) -> tuple[int, int]:
    """Decode a picture; return its width and height."""
    with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as picture:
        picture.load()
        return picture.size


# --- kubectl --------------------------------------------------------------------------------------------------------

needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")


def kubectl(up: Up, *arguments: str, given: str | None = None) -> str:
    """Run kubectl against the cluster of an `up`; return what it wrote."""
    command = ["kubectl", "--kubeconfig", up.endpoints["kubeconfig"], *arguments]
    ended = subprocess.run(command, input=given, capture_output=True, text=True, timeout=90, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@needs_kubectl
def test_a_manifest_and_a_post_lead_to_the_same_event(up: Up, short_clip: Path) -> None:
    posted = up.rest("POST", "/2/streams", json=a_file_stream(short_clip)).json()["stream_id"]
    up.stream_when(posted, "done")
    original = json.loads(kubectl(up, "get", "stream", posted, "-o", "json"))
    manifest = {**original, "metadata": {"name": "from-manifest"}, "status": {}}
    command = ["kubectl", "--kubeconfig", up.endpoints["kubeconfig"], "get", "streams", "-w", "--no-headers"]
    with (up.data / "watched").open("w") as output:
        watching = subprocess.Popen(command, stdout=output)
        try:
            up.poll(lambda: _watched(up, posted), "kubectl get -w has listed and watches from there")
            kubectl(up, "apply", "-f", "-", given=json.dumps(manifest))
            applied = naming.stream_id("default", "from-manifest")
            up.stream_when(applied, "done")
            up.poll(lambda: "done" in _watched(up, "from-manifest"), "kubectl get -w shows the end")
        finally:
            watching.terminate()
            watching.wait(60)
    assert _watched(up, "from-manifest")[-3:] == ["pending", "in_progress", "done"]
    assert _essence(up.events(applied)) == _essence(up.events(posted)) != []


@needs_kubectl
def test_pictures_and_datagrams_reach_a_processor_by_post_and_by_manifest(up: Up, tmp_path: Path) -> None:
    for number, picture in enumerate(demo_pictures(2.0, 1.0, (320, 180))):
        Image.fromarray(picture).save(tmp_path / f"frame_{number:04d}.jpg")
    body = a_file_stream(tmp_path)
    body["data"] |= {"type": "images", "mask": "frame_%04d.jpg"}
    posted = up.rest("POST", "/2/streams", json=body).json()["stream_id"]
    up.stream_when(posted, "done")
    manifest = json.loads(kubectl(up, "get", "stream", posted, "-o", "json"))
    assert manifest["spec"]["data"]["mask"] == "frame_%04d.jpg"
    kubectl(up, "apply", "-f", "-", given=json.dumps({**manifest, "metadata": {"name": "pictures"}, "status": {}}))
    up.stream_when(naming.stream_id("default", "pictures"), "done")

    port = free_udp_port()
    body = a_file_stream(tmp_path)
    body["data"] |= {"type": "udp", "reference": f"udp://127.0.0.1:{port}"}
    clip = write_clip(tmp_path / "clip.ts", demo_pictures(2.0, 1.0, (320, 180)), g="25").read_bytes()
    with datagrams(clip, "127.0.0.1", port, duration_s=1.0):
        posted = up.rest("POST", "/2/streams", json=body).json()["stream_id"]
        manifest = json.loads(kubectl(up, "get", "stream", posted, "-o", "json"))
        manifest["spec"]["data"]["reference"] = f"udp://127.0.0.1:{port}?reuse=1"
        up.poll(lambda: _video_width(up, posted) == 320, "the posted one is read")
    up.rest("DELETE", f"/2/streams/{posted}")
    kubectl(up, "apply", "-f", "-", given=json.dumps({**manifest, "metadata": {"name": "datagrams"}, "status": {}}))
    applied = naming.stream_id("default", "datagrams")
    with datagrams(clip, "127.0.0.1", port, duration_s=1.0):
        up.poll(lambda: _video_width(up, applied) == 320, "the applied one is read")
    up.rest("DELETE", f"/2/streams/{applied}")


def _video_width(up: Up, stream_id: str) -> int | None:
    info = up.rest("GET", f"/2/streams/{stream_id}").json()["video_info"]
    return info["width"] if info else None


def _watched(up: Up, name: str) -> list[str]:
    """Return the statuses of a stream that `kubectl get -w` showed, without repetitions."""
    rows = [line.split() for line in (up.data / "watched").read_text().splitlines()]
    return list(dict.fromkeys(row[1] for row in rows if row[0] == name))


def _essence(events: list[Json]) -> list[Json]:
    """Return what two deliveries of the same stream have in common: all but ids and times."""
    varying = {"stream_id", "track_id"}
    return sorted(
        (
            {
                "handler": event["handler_id"],
                "query": {name: value for name, value in event["query"].items() if name not in varying},
                "at": event["fields"]["meta"]["detections"][0]["detect_ts"],
                "images": [(image["name"], image["width"], image["height"]) for image in event["images"]],
            }
            for event in events
        ),
        key=lambda event: event["at"],
    )


@needs_kubectl
def test_kubectl_shows_pods_logs_and_events(up: Up) -> None:
    assert "listens on http://127.64." in kubectl(up, "logs", "default-0")
    assert "Started container processor" in kubectl(up, "describe", "pod", "default-0")
    assert kubectl(up, "get", "nodes", "--no-headers").split()[:2] == ["local", "Ready"]


# --- deaths ---------------------------------------------------------------------------------------------------------


def test_a_killed_processor_has_its_stream_in_another_process(up: Up, short_clip: Path) -> None:
    body = a_file_stream(short_clip, real_time_mode_fps=SLOW_FPS)
    stream_id = up.rest("POST", "/2/streams", json=body).json()["stream_id"]
    up.stream_when(stream_id, "in_progress")
    first = _worker(up, stream_id)
    (pid,) = up.pids_of("processor")
    os.kill(pid, signal.SIGKILL)

    def is_elsewhere() -> bool:
        return up.stream(stream_id)["status"] == "in_progress" and _worker(up, stream_id) not in {None, first}

    up.poll(is_elsewhere, "the stream is in progress in another process")
    assert list(spools(up)), "what waits for delivery outlives the process"
    assert up.pids_of("processor") != [pid]
    up.stream_when(stream_id, "done")


def spools(up: Up) -> Iterator[Path]:
    """Yield the files of what waits for delivery, in the folders of the pods that are there."""
    for pod in (up.data / "pods").iterdir():
        if (file := pod / "volumes" / "spool" / "events" / "events.db").exists():
            yield file


def _worker(up: Up, stream_id: str) -> str | None:
    url = f"{up.endpoints['kubernetes']}/apis/lunastreams.dev/v1alpha1/namespaces/default/streams/{stream_id}"
    worker: str | None = httpx.get(url).json().get("status", {}).get("processor", {}).get("worker")
    return worker


def test_killing_up_leaves_nothing_running_and_the_next_one_has_every_stream(tmp_path: Path, short_clip: Path) -> None:
    data = tmp_path / "data"
    up = Up(data)
    with ExitStack() as cleanup:
        cleanup.callback(up.kill)
        paused = up.rest("POST", "/2/streams", json={**a_file_stream(CLIP), "status": "pause"}).json()["stream_id"]
        slow = a_file_stream(short_clip, real_time_mode_fps=SLOW_FPS)
        running = up.rest("POST", "/2/streams", json=slow).json()["stream_id"]
        before = {paused: up.stream(paused), running: up.stream_when(running, "in_progress")}
        pids = up.kill()
        up.poll(lambda: not any(is_alive(pid) for pid in pids), "nothing is left running")
        assert len(pids) >= 4  # shim, operator, processor, guardian
        assert not (data / "endpoints.json").exists()
    with running_up(data) as up:
        assert up.stream(paused) == before[paused]
        up.stream_when(running, "done")
        history = _history(up, running)
        assert history[:2] == ["pending", "in_progress"]
        assert history[-1] == "done"


def _history(up: Up, stream_id: str) -> list[str]:
    url = f"{up.endpoints['kubernetes']}/apis/lunastreams.dev/v1alpha1/namespaces/default/streams/{stream_id}"
    return [entry["status"] for entry in httpx.get(url).json()["status"]["history"]]


def test_a_signal_ends_it_cleanly(tmp_path: Path) -> None:
    """SIGTERM; that Ctrl-C does so as well, see below."""
    up = Up(tmp_path / "data", "--processors", "0")
    try:
        assert up.endpoints
        pids = up.pids()
        up.process.terminate()
        assert up.wait(60) == 0
        assert not [pid for pid in pids if is_alive(pid)]
        assert not (tmp_path / "data" / "endpoints.json").exists()
        assert "Traceback" not in up.output
    finally:
        up.kill()


def test_work_that_a_signal_cut_short_is_told_by_the_status(tmp_path: Path) -> None:
    up = Up(tmp_path / "data", "--processors", "0", "--demo", "--exit-when-idle")
    try:
        assert up.endpoints
        up.process.send_signal(signal.SIGINT)
        assert up.wait(60) == 130
        assert "Traceback" not in up.output
    finally:
        up.kill()


def test_the_guardian_of_a_killed_up_is_through_before_the_next_one_begins(tmp_path: Path) -> None:
    data = tmp_path / "data"
    killed = Up(data, "--processors", "0")
    with ExitStack() as cleanup:
        cleanup.callback(killed.kill)
        assert killed.endpoints
        (guardian,) = [pid for pid in killed.pids() if b"guardian.py" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        os.kill(guardian, signal.SIGSTOP)  # slow, as on a busy machine
        before = killed.output
        killed.kill()
        up = Up(data, "--processors", "0")
        cleanup.callback(up.kill)
        time.sleep(2)
        assert up.process.poll() is None
        assert up.output == before, "it has not begun"
        os.kill(guardian, signal.SIGCONT)
        up.poll(lambda: not is_alive(guardian), "the guardian has done its work")
        assert up.endpoints
        assert up.pids_of("shim")
        assert up.end() == 0


def test_it_ends_in_order_when_nobody_reads_what_it_says_any_more(tmp_path: Path) -> None:
    command = [str(COMMAND), "up", "--data", str(tmp_path / "data"), "--port", "0", "--processors", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        while b"Ready." not in process.stdout.readline():
            assert process.poll() is None
        process.stdout.close()
        process.stderr.close()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert "Traceback" not in (tmp_path / "data" / "up.log").read_text()
    finally:
        process.kill()
        process.wait()


def test_impatience_ends_it_at_once(tmp_path: Path) -> None:
    up = Up(tmp_path / "data", "--processors", "0")
    try:
        assert up.endpoints
        pids = up.pids()
        (shim,) = up.pids_of("shim")
        os.kill(shim, signal.SIGSTOP)  # it will not hear that it should end
        up.process.send_signal(signal.SIGINT)
        up.poll(lambda: "Ending" in up.output, "it began to end")
        up.process.send_signal(signal.SIGINT)
        assert up.wait(60) == 130
        up.poll(lambda: not any(is_alive(pid) for pid in pids), "nothing is left running")
        assert "Traceback" not in up.output
    finally:
        up.kill()


# --- options --------------------------------------------------------------------------------------------------------


def test_without_processors_streams_wait_for_a_foreign_worker(tmp_path: Path, short_clip: Path) -> None:
    with running_up(tmp_path / "data", "--processors", "0") as up:
        stream_id = up.rest("POST", "/2/streams", json=a_file_stream(short_clip)).json()["stream_id"]
        assert up.pids_of("processor") == []
        assert up.stream(stream_id)["status"] == "pending"
        arguments = ["--streams-origin", up.endpoints["rest"], "--platform-origin", up.endpoints["inbox"]]
        worker = subprocess.Popen([str(COMMAND), "processor", "--port", "0", *arguments])
        try:
            up.stream_when(stream_id, "done")
        finally:
            worker.terminate()
            worker.wait(60)
        assert len(up.events(stream_id)) == 1


def test_without_streams_idle_is_at_once(tmp_path: Path) -> None:
    ended = run_up(tmp_path / "data", "--processors", "0", "--exit-when-idle")
    assert (ended.returncode, ended.stderr) == (0, "")


# --- what a person has to change first ------------------------------------------------------------------------------


def test_a_taken_port_is_told_in_one_line(tmp_path: Path) -> None:
    with bind_loopback(0) as listener:
        port = listener.getsockname()[1]
        ended = run_up(tmp_path / "data", port=port)
    assert ended.returncode == 2
    assert f"port {port} is taken" in one_line(ended.stderr)
    assert "--port" in ended.stderr


def test_of_two_in_the_same_second_one_gets_the_port_and_the_other_says_so(tmp_path: Path) -> None:
    port = str(free_port())
    both = [Up(tmp_path / name, "--processors", "0", "--port", port) for name in ("a", "b")]
    try:
        both[0].poll(lambda: any(up.process.poll() is not None for up in both), "one gives way")
        (winner,) = [up for up in both if up.process.poll() is None]
        (loser,) = [up for up in both if up is not winner]
        assert loser.process.returncode == 2
        assert f"luna-streams up: port {port} is taken" in loser.output.splitlines()[-1]
        assert winner.endpoints["rest"] == f"http://127.0.0.1:{port}"
    finally:
        for up in both:
            up.kill()


@pytest.mark.parametrize("limit_bytes", [0, 100, 20_000, 60_000])
def test_a_disk_that_is_full_at_the_start_is_told_in_one_line(tmp_path: Path, limit_bytes: int) -> None:
    """A limit on the size of files stands for the disk: writing fails in the same places."""
    command = [str(COMMAND), "up", "--data", str(tmp_path / "data"), "--port", "0", "--processors", "0"]

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

    ended = subprocess.run(command, preexec_fn=limit, capture_output=True, text=True, timeout=150, check=False)
    assert ended.returncode == 2
    assert one_line(ended.stderr).endswith("make room, or choose another --data")


def test_a_folder_in_use_is_told_in_one_line(up: Up) -> None:
    ended = run_up(up.data)
    assert ended.returncode == 2
    assert f"in use by another `luna-streams up` (process {up.process.pid})" in one_line(ended.stderr)
    assert up.endpoints["pid"] == up.process.pid


@pytest.mark.parametrize("data", ["file", "file/below", "/proc/nowhere"])
def test_a_folder_that_cannot_be_used_is_told_in_one_line(tmp_path: Path, data: str) -> None:
    (tmp_path / "file").write_text("")
    ended = run_up(tmp_path / data)
    assert ended.returncode == 2
    assert "cannot be used" in one_line(ended.stderr)
    assert "--data" in ended.stderr


def test_a_missing_clip_is_told_in_one_line(tmp_path: Path) -> None:
    ended = run_up(tmp_path / "data", "--demo", str(tmp_path / "absent.mp4"), "--exit-when-idle")
    assert ended.returncode == 2
    assert one_line(ended.stderr) == f"luna-streams up: there is no video file {tmp_path / 'absent.mp4'}"


def test_an_unreadable_clip_is_told_in_one_line(tmp_path: Path) -> None:
    clip = tmp_path / "broken.mp4"
    clip.write_bytes(b"this is no video")
    ended = run_up(tmp_path / "data", "--demo", str(clip), "--exit-when-idle")
    assert ended.returncode == 1
    assert re.fullmatch(r"luna-streams up: stream demo broken failed: .+", one_line(ended.stderr))
    assert "broken.mp4" in ended.stderr or "Invalid data" in ended.stderr


def test_a_processor_that_cannot_start_is_told_in_its_own_words(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_up(data, "--processors", "0") as up:
        container = {"name": "processor", "env": [{"name": "LUNA_PROCESSOR_MODELS_DIR", "value": "/nowhere"}]}
        pool = {
            "apiVersion": "lunastreams.dev/v1alpha1",
            "kind": "StreamProcessor",
            "metadata": {"name": "default"},
            "spec": {"minReplicas": 0, "podTemplate": {"spec": {"containers": [container]}}},
        }
        url = f"{up.endpoints['kubernetes']}/apis/lunastreams.dev/v1alpha1/namespaces/default/streamprocessors"
        assert httpx.post(url, json=pool).status_code == 201
    ended = run_up(data)
    assert ended.returncode == 2
    line = one_line(ended.stderr)
    assert line.startswith("luna-streams up: the processor does not start: luna-streams processor: no models")
    assert "/nowhere" in line
