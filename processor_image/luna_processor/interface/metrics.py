"""What is measured, in Prometheus' form; names begin with `luna_processor_`.

Figures of single streams are collected from their counters when somebody scrapes, so that a stream that is gone leaves
no series behind; histograms and counters of the process live here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from luna_processor.streams.stats import LATENCY_BUCKETS_S, StreamStats

_FAST_BUCKETS = LATENCY_BUCKETS_S
_SLOW_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
OUTCOMES = ("sent", "rejected", "refused", "given_up", "overflow", "failed")
"""What becomes of a best shot."""


class SpoolFigures(Protocol):
    """What is told about the events that wait."""

    @property
    def size(self) -> int:
        """Events."""

    @property
    def size_bytes(self) -> int:
        """What they take."""

    @property
    def capacity_bytes(self) -> int:
        """What they may take."""

    @property
    def oldest_s(self) -> float:
        """Age of the oldest, seconds."""

    @property
    def write_failures(self) -> int:
        """How often the disk did not take something."""


class Metrics:
    """Counters and histograms of one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.best_shots = Counter(
            "luna_processor_best_shots",
            "Best shots by what became of them: sent, rejected (4xx), refused (401, 403), given_up, overflow, failed",
            ["outcome"],
            registry=self.registry,
        )
        for outcome in OUTCOMES:  # from the start: no increase is seen in a series that begins with 8
            self.best_shots.labels(outcome)
        self.best_shots_known = Counter(
            "luna_processor_best_shots_known",
            "Best shots found once more by a repeated run, that wait already or were settled before",
            registry=self.registry,
        )
        self.delivery_retries = Counter(
            "luna_processor_delivery_retries", "Repeated event requests", registry=self.registry
        )
        self.delivery_seconds = Histogram(
            "luna_processor_delivery_seconds",
            "Duration of event requests",
            buckets=_SLOW_BUCKETS,
            registry=self.registry,
        )
        self.source_frames = Counter(
            "luna_processor_source_frames",
            "Requests to frame stores by outcome: stored, failed (also left out, while the store rests)",
            ["outcome"],
            registry=self.registry,
        )
        for outcome in ("stored", "failed"):
            self.source_frames.labels(outcome)
        self.cpu_decoded_sources = Counter(
            "luna_processor_cpu_decoded_sources",
            "Connections to sources that the GPU was to decode and the CPU does, at least in part",
            registry=self.registry,
        )
        self.analysis_seconds = Histogram(
            "luna_processor_analysis_seconds",
            "Time from picking a frame to the end of its analysis",
            buckets=_FAST_BUCKETS,
            registry=self.registry,
        )
        self.frame_age_seconds = Histogram(
            "luna_processor_frame_age_seconds",
            "Time from decoding a frame to the end of its analysis",
            buckets=_FAST_BUCKETS,
            registry=self.registry,
        )
        self.stream_errors = Counter(
            "luna_processor_failed_streams", "Streams that ended in failure", registry=self.registry
        )
        self.preview_viewers = Gauge("luna_processor_preview_viewers", "Open live previews", registry=self.registry)

    def add_gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Show a figure that is read when somebody scrapes."""
        Gauge(f"luna_processor_{name}", text, registry=self.registry).set_function(read)

    def add_queue(self, name: str, size: Callable[[], float]) -> None:
        """Show the length of a queue."""
        self.add_gauge(name, f"Length of the queue: {name}", size)

    def watch_spool(self, spool: SpoolFigures) -> None:
        """Show what waits for delivery."""
        self.add_queue("events_waiting", lambda: spool.size)
        self.add_gauge("spool_bytes", "What the waiting events take", lambda: spool.size_bytes)
        self.add_gauge("spool_limit_bytes", "What the waiting events may take", lambda: spool.capacity_bytes)
        self.add_gauge("spool_oldest_seconds", "Age of the event that waits longest", lambda: spool.oldest_s)
        self.add_gauge("spool_write_failures", "Times the disk took nothing", lambda: spool.write_failures)


@dataclass(frozen=True, slots=True)
class StreamFigures:
    """A stream and its counters, for the collector."""

    stream_id: str
    name: str
    stats: StreamStats


class StreamCollector(Collector):
    """Figures of the streams that run at the moment of the scrape."""

    def __init__(self, streams: Callable[[], Iterable[StreamFigures]]) -> None:
        self._streams = streams

    def collect(self) -> Iterator[Metric]:
        """Yield one family per figure."""
        streams = list(self._streams())
        total = GaugeMetricFamily("luna_processor_streams", "Streams in this process")
        total.add_metric([], len(streams))
        yield total
        for name, text, read_gauge in _GAUGES:
            gauge = GaugeMetricFamily(f"luna_processor_stream_{name}", text, labels=_LABELS)
            for stream in streams:
                gauge.add_metric([stream.stream_id, stream.name], read_gauge(stream.stats))
            yield gauge
        for name, text, read_counter in _COUNTERS:
            counter = CounterMetricFamily(f"luna_processor_stream_{name}", text, labels=_LABELS)
            for stream in streams:
                counter.add_metric([stream.stream_id, stream.name], read_counter(stream.stats))
            yield counter
        latency = HistogramMetricFamily(
            "luna_processor_stream_latency_seconds",
            "Time from decoding a frame to the end of its analysis",
            labels=_LABELS,
        )
        for stream in streams:
            buckets, total_s = stream.stats.latencies
            latency.add_metric([stream.stream_id, stream.name], buckets, total_s)
        yield latency


_LABELS = ("stream_id", "name")
_Read = Callable[[StreamStats], float]
_GAUGES: tuple[tuple[str, str, _Read], ...] = (
    ("fps", "Frames analysed per second", lambda stats: stats.frames_per_second),
    ("detections_in_frame", "Faces, bodies or humans in the frame searched last", lambda stats: stats.detection_count),
    ("live_tracks", "Tracks that go on", lambda stats: stats.live_tracks),
    ("picture_is_black", "1 while the camera shows nothing", lambda stats: stats.is_black),
    ("picture_is_frozen", "1 while the camera repeats one picture", lambda stats: stats.is_frozen),
)
_COUNTERS: tuple[tuple[str, str, _Read], ...] = (
    ("frames_read", "Frames decoded", lambda stats: stats.frames_read),
    ("frames_analysed", "Frames analysed", lambda stats: stats.frames_analysed),
    ("frames_searched", "Frames in which faces or bodies were looked for", lambda stats: stats.frames_searched),
    ("frames_dropped", "Frames skipped under load", lambda stats: stats.frames_dropped),
    ("detections", "Faces, bodies or humans found", lambda stats: stats.detections_total),
    ("tracks", "Tracks ended", lambda stats: stats.tracks_total),
    ("source_errors", "Errors of the source", lambda stats: stats.source_errors),
)
