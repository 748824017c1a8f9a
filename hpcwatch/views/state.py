"""What the live views of `hpcwatch run` show, taken from a timeline. Pure."""

from __future__ import annotations

from array import array
from typing import NamedTuple

from hpcwatch.findings import Finding
from hpcwatch.probe.schema import Gpu, Process
from hpcwatch.timeline import HostTimeline

HISTORY = 120  # samples a sparkline may show


class GpuState(NamedTuple):
    """One device now, and its utilisation in percent so far."""

    gpu: Gpu
    history_pct: list[float]


class ProcessState(NamedTuple):
    """A process and the cores it used since the sample before."""

    process: Process
    used_cores: float | None


class LiveState(NamedTuple):
    """A run at one moment. Histories are oldest first, NaN where unknown."""

    elapsed_s: float
    walltime_s: float | None
    """What the job asked for, if it is in one."""
    used_cores: float | None
    cores: int | None
    cores_history: list[float]
    used_bytes: int | None
    limit_bytes: int | None
    limit_source: str | None
    used_history: list[float]
    peak_bytes: int | None
    gpus: list[GpuState]
    processes: list[ProcessState]
    """Most CPU first, then most memory."""
    findings: list[Finding]
    """Worst first."""
    note: str | None = None
    """What the monitor has to say of itself: recording stopped, a reader failed."""
    step: str | None = None
    """What the program says it is at."""


def live_state(
    host: HostTimeline,
    elapsed_s: float,
    cores: int | None,
    walltime_s: float | None,
    findings: list[Finding],
    note: str | None,
    step: str | None = None,
) -> LiveState:
    """Take what a view needs from a host's timeline."""
    columns = host.columns
    sample = host.last
    listed = sample.processes or [] if sample is not None else []
    gpus = sample.gpus or [] if sample is not None else []
    processes = [ProcessState(process, host.process_cores.get(process.pid)) for process in listed]
    processes.sort(key=lambda one: (-(one.used_cores or 0.0), -(one.process.rss_bytes or 0)))
    used = _last(columns["used_bytes"].mean)
    return LiveState(
        elapsed_s=elapsed_s,
        walltime_s=walltime_s,
        used_cores=_last(columns["cpu_cores"].mean),
        cores=cores,
        cores_history=list(columns["cpu_cores"].high[-HISTORY:]),
        used_bytes=None if used is None else round(used),
        limit_bytes=host.limit.limit_bytes,
        limit_source=host.limit.source,
        used_history=list(columns["used_bytes"].high[-HISTORY:]),
        peak_bytes=host.used_peak_bytes,
        gpus=[
            GpuState(gpu, list(host.gpus[gpu.uuid].columns["util_pct"].mean[-HISTORY:]))
            for gpu in gpus
        ],
        processes=processes,
        findings=findings,
        note=note,
        step=step,
    )


def _last(values: array[float]) -> float | None:
    """The latest value, None if it is unknown."""
    return values[-1] if values and values[-1] == values[-1] else None
