"""Hypothesis strategies for REST bodies of both versions and for specs: everything that the rules allow.

Bodies leave out any optional field, references carry odd user info, regions come in every form. The builders of
plain examples are in `builders.py`.
"""

from __future__ import annotations

import json
from typing import Any, get_args

from hypothesis import strategies as st

from luna_streams.model import INT32_MAX
from luna_streams.pool import HandlerFormat
from luna_streams.references import SCHEMES
from luna_streams.rest.v1 import StreamToBeCreatedV1
from luna_streams.rest.v2 import StreamToBeCreatedV2
from luna_streams.v1alpha1 import GroupAffinity, PreemptionPolicy, StreamProcessorSpec, StreamSpec

Strategy = st.SearchStrategy

uuids: Strategy[str] = st.uuids().map(str)
group_names = st.from_regex(r"\A[a-zA-Z0-9_\-]{1,128}\Z")
numbers = st.floats(allow_nan=False, allow_infinity=False, width=32).map(lambda value: value + 0.0)
int32 = st.integers(-INT32_MAX - 1, INT32_MAX)
periods = st.integers(-1, INT32_MAX)
angles = st.floats(0, 180)
shots = st.sampled_from([1, 2, 3, 4])
pixels = st.integers(0, 65536)
percents = st.floats(0, 100)
percent_sizes = st.floats(0.00001, 100)


def texts(limit: int) -> Strategy[str]:
    """Return any text of up to `limit` characters that JSON and UTF-8 can hold."""
    return st.text(st.characters(exclude_categories=["Cs"]), max_size=limit)


# --- references ---------------------------------------------------------------------------------------------------

_ODD = "aZ09:@/?#%!$&'()*+,;=-._~ ^|`\"<>{}\\[]ü日"
_hosts = st.sampled_from(["camera", "10.0.0.1", "cam.example.org", "[::1]", "[fe80::1%25eth0]", ""])
_ports = st.sampled_from(["", ":554", ":1"])
_paths = st.sampled_from(["", "/", "/live", "/a@b", "/x?user=a:b@c", "/stream#1", "?a=b", "//odd//"])
_schemes = st.sampled_from([*SCHEMES, "RTSP"])
user_infos = st.text(_ODD, max_size=40) | st.tuples(st.text("adminu", min_size=1), st.text(_ODD)).map(":".join)
urls_without_user: Strategy[str] = st.builds("{}://{}{}{}".format, _schemes, _hosts, _ports, _paths)
urls_with_user: Strategy[str] = st.builds("{}://{}@{}{}{}".format, _schemes, user_infos, _hosts, _ports, _paths)
plain_names = st.sampled_from(["", "0", "/dev/video0", "/media/a clip: 1.mp4", "clips/a@b.mp4", "../x", "a,b.mp4"])
references = (urls_without_user | urls_with_user | plain_names).filter(lambda text: len(text) <= 512)


# --- parts both versions share --------------------------------------------------------------------------------------


def some_of(**fields: Strategy[Any]) -> Strategy[dict[str, Any]]:
    """Return objects with any of the fields."""
    return st.fixed_dictionaries({}, optional=fields)


def _region(kind: str) -> Strategy[Any]:
    sides = {"x": percents, "y": percents, "width": percent_sizes, "height": percent_sizes}
    if kind == "percent":
        return st.fixed_dictionaries(sides | {"mode": st.just("percent")})
    if kind == "array":
        return st.lists(pixels, min_size=4, max_size=4)
    return st.fixed_dictionaries(
        dict.fromkeys(("x", "y", "width", "height"), pixels), optional={"mode": st.just("abs")}
    )


