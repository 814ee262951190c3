"""Figures of the cards, with a library that answers as NVML does: some cards do not tell everything, some are gone."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from luna_processor.engines.figures import GpuCollector, NvmlUnavailable, card_names
from support.nvml import FakeNvml


def scrape(nvml: FakeNvml) -> str:
    registry = CollectorRegistry()
    registry.register(GpuCollector(nvml))
    return generate_latest(registry).decode()


CARD = '{gpu="0",name="NVIDIA H100 80GB HBM3",uuid="GPU-0"}'


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("utilization_ratio", 0.75),
        ("memory_utilization_ratio", 0.2),
        ("decoder_utilization_ratio", 0.4),
        ("encoder_utilization_ratio", 0.0),
        ("memory_used_bytes", 5e9),
        ("memory_total_bytes", 80e9),
        ("temperature_celsius", 61.0),
        ("power_watts", 310.5),
        ("ecc_uncorrected_errors_total", 2.0),
    ],
)
def test_each_figure_of_a_card_is_told(name: str, value: float) -> None:
    line = next(line for line in scrape(FakeNvml()).splitlines() if line.startswith(f"luna_processor_gpu_{name}{{"))
    labels, told = line.removeprefix(f"luna_processor_gpu_{name}").rsplit(" ", 1)
    assert sorted(labels.strip("{}").split(",")) == sorted(CARD.strip("{}").split(","))
    assert float(told) == value


def test_each_card_and_each_slice_has_its_own_figures() -> None:
    text = scrape(FakeNvml(count=2, slices=2))
    assert "luna_processor_gpus 6.0" in text
    for place in ("0", "0:0", "0:1", "1", "1:0", "1:1"):
        assert f'gpu_memory_used_bytes{{gpu="{place}"' in text


def test_what_a_card_does_not_tell_is_left_out_and_nothing_else() -> None:
    text = scrape(FakeNvml(silent=["nvmlDeviceGetUtilizationRates", "nvmlDeviceGetTotalEccErrors"]))
    assert "gpu_utilization_ratio{" not in text
    assert "ecc_uncorrected_errors_total{" not in text
    assert "gpu_temperature_celsius{" in text


def test_a_card_that_is_gone_does_not_take_the_other_metrics_with_it() -> None:
    nvml = FakeNvml()
    registry = CollectorRegistry()
    registry.register(GpuCollector(nvml))
    nvml.is_gone = True
    assert "luna_processor_gpus 0.0" in generate_latest(registry).decode()
    nvml.is_gone = False
    assert "luna_processor_gpus 1.0" in generate_latest(registry).decode()


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        pytest.param(None, ["card 0", "card 1", "card 2"], id="not set"),
        pytest.param("", [], id="empty"),
        pytest.param("2,1", ["card 2", "card 1"], id="in their order"),
        pytest.param("0,2,-1,1", ["card 0", "card 2"], id="until one that is none"),
        pytest.param("7", [], id="no such number"),
        pytest.param("GPU-1", ["card 1"], id="by UUID"),
        pytest.param("GPU-", [], id="a beginning of several"),
        pytest.param("MIG-GPU-1/3/0", ["MIG-GPU-1/3/0"], id="a slice that NVML calls otherwise"),
        pytest.param("NoDevFiles", [], id="what a scheduler writes for none"),
    ],
)
def test_cards_are_counted_as_cuda_counts_what_it_is_allowed_to_see(visible: str | None, expected: list[str]) -> None:
    nvml = FakeNvml(count=3)
    nvml.names = [f"card {number}" for number in range(3)]
    assert card_names(nvml, visible) == expected


def test_the_names_of_the_cards_or_why_there_are_none() -> None:
    assert card_names(FakeNvml(count=2)) == ["NVIDIA H100 80GB HBM3"] * 2
    broken = FakeNvml()
    broken.is_gone = True
    with pytest.raises(NvmlUnavailable, match="GPU is lost"):
        card_names(broken)
