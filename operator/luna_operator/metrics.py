"""What the operator counts, for /metrics."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Metrics:
    """One set of metrics in a registry of its own, so that two operators fit in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.is_leader = Gauge("luna_operator_leader", "1 while this replica leads.", registry=self.registry)
        self.passes = Histogram(
            "luna_operator_pass_seconds", "Time of one reconcile pass, writes included.", registry=self.registry
        )
        self.writes = Counter(
            "luna_operator_writes_total",
            "Writes to the API server.",
            ["object", "result"],
            registry=self.registry,
        )
        self.transitions = Counter(
            "luna_operator_transitions_total",
            "Status changes of streams that the operator made.",
            ["status"],
            registry=self.registry,
        )
        self.missed_events = Counter(
            "luna_operator_missed_events_total",
            "Changes that a list showed and the watch had not.",
            ["object"],
            registry=self.registry,
        )
        self.dropped_events = Counter(
            "luna_operator_dropped_events_total", "Kubernetes Events that were not written.", registry=self.registry
        )
        self.streams_waiting = Gauge(
            "luna_operator_streams_waiting",
            "Pending streams without a pod, by the reason why.",
            ["namespace", "reason"],
            registry=self.registry,
        )
        self.pool_slots = Gauge(
            "luna_operator_pool_slots", "Slots of ready pods.", ["namespace", "pool"], registry=self.registry
        )
        self.pool_streams = Gauge(
            "luna_operator_pool_streams",
            "Active streams that belong to the pool.",
            ["namespace", "pool"],
            registry=self.registry,
        )

    def stand_by(self) -> None:
        """Show nothing of what only the leader knows: it would stay as it was when this replica led last."""
        self.is_leader.set(0)
        for gauge in (self.streams_waiting, self.pool_slots, self.pool_streams):
            gauge.clear()

    def forget_pool(self, namespace: str, pool: str) -> None:
        """Show nothing more of a pool that is gone."""
        for gauge in (self.pool_slots, self.pool_streams):
            gauge.remove(namespace, pool)
