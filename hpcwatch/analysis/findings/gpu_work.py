"""Findings on how well devices work: too little, on few multiprocessors, unevenly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from hpcwatch.analysis.findings import GPU_PLOTS, Finding, Scope, Severity, Waste, judged, rule
from hpcwatch.analysis.findings.devices import allocated_gpus, column_mean
from hpcwatch.analysis.findings.shared import HOUR_S, Told, gpu_entity, known_evidence, over
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.analysis.timeline.columns import Part
from hpcwatch.analysis.timeline.gpus import GpuTimeline
from hpcwatch.base.units import format_pct

_WARM_UP_S = 120.0


class _Device(NamedTuple):
    """A device of the job and its utilisation over the stretch that is judged."""

    host: HostTimeline
    gpu: GpuTimeline
    util: Part


def judged_devices(scope: Scope, window_s: float) -> Iterator[_Device]:
    """Yield the job's devices whose utilisation is known well enough."""
    for host in scope.timeline.hosts.values():
        for gpu in allocated_gpus(scope, host) if host.gpus else ():
            util = judged(scope, host, "util_pct", window_s, gpu)
            if util is not None:
                yield _Device(host, gpu, util)


@rule("gpu-low", accuses=True, margins={"warning_pct": 2.0, "info_pct": 2.0}, plots=GPU_PLOTS)
def gpu_low(
    scope: Scope,
    *,
    warning_pct: float = 15.0,
    info_pct: float = 25.0,
    full_share: float = 0.75,
    window_s: float = 600.0,
) -> Iterator[Finding]:
    """A device is at most 15 % busy on average; information up to 25 %.

    Also information if over 75 % of its memory is in use: then the device may be needed for its
    memory. Not in the first 2 min, in which programs read and compile, and not for an idle device,
    which gpu-unused reports.
    Source: Princeton's jobstats.
    """
    if scope.is_live and scope.end_s - window_s < scope.started_at_s + _WARM_UP_S:
        return
    for host, gpu, util in judged_devices(scope, window_s):
        mean = util.average()
        if not mean <= info_pct or not util.highest() > 0:
            continue
        total, peak = gpu.last.memory_total_bytes, gpu.memory_peak_bytes
        is_full = bool(total and peak and peak > full_share * total)
        is_low = mean <= warning_pct and not is_full
        advice = (
            "Its memory is in use, so it may be needed for that. Larger batches would use it "
            "better."
            if is_full
            else "Give it larger batches, run several such tasks on it, or ask for fewer GPUs or a "
            "part of one (a MIG slice) where the site offers that."
        )
        told = Told(
            rule="gpu-low",
            severity=Severity.WARNING if is_low else Severity.INFO,
            title=f"{gpu.label} only {format_pct(mean)} busy",
            evidence=known_evidence(
                util_mean_pct=mean, memory_peak_bytes=peak, memory_total_bytes=total
            ),
            advice=advice,
            waste=Waste(gpu_hours=(1 - mean / 100) * util.asked_s / HOUR_S),
            entity=gpu_entity(gpu),
        )
        yield over(util, host.name, told)


@rule(
    "gpu-busy-shallow", accuses=True, margins={"busy_pct": -5.0, "active_pct": 5.0}, plots=GPU_PLOTS
)
def gpu_busy_shallow(
    scope: Scope,
    *,
    busy_pct: float = 80.0,
    active_pct: float = 50.0,
    power_share: float = 0.35,
    bandwidth_pct: float = 60.0,
    waiting_pct: float = 98.0,
    still_pct: float = 2.0,
    window_s: float = 600.0,
) -> Iterator[Finding]:
    """A device is 80 % busy for 10 min, yet under half of its multiprocessors work.

    Utilisation says that some kernel ran, not how large it was. Where the share of working
    multiprocessors is not measured (NVML's GPM, Hopper and later; else a dcgm-exporter on the node,
    which the evidence then names), a power draw under 35 % of the
    limit says the same. Not where memory bandwidth is over 60 % in use, which then is what limits;
    by power alone only if that is known.

    If it is over 98 % busy and reads or writes its memory in under 2 % of the time, its kernels are
    not small: they do nothing but wait, as those of a collective do until all ranks have come. That
    is a warning, for a rank may never come.
    Source: our own.
    """
    for host, gpu, util in judged_devices(scope, window_s):
        mean = util.average()
        if not mean >= busy_pct:
            continue
        depth = _depth(scope, host, gpu, window_s)
        bandwidth = depth.bandwidth_pct
        seen = depth.shallow_words(active_pct, power_share)
        if seen is None or (bandwidth is not None and bandwidth > bandwidth_pct):
            continue
        waits = mean >= waiting_pct and bandwidth is not None and bandwidth < still_pct
        told = Told(
            rule="gpu-busy-shallow",
            severity=Severity.WARNING if waits else Severity.INFO,
            title=f"{gpu.label} {format_pct(mean)} busy, but only {seen}"
            + (": it may wait for others" if waits else ""),
            evidence={**known_evidence(util_mean_pct=mean), **depth.evidence(gpu)},
            advice=_WAITS if waits else _SMALL,
            entity=gpu_entity(gpu),
        )
        yield over(util, host.name, told)


