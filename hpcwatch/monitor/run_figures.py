"""What a list shows of a recorded run: a few figures of its report. Unknown is None."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from hpcwatch.analysis.phases import results
from hpcwatch.base.errors import HpcwatchError
from hpcwatch.recording.previous_runs import figure
from hpcwatch.recording.store import Event, RunDirectory

_UNUSED = ("did nothing", "was never opened")
_MEMORY_KILLED = "memory-killed"


class Figures(NamedTuple):
    """The figures of a run in a list."""

    cores_used_mean: float | None = None
    cores_allocated: float | None = None
    cpu_efficiency_pct: float | None = None
    memory_peak_bytes: float | None = None
    memory_limit_bytes: float | None = None
    gpus_used_count: int | None = None
    """Devices that did any work. None if that is unknown of one of them."""
    gpus_count: int | None = None
    """0 of a run without GPUs."""
    results: dict[str, float | str] | None = None
    """The last value by name that the program logged; None without a report."""
    findings_count: int | None = None
    is_memory_killed: bool = False
    """A finding proves that it was killed at a memory limit."""


def figures_of(directory: RunDirectory) -> Figures:
    """Return the figures from report.json; all unknown without a readable one."""
    found = directory.report_part()
    return _figures(found) if isinstance(found, dict) else Figures()


def figures_so_far(directory: RunDirectory) -> Figures:
    """Return the figures of a run without a report, from its samples: this reads all of them."""
    from hpcwatch.analysis.report.to_json import to_plain
    from hpcwatch.monitor.report import load

    try:
        return _figures(to_plain(load(directory)))
    except (HpcwatchError, OSError):
        return Figures()


def _figures(report: dict[str, Any]) -> Figures:
    summary = report.get("summary")
    summary = summary if isinstance(summary, dict) else {}
    findings = _dicts(report.get("findings"))
    gpus = summary.get("gpus")
    uses = [gpu.get("use") for gpu in _dicts(gpus)]
    is_known = all(use not in (None, "unknown") for use in uses)
    return Figures(
        cores_used_mean=figure(summary, "cores_used_mean"),
        cores_allocated=figure(summary, "cores_allocated"),
        cpu_efficiency_pct=figure(summary, "cpu_efficiency_pct"),
        memory_peak_bytes=figure(summary, "memory_peak_bytes"),
        memory_limit_bytes=figure(summary, "memory_limit_bytes"),
        gpus_used_count=sum(use not in _UNUSED for use in uses) if is_known else None,
        gpus_count=len(uses) if isinstance(gpus, list) else None,
        results=results(_events(report.get("events"))),
        findings_count=len(findings),
        is_memory_killed=any(one.get("rule") == _MEMORY_KILLED for one in findings),
    )


def _events(told: object) -> list[Event]:
    return [
        Event(0.0, one["name"], one["fields"])
        for one in _dicts(told)
        if isinstance(one.get("name"), str) and isinstance(one.get("fields"), dict)
    ]


def _dicts(value: object) -> Sequence[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
