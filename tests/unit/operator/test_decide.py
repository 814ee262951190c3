"""Whole passes over a namespace in memory: they converge, repeat nothing, and place the streams of dead pods again."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from luna_operator.world import SUSPICION
from luna_streams.lifecycle import HandlerLost, Report, Taken
from luna_streams.v1alpha1 import StreamState, VideoInfo
from support.builders import a_pool
from support.operator_builders import Simulation, by_worker


def states(world: Simulation, name: str) -> list[str]:
    return [entry["status"] for entry in world.objects[name]["status"]["history"]]


def test_a_new_stream_is_pending_and_placed_with_one_write() -> None:
    world = Simulation(a_pool(slots_per_pod=2))
    world.settle()
    world.add_stream("cam")
    before = world.writes
    world.settle()
    assert world.writes == before + 1
    assert world.places() == {"cam": "pool-0"}


def test_streams_of_a_dead_pod_are_lost_and_placed_again_in_one_write_each() -> None:
    world = Simulation(a_pool(slots_per_pod=4, replicas=2))
    world.settle()
    for name in "abcd":
        world.add_stream(name)
    world.settle()
    by_worker(world, "a", Taken("w"))
    victim = world.places()["a"]
    assert victim is not None
    moved = [name for name, pod in world.places().items() if pod == victim]
    before = world.writes
    del world.space.pods[victim]
    world.pass_()
    assert world.writes == before + len(moved)
    assert victim not in world.places().values()
    assert states(world, "a") == ["pending", "in_progress", "handler_lost", "restart", "pending"]


def test_streams_for_which_their_pod_has_no_slot_go_elsewhere_the_least_urgent_first() -> None:
    world = Simulation(a_pool(slots_per_pod=2, replicas=2))
    world.settle()
    for name, priority in {"a": 0, "b": 5, "c": 0}.items():
        world.add_stream(name, priority=priority)
    world.settle()
    pod = world.space.pods["pool-0"]
    for name, obj in list(world.objects.items()):
        binding = {"pool": "pool", "pod": pod.name, "podUid": pod.uid}
        world.put(name, {**obj, "status": {**obj["status"], "processor": binding}})
    world.settle()
    assert world.places() == {"a": "pool-0", "b": "pool-0", "c": "pool-1"}


def test_a_stream_for_which_there_is_no_slot_at_all_waits_and_belongs_to_nobody() -> None:
    world = Simulation(a_pool(slots_per_pod=1, replicas=1))
    world.settle()
    for name in "ab":
        world.add_stream(name)
    world.settle()
    taken = world.objects["a"]["status"]["processor"]
    world.put("b", {**world.objects["b"], "status": {**world.objects["b"]["status"], "processor": taken}})
    world.settle()
    assert world.places() == {"a": "pool-0", "b": None}


def test_a_pod_of_the_same_name_is_not_the_same_pod() -> None:
    world = Simulation(a_pool(replicas=1))
    world.settle()
    world.add_stream("cam")
    world.settle()
    by_worker(world, "cam", Taken("w"))
    world.set_pod("pool-0", uid="another")
    world.settle()
    assert world.objects["cam"]["status"]["processor"] == {"pool": "pool", "pod": "pool-0", "podUid": "another"}
    assert "was replaced" in world.objects["cam"]["status"]["lastError"]


def test_a_pending_stream_waits_for_its_unready_pod_only_if_there_is_no_other() -> None:
    world = Simulation(a_pool(slots_per_pod=1, replicas=1))
    world.settle()
    world.add_stream("cam")
    world.settle()
    world.set_pod("pool-0", is_ready=False)
    world.settle()
    assert world.places() == {"cam": "pool-0"}
    assert world.space.streams["cam"].scheduled == ("NoReadyPod", "Its pod pool-0 is not ready.")
    world.set_pod("pool-0", is_ready=True)
    world.settle()
    assert world.space.streams["cam"].scheduled[0] == "Assigned"


def test_a_stream_in_progress_is_left_to_an_unready_pod_whose_process_runs() -> None:
    world = Simulation(a_pool(replicas=2))
    world.settle()
    world.add_stream("cam")
    world.settle()
    by_worker(world, "cam", Taken("w"))
    pod = world.places()["cam"]
    assert pod is not None
    world.set_pod(pod, is_ready=False)
    world.settle()
    assert world.space.streams["cam"].state == StreamState.IN_PROGRESS


def test_a_pod_from_which_the_shim_lost_a_stream_is_asked_last_for_a_while() -> None:
    world = Simulation(a_pool(slots_per_pod=4, replicas=2))
    world.settle()
    world.add_stream("cam")
    world.settle()
    by_worker(world, "cam", Taken("w"))
    hung = world.places()["cam"]
    by_worker(world, "cam", HandlerLost("no feedback for 20 s"))
    world.settle()
    assert world.places()["cam"] not in (None, hung)


LOST: dict[str, Any] = {"is_ready": False, "is_lost": True, "node": "n2"}


def a_busy_world(*names: str, **spec: Any) -> Simulation:
    """Return a namespace in which streams are in progress."""
    world = Simulation(a_pool(**spec))
    world.settle()
    for name in names:
        world.add_stream(name)
    world.settle()
    for name in names:
        by_worker(world, name, Taken("w"))
    world.settle()
    return world


def test_a_silent_pod_is_replaced_before_kubernetes_notices_and_its_streams_move_on() -> None:
    world = a_busy_world("a", "b", slots_per_pod=2, replicas=1)
    for name in "ab":
        by_worker(world, name, HandlerLost("no feedback for 20 s"))
    world.pass_()
    assert world.space.pods.keys() == {"pool-0", "pool-1"}
    assert world.places() == {"a": "pool-0", "b": "pool-0"}, "if its worker lives after all, it may go on"
    assert world.space.streams["a"].scheduled == ("NoReadyPod", "Its pod pool-0 is not ready.")
    world.pass_()
    assert world.places() == {"a": "pool-1", "b": "pool-1"}


def test_who_waits_for_a_silent_pod_keeps_its_slot_there() -> None:
    world = a_busy_world("a", "b", slots_per_pod=2, replicas=1)
    for name in "ab":
        by_worker(world, name, HandlerLost("no feedback for 20 s"))
    world.pass_()
    world.set_pod("pool-1", is_ready=False)
    world.add_stream("c", priority=5)
    world.settle()
    assert world.places() == {"a": "pool-0", "b": "pool-0", "c": None}


def test_streams_that_wait_for_a_silent_pod_ask_for_one_other_pod() -> None:
    world = a_busy_world("a", "b", slots_per_pod=2, max_replicas=4, decoder={"megapixels_per_second": 1000})
    for name in "ab":
        by_worker(world, name, HandlerLost("no feedback for 20 s"))
    world.pass_()
    world.set_pod("pool-1", is_ready=False)
    world.settle()
    assert world.space.pods.keys() == {"pool-0", "pool-1"}


def test_a_worker_that_takes_a_stream_again_was_not_dead() -> None:
    world = a_busy_world("a", "b", slots_per_pod=2, replicas=1)
    by_worker(world, "a", HandlerLost("no feedback for 20 s"))
    world.pass_()
    assert world.space.pods.keys() == {"pool-0"}, "it goes on with the other stream: it lives"
    by_worker(world, "b", HandlerLost("no feedback for 20 s"))
    world.set_pod("pool-0", slots=2)
    world.pass_()
    assert world.space.is_silent(world.space.pods["pool-0"], world.now)
    for name in "ab":
        if world.places()[name] == "pool-0":
            by_worker(world, name, Taken("w"))
    assert not world.space.is_suspect(world.space.pods["pool-0"], world.now)
    world.settle()
    assert len(world.space.pods) == 1, "one of the two goes again"


def test_the_silence_of_a_pod_is_forgotten_after_a_while() -> None:
    world = a_busy_world("a", slots_per_pod=1, replicas=1)
    by_worker(world, "a", HandlerLost("no feedback for 20 s"))
    until = world.space.next_trust(world.now, world.now)
    assert until is not None
    assert world.space.next_trust(world.now, until) == until, "a pass that began before it has not looked since"
    world.now = until
    assert not world.space.is_suspect(world.space.pods["pool-0"], until)
    assert world.space.next_trust(until, until) is None


def test_a_pod_is_suspect_although_nobody_saw_that_it_had_taken_the_stream() -> None:
    world = Simulation(a_pool(slots_per_pod=1, replicas=1))
    world.settle()
    world.add_stream("cam")
    world.settle()
    by_worker(world, "cam", Taken("w"), HandlerLost("no feedback for 20 s"))
    assert world.space.is_silent(world.space.pods["pool-0"], world.now)


def test_a_pod_from_which_the_operator_took_the_streams_is_no_suspect() -> None:
    world = a_busy_world("a", slots_per_pod=1, replicas=1)
    world.set_pod("pool-0", is_ready=False, is_running=False, trouble="the container ended with OOMKilled")
    world.pass_()
    assert states(world, "a")[-1] == "pending"
    world.set_pod("pool-0", is_ready=True, is_running=True)
    world.settle()
    assert world.space.suspects == {}
    assert world.places() == {"a": "pool-0"}


def test_a_pending_stream_leaves_the_pod_of_a_lost_node_and_one_in_progress_stays_while_it_reports() -> None:
    world = a_busy_world("a", slots_per_pod=2, replicas=1)
    world.add_stream("b")
    world.settle()
    world.set_pod("pool-0", **LOST)
    world.settle()
    assert world.places() == {"a": "pool-0", "b": "pool-1"}
    assert world.space.streams["a"].state == StreamState.IN_PROGRESS
    by_worker(world, "a", HandlerLost("no feedback for 20 s"))
    world.settle()
    assert world.places() == {"a": "pool-1", "b": "pool-1"}
    world.set_pod("pool-0", is_ready=True, is_lost=False)
    world.now += SUSPICION
    world.settle()
    assert world.space.pods.keys() == {"pool-1"}, "the emptier one goes, and nothing moves for it"
    assert world.places() == {"a": "pool-1", "b": "pool-1"}


def test_a_pod_without_its_device_loses_its_streams_with_the_reason_and_is_replaced() -> None:
    world = a_busy_world("a", slots_per_pod=1, replicas=1)
    world.set_pod("pool-0", is_ready=False, is_sick=True, trouble="DeviceUnhealthy: GPU-3 is unhealthy")
    world.pass_()
    error = world.objects["a"]["status"]["lastError"]
    assert error == "processor pod pool-0 cannot go on: DeviceUnhealthy: GPU-3 is unhealthy"
    world.settle()
    assert world.places() == {"a": "pool-1"}


def test_two_faults_at_once_are_each_handled_as_if_alone() -> None:
    world = a_busy_world("a", "b", "c", slots_per_pod=1, min_replicas=1, max_replicas=3)
    places = world.places()
    hosts = {name: pod for name, pod in places.items() if pod is not None}
    world.set_pod(hosts["a"], **LOST)
    by_worker(world, "a", HandlerLost("no feedback for 20 s"))
    world.set_pod(hosts["b"], is_ready=False, is_running=False, is_broken=True, trouble="CrashLoopBackOff")
    world.settle()
    assert world.places()["c"] == hosts["c"], "who is not concerned is not moved"
    assert world.space.streams["c"].state == StreamState.IN_PROGRESS
    waiting = [name for name in "ab" if not (pod := world.places()[name]) or not world.space.pods[pod].is_ready]
    assert len(waiting) == 1, "the broken one counts for the limit of three, the lost one does not"
    assert states(world, "b")[-3:] == ["handler_lost", "restart", "pending"]


def test_a_large_crowd_is_placed_in_portions_and_the_lost_are_told_at_once() -> None:
    world = Simulation(a_pool(slots_per_pod=100, replicas=1))
    world.settle()
    world.add_stream("lost")
    world.settle()
    by_worker(world, "lost", Taken("w"))
    for number in range(10):
        world.add_stream(f"cam-{number}")
    world.set_pod("pool-0", uid="another")
    plan = world.pass_(limit=4)
    assert not plan.is_whole
    assert plan.pools[0].pods.wanted == 1
    assert states(world, "lost")[-1] == "pending"
    assert sum(pod is not None for pod in world.places().values()) == 4
    assert sum("status" in obj for obj in world.objects.values()) == 5, "the others are written with their place"
    world.settle()
    assert None not in world.places().values()


def drained(world: Simulation) -> str:
    """Have the pool give up the pod of a stream in progress; return the pod's name."""
    world.settle()
    world.add_stream("cam")
    world.settle()
    by_worker(world, "cam", Taken("w"))
    pod = world.places()["cam"]
    assert pod is not None
    world.set_pod(pod, is_draining=True)
    world.pass_()
    return pod


