"""Settings of the processor, from the environment (LUNA_PROCESSOR_*) and the command line, which wins."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    field_validator,
    model_validator,
)

from luna_processor.engines.models import default_folder
from luna_processor.errors import StartupError
from luna_streams.configuration import SettingsError, load_settings
from luna_streams.pool import HandlerFormat
from luna_streams.references import has_user_info

PREFIX = "LUNA_PROCESSOR_"


def _usable(origin: str) -> str:
    """Return an address that can be connected to and shown in logs.

    Raises:
        ValueError: if it is none.
    """
    try:
        parts = urlsplit(origin)
        is_good = bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that do not close, a port that is no number
        is_good = False
    if not is_good:
        raise ValueError("is no address, such as http://127.0.0.1:5160")
    if has_user_info(origin):
        raise ValueError("must not contain user or password")
    return origin


Origin = Annotated[str, StringConstraints(pattern=r"^https?://[^\s]+$"), AfterValidator(_usable)]
Decoder = Literal["auto", "gpu", "cpu"]
Names = tuple[str, ...]
"""Comma-separated in the environment and on the command line."""


class Settings(BaseModel):
    """How one processor process runs."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    streams_origin: Origin
    """Address of LUNA Streams, e.g. http://127.0.0.1:5160."""
    api_version: Literal["1", "2"] = "2"
    """Version of LUNA Streams' API that is spoken."""
    v1_mode: Literal["faces", "bodies", "humans"] = "faces"
    """What is looked for in streams of API version 1, which do not say it; humans are faces and their bodies."""
    capacity: int = Field(default=4, ge=1, le=1000)
    """Streams that are processed at the same time."""
    platform_origin: Origin | None = None
    """LUNA PLATFORM for streams that do not name one (REST v2 has no such field)."""
    platform_api_version: int = Field(default=6, ge=1)
    """Version of LUNA PLATFORM's API for the same."""
    event_format: HandlerFormat = "events"
    """What handlers of LUNA PLATFORM are sent: `events` is multipart, which every version takes; `stream_events` is
    msgpack, as FaceStream has sent it since 5.1.49; `stream_events_6_18` is the same before API 6.27 renamed some
    fields."""
    stream_ids: Names = ()
    """Only these streams are taken; comma-separated. Lists of filters are combined: all must fit."""
    names: Names = ()
    """Only streams of these names are taken."""
    group_ids: Names = ()
    """Only streams of these groups are taken."""
    group_names: Names = ()
    """Only streams of these groups are taken."""
    feedback_period: float = Field(default=5.0, gt=0, le=60)
    """Seconds between reports; less than `max_feedback_delay`."""
    max_feedback_delay: float = Field(default=10.0, gt=0, le=600)
    """Seconds without an answered report after which all streams are stopped; less than `obsoleting_period`."""
    obsoleting_period: float = Field(default=20.0, gt=0, le=3600)
    """Seconds after which LUNA Streams gives unreported streams to others (its STREAM_STATUS_OBSOLETING_PERIOD)."""
    queue_wait: float = Field(default=15.0, ge=0, le=60)
    """Seconds the server may keep a request for streams open until there are some."""
    listen_host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(default=34569, ge=0, le=65535)
    """Port to listen on (FaceStream's); 0 takes a free one."""
    advertised_host: str = ""
    """Host in the preview URLs that LUNA Streams fetches; by default the address listened on."""
    token_file: Path | None = None
    """File with the token that is sent to LUNA Streams; read again for every request, since it is renewed."""
    models_dir: Path = Field(default_factory=default_folder)
    """Folder with the models and their manifest."""
    extra_models_dir: Path | None = None
    """Folder with models of your own and their manifest; they go before those of `models_dir`."""
    face_model: str | None = None
    """Model that finds faces; by default the first one of the manifest."""
    body_model: str | None = None
    """Model that finds bodies; by default the first one of the manifest."""
    head_pose_model: str | None = None
    """Model that measures head pose; by default the first one of the manifest."""
    mouth_cover_model: str | None = None
    """Model that measures how far a mouth is covered; by default the first one of the manifest."""
    detector_size: int = Field(default=640, ge=128, le=2048)
    """Longest side of the picture that is searched, pixels, where the model leaves the choice."""
    convert_full_frame: bool = True
    """What `auto` means for frame_processing_mode (FaceStream's convert_full_frame): true processes frames in their
    full size, false made smaller to the size that is searched, which costs less and gives small best shots."""
    detect_every: int = Field(default=1, ge=1, le=30)
    """Every n-th frame is searched for faces and bodies (FaceStream's detector-step); tracks go on in between."""
    body_tiles: Literal["off", "auto", "2", "3", "4"] = "off"
    """Whether bodies are also looked for in square pieces of wide pictures (auto), or in that many rows of pieces."""
    min_body_detections: int = Field(default=3, ge=0, le=10000)
    """Detections of a body that belong to a full set (FaceStream's minimal_body_track_length_to_send)."""
    inference_workers: int = Field(default_factory=lambda: max(1, len(os.sched_getaffinity(0))), ge=1, le=256)
    """Threads that run models on the CPU; by default one per core."""
    device: Literal["cpu", "gpu"] = "cpu"
    """What computes: the CPU, or an NVIDIA GPU; a GPU that is asked for and missing ends the start."""
    gpu_index: int = Field(default=0, ge=0)
    """Which GPU, of those that the process sees, counted as nvidia-smi does."""
    gpu_runtime: Literal["auto", "cuda", "tensorrt"] = "auto"
    """What runs models on a GPU; auto is tensorrt where it is installed and `engine_cache_dir` is set, else cuda."""
    tensorrt_fp16: bool = True
    """Whether TensorRT may compute in FP16."""
    engine_cache_dir: Path | None = None
    """Folder in which TensorRT keeps what it builds, minutes for each model; it must outlive the process."""
    max_batch: int = Field(default=16, ge=1, le=256)
    """Pictures of several streams that a GPU takes at once."""
    batch_deadline: float = Field(default=0.01, ge=0, le=1)
    """Seconds that a picture waits for others on an idle GPU; more than the time between two frames gains nothing."""
    decoder: Decoder = "auto"
    """What decodes with `device` gpu: auto takes the CPU, and says so, where the GPU cannot; gpu fails the stream."""
    spool_dir: Path | None = None
    """Folder in which events wait for delivery, for this process alone: `~/.local/state/luna-streams/spool-PORT`."""
    spool_size: int = Field(default=2**30, ge=0)
    """Bytes of events that may wait; beyond, files wait, live streams drop. 0 keeps 64 MiB in memory, none on disk."""
    delivery_timeout: float = Field(default=10.0, gt=0)
    """Seconds that a request to LUNA PLATFORM may stand still: to connect, to go on with sending, to go on with
    answering. As a whole it may take six times that."""
    give_up_after: float = Field(default=86_400.0, gt=0)
    """Seconds after which an event that cannot be delivered is dropped and counted; long, as the spool is bounded."""
    shutdown_grace: float = Field(default=20.0, ge=0)
    """Seconds for deliveries after SIGTERM."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severity that is logged."""

    @field_validator("stream_ids", "names", "group_ids", "group_names", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _stops_before_others_begin(self) -> Self:
        if not self.feedback_period < self.max_feedback_delay < self.obsoleting_period:
            raise ValueError(
                f"feedback_period ({self.feedback_period:g} s) must be shorter than max_feedback_delay "
                f"({self.max_feedback_delay:g} s), and that shorter than obsoleting_period "
                f"({self.obsoleting_period:g} s): LUNA Streams gives streams to others that are still processed here"
            )
        return self

    @property
    def body_tile_rows(self) -> int:
        """Rows of pieces in which bodies are looked for; 0 is none."""
        rows = {"off": 0, "auto": 1}
        return rows[self.body_tiles] if self.body_tiles in rows else int(self.body_tiles)

    def token(self) -> SecretStr | None:
        """Return the present token for LUNA Streams.

        Raises:
            OSError: if the file cannot be read.
        """
        return SecretStr(self.token_file.read_text().strip()) if self.token_file else None


def load(flags: Mapping[str, object], environment: Mapping[str, str]) -> Settings:
    """Return the settings.

    Args:
        flags: fields given on the command line.
        environment: of the process.

    Raises:
        StartupError: in one line, what is wrong with which variable or flag.
    """
    try:
        return load_settings(Settings, PREFIX, environment, flags)
    except SettingsError as e:
        raise StartupError(str(e)) from e
