from __future__ import annotations

import pytest

from luna_local.serving import bind_loopback
from luna_local.up.errors import UpError
from luna_local.up.ports import preferred_port, rest_port


def test_a_taken_rest_port_is_an_error_that_names_it() -> None:
    with bind_loopback(0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(UpError, match=f"port {port} is taken; .*--port"):
            rest_port(port)
    assert rest_port(port) == port


def test_a_taken_preferred_port_is_replaced_by_a_free_one() -> None:
    with bind_loopback(0) as listener:
        port = listener.getsockname()[1]
        assert preferred_port(port) not in {0, port}
    assert preferred_port(port) == port


@pytest.mark.parametrize("wanted", [0, 65536])
def test_any_port_will_do_where_none_is_preferred(wanted: int) -> None:
    assert 0 < preferred_port(wanted) < 65536
