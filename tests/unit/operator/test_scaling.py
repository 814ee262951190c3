"""How many pods there are: demand, patience, draining, one-by-one replacement, ended pods."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from luna_operator.scaling import PodPlan, PoolMemory, PoolPod, PoolView, plan_pods
from support.builders import NOW, a_pool
from support.operator_builders import a_pod_fact, later


def pods(*streams: int, **changes: Any) -> tuple[PoolPod, ...]:
    return tuple(PoolPod(a_pod_fact(f"pool-{i}", **changes), count) for i, count in enumerate(streams))


def a_plan(
    *present: PoolPod, demand: int = 0, memory: PoolMemory | None = None, now: datetime = NOW, **spec: Any
) -> PodPlan:
    view = PoolView(a_pool(**{"slots_per_pod": 2} | spec), "now", present, demand)
    return plan_pods(view, memory or PoolMemory(), now)


def names(removals: Any) -> list[str]:
    return [removal.pod.name for removal in removals]


@pytest.mark.parametrize(
    ("demand", "wanted"), [(0, 1), (2, 1), (3, 2), (6, 3), (7, 3), (100, 3)], ids=lambda value: str(value)
)
def test_a_pool_has_as_many_pods_as_its_streams_need(demand: int, wanted: int) -> None:
    plan = a_plan(demand=demand, min_replicas=1, max_replicas=3)
    assert plan.wanted == wanted
    assert plan.create == tuple(f"pool-{ordinal}" for ordinal in range(wanted))


def test_replicas_fixes_the_number() -> None:
    assert a_plan(demand=100, replicas=2, max_replicas=9).wanted == 2
    assert a_plan(*pods(0, 0), replicas=0).drain


def test_the_lowest_free_name_is_taken_also_while_a_pod_still_stops() -> None:
    stopping = PoolPod(a_pod_fact("pool-0", is_stopping=True), 0)
    assert a_plan(stopping).create == ("pool-1",)
    foreign = PoolView(a_pool(), "now", (), 0, frozenset({"pool-0"}))
    assert plan_pods(foreign, PoolMemory(), NOW).create == ("pool-1",)


def test_an_idle_pod_stays_until_the_quiet_time_is_over() -> None:
    spec: dict[str, Any] = {"min_replicas": 1, "max_replicas": 3, "scale_down_delay_seconds": 60}
    first = a_plan(*pods(1, 0), demand=1, **spec)
    assert (first.drain, first.look_again) == ((), later(60))
    early = a_plan(*pods(1, 0), demand=1, memory=first.memory, now=later(59), **spec)
    assert early.drain == ()
    over = a_plan(*pods(1, 0), demand=1, memory=early.memory, now=later(60), **spec)
    assert names(over.drain) == ["pool-1"]


def test_a_clock_that_was_set_back_holds_nothing_up() -> None:
    spec: dict[str, Any] = {"min_replicas": 1, "max_replicas": 3, "scale_down_delay_seconds": 60}
    idle = a_plan(*pods(1, 0), demand=1, now=later(3600), **spec)
    before = a_plan(*pods(1, 0), demand=1, memory=idle.memory, **spec)
    assert (before.drain, before.look_again) == ((), later(60))
    failed = PoolPod(a_pod_fact("pool-0", is_ready=False, is_failed=True), 0)
    earlier = PoolMemory(failures=(("uid-1", later(3600)), ("uid-2", later(3600))))
    assert names(a_plan(failed, memory=earlier, **spec).delete) == ["pool-0"]


def test_the_quiet_time_begins_again_when_streams_come() -> None:
    spec: dict[str, Any] = {"min_replicas": 1, "max_replicas": 3, "scale_down_delay_seconds": 60}
    quiet = a_plan(*pods(1, 0), demand=1, **spec)
    busy = a_plan(*pods(2, 1), demand=3, memory=quiet.memory, now=later(59), **spec)
    assert busy.memory.quiet_since is None
    assert a_plan(*pods(1, 0), demand=1, memory=busy.memory, now=later(61), **spec).drain == ()


def test_streams_are_not_moved_to_save_a_pod() -> None:
    plan = a_plan(*pods(1, 1), demand=2, max_replicas=3, scale_down_delay_seconds=0)
    assert (plan.wanted, plan.drain) == (2, ())


def test_a_lower_maximum_drains_the_pod_that_disturbs_the_fewest() -> None:
    plan = a_plan(*pods(2, 1, 2), demand=5, max_replicas=2)
    assert names(plan.drain) == ["pool-1"]


def test_a_drained_pod_goes_when_its_last_stream_left() -> None:
    assert a_plan(*pods(1, is_draining=True), replicas=0).delete == ()
    assert names(a_plan(*pods(0, is_draining=True), replicas=0).delete) == ["pool-0"]


def test_a_new_template_comes_with_one_more_pod_first() -> None:
    plan = a_plan(*pods(2, 2, template_hash="old"), replicas=2)
    assert (plan.create, plan.drain) == (("pool-2",), ())


def test_an_old_pod_is_drained_when_its_successor_works() -> None:
    old = pods(2, 1, template_hash="old")
    starting = PoolPod(a_pod_fact("pool-2", is_ready=False), 0)
    assert a_plan(*old, starting, replicas=2).drain == ()
    working = PoolPod(a_pod_fact("pool-2"), 0)
    assert names(a_plan(*old, working, replicas=2).drain) == ["pool-1"]


def test_old_pods_go_one_at_a_time_also_when_several_are_too_many() -> None:
    working = PoolPod(a_pod_fact("pool-3"), 0)
    assert names(a_plan(*pods(1, 0, 1, template_hash="old"), working, replicas=1).drain) == ["pool-1"]


def test_an_old_pod_goes_first_where_there_is_no_node_for_both() -> None:
    waiting = PoolPod(a_pod_fact("pool-1", is_ready=False, is_unschedulable=True), 0)
    assert names(a_plan(*pods(2, template_hash="old"), waiting, replicas=1).drain) == ["pool-0"]


def test_an_old_pod_that_does_not_work_is_not_waited_for() -> None:
    broken = PoolPod(a_pod_fact("pool-0", template_hash="old", is_ready=False, is_broken=True), 0)
    successor = PoolPod(a_pod_fact("pool-1", is_ready=False), 0)
    assert names(a_plan(broken, successor, replicas=1).drain) == ["pool-0"]


def test_a_pod_that_ended_is_replaced_at_once() -> None:
    plan = a_plan(*pods(0, is_failed=True, is_ready=False, trouble="Evicted"), replicas=1)
    assert [(removal.pod.name, removal.reason) for removal in plan.delete] == [("pool-0", "Evicted")]
    assert plan.create == ("pool-1",)


def test_pods_that_keep_ending_are_replaced_ever_more_slowly() -> None:
    memory, now, waits = PoolMemory(), 0.0, []
    for number in range(6):
        failed = PoolPod(a_pod_fact(f"pool-{number}", is_failed=True, is_ready=False), 0)
        plan = a_plan(failed, replicas=1, memory=memory, now=later(now))
        if plan.delete:
            waits.append(0.0)
        else:
            assert plan.create == (), "it keeps its place until then"
            assert plan.look_again is not None
            waits.append((plan.look_again - later(now)).total_seconds())
            now += waits[-1]
            assert a_plan(failed, replicas=1, memory=plan.memory, now=later(now)).delete
        memory = plan.memory
    assert waits == [0.0, 5.0, 10.0, 20.0, 40.0, 80.0]
    calm = a_plan(*pods(0), replicas=1, memory=memory, now=later(now + 700))
    assert calm.memory.failures == ()


LOST: dict[str, Any] = {"is_ready": False, "is_lost": True, "trouble": "NodeLost: no answer", "node": "n2"}
BROKEN: dict[str, Any] = {"is_ready": False, "is_running": False, "is_broken": True, "trouble": "CrashLoopBackOff"}


def test_a_pod_on_a_lost_node_does_not_count_and_is_left_alone() -> None:
    lost = PoolPod(a_pod_fact("pool-1", **LOST), 2)
    specs: tuple[dict[str, Any], ...] = ({"replicas": 2}, {"min_replicas": 2, "max_replicas": 2})
    for spec in specs:
        plan = a_plan(*pods(2), lost, demand=4, **spec)
        assert (plan.create, plan.drain, plan.delete) == (("pool-2",), (), ())
        assert plan.avoid == ("n2",)


def test_two_lost_nodes_are_made_up_for_at_once() -> None:
    lost = [PoolPod(a_pod_fact(f"pool-{number}", **LOST), 1) for number in (0, 1)]
    assert a_plan(*lost, replicas=2).create == ("pool-2", "pool-3")


def test_when_the_node_returns_the_pod_with_the_fewest_streams_goes() -> None:
    back = PoolPod(a_pod_fact("pool-0"), 0)
    others = [PoolPod(a_pod_fact(f"pool-{number}"), 2) for number in (1, 2)]
    assert names(a_plan(back, *others, demand=4, replicas=2).drain) == ["pool-0"]
    assert names(a_plan(back, *others, demand=4, min_replicas=1, max_replicas=2).drain) == ["pool-0"]


def test_a_pod_that_stops_for_ever_on_a_dead_node_costs_only_its_name() -> None:
    stuck = PoolPod(a_pod_fact("pool-0", **LOST | {"is_stopping": True}), 0)
    plan = a_plan(stuck, replicas=1)
    assert (plan.create, plan.delete) == (("pool-1",), ())
    assert a_plan(stuck, *pods_named("pool-1"), replicas=1).create == ()


def pods_named(*names: str, **changes: Any) -> tuple[PoolPod, ...]:
    return tuple(PoolPod(a_pod_fact(name, **changes), 1) for name in names)


def test_a_silent_pod_is_replaced_and_each_working_one_vouches_for_one() -> None:
    silent = [PoolPod(a_pod_fact(f"pool-{number}"), 0, is_silent=True) for number in range(4)]
    assert a_plan(silent[0], replicas=1).create == ("pool-1",)
    assert len(a_plan(*silent, replicas=4).create) == 1, "most likely it is the network, or the shim"
    working = pods_named("pool-4", "pool-5")
    assert len(a_plan(*silent[:3], *working, replicas=5).create) == 2
    assert a_plan(silent[0], replicas=1).troubled[0].reason == "WorkerSilent: its worker stopped reporting"


def test_a_pod_that_cannot_run_gets_another_one_beside_it_within_the_limit() -> None:
    broken = PoolPod(a_pod_fact("pool-0", **BROKEN), 0)
    assert a_plan(broken, demand=1, max_replicas=2).create == ("pool-1",)
    assert a_plan(broken, demand=1, max_replicas=1).create == ()
    assert a_plan(broken, replicas=1).create == ()


def test_a_pool_of_which_nothing_works_grows_by_one_pod_only() -> None:
    broken = [PoolPod(a_pod_fact(f"pool-{number}", **BROKEN), 0) for number in range(6)]
    assert a_plan(*broken[:5], demand=10, max_replicas=50).create == ("pool-5",)
    assert a_plan(*broken[:6], demand=10, max_replicas=50).create == ()


def test_a_pod_that_cannot_run_goes_when_others_do_its_work() -> None:
    broken, other = PoolPod(a_pod_fact("pool-0", **BROKEN), 0), PoolPod(a_pod_fact("pool-1"), 1)
    spec: dict[str, Any] = {"max_replicas": 2, "scale_down_delay_seconds": 60}
    quiet = a_plan(broken, other, demand=1, **spec)
    assert quiet.drain == ()
    over = a_plan(broken, other, demand=1, memory=quiet.memory, now=later(60), **spec)
    assert names(over.drain) == ["pool-0"]


def test_a_pod_without_a_device_is_deleted_and_replaced_ever_more_slowly() -> None:
    sick: dict[str, Any] = {"is_ready": False, "is_sick": True, "trouble": "DeviceUnhealthy: GPU-3", "node": "n1"}
    first = a_plan(PoolPod(a_pod_fact("pool-0", **sick), 0), replicas=1)
    assert (names(first.delete), first.create, first.avoid) == (["pool-0"], ("pool-1",), ("n1",))
    second = a_plan(PoolPod(a_pod_fact("pool-1", **sick), 3), replicas=1, memory=first.memory, now=later(1))
    assert (second.delete, second.create, second.look_again) == ((), (), later(6))


def test_an_ended_pod_is_replaced_at_once_and_deleted_when_its_streams_have_said_why_they_moved() -> None:
    ended = PoolPod(a_pod_fact("pool-0", is_failed=True, is_ready=False, trouble="Evicted"), 3)
    plan = a_plan(ended, replicas=1)
    assert (plan.create, plan.delete, plan.look_again) == (("pool-1",), (), later(30))
    successor = PoolPod(a_pod_fact("pool-1"), 3)
    assert a_plan(ended, successor, replicas=1, memory=plan.memory, now=later(29)).delete == ()
    assert names(a_plan(ended, successor, replicas=1, memory=plan.memory, now=later(30)).delete) == ["pool-0"]
    moved = PoolPod(ended.fact, 0)
    assert names(a_plan(moved, successor, replicas=1, memory=plan.memory, now=later(1)).delete) == ["pool-0"]


def test_a_pod_that_takes_too_long_is_given_up_when_its_time_is_over() -> None:
    slow = PoolPod(a_pod_fact("pool-0", is_ready=False, stuck_from=later(600)), 0)
    early = a_plan(slow, demand=1, max_replicas=2)
    assert (early.create, early.look_again, early.troubled) == ((), later(600), ())
    late = a_plan(slow, demand=1, max_replicas=2, now=later(600))
    assert late.create == ("pool-1",)
    assert late.troubled[0].reason == "NotStarted"


def test_a_trouble_is_told_once() -> None:
    lost = PoolPod(a_pod_fact("pool-0", **LOST), 0)
    first = a_plan(lost, replicas=1)
    assert [trouble.pod.name for trouble in first.troubled] == ["pool-0"]
    assert a_plan(lost, replicas=1, memory=first.memory).troubled == ()
    well = a_plan(*pods(0), replicas=1, memory=first.memory)
    assert a_plan(lost, replicas=1, memory=well.memory).troubled, "it is another time"


def test_a_new_template_that_does_not_run_ends_no_old_pod_whatever_happens_to_those() -> None:
    new = PoolPod(a_pod_fact("pool-3", **BROKEN), 0)
    restarting = PoolPod(a_pod_fact("pool-1", template_hash="old", is_ready=False, is_running=False), 2)
    crashing = PoolPod(a_pod_fact("pool-1", template_hash="old", **BROKEN), 2)
    others = [PoolPod(a_pod_fact(name, template_hash="old"), 2) for name in ("pool-0", "pool-2")]
    for hurt in (restarting, crashing):
        plan = a_plan(*others, hurt, new, demand=6, replicas=3)
        assert (plan.create, plan.drain, plan.delete) == ((), (), ())


def test_an_old_pod_that_is_not_ready_for_a_moment_is_not_given_up_for_one_that_starts() -> None:
    new = PoolPod(a_pod_fact("pool-1", is_ready=False), 0)
    restarting = PoolPod(a_pod_fact("pool-0", template_hash="old", is_ready=False, is_running=False), 2)
    assert a_plan(restarting, new, demand=2, replicas=1).drain == ()


def test_an_old_pod_that_is_lost_is_replaced_by_one_of_the_new_template() -> None:
    old = [PoolPod(a_pod_fact("pool-0", template_hash="old"), 2)]
    lost = PoolPod(a_pod_fact("pool-1", **LOST | {"template_hash": "old"}), 2)
    new = PoolPod(a_pod_fact("pool-2"), 0)
    assert a_plan(*old, lost, replicas=2).create == ("pool-2", "pool-3"), "one for the lost, one for the next"
    assert names(a_plan(*old, lost, new, *pods_named("pool-3"), replicas=2).drain) == ["pool-0"]


def test_a_new_pod_that_is_lost_is_made_again_before_an_old_one_goes() -> None:
    old = [PoolPod(a_pod_fact(name, template_hash="old"), 2) for name in ("pool-0", "pool-1")]
    lost = PoolPod(a_pod_fact("pool-2", **LOST), 0)
    plan = a_plan(*old, lost, demand=4, replicas=2)
    assert (plan.create, plan.drain) == (("pool-3",), ())


def test_fewer_pods_are_kept_also_while_a_new_template_does_not_run() -> None:
    old = [PoolPod(a_pod_fact(f"pool-{number}", template_hash="old"), number) for number in range(3)]
    new = PoolPod(a_pod_fact("pool-3", **BROKEN), 0)
    assert names(a_plan(*old, new, replicas=1).drain) == ["pool-3", "pool-0"]
