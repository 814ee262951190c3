"""The sample clip of `luna-streams up --demo`, with the truth about it; `make_clip.py` says how it was made."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

CLIP = Path(str(files(__name__).joinpath("faces.mp4")))
"""12 s of 1280x720 at 25 frames/s, H.264: two faces that move in opposite directions."""

TRUTH = Path(str(files(__name__).joinpath("faces.json")))
"""Where the faces are: {"width", "height", "frames_per_second", "frames": [[{"face", "box_xyxy"}, …], …]}."""
EXPECTED_FACES = 2