def test_a_drained_pod_keeps_its_stream_until_the_worker_has_heard_that_it_is_to_stop() -> None:
    world = Simulation(a_pool(replicas=2))
    pod = drained(world)
    for _ in range(5):
        world.pass_()
        assert (world.places()["cam"], states(world, "cam")[-1]) == (pod, "in_progress")
    assert pod in world.space.pods
    by_worker(world, "cam", Report(StreamState.IN_PROGRESS, 1, worker="w"))
    world.settle()
    assert world.places()["cam"] not in (None, pod)
    assert states(world, "cam")[-3:] == ["handler_lost", "restart", "pending"]
    assert world.objects["cam"]["status"]["processor"].keys() == {"pool", "pod", "podUid"}


def test_a_worker_on_a_drained_pod_that_says_nothing_loses_its_stream_in_the_end() -> None:
    world = Simulation(a_pool(replicas=2))
    pod = drained(world)
    due = world.space.next_leave(world.now)
    assert due is not None
    while world.now < due:
        assert world.places()["cam"] == pod
        world.pass_()
    world.settle()
    assert world.places()["cam"] not in (None, pod)
    assert world.space.next_leave(world.now) is None


def test_a_drained_pod_that_dies_is_not_waited_for() -> None:
    world = Simulation(a_pool(replicas=2))
    pod = drained(world)
    del world.space.pods[pod]
    world.pass_()
    assert world.places()["cam"] not in (None, pod)


