"""The settings as /config shows them."""

from __future__ import annotations

from configparser import ConfigParser
from typing import Any

import orjson
import pytest
from pydantic import SecretStr, create_model

from luna_api_shim.configuration import MASK, as_text, sections
from luna_api_shim.settings import Settings

MARKER = "s3cret-marker"


def parsed(text: str) -> ConfigParser:
    parser = ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # keep names as they are
    parser.read_string(text)
    return parser


def test_every_setting_is_shown_once() -> None:
    shown = [name for section in sections(Settings()).values() for name in section]
    made = 2  # SEND_DATA_FOR_MONITORING and VERSION follow from others
    assert len(shown) == len(Settings.model_fields) + made


def secret_fields() -> list[str]:
    return [name for name, field in Settings.model_fields.items() if "Secret" in repr(field.annotation)]


def test_there_are_secrets_to_hide() -> None:
    assert "influx_token" in secret_fields()


@pytest.mark.parametrize("name", secret_fields())
def test_no_secret_leaves_the_service(name: str) -> None:
    settings = Settings().model_copy(update={name: SecretStr(f"postgresql://user:{MARKER}@db/logs")})
    shown = sections(settings)
    assert MARKER not in as_text(shown)
    assert MARKER.encode() not in orjson.dumps(shown)
    assert MASK in as_text(shown)


def test_a_secret_that_is_added_later_is_masked_too() -> None:
    later: type[Settings] = create_model(
        "Later", __base__=Settings, new=(SecretStr, SecretStr(MARKER)), address=(str, f"amqp://user:{MARKER}@queue/")
    )
    shown = sections(later())
    assert shown["LUNA_STREAMS"]["NEW"] == MASK
    assert shown["LUNA_STREAMS"]["ADDRESS"] == f"amqp://{MASK}@queue/"


def test_no_plain_text_of_a_setting_is_named_like_a_secret() -> None:
    telling = ("token", "password", "secret", "credential", "database_url")
    plain = [name for name in Settings.model_fields if any(word in name for word in telling)]
    assert set(plain) <= set(secret_fields())


def test_a_secret_that_is_not_set_is_not_shown_as_one() -> None:
    assert sections(Settings())["INFLUX_MONITORING"]["TOKEN"] is None


def test_monitoring_is_shown_as_in_the_document() -> None:
    settings = Settings(active_plugins=("influx_monitoring",), influx_token=SecretStr("t"), influx_organization="ours")
    assert list(sections(settings)["INFLUX_MONITORING"].items()) == [
        ("SEND_DATA_FOR_MONITORING", 1),
        ("VERSION", 2),
        ("ORGANIZATION", "ours"),
        ("TOKEN", MASK),
        ("BUCKET", "luna_monitoring"),
        ("HOST", "127.0.0.1"),
        ("PORT", 8086),
        ("USE_SSL", 0),
        ("FLUSHING_PERIOD", 1.0),
    ]
    assert sections(Settings())["INFLUX_MONITORING"]["SEND_DATA_FOR_MONITORING"] == 0


def test_the_text_says_the_same_as_the_json() -> None:
    settings = Settings(luna_services={"luna-api": "http://luna:5000"}, active_plugins=("a", "b"))
    shown = sections(settings)
    text = parsed(as_text(shown))
    assert text.sections() == list(shown)
    for section, values in shown.items():
        assert list(text[section]) == list(values)
    assert text["LUNA_STREAMS"]["LUNA_SERVICES"] == "luna-api=http://luna:5000"
    assert text["LUNA_STREAMS"]["ACTIVE_PLUGINS"] == "a,b"
    assert text["LUNA_STREAMS_HTTP_SETTINGS"]["PORT"] == "5160"


@pytest.mark.parametrize(
    ("name", "value", "place", "shown"),
    [
        ("obsoleting_period", 30.0, ("LUNA_STREAMS", "STREAM_STATUS_OBSOLETING_PERIOD"), 30.0),
        ("stream_quota", 7, ("LUNA_STREAMS", "STREAM_QUOTA"), 7),
        ("metrics_enabled", False, ("LUNA_SERVICE_METRICS", "ENABLED"), 0),
        ("log_level", "debug", ("LUNA_STREAMS_LOGGER", "LOG_LEVEL"), "debug"),
        ("namespace", "cameras", ("KUBERNETES", "NAMESPACE"), "cameras"),
    ],
)
def test_what_is_shown_is_what_is_set(name: str, value: Any, place: tuple[str, str], shown: Any) -> None:
    section, key = place
    assert sections(Settings().model_copy(update={name: value}))[section][key] == shown
