"""What each parameter changes about the events of a stream: values, and what is seen of each of them.

Paths are those of `support.parameters`; a scenario shows a film to a pipeline that was made from the REST body.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from luna_processor.vision.headpose import HeadPose
from luna_streams.stream import MODE_BODIES, MODE_FACES, Mode
from support.films import FPS, Film, body, empty, face
from support.streams_server import stream_v1, stream_v2

Json = Any
Watch = Callable[[Film], object]

HANDLER = "0b7a6a52-1e0e-4d0c-8c2f-3b6c1de1a001"
ACCOUNT = "7c3b2e1f-5a4d-4e6f-9a8b-1c2d3e4f5a6b"
STORE = "http://store:5020/1/buckets/frames/images"


@dataclass(frozen=True)
class Effect:
    """Values of a parameter and what is seen of each.

    Attributes:
        v2: path in version 2, if it has it.
        v1: path in version 1, if it has it.
        seen: outcome by value; values in pairs, since lists have no hash.
        watch: shows a film and returns the outcome.
        others: parameters that must be set for it to show, by their paths in version 2.
        mode: of the analytics.
    """

    v2: str | None
    v1: str | None
    seen: tuple[tuple[Json, object], ...]
    watch: Watch
    others: Mapping[str, Json] = field(default_factory=dict)
    mode: Mode = MODE_FACES

    @property
    def name(self) -> str:
        """Of the case, for the test's report."""
        return f"{self.v2 or self.v1} (mode {self.mode})"


# -- what is watched --------------------------------------------------------------------------------------------------


def _ended(film: Film) -> Film:
    film.pipeline.finish()
    return film


def _count(film: Film) -> int:
    return len(film.sink.events)


def _frames(film: Film) -> list[int]:
    return [round((shot.pts_s or 0) * FPS) for event in film.sink.events for shot in event.shots]


def _kinds(film: Film) -> list[list[str]]:
    return [[shot.kind for shot in event.shots] for event in film.sink.events]


def _faces(film: Film, count: int = 10, **picture: Any) -> Film:
    film.show(face(**picture) for _ in range(count))
    return film


def _bodies(film: Film, count: int = 10, **picture: Any) -> Film:
    film.show(body(**picture) for _ in range(count))
    return film


def _posed(**angles: float) -> Watch:
    def watch(film: Film) -> int:
        film.pose.pose = HeadPose(**({"yaw": 0, "pitch": 0, "roll": 0} | angles))
        return _count(_ended(_faces(film)))

    return watch


def _yaws(film: Film, yaws: list[float]) -> list[int]:
    film.pose.yaws = yaws
    film.show(face(noise=40 if index == 0 else 10) for index in range(len(yaws)))
    return _frames(_ended(film))


def _mouth(film: Film) -> int:
    film.mouth.cover = 0.4
    return _count(_ended(_faces(film)))


def _is_upright(film: Film) -> bool:
    width, height = Image.open(io.BytesIO(_ended(_faces(film)).sink.events[0].shots[0].jpeg)).size
    return height > width


def _sets_of_bodies(film: Film) -> list[int]:
    film.show([body()] * 26 + [body(noise=4)] * 25)
    return _frames(film)


def _stored(film: Film) -> set[str]:
    _ended(_bodies(film, head=True))
    return {shot.kind for event in film.sink.events for shot in event.shots if shot.frame_jpeg is not None}


def _photo(film: Film) -> int:
    film.mask.score = film.flying_faces.score = 0.1
    return _count(_ended(_faces(film)))


def _scores(*scores: tuple[float, int]) -> Watch:
    def watch(film: Film) -> int:
        for score, count in scores:
            film.mask.score = film.flying_faces.score = score
            _faces(film, count)
        return _count(_ended(film))

    return watch


def _checks(film: Film) -> int:
    _ended(_faces(film, 20))
    return film.mask.calls


def _background(film: Film) -> int:
    film.show(empty() for _ in range(20))
    return _count(_ended(_faces(film, 20)))


def _target(name: str) -> Watch:
    return lambda film: getattr(_ended(_faces(film)).sink.events[0].target, name)


def _place(name: str) -> Watch:
    return lambda film: _ended(_faces(film)).sink.events[0].location.to_rest()[name]


def _at_end(count: int, watch: Watch) -> Watch:
    return lambda film: watch(_ended(_faces(film, count)))


