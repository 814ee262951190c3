"""`luna-streams probe` and `luna-streams analyze`, as a person starts them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from luna_local.demo import CLIP
from luna_processor.vision.detections import iou_matrix
from support.cameras import needs_gstreamer, rtsp_server
from support.media import FPS, audio_file, demo_pictures, plain_pictures, truth, write_clip
from support.media_server import content, media_server
from support.repository import ROOT
from support.waiting import eventually_blocking

COMMAND = (sys.executable, "-m", "luna_local.command")
QUICK = ("--face-model", "centerface-int8", "--inference-workers", "1")
HLS = "application/vnd.apple.mpegurl"
PASSWORD = "s3cr3t-w0rd"
SLOW_S = 120.0


def environment() -> dict[str, str]:
    """Return ours without settings of the processor, and without colours."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LUNA_PROCESSOR_")}
    return clean | {"NO_COLOR": "1"}


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=SLOW_S, env=environment(), check=False)


def probe(*arguments: object) -> dict[str, Any]:
    """Probe with --json; returns what it says, with the exit status."""
    ended = run("probe", "--json", *arguments)
    assert "Traceback" not in ended.stderr
    told: dict[str, Any] = json.loads(ended.stdout)
    return told | {"exit": ended.returncode, "complaint": ended.stderr}


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def picture(path: Path) -> npt.NDArray[np.int_]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"), int)


def frames_of(path: Path) -> list[av.VideoFrame]:
    """Return the frames of a video; what was torn at its very end is passed over, as players do."""
    frames: list[av.VideoFrame] = []
    with av.open(str(path)) as container, contextlib.suppress(av.error.InvalidDataError):
        for frame in container.decode(video=0):
            frames.append(frame)
    return frames


def one_line(text: str) -> str:
    (line,) = text.splitlines()
    assert "Traceback" not in line
    return line


