"""What the cards say of themselves, in Prometheus' form, by NVIDIA's management library (NVML).

NVML needs the driver only, not CUDA. Each figure is asked for by itself: cards differ in what they tell (a MIG slice
tells no use, a consumer card no ECC errors), and one that is not told is left out. Errors of the cards that the driver
numbers (Xid) are in the log of the node's kernel.
"""

from __future__ import annotations

import importlib
import itertools
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

log = logging.getLogger(__name__)

Handle = Any
"""NVML's name for a card: a pointer."""


class Nvml(Protocol):
    """The functions of `pynvml` that are used here."""

    NVML_TEMPERATURE_GPU: int
    NVML_MEMORY_ERROR_TYPE_UNCORRECTED: int
    NVML_AGGREGATE_ECC: int

    def nvmlDeviceGetCount(self) -> int: ...  # noqa: N802, D102  NVML's names, described by NVIDIA
    def nvmlDeviceGetHandleByIndex(self, index: int) -> Handle: ...  # noqa: N802, D102
    def nvmlDeviceGetName(self, handle: Handle) -> str | bytes: ...  # noqa: N802, D102
    def nvmlDeviceGetUUID(self, handle: Handle) -> str | bytes: ...  # noqa: N802, D102
    def nvmlDeviceGetMemoryInfo(self, handle: Handle) -> Any: ...  # noqa: N802, D102
    def nvmlDeviceGetUtilizationRates(self, handle: Handle) -> Any: ...  # noqa: N802, D102
    def nvmlDeviceGetDecoderUtilization(self, handle: Handle) -> Sequence[int]: ...  # noqa: N802, D102
    def nvmlDeviceGetEncoderUtilization(self, handle: Handle) -> Sequence[int]: ...  # noqa: N802, D102
    def nvmlDeviceGetTemperature(self, handle: Handle, sensor: int) -> int: ...  # noqa: N802, D102
    def nvmlDeviceGetPowerUsage(self, handle: Handle) -> int: ...  # noqa: N802, D102
    def nvmlDeviceGetTotalEccErrors(self, handle: Handle, kind: int, since: int) -> int: ...  # noqa: N802, D102
    def nvmlDeviceGetMigMode(self, handle: Handle) -> Sequence[int]: ...  # noqa: N802, D102
    def nvmlDeviceGetMaxMigDeviceCount(self, handle: Handle) -> int: ...  # noqa: N802, D102
    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: Handle, index: int) -> Handle: ...  # noqa: N802, D102


class NvmlUnavailable(Exception):
    """There is no driver, or no package to ask it with."""


def open_nvml() -> Nvml:
    """Return NVML, ready to be asked.

    Raises:
        NvmlUnavailable: if there is no driver, or no package to ask it with.
    """
    try:
        library: Any = importlib.import_module("pynvml")
        library.nvmlInit()
    except ImportError as e:
        raise NvmlUnavailable("the package nvidia-ml-py is not installed") from e
    except Exception as e:  # NVMLError, and whatever ctypes meets in a broken installation of the driver
        raise NvmlUnavailable(str(e) or type(e).__name__) from e
    opened: Nvml = library
    return opened


def card_names(nvml: Nvml, visible: str | None = None) -> Sequence[str]:
    """Return the names of the cards that this process can compute on, by CUDA's index.

    Args:
        nvml: it tells of every card, whatever CUDA is allowed to see.
        visible: the variable CUDA_VISIBLE_DEVICES; None if it is not set. Source: CUDA Programming Guide, environment
            variables: numbers or beginnings of UUIDs, up to the first that there is no card for.

    Raises:
        NvmlUnavailable: if they cannot be asked.
    """
    try:
        units = list(_units(nvml))
    except Exception as e:  # as above
        raise NvmlUnavailable(str(e) or type(e).__name__) from e
    if visible is None:
        return [unit.name for unit in units if not unit.is_slice]
    named = (_name_of(identifier.strip(), units) for identifier in visible.split(","))
    return list(itertools.takewhile(lambda name: name != "", named))


def _name_of(identifier: str, units: Sequence[_Unit]) -> str:
    """Return the name of what an identifier of CUDA means; empty if that is nothing."""
    cards = [unit.name for unit in units if not unit.is_slice]
    if identifier.isdecimal():
        return cards[int(identifier)] if int(identifier) < len(cards) else ""
    if not identifier.startswith(("GPU-", "MIG-")):
        return ""
    found = [unit.name for unit in units if unit.uuid.startswith(identifier)]
    # Slices have older identifiers, too, that NVML does not tell: CUDA decides whether there is one.
    return found[0] if len(found) == 1 else identifier if identifier.startswith("MIG-") else ""