# -- the cases --------------------------------------------------------------------------------------------------------

_ANALYTICS, _POLICIES = "data.analytics", "policies"
_GATE = {f"{_ANALYTICS}.primary_track_policy.use_primary_track_policy": True}
_DROI = {f"{_ANALYTICS}.droi": {"x": 90, "y": 70, "width": 60, "height": 80, "mode": "abs"}}
_ROI = {"data.roi": {"x": 50, "y": 40, "width": 100, "height": 100, "mode": "abs"}}
_MASK: dict[str, Json] = {
    f"{_ANALYTICS}.liveness.use_mask_liveness_filtration": True,
    f"{_ANALYTICS}.liveness.livenesses_weights": [1, 0],
    f"{_ANALYTICS}.liveness.liveness_threshold": 0.5,
}


def _policy(path: str, *seen: tuple[Json, object], watch: Watch, **case: Any) -> Effect:
    """Return a case of a parameter whose path is the same in `policies` and in an analytics."""
    return Effect(f"{_ANALYTICS}.{path}", f"{_POLICIES}.{path}", seen, watch, **case)


def _filters() -> Iterable[Effect]:
    count = _at_end(10, _count)
    scores = ((0.85, 1), (0.95, 0))

    def bodies(film: Film) -> int:
        return _count(_ended(_bodies(film)))

    yield Effect(f"{_ANALYTICS}.filtering.min_score_face", f"{_POLICIES}.filtering.min_score", scores, count)
    yield Effect(
        f"{_ANALYTICS}.filtering.min_score_body", f"{_POLICIES}.filtering.min_score", scores, bodies, mode=MODE_BODIES
    )
    for angle in ("yaw", "pitch", "roll"):
        yield _policy(f"filtering.detection_{angle}_threshold", (50, 1), (44, 0), watch=_posed(**{angle: -45}))
    yield _policy("filtering.yaw_number", (1, [0]), (3, [1]), (-1, [0]), watch=lambda film: _yaws(film, [35, 0, 0]))
    yield _policy(
        "filtering.yaw_collection_mode",
        (False, [0]),
        (True, []),
        watch=lambda film: _yaws(film, [0] * 5),
        others={f"{_ANALYTICS}.filtering.yaw_number": 6},
    )
    yield _policy("filtering.mouth_occlusion_threshold", (0.3, 0), (0.5, 1), (0, 1), watch=_mouth)
    yield _policy("filtering.min_body_size_threshold", (102, 1), (103, 0), (0, 1), watch=bodies, mode=MODE_BODIES)


def _regions() -> Iterable[Effect]:
    for side, inside, outside in (("x", 90, 110), ("y", 70, 90), ("width", 60, 40), ("height", 80, 60)):
        seen = ((inside, 1), (outside, 0))
        yield Effect(f"{_ANALYTICS}.droi.{side}", f"data.droi.{side}", seen, _at_end(10, _count), _DROI)
    yield Effect(f"{_ANALYTICS}.droi.mode", "data.droi.mode", (("abs", 1), ("percent", 0)), _at_end(10, _count), _DROI)
    boxes = _at_end(10, lambda film: film.boxes())
    whole = [(100, 80, 140, 140)]
    for side, small, large, seen_small in (
        ("x", 50, 120, [(120, 80, 140, 140)]),
        ("y", 40, 100, [(100, 100, 140, 140)]),
        ("width", 100, 80, [(100, 80, 130, 140)]),
        ("height", 100, 80, [(100, 80, 140, 120)]),
        ("mode", "abs", "percent", []),
    ):
        yield Effect(f"data.roi.{side}", f"data.roi.{side}", ((small, whole), (large, seen_small)), boxes, _ROI)
    yield Effect("data.rotation", "data.rotation", ((0, True), (90, False), (180, True), (270, False)), _is_upright)


