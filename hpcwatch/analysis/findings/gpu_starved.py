"""Findings on devices that wait for their data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from hpcwatch.analysis.findings import (
    ENOUGH,
    GPU_PLOTS,
    Finding,
    Scope,
    Severity,
    Waste,
    judged,
    rule,
)
from hpcwatch.analysis.findings.devices import column_mean
from hpcwatch.analysis.findings.gpu_work import judged_devices
from hpcwatch.analysis.findings.shared import (
    HOUR_S,
    Told,
    asked_cores,
    gpu_entity,
    known_evidence,
    over,
    share_where,
)
from hpcwatch.analysis.progress import waits
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.analysis.timeline.columns import Part
from hpcwatch.analysis.timeline.gpus import GpuTimeline
from hpcwatch.base.units import format_cores, format_pct


@rule(
    "gpu-starved",
    silences=("gpu-low",),
    accuses=True,
    margins={"swing_share": -0.05, "data_wait_share": -0.05},
    plots=GPU_PLOTS,
)
def gpu_starved(
    scope: Scope,
    *,
    low_pct: float = 5.0,
    high_pct: float = 60.0,
    swing_share: float = 0.2,
    iowait_share: float = 0.1,
    full_share: float = 0.9,
    data_wait_share: float = 0.2,
    window_s: float = 300.0,
) -> Iterator[Finding]:
    """A device swings between idle and busy for 5 min while what feeds it is saturated.

    It is under 5 % in a fifth of the time and over 60 % in another. What feeds it is saturated if
    the job keeps all of its cores busy, or just one (a loader with one worker), or if the node
    waits for storage in over 10 % of its cores' time. Without such a sign the cause is not known,
    and it is silent.

    Or the program itself reports that it waited for data in over 20 % of its time (``data_wait_s``
    with ``epoch_s`` or ``step_s``; hpcwatch's Keras callback does, with ``timed``), and the device,
    which did something, does not contradict that: its mean is under 80 %.
    Source: our own.
    """
    waited = _waited_share(scope, window_s)
    for host, gpu, util in judged_devices(scope, window_s):
        idle = _idle_share(scope, host, gpu, util, low_pct, window_s)
        busy = share_where(util, lambda one: one > high_pct)
        sign, share = None, idle
        if idle >= swing_share and busy >= swing_share:
            sign = _saturated(scope, host, iowait_share, full_share, window_s)
        may_wait = util.highest() > 0 and util.average() < 100 * (1 - data_wait_share)
        if sign is None and may_wait and waited is not None and waited > data_wait_share:
            sign, share = _TOLD, waited
        if sign is None:
            continue
        evidence = known_evidence(
            idle_share=idle, busy_share=busy, util_mean_pct=util.average(), data_wait_share=waited
        )
        yield over(util, host.name, _told(gpu, sign, share, evidence, share * util.asked_s))


def _told(
    gpu: GpuTimeline,
    sign: _Sign,
    share: float,
    evidence: dict[str, float | int | str],
    wasted_s: float,
) -> Told:
    return Told(
        rule="gpu-starved",
        severity=Severity.WARNING,
        title=f"{gpu.label} waits for data {format_pct(100 * share)} of the time: {sign.why}",
        evidence=evidence,
        advice=sign.advice,
        waste=Waste(gpu_hours=wasted_s / HOUR_S),
        entity=gpu_entity(gpu),
    )


def _idle_share(
    scope: Scope, host: HostTimeline, gpu: GpuTimeline, util: Part, low_pct: float, window_s: float
) -> float:
    """Return the share of time in which the device idled, also between samples where known."""
    zero_pct = column_mean(scope, host, gpu, "util_zero_pct", window_s)
    return max(share_where(util, lambda one: one < low_pct), (zero_pct or 0.0) / 100)


class _Sign(NamedTuple):
    """What delays the data, and what to do."""

    why: str
    advice: str


_TOLD = _Sign(
    "the program says so",
    "Read and prepare data while the device works (prefetch), on more cores (num_parallel_calls of "
    "tf.data, num_workers of a DataLoader), or prepare it once and keep it.",
)


def _waited_share(scope: Scope, window_s: float) -> float | None:
    """Return the share of its time for which the program waited for data; None if it reports none.

    Live it uses the last stretches that fill the window, unless the next one is overdue.
    """
    told = waits(scope.events)
    told_s = waited_s = 0.0
    for one in reversed(told):
        if scope.is_live and told_s >= window_s:
            break
        told_s += one.length_s
        waited_s += one.waited_s
    if told_s < ENOUGH * window_s:
        return None
    last = told[-1]
    is_stale = scope.is_live and scope.end_s - last.at_s > max(window_s, 2 * last.length_s)
    return None if is_stale else waited_s / told_s


def _saturated(
    scope: Scope, host: HostTimeline, iowait_share: float, full_share: float, window_s: float
) -> _Sign | None:
    """Return the sign that what feeds the device is saturated; None if there is none."""
    node = host.last_node
    waiting = judged(scope, host, "node_iowait_cores", window_s)
    node_cores = (node.cpu_count or 0) if node is not None else 0
    if waiting is not None and waiting.average() > iowait_share * node_cores > 0:
        return _Sign(
            "storage is slow",
            "Copy the data to the node's local disk at the start of the job, or keep it in "
            "fewer, larger files.",
        )
    part, cores = judged(scope, host, "cpu_cores", window_s), asked_cores(scope, host)
    if part is None or not cores:
        return None
    used = part.average()
    if cores > 1 and full_share <= used <= 2 - full_share:
        return _Sign(
            "one core feeds it",
            "The program prepares its data on one core: let it use more workers (num_workers of a "
            f"DataLoader, num_parallel_calls of tf.data), up to {cores}.",
        )
    if used >= full_share * cores:
        return _Sign(
            f"all {format_cores(cores)} cores are busy",
            "The cores that prepare its data are all busy: ask for more cores a GPU, or prepare "
            "the data once and store it.",
        )
    return None