class _Depth(NamedTuple):
    """How much of a busy device works, on average. None is unknown."""

    active_pct: float | None
    """Working multiprocessors."""
    power_share: float | None
    """Power drawn, of the limit."""
    bandwidth_pct: float | None
    """Memory bandwidth in use."""

    def shallow_words(self, active_pct: float, power_share: float) -> str | None:
        """Return the figure that is below its threshold, in words; None if none is."""
        if self.active_pct is not None:
            is_shallow = self.active_pct < active_pct
            return f"{format_pct(self.active_pct)} of it at work" if is_shallow else None
        if self.power_share is None or self.bandwidth_pct is None:
            return None
        is_shallow = self.power_share < power_share
        return f"{format_pct(100 * self.power_share)} of its power" if is_shallow else None

    def evidence(self, gpu: GpuTimeline) -> dict[str, float | int | str]:
        """Return the known figures, and who measured the activity if not the device's driver."""
        known = known_evidence(
            sm_active_mean_pct=self.active_pct,
            power_share=self.power_share,
            memory_util_mean_pct=self.bandwidth_pct,
        )
        if self.active_pct is None or gpu.activity_from is None:
            return known
        return {**known, "sm_active_from": gpu.activity_from}


def _depth(scope: Scope, host: HostTimeline, gpu: GpuTimeline, window_s: float) -> _Depth:
    return _Depth(
        active_pct=column_mean(scope, host, gpu, "sm_active_pct", window_s),
        power_share=_power_share(scope, host, gpu, window_s),
        bandwidth_pct=column_mean(scope, host, gpu, "memory_util_pct", window_s),
    )


_SMALL = (
    "Its kernels are small. Larger batches, mixed precision or fused operations (XLA, "
    "torch.compile) give it more to do at once."
)
_WAITS = (
    "It does not touch its memory: it probably waits in a collective (all-reduce, barrier) for a "
    "rank that is slow, stuck or gone. See where each rank is with py-spy dump --pid PID, and run "
    "with NCCL_DEBUG=INFO."
)


def _power_share(
    scope: Scope, host: HostTimeline, gpu: GpuTimeline, window_s: float
) -> float | None:
    """Return the power drawn as a share of the limit."""
    power = column_mean(scope, host, gpu, "power_w", window_s)
    limit = gpu.last.power_limit_w
    return None if power is None or not limit else power / limit


@rule("gpu-imbalance", accuses=True, margins={"points": -5.0}, is_of_job=True, plots=GPU_PLOTS)
def gpu_imbalance(
    scope: Scope,
    *,
    points: float = 30.0,
    active_pct: float = 10.0,
    window_s: float = 300.0,
) -> Iterator[Finding]:
    """The job's active devices differ by over 30 points of utilisation in their 5-min means.

    Active means over 10 %: gpu-unused and similar rules report the others. In a program that works
    in step all devices wait for the slowest.
    Source: our own.
    """
    active = [one for one in judged_devices(scope, window_s) if one.util.average() > active_pct]
    if len(active) < 2:
        return
    least = min(active, key=lambda one: one.util.average())
    most = max(active, key=lambda one: one.util.average())
    low, high = least.util.average(), most.util.average()
    if not high - low > points:
        return
    told = Told(
        rule="gpu-imbalance",
        severity=Severity.WARNING,
        title=f"{_name(scope, least)} {format_pct(low)} busy, {_name(scope, most)} "
        f"{format_pct(high)}",
        evidence={"least_pct": low, "most_pct": high, "active_count": len(active)},
        advice="Look whether each rank has a device of its own and as much work as the others: "
        "in a program that works in step, all wait for the slowest.",
    )
    yield over(least.util, scope.whole_host, told)


def _name(scope: Scope, device: _Device) -> str:
    where = "" if len(scope.timeline.hosts) == 1 else f"{device.host.name[:20]} "
    return f"{where}{device.gpu.label}"