def _sending() -> Iterable[Effect]:
    second = {f"{_ANALYTICS}.sending.time_period_of_searching": 1}
    count = _at_end(60, _count)
    yield _policy("sending.time_period_of_searching", (-1, 1), (1, 3), watch=count)
    yield _policy("sending.silent_period", (0, 3), (1, 2), (-1, 1), watch=count, others=second)
    yield _policy(
        "sending.type",
        ("sec", 1),
        ("frames", 3),
        watch=count,
        others={f"{_ANALYTICS}.sending.time_period_of_searching": 25},
    )
    number = f"{_POLICIES}.sending.number_of_bestshots_to_send"
    shots = f"{_ANALYTICS}.sending.bestshot_settings"
    of_faces = _at_end(25, lambda film: len(film.sink.events[0].shots))
    yield Effect(f"{shots}.face_bestshots_to_send", number, ((1, 1), (3, 3), (0, 1)), of_faces)

    def of_bodies(film: Film) -> int:
        return len(_ended(_bodies(film, 25)).sink.events[0].shots)

    yield Effect(f"{shots}.body_bestshots_to_send", number, ((1, 1), (3, 3), (0, 1)), of_bodies, mode=MODE_BODIES)
    yield Effect(
        f"{shots}.type",
        None,
        ((1, [["face"]]), (2, [["body"]]), (3, [["human"]]), (4, [["face"], ["body"]])),
        lambda film: _kinds(_ended(_bodies(film, head=True))),
        mode=3,
    )
    yield Effect(
        f"{_ANALYTICS}.sending.body.send_only_full_set",
        f"{_POLICIES}.sending.send_only_full_set",
        ((True, 0), (False, 1)),
        lambda film: _count(_ended(_bodies(film, 8))),
        {f"{shots}.body_bestshots_to_send": 3},
        MODE_BODIES,
    )
    yield Effect(
        f"{_ANALYTICS}.sending.body.delete_track_after_sending",
        f"{_POLICIES}.sending.delete_track_after_sending",
        ((False, [0, 0]), (True, [0, 26])),
        _sets_of_bodies,
        second,
        MODE_BODIES,
    )
    yield Effect(
        f"{_ANALYTICS}.sending.full_frame_settings",
        None,
        ((1, {"face"}), (2, {"body"}), (3, {"face", "body"}), (4, {"face", "body"})),
        _stored,
        {f"{shots}.type": 4, f"{_ANALYTICS}.event_handler.frame_store": STORE},
        3,
    )


def _gates() -> Iterable[Effect]:
    gate = "primary_track_policy"
    yield _policy(f"{gate}.use_primary_track_policy", (False, 1), (True, 0), watch=_at_end(10, _count))
    yield _policy(f"{gate}.best_shot_min_size", (60, 1), (61, 0), watch=_at_end(10, _count), others=_GATE)
    yield _policy(
        f"{gate}.best_shot_proper_size",
        (100, 1),
        (101, 0),
        watch=lambda film: _count(_faces(film, y=40, height=100)),
        others=_GATE,
    )


def _liveness() -> Iterable[Effect]:
    path = f"{_ANALYTICS}.liveness"
    yield _policy("liveness.use_mask_liveness_filtration", (False, 1), (True, 0), watch=_photo, others=_MASK)
    yield _policy(
        "liveness.use_flying_faces_liveness_filtration",
        (False, 1),
        (True, 0),
        watch=_photo,
        others={f"{path}.livenesses_weights": [0, 1], f"{path}.liveness_threshold": 0.5},
    )
    five = _MASK | {f"{path}.number_of_liveness_checks": 5}
    later_bad = _scores((0.9, 10), (0.1, 5))
    yield _policy("liveness.liveness_mode", (0, 1), (1, 0), (2, 1), watch=later_bad, others=five)
    yield _policy("liveness.liveness_mode", (0, 1), (2, 0), watch=_scores((0.9, 5), (0.1, 15)), others=five)
    yield _policy("liveness.number_of_liveness_checks", (5, 5), (8, 8), (0, 1), watch=_checks, others=_MASK)
    yield _policy("liveness.liveness_threshold", (0.5, 1), (0.95, 0), watch=_scores((0.9, 10)), others=_MASK)
    weigh = _scores((0.9, 10))
    yield Effect(f"{path}.livenesses_weights", None, (([1, 0], 1), ([0.52, 9], 0)), weigh, _MASK)
    v1_weights = f"{_POLICIES}.liveness.livenesses_weights"
    yield Effect(None, v1_weights, (([0, 1, 0], 1), ([9, 0.52, 9], 0)), weigh, _MASK)
    yield _policy("liveness.mask_backgrounds_count", (10, 1), (100, 0), watch=_background, others=_MASK)


