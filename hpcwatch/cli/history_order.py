"""The orders of `hpcwatch jobs --since --sort`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hpcwatch.analysis.history import Hours
from hpcwatch.analysis.history_groups import Group
from hpcwatch.cluster.schedulers.arrays import task_order
from hpcwatch.cluster.schedulers.history import PastJob


def _least(value: float | None) -> float:
    """Return what sorts the largest first, the unknown last."""
    return float("inf") if value is None else -value


OF_JOBS: dict[str, Callable[[PastJob, Hours], Any]] = {
    "ended": lambda job, _: job.ended_at_s or float("inf"),
    "waste": lambda _, hours: -hours.waste,
    "id": lambda job, _: task_order(job.id),
    "name": lambda job, _: job.name or "",
    "waited": lambda job, _: _least(job.waited_s),
    "ran": lambda job, _: _least(job.ran_s),
    "cores": lambda job, _: _least(job.cores_count),
    "memory": lambda job, _: _least(job.memory_bytes),
    "gpus": lambda job, _: _least(job.gpus_count),
    "cost": lambda _, hours: _least(hours.cost),
}


def _p95(group: Group, of: str) -> float:
    spread = getattr(group, of).spread()
    return float("inf") if spread is None else -spread.p95


OF_GROUPS: dict[str, Callable[[Group], Any]] = {
    "name": lambda group: group.name,
    "id": lambda group: group.name,
    "waste": lambda group: -group.waste,
    "ran": lambda group: _p95(group, "time_s"),
    "memory": lambda group: _p95(group, "memory_bytes"),
    "cores": lambda group: -group.totals.core.value,
    "gpus": lambda group: -group.totals.gpu.value,
    "cost": lambda group: -group.totals.cost.value,
}
"""By what groups may be sorted; the spread by its 95th percentile, the rest by their sums."""
