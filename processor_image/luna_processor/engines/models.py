"""The models on disk: read the manifest, compare the files with it.

A model is used only if it is byte for byte the one the manifest describes; `engine` then compares names and shapes.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from luna_processor.errors import StartupError

MANIFEST = "manifest.yaml"
Task = Literal["faces", "bodies", "head_pose", "mouth_cover", "liveness_mask", "liveness_flying_faces"]
Decoder = Literal["centerface", "ssd", "yolox", "yolov8", "detr", "rtdetr", "whenet", "mask_classifier", "classifier"]
_DETECTORS: tuple[Decoder, ...] = ("ssd", "yolox", "yolov8", "detr", "rtdetr")
_DECODERS: dict[Task, tuple[Decoder, ...]] = {
    "faces": ("centerface", *_DETECTORS),
    "bodies": _DETECTORS,
    "head_pose": ("whenet",),
    "mouth_cover": ("mask_classifier",),
    "liveness_mask": ("classifier",),
    "liveness_flying_faces": ("classifier",),
}


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TensorSpec(_Entry):
    """Name and shape of an input or output; a word in the shape stands for a size that may vary."""

    name: str
    shape: tuple[int | str, ...]


Channels = tuple[float, float, float]


class PictureForm(_Entry):
    """How a picture becomes the input of an object detector or classifier; other decoders have a form of their own."""

    colour: Literal["rgb", "bgr"] = "rgb"
    """Order of the channels."""
    fit: Literal["stretch", "letterbox"] = "stretch"
    """Whether the picture is stretched to the input, or keeps its proportions, in the upper left corner."""
    border: float = Field(default=114.0, ge=0, le=255)
    """Brightness around a picture that keeps its proportions."""
    mean: Channels = (0.0, 0.0, 0.0)
    """Taken off each channel, whose values are 0 to 255."""
    deviation: Channels = (1.0, 1.0, 1.0)
    """Divides what is left; 255 for a model that takes 0 to 1."""

    @field_validator("deviation")
    @classmethod
    def _not_zero(cls, value: Channels) -> Channels:
        if 0 in value:
            raise ValueError("deviation must not be 0")
        return value


class ModelSpec(_Entry):
    """One model of the manifest."""

    name: str
    task: Task
    file: Annotated[str, StringConstraints(pattern=r"^[\w][\w.\-]*$")]
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$")]
    licence: str = "not stated"
    licence_file: str | None = None
    """Text of the licence, beside the manifest."""
    input: TensorSpec
    outputs: tuple[TensorSpec, ...] = Field(min_length=1)
    decoder: Decoder
    picture: PictureForm = PictureForm()
    class_index: int = Field(default=0, ge=0)
    """Object detectors and classifiers: the class that is wanted, of those the model knows."""
    activation: Literal["none", "softmax", "sigmoid"] = "none"
    """Classifiers only: what turns the output into probabilities, if it holds none yet."""
    crop_margin: float = Field(default=0.2, ge=0, le=3)
    """Classifiers only: picture around the face on each side, relative to its box."""
    origin: str = "not stated"
    made: str = "not stated"
    trained_on: str = "not stated"

    @model_validator(mode="after")
    def _fits_its_task(self) -> Self:
        known = _DECODERS[self.task]
        if self.decoder not in known:
            raise ValueError(f"decoder {self.decoder} is none for {self.task}; those are {', '.join(known)}")
        if len(self.input.shape) != 4 or 3 not in (self.input.shape[1], self.input.shape[3]):
            raise ValueError("the input must be [n, 3, height, width] or [n, height, width, 3]")
        return self

    @property
    def is_channels_last(self) -> bool:
        """Whether the input is (n, height, width, 3) and not (n, 3, height, width)."""
        return self.input.shape[3] == 3

    @property
    def fixed_batch(self) -> int | None:
        """Pictures of each batch, for a model that takes no other number of them."""
        first = self.input.shape[0]
        return first if isinstance(first, int) else None

    @property
    def input_size(self) -> tuple[int, int] | None:
        """Width and height of the input; None where they may vary."""
        height, width = self.input.shape[1:3] if self.is_channels_last else self.input.shape[2:4]
        return (width, height) if isinstance(width, int) and isinstance(height, int) else None


class _Manifest(_Entry):
    models: tuple[ModelSpec, ...]


class ModelLibrary:
    """The models of some folders; where a task has several, the first folder's come first.

    Raises:
        StartupError: if a folder has no readable manifest.
    """

    def __init__(self, *folders: Path) -> None:
        self._folders = folders
        self._models = [(model, folder) for folder in folders for model in _read_manifest(folder / MANIFEST)]

    def find(self, task: Task) -> ModelSpec | None:
        """Return the first model for a task, if there is one."""
        return next((model for model, _ in self._models if model.task == task), None)

    def choose(self, task: Task, name: str | None) -> ModelSpec:
        """Return the model of that name, or the first one for the task.

        Raises:
            StartupError: if there is none.
        """
        suitable = [model for model, _ in self._models if model.task == task]
        for model in suitable:
            if name is None or model.name == name:
                return model
        names = ", ".join(model.name for model in suitable) or "none"
        wanted = f"named '{name}' " if name else ""
        places = " or ".join(str(folder / MANIFEST) for folder in self._folders)
        raise StartupError(f"no model {wanted}for {task} in {places}; there: {names}")

    def read(self, model: ModelSpec) -> bytes:
        """Return the file of a model of this library.

        Raises:
            StartupError: if it is missing or not the file the manifest describes.
        """
        folder = next(folder for known, folder in self._models if known is model)
        path = folder / model.file
        try:
            content = path.read_bytes()
        except OSError as e:
            raise StartupError(
                f"model file {path} cannot be read ({e.strerror}); install the package again or put the file there"
            ) from e
        digest = hashlib.sha256(content).hexdigest()
        if digest != model.sha256.lower():
            raise StartupError(
                f"model file {path} is not the one its manifest describes; install the package again, or if the file "
                f"is the right one, write sha256: {digest} into {folder / MANIFEST}"
            )
        return content


def default_folder() -> Path:
    """Return where the models lie: inside the package (wheel) or beside it (source tree)."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "models"
    return inside if inside.is_dir() else package.parent / "models"


