"""Make the sample clip and the truth about it: run `python make_clip.py`, with scikit-image, Pillow, numpy and PyAV.

An honest synthetic clip: a real photograph of a face (NASA's portrait of the astronaut Eileen Collins, public domain)
is cut out along an ellipse, then moved, scaled and rotated over a blurred photograph (a cup of coffee, CC0). A second,
mirrored copy comes from the other side two seconds later. Both photographs come with scikit-image. Since the motion is
ours, the place of each face in each frame is known exactly; detectors and trackers see what they see in any video.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageOps
from skimage import data

WIDTH, HEIGHT, FRAMES_PER_SECOND, FRAMES = 1280, 720, 25, 300
FOLDER = Path(__file__).parent

PORTRAIT = Image.fromarray(data.astronaut())
# Where the face is in the portrait, found by hand: left, top, right, bottom in its 512x512 pixels.
FACE = (180.0, 55.0, 268.0, 178.0)
# Head and shoulders; what lies outside is not shown.
CUT_OUT = (56, 8, 456, 532)

Affine = NDArray[np.float64]


@dataclass(frozen=True)
class Path2D:
    """How one copy moves; positions in pixels of the frame, speeds in pixels per frame."""

    first_frame: int
    start_x: float
    start_y: float
    speed_x: float
    first_scale: float
    last_scale: float
    phase: float
    is_mirrored: bool

    def placement(self, frame: int) -> Affine:
        """Return the 2x3 matrix from the portrait's pixels to the frame's, for a frame of the clip."""
        t = frame - self.first_frame
        scale = self.first_scale + (self.last_scale - self.first_scale) * t / FRAMES
        angle = math.radians(10 * math.sin(t / 18 + self.phase))
        x = self.start_x + self.speed_x * t
        y = self.start_y + 25 * math.sin(t / 25 + self.phase)
        cos, sin = scale * math.cos(angle), scale * math.sin(angle)
        centre = 256.0  # of the portrait: it turns about its middle
        return np.array(
            [
                [cos, sin, (1 - cos) * centre - sin * centre + x + centre * scale],
                [-sin, cos, sin * centre + (1 - cos) * centre + y],
            ]
        )


COPIES = (
    Path2D(0, -420, 120, 4.2, 0.7, 1.1, phase=0.0, is_mirrored=False),
    Path2D(60, 1250, 60, -3.1, 0.9, 0.6, phase=1.5, is_mirrored=True),
)


def box_of(path: Path2D, matrix: Affine) -> list[float]:
    """Return the upright box around the face in the frame, x1 y1 x2 y2."""
    left, top, right, bottom = FACE
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    if path.is_mirrored:
        corners[:, 0] = 511 - corners[:, 0]
    placed = corners @ matrix[:, :2].T + matrix[:, 2]
    return [round(float(value), 1) for value in (*placed.min(axis=0), *placed.max(axis=0))]


def paste(frame: Image.Image, path: Path2D, matrix: Affine, mask: Image.Image) -> None:
    """Draw a copy into a frame."""
    portrait = ImageOps.mirror(PORTRAIT) if path.is_mirrored else PORTRAIT
    # Pillow wants the way back, from the frame's pixels to the portrait's.
    back = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2].ravel().tolist()
    size, method, sampling = (WIDTH, HEIGHT), Image.Transform.AFFINE, Image.Resampling.BICUBIC
    placed = portrait.transform(size, method, back, sampling)
    placed_mask = mask.transform(size, method, back, sampling).filter(ImageFilter.GaussianBlur(1.5))
    frame.paste(placed, mask=placed_mask)


def main() -> None:
    """Write faces.mp4 and faces.json beside this file."""
    background = Image.fromarray(data.coffee()).resize((WIDTH, HEIGHT)).filter(ImageFilter.GaussianBlur(6))
    mask = Image.new("L", PORTRAIT.size)
    ImageDraw.Draw(mask).ellipse(CUT_OUT, fill=255)
    frames: list[list[dict[str, object]]] = []
    with av.open(str(FOLDER / "faces.mp4"), "w", options={"movflags": "+faststart"}) as clip:
        stream = clip.add_stream("libx264", rate=FRAMES_PER_SECOND, options={"preset": "slow", "crf": "22", "g": "50"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(FRAMES):
            frame, faces = background.copy(), list[dict[str, object]]()
            for face, path in enumerate(COPIES):
                if number < path.first_frame:
                    continue
                matrix = path.placement(number)
                paste(frame, path, matrix, mask)
                box = box_of(path, matrix)
                if box[2] > 10 and box[0] < WIDTH - 10:
                    faces.append({"face": face, "box_xyxy": box})
            frames.append(faces)
            clip.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(frame), format="rgb24")))
        clip.mux(stream.encode())
    truth = {"width": WIDTH, "height": HEIGHT, "frames_per_second": FRAMES_PER_SECOND, "frames": frames}
    (FOLDER / "faces.json").write_text(json.dumps(truth, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
