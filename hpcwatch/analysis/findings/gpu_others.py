"""Findings on a device's other users, and on devices that are not the job's."""

from __future__ import annotations

from collections.abc import Iterator

from hpcwatch.analysis.findings import GPU_PLOTS, Finding, Scope, Severity, rule
from hpcwatch.analysis.findings.devices import help_desk, known_allocation, own_gpus
from hpcwatch.analysis.findings.gpu_attribution import MAY_BE_OTHERS, is_opened
from hpcwatch.analysis.findings.shared import (
    Told,
    counts_the_whole_job,
    gpu_entity,
    over,
    throughout,
)
from hpcwatch.analysis.findings.windows import State, stretch_of
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.analysis.timeline.columns import Part
from hpcwatch.analysis.timeline.gpus import GpuTimeline
from hpcwatch.base.units import GIB, MIB, format_bytes, format_seconds


@rule("gpu-foreign", plots=GPU_PLOTS)
def gpu_foreign(
    scope: Scope,
    *,
    foreign_bytes: float = 100.0 * MIB,
    unlisted_bytes: float = 1.0 * GIB,
    window_s: float = 120.0,
) -> Iterator[Finding]:
    """Another user holds 100 MiB of the job's device, or no visible process 1 GiB, for 2 min.

    Only where it is known which devices are the job's, and whose the processes are. Memory that no
    listed process holds counts only if the driver lists this job's processes (in a container it may
    list none), and only if it was there before the job's processes: a program's managed memory is
    not listed either. Display servers do not count. With MPS, and where the operating system
    manages the device's memory, it is silent.
    Source: Boston University's process reaper; the sizes
    are our own.
    """
    for host in scope.timeline.hosts.values():
        gpus = known_allocation(scope, host) if host.gpus else None
        if not gpus or not (counts_the_whole_job(host) or any(is_opened(host, g) for g in gpus)):
            continue
        lists_us = any(gpu.holders for gpu in host.gpus.values())
        for gpu in gpus:
            foreign = _held_by(scope, host, gpu, "foreign_bytes", foreign_bytes, window_s)
            unlisted = _held_by(scope, host, gpu, "unlisted_bytes", unlisted_bytes, window_s)
            if foreign is not None:
                yield _foreign(host, gpu, foreign, "another user's process")
            elif unlisted is not None and lists_us:
                yield _foreign(host, gpu, unlisted, "no process that can be seen")


def _held_by(
    scope: Scope, host: HostTimeline, gpu: GpuTimeline, metric: str, least: float, window_s: float
) -> Part | None:
    """Return the stretch in which that much is held; None if not for long enough."""
    sizes = gpu.columns[metric].mean
    if scope.is_live and not sizes[-1] >= least:
        return None
    states: list[State] = [None if size != size else size >= least for size in sizes]
    stretch = stretch_of(scope, host, states, window_s)
    return stretch and host.part(metric, stretch.start_s, stretch.end_s, gpu.uuid)


def _foreign(host: HostTimeline, gpu: GpuTimeline, part: Part, who: str) -> Finding:
    size = part.highest()
    what = f"{format_bytes(size)} held by {who} for {format_seconds(part.asked_s)}"
    told = Told(
        rule="gpu-foreign",
        severity=Severity.CRITICAL,
        title=f"{gpu.label}: {who} holds {format_bytes(size)}",
        evidence={"held_bytes": size},
        advice="It takes memory and time from this job, and is not yours to end. "
        + help_desk(host, gpu, what),
        entity=gpu_entity(gpu),
    )
    return over(part, host.name, told)


@rule("gpu-shared", plots=GPU_PLOTS)
def gpu_shared(
    scope: Scope, *, shared_bytes: float = 100.0 * MIB, window_s: float = 120.0
) -> Iterator[Finding]:
    """Another process of the same user, not this job's, holds 100 MiB of its device for 2 min.

    A warning where every process of the job on the node is known; else, below `hpcwatch run`, it
    may be another part of the same job: information.
    Source: our own.
    """
    for host in scope.timeline.hosts.values():
        use = host.last_use
        if not host.gpus or use is None or use.found_by in MAY_BE_OTHERS:
            continue
        for gpu in own_gpus(scope, host):
            part = _held_by(scope, host, gpu, "sibling_bytes", shared_bytes, window_s)
            if part is None or not is_opened(host, gpu):
                continue
            size, is_sure = part.highest(), counts_the_whole_job(host)
            what = "another job of yours" if is_sure else "another program of yours"
            told = Told(
                rule="gpu-shared",
                severity=Severity.WARNING if is_sure else Severity.INFO,
                title=f"{gpu.label} is shared: {what} holds {format_bytes(size)} of it",
                evidence={"sibling_bytes": size},
                advice="Both take turns on it and share its memory, so each is slower, and the "
                "figures of the device are those of both. Give each a device of its own, or run "
                "them one after the other.",
                entity=gpu_entity(gpu),
            )
            yield over(part, host.name, told)


@rule("gpu-unassigned", plots=GPU_PLOTS)
def gpu_unassigned(scope: Scope) -> Iterator[Finding]:
    """A process of the job opened a device outside of the job's allocation.

    Only where the scheduler says which devices are the job's. Another job may have been given that
    device.
    Source: Boston University's process reaper.
    """
    for host in scope.timeline.hosts.values():
        share = scope.job.on(host.name) if scope.job is not None and host.gpus else None
        use = host.last_use
        if use is None or use.found_by in MAY_BE_OTHERS:
            continue  # the process may be one of the same user's other jobs
        own = known_allocation(scope, host)
        if share is None or not share.gpu_indices or own is None:
            continue
        indices = ",".join(str(gpu.index) for gpu in own)
        for gpu in host.gpus.values():
            if gpu in own or not gpu.holders:
                continue
            told = Told(
                rule="gpu-unassigned",
                severity=Severity.CRITICAL,
                title=f"{gpu.label} is used but is not this job's: GPU {indices} is",
                evidence={"gpu_index": gpu.index, "assigned_indices": indices},
                advice="Do not set CUDA_VISIBLE_DEVICES yourself, or to this job's devices only: "
                "another job may have been given the one that you use.",
                entity=gpu_entity(gpu),
            )
            yield throughout(scope, host.name, told)
