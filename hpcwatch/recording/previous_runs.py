"""Earlier runs of the same program: the few figures that a report compares."""

from __future__ import annotations

from typing import Any, NamedTuple

from hpcwatch.recording.store import Run, RunDirectory, list_runs

_MOST = 5
_MOST_FIGURE = 1e18  # no real figure of a run is as large


class EarlierRun(NamedTuple):
    """The figures of an earlier run of the same name. None is unknown."""

    id: str
    started_at_s: float
    wall_s: float | None
    how: str
    """``ok``, ``exit 3``, ``signal 9``, ``unfinished``."""
    cores_used_mean: float | None
    memory_peak_bytes: float | None
    gpu_util_mean_pct: float | None


def earlier_runs(run: Run) -> list[EarlierRun]:
    """Return the latest runs of the same name that started before ``run``, the latest first."""
    return [_summed(directory, other) for directory, other in reversed(_before(run))]


def before(run: Run) -> list[RunDirectory]:
    """Return the directories of the earlier runs of the same name, the latest last."""
    return [directory for directory, _ in _before(run)]


def _before(run: Run) -> list[tuple[RunDirectory, Run]]:
    found = [
        (directory, other)
        for directory, other in list_runs()
        if other.name == run.name and other.started_at_s < run.started_at_s and other.id != run.id
    ]
    return found[-_MOST:]


def _summed(directory: RunDirectory, run: Run) -> EarlierRun:
    """Sum up a run from its report.json; without a readable one its figures are unknown."""
    found = directory.report_part("summary")
    summary: dict[str, Any] = found if isinstance(found, dict) else {}
    utils = [figure(gpu, "util_mean_pct") for gpu in _list(summary.get("gpus"))]
    known = [util for util in utils if util is not None]
    return EarlierRun(
        id=run.id,
        started_at_s=run.started_at_s,
        wall_s=run.wall_s,
        how=run.how,
        cores_used_mean=figure(summary, "cores_used_mean"),
        memory_peak_bytes=figure(summary, "memory_peak_bytes"),
        gpu_util_mean_pct=sum(known) / len(known) if known else None,
    )


def _list(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def figure(plain: dict[str, Any], name: str) -> float | None:
    """Return a number of a report.json; None if it is missing or no figure of a run."""
    value: Any = plain.get(name)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value < _MOST_FIGURE else None
