"""Which pools are for a stream: within one list any, between lists all."""

from __future__ import annotations

from typing import Any

import pytest

from luna_streams import naming
from luna_streams.selection import (
    Traits,
    pools_for_traits,
    selecting_pools,
    selects,
    selects_traits,
    traits_of,
)
from luna_streams.v1alpha1 import PoolSelector
from support.builders import ACCOUNT, OTHER_ACCOUNT, STREAM_ID, a_pool, a_stream

STREAM = a_stream(display_name="door", groups=("ground-floor", "doors"))


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        pytest.param({}, True, id="nothing-asked-for"),
        pytest.param({"names": ["door"]}, True, id="name"),
        pytest.param({"names": ["window", "door"]}, True, id="one-name-of-two"),
        pytest.param({"names": ["Door"]}, False, id="names-are-exact"),
        pytest.param({"group_names": ["doors"]}, True, id="group"),
        pytest.param({"group_names": ["windows"]}, False, id="another-group"),
        pytest.param({"stream_ids": [STREAM_ID]}, True, id="id"),
        pytest.param({"stream_ids": [ACCOUNT]}, False, id="another-id"),
        pytest.param({"account_ids": [ACCOUNT]}, True, id="account"),
        pytest.param({"account_ids": [OTHER_ACCOUNT]}, False, id="another-account"),
        pytest.param({"names": ["door"], "group_names": ["doors"], "account_ids": [ACCOUNT]}, True, id="all-fit"),
        pytest.param({"names": ["door"], "group_names": ["windows"]}, False, id="one-list-does-not-fit"),
    ],
)
def test_a_selector_asks_for_any_of_a_list_and_for_all_lists(selector: dict[str, Any], expected: bool) -> None:
    assert selects(PoolSelector(**selector), STREAM) == expected
    assert selects_traits(PoolSelector(**selector), traits_of(STREAM)) == expected


def test_a_stream_without_groups_is_in_no_group() -> None:
    assert not selects(PoolSelector(group_names=("doors",)), a_stream())


def test_a_stream_that_is_not_named_by_a_uuid_is_selected_by_its_derived_id() -> None:
    stream = a_stream("front-door")
    selector = PoolSelector(stream_ids=(naming.stream_id("default", "front-door"),))
    assert selects(selector, stream)
    assert traits_of(stream) == Traits("default", naming.stream_id("default", "front-door"), "", (), ACCOUNT)


def test_the_pool_that_asks_for_most_comes_first() -> None:
    pools = [
        a_pool("b"),
        a_pool("a"),
        a_pool("special", selector={"names": ["door"]}),
        a_pool("most-special", selector={"names": ["door"], "group_names": ["doors"]}),
        a_pool("unfitting", selector={"names": ["window"]}),
        a_pool("elsewhere", namespace="other"),
        a_pool("leaving", is_deleting=True),
    ]
    order = ["most-special", "special", "a", "b"]
    assert [pool.name for pool in selecting_pools(pools, STREAM)] == order
    assert [pool.name for pool in pools_for_traits(pools, traits_of(STREAM))] == order
