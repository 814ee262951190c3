"""Flags, variables, and what is said about wrong ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from luna_processor.errors import StartupError
from luna_processor.process import worker_settings
from luna_processor.settings import PREFIX, Settings, load

ORIGIN = {f"{PREFIX}STREAMS_ORIGIN": "http://127.0.0.1:5160"}


def test_the_environment_is_enough() -> None:
    settings = load({}, ORIGIN | {f"{PREFIX}CAPACITY": "7", f"{PREFIX}GROUP_NAMES": "a, b", "HOME": "/root"})
    assert settings.capacity == 7
    assert settings.group_names == ("a", "b")
    assert settings.api_version == "2"


def test_flags_win_over_the_environment() -> None:
    assert load({"capacity": "2"}, ORIGIN | {f"{PREFIX}CAPACITY": "7"}).capacity == 2


@pytest.mark.parametrize(
    ("flags", "environment", "text"),
    [
        pytest.param({}, {}, r"--streams-origin \(or LUNA_PROCESSOR_STREAMS_ORIGIN\) is required", id="missing"),
        pytest.param({}, ORIGIN | {f"{PREFIX}CAPACTIY": "1"}, "unknown variable LUNA_PROCESSOR_CAPACTIY", id="unknown"),
        pytest.param({"capacity": "none"}, ORIGIN, "--capacity: .*valid integer", id="no number"),
        pytest.param({"capacity": "0"}, ORIGIN, "--capacity: .*greater than or equal to 1", id="out of bounds"),
        pytest.param({"api_version": "3"}, ORIGIN, "--api-version", id="version"),
        pytest.param({"streams_origin": "somewhere"}, {}, "--streams-origin", id="no address"),
        pytest.param({"streams_origin": "http://["}, {}, "--streams-origin: .*no address", id="open bracket"),
        pytest.param({"platform_origin": "http://lp:x"}, ORIGIN, "--platform-origin: .*no address", id="no port"),
        pytest.param({"streams_origin": "http://me:pw@ls"}, {}, "must not contain user", id="password for logs"),
        pytest.param({"feedback_period": "10"}, ORIGIN, r"feedback_period \(10 s\) must be shorter", id="no report"),
        pytest.param({"max_feedback_delay": "20"}, ORIGIN, r"shorter than obsoleting_period \(20 s\)", id="too late"),
    ],
)
def test_wrong_settings_are_named_in_one_line(flags: Any, environment: Any, text: Any) -> None:
    with pytest.raises(StartupError, match=text) as refusal:
        load(flags, environment)
    assert "\n" not in str(refusal.value)


def test_a_server_that_waits_longer_leaves_its_workers_more_time() -> None:
    patient = load({"max_feedback_delay": "40", "feedback_period": "15", "obsoleting_period": "60"}, ORIGIN)
    assert patient.max_feedback_delay == 40


def test_a_malformed_filter_is_named() -> None:
    with pytest.raises(StartupError, match="--stream-ids"):
        worker_settings(load({"stream_ids": "not-a-uuid"}, ORIGIN))


def test_the_token_is_read_again_each_time(tmp_path: Path) -> None:
    path = tmp_path / "token"
    settings = load({"token_file": str(path)}, ORIGIN)
    for value in ("first", "second"):
        path.write_text(value + "\n")
        token = settings.token()
        assert token is not None
        assert token.get_secret_value() == value
    assert load({}, ORIGIN).token() is None


def test_every_setting_is_described() -> None:
    assert not [name for name, field in Settings.model_fields.items() if not field.description]
