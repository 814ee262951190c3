"""What a survey of a source means, in words and as JSON: pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from luna_processor.sources.survey import Survey
from luna_processor.sources.variants import Variant
from luna_processor.tools.annotator import clock
from luna_processor.tools.screen import Fact
from luna_streams.stream import SourceType


@dataclass(frozen=True, slots=True)
class Advice:
    """What to write into a stream for a source."""

    type: SourceType
    reference: str
    """Without user or password."""
    has_user_info: bool
    mask: str | None
    preferred_width: int


def problem(survey: Survey) -> str | None:
    """Return why a stream of the source would not work; None if it would."""
    if survey.error is not None:
        return survey.error
    return None if survey.frame_count else "no frame came within the time"


def frame_rate(survey: Survey) -> float:
    """Return the frames per second that were measured, else what the source says; 0 if nobody knows."""
    if survey.frame_count > 1 and survey.span_s > 0:
        return (survey.frame_count - 1) / survey.span_s
    return survey.info.frame_rate if survey.info else 0.0


def decode_rate(survey: Survey) -> float:
    """Return how many frames a second one core decodes; 0 if there was too little to tell."""
    return survey.frame_count / survey.cpu_s if survey.cpu_s > 0 else 0.0


def facts(survey: Survey, advice: Advice) -> list[Fact]:
    """Return names and values for a person."""
    info = survey.info
    if info is None:
        return []
    found: list[Fact] = []
    if info.container:
        found.append(("container", f"{survey.form.container_name or info.container} ({info.container})"))
    video = (info.codec or "pictures", survey.form.profile, survey.form.pixel_format)
    found.append(("video", " ".join(part for part in video if part)))
    found.append(("size", f"{info.width}x{info.height}" + _turned(survey.quarter_turns)))
    if rate := frame_rate(survey):
        declared = f", declared {info.frame_rate:g}" if info.frame_rate and abs(info.frame_rate - rate) > 0.5 else ""
        found.append(("frames per second", f"{rate:.4g}{declared}"))
    if bit_rate := info.bit_rate or survey.packets.bit_rate:
        found.append(("bit rate", f"{bit_rate / 1000:.0f} kbit/s"))
    if info.gop_size:
        seconds = f", {info.gop_size / rate:.3g} s" if rate else ""
        found.append(("keyframes", f"every {info.gop_size} frames{seconds}"))
    found.append(("duration", "live" if info.duration_s is None else f"{clock(info.duration_s)}"))
    if survey.form.audio_count:
        found.append(("sound", f"{survey.form.audio_count} streams, not read"))
    if len(info.variants) > 1:
        found += [
            ("variant" if number == 0 else "", _variant(variant, is_read=variant == info.variant))
            for number, variant in enumerate(info.variants)
        ]
    found += _reading(survey)
    return [*found, *_advised(advice)]


def to_json(survey: Survey, advice: Advice) -> dict[str, Any]:
    """Return the same for scripts."""
    info, packets = survey.info, survey.packets
    wrong = problem(survey)
    return {
        "is_decodable": wrong is None,
        "problem": wrong,
        "stream": _stream(advice),
        "container": {"name": info.container, "title": survey.form.container_name} if info else None,
        "video": {
            "codec": info.codec,
            "profile": survey.form.profile or None,
            "pixel_format": survey.form.pixel_format or None,
            "width": info.width,
            "height": info.height,
            "rotation": survey.quarter_turns * 90,
            "frame_rate": round(info.frame_rate, 3),
            "measured_frame_rate": round(frame_rate(survey), 3),
            "bit_rate": info.bit_rate,
            "measured_bit_rate": packets.bit_rate,
            "gop_size": info.gop_size or None,
            "duration_s": info.duration_s,
        }
        if info
        else None,
        "audio_count": survey.form.audio_count,
        "variants": [
            {
                "width": variant.width,
                "height": variant.height,
                "bit_rate": variant.bit_rate,
                "codec": variant.codec,
                "is_chosen": variant == info.variant,
            }
            for variant in info.variants
        ]
        if info
        else [],
        "decoding": {
            "opened_after_s": _rounded(survey.opened_after_s),
            "first_frame_after_s": _rounded(survey.first_frame_after_s),
            "frames": survey.frame_count,
            "damaged_frames": survey.damaged_count,
            "frames_per_second_per_core": round(decode_rate(survey), 1),
            "is_read_to_its_end": survey.is_at_end,
            "remark": info.remark if info else None,
        },
        "timestamps": {
            "are_monotone": packets.steps_back == 0,
            "steps_back": packets.steps_back,
            "missing": packets.without_stamp,
        },
    }


def _turned(quarter_turns: int) -> str:
    return f", turned upright by {quarter_turns * 90}°" if quarter_turns else ""


def _variant(variant: Variant, *, is_read: bool) -> str:
    size = f"{variant.width}x{variant.height}" if variant.width else "of unknown size"
    rate = f", {variant.bit_rate / 1000:.0f} kbit/s" if variant.bit_rate else ""
    return f"{size} {variant.codec}{rate}{'  <- is read' if is_read else ''}"


def _reading(survey: Survey) -> list[Fact]:
    """Return what it was like to read it."""
    if survey.first_frame_after_s is None:
        return []
    rate, natural = decode_rate(survey), frame_rate(survey)
    times = f", {rate / natural:.3g} times as fast as it plays" if natural else ""
    end = ", read to its end" if survey.is_at_end else ""
    found = [
        ("first frame", f"after {survey.first_frame_after_s:.2f} s"),
        ("decoded", f"{survey.frame_count} frames, {rate:.0f} a second on one core{times}{end}"),
        ("damaged", f"{survey.damaged_count} frames" if survey.damaged_count else "none"),
        ("time stamps", _stamps(survey)),
    ]
    if survey.info and survey.info.remark:
        found.append(("remark", survey.info.remark))
    return found


def _stamps(survey: Survey) -> str:
    packets = survey.packets
    faults = []
    if packets.steps_back:
        faults.append(f"{packets.steps_back} steps back")
    if packets.without_stamp:
        faults.append(f"{packets.without_stamp} of {packets.packets} packets without")
    return ", ".join(faults) or "in order"


def _advised(advice: Advice) -> list[Fact]:
    found = [("in a stream", f"type: {advice.type}"), ("", f"reference: {advice.reference}")]
    if advice.mask is not None:
        found.append(("", f"mask: '{advice.mask}'"))
    if advice.has_user_info:
        found.append(("", "user and password: in the URL (REST), or by referenceFrom (manifest)"))
    return found


def _stream(advice: Advice) -> dict[str, Any]:
    stream: dict[str, Any] = {"type": advice.type, "reference": advice.reference}
    if advice.mask is not None:
        stream["mask"] = advice.mask
    return stream | {"preferred_program_stream_frame_width": advice.preferred_width}


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
