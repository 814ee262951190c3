"""Settings and the command: one clear line for a person, never a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from luna_operator.settings import load
from luna_streams.configuration import SettingsError

GOOD = {"LUNA_OPERATOR_STREAMS_ORIGIN": "http://shim:5160"}


def test_flags_win_over_the_environment() -> None:
    settings = load({**GOOD, "LUNA_OPERATOR_NAMESPACE": "a", "HOME": "/"}, {"namespace": "b"})
    assert (settings.namespace, settings.streams_origin) == ("b", "http://shim:5160")


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "--streams-origin (or LUNA_OPERATOR_STREAMS_ORIGIN) is required"),
        ({**GOOD, "LUNA_OPERATOR_STREAM_ORIGIN": "x"}, "unknown variable LUNA_OPERATOR_STREAM_ORIGIN; known: "),
        ({"LUNA_OPERATOR_STREAMS_ORIGIN": "http://me:secret@shim"}, "LUNA_OPERATOR_STREAMS_ORIGIN: "),
        ({**GOOD, "LUNA_OPERATOR_HTTP_PORT": "70000"}, "LUNA_OPERATOR_HTTP_PORT: "),
        ({**GOOD, "LUNA_OPERATOR_LEASE_DURATION": "5"}, "settings LUNA_OPERATOR_*: "),
    ],
)
def test_a_wrong_setting_is_one_clear_line(environment: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(environment)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        ([], {}, "--streams-origin (or LUNA_OPERATOR_STREAMS_ORIGIN) is required"),
        (["--kubeconfig", "/nowhere"], GOOD, "no cluster: there is no kubeconfig at /nowhere; set KUBECONFIG or"),
    ],
)
def test_the_command_says_what_to_do_and_ends(
    arguments: list[str], environment: dict[str, str], message: str, tmp_path: Path
) -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "luna_operator", *arguments],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **environment},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert answer.returncode == 2
    assert answer.stderr.startswith(f"luna-streams operator: {message}")
    assert answer.stderr.count("\n") == 1
