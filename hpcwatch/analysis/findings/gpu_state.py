"""Findings on a device's health, its memory, and who is on it."""

from __future__ import annotations

from collections.abc import Iterator

from hpcwatch.analysis.findings import Finding, Scope, Severity, judged, rule
from hpcwatch.analysis.findings.devices import column_mean, known_allocation, own_gpus
from hpcwatch.analysis.findings.gpu_attribution import MAY_BE_OTHERS, is_opened
from hpcwatch.analysis.findings.shared import (
    Told,
    between,
    counts_the_whole_job,
    gpu_entity,
    known_evidence,
    over,
    stretch_start_s,
    throughout,
)
from hpcwatch.analysis.findings.windows import State, Stretch, stretch_of
from hpcwatch.analysis.progress import gpu_peak
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.analysis.timeline.columns import Part
from hpcwatch.analysis.timeline.gpus import GpuTimeline
from hpcwatch.base.units import GIB, MIB, format_bytes, format_pct, format_seconds

_REPORT = "Tell the help desk: node {host}, {label} ({uuid}), {what}."


@rule("gpu-throttled", margins={"throttled_pct": -2.0, "capped_pct": -5.0})
def gpu_throttled(
    scope: Scope,
    *,
    throttled_pct: float = 5.0,
    capped_pct: float = 25.0,
    window_s: float = 300.0,
) -> Iterator[Finding]:
    """Heat or failing power supply slows a device down in over 5 % of the readings of 5 min.

    A device at its power limit in over 25 % of them is information: that is how it is built or
    configured, and it works as hard as it may. Only the job's own devices.
    Source: LLview; the share for the power limit is our own.
    Override: [findings.gpu-throttled] throttled_pct, capped_pct, window_s.
    """
    for host in scope.timeline.hosts.values():
        for gpu in own_gpus(scope, host):
            slow = judged(scope, host, "throttled_pct", window_s, gpu)
            capped = judged(scope, host, "power_capped_pct", window_s, gpu)
            if slow is not None and slow.average() > throttled_pct:
                yield _throttled(scope, host, gpu, slow, window_s)
            elif capped is not None and capped.average() > capped_pct:
                yield _capped(host, gpu, capped)


def _throttled(
    scope: Scope, host: HostTimeline, gpu: GpuTimeline, part: Part, window_s: float
) -> Finding:
    share = part.average()
    celsius = column_mean(scope, host, gpu, "temperature_celsius", window_s)
    warm = "" if celsius is None else f" at {celsius:.0f} °C"
    what = f"slowed down by heat or power supply for {format_pct(share)} of the time{warm}"
    told = Told(
        rule="gpu-throttled",
        severity=Severity.WARNING,
        title=f"{gpu.label} slowed down by heat or power supply, {format_pct(share)} of the time",
        evidence=known_evidence(throttled_mean_pct=share, temperature_mean_celsius=celsius),
        advice="Nothing in the job changes that. "
        + _REPORT.format(host=host.name, label=gpu.label, uuid=gpu.uuid, what=what),
        entity=gpu_entity(gpu),
    )
    return over(part, host.name, told)


def _capped(host: HostTimeline, gpu: GpuTimeline, part: Part) -> Finding:
    told = Told(
        rule="gpu-throttled",
        severity=Severity.INFO,
        title=f"{gpu.label} at its power limit {format_pct(part.average())} of the time",
        evidence=known_evidence(
            power_capped_mean_pct=part.average(), power_limit_w=gpu.last.power_limit_w
        ),
        advice="No change needed, because it works as hard as it may. Lower precision takes less "
        "power for the same work.",
        entity=gpu_entity(gpu),
    )
    return over(part, host.name, told)


@rule("gpu-memory-full", margins={"full_share": -0.02, "own_share": -0.02})
def gpu_memory_full(
    scope: Scope,
    *,
    full_share: float = 0.95,
    own_share: float = 0.92,
    reserved_share: float = 0.85,
    reserved_within_s: float = 60.0,
    window_s: float = 600.0,
) -> Iterator[Finding]:
    """Two readings of a device's memory are over 95 % full, or the framework's own peak over 92 %.

    Readings do not count if it was reserved up front, over 85 % within 60 s of the first use and
    flat from then on, as TensorFlow and JAX do it: then they say nothing of what is needed. Nor if
    it was flat and full when the watching began. The framework's own peak always counts, where
    the program tells it (``gpu_memory_peak_bytes``, as hpcwatch's Keras callback does): of the
    device that it fills most.
    Source: our own. Override: [findings.gpu-memory-full] full_share, own_share, reserved_share,
    reserved_within_s, window_s.
    """
    for host in scope.timeline.hosts.values():
        gpus = own_gpus(scope, host)
        for gpu in gpus:
            total = gpu.last.memory_total_bytes
            if not total:
                continue
            peak = gpu_peak(scope.events) if gpu is _fullest(gpus) else None
            start_s = stretch_start_s(scope, window_s)
            part = host.part("memory_used_bytes", start_s, scope.end_s, gpu.uuid)
            if peak is not None and own_share * total < peak.used_bytes <= total:
                yield _full(host, gpu, Stretch(peak.at_s, scope.end_s), peak.used_bytes, _OWN)
                continue
            full = [at for at, high in zip(part.at_s, part.high) if high > full_share * total]
            if len(full) < 2:
                continue
            if not _is_reserved(host, gpu, total, reserved_share, reserved_within_s):
                yield _full(host, gpu, Stretch(full[0], full[-1]), part.highest())


