"""What all streams of a process share: its networks and the stages they make, how it opens sources, its defaults."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from luna_processor.engines.batcher import Batcher
from luna_processor.engines.card import Card, open_card
from luna_processor.engines.loading import open_engine
from luna_processor.engines.models import ModelLibrary, ModelSpec, Task
from luna_processor.engines.port import BatchPolicy, Engine
from luna_processor.frames import Source
from luna_processor.selection.liveness import Check
from luna_processor.settings import Settings
from luna_processor.sources.adapters import open_source
from luna_processor.sources.cuda import GpuDecoding, decoder_context, gpu_decoding
from luna_processor.streams.pipeline import Stages
from luna_processor.streams.plan import Platform, SourcePlan
from luna_processor.streams.scene import Estimators
from luna_processor.vision.detector import DetectorSettings, make_detector
from luna_processor.vision.estimators import HeadPoseEstimator, LivenessClassifier, MouthCoverEstimator
from luna_processor.vision.trial import try_out

INFERENCE_PATIENCE_S = 30.0
"""A picture that waits this long while no other is answered means that inference hangs."""

LIVENESS_TASKS: Mapping[Check, Task] = {"mask": "liveness_mask", "flying_faces": "liveness_flying_faces"}


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A network, ready to run, what the manifest says of it, and how its batches are made."""

    spec: ModelSpec
    engine: Engine
    policy: BatchPolicy

    def batcher(self, name: str) -> Batcher:
        """Return what gathers pictures for it."""
        return Batcher(self.engine, self.policy, name)


@dataclass(frozen=True, slots=True)
class Engines:
    """The loaded networks."""

    faces: LoadedModel
    bodies: LoadedModel
    head_pose: LoadedModel
    mouth_cover: LoadedModel
    liveness: Mapping[Check, LoadedModel]
    """Of the checks that the user supplied models for."""
    card: Card | None = None
    """The GPU they run on; None for the CPU."""
    decoder_context: object = None
    """What made the GPU's context as the decoder needs it, until the networks hold it, too."""


def load_engines(settings: Settings) -> Engines:
    """Load the models the settings name, on the device they name.

    Raises:
        StartupError: if a model is missing, not what the manifest says or of no use, or there is no such device.
    """
    card = open_card(settings) if settings.device == "gpu" else None
    # Before the first model: see there.
    context = decoder_context(card.accelerator.gpu_index) if card and settings.decoder != "cpu" else None
    library = ModelLibrary(*[folder for folder in (settings.extra_models_dir, settings.models_dir) if folder])

    def open_model(model: ModelSpec) -> LoadedModel:
        engine, policy = open_engine(model, library.read(model), settings, card)
        try_out(model, engine, _search_of(settings))
        return LoadedModel(model, engine, policy)

    def load(task: Task, name: str | None) -> LoadedModel:
        return open_model(library.choose(task, name))

    return Engines(
        load("faces", settings.face_model),
        load("bodies", settings.body_model),
        load("head_pose", settings.head_pose_model),
        load("mouth_cover", settings.mouth_cover_model),
        {check: open_model(model) for check, task in LIVENESS_TASKS.items() if (model := library.find(task))},
        card,
        context,
    )


class Inference:
    """The running networks of a process; `close` it once its streams have ended.

    Args:
        settings: of the process.
        engines: loaded networks.
    """

    def __init__(self, settings: Settings, engines: Engines) -> None:
        self.card = engines.card
        """The GPU; None on the CPU."""
        self.batchers = {
            "faces_waiting": engines.faces.batcher("faces"),
            "bodies_waiting": engines.bodies.batcher("bodies"),
            "head_poses_waiting": engines.head_pose.batcher("head-pose"),
            "mouths_waiting": engines.mouth_cover.batcher("mouth-cover"),
        }
        """By the name of the metric that tells how much waits for them."""
        liveness = {
            check: (model.spec, model.batcher(f"liveness-{check}")) for check, model in engines.liveness.items()
        }
        self.batchers |= {f"liveness_{check}_waiting": batcher for check, (_, batcher) in liveness.items()}
        search = _search_of(settings)
        self.stages = Stages(
            make_detector(engines.faces.spec, self.batchers["faces_waiting"], search),
            make_detector(engines.bodies.spec, self.batchers["bodies_waiting"], search),
            Estimators(
                HeadPoseEstimator(self.batchers["head_poses_waiting"]),
                MouthCoverEstimator(self.batchers["mouths_waiting"]),
                {check: LivenessClassifier(spec, batcher) for check, (spec, batcher) in liveness.items()},
            ),
            search_every=settings.detect_every,
            body_tile_rows=settings.body_tile_rows,
        )

    @property
    def ailments(self) -> Sequence[str]:
        """What is wrong with the networks, if anything."""
        hanging = [
            f"inference hangs: {name}"
            for name, batcher in self.batchers.items()
            if not batcher.is_alive(INFERENCE_PATIENCE_S)
        ]
        lost = self.card.condition.lost_because if self.card else None
        return [*hanging, lost] if lost else hanging

    def close(self) -> None:
        """Stop the networks; pictures that wait are answered with an error."""
        for batcher in self.batchers.values():
            batcher.close()


def _search_of(settings: Settings) -> DetectorSettings:
    return DetectorSettings(longest_side=settings.detector_size)


def platform_of(settings: Settings, stages: Stages) -> Platform:
    """Return what the process brings along for all its streams."""
    return Platform(
        settings.platform_origin,
        settings.platform_api_version,
        frozenset(stages.estimators.liveness),
        settings.min_body_detections,
        settings.event_format,
        settings.detector_size,
        settings.convert_full_frame,
    )


def source_opener(
    settings: Settings, engines: Engines, note_cpu_decoding: Callable[[str, str], None]
) -> Callable[[SourcePlan, Callable[[], bool]], Source]:
    """Return what opens the sources of the process: on its GPU, where it has one that decodes.

    Args:
        settings: of the process.
        engines: loaded networks.
        note_cpu_decoding: told which source the CPU decodes all the same, and why.

    Raises:
        StartupError: if the GPU must decode and cannot be reached.
    """
    gpu: GpuDecoding | None = None
    if engines.card is not None:
        gpu = gpu_decoding(engines.card.accelerator.gpu_index, settings.decoder, note_cpu_decoding)
    return functools.partial(open_source, gpu=gpu)
