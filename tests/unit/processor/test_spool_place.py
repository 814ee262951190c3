"""Where events wait when nothing is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from luna_processor.delivery.spool import Spool
from luna_processor.delivery.spool_place import open_outbox
from luna_processor.errors import StartupError
from luna_processor.settings import Settings


def kept_in(environment: dict[str, str], **settings: object) -> bool:
    """Open an outbox and tell whether what it holds outlives the process."""
    outbox = open_outbox(Settings.model_validate({"streams_origin": "http://shim:5160", **settings}), environment)
    outbox.close()
    return outbox.is_lasting


@pytest.mark.parametrize(
    ("variable", "folder"), [("XDG_STATE_HOME", "luna-streams"), ("HOME", ".local/state/luna-streams")]
)
def test_a_user_has_a_folder_for_each_port(tmp_path: Path, variable: str, folder: str) -> None:
    assert kept_in({variable: str(tmp_path)}, port=4000)
    assert (tmp_path / folder / "spool-4000" / "events.db").exists()


@pytest.mark.parametrize(
    ("environment", "settings"),
    [
        pytest.param({"HOME": "here"}, {"port": 0}, id="any port"),
        pytest.param({"HOME": "here"}, {"spool_size": 0}, id="not wanted"),
        pytest.param({}, {}, id="no home"),
        pytest.param({"HOME": "/proc/nowhere"}, {}, id="a home that cannot be written to"),
    ],
)
def test_otherwise_events_wait_in_memory_which_is_said(
    tmp_path: Path, environment: dict[str, str], settings: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    environment = {name: value.replace("here", str(tmp_path)) for name, value in environment.items()}
    assert not kept_in(environment, **settings)
    assert "are lost when the process is killed" in caplog.text
    assert not list(tmp_path.iterdir())


def test_a_folder_that_was_named_is_used_or_the_start_fails(tmp_path: Path) -> None:
    assert kept_in({}, spool_dir=tmp_path / "mine", port=0)
    first = Spool(tmp_path / "mine")
    with pytest.raises(StartupError, match="used by another processor"):
        kept_in({}, spool_dir=tmp_path / "mine")
    first.close()
