"""The tables of the log, in SQLite and in a real PostgreSQL: migrations, copying, pages, clearing."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, delete, text

from luna_api_shim.errors import LogsUnavailable
from luna_api_shim.logs import rows as rows_module
from luna_api_shim.logs.backlog import Addition
from luna_api_shim.logs.rows import FIELDS, LogFilter, page_query
from luna_api_shim.logs.schema import config
from luna_api_shim.logs.tables import DELETED_SEQ, LOGS, METADATA
from luna_streams.policies import Preview, PreviewUrl, VideoInfo
from support.builders import ACCOUNT, NOW, OTHER_ACCOUNT
from support.log_databases import Tables, a_logged_stream, an_addition, opened, some_entries
from support.postgresql import PASSWORD, LogDatabase, PostgreSql

ALL = frozenset(FIELDS)


@pytest.fixture
async def tables(log_database: LogDatabase) -> AsyncIterator[Tables]:
    async with opened(log_database) as tables:
        await tables.schema.ready()
        yield tables


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop for tests that hypothesis calls many times."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture
def one_database(log_database: LogDatabase, loop: asyncio.AbstractEventLoop) -> Iterator[Tables]:
    opening = opened(log_database)
    tables = loop.run_until_complete(opening.__aenter__())
    loop.run_until_complete(tables.schema.ready())
    yield tables
    loop.run_until_complete(opening.__aexit__(None, None, None))


async def page(tables: Tables, offset: int = 0, limit: int = 1000, **wanted: Any) -> list[dict[str, Any]]:
    return await tables.rows.page(LogFilter(**wanted), ALL, offset, limit)


# --- migrations -------------------------------------------------------------------------------------------------------


async def test_the_tables_are_what_the_code_says(tables: Tables) -> None:
    def differences(connection: Connection) -> Any:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return compare_metadata(context, METADATA)

    async with tables.database.reading() as connection:
        assert await connection.run_sync(differences) == []


async def test_replicas_that_start_together_make_the_tables_once(log_database: LogDatabase) -> None:
    async with opened(log_database) as one, opened(log_database) as two, opened(log_database) as three:
        every = (one, two, three)
        await asyncio.gather(*(tables.schema.ready() for tables in every))
        await asyncio.gather(*(tables.rows.add([an_addition(n)]) for n, tables in enumerate(every)))
        assert len(await one.keys()) == 3
        await asyncio.gather(*(tables.schema.check() for tables in every))


async def test_a_migration_keeps_the_rows_that_are_there(tables: Tables) -> None:
    await tables.rows.add([an_addition(1, 1, 3)])
    before = await page(tables)

    async with tables.database.writing() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
        await connection.run_sync(lambda c: command.upgrade(config(c), "head"))

    assert await page(tables) == before


async def test_going_back_leaves_nothing(tables: Tables) -> None:
    async with tables.database.writing() as connection:
        await connection.run_sync(lambda c: command.downgrade(config(c), "base"))
    with pytest.raises(LogsUnavailable, match="revision None"):
        await tables.schema.check()


async def test_a_database_of_a_newer_release_is_left_alone(log_database: LogDatabase) -> None:
    async with opened(log_database) as tables:
        await tables.schema.ready()
        async with tables.database.writing() as connection:
            await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    async with opened(log_database) as tables:
        with pytest.raises(LogsUnavailable, match="revision 9999, of a newer release"):
            await tables.rows.add([an_addition()])
        with pytest.raises(LogsUnavailable, match="revision 9999, this release needs"):
            await tables.schema.check()
        async with tables.database.writing() as connection:
            assert (await connection.execute(text("SELECT count(*) FROM stream_logs"))).scalar() == 0


async def test_a_database_that_was_made_anew_gets_its_tables_again(tables: Tables) -> None:
    await tables.rows.add([an_addition()])
    async with tables.database.writing() as connection:
        for name in ("stream_logs", "logged_streams", "alembic_version"):
            await connection.execute(text(f"DROP TABLE {name}"))
    with pytest.raises(LogsUnavailable):
        await tables.rows.add([an_addition()])
    await tables.rows.add([an_addition()])
    assert len(await tables.keys()) == 1


# --- copying ----------------------------------------------------------------------------------------------------------

deliveries = st.lists(
    st.tuples(st.integers(1, 3), st.integers(1, 8), st.integers(0, 4), st.booleans()), min_size=1, max_size=12
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(deliveries)
def test_however_often_and_in_whatever_order_entries_arrive_each_stands_once(
    one_database: Tables, loop: asyncio.AbstractEventLoop, batches: list[tuple[int, int, int, bool]]
) -> None:
    expected: set[tuple[str, int]] = set()

    async def deliver() -> list[tuple[str, int]]:
        async with one_database.database.writing() as connection:
            await connection.execute(delete(LOGS))
        for number, first, more, is_gone in batches:
            stream, entries = a_logged_stream(number), some_entries(first, first + more)
            await one_database.rows.add([Addition(stream, entries, NOW if is_gone else None)])
            expected.update((stream.uid, entry.seq) for entry in entries)
            expected.update([(stream.uid, DELETED_SEQ)] if is_gone else [])
        return await one_database.keys()

    assert loop.run_until_complete(deliver()) == sorted(expected)


async def test_how_far_a_stream_was_copied_never_goes_back(tables: Tables) -> None:
    stream = a_logged_stream()
    await tables.rows.add([an_addition(1, 5, 9, version=3)])
    await tables.rows.add([an_addition(1, 1, 4, version=2)])
    (known,) = (await tables.rows.copied([], None)).values()
    assert (known.stream, known.last_seq, known.last_version) == (stream, 9, 3)
    assert known.last_time == NOW + timedelta(seconds=9)
    assert not known.is_deleted

    await tables.rows.add([Addition(stream, (), NOW, 3)])
    assert await tables.rows.copied([], None) == {}
    assert (await tables.rows.copied([stream.uid, "unknown"], None))[stream.uid].is_deleted


async def test_only_streams_of_the_namespace_that_is_served_are_looked_after(tables: Tables) -> None:
    await tables.rows.add([an_addition(1)])
    assert await tables.rows.copied([], "another") == {}
    assert len(await tables.rows.copied([], "default")) == 1


async def test_a_failure_in_a_batch_leaves_nothing_of_it(tables: Tables) -> None:
    broken = Addition(a_logged_stream(2), some_entries(1, 1, version=2**70))
    with pytest.raises(LogsUnavailable):
        await tables.rows.add([an_addition(1), broken])
    assert await tables.keys() == []


PASSWORDS = "cannot open rtsp://admin:hunter2@camera/live"


async def test_an_entry_comes_back_as_it_was_but_without_credentials(tables: Tables) -> None:
    info = VideoInfo(width=1920, height=1080, frame_rate=25, bit_rate=4000, gop_size=25, start_time=NOW, progress=0.5)
    preview = Preview(live=PreviewUrl(url="http://u:hunter2@10.0.0.7:34569/live"))
    entry = some_entries(1, 1, status="failure", error=f"{PASSWORDS}\0🎥", video_info=info, preview=preview)
    await tables.rows.add([Addition(a_logged_stream(), entry)])
    (found,) = await page(tables)
    assert found == {
        "stream_id": a_logged_stream().stream_id,
        "status": "failure",
        "error": "cannot open rtsp://camera/live\N{REPLACEMENT CHARACTER}🎥",
        "video_info": info.model_dump(mode="json", exclude_none=True),
        "log_time": "2026-01-31T12:00:01Z",
        "version": 1,
        "preview": {"live": {"url": "http://10.0.0.7:34569/live"}},
    }


# --- pages ------------------------------------------------------------------------------------------------------------


async def test_the_newest_come_first_and_pages_do_not_overlap(tables: Tables) -> None:
    await tables.rows.add([an_addition(number, 1, 10) for number in range(1, 4)])
    whole = await page(tables)
    assert len(whole) == 30
    assert [entry["log_time"] for entry in whole] == sorted((entry["log_time"] for entry in whole), reverse=True)
    parts = [entry for offset in range(0, 35, 7) for entry in await page(tables, offset, 7)]
    assert parts == whole
    assert await page(tables, 2**62) == []


async def test_entries_of_one_moment_keep_their_order(tables: Tables) -> None:
    statuses = ["handler_lost", "restart", "pending"]
    entries = tuple(
        some_entries(seq, seq, status=status, log_time=NOW)[0] for seq, status in enumerate(statuses, start=1)
    )
    await tables.rows.add([Addition(a_logged_stream(), entries, NOW)])
    assert [entry["status"] for entry in await page(tables)] == ["deleted", "pending", "restart", "handler_lost"]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, 20),
        ({"account_id": ACCOUNT}, 10),
        ({"account_id": "00000000-0000-4000-b000-00000000ffff"}, 0),
        ({"stream_ids": {a_logged_stream(2).stream_id}}, 10),
        ({"stream_ids": {a_logged_stream(n).stream_id for n in (1, 2, 7)}}, 20),
        ({"stream_ids": frozenset()}, 0),
        ({"statuses": {"pending"}}, 10),
        ({"statuses": {"pending", "in_progress", "misspelt"}}, 20),
        ({"time_gte": NOW + timedelta(seconds=4)}, 14),
        ({"time_lt": NOW + timedelta(seconds=4)}, 6),
        ({"time_gte": NOW + timedelta(seconds=4), "time_lt": NOW + timedelta(seconds=4)}, 0),
        ({"account_id": OTHER_ACCOUNT, "statuses": {"pending"}, "time_lt": NOW + timedelta(seconds=4)}, 2),
    ],
)
async def test_filters_leave_what_they_say(tables: Tables, wanted: dict[str, Any], expected: int) -> None:
    other = Addition(a_logged_stream(2, account_id=OTHER_ACCOUNT), some_entries(1, 10))
    await tables.rows.add([an_addition(1, 1, 10), other])
    assert len(await page(tables, **wanted)) == expected


async def test_targets_choose_the_fields(tables: Tables) -> None:
    await tables.rows.add([an_addition()])
    for targets in ({"status"}, {"version", "error"}, {"log_time"}):
        (entry,) = await tables.rows.page(LogFilter(), frozenset(targets), 0, 10)
        assert set(entry) == targets


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"stream_ids": frozenset({a_logged_stream(3).stream_id})},
        {"account_id": ACCOUNT},
        {"statuses": frozenset({"pending"})},
        {"time_gte": NOW, "time_lt": NOW + timedelta(days=1)},
    ],
    ids=str,
)
async def test_a_page_is_found_by_an_index_and_not_sorted(postgresql: PostgreSql, wanted: dict[str, Any]) -> None:
    async with opened(LogDatabase(postgresql.create_database(), postgresql)) as tables:
        for number in range(1, 9):
            await tables.rows.add([an_addition(number, 1, 1000)])
        async with tables.database.reading() as connection:
            await connection.execute(text("ANALYZE"))
            query = page_query(LogFilter(**wanted), ["status"], 100, 10)
            compiled = query.compile(dialect=connection.dialect, compile_kwargs={"render_postcompile": True})
            plan = await connection.exec_driver_sql(f"EXPLAIN {compiled}", dict(compiled.params))
            lines = "\n".join(row[0] for row in plan)
    assert re.search("Limit.*\n.*Scan Backward using ix_stream_logs_", lines), lines
    assert "Seq Scan" not in lines


# --- clearing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [1, 3, 5000])
async def test_clearing_keeps_the_last_entry_of_each_stream(
    tables: Tables, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(rows_module, "_AT_ONCE", chunk)
    await tables.rows.add([an_addition(1, 1, 4), an_addition(2, 1, 1), an_addition(3, 1, 9)])
    again = Addition(a_logged_stream(1, incarnation=2), some_entries(1, 2, since=NOW + timedelta(hours=1)))
    await tables.rows.add([again, Addition(a_logged_stream(3), (), NOW + timedelta(hours=1))])

    assert await tables.rows.clear(NOW + timedelta(seconds=3)) == 2 + 0 + 2
    assert await tables.rows.clear(NOW + timedelta(seconds=3)) == 0
    assert await tables.rows.clear(None) == 3 + 0 + 7
    left = {(entry["stream_id"], entry["log_time"][11:19]) for entry in await page(tables)}
    names = [a_logged_stream(number).stream_id for number in (1, 2, 3)]
    assert left == {(names[0], "13:00:02"), (names[1], "12:00:01"), (names[2], "13:00:00")}


async def test_what_was_cleared_stays_away_and_what_comes_is_kept(tables: Tables) -> None:
    await tables.rows.add([an_addition(1, 1, 5)])
    assert await tables.rows.clear(None) == 4
    await tables.rows.add([an_addition(1, 6, 6)])
    assert [seq for _, seq in await tables.keys()] == [5, 6]


async def test_copying_goes_on_while_a_lot_is_cleared(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "_AT_ONCE", 50)
    await tables.rows.add([an_addition(1, 1, 2000)])

    async def copy() -> None:
        for seq in range(1, 51):
            await tables.rows.add([an_addition(2, seq, seq, since=NOW + timedelta(days=1))])

    cleared, _ = await asyncio.gather(tables.rows.clear(NOW + timedelta(hours=12)), copy())
    assert cleared == 1999
    assert len(await tables.keys()) == 51


# --- a database that is away ------------------------------------------------------------------------------------------


async def test_a_file_that_cannot_be_made_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    async with opened(LogDatabase(f"sqlite:///{tmp_path}/file/below/logs.db")) as tables:
        with pytest.raises(LogsUnavailable, match=r"logs\.db cannot be made: Not a directory"):
            await tables.rows.add([an_addition()])


async def test_a_file_that_is_none_of_sqlite_is_said(tmp_path: Path) -> None:
    (tmp_path / "logs.db").write_text("this is no database, and long enough for sqlite to look at it " * 9)
    async with opened(LogDatabase(f"sqlite:///{tmp_path}/logs.db")) as tables:
        with pytest.raises(LogsUnavailable, match="file is not a database"):
            await tables.rows.add([an_addition()])


async def test_only_its_owner_may_look_into_the_file(tmp_path: Path) -> None:
    async with opened(LogDatabase(f"sqlite:///{tmp_path}/a/b/logs.db")) as tables:
        await tables.rows.add([an_addition()])
        modes = [path.stat().st_mode & 0o077 for path in (tmp_path / "a" / "b", *(tmp_path / "a" / "b").iterdir())]
    assert len(modes) >= 2
    assert set(modes) == {0}


async def test_a_password_is_never_told(postgresql: PostgreSql, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    good = postgresql.create_database()
    for url in (
        good.replace(PASSWORD, "wrong-pa55"),
        good.replace(f":{postgresql.port}/", ":1/"),
        f"{good}_missing",
    ):
        async with opened(LogDatabase(url), timeout_s=10) as tables:
            with pytest.raises(LogsUnavailable) as refusal:
                await tables.rows.add([an_addition()])
            assert "pa55" not in str(refusal.value)
            assert "\n" not in str(refusal.value)
            assert "pa55" not in str(tables.database)
    assert "pa55" not in caplog.text
