"""Decoding on a GPU, as far as it can be seen without one: what is asked of FFmpeg, and what is said aloud."""

from __future__ import annotations

from pathlib import Path

import pytest
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace

from luna_processor import inference
from luna_processor.engines.card import Card, Condition
from luna_processor.engines.preparation import Colours
from luna_processor.engines.providers import Accelerator
from luna_processor.errors import SourceFailed, StartupError, UnsuitableSource
from luna_processor.settings import load
from luna_processor.sources.cuda import (
    CudaPlane,
    GpuDecoding,
    decoder_context,
    decoder_trouble,
    device_planes,
    fallback_reason,
    gpu_decoding,
    planes_of,
)
from luna_processor.sources.packets import Patience, VideoPackets
from luna_processor.sources.pyav import PyAvSource
from luna_processor.sources.reference import Opening
from support.media import plain_pictures, write_clip
from support.nvml import FakeNvml

NO_DRIVER = decoder_trouble(0)
without_gpu = pytest.mark.skipif(NO_DRIVER is None, reason="there is a GPU here")


@pytest.mark.parametrize(
    ("pixel_format", "samples", "words"),
    [
        pytest.param("cuda", "nv12", None, id="on the card"),
        pytest.param("yuv420p", None, "does not decode this video (hevc, yuv420p)", id="by the CPU"),
        pytest.param("cuda", "p010le", "p010le pictures are converted on the CPU", id="10 bits"),
        pytest.param("cuda", None, "converted on the CPU", id="unknown samples"),
    ],
)
def test_a_video_that_is_not_all_the_cards_business_has_a_reason(
    pixel_format: str, samples: str | None, words: str | None
) -> None:
    reason = fallback_reason(pixel_format, samples, "hevc")
    assert (reason is None) == (words is None)
    assert words is None or words in str(reason)


def test_what_the_cpu_decodes_instead_is_said_or_fails_the_stream_by_setting() -> None:
    said: list[tuple[str, str]] = []
    frame = VideoFrame(64, 36, "yuv420p")
    GpuDecoding(0, False, lambda source, reason: said.append((source, reason))).note_first(frame, "vp8", "camera")
    assert [source for source, _ in said] == ["camera"]
    assert "vp8" in said[0][1]
    with pytest.raises(UnsuitableSource, match=r"vp8.*--decoder auto"):
        GpuDecoding(0, True, lambda source, reason: None).note_first(frame, "vp8", "camera")


def test_what_ffmpeg_is_asked_for_keeps_frames_on_the_card_that_was_named() -> None:
    asked = GpuDecoding(1, True, lambda source, reason: None).accelerator()
    assert asked.is_hw_owned
    assert asked.device_id == 1


def test_the_cpu_decodes_all_if_the_settings_say_so() -> None:
    assert gpu_decoding(0, "cpu", lambda source, reason: None) is None


@without_gpu
def test_a_card_that_ffmpeg_cannot_reach_is_said_once_for_all_sources_or_ends_the_start() -> None:
    said: list[str] = []
    assert gpu_decoding(0, "auto", lambda source, reason: said.append(f"{source}: {reason}")) is None
    assert len(said) == 1
    assert "FFmpeg cannot reach GPU 0" in said[0]
    with pytest.raises(StartupError, match="--decoder auto takes the CPU"):
        gpu_decoding(0, "gpu", lambda source, reason: None)


