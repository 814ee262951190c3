from __future__ import annotations

from pathlib import Path

import pytest

from luna_local.inbox.buckets import ImageStore
from luna_local.inbox.deliveries import Delivery
from luna_local.inbox.errors import InboxError
from luna_local.inbox.pictures import Picture, decoded
from luna_local.inbox.store import EventLimits, EventStore
from support.images import a_jpeg


async def a_picture(name: str = "face.jpg") -> Picture:
    return await decoded(name, a_jpeg())


async def a_delivery(**query: str) -> Delivery:
    return Delivery("1,request", dict(query), {}, (await a_picture(),))


async def test_events_survive_a_restart(tmp_path: Path) -> None:
    event = await EventStore(tmp_path).add("h", await a_delivery(stream_id="s", track_id="t"))
    (again,) = EventStore(tmp_path).select(None, None)
    assert again == event
    assert (EventStore(tmp_path).pictures / again.images[0].file).read_bytes() == a_jpeg()


async def test_a_torn_last_line_is_dropped_and_the_next_event_is_whole(tmp_path: Path) -> None:
    store = EventStore(tmp_path)
    kept = await store.add("h", await a_delivery())
    await store.add("h", await a_delivery())
    index = tmp_path / "events.jsonl"
    index.write_bytes(index.read_bytes()[:-20])
    again = EventStore(tmp_path)
    later = await again.add("h", await a_delivery())
    assert [event.event_id for event in EventStore(tmp_path).select(None, None)] == [kept.event_id, later.event_id]


async def test_a_damaged_line_costs_only_itself(tmp_path: Path) -> None:
    store = EventStore(tmp_path)
    ids = [(await store.add("h", await a_delivery())).event_id for _ in range(3)]
    index = tmp_path / "events.jsonl"
    lines = index.read_bytes().splitlines(keepends=True)
    index.write_bytes(lines[0] + b"{damaged\n" + lines[2])
    assert [event.event_id for event in EventStore(tmp_path).select(None, None)] == [ids[0], ids[2]]


async def test_pictures_without_an_event_are_removed_at_the_start(tmp_path: Path) -> None:
    event = await EventStore(tmp_path).add("h", await a_delivery())
    (tmp_path / "pictures" / "left-over").mkdir()
    assert [path.name for path in EventStore(tmp_path).pictures.iterdir()] == [event.event_id]


async def test_a_delivery_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    store = EventStore(tmp_path)
    (tmp_path / "events.jsonl").mkdir()
    with pytest.raises(OSError, match="directory"):
        await store.add("h", await a_delivery())
    assert len(store) == 0
    assert not list(store.pictures.iterdir())


async def test_the_oldest_events_go_when_the_inbox_is_full(tmp_path: Path) -> None:
    store = EventStore(tmp_path, EventLimits(events=10))
    ids = [(await store.add("h", await a_delivery())).event_id for _ in range(11)]
    assert [event.event_id for event in store.select(None, None)] == ids[1:]
    assert {path.name for path in store.pictures.iterdir()} == set(ids[1:])
    assert EventStore(tmp_path).select(None, None) == store.select(None, None)


async def test_pictures_are_bounded_by_their_size(tmp_path: Path) -> None:
    store = EventStore(tmp_path, EventLimits(picture_bytes=3 * len(a_jpeg())))
    for _ in range(10):
        await store.add("h", await a_delivery())
    assert len(store) <= 3


async def test_an_image_store_forgets_its_oldest_images(tmp_path: Path) -> None:
    store = ImageStore(tmp_path, max_bytes=2 * len(a_jpeg()))
    for image_id in ("a", "b", "c"):
        await store.put("frames", image_id, await a_picture())
    with pytest.raises(InboxError):
        store.find("frames", "a")
    assert store.find("frames", "c").read_bytes() == a_jpeg()
    assert len(ImageStore(tmp_path)) == 2


@pytest.mark.parametrize("name", ["..", "a/b", "", "a.b", "*", "x" * 65])
async def test_names_that_are_no_plain_names_reach_no_file(tmp_path: Path, name: str) -> None:
    store = ImageStore(tmp_path)
    with pytest.raises(InboxError):
        await store.put(name, "a", await a_picture())
    with pytest.raises(InboxError):
        store.find("frames", name)


async def test_an_event_that_was_kept_is_accepted_though_no_room_can_be_made(tmp_path: Path) -> None:
    store = EventStore(tmp_path, EventLimits(events=2))
    (tmp_path / "events.new").mkdir()  # the index cannot be written anew
    kept = [await store.add("h", await a_delivery()) for _ in range(3)]
    assert [event.event_id for event in store.select(None, None)] == [event.event_id for event in kept]
    (tmp_path / "events.new").rmdir()
    await store.add("h", await a_delivery())
    assert len(store) < 4, "and room is made as soon as it can"
