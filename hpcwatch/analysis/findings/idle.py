"""How long a device did nothing, and what the findings on that have in common. Pure."""

from __future__ import annotations

from typing import NamedTuple

from hpcwatch.analysis.findings import Finding, Scope, Severity, Waste, judged
from hpcwatch.analysis.findings.devices import (
    HELD_BYTES,
    HELD_SHARE,
    HELD_WINDOW_S,
    held_threshold_bytes,
)
from hpcwatch.analysis.findings.gpu_attribution import attributed
from hpcwatch.analysis.findings.shared import HOUR_S, Told, between
from hpcwatch.analysis.findings.windows import State, stretch_of, total_s
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.analysis.timeline.gpus import GpuTimeline
from hpcwatch.base.units import format_clock, format_seconds


class Idle(NamedTuple):
    """A stretch in which a device did nothing."""

    start_s: float
    length_s: float


def zero(
    scope: Scope, host: HostTimeline, gpu: GpuTimeline, idle_pct: float, window_s: float
) -> Idle | None:
    """Return the time in which every reading was at most ``idle_pct``; None if it is too short."""
    high = gpu.columns["util_pct"].high
    if scope.is_live:
        if high[-1] > idle_pct:
            return None
    else:
        part = judged(scope, host, "util_pct", window_s, gpu)
        if part is None or not part.highest() <= idle_pct:
            return None
    return idle_of(scope, host, [None if one != one else one <= idle_pct for one in high], window_s)


def idle_of(scope: Scope, host: HostTimeline, states: list[State], window_s: float) -> Idle | None:
    """Return the idle time: live until now, after the run the longest; None if it is too short."""
    if scope.is_live:
        stretch = stretch_of(scope, host, states, window_s)
        return None if stretch is None else Idle(stretch.start_s, stretch.length_s)
    length_s = total_s(host, states)
    if length_s < window_s:
        return None
    first = states.index(True)
    return Idle(host.at_s[first] - host.span_s[first], length_s)


def is_working(
    scope: Scope, host: HostTimeline, gpu: GpuTimeline, share: float, window_s: float
) -> bool:
    """True if the power drawn contradicts a utilisation of 0."""
    limit_w = gpu.last.power_limit_w
    if limit_w is None:
        return False
    part = judged(scope, host, "power_w", window_s, gpu)
    return part is not None and part.average() > share * limit_w


def holds(scope: Scope, host: HostTimeline, gpu: GpuTimeline) -> bool:
    """True if gpu-memory-held reports this device, or will."""
    least_bytes = held_threshold_bytes(gpu, HELD_BYTES, HELD_SHARE)
    held = gpu.columns["held_bytes"].mean
    if scope.is_live:
        return held[-1] >= least_bytes
    return total_s(host, [size >= least_bytes for size in held]) >= HELD_WINDOW_S


def severity_of(idle: Idle, critical_after_s: float) -> Severity:
    """Critical after a certain time, else a warning."""
    return Severity.CRITICAL if idle.length_s >= critical_after_s else Severity.WARNING


def lasting(scope: Scope, idle: Idle) -> str:
    """Return ``12 min``, or after the run ``2:38:04 of 2:41:07``."""
    if scope.is_live:
        return format_seconds(idle.length_s)
    idle_s = min(idle.length_s, scope.ran_s)  # samples cover a little more at the ends
    return f"for {format_clock(idle_s)} of {format_clock(scope.ran_s)}"


def on_device(host: HostTimeline, gpu: GpuTimeline, idle: Idle, told: Told) -> Finding:
    """Return a finding about an idle device."""
    waste = Waste(gpu_hours=idle.length_s / HOUR_S)
    about = told._replace(entity=gpu.label, waste=waste)
    return between(idle.start_s, idle.length_s, host.name, about)


def evidence_on_device(
    scope: Scope, host: HostTimeline, gpu: GpuTimeline, window_s: float
) -> dict[str, float | int | str]:
    """Return the known numbers, and a note on the unknown ones."""
    numbers: dict[str, float | int | str] = {"gpu_index": gpu.index}
    for name, metric in (("util_mean_pct", "util_pct"), ("power_mean_w", "power_w")):
        part = judged(scope, host, metric, window_s, gpu)
        if part is not None:
            numbers[name] = part.average()
    for name in ("memory_used_bytes", "memory_total_bytes", "power_limit_w"):
        value = getattr(gpu.last, name)
        if value is not None:
            numbers[name] = value
    judged_by = "utilisation and power"
    if "power_mean_w" not in numbers or "power_limit_w" not in numbers:
        judged_by = "utilisation alone"
    if scope.job is not None:
        numbers["device_known_by"] = attributed(scope.job, host, scope.environment).how.value
    return numbers | {"judged_by": judged_by}
