"""Counts for Prometheus, in the names of LUNA Streams where it has one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from luna_api_shim.catalogue import Catalogue
from luna_api_shim.traffic import Served
from luna_streams.stream import READABLE_STATES

disable_created_metrics()  # type: ignore[no-untyped-call]  # no annotations there

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

    def count(self, served: Served) -> None:
        """Count one request."""
        self._requests.labels(served.route, str(served.status)).inc()
        self._durations.labels(served.route).observe(served.duration_s)

    def watch(self, catalogue: Catalogue, is_leader: Callable[[], bool]) -> None:
        """Show the numbers of streams, and who leads."""
        self._registry.register(_Streams(catalogue, is_leader))

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

    def text(self) -> bytes:
        """Return everything in Prometheus' text form."""
        return generate_latest(self._registry)


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
