"""A library that answers as NVIDIA's NVML does, for machines without a card."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any


class NvmlError(Exception):
    """What the library raises."""


class FakeNvml:
    """Cards by number; `silent` names functions that a card does not support."""

    NVML_TEMPERATURE_GPU = 0
    NVML_MEMORY_ERROR_TYPE_UNCORRECTED = 1
    NVML_AGGREGATE_ECC = 1

    def __init__(self, count: int = 1, slices: int = 0, silent: Sequence[str] = ()) -> None:
        self.count = count
        self.slices = slices
        self.silent = set(silent)
        self.is_gone = False
        self.names: Sequence[str] = ()

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("nvml") and (name in self.silent or self.is_gone):
            raise NvmlError("Not Supported" if not self.is_gone else "GPU is lost")
        return super().__getattribute__(name)

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return self.count

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:  # noqa: N802
        return str(index)

    def nvmlDeviceGetName(self, handle: str) -> str:  # noqa: N802
        return self.names[int(handle)] if self.names else "NVIDIA H100 80GB HBM3"

    def nvmlDeviceGetUUID(self, handle: str) -> bytes:  # noqa: N802
        return f"GPU-{handle}".encode()

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> Any:  # noqa: N802
        return SimpleNamespace(total=80e9, used=5e9)

    def nvmlDeviceGetUtilizationRates(self, handle: str) -> Any:  # noqa: N802
        return SimpleNamespace(gpu=75, memory=20)

    def nvmlDeviceGetDecoderUtilization(self, handle: str) -> Sequence[int]:  # noqa: N802
        return (40, 166_000)

    def nvmlDeviceGetEncoderUtilization(self, handle: str) -> Sequence[int]:  # noqa: N802
        return (0, 166_000)

    def nvmlDeviceGetTemperature(self, handle: str, sensor: int) -> int:  # noqa: N802
        return 61

    def nvmlDeviceGetPowerUsage(self, handle: str) -> int:  # noqa: N802
        return 310_500

    def nvmlDeviceGetTotalEccErrors(self, handle: str, kind: int, since: int) -> int:  # noqa: N802
        return 2

    def nvmlDeviceGetMigMode(self, handle: str) -> Sequence[int]:  # noqa: N802
        return (int(self.slices > 0), int(self.slices > 0))

    def nvmlDeviceGetMaxMigDeviceCount(self, handle: str) -> int:  # noqa: N802
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: str, index: int) -> str:  # noqa: N802
        if index >= self.slices:
            raise NvmlError("Not Found")
        return f"{handle}-slice-{index}"
