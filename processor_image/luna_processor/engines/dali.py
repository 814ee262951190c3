"""Prepare pictures with NVIDIA DALI: cut, resize, convert and normalise a batch of frames where they are, on the GPU.

The same pipeline runs on the CPU where no GPU is named, which is how the tests compare it with what numpy does; only
the word for the device differs.
DALI is large: it is imported by a process that uses it, never by one that computes on the CPU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from nvidia.dali import Pipeline, fn, math, types

from luna_processor.engines.onnx import BoundTensor, ElementType
from luna_processor.engines.preparation import THUMBNAIL_SIDE, DevicePicture, InputForm, Plane, placement, rgb_transform
from luna_processor.vision.view import Picture

_DALI_TYPES = {np.float32: types.FLOAT, np.float16: types.FLOAT16, np.uint8: types.UINT8}
_OTHER_WAY_ROUND = [0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0]
"""The matrix that swaps the first and third channel: DALI's own conversion takes whole numbers only."""
_DEFAULT_CUDA_STREAM = 0
"""Where the decoder's work was queued; DALI waits for it there."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """The input of a network, made of a batch of frames."""

    tensor: BoundTensor
    thumbnails: Sequence[Picture]
    owner: object
    """Keeps the tensor alive."""


class DaliPreparation:
    """Makes the input of one network; one caller at a time, and what it returns holds until the next call.

    Args:
        form: how the network takes pictures.
        element_type: its numbers.
        max_batch: pictures at once.
        gpu_index: None to compute on the CPU.

    Raises:
        RuntimeError: of DALI, if there is no such GPU.
    """

    def __init__(self, form: InputForm, element_type: ElementType, max_batch: int, gpu_index: int | None) -> None:
        self._form = form
        self._element_type: ElementType = element_type
        self._max_batch = max_batch
        self._gpu_index = gpu_index
        # One for pictures that lie on their side, too: how axes are ordered is fixed when a pipeline is built.
        self._pipelines: dict[bool, Pipeline] = {False: self._build(is_transposed=False)}

    def prepare(self, pictures: Sequence[DevicePicture]) -> Prepared:
        """Return the input for pictures of one shape.

        Raises:
            RuntimeError: of DALI.
            MemoryError: if the card's is full.
        """
        is_transposed = placement(pictures[0]).is_transposed
        if is_transposed not in self._pipelines:
            self._pipelines[is_transposed] = self._build(is_transposed=is_transposed)
        try:
            tensors, thumbnails = self._run(self._pipelines[is_transposed], pictures)
        except Exception:  # a full memory is a MemoryError, most others are a RuntimeError
            # DALI never runs a pipeline again that failed once; and where only one plane was fed, the next batch would
            # be made of this one's brightness and its own colours.
            del self._pipelines[is_transposed]
            raise
        dense = tensors.as_tensor()
        tensor = BoundTensor(
            dense.data_ptr(), tuple(dense.shape()), self._element_type, is_on_gpu=self._gpu_index is not None
        )
        small = thumbnails.as_cpu()
        return Prepared(tensor, [np.array(small.at(index)) for index in range(len(pictures))], dense)

    def _run(self, pipeline: Pipeline, pictures: Sequence[DevicePicture]) -> Any:
        stream = None if self._gpu_index is None else _DEFAULT_CUDA_STREAM
        planes: dict[str, Sequence[Plane]] = {
            "luma": [picture.planes.luma for picture in pictures],
            "chroma": [picture.planes.chroma for picture in pictures],
        }
        for name, batch in planes.items():
            pipeline.feed_input(name, batch, layout="HWC", cuda_stream=stream)
        figures = [_figures(picture) for picture in pictures]
        for name in figures[0]:
            pipeline.feed_input(name, [figure[name] for figure in figures])
        return pipeline.run()

    def _build(self, *, is_transposed: bool) -> Pipeline:
        pipeline = Pipeline(
            batch_size=self._max_batch,
            num_threads=1,
            device_id=self._gpu_index,
            exec_pipelined=False,
            exec_async=False,
            prefetch_queue_depth=1,
        )
        with pipeline:
            pipeline.set_outputs(*self._graph(is_transposed=is_transposed))
        pipeline.build()
        return pipeline

    def _graph(self, *, is_transposed: bool) -> tuple[Any, Any]:
        """Return input and thumbnail as DALI's graph: resize both planes, convert, turn; then normalise, or shrink."""
        device: Literal["cpu", "gpu"] = "cpu" if self._gpu_index is None else "gpu"
        luma = fn.external_source(name="luma", device=device, layout="HWC")
        chroma = fn.external_source(name="chroma", device=device, layout="HWC")
        given = {name: fn.external_source(name=name) for name in _FIGURES}
        # Without the padding of the rows, which the filter of the last column would see.
        luma = fn.slice(luma, shape=given["width"], start=[0], axes=[1])
        chroma = fn.slice(chroma, shape=given["chroma_width"], start=[0], axes=[1])
        resizing = {"size": given["size"], "interp_type": types.INTERP_LINEAR, "dtype": types.FLOAT}
        yuv = fn.cat(
            fn.resize(luma, roi_start=given["start"], roi_end=given["end"], **resizing),
            fn.resize(chroma, roi_start=given["start"] / 2, roi_end=given["end"] / 2, **resizing),
            axis=2,
        )
        rgb = math.clamp(fn.coord_transform(yuv, M=given["matrix"], T=given["offset"]), 0, 255)
        if is_transposed:
            rgb = fn.transpose(rgb, perm=[1, 0, 2], transpose_layout=False)
        rgb = fn.flip(rgb, horizontal=given["mirrors_rows"], vertical=given["mirrors_columns"])
        return self._normalised(rgb, given["input_size"]), _thumbnail(rgb)

    def _normalised(self, rgb: Any, input_size: Any) -> Any:
        form = self._form
        whole = fn.pad(rgb, axes=(0, 1), shape=input_size, fill_value=form.border)
        if form.is_blue_first:
            whole = fn.coord_transform(whole, M=_OTHER_WAY_ROUND)
        # uint8 is no type it gives; what is cast then is rounded and cut.
        element_type = types.FLOAT if self._element_type is np.uint8 else _DALI_TYPES[self._element_type]
        normal = fn.crop_mirror_normalize(
            whole,
            mean=list(form.mean),
            std=list(form.deviation),
            output_layout="HWC" if form.is_channels_last else "CHW",
            dtype=element_type,
        )
        return fn.cast(normal, dtype=types.UINT8) if self._element_type is np.uint8 else normal