def _handlers() -> Iterable[Effect]:
    handler = f"{_ANALYTICS}.event_handler"
    url = "http://lp{}/{}/handlers/{}/events".format
    yield Effect(f"{handler}.handler_id", None, ((HANDLER, url("", 6, HANDLER)),), _target("url"))
    yield Effect(
        None, "event_handler.bestshot_handler.handler_id", ((HANDLER, url(":5000", 6, HANDLER)),), _target("url")
    )
    both = {"event_handler.bestshot_handler.handler_id": HANDLER}
    origins = (("http://other/", f"http://other/6/handlers/{HANDLER}/events"),)
    yield Effect(None, "event_handler.origin", origins, _target("url"), both)
    yield Effect(None, "event_handler.api_version", ((5, url(":5000", 5, HANDLER)),), _target("url"), both)
    yield Effect(
        f"{handler}.frame_store", "event_handler.frame_store", ((None, None), (STORE, STORE)), _target("frame_store")
    )
    whole = f"{handler}.authorization", "event_handler.authorization"
    account, token = ({"account_id": ACCOUNT}, ACCOUNT), ({"token": "t"}, "t")
    yield Effect(*whole, (account,), _target("account_id"))
    yield Effect(*whole, (token,), _target("token"))
    yield Effect(
        None,
        "event_handler.detection_handler.handler_id",
        ((HANDLER, 1),),
        _at_end(10, _count),
    )


def _frame() -> Iterable[Effect]:
    for name in ("city", "area", "district", "street", "house_number"):
        path = f"location.{name}"
        yield Effect(path, path, (("here", "here"), (None, None)), _place(name))
    where = {"longitude": 73.4, "latitude": -55.0}
    yield Effect("location.geo_position", "location.geo_position", ((where, where),), _place("geo_position"))
    yield Effect("name", "name", (("gate", "gate"),), lambda film: _ended(_faces(film)).sink.events[0].source)
    yield Effect(
        None, "account_id", ((ACCOUNT, ACCOUNT),), _target("account_id"), {"event_handler.authorization": None}
    )
    yield Effect(
        f"{_ANALYTICS}.mode",
        None,
        ((1, [["face"]]), (2, [["body"]]), (3, [["human"]])),
        lambda film: _kinds(_ended(_bodies(film, head=True))),
    )


def effects() -> list[Effect]:
    """Return all cases."""
    return [*_filters(), *_regions(), *_sending(), *_gates(), *_liveness(), *_handlers(), *_frame()]


# -- bodies -----------------------------------------------------------------------------------------------------------


def body_with(effect: Effect, version: str, value: Json) -> dict[str, Json]:
    """Return a stream of a version of the API with a value of the parameter, and what else it needs."""
    others = dict(effect.others)
    if version == "1":
        stream, path = stream_v1("/clip.mp4", "http://lp:5000"), effect.v1
        others = {_in_v1(other): setting for other, setting in others.items()}
        if (path and path.endswith("livenesses_weights")) or f"{_POLICIES}.liveness.livenesses_weights" in others:
            weights = others.get(f"{_POLICIES}.liveness.livenesses_weights", [0, 0])
            others[f"{_POLICIES}.liveness.livenesses_weights"] = [0, *weights]
    else:
        stream, path = stream_v2("/clip.mp4", mode=effect.mode), effect.v2
    assert path is not None
    stream = copy.deepcopy(stream)
    for each, setting in (*others.items(), (path, value)):
        _set(stream, each, copy.deepcopy(setting))
    return stream


def _in_v1(path: str) -> str:
    if path.endswith(("face_bestshots_to_send", "body_bestshots_to_send")):
        return f"{_POLICIES}.sending.number_of_bestshots_to_send"
    for v2, v1 in (
        (f"{_ANALYTICS}.droi", "data.droi"),
        (f"{_ANALYTICS}.event_handler", "event_handler"),
        (f"{_ANALYTICS}.sending.body", f"{_POLICIES}.sending"),
        (_ANALYTICS, _POLICIES),
    ):
        if path.startswith(v2):
            return v1 + path.removeprefix(v2)
    return path


def _set(stream: dict[str, Json], path: str, value: Json) -> None:
    *parents, leaf = path.split(".")
    node: Json = stream
    for name in parents:
        if node.get(name) is None:
            node[name] = {}
        node = node[name][0] if isinstance(node[name], list) else node[name]
    node[leaf] = value
