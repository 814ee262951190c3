"""What a survey means, in words and for scripts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from luna_processor.frames import SourceInfo
from luna_processor.sources.survey import Form, PacketCounts, Survey
from luna_processor.sources.variants import Variant
from luna_processor.tools.findings import Advice, facts, problem, to_json

ADVICE = Advice("tcp", "rtsp://camera/live", has_user_info=False, mask=None, preferred_width=800)
WIDE, NARROW = Variant(0, 1280, 720, 2_000_000, "h264"), Variant(1, 640, 360, 0, "hevc")


def a_survey(**changes: Any) -> Survey:
    """Return a survey of ten seconds of a camera at 25 frames per second, decoded in half a second."""
    found = Survey(
        info=SourceInfo(1280, 720, 25.0, 0, None, gop_size=50, codec="h264", container="rtsp"),
        form=Form("RTSP input", "High", "yuv420p"),
        opened_after_s=0.2,
        first_frame_after_s=0.34,
        frame_count=251,
        span_s=10.0,
        cpu_s=0.5,
        packets=PacketCounts(packets=251, size_bytes=1_000_000, keyframes=5, first_s=1.0, last_s=11.0),
    )
    return replace(found, **changes)


def told(survey: Survey, advice: Advice = ADVICE) -> dict[str, str]:
    return {name: value for name, value in facts(survey, advice) if name}


def test_figures_are_measured_where_the_source_does_not_say() -> None:
    assert told(a_survey()) == {
        "container": "RTSP input (rtsp)",
        "video": "h264 High yuv420p",
        "size": "1280x720",
        "frames per second": "25",
        "bit rate": "800 kbit/s",
        "keyframes": "every 50 frames, 2 s",
        "duration": "live",
        "first frame": "after 0.34 s",
        "decoded": "251 frames, 502 a second on one core, 20.1 times as fast as it plays",
        "damaged": "none",
        "time stamps": "in order",
        "in a stream": "type: tcp",
    }


def test_a_rate_that_differs_from_the_declared_one_is_told_beside_it() -> None:
    assert told(a_survey(span_s=25.0))["frames per second"] == "10, declared 25"


@pytest.mark.parametrize(
    ("changes", "name", "expected"),
    [
        pytest.param({"damaged_count": 3}, "damaged", "3 frames", id="damaged"),
        pytest.param({"quarter_turns": 1}, "size", "1280x720, turned upright by 90°", id="phone"),
        pytest.param({"form": Form(audio_count=2)}, "sound", "2 streams, not read", id="sound"),
        pytest.param({"is_at_end": True}, "decoded", "251 frames, 502 a second on one core, 20.1 times as fast as it "
                     "plays, read to its end", id="end"),
        pytest.param({"packets": PacketCounts(9, steps_back=2, without_stamp=1)}, "time stamps",
                     "2 steps back, 1 of 9 packets without", id="time stamps"),
    ],
)  # fmt: skip
def test_what_is_unusual_is_told(changes: dict[str, Any], name: str, expected: str) -> None:
    assert told(a_survey(**changes))[name] == expected


def test_of_several_variants_the_one_that_is_read_is_marked() -> None:
    info = replace(a_survey().info or SourceInfo(0, 0, 0, 0, None), variants=(WIDE, NARROW), variant=NARROW)
    lines = [value for _, value in facts(a_survey(info=info), ADVICE)]
    assert "1280x720 h264, 2000 kbit/s" in lines
    assert "640x360 hevc  <- is read" in lines
    chosen = [variant["is_chosen"] for variant in to_json(a_survey(info=info), ADVICE)["variants"]]
    assert chosen == [False, True]


@pytest.mark.parametrize(
    ("survey", "expected"),
    [
        pytest.param(a_survey(), None, id="fine"),
        pytest.param(a_survey(error="it is truncated"), "it is truncated", id="fails later"),
        pytest.param(Survey(error="cannot be opened"), "cannot be opened", id="closed"),
        pytest.param(Survey(info=SourceInfo(0, 0, 0, 0, None)), "no frame came within the time", id="nothing"),
    ],
)
def test_a_source_is_fine_when_there_are_frames_and_no_error(survey: Survey, expected: str | None) -> None:
    assert problem(survey) == expected
    json = to_json(survey, ADVICE)
    assert (json["is_decodable"], json["problem"]) == (expected is None, expected)


def test_who_has_a_password_is_told_where_it_goes() -> None:
    advice = replace(ADVICE, has_user_info=True, mask="%d.jpg")
    values = [value for _, value in facts(a_survey(), advice)]
    assert "mask: '%d.jpg'" in values
    assert any("referenceFrom" in value for value in values)


def test_of_a_source_that_could_not_be_opened_there_is_nothing_to_tell() -> None:
    assert facts(Survey(error="cannot be opened"), ADVICE) == []