def _thumbnail(rgb: Any) -> Any:
    small = fn.resize(rgb, resize_longer=float(THUMBNAIL_SIDE), interp_type=types.INTERP_LINEAR)
    return fn.cast(small, dtype=types.UINT8)


_Figures = Mapping[str, npt.NDArray[np.generic]]
_FIGURES = (
    "width",
    "chroma_width",
    "start",
    "end",
    "size",
    "matrix",
    "offset",
    "mirrors_rows",
    "mirrors_columns",
    "input_size",
)


def _figures(picture: DevicePicture) -> _Figures:
    """Return what DALI is told of one picture, by the name of its input."""
    place = placement(picture)
    matrix, offset = rgb_transform(picture.planes.colours)
    return {
        "width": np.array([picture.planes.width], np.int32),
        "chroma_width": np.array([(picture.planes.width + 1) // 2], np.int32),
        "start": np.array(place.start, np.float32),
        "end": np.array(place.end, np.float32),
        "size": np.array(place.size, np.float32),
        "matrix": matrix,
        "offset": offset,
        "mirrors_rows": np.array(place.mirrors_rows, np.int32),
        "mirrors_columns": np.array(place.mirrors_columns, np.int32),
        "input_size": np.array([picture.input_height, picture.input_width], np.int32),
    }
