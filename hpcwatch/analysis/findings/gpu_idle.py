"""Findings on devices that are idle while others are busy, or were busy once."""

from __future__ import annotations

from collections.abc import Iterator

from hpcwatch.analysis.findings import GPU_PLOTS, Finding, Scope, Severity, Waste, judged, rule
from hpcwatch.analysis.findings.devices import allocated_gpus, used_gpus_count
from hpcwatch.analysis.findings.directives import fewer_gpus
from hpcwatch.analysis.findings.idle import (
    Idle,
    evidence_on_device,
    holds,
    is_working,
    lasting,
    on_device,
    zero,
)
from hpcwatch.analysis.findings.shared import HOUR_S, Told, between, mean_over
from hpcwatch.analysis.findings.windows import Stretch, busiest, stretch_of
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.analysis.timeline.gpus import GpuTimeline
from hpcwatch.base.units import format_seconds

_MINUTES_S = 300.0


@rule(
    "gpu-partly-unused",
    silences=("gpu-unused", "gpu-low"),
    accuses=True,
    margins={"idle_pct": 2.0, "busy_pct": -2.0},
    plots=GPU_PLOTS,
)
def gpu_partly_unused(
    scope: Scope,
    *,
    idle_pct: float = 0.0,
    busy_pct: float = 10.0,
    working_power_share: float = 0.5,
    window_s: float = 600.0,
) -> Iterator[Finding]:
    """Some of a host's devices are unused for 10 min while another is over 10 % busy.

    A warning while the job runs, critical after it. Unused means, as in gpu-unused: every
    reading 0, no memory of the job on it, not over half its power limit. Such a program knows one
    device only, or its ranks are mapped to the same one. If memory is held on the idle device,
    gpu-memory-held reports it.
    Source: Princeton's jobstats, LLview.
    """
    for host in scope.timeline.hosts.values():
        gpus = allocated_gpus(scope, host) if len(host.gpus) > 1 else []
        busy = [gpu for gpu in gpus if _is_busy(scope, host, gpu, busy_pct, window_s)]
        if not busy:
            continue
        unused: dict[int, Idle] = {}
        for gpu in gpus:
            idle = zero(scope, host, gpu, idle_pct, window_s)
            if idle is None or holds(scope, host, gpu):
                continue
            if not is_working(scope, host, gpu, working_power_share, window_s):
                unused[gpu.index] = idle
        if unused:
            yield _partly(scope, host, len(gpus), unused)


def _partly(scope: Scope, host: HostTimeline, count: int, unused: dict[int, Idle]) -> Finding:
    shortest = min(unused.values(), key=lambda one: one.length_s)
    indices = ", ".join(str(index) for index in unused)
    waste_s = sum(one.length_s for one in unused.values())
    told = Told(
        rule="gpu-partly-unused",
        severity=Severity.WARNING if scope.is_live else Severity.CRITICAL,
        title=f"{len(unused)} of {count} GPUs unused {lasting(scope, shortest)}: "
        f"{indices if len(unused) <= 8 else 'see evidence'}",
        evidence={
            "unused_count": len(unused),
            "gpus_count": count,
            "unused_indices": indices,
        },
        advice="The program works on one device only, or its ranks are mapped to the same "
        f"ones. Ask for {count - len(unused)}, or spread the work: a distribution strategy, "
        "torchrun, or one rank a device.",
        directives=fewer_gpus(scope, used_gpus_count(scope)),
        waste=Waste(gpu_hours=waste_s / HOUR_S),
    )
    return between(shortest.start_s, shortest.length_s, host.name, told)


def _is_busy(
    scope: Scope, host: HostTimeline, gpu: GpuTimeline, busy_pct: float, window_s: float
) -> bool:
    part = judged(scope, host, "util_pct", window_s, gpu)
    return part is not None and part.average() > busy_pct


@rule(
    "gpu-went-idle",
    silences=("gpu-unused", "gpu-memory-held", "gpu-low"),
    accuses=True,
    margins={"idle_pct": 2.0},
    plots=GPU_PLOTS,
)
def gpu_went_idle(
    scope: Scope,
    *,
    idle_pct: float = 0.0,
    busy_pct: float = 10.0,
    cpu_cores: float = 0.5,
    critical_after_s: float = HOUR_S,
    window_s: float = 900.0,
) -> Iterator[Finding]:
    """A device was over 10 % busy for some 5 min, then at 0 for 15 min; critical after 60 min.

    If the job keeps more than half a core busy meanwhile, or that is unknown, it is information:
    a phase on the CPU that may belong in a job of its own. After the run the longest such stretch
    counts.
    Source: Princeton's job_defense_shield.
    """
    for host in scope.timeline.hosts.values():
        for gpu in allocated_gpus(scope, host) if host.gpus else ():
            high = gpu.columns["util_pct"].high
            if scope.is_live and not high[-1] <= idle_pct:
                continue
            states = [None if one != one else one <= idle_pct for one in high]
            stretch = stretch_of(scope, host, states, window_s)
            if stretch is None or not _was_busy(scope, host, gpu, stretch, busy_pct):
                continue
            yield _went_idle(scope, host, gpu, stretch, cpu_cores, critical_after_s, window_s)


def _was_busy(
    scope: Scope, host: HostTimeline, gpu: GpuTimeline, stretch: Stretch, busy_pct: float
) -> bool:
    """True if some five minutes before the stretch were busy."""
    before = host.part("util_pct", scope.start_s, stretch.start_s, gpu.uuid)
    return before.known_s >= _MINUTES_S and busiest(before, _MINUTES_S) > busy_pct


def _went_idle(
    scope: Scope,
    host: HostTimeline,
    gpu: GpuTimeline,
    stretch: Stretch,
    cpu_cores: float,
    critical_after_s: float,
    window_s: float,
) -> Finding:
    cores = mean_over(host, "cpu_cores", stretch.start_s, stretch.end_s)
    is_waiting = cores is not None and cores <= cpu_cores
    severity = Severity.INFO
    if is_waiting:
        is_long = stretch.length_s >= critical_after_s
        severity = Severity.CRITICAL if is_long else Severity.WARNING
    idle = Idle(stretch.start_s, stretch.length_s)
    evidence = evidence_on_device(scope, host, gpu, window_s)
    why = "nothing runs" if is_waiting else "the work goes on without it"
    advice = (
        "Nothing of the job works any more: end it, or look what it waits for."
        if is_waiting
        else "If the rest is a phase on the CPU, put it in a job of its own without GPUs."
    )
    told = Told(
        rule="gpu-went-idle",
        severity=severity,
        title=f"{gpu.label} was busy, then idle for {format_seconds(idle.length_s)}: {why}",
        evidence=evidence | ({} if cores is None else {"cpu_mean_cores": cores}),
        advice=advice,
    )
    return on_device(host, gpu, idle, told)
