"""Where the log is kept and how old its entries become, from the settings."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from luna_api_shim.errors import StartupError
from luna_api_shim.logs.clearing import ClearInterval, IntervalType
from luna_api_shim.logs.database import Database, file_url, parse_url
from luna_api_shim.settings import load
from support.builders import NOW


@pytest.mark.parametrize(
    ("text", "driver"),
    [
        ("postgresql://luna:pa55@db/logs?sslmode=require", "postgresql+psycopg"),
        ("postgres://luna@db:5433/logs", "postgresql+psycopg"),
        ("postgresql+asyncpg://luna@db/logs", "postgresql+psycopg"),
        ("postgresql:///logs?host=/run/postgresql", "postgresql+psycopg"),
        ("sqlite:////var/lib/luna/logs.db", "sqlite+aiosqlite"),
        ("sqlite:///logs.db", "sqlite+aiosqlite"),
    ],
)
def test_the_url_of_a_database_says_which_driver_speaks_to_it(text: str, driver: str) -> None:
    url = parse_url(text)
    assert url.drivername == driver
    assert Database(url, pool_size=1, timeout_s=1).is_shared == driver.startswith("postgresql")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("pa55", "is not the URL of a database: postgresql://user:password@host/database, or sqlite:"),
        ("postgresql://luna:pa55@db:port/logs", "is not the URL of a database"),
        ("mysql://luna:pa55@db/logs", "names a database that is not supported"),
        ("sqlite://", "must name a file"),
        ("sqlite:///:memory:", "must name a file"),
        ("sqlite:///file:pa55?mode=memory&uri=true", "must name a file"),
    ],
)
def test_a_wrong_url_is_one_line_that_does_not_repeat_it(text: str, problem: str) -> None:
    with pytest.raises(StartupError) as refusal:
        load({}, {"LUNA_SHIM_DATABASE_URL": text})
    assert str(refusal.value).startswith(f"LUNA_SHIM_DATABASE_URL: {problem}")
    assert "pa55" not in str(refusal.value)


def test_settings_do_not_show_the_password() -> None:
    settings = load({"database_url": "postgresql://luna:pa55@db/logs"}, {})
    assert "pa55" not in repr(settings)
    assert "pa55" not in settings.model_dump_json()


def test_a_database_is_named_without_its_password() -> None:
    assert str(Database(parse_url("postgresql://luna:pa55@db/logs"), pool_size=1, timeout_s=1)) == "PostgreSQL"
    assert str(Database(file_url(Path("/d/logs.db")), pool_size=1, timeout_s=1)) == "the file /d/logs.db"


@pytest.mark.parametrize(
    ("interval", "kind", "bound"),
    [
        (7, "days", NOW - timedelta(days=7)),
        (2, "weeks", NOW - timedelta(days=14)),
        (90, "minutes", NOW - timedelta(hours=1, minutes=30)),
        (1, "hours", NOW - timedelta(hours=1)),
        (30, "seconds", NOW - timedelta(seconds=30)),
        (2**31, "weeks", datetime.min.replace(tzinfo=UTC)),
        (2**31, "hours", datetime.min.replace(tzinfo=UTC)),
    ],
)
def test_the_age_of_entries_is_counted_in_any_unit(interval: int, kind: IntervalType, bound: datetime) -> None:
    assert ClearInterval(interval, kind, 180).bound(NOW) == bound


def test_clearing_is_off_and_has_the_documented_numbers() -> None:
    settings = load({}, {})
    numbers: tuple[Any, ...] = (
        settings.logs_clear_active,
        settings.logs_clear_interval,
        settings.logs_clear_interval_type,
        settings.logs_clear_check_interval,
    )
    assert numbers == (False, 7, "days", 180)