@pytest.fixture(scope="module")
def face(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of one face: 1.6 s, 640x360, a keyframe in every ten frames."""
    return write_clip(tmp_path_factory.mktemp("face") / "face.mp4", demo_pictures(4, 1.6, (640, 360)), g="10", bf="0")


@pytest.fixture(scope="module")
def truncated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A face in a transport stream that ends within a packet."""
    folder = tmp_path_factory.mktemp("truncated")
    whole = write_clip(folder / "whole.ts", demo_pictures(4, 1.6, (320, 180)), bf="0").read_bytes()
    path = folder / "truncated.ts"
    path.write_bytes(whole[: len(whole) * 3 // 4 // 188 * 188 + 7])
    return path


# -- probe ---------------------------------------------------------------------------------------------------------


def test_a_file_is_told_with_everything_a_stream_needs(face: Path) -> None:
    told = probe(face)
    video, decoding = told["video"], told["decoding"]
    assert (told["exit"], told["is_decodable"], told["problem"], told["complaint"]) == (0, True, None, "")
    assert (video["codec"], video["width"], video["height"], video["gop_size"]) == ("h264", 640, 360, 10)
    assert (video["frame_rate"], video["measured_frame_rate"]) == (FPS, FPS)
    assert video["measured_bit_rate"] == pytest.approx(8 * face.stat().st_size / 1.6, rel=0.2)
    assert (video["duration_s"], video["rotation"], told["audio_count"]) == (pytest.approx(1.6), 0, 0)
    assert (decoding["frames"], decoding["damaged_frames"], decoding["is_read_to_its_end"]) == (40, 0, True)
    assert 0 < decoding["opened_after_s"] <= decoding["first_frame_after_s"] < SLOW_S
    assert told["timestamps"] == {"are_monotone": True, "steps_back": 0, "missing": 0}
    assert (told["stream"]["type"], told["stream"]["reference"]) == ("videofile", str(face))


def test_a_person_reads_the_same_as_a_table(face: Path) -> None:
    ended = run("probe", face)
    assert (ended.returncode, ended.stderr) == (0, "")
    lines = [re.split(r"  +", line, maxsplit=1) for line in ended.stdout.splitlines()[1:]]
    facts = {name: value for name, value in lines if name}
    assert facts["size"] == "640x360"
    assert facts["keyframes"] == "every 10 frames, 0.4 s"
    assert facts["damaged"] == "none"
    assert facts["in a stream"] == "type: videofile"
    assert ["", f"reference: {face}"] in lines


def test_no_more_is_decoded_than_asked_for(face: Path) -> None:
    told = probe(face, "--frames", 5)
    assert (told["decoding"]["frames"], told["decoding"]["is_read_to_its_end"]) == (5, False)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        pytest.param("missing.mp4", "No such file", id="missing"),
        pytest.param("garbage.mp4", "invalid data", id="garbage"),
        pytest.param("sound.m4a", "has no video stream", id="no video"),
        pytest.param("truncated.ts", "truncated", id="truncated"),
        pytest.param("", "is a directory", id="folder"),
    ],
)
def test_what_cannot_be_decoded_is_told_in_one_line_and_by_the_status(
    name: str, words: str, truncated: Path, tmp_path: Path
) -> None:
    (tmp_path / "garbage.mp4").write_bytes(bytes(range(256)) * 50)
    audio_file(tmp_path / "sound.m4a")
    (tmp_path / "truncated.ts").write_bytes(truncated.read_bytes())
    ended = run("probe", tmp_path / name)
    assert ended.returncode == 1
    assert words in one_line(ended.stderr)


@pytest.mark.parametrize("reference", ["concat:/etc/hosts|/etc/hosts", "subfile,,start,0,end,9,,:/etc/hosts"])
@pytest.mark.parametrize("tool", ["probe", "analyze"])
def test_what_no_stream_may_open_the_tools_do_not_open_either(tool: str, reference: str, tmp_path: Path) -> None:
    ended = run(tool, reference, *(("--out", tmp_path / "out") if tool == "analyze" else ()))
    assert ended.returncode == (1 if tool == "probe" else 2)
    assert "scheme" in one_line(ended.stderr)
    assert not (tmp_path / "out").exists()


def test_scripts_get_json_whatever_is_wrong() -> None:
    told = probe(f"concat:a|rtsp://u:{PASSWORD}@host/x")
    assert (told["exit"], told["is_decodable"], told["video"], told["variants"]) == (1, False, None, [])
    assert "scheme" in told["problem"]
    assert PASSWORD not in json.dumps(told)


def test_a_password_is_never_printed() -> None:
    url = f"rtsp://admin:{PASSWORD}@127.0.0.1:9/live"
    for arguments in (("probe", url), ("probe", "--json", url)):
        ended = run(*arguments)
        assert ended.returncode == 1
        assert PASSWORD not in ended.stdout + ended.stderr
        assert "rtsp://127.0.0.1:9/live" in ended.stderr


@pytest.mark.parametrize(("flags", "width"), [((), 640), (("--preferred-width", 300), 320)])
def test_of_the_variants_of_hls_the_one_that_a_stream_would_read_is_named(
    flags: tuple[object, ...], width: int, tmp_path: Path
) -> None:
    scripts = {}
    for size in (320, 640):
        clip = write_clip(tmp_path / f"{size}.ts", plain_pictures(25, size, 240)).read_bytes()
        scripts[f"/{size}.ts"] = content(clip, "video/mp2t")
        text = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{size}.ts\n#EXT-X-ENDLIST\n"
        scripts[f"/{size}.m3u8"] = content(text.encode(), HLS)
    master = "".join(
        f"#EXT-X-STREAM-INF:BANDWIDTH={size}000,RESOLUTION={size}x240\n{size}.m3u8\n" for size in (320, 640)
    )
    scripts["/cam.m3u8"] = content(f"#EXTM3U\n{master}".encode(), HLS)
    with media_server(scripts) as server:
        told = probe(f"{server.origin}/cam.m3u8", *flags)
    assert [(variant["width"], variant["is_chosen"]) for variant in told["variants"]] == [
        (320, width == 320),
        (640, width == 640),
    ]
    assert (told["exit"], told["video"]["width"], told["stream"]["type"]) == (0, width, "tcp")


@pytest.mark.rtsp
@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_camera_is_probed_by_either_transport(transport: str, face: Path) -> None:
    needs_gstreamer()
    with rtsp_server(face) as (_, port):
        told = probe(f"rtsp://u:{PASSWORD}@127.0.0.1:{port}/cam", "--transport", transport, "--frames", 10)
    assert (told["exit"], told["video"]["width"], told["video"]["duration_s"]) == (0, 640, None)
    assert told["stream"]["type"] == transport
    assert told["stream"]["reference"] == f"rtsp://127.0.0.1:{port}/cam"


def test_pictures_in_a_folder_are_probed_by_their_mask(tmp_path: Path) -> None:
    for number, picture in enumerate(plain_pictures(3)):
        Image.fromarray(picture).save(tmp_path / f"{number:03d}.png")
    told = probe(tmp_path, "--mask", "%03d.png")
    assert (told["exit"], told["decoding"]["frames"], told["video"]["width"]) == (0, 3, 320)
    assert (told["stream"]["type"], told["stream"]["mask"]) == ("images", "%03d.png")


# -- analyze -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def analysed(face: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an analysis of a face."""
    folder = tmp_path_factory.mktemp("analysis") / "deep" / "out"
    stream = folder.parent.parent / "stream.yaml"
    stream.write_text("analytics: [{mode: 1, event_handler: {frame_store: 'http://store/1/buckets/frames/images'}}]\n")
    ended = run("analyze", face, "--out", folder, "--stream", stream, *QUICK)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "best shots" in ended.stdout
    return folder


def test_tracks_lie_on_the_face_in_every_frame(analysed: Path) -> None:
    (track,) = read(analysed / "tracks.json")
    assert (track["number"], track["mode"], track["sighting_count"]) == (1, 1, len(track["sightings"]))
    assert track["sighting_count"] > 30
    overlaps = []
    for sighting in track["sightings"]:
        # The clip is half as large as the one whose truth is known, and begins at its fourth second.
        true = np.array(list(truth(sighting["frame"] + 4 * FPS).values()), np.float32) * np.float32(0.5)
        box = sighting["face"]["bounding_box"]
        found = np.array([[box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]]], np.float32)
        overlaps.append(float(iou_matrix(found, true).max()))
        assert sighting["pts_s"] == pytest.approx(sighting["frame"] / FPS, abs=1e-3)
    assert min(overlaps) > 0.4


