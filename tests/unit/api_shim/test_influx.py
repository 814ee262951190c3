"""Points for InfluxDB."""

from __future__ import annotations

from datetime import UTC, datetime

from luna_api_shim.http.traffic import Served
from luna_api_shim.influx import points_of

TIME = datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)


def test_a_request_is_one_point() -> None:
    served = Served("GET:/version", 200, None, "1536751345,8b8b5937", 0.0012345, TIME)
    assert list(points_of(served)) == [
        "request,service=luna-streams,route=GET:/version,status_code=200 "
        'request_id="1536751345,8b8b5937",execution_time=0.001234 1769860800123456000'
    ]


def test_an_error_is_a_second_point() -> None:
    served = Served("PUT:/2/streams/{stream_id}", 404, 39001, "id", 1, TIME)
    assert list(points_of(served))[1] == (
        "errors,service=luna-streams,route=PUT:/2/streams/{stream_id},status_code=404,error_code=39001 "
        'request_id="id" 1769860800123456000'
    )


def test_what_the_line_protocol_takes_for_its_own_is_escaped() -> None:
    (point,) = points_of(Served("a b,c=d", 200, None, 'say "hi\\there"', 0, TIME))
    assert r"route=a\ b\,c\=d,status_code" in point
    assert r'request_id="say \"hi\\there\"",' in point
