"""Settings from environment and command line."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, Field, model_validator

from luna_streams.configuration import SettingsError, load_settings


class Settings(BaseModel):
    origin: str
    port: int = Field(default=80, ge=1)
    low: int = 0
    high: int = 10

    @model_validator(mode="after")
    def _in_order(self) -> Settings:
        if self.low > self.high:
            raise ValueError("low must not exceed high")
        return self


def test_flags_win_over_variables_and_those_over_defaults() -> None:
    settings = load_settings(Settings, "X_", {"X_ORIGIN": "a", "X_PORT": "1", "OTHER": "z"}, {"port": 2})
    assert (settings.origin, settings.port, settings.high) == ("a", 2, 10)


@pytest.mark.parametrize(
    ("environment", "flags", "text"),
    [
        pytest.param({"X_ORIGN": "a"}, {}, "unknown variable X_ORIGN; known: X_ORIGIN, X_PORT", id="misspelt"),
        pytest.param({}, {}, r"--origin \(or X_ORIGIN\) is required", id="missing"),
        pytest.param({"X_ORIGIN": "a", "X_PORT": "0"}, {}, "^X_PORT: ", id="variable out of bounds"),
        pytest.param({"X_ORIGIN": "a"}, {"port": 0}, "^--port: ", id="flag out of bounds"),
        pytest.param({"X_ORIGIN": "a", "X_LOW": "11"}, {}, r"X_\*: .*low must not exceed high", id="together wrong"),
    ],
)
def test_a_mistake_is_one_line_that_names_it(environment: dict[str, str], flags: dict[str, object], text: str) -> None:
    with pytest.raises(SettingsError, match=text) as refusal:
        load_settings(Settings, "X_", environment, flags)
    assert "\n" not in str(refusal.value)


def test_a_value_that_may_be_a_secret_is_not_quoted() -> None:
    with pytest.raises(SettingsError) as refusal:
        load_settings(Settings, "X_", {"X_ORIGIN": "a", "X_PORT": "hunter2"}, {})
    assert "hunter2" not in str(refusal.value)
