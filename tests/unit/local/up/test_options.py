from __future__ import annotations

from pathlib import Path

import pytest

from luna_local.demo import CLIP
from luna_local.up.options import Options, parse


def test_defaults_are_the_users_own_data_folder_and_the_documented_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/srv/share")
    assert parse([]) == Options(Path("/srv/share/luna-streams"), port=5160, processors=1, demo=None)


@pytest.mark.parametrize(
    ("arguments", "demo"), [(["--demo"], CLIP), (["--demo", "/v/a.mp4"], Path("/v/a.mp4")), ([], None)]
)
def test_the_demo_takes_the_sample_clip_or_a_file(arguments: list[str], demo: Path | None) -> None:
    assert parse([*arguments, "--data", "/d"]).demo == demo


def test_relative_paths_are_those_of_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse(["--data", "d"]).data == tmp_path / "d"


@pytest.mark.parametrize(
    "arguments", [["--port", "70000"], ["--port", "x"], ["--processors", "-1"], ["--processors", "1000"], ["extra"]]
)
def test_what_makes_no_sense_ends_with_a_message(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(arguments)
    assert ended.value.code == 2
    assert "luna-streams up: error:" in capsys.readouterr().err
