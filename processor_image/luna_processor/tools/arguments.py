"""Command-line arguments that the tools share."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from luna_processor.settings import PREFIX, Settings, load

NO_SERVER: Final = "http://127.0.0.1"
"""The worker's settings want a LUNA Streams; the tools never ask it."""
SOME_PLATFORM: Final = "http://luna-platform"
"""Where events would go that name no platform."""
SETTINGS: Final = (
    "models_dir", "extra_models_dir", "face_model", "body_model", "head_pose_model", "mouth_cover_model",
    "detector_size", "convert_full_frame", "detect_every", "body_tiles", "min_body_detections", "inference_workers",
    "device", "gpu_index", "gpu_runtime", "tensorrt_fp16", "engine_cache_dir", "decoder", "platform_origin",
    "platform_api_version", "event_format", "log_level",
)  # fmt: skip
"""Settings of the worker that mean something without a server."""


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add the worker's settings that are of use here."""
    group = parser.add_argument_group(
        "settings of the processor", f"all may be given as variables, too: {PREFIX}FACE_MODEL and so on"
    )
    for name in SETTINGS:
        text = (Settings.model_fields[name].description or "").replace("%", "%%")
        group.add_argument(f"--{name.replace('_', '-')}", dest=name, default=None, help=text)


def load_settings(arguments: Mapping[str, Any], environment: Mapping[str, str]) -> Settings:
    """Return the settings, as a worker started with the same flags and variables would have them.

    Raises:
        StartupError: in one line, what is wrong with which variable or flag.
    """
    flags = {name: arguments[name] for name in SETTINGS if arguments.get(name) is not None}
    defaults = {"log_level": "warning", "platform_origin": SOME_PLATFORM}
    for name, value in defaults.items():
        if f"{PREFIX}{name.upper()}" not in environment:
            flags.setdefault(name, value)
    return load({"streams_origin": NO_SERVER, **flags}, environment)


def add_source(parser: argparse._ActionsContainer) -> None:
    """Add what says how a source is read."""
    parser.add_argument("--transport", choices=("tcp", "udp"), help="how a URL is read; by default tcp, udp for udp://")
    parser.add_argument("--mask", metavar="MASK", help="SOURCE is a folder of pictures of such names, e.g. %%05d.jpg")
    parser.add_argument(
        "--preferred-width",
        type=whole_number,
        metavar="PIXELS",
        help="of several variants or programs, the one of the nearest width is read (800)",
    )


def seconds(text: str) -> float:
    """Return a positive number of seconds.

    Raises:
        argparse.ArgumentTypeError: if it is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of seconds above 0")
    return value


def whole_number(text: str) -> int:
    """Return a whole number of at least 1.

    Raises:
        argparse.ArgumentTypeError: if it is none.
    """
    if not text.isascii() or not text.isdigit() or not 1 <= len(text) <= 9 or int(text) == 0:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number above 0")
    return int(text)


def path(text: str) -> Path:
    """Return a path.

    Raises:
        argparse.ArgumentTypeError: if it is empty or none.
    """
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError("a path is expected")
    return Path(text)
