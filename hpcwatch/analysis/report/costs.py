"""What a run cost at the rates that are written down, and how much of that for nothing. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hpcwatch.analysis.costs import Costs, Rates
from hpcwatch.analysis.report.records import Summary, sum_if_known
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.recording.store import Run

if TYPE_CHECKING:
    from hpcwatch.analysis.rightsize import Advice


def costs_of(
    rates: Rates,
    run: Run,
    hosts: Sequence[HostTimeline],
    summary: Summary,
    advice: Advice | None,
) -> Costs | None:
    """Return the costs; None of a sweep's task, which shares its node."""
    if run.kind == "sweep-task":
        return None
    hours = summary.wall_s / 3600
    cores, gpus = _cores(run, summary), _gpus(run, hosts, summary)
    core_hours = None if cores is None else cores * hours
    gpu_hours = None if gpus is None else gpus * hours
    idle_core_hours = _idle_core_hours(cores, summary, hours)
    idle_gpu_hours = _idle_gpu_hours(gpus, summary)
    saves = advice.saves if advice is not None and advice.changes else None
    return Costs(
        unit=rates.unit,
        core_hours=core_hours,
        gpu_hours=gpu_hours,
        idle_core_hours=idle_core_hours,
        idle_gpu_hours=idle_gpu_hours,
        run_cost=rates.cost(core_hours, gpu_hours),
        idle_cost=rates.cost(idle_core_hours, idle_gpu_hours),
        saved_cost=rates.cost(saves.core_hours, saves.gpu_hours) if saves is not None else None,
    )


def _cores(run: Run, summary: Summary) -> int | None:
    """Return the cores that are charged: those requested, used or not."""
    if run.job is not None and run.job.cores_count is not None:
        return run.job.cores_count
    return summary.cores_allocated


def _gpus(run: Run, hosts: Sequence[HostTimeline], summary: Summary) -> int | None:
    """Return the devices that are charged: those requested, else those that were the run's."""
    if run.job is not None and run.job.gpus_count is not None:
        return run.job.gpus_count
    is_read = bool(hosts) and all(host.last and host.last.gpus is not None for host in hosts)
    return len(summary.gpus) if is_read or summary.gpus else None


def _idle_core_hours(cores: int | None, summary: Summary, hours: float) -> float | None:
    if cores is None or summary.cores_used_mean is None:
        return None
    return max(cores - summary.cores_used_mean, 0.0) * hours


def _idle_gpu_hours(gpus: int | None, summary: Summary) -> float | None:
    """Return for how long devices were seen to do nothing; None if one of them was not seen."""
    if gpus is None or len(summary.gpus) < gpus:
        return None
    idle_s: float | None = sum_if_known(gpu.idle_s for gpu in summary.gpus)
    return None if idle_s is None else idle_s / 3600