@dataclass(frozen=True, slots=True)
class _Unit:
    """A card, or a slice of one."""

    place: str
    """Number of the card, with that of the slice for one."""
    uuid: str
    name: str
    handle: Handle

    @property
    def is_slice(self) -> bool:
        """Whether it is a slice of a card (MIG)."""
        return ":" in self.place

    @property
    def labels(self) -> tuple[str, str, str]:
        """What its figures are marked with."""
        return (self.place, self.uuid, self.name)


class GpuCollector(Collector):
    """The figures of the cards that this process sees, at the moment of the scrape."""

    def __init__(self, nvml: Nvml) -> None:
        self._nvml = nvml
        self._was_told = False

    def collect(self) -> Iterator[Metric]:
        """Yield a family per figure; never raises."""
        try:
            units = list(_units(self._nvml))
        except Exception as e:  # a card that is gone must not take the other metrics with it
            if not self._was_told:
                log.warning("the GPUs cannot be asked for their figures: %s", e)
                self._was_told = True
            units = []
        up = GaugeMetricFamily("luna_processor_gpus", "GPUs and slices of GPUs that tell their figures")
        up.add_metric([], len(units))
        yield up
        for figure in _FIGURES:
            family = _family(figure)
            for unit in units:
                value = _asked(figure.read, self._nvml, unit.handle)
                if value is not None:
                    family.add_metric(unit.labels, value)
            yield family


_Read = Callable[[Nvml, Handle], float]


@dataclass(frozen=True, slots=True)
class _Figure:
    name: str
    text: str
    read: _Read
    is_counter: bool = False


_FIGURES = (
    _Figure(
        "utilization_ratio", "Part of the last second in which the GPU computed", lambda n, h: _use(n, h).gpu / 100
    ),
    _Figure(
        "memory_utilization_ratio",
        "Part of the last second in which memory was read or written",
        lambda n, h: _use(n, h).memory / 100,
    ),
    _Figure(
        "decoder_utilization_ratio",
        "Use of the video decoder (NVDEC)",
        lambda n, h: n.nvmlDeviceGetDecoderUtilization(h)[0] / 100,
    ),
    _Figure(
        "encoder_utilization_ratio",
        "Use of the video encoder",
        lambda n, h: n.nvmlDeviceGetEncoderUtilization(h)[0] / 100,
    ),
    _Figure("memory_used_bytes", "Memory in use, by all processes", lambda n, h: n.nvmlDeviceGetMemoryInfo(h).used),
    _Figure("memory_total_bytes", "Memory", lambda n, h: n.nvmlDeviceGetMemoryInfo(h).total),
    _Figure(
        "temperature_celsius",
        "Temperature of the chip",
        lambda n, h: n.nvmlDeviceGetTemperature(h, n.NVML_TEMPERATURE_GPU),
    ),
    _Figure("power_watts", "Power drawn", lambda n, h: n.nvmlDeviceGetPowerUsage(h) / 1000),
    _Figure(
        "ecc_uncorrected_errors",
        "Errors of the memory that could not be corrected, over the life of the card",
        lambda n, h: n.nvmlDeviceGetTotalEccErrors(h, n.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, n.NVML_AGGREGATE_ECC),
        is_counter=True,
    ),
)
_LABELS = ("gpu", "uuid", "name")


def _family(figure: _Figure) -> GaugeMetricFamily | CounterMetricFamily:
    kind = CounterMetricFamily if figure.is_counter else GaugeMetricFamily
    return kind(f"luna_processor_gpu_{figure.name}", figure.text, labels=_LABELS)


def _units(nvml: Nvml) -> Iterator[_Unit]:
    """Yield the cards, each followed by its slices (MIG), which have a memory of their own."""
    for index in range(nvml.nvmlDeviceGetCount()):
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        yield _unit(nvml, str(index), handle)
        is_sliced = _asked(lambda n, h: n.nvmlDeviceGetMigMode(h)[0], nvml, handle)
        count = _asked(lambda n, h: n.nvmlDeviceGetMaxMigDeviceCount(h), nvml, handle) if is_sliced else None
        for number in range(int(count or 0)):
            try:
                slice_handle = nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, number)
            except Exception:  # noqa: S112  places without a slice, or with one that this process may not see
                continue
            yield _unit(nvml, f"{index}:{number}", slice_handle)


def _unit(nvml: Nvml, place: str, handle: Handle) -> _Unit:
    return _Unit(place, _text(nvml.nvmlDeviceGetUUID(handle)), _text(nvml.nvmlDeviceGetName(handle)), handle)


def _asked(read: _Read, nvml: Nvml, handle: Handle) -> float | None:
    try:
        return float(read(nvml, handle))
    except Exception:  # NVMLError: this card does not tell, or is gone; no figure is worth the others
        return None


def _use(nvml: Nvml, handle: Handle) -> Any:
    return nvml.nvmlDeviceGetUtilizationRates(handle)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