def test_best_shots_are_told_with_their_pictures_and_events(analysed: Path) -> None:
    (shot,) = read(analysed / "shots.json")
    (track,) = read(analysed / "tracks.json")
    (line,) = (analysed / "events.jsonl").read_text().splitlines()
    event = json.loads(line)
    assert track["best_shots"] == event["pictures"] == [shot["picture"]]
    assert (shot["track"], shot["track_id"], shot["kind"]) == (1, track["track_id"], "face")
    (detection,) = event["body"]["meta"]["detections"]
    assert detection["face_detection_data"] == shot["face_detection_data"]
    assert event["params"]["track_id"] == track["track_id"]
    assert picture(analysed / shot["picture"]).shape[1] > 20
    assert picture(analysed / shot["frame_picture"]).shape == (360, 640, 3)
    taken = [sighting["pts_s"] for sighting in track["sightings"] if sighting["is_best_so_far"]]
    assert shot["detect_ts"] == pytest.approx(taken[-1], abs=1e-3), "the last that was the best so far is the best"


def test_the_video_has_every_frame_at_its_time_and_shows_the_shot_at_the_end(analysed: Path) -> None:
    frames = frames_of(analysed / "annotated.mp4")
    assert len(frames) == 40 + 2
    assert [frame.time for frame in frames[:40]] == pytest.approx([number / FPS for number in range(40)], abs=1e-3)
    assert (frames[0].width, frames[0].height) == (640, 360)
    corner = frames[-1].to_ndarray(format="rgb24")[-70:, -70:].astype(int)
    before = frames[20].to_ndarray(format="rgb24")[-70:, -70:].astype(int)
    assert np.abs(corner - before).mean() > 20


def test_the_summary_has_the_figures_and_the_parameters(analysed: Path, face: Path) -> None:
    told = read(analysed / "summary.json")
    assert (told["outcome"], told["error"], told["source"]) == ("done", None, str(face))
    assert told["frames"] == {"read": 40, "analysed": 40, "dropped": 0}
    assert (told["tracks"], told["best_shots"], told["events"]) == (1, 1, 1)
    assert told["data"]["analytics"][0]["mode"] == 1