regions = st.sampled_from(["abs", "percent", "array"]).flatmap(_region)
tokens = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=0, max_size=60)
authorizations = st.fixed_dictionaries({"token": tokens}) | st.fixed_dictionaries({"account_id": uuids})
platform_urls = st.sampled_from(["http://127.0.0.1:5000", "http://luna:5000/", "https://[::1]/6/images", "odd", ""])
frame_stores = st.none() | platform_urls
geo_positions = st.none() | st.fixed_dictionaries({"longitude": st.floats(-180, 180), "latitude": st.floats(-90, 90)})
_places = st.none() | texts(36)
locations = some_of(
    city=_places, area=_places, district=_places, street=_places, house_number=_places, geo_position=geo_positions
)
autorestarts = some_of(
    restart=st.sampled_from([0, 1]), attempt_count=st.integers(1, INT32_MAX), delay=st.integers(1, INT32_MAX)
)
healthchecks = some_of(max_error_count=int32, period=int32, retry_delay=int32, timeout=st.integers(0, INT32_MAX))
primary_track_policies = some_of(
    use_primary_track_policy=st.booleans(), best_shot_min_size=int32, best_shot_proper_size=int32
)
_periods = {"time_period_of_searching": periods, "silent_period": periods, "type": st.sampled_from(["sec", "frames"])}
_filters: dict[str, Strategy[Any]] = {
    "detection_yaw_threshold": angles,
    "detection_pitch_threshold": angles,
    "detection_roll_threshold": angles,
    "yaw_number": int32,
    "yaw_collection_mode": st.booleans(),
    "mouth_occlusion_threshold": numbers,
    "min_body_size_threshold": st.floats(0, 1e6),
}
_liveness: dict[str, Strategy[Any]] = {
    "use_mask_liveness_filtration": st.booleans(),
    "use_flying_faces_liveness_filtration": st.booleans(),
    "liveness_mode": st.sampled_from([0, 1, 2]),
    "number_of_liveness_checks": int32,
    "liveness_threshold": numbers,
    "mask_backgrounds_count": int32,
}
_decoding: dict[str, Strategy[Any]] = {
    "frame_processing_mode": st.sampled_from(["auto", "full", "scale"]),
    "real_time_mode_fps": int32,
    "ffmpeg_threads_number": int32,
}
_frame: dict[str, Strategy[Any]] = {
    "name": texts(128),
    "description": texts(512),
    "location": locations,
    "autorestart": autorestarts,
    "status": st.sampled_from(["pending", "pause"]),
    "group_name": group_names,
    "group_id": uuids,
}
_picture: dict[str, Strategy[Any]] = {
    "roi": regions,
    "rotation": st.sampled_from([0, 90, 180, 270]),
    "preferred_program_stream_frame_width": st.integers(0, INT32_MAX),
}


def _sources(required: dict[str, Strategy[Any]], optional: dict[str, Strategy[Any]]) -> Strategy[dict[str, Any]]:
    """Return `data` of every type."""
    common = {"reference": references} | required
    return st.one_of(
        st.fixed_dictionaries(
            {"type": st.sampled_from(["tcp", "udp"])} | common, optional=optional | {"endless": st.booleans()}
        ),
        st.fixed_dictionaries({"type": st.just("videofile")} | common, optional=optional),
        st.fixed_dictionaries({"type": st.just("images"), "mask": texts(128)} | common, optional=optional),
    )


webhooks = st.fixed_dictionaries(
    {"type": st.just("cloudevents"), "url": st.sampled_from(["http://hook", "https://[::1]:8443/events?a=b@c"])},
    optional={
        "frame_store": frame_stores,
        "authorization": st.none() | st.fixed_dictionaries({"token": tokens}),
    },
)

# --- version 1 ------------------------------------------------------------------------------------------------------

_handler = st.fixed_dictionaries({"handler_id": uuids})
_v1_handlers = st.fixed_dictionaries(
    {"origin": platform_urls, "api_version": int32, "bestshot_handler": _handler},
    optional={
        "detection_handler": st.none() | _handler,
        "frame_store": frame_stores,
        "authorization": authorizations,
    },
)
_v1_policies = some_of(
    sending=some_of(
        **_periods,
        number_of_bestshots_to_send=int32,
        send_only_full_set=st.booleans(),
        delete_track_after_sending=st.booleans(),
    ),
    primary_track_policy=primary_track_policies,
    liveness=some_of(
        **_liveness,
        use_shoulders_liveness_filtration=st.booleans(),
        livenesses_weights=st.lists(numbers, min_size=3, max_size=3),
    ),
    filtering=some_of(**_filters, min_score=numbers),
    healthcheck=healthchecks,
    **_decoding,
)


def _v1_bodies(handlers: Strategy[dict[str, Any]]) -> Strategy[dict[str, Any]]:
    data = _sources({}, _picture | {"droi": regions})
    return st.fixed_dictionaries(
        {"account_id": uuids, "data": data, "event_handler": handlers}, optional=_frame | {"policies": _v1_policies}
    )


v1_bodies = _v1_bodies(_v1_handlers | webhooks)
documented_v1_bodies = _v1_bodies(_v1_handlers)
"""Without what LUNA Streams does not have."""

# --- version 2 ------------------------------------------------------------------------------------------------------

