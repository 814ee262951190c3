"""The models on disk: read the manifest, compare the files with it.

A model is used only if it is byte for byte the one the manifest describes; `engine` then compares names and shapes.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from luna_processor.errors import StartupError

MANIFEST = "manifest.yaml"
Task = Literal["faces", "head_pose", "mouth_cover"]
Decoder = Literal["centerface", "whenet", "mask_classifier"]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TensorSpec(_Entry):
    """Name and shape of an input or output; a word in the shape stands for a size that may vary."""

    name: str
    shape: tuple[int | str, ...]


class ModelSpec(_Entry):
    """One model of the manifest."""

    name: str
    task: Task
    file: Annotated[str, StringConstraints(pattern=r"^[\w][\w.\-]*$")]
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    licence: str
    licence_file: str
    input: TensorSpec
    outputs: tuple[TensorSpec, ...] = Field(min_length=1)
    decoder: Decoder
    origin: str
    made: str
    trained_on: str


class _Manifest(_Entry):
    models: tuple[ModelSpec, ...]


class ModelLibrary:
    """The models of one folder.

    Raises:
        StartupError: if the folder has no readable manifest.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._models = _read_manifest(folder / MANIFEST)

    def choose(self, task: Task, name: str | None) -> ModelSpec:
        """Return the model of that name, or the first one for the task.

        Raises:
            StartupError: if there is none.
        """
        suitable = [model for model in self._models if model.task == task]
        for model in suitable:
            if name is None or model.name == name:
                return model
        names = ", ".join(model.name for model in suitable) or "none"
        wanted = f"named '{name}' " if name else ""
        raise StartupError(f"no model {wanted}for {task} in {self._folder / MANIFEST}; there: {names}")

    def read(self, model: ModelSpec) -> bytes:
        """Return the file of a model.

        Raises:
            StartupError: if it is missing or not the file the manifest describes.
        """
        path = self._folder / model.file
        try:
            content = path.read_bytes()
        except OSError as e:
            raise StartupError(
                f"model file {path} cannot be read ({e.strerror}); install the package again or put the file there"
            ) from e
        digest = hashlib.sha256(content).hexdigest()
        if digest != model.sha256:
            raise StartupError(
                f"model file {path} is not the one its manifest describes "
                f"(sha256 {digest[:12]}…, expected {model.sha256[:12]}…); install the package again"
            )
        return content


def default_folder() -> Path:
    """Return where the models lie: inside the package (wheel) or beside it (source tree)."""
    package = Path(__file__).resolve().parent
    inside = package / "models"
    return inside if inside.is_dir() else package.parent / "models"


def _read_manifest(path: Path) -> tuple[ModelSpec, ...]:
    try:
        return _Manifest.model_validate(yaml.safe_load(path.read_text())).models
    except OSError as e:
        raise StartupError(f"no models: {path} cannot be read ({e.strerror})") from e
    except (yaml.YAMLError, ValidationError) as e:
        reason = str(e).splitlines()[0]
        raise StartupError(f"{path} is not a valid list of models: {reason}") from e