_OWN = " by the program's own account"


def _full(
    host: HostTimeline, gpu: GpuTimeline, when: Stretch, used_bytes: float, whose: str = ""
) -> Finding:
    total = gpu.last.memory_total_bytes or 0
    told = Told(
        rule="gpu-memory-full",
        severity=Severity.WARNING,
        title=f"{gpu.label} memory {format_pct(100 * used_bytes / total)} full{whose}: "
        f"{format_bytes(used_bytes)} of {format_bytes(total)}",
        evidence={"memory_used_bytes": used_bytes, "memory_total_bytes": total},
        advice="The next larger tensor does not fit. Use smaller batches, gradient "
        "checkpointing or lower precision.",
        entity=gpu_entity(gpu),
    )
    return between(when.start_s, when.length_s, host.name, told)


def _fullest(gpus: list[GpuTimeline]) -> GpuTimeline | None:
    """Return the device that a framework's peak is of: it does not say which one.

    None where devices differ in size: then nobody can tell.
    """
    if len({gpu.last.memory_total_bytes for gpu in gpus}) != 1:
        return None
    return max(gpus, key=lambda gpu: gpu.memory_peak_bytes or 0)


def _is_reserved(
    host: HostTimeline, gpu: GpuTimeline, total: int, reserved_share: float, within_s: float
) -> bool:
    """True if the device's memory filled at once and was flat from then on."""
    used = gpu.columns["memory_used_bytes"].high
    rows = [(at, size / total) for at, size in zip(host.at_s, used) if size == size]
    first_s = next((at for at, share in rows if share > 0.05), None)
    filled = [(at, share) for at, share in rows if share > reserved_share]
    if first_s is None or not filled or filled[0][0] - first_s > within_s:
        return False
    settled_s = filled[0][0] + within_s  # it may fill step by step
    shares = [share for at, share in filled if at >= settled_s] or [filled[-1][1]]
    return max(shares) - min(shares) <= 0.02


@rule("gpu-foreign")
def gpu_foreign(
    scope: Scope,
    *,
    foreign_bytes: float = 100.0 * MIB,
    unlisted_bytes: float = 1.0 * GIB,
    window_s: float = 120.0,
) -> Iterator[Finding]:
    """Somebody else is on the job's device: 100 MiB of another user, or 1 GiB of nobody, for 2 min.

    Only where it is known which devices are the job's, and whose the processes are. Of
    memory that no listed process holds it is said only if the driver lists this job's processes
    (in a container it may list none), and only of what was there before a process of the job was:
    a program's managed memory is not listed either. Display servers do not count. With MPS, and
    where the operating system manages the device's memory, it is silent.
    Source: Boston University's process reaper; the sizes are our own.
    Override: [findings.gpu-foreign] foreign_bytes, unlisted_bytes, window_s.
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
    """Return the stretch in which so much is held; None if not for long enough."""
    sizes = gpu.columns[metric].mean
    if scope.is_live and not sizes[-1] >= least:
        return None
    states: list[State] = [None if size != size else size >= least for size in sizes]
    stretch = stretch_of(scope, host, states, window_s)
    return stretch and host.part(metric, stretch.start_s, stretch.end_s, gpu.uuid)


def _foreign(host: HostTimeline, gpu: GpuTimeline, part: Part, who: str) -> Finding:
    size = part.highest()
    told = Told(
        rule="gpu-foreign",
        severity=Severity.CRITICAL,
        title=f"{gpu.label}: {who} holds {format_bytes(size)}",
        evidence={"held_bytes": size},
        advice="It takes memory and time from this job, and is not yours to end. "
        + _REPORT.format(
            host=host.name,
            label=gpu.label,
            uuid=gpu.uuid,
            what=f"{format_bytes(size)} held by {who} for {format_seconds(part.asked_s)}",
        ),
        entity=gpu_entity(gpu),
    )
    return over(part, host.name, told)


@rule("gpu-shared")
def gpu_shared(
    scope: Scope, *, shared_bytes: float = 100.0 * MIB, window_s: float = 120.0
) -> Iterator[Finding]:
    """Another process of the same user, not this job's, holds 100 MiB of its device for 2 min.

    A warning where every process of the job on the node is known; else, below `hpcwatch run`, it
    may be another part of the same job: information.
    Source: our own. Override: [findings.gpu-shared] shared_bytes, window_s.
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


@rule("gpu-unassigned")
def gpu_unassigned(scope: Scope) -> Iterator[Finding]:
    """A process of the job opened a device outside of the job's allocation.

    Only where the scheduler says which devices are the job's. Somebody else may have been given
    that device.
    Source: Boston University's process reaper. Override: [findings.gpu-unassigned] has no
    thresholds.
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
