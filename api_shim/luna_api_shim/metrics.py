"""Counts for Prometheus, in the names of LUNA Streams where it has one; docs/metrics.md lists them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from luna_api_shim.http.traffic import Served
from luna_api_shim.storage.catalogue import Catalogue, Entry
from luna_api_shim.storage.kubernetes_calls import Result
from luna_api_shim.storage.store import Store
from luna_streams.stream import READABLE_STATES, StreamState

disable_created_metrics()  # type: ignore[no-untyped-call]  # no annotations there

_TEXT = "text/plain; charset=UTF-8"
_OPEN_METRICS = "application/openmetrics-text"
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """The metrics of one replica."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "request_count_total", "Counter of requests", ["path", "status_code"], registry=self._registry
        )
        self._durations = Histogram(
            "luna_streams_request_duration_seconds",
            "Time to answer, waiting of workers for streams included",
            ["path"],
            registry=self._registry,
            buckets=_BUCKETS,
        )
        self._calls = Histogram(
            "luna_streams_kubernetes_request_duration_seconds",
            "Time the API server took to answer; watches are left out",
            ["verb", "result"],
            registry=self._registry,
            buckets=_BUCKETS,
        )
        self._changes = Counter(
            "luna_streams_status_changes",
            "Changes of status that the leader saw, by the status that came; `handler_lost` and `restart` among them",
            ["status"],
            registry=self._registry,
        )
        for state in StreamState:  # from the start: no increase is seen in a series that begins with 8
            self._changes.labels(state)
        self._taken = Counter(
            "luna_streams_streams_taken", "Streams handed to workers by this replica", registry=self._registry
        )
        self._reports = Counter(
            "luna_streams_feedback_reports",
            "Reports of workers on streams that this replica answered, `modified` tells a worker to stop",
            ["answer"],
            registry=self._registry,
        )
        ProcessCollector(registry=self._registry)

    def called(self, verb: str, result: Result, duration_s: float) -> None:
        """Count one request to the API server."""
        self._calls.labels(verb, result).observe(duration_s)

    def taken(self, streams: int) -> None:
        """Count streams that a worker got."""
        self._taken.inc(streams)

    def reported(self, *, modified: int, unmodified: int) -> None:
        """Count the reports of one request."""
        self._reports.labels("modified").inc(modified)
        self._reports.labels("unmodified").inc(unmodified)

    def reassured(self, streams: int) -> None:
        """Count streams that a worker was let go on with while nobody led."""
        self._reports.labels("reassured").inc(streams)

    def count(self, served: Served) -> None:
        """Count one request."""
        self._requests.labels(served.route, str(served.status)).inc()
        self._durations.labels(served.route).observe(served.duration_s)

    def watch(self, store: Store, is_leader: Callable[[], bool]) -> None:
        """Show the numbers of streams, who leads, and, while this replica does, how statuses change."""
        self._registry.register(_Streams(store.catalogue, is_leader))

        def changed(old: Entry | None, new: Entry | None) -> None:
            if old is not None and new is not None and is_leader():
                self._count_changes(old, new)

        store.subscribe(changed)

    def _count_changes(self, old: Entry, new: Entry) -> None:
        if old.stream.status is new.stream.status or new.stream.status is None:
            return
        seen = old.stream.status.next_seq if old.stream.status else 1
        for entry in new.stream.status.history:
            if entry.seq >= seen:
                self._changes.labels(entry.status).inc()

    def watch_log(self, waiting: Callable[[], int], lost: Callable[[], int]) -> None:
        """Show how the copying of the log goes."""
        Gauge(
            "luna_streams_log_waiting",
            "Log entries the leader has not copied into the database yet",
            registry=self._registry,
        ).set_function(waiting)
        Gauge(
            "luna_streams_log_lost",
            "Log entries that left their resource before they could be copied, since this replica started",
            registry=self._registry,
        ).set_function(lost)

    def add(self, collector: Collector) -> None:
        """Show what a collector has."""
        self._registry.register(collector)

    def render(self, accept: str) -> tuple[bytes, str]:
        """Return everything and its media type: OpenMetrics for those that ask for it, else Prometheus' text form."""
        encode, form = choose_encoder(accept)
        if form.startswith(_OPEN_METRICS):
            return encode(self._registry), form
        return generate_latest(self._registry), _TEXT


class _Streams(Collector):
    def __init__(self, catalogue: Catalogue, is_leader: Callable[[], bool]) -> None:
        self._catalogue = catalogue
        self._is_leader = is_leader

    def collect(self) -> Iterator[Metric]:
        streams = GaugeMetricFamily("luna_streams_streams", "Streams by status", labels=["status"])
        for state in READABLE_STATES:
            streams.add_metric([state.value], len(self._catalogue.with_status(state)))
        yield streams
        yield GaugeMetricFamily(
            "luna_streams_shim_is_leader", "1 if this replica hears the workers", value=float(self._is_leader())
        )
