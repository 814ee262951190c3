"""Each parameter of an analytics changes what is sent, from the REST body to the event, in both versions."""

from __future__ import annotations

import pytest

from luna_processor.errors import UnsuitableStream
from support.films import Film, face
from support.parameter_effects import Effect, body_with, effects
from support.streams_server import stream_v2

CASES = [
    pytest.param(version, effect, id=f"v{version} {effect.name}")
    for effect in effects()
    for version, path in (("1", effect.v1), ("2", effect.v2))
    if path
]


@pytest.mark.parametrize(("version", "effect"), CASES)
def test_each_parameter_has_its_effect(version: str, effect: Effect) -> None:
    for value, seen in effect.seen:
        film = Film()
        film.use(body_with(effect, version, value), v1_mode=effect.mode)
        assert effect.watch(film) == seen, f"with {value}"


@pytest.mark.parametrize(("is_enabled", "count"), [(True, 2), (False, 1)])
def test_only_enabled_analytics_take_part(is_enabled: bool, count: int) -> None:
    stream = stream_v2("/clip.mp4")
    first = stream["data"]["analytics"][0]
    stream["data"]["analytics"] = [first | {"enabled": is_enabled}, first | {"sending": {"silent_period": 1}}]
    film = Film()
    film.use(stream)
    film.show(face() for _ in range(10))
    film.pipeline.finish()
    assert len(film.sink.events) == count


def test_a_stream_without_an_enabled_analytics_says_so() -> None:
    with pytest.raises(UnsuitableStream, match="no analytics of the stream is enabled"):
        Film(analytics={"enabled": False})
