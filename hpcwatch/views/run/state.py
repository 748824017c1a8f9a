"""What the live views of `hpcwatch run` show, taken from a timeline. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from hpcwatch.analysis.findings import Finding
from hpcwatch.analysis.findings.gpu_attribution import shown_gpus
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.probe.schema import Gpu, Process

HISTORY = 120  # samples a sparkline may show


class GpuState(NamedTuple):
    """One device now, and its utilisation in percent so far.

    Where the utilisation is unknown (MIG), it is the share of multiprocessors at work.
    """

    gpu: Gpu
    history_pct: list[float]
    trouble: str | None = None
    """Why it cannot be read."""


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
    gpu_trouble: str | None = None
    """Why nothing is known of the node's devices."""


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
    errors = (sample.errors or {}) if sample is not None else {}
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
        used_history=list(columns["used_bytes"].high[-HISTORY:]),
        peak_bytes=host.used_peak_bytes,
        gpus=_gpu_states(host, errors),
        processes=processes,
        findings=findings,
        note=note,
        step=step,
        gpu_trouble=errors.get("gpu"),
    )


def _gpu_states(host: HostTimeline, errors: Mapping[str, str]) -> list[GpuState]:
    """Return the job's devices of the latest sample; of divided ones their instances."""
    sample = host.last
    now = {gpu.uuid for gpu in sample.gpus or ()} if sample is not None else set()
    states = []
    for gpu in shown_gpus(host.job, host) if now else ():
        if gpu.uuid not in now:
            continue
        util = gpu.columns["util_pct"].mean
        is_by_activity = not any(value == value for value in util[-HISTORY:])
        values = gpu.columns["sm_active_pct"].mean if is_by_activity else util
        states.append(GpuState(gpu.last, list(values[-HISTORY:]), errors.get(f"gpu {gpu.index}")))
    return states


def _last(values: Sequence[float]) -> float | None:
    """The latest value, None if it is unknown."""
    return values[-1] if values and values[-1] == values[-1] else None