def _read_manifest(path: Path) -> tuple[ModelSpec, ...]:
    try:
        return _Manifest.model_validate(yaml.safe_load(path.read_text())).models
    except OSError as e:
        raise StartupError(f"no models: {path} cannot be read ({e.strerror})") from e
    except ValidationError as e:
        raise StartupError(f"{path} is not a valid list of models: {_first_fault(e)}") from e
    except (yaml.YAMLError, ValueError) as e:  # a month 13 is a ValueError, and bytes that are no text
        reason = str(e).splitlines()[0]
        raise StartupError(f"{path} is not a valid list of models: {reason}") from e


_FAULTS = {
    "missing": "is missing",
    "extra_forbidden": "is not known; is it misspelt?",
    "tuple_type": "must be a list",
    "model_type": "must be a group of fields",
    "too_short": "must not be empty",
}
"""What pydantic finds, in words that follow the name of a field."""


def _first_fault(error: ValidationError) -> str:
    """Return the first thing that is wrong with a manifest, for a person; models are counted from 1."""
    fault = error.errors(include_input=False, include_url=False)[0]
    if not fault["loc"]:
        return f"it must begin with the line models:, and the models below it ({default_folder() / MANIFEST} is one)"
    match fault["loc"]:
        case ("models", int(index), *parts):
            whose = f"model {index + 1}" + (": " if parts else "")
        case parts:
            whose = ""
    place = whose + ".".join(str(part) for part in parts)
    if words := _FAULTS.get(fault["type"]):
        return f"{place} {words}"
    own = fault.get("ctx", {}).get("error")
    return f"{place}: {own or fault['msg']}"