def test_foreign_workers_keep_their_streams() -> None:
    world = Simulation(a_pool(selector={"names": ["nobody"]}))
    world.settle()
    world.add_stream("cam")
    world.settle()
    by_worker(world, "cam", Taken("anonymous"))
    before = world.writes
    world.settle()
    assert world.space.streams["cam"].state == StreamState.IN_PROGRESS
    assert world.writes - before <= 1, "at most the observation of its conditions"


def test_the_pool_grows_for_streams_that_wait_and_only_one_pool_does() -> None:
    special = a_pool("special", slots_per_pod=1, min_replicas=0, max_replicas=1, selector={"names": ["vip"]})
    general = a_pool("general", slots_per_pod=1, min_replicas=0, max_replicas=5)
    world = Simulation(special, general)
    for number in range(3):
        world.add_stream(f"cam-{number}", display_name="vip")
    world.settle()
    assert Counter(pod.pool for pod in world.space.pods.values()) == {"special": 1, "general": 2}
    assert None not in world.places().values()


def test_an_unknown_cost_is_assumed_until_the_worker_reports_one() -> None:
    world = Simulation(a_pool(slots_per_pod=8, replicas=1, decoder={"megapixels_per_second": 110.0}))
    world.settle()
    for name in "abc":
        world.add_stream(name)
    world.settle()
    assert sorted(pod or "" for pod in world.places().values()) == ["", "pool-0", "pool-0"]
    taken = next(name for name, pod in world.places().items() if pod)
    info = VideoInfo(width=320, height=240, frame_rate=10, bit_rate=0, gop_size=1, start_time=world.now)
    by_worker(world, taken, Taken("w"))
    by_worker(world, taken, Report(StreamState.IN_PROGRESS, 1, video_info=info, worker="w"))
    world.settle()
    assert None not in world.places().values()


