"""Names and ids: valid wherever they are used, in order of creation, never the same for two things."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luna_streams import naming
from support.builders import ACCOUNT, OTHER_ACCOUNT, STREAM_ID

DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
DNS_SUBDOMAIN = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")

labels = st.from_regex(r"\A[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")
object_names = (
    st.lists(labels, min_size=1, max_size=5).map(".".join).filter(DNS_SUBDOMAIN.fullmatch)
    | st.integers(1, 253).map(lambda length: "a" * length)
    | st.integers(60, 251).map(lambda length: "a" * length + ".b")
)


@pytest.mark.parametrize(
    "clock",
    [
        pytest.param([5] * 10_000, id="a-burst-within-a-millisecond"),
        pytest.param([5, 4, 3, 2, 1, 0] * 20, id="a-clock-that-goes-back"),
        pytest.param([2**48 - 2, 2**48 - 2, 0, 7], id="the-end-of-time"),
        pytest.param(list(range(1000)), id="a-good-clock"),
    ],
)
def test_names_grow_strictly(clock: list[int]) -> None:
    ticks = iter(clock)
    make = naming.UuidV7Factory(lambda: next(ticks))
    names = [make() for _ in clock]
    assert names == sorted(set(names))
    assert all(naming.is_uuid(name) for name in names)


@given(st.lists(st.integers(0, 2**47), min_size=1, max_size=50))
def test_names_grow_strictly_whatever_the_clock_does(clock: list[int]) -> None:
    ticks = iter(clock)
    make = naming.UuidV7Factory(lambda: next(ticks))
    names = [make() for _ in clock]
    assert names == sorted(set(names))


def test_a_name_is_a_uuid_of_version_7_with_the_time_in_front() -> None:
    made = uuid.UUID(naming.UuidV7Factory(lambda: 0x0193E0D55F6A)())
    assert (made.version, made.variant, made.int >> 80) == (7, uuid.RFC_4122, 0x0193E0D55F6A)


def test_the_real_clock_is_used_unless_told_otherwise() -> None:
    before = datetime.now(UTC)
    made = naming.create_time(naming.UuidV7Factory()(), before + timedelta(minutes=1))
    assert timedelta(seconds=-1) < made - before < timedelta(seconds=60)


@pytest.mark.parametrize(
    ("name", "server", "expected"),
    [
        pytest.param("018cc251-f400-7000-8000-000000000000", "2024-01-01T00:00:00", "2024-01-01T00:00:00", id="v7"),
        pytest.param("018cc251-f47b-7000-8000-000000000000", "2024-01-01T00:00:00", "2024-01-01T00:00:00.123", id="ms"),
        pytest.param(
            "018cc251-f47b-7000-8000-000000000000", "2025-06-01T00:00:00", "2024-01-01T00:00:00.123", id="restored"
        ),
        pytest.param("018cc251-f7e8-7000-8000-000000000000", "2024-01-01T00:00:00", "2024-01-01T00:00:00", id="ahead"),
        pytest.param("018cc251-f400-4000-8000-000000000000", "2025-06-01T00:00:00", "2025-06-01T00:00:00", id="v4"),
        pytest.param("front-door", "2025-06-01T00:00:00", "2025-06-01T00:00:00", id="a-name-for-people"),
    ],
)
def test_the_time_of_creation_is_read_from_the_name(name: str, server: str, expected: str) -> None:
    timestamp = datetime.fromisoformat(server).replace(tzinfo=UTC)
    assert naming.create_time(name, timestamp) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        (STREAM_ID, True),
        (STREAM_ID.upper(), False),
        (STREAM_ID.replace("-", ""), False),
        (STREAM_ID + "\n", False),
        ("front-door", False),
        ("", False),
    ],
)
def test_only_the_documented_spelling_is_a_uuid(text: str, is_one: bool) -> None:
    assert naming.is_uuid(text) == is_one


def test_an_object_named_by_a_uuid_keeps_it_as_its_id() -> None:
    assert naming.stream_id("default", STREAM_ID) == STREAM_ID
    assert naming.group_id("default", STREAM_ID) == STREAM_ID


def test_ids_never_change_between_releases() -> None:
    assert naming.stream_id("default", "front-door") == "b7da7954-aafe-5ddb-9c5a-2070803fdd94"
    assert naming.group_id("default", "doors") == "4072cdd6-7d48-5851-a70c-583762d2dc4f"
    assert naming.group_object_name(ACCOUNT, "doors") == "1f580db5-b7cb-538d-8ea5-4b1fd020f68d"


@given(st.lists(st.tuples(labels, labels), unique=True, min_size=2, max_size=8))
@settings(max_examples=50)
def test_different_objects_have_different_ids(objects: list[tuple[str, str]]) -> None:
    ids = {naming.stream_id(*one) for one in objects} | {naming.group_id(*one) for one in objects}
    assert len(ids) == 2 * len(objects)
    assert all(naming.is_uuid(one) for one in ids)


def test_groups_of_one_name_are_different_groups_in_different_accounts() -> None:
    names = [naming.group_object_name(account, "doors") for account in (ACCOUNT, OTHER_ACCOUNT, ACCOUNT)]
    assert names[0] == names[2] != names[1]
    assert DNS_SUBDOMAIN.fullmatch(names[0])


@given(object_names)
def test_the_name_of_a_secret_is_valid_and_its_own(name: str) -> None:
    one, other = naming.secret_name(name, "0123456789"), naming.secret_name(name, "abcdef0123")
    assert DNS_SUBDOMAIN.fullmatch(one)
    assert one != other


@given(object_names, st.integers(0, 999))
def test_the_name_of_a_pod_is_valid_as_a_host_name(pool: str, ordinal: int) -> None:
    name = naming.pod_name(pool, ordinal)
    assert DNS_LABEL.fullmatch(name)
    assert name.endswith(f"-{ordinal}")


@given(st.lists(object_names, unique=True, min_size=2, max_size=8))
@settings(max_examples=50)
def test_different_pools_and_streams_share_no_name(names: list[str]) -> None:
    assert len({naming.pod_name(name, 0) for name in names}) == len(names)
    assert len({naming.secret_name(name, "m") for name in names}) == len(names)


@pytest.mark.parametrize(
    ("one", "other"),
    [("a.b", "a-b"), ("a" * 100, "a" * 101), ("a" * 62 + "-b", "a" * 62 + "-c"), ("x" * 250, "x" * 251)],
)
def test_names_that_look_alike_when_cut_stay_apart(one: str, other: str) -> None:
    assert naming.pod_name(one, 0) != naming.pod_name(other, 0)
    assert naming.secret_name(one, "m") != naming.secret_name(other, "m")


def test_a_name_is_not_cut_behind_a_dot() -> None:
    name = naming.secret_name("a" * 229 + "." + "b" * 20, "m")
    assert DNS_SUBDOMAIN.fullmatch(name)
    assert len(name) <= 253


def test_a_short_name_stays_readable() -> None:
    assert naming.pod_name("gpu", 3) == "gpu-3"
    assert naming.secret_name("front-door", "0a1b") == "front-door-credentials-0a1b"