_v2_handlers = st.fixed_dictionaries(
    {"handler_id": uuids, "frame_store": frame_stores, "authorization": authorizations},
    optional={"type": st.just("luna_handler")},
)
_analytics_fields: dict[str, Strategy[Any]] = {
    "enabled": st.booleans(),
    "mode": st.sampled_from([1, 2, 3]),
    "droi": regions,
    "filtering": some_of(**_filters, min_score_face=numbers, min_score_body=numbers),
    "primary_track_policy": primary_track_policies,
    "sending": some_of(
        **_periods,
        body=some_of(send_only_full_set=st.booleans(), delete_track_after_sending=st.booleans()),
        bestshot_settings=some_of(type=shots, face_bestshots_to_send=int32, body_bestshots_to_send=int32),
        full_frame_settings=shots,
    ),
    "healthcheck": healthchecks,
    "liveness": some_of(**_liveness, livenesses_weights=st.lists(numbers, min_size=2, max_size=2)),
}


def _v2_bodies(handlers: Strategy[dict[str, Any]]) -> Strategy[dict[str, Any]]:
    analytics = st.fixed_dictionaries({"event_handler": handlers}, optional=_analytics_fields)
    data = _sources({"analytics": st.lists(analytics, min_size=1, max_size=3)}, _picture | _decoding)
    return st.fixed_dictionaries({"account_id": uuids, "data": data}, optional=_frame)


v2_bodies = _v2_bodies(_v2_handlers | webhooks)
documented_v2_bodies = _v2_bodies(_v2_handlers)
"""Without what LUNA Streams does not have."""

# --- resources ------------------------------------------------------------------------------------------------------

_zones = st.lists(st.text("abc-1", min_size=1, max_size=63), max_size=3, unique=True)


def _own_fields(spec: StreamSpec) -> Strategy[StreamSpec]:
    """Fill in what only the resource has."""
    changes = some_of(
        desired_status=st.sampled_from(["pending", "pause", "cancel"]),
        restarted_at=st.datetimes(timezones=st.timezones(no_cache=True)),
        groups=st.lists(group_names, max_size=3, unique=True),
        priority=st.integers(-1000, 1000),
        placement=some_of(
            preferred_zones=_zones,
            required_zones=_zones,
            decoder_megapixels_per_second=st.floats(0, 1e6),
            group_affinity=st.sampled_from(get_args(GroupAffinity)),
            preemption_policy=st.sampled_from(get_args(PreemptionPolicy)),
        ),
    )
    return changes.map(lambda own: StreamSpec(**{**dict(spec), **own}))


def specs() -> Strategy[StreamSpec]:
    """Return specs as the API makes them of bodies of both versions, with the resource's own fields on top."""
    v1 = v1_bodies.map(lambda body: StreamToBeCreatedV1.from_rest(json.dumps(body)).to_submission("secret").spec)
    v2 = v2_bodies.map(lambda body: StreamToBeCreatedV2.from_rest(json.dumps(body)).to_submission("secret").spec)
    return (v1 | v2).flatmap(_own_fields)


_replicas = st.tuples(st.integers(0, 1000), st.integers(0, 1000)).map(sorted)
_gpus = st.fixed_dictionaries({"resource_name": st.just("nvidia.com/gpu")}, optional={"count": st.integers(1, 16)})


def pool_specs() -> Strategy[StreamProcessorSpec]:
    """Return specs of pools."""
    fields = some_of(
        selector=some_of(
            stream_ids=st.lists(uuids, max_size=3, unique=True),
            names=st.lists(texts(128), max_size=3, unique=True),
            group_names=st.lists(group_names, max_size=3, unique=True),
            account_ids=st.lists(uuids, max_size=3, unique=True),
        ),
        slots_per_pod=st.integers(1, 1000),
        replicas=st.none() | st.integers(0, 1000),
        scale_down_delay_seconds=st.integers(0, 86400),
        image=st.just("registry/luna:1"),
        gpu=_gpus | st.just({"claim_template": "gpu"}),
        decoder=st.fixed_dictionaries({"megapixels_per_second": st.floats(0, 1e6)}),
        models=st.just("models"),
        platform=st.fixed_dictionaries(
            {"origin": platform_urls},
            optional={"api_version": st.integers(1, 100), "event_format": st.sampled_from(get_args(HandlerFormat))},
        ),
        pod_template=st.just({"metadata": {"labels": {"a": "b"}}, "spec": {"tolerations": [{"operator": "Exists"}]}}),
        spread=st.sampled_from(["none", "node", "zone"]),
        preferred_zones=_zones,
        placement=some_of(
            strategy=st.sampled_from(["Spread", "Pack"]),
            group_affinity=st.sampled_from(get_args(GroupAffinity)),
            preemption_policy=st.sampled_from(get_args(PreemptionPolicy)),
            move_back_delay_seconds=st.integers(0, 86400),
        ),
    )
    return st.builds(
        lambda own, bounds: StreamProcessorSpec(**own, min_replicas=bounds[0], max_replicas=bounds[1]),
        fields,
        _replicas,
    )