class Chaos(RuleBasedStateMachine):
    """Streams, workers, pods and pools change at random; after a storm the namespace comes to rest, and is right."""

    names = st.sampled_from([f"cam-{number}" for number in range(8)])

    def __init__(self) -> None:
        super().__init__()
        self.world = Simulation(a_pool(slots_per_pod=2, min_replicas=1, max_replicas=3, scale_down_delay_seconds=2))

    @rule(name=names, priority=st.integers(-1, 1))
    def create(self, name: str, priority: int) -> None:
        if name not in self.world.objects:
            self.world.add_stream(name, priority=priority)

    @rule(name=names)
    def delete(self, name: str) -> None:
        self.world.put(name, None)

    @rule(name=names, wish=st.sampled_from(["pending", "pause", "cancel"]))
    def edit(self, name: str, wish: str) -> None:
        if obj := self.world.objects.get(name):
            metadata = {**obj["metadata"], "generation": obj["metadata"]["generation"] + 1}
            self.world.put(name, {**obj, "metadata": metadata, "spec": {**obj["spec"], "desiredStatus": wish}})

    @rule(name=names, status=st.sampled_from([StreamState.DONE, StreamState.FAILURE, None]))
    def work(self, name: str, status: StreamState | None) -> None:
        fact = self.world.space.streams.get(name)
        if fact and fact.state == StreamState.PENDING and fact.pod:
            by_worker(self.world, name, Taken("w"))
        elif fact and fact.state == StreamState.IN_PROGRESS and status is not None:
            version = self.world.objects[name]["status"]["version"]
            by_worker(self.world, name, Report(status, version, worker="w"))

    @rule(name=names)
    def lose(self, name: str) -> None:
        fact = self.world.space.streams.get(name)
        if fact and fact.state == StreamState.IN_PROGRESS:
            by_worker(self.world, name, HandlerLost("no feedback"))

    @precondition(lambda self: self.world.space.pods)
    @rule(
        data=st.data(),
        how=st.sampled_from(["gone", "failed", "sick", "lost", "broken", "unready", "ready", "stopping", "draining"]),
    )
    def harm_a_pod(self, data: st.DataObject, how: str) -> None:
        name = data.draw(st.sampled_from(sorted(self.world.space.pods)))
        changes: dict[str, dict[str, Any]] = {
            "failed": {"is_failed": True, "is_ready": False, "is_running": False},
            "sick": {"is_sick": True, "is_ready": False},
            "lost": {"is_lost": True, "is_ready": False},
            "broken": {"is_broken": True, "is_ready": False, "is_running": False},
            "unready": {"is_ready": False},
            "ready": {"is_ready": not self.world.space.pods[name].is_spent, "is_lost": False},
            "stopping": {"is_stopping": True, "is_ready": False},
            "draining": {"is_draining": True},
        }
        if how == "gone":
            del self.world.space.pods[name]
        else:
            self.world.set_pod(name, **changes[how])

    @rule(slots=st.integers(1, 3), limit=st.integers(1, 3))
    def change_pool(self, slots: int, limit: int) -> None:
        self.world.space.set_pool("pool", a_pool(slots_per_pod=slots, max_replicas=limit, scale_down_delay_seconds=2))

    @rule()
    def one_pass(self) -> None:
        self.world.pass_()

    @rule()
    def calm_down(self) -> None:
        """Let everything that was harmed recover, wait, and look at the whole."""
        world = self.world
        for name, pod in list(world.space.pods.items()):
            if pod.is_stopping:
                del world.space.pods[name]
            elif not pod.is_spent:
                world.set_pod(name, is_ready=True, is_running=True, is_lost=False, is_broken=False)
        for _ in range(70):  # longer than a pod is suspect
            world.pass_()
        writes, places, pods = world.writes, world.places(), dict(world.space.pods)
        plan = world.pass_()
        assert (writes, places, pods) == (world.writes, world.places(), world.space.pods), "at rest nothing changes"
        assert plan.streams == (), "and nobody is even looked at"
        spec = world.space.pools["pool"].spec
        live = [pod for pod in pods.values() if not pod.is_spent]
        assert len(live) <= spec.max_replicas
        homeless = [f.name for f in world.space.streams.values() if f.state == StreamState.PENDING and f.pod is None]
        room = sum(pod.slots for pod in live) - sum(map(len, world.space.held.values()))
        still_starting = len(pods) < spec.max_replicas or any(pod.is_spent for pod in pods.values())
        assert not homeless or room <= 0 or still_starting, "nobody waits while there is room"

    @invariant()
    def no_pod_gets_more_than_it_takes(self) -> None:
        for name, held in self.world.space.held.items():
            pod = self.world.space.pods.get(name)
            if pod is not None:
                assert sum(fact.pod_uid == pod.uid for fact in held.values()) <= pod.slots

    @invariant()
    def finished_streams_hold_no_pod(self) -> None:
        for fact in self.world.space.streams.values():
            assert fact.pod is None or fact.is_active


Chaos.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestChaos = Chaos.TestCase