@pytest.mark.parametrize(("decoder", "first"), [("auto", "decoder"), ("gpu", "decoder"), ("cpu", "model")])
def test_the_decoder_reaches_the_card_before_the_first_model_does(
    decoder: str, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else FFmpeg refuses the context that ONNX Runtime made, and the CPU decodes everything."""
    order: list[str] = []
    accelerator = Accelerator(0, "cuda", False, None, order.append)
    card = Card("a card", accelerator, Condition(), FakeNvml())
    monkeypatch.setattr(inference, "open_card", lambda settings: card)

    def hold(gpu_index: int) -> str:
        order.append("decoder")
        return "held"

    def open_engine(*_: object) -> tuple[object, object]:
        order.append("model")
        return object(), object()

    monkeypatch.setattr(inference, "decoder_context", hold)
    monkeypatch.setattr(inference, "open_engine", open_engine)
    monkeypatch.setattr(inference, "try_out", lambda model, engine, search: None)
    flags = {"streams_origin": "http://127.0.0.1", "device": "gpu", "decoder": decoder}
    engines = inference.load_engines(load(flags, {}))
    assert order[0] == first
    assert (engines.decoder_context == "held") == (decoder != "cpu")


@without_gpu
def test_a_card_that_is_not_there_is_not_held() -> None:
    assert decoder_context(0) is None


@without_gpu
def test_a_source_whose_card_is_gone_fails_and_says_that_it_is_not_its_fault(tmp_path: Path) -> None:
    decoding = GpuDecoding(0, False, lambda source, reason: None)
    clip = write_clip(tmp_path / "clip.mp4", plain_pictures(3))
    opening = Opening(str(clip), {}, is_live=False, shown_as="clip")
    with pytest.raises(SourceFailed, match="GPU 0 cannot be reached"):
        VideoPackets(opening, Patience(5, lambda: False), None, decoding.accelerator())


@pytest.mark.parametrize(
    ("gpu", "thread_type"),
    [(None, "AUTO"), (GpuDecoding(0, False, lambda source, reason: None), "SLICE")],
    ids=["cpu", "gpu"],
)
def test_threads_of_a_decoder_take_no_surfaces_of_the_card(
    gpu: GpuDecoding | None, thread_type: str, tmp_path: Path
) -> None:
    opening = Opening(str(write_clip(tmp_path / "clip.mp4", plain_pictures(3))), {}, is_live=False, shown_as="clip")
    packets = VideoPackets(opening, Patience(5, lambda: False), None)
    source = PyAvSource(opening, packets, thread_count=16, gpu=gpu)
    assert packets.stream.codec_context.thread_type.name == thread_type
    source.close()


def test_frames_of_the_host_lie_on_no_device() -> None:
    assert planes_of(VideoFrame(64, 36, "nv12"), 0) is None


def test_a_plane_is_described_with_the_padding_of_its_rows_so_that_it_is_dense() -> None:
    frame = VideoFrame(70, 36, "nv12")
    luma, chroma = CudaPlane(frame.planes[0], 1), CudaPlane(frame.planes[1], 2)
    described = luma.__cuda_array_interface__
    pitch = frame.planes[0].line_size
    assert pitch > 70
    assert luma.shape == described["shape"] == (36, pitch, 1)
    assert chroma.shape == (18, pitch // 2, 2)
    assert described["data"] == (frame.planes[0].buffer_ptr, True)
    assert described["strides"] is None


@pytest.mark.parametrize(
    ("colorspace", "color_range", "expected"),
    [
        (Colorspace.ITU709, ColorRange.MPEG, Colours("bt709")),
        (Colorspace.BT2020, ColorRange.MPEG, Colours("bt2020")),
        (Colorspace.ITU601, ColorRange.JPEG, Colours("bt601", is_full_range=True)),
        (2, ColorRange.UNSPECIFIED, Colours("bt601")),
    ],
)
def test_what_a_frame_says_of_its_colours_is_kept(colorspace: int, color_range: int, expected: Colours) -> None:
    frame = VideoFrame(64, 36, "nv12")
    frame.colorspace, frame.color_range = colorspace, color_range
    planes = device_planes(frame, (CudaPlane(frame.planes[0], 1), CudaPlane(frame.planes[1], 2)), 3)
    assert planes.colours == expected
    assert (planes.width, planes.height, planes.quarter_turns) == (64, 36, 3)