def test_the_page_about_the_tools_has_the_fields_that_there_are(analysed: Path, face: Path) -> None:
    text = (ROOT / "docs" / "tools.md").read_text()
    examples = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL)]
    event = json.loads((analysed / "events.jsonl").read_text())
    told = probe(face)
    del told["exit"], told["complaint"]
    actual = [
        told,
        read(analysed / "tracks.json"),
        read(analysed / "shots.json"),
        event,
        read(analysed / "summary.json"),
    ]
    assert [outline(example) for example in examples] == [outline(value) for value in actual]


def outline(value: Any, name: str = "") -> Any:
    """Return the names of fields, without what varies; the stream's parameters have a page of their own."""
    if name in ("data", "video_info", "meta", "params", "headers"):
        return "..."
    if isinstance(value, dict):
        return {key: outline(item, key) for key, item in sorted(value.items())}
    return [outline(value[0])] if isinstance(value, list) and value and isinstance(value[0], dict) else "..."


def test_a_turned_and_cut_stream_is_drawn_upright_with_its_region(face: Path, tmp_path: Path) -> None:
    turned = write_clip(tmp_path / "turned.mp4", (np.rot90(p) for p in demo_pictures(4, 0.6, (640, 360))))
    out = tmp_path / "out"
    flags = ("--rotation", 90, "--roi", "10,10,80,80%", "--mode", "faces", "--frames", "--max-frames", 10)
    ended = run("analyze", turned, "--out", out, *flags, *QUICK)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert not (out / "annotated.mp4").exists()
    pictures = sorted(path.name for path in (out / "frames").iterdir())
    assert pictures == [*(f"{number:06d}.jpg" for number in range(10)), "end.jpg"]
    drawn = picture(out / "frames" / "000009.jpg")
    plain = next(demo_pictures(4 + 9 / FPS, 1, (640, 360))).astype(int)
    assert drawn.shape == (360, 640, 3)
    assert np.abs(drawn[150:200, 400:500] - plain[150:200, 400:500]).mean() < 12, (
        "upright, and bright inside the region"
    )
    assert drawn[345:, 300:600].mean() < 0.6 * plain[345:, 300:600].mean(), "dimmed outside"
    (track,) = read(out / "tracks.json")
    box = track["sightings"][-1]["face"]["bounding_box"]
    assert box["y"] + box["height"] <= 640, "boxes are in pixels of the frame as it was decoded: 360x640"
    true = truth(4 * FPS + 9)
    left, top, right, bottom = (side / 2 for side in next(iter(true.values())))
    assert (box["x"], box["y"]) == pytest.approx((top, 640 - right), abs=12)
    assert (box["width"], box["height"]) == pytest.approx((bottom - top, right - left), abs=12)


def test_what_was_processed_of_a_truncated_file_is_kept(truncated: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ended = run("analyze", truncated, "--out", out, "--mode", "faces", *QUICK)
    assert ended.returncode == 1
    assert "truncated" in one_line(ended.stderr)
    told = read(out / "summary.json")
    assert (told["outcome"], told["tracks"], told["best_shots"]) == ("failed", 1, 1)
    assert "truncated" in told["error"]
    assert len(frames_of(out / "annotated.mp4")) >= told["frames"]["analysed"] > 10


@pytest.mark.parametrize(("stop", "status"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_whatever_ends_it_what_was_done_is_whole(stop: signal.Signals, status: int, tmp_path: Path) -> None:
    out = tmp_path / "out"
    video, said = out / "annotated.mp4", tmp_path / "stderr"
    command = [*COMMAND, "analyze", str(CLIP), "--out", str(out), "--mode", "faces", *QUICK]
    with (
        said.open("w") as stderr,
        subprocess.Popen(command, stdout=stderr, stderr=stderr, env=environment()) as process,
    ):
        try:
            # A fragment reaches the file with each keyframe, so that there is something to play.
            eventually_blocking(
                lambda: process.poll() is not None or (video.exists() and video.stat().st_size > 150_000),
                "some of the video is written",
                SLOW_S,
            )
            process.send_signal(stop)
            assert process.wait(SLOW_S) == status
        finally:
            process.kill()
    assert isinstance(read(out / "tracks.json"), list)
    assert isinstance(read(out / "shots.json"), list)
    assert all(json.loads(line) for line in (out / "events.jsonl").read_text().splitlines())
    assert len(frames_of(video)) > 10
    if stop is not signal.SIGKILL:
        assert read(out / "summary.json")["outcome"] == "interrupted"
        assert len(read(out / "tracks.json")) == len(read(out / "shots.json")) == 1
    assert "Traceback" not in said.read_text()


def test_a_folder_that_cannot_be_written_any_more_is_told_in_one_line(face: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    program = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000));"
        "from luna_local.command import main; sys.exit(main())"
    )
    command = [sys.executable, "-c", program, "analyze", str(face), "--out", str(out), "--mode", "faces", *QUICK]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=SLOW_S, env=environment(), check=False)
    assert ended.returncode == 1
    assert "cannot be written: File too large" in one_line(ended.stderr)
    assert isinstance(read(out / "tracks.json"), list)


