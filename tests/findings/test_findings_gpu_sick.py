"""Devices that are broken: what is told of them, and to whom."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from finding_samples import Device, Shape, ended, found, job, live, samples, scope

from hpcwatch.analysis.findings import Finding, Severity
from hpcwatch.analysis.timeline import Timeline
from hpcwatch.base.units import GIB
from hpcwatch.probe.schema import Gpu, Sample

BUSY = Device(util=90.0, held=GIB, power=200.0)
SHAPE = Shape(gpus=(BUSY, BUSY), job=job(gpus_count=2), cpu_count=20, length_s=1260)
LOST = "GPU is lost (nvmlDeviceGetUtilizationRates)"
Change = Callable[[float, Gpu], Gpu]


def told(change: Change, is_live: bool = False, shape: Shape = SHAPE) -> dict[str, Finding]:
    """What is found if device 1 tells other things over time."""
    made = Timeline(shape.interval_s, shape.job)
    for sample in samples(shape):
        made.add(changed(sample, change))
    return found(scope(made, shape, is_live=is_live))


def changed(sample: Sample, change: Change) -> Sample:
    first, second = sample.gpus or []
    return sample._replace(gpus=[first, change(sample.at_s - 1_700_000_000.0, second)])


def bare(gpu: Gpu) -> Gpu:
    return Gpu(gpu.index, gpu.uuid, gpu.name, device_file=gpu.device_file, lost_because=LOST)


def lost(at_s: float, gpu: Gpu) -> Gpu:
    """After 9 of 21 min."""
    return gpu if at_s < 540 else bare(gpu)._replace(xids=["79"])


@pytest.mark.parametrize("is_live", [True, False])
def test_a_lost_device_has_no_other_finding(is_live: bool) -> None:
    rules = told(lost, is_live)
    assert [name for name in rules if name.endswith("GPU 1")] == ["gpu-lost GPU 1"]
    finding = rules["gpu-lost GPU 1"]
    assert finding.severity is Severity.CRITICAL
    assert finding.title == "GPU 1 was lost after 9:00, Xid 79"
    assert (
        "Tell the help desk: node qb002, GPU 1 (GPU-1), was lost after 9:00, Xid 79: GPU is lost"
        in (finding.advice)
    )
    assert finding.evidence["read_share"] == pytest.approx(9 / 21, abs=0.01)


def test_a_device_that_the_driver_does_not_list_any_more_is_lost() -> None:
    made = Timeline(SHAPE.interval_s, SHAPE.job)
    for sample in samples(SHAPE):
        if sample.at_s - 1_700_000_000.0 >= 540:
            errors = {"gpu GPU-1": "Tesla K40m, GPU 1 before: the driver does not list it any more"}
            sample = sample._replace(gpus=(sample.gpus or [])[:1], errors=errors)
        made.add(sample)
    rules = found(scope(made, SHAPE, is_live=True))
    assert "does not list it any more" in rules["gpu-lost GPU 1"].advice


def test_a_device_that_gives_no_handle_never_answered() -> None:
    rules = told(lambda _at, gpu: bare(gpu))
    assert rules["gpu-lost GPU 1"].title == "GPU 1 never answered"


def test_a_device_that_came_back_is_not_lost() -> None:
    rules = told(lambda at_s, gpu: bare(gpu) if 540 <= at_s < 600 else gpu)
    assert "gpu-lost GPU 1" not in rules


def test_a_device_that_answers_late_is_not_lost() -> None:
    rules = told(lambda at_s, gpu: bare(gpu)._replace(lost_because=None) if at_s > 540 else gpu)
    assert "gpu-lost GPU 1" not in rules


@pytest.mark.parametrize(
    ("xids", "severity", "title"),
    [
        (["79"], Severity.CRITICAL, "GPU 1: Xid 79, the GPU fell off the bus"),
        (["48"], Severity.CRITICAL, "GPU 1: Xid 48, a memory error that could not be corrected"),
        (["63"], Severity.WARNING,
         "GPU 1: Xid 63, a bad row or page of memory waits to be replaced"),
        (["64"], Severity.CRITICAL,
         "GPU 1: Xid 64, a bad row or page of memory could not be replaced"),
        (["74"], Severity.WARNING, "GPU 1: Xid 74, an error on NVLink"),
        (["94"], Severity.WARNING, "GPU 1: Xid 94, a memory error that ended one program only"),
        (["95"], Severity.CRITICAL,
         "GPU 1: Xid 95, a memory error that may have spoilt others' data"),
        (["63", "48"], Severity.CRITICAL,
         "GPU 1: Xid 48, a memory error that could not be corrected +1 more"),
        (["31", "45"], Severity.WARNING, "GPU 1: Xid 31, the program used an invalid address"),
        (["999"], Severity.WARNING,
         "GPU 1: Xid 999, an error that NVIDIA's list of Xid errors explains"),
        (["45"], None, ""),
        ([], None, ""),
    ],
)  # fmt: skip
def test_xids_in_words(xids: list[str], severity: Severity | None, title: str) -> None:
    rules = told(lambda at_s, gpu: gpu._replace(xids=xids if at_s > 600 else []))
    assert ("gpu-xid GPU 1" in rules) is (severity is not None)
    if severity is not None:
        finding = rules["gpu-xid GPU 1"]
        assert (finding.severity, finding.title) == (severity, title)
        assert len(finding.title) <= 76
        is_programs = set(xids) <= {"31", "45"}
        assert ("Tell the help desk: node qb002" in finding.advice) is not is_programs
        assert "gpu-xid GPU 0" not in rules


@pytest.mark.parametrize(
    ("start", "end", "severity", "title"),
    [
        ({"ecc_uncorrected_count": 0}, {"ecc_uncorrected_count": 3}, Severity.CRITICAL,
         "GPU 1: 3 uncorrectable memory errors during this run"),
        ({"ecc_uncorrected_count": 275}, {"ecc_uncorrected_count": 275}, Severity.WARNING,
         "GPU 1: 275 uncorrectable memory errors since the driver started"),
        ({"remap_failed": True}, {}, Severity.CRITICAL,
         "GPU 1: bad memory could not be replaced: the GPU is worn out"),
        ({"remapped_row_count": 8, "needs_reset": True}, {}, Severity.WARNING,
         "GPU 1: bad memory waits for a reset to be replaced"),
        ({"retired_page_count": 60}, {}, Severity.WARNING,
         "GPU 1: 60 pages of memory are out of use"),
        ({"remapped_row_count": 8, "ecc_uncorrected_count": 0, "retired_page_count": 59,
          "needs_reset": False, "remap_failed": False}, {}, None, ""),
        ({"ecc_uncorrected_ever_count": 275}, {}, None, ""),  # replaced long ago
    ],
)  # fmt: skip
@pytest.mark.parametrize("is_live", [True, False])
def test_memory_errors(
    start: dict[str, Any], end: dict[str, Any], severity: Severity | None, title: str, is_live: bool
) -> None:
    def change(at_s: float, gpu: Gpu) -> Gpu:
        return gpu._replace(**(start if at_s < 600 else {**start, **end}))

    rules = told(change, is_live)
    assert ("gpu-ecc GPU 1" in rules) is (severity is not None)
    if severity is not None:
        finding = rules["gpu-ecc GPU 1"]
        assert (finding.severity, finding.title) == (severity, title)
        assert "Tell the help desk: node qb002, GPU 1 (GPU-1)" in finding.advice


def linked(active: int, count: int = 18) -> Change:
    return lambda _at_s, gpu: gpu._replace(nvlink_active_count=active, nvlink_count=count)


@pytest.mark.parametrize(
    ("change", "title"),
    [
        (linked(15), "GPU 1: 15 of 18 NVLinks are up"),
        (linked(18), None),
        (linked(4, 12), None),  # one bridge between two cards: built so
        (linked(0, 12), None),
        (lambda at_s, gpu: linked(12 if at_s < 600 else 4, 12)(at_s, gpu),
         "GPU 1: 4 of 12 NVLinks are up"),
        (lambda _at, gpu: gpu._replace(pcie_lane_count=1, pcie_lane_max_count=16,
                                       pcie_generation=1, pcie_generation_max=4),
         "GPU 1: 1 of 16 PCIe lanes, PCIe generation 1 of 4"),
        (lambda _at, gpu: gpu._replace(pcie_lane_count=16, pcie_lane_max_count=16,
                                       pcie_generation=4, pcie_generation_max=4), None),
        # An idle device lowers the generation to save power.
        (lambda _at, gpu: gpu._replace(util_pct=0.0, pcie_generation=1, pcie_generation_max=4),
         None),
    ],
)  # fmt: skip
def test_links(change: Change, title: str | None) -> None:
    finding = told(change).get("gpu-links GPU 1")
    assert (finding and finding.title) == title


def test_another_job_s_device_gives_no_finding() -> None:
    beside = SHAPE._replace(gpus=(BUSY, Device(util=90.0)), job=job(gpus_count=1), cpu_count=64)
    assert "gpu-ecc GPU 1" not in told(
        lambda _at, gpu: gpu._replace(ecc_uncorrected_count=5), shape=beside
    )


def test_healthy_devices_have_no_findings() -> None:
    for when in (live, ended):
        names = {one.partition(" ")[0] for one in found(when(SHAPE))}
        assert names.isdisjoint({"gpu-lost", "gpu-xid", "gpu-ecc", "gpu-links"})
