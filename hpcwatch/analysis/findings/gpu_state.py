"""Findings on a device that is slowed down, and on one whose memory is full."""

from __future__ import annotations

from collections.abc import Iterator

from hpcwatch.analysis.findings import GPU_PLOTS, Finding, Scope, Severity, judged, rule
from hpcwatch.analysis.findings.devices import column_mean, help_desk, own_gpus
from hpcwatch.analysis.findings.shared import (
    Told,
    between,
    gpu_entity,
    known_evidence,
    over,
    stretch_start_s,
)
from hpcwatch.analysis.findings.windows import Stretch
from hpcwatch.analysis.progress import gpu_peak
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.analysis.timeline.columns import Part
from hpcwatch.analysis.timeline.gpus import GpuTimeline
from hpcwatch.base.units import format_bytes, format_pct


@rule("gpu-throttled", margins={"throttled_pct": -2.0, "capped_pct": -5.0}, plots=GPU_PLOTS)
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
        advice="Nothing in the job changes that. " + help_desk(host, gpu, what),
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


@rule("gpu-memory-full", margins={"full_share": -0.02, "own_share": -0.02}, plots=GPU_PLOTS)
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
    flat from then on, as TensorFlow and JAX do it: then they say nothing of what is needed. They do
    not count either if memory was flat and full at the first reading. The framework's own peak
    always counts, where the program reports it (``gpu_memory_peak_bytes``, as hpcwatch's Keras
    callback does), for the fullest device.
    Source: our own.
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
    """Return the device that a framework's peak belongs to; the framework does not name it.

    None where devices differ in size: then it is unknown.
    """
    if len({gpu.last.memory_total_bytes for gpu in gpus}) != 1:
        return None
    return max(gpus, key=lambda gpu: gpu.memory_peak_bytes or 0)


def _is_reserved(
    host: HostTimeline, gpu: GpuTimeline, total: int, reserved_share: float, within_s: float
) -> bool:
    """True if the device's memory filled at once and then stayed the same."""
    used = gpu.columns["memory_used_bytes"].high
    rows = [(at, size / total) for at, size in zip(host.at_s, used) if size == size]
    first_s = next((at for at, share in rows if share > 0.05), None)
    filled = [(at, share) for at, share in rows if share > reserved_share]
    if first_s is None or not filled or filled[0][0] - first_s > within_s:
        return False
    settled_s = filled[0][0] + within_s  # it may fill step by step
    shares = [share for at, share in filled if at >= settled_s] or [filled[-1][1]]
    return max(shares) - min(shares) <= 0.02