def test_parts_of_a_file_are_analysed(face: Path, tmp_path: Path) -> None:
    ended = run("analyze", face, "--out", tmp_path, "--start", 0.4, "--duration", 0.4, "--no-pictures", *QUICK)
    assert (ended.returncode, ended.stderr) == (0, "")
    (track,) = read(tmp_path / "tracks.json")
    assert track["sightings"][0]["frame"] >= 10
    assert read(tmp_path / "summary.json")["frames"]["analysed"] == 10
    assert not (tmp_path / "annotated.mp4").exists()


@pytest.mark.rtsp
def test_a_live_source_is_analysed_for_as_long_as_asked(tmp_path: Path) -> None:
    needs_gstreamer()
    out = tmp_path / "out"
    with rtsp_server(CLIP) as (_, port):
        url = f"rtsp://u:{PASSWORD}@127.0.0.1:{port}/cam"
        ended = run("analyze", url, "--out", out, "--duration", 2, "--mode", "faces", *QUICK)
    assert (ended.returncode, ended.stderr) == (0, "")
    told = read(out / "summary.json")
    assert (told["outcome"], told["source"]) == ("done", f"rtsp://127.0.0.1:{port}/cam")
    assert told["frames"]["analysed"] > 3
    assert PASSWORD not in "".join(path.read_text() for path in out.glob("*.json*")) + ended.stdout


def test_a_folder_with_something_in_it_is_left_alone_unless_told_otherwise(face: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "shots").mkdir()
    (tmp_path / "shots" / "old.jpg").write_text("old")
    flags = ("--max-frames", 1, "--no-pictures", *QUICK)
    refused = run("analyze", face, "--out", tmp_path, *flags)
    assert refused.returncode == 2
    assert "--overwrite" in one_line(refused.stderr)
    assert (tmp_path / "shots" / "old.jpg").exists()
    assert run("analyze", face, "--out", tmp_path, "--overwrite", *flags).returncode == 0
    assert (tmp_path / "mine.txt").read_text() == "mine"
    assert not (tmp_path / "shots" / "old.jpg").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        pytest.param((), 2, "no source", id="no source"),
        pytest.param(("missing.mp4",), 1, "No such file", id="missing file"),
        pytest.param((CLIP, "--start", "-1"), 2, "--start", id="negative time"),
        pytest.param((CLIP, "--roi", "1,2"), 2, "--roi", id="region"),
        pytest.param((CLIP, "--stream", "missing.yaml"), 2, "missing.yaml", id="missing parameters"),
        pytest.param((CLIP, "--face-model", "nobodys"), 2, "nobodys", id="unknown model"),
        pytest.param(("rtsp://127.0.0.1:9/x", "--start", "1"), 2, "--start needs a file", id="start of a live source"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line_before_anything_is_written(
    arguments: tuple[object, ...], status: int, words: str, tmp_path: Path
) -> None:
    ended = run("analyze", *arguments, "--out", tmp_path / "out")
    assert ended.returncode == status
    assert words in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("tool", ["probe", "analyze"])
def test_help_has_examples(tool: str) -> None:
    ended = run(tool, "--help")
    assert ended.returncode == 0
    assert f"examples:\n  luna-streams {tool} " in ended.stdout
