"""Made-up states of a run, for tests of what the live views make of them."""

from __future__ import annotations

import math
from typing import Any

from hpcwatch.analysis.findings import Finding, Severity
from hpcwatch.probe.schema import Gpu, Process
from hpcwatch.views.run.state import GpuState, LiveState, ProcessState

GIB = 1 << 30


def live(**changes: Any) -> LiveState:
    """A run on 20 cores and 126 GiB, without devices and findings."""
    state = LiveState(
        elapsed_s=161.0,
        walltime_s=72 * 3600.0,
        used_cores=2.1,
        cores=20,
        cores_history=[2.0, 2.1, 3.0, 5.0, 20.0] * 6,
        used_bytes=round(1.61 * GIB),
        limit_bytes=126 * GIB,
        used_history=[1.61 * GIB] * 30,
        peak_bytes=round(1.7 * GIB),
        gpus=[],
        processes=[process("python", 2.04, 1.6, 37), process("python", 0.01, 0.1, 1)],
        findings=[],
    )
    return state._replace(**changes)


def process(name: str, cores: float | None, gib: float, threads: int) -> ProcessState:
    """A process of the run."""
    record = Process(1, 0, name, "R", rss_bytes=round(gib * GIB), thread_count=threads)
    return ProcessState(record, cores)


def gpu(
    index: int, util_pct: float | None, gib: float | None = 10.8, power_w: float | None = 104.0
) -> GpuState:
    """A K40m; its history is as it is now."""
    device = Gpu(
        index=index,
        uuid=f"GPU-{index}",
        name="Tesla K40m",
        util_pct=util_pct,
        memory_used_bytes=None if gib is None else round(gib * GIB),
        memory_total_bytes=round(11.2 * GIB),
        power_w=power_w,
    )
    return GpuState(device, [math.nan if util_pct is None else util_pct] * 30)


def finding(
    title: str = "GPU 1 idle 12 min, holds 10.7 GiB",
    severity: Severity = Severity.CRITICAL,
    entity: str = "GPU 1",
) -> Finding:
    """A finding with a piece of advice."""
    advice = "TensorFlow reserves every GPU it sees: export CUDA_VISIBLE_DEVICES=0"
    return Finding("gpu-memory-held", severity, "qb002", entity, 0.0, 720.0, title, {}, advice)


def two_gpus() -> list[GpuState]:
    """One at work, one that is only held."""
    return [gpu(0, 77.0), gpu(1, 0.0, 10.7, 61.0)]
