from __future__ import annotations

import pytest

from luna_local.serving import bind_loopback
from luna_local.up.errors import UpError
from luna_local.up.ports import preferred_listener, rest_port


def free_port() -> int:
    with bind_loopback(0) as listener:
        port: int = listener.getsockname()[1]
        return port


def listened_at(wanted: int) -> int:
    with preferred_listener(wanted) as listener:
        port: int = listener.getsockname()[1]
        return port


def test_a_taken_rest_port_is_an_error_that_names_it() -> None:
    with bind_loopback(0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(UpError, match=f"port {port} is taken; .*--port"), rest_port(port):
            pass
    with rest_port(port) as claimed:
        assert claimed == port


def test_of_two_that_start_at_the_same_time_one_gets_the_port_though_nobody_listens_yet() -> None:
    with rest_port(0) as port:
        with pytest.raises(UpError, match=f"port {port} is taken by another `luna-streams up`; .*--port"):
            rest_port(port).__enter__()
        assert listened_at(port) != port, "nor does the API server of another take it"
        with bind_loopback(port):
            pass  # it is free for the shim
    with rest_port(port):
        pass


def test_a_taken_preferred_port_is_replaced_by_a_free_one() -> None:
    with bind_loopback(0) as listener:
        port = listener.getsockname()[1]
        assert listened_at(port) not in {0, port}
    assert listened_at(port) == port


def test_a_preferred_port_is_held_from_the_moment_it_is_chosen() -> None:
    port = free_port()
    with preferred_listener(port), preferred_listener(port) as second:
        assert second.getsockname()[1] != port


@pytest.mark.parametrize("wanted", [0, 65536])
def test_any_port_will_do_where_none_is_preferred(wanted: int) -> None:
    assert 0 < listened_at(wanted) < 65536
