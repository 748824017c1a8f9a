"""Runs side by side: their figures, what changed, and what explains it. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

from hpcwatch.costs import Rates
from hpcwatch.findings import Severity
from hpcwatch.report import GpuSummary, Report
from hpcwatch.runs_found import how
from hpcwatch.units import format_bytes, format_clock

SMALL_PCT = 2.0
"""Own: two runs of the same program differ by more than that on a quiet node."""

_ALWAYS_OTHER = re.compile(
    r"JOB_?ID|NODE_?FILE|NODE_?LIST|NODENAME|HOST|PID|TASK_?NUM|STEP|COOKIE|_TIME$|TMPDIR|SOCKET"
    r"|PORT|UNIQUE|GTIDS|PROCID|LOCALID|NODEID|TOPOLOGY|PARALLEL_SEQ"
)
"""Variables that are another in each job and explain nothing."""


class Change(NamedTuple):
    """From the first run's figure to another's."""

    absolute: float
    pct: float | None
    """None if the first one's is zero."""
    is_better: bool | None
    """None where nobody can say, or the change is small."""


class Figure(NamedTuple):
    """One figure of all runs. Its name carries the unit."""

    name: str
    values: list[float | None]
    changes: list[Change | None]
    """One a run; of the first, and where one of the two is unknown, None."""


class Difference(NamedTuple):
    """Something that was not the same in all runs. None is unknown, or not set."""

    what: str
    values: list[str | None]


class Finding(NamedTuple):
    """A rule that found something in some of the runs only."""

    rule: str
    severities: list[Severity | None]
    titles: list[str | None]


class Comparison(NamedTuple):
    """Runs side by side."""

    reports: list[Report]
    figures: list[Figure]
    differences: list[Difference]
    findings: list[Finding]
    common: list[str]
    """Rules that found something in every run."""


class _Kind(NamedTuple):
    """A figure: how it is had, and whether more or less of it is better."""

    name: str
    value: Callable[[Report], float | None]
    better: int = 0
    """1: more is better; -1: less is; 0: that depends."""


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _sum(values: Sequence[float | None]) -> float | None:
    """Return the sum; None without any, or if one is unknown."""
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None


def _gpus(report: Report, value: Callable[[GpuSummary], float | None]) -> list[float | None]:
    return [value(gpu) for gpu in report.summary.gpus]


def _core_hours(report: Report) -> float | None:
    cores = report.summary.cores_allocated
    return None if cores is None else cores * report.summary.wall_s / 3600


def _gpu_hours(report: Report) -> float:
    return len(report.summary.gpus) * report.summary.wall_s / 3600


_KINDS = (
    _Kind("wall_s", lambda one: one.summary.wall_s, -1),
    _Kind("core_hours", _core_hours, -1),
    _Kind("gpu_hours", lambda one: _gpu_hours(one) or None, -1),
    _Kind("cpu_s", lambda one: one.summary.cpu_s),
    _Kind("cores_allocated", lambda one: one.summary.cores_allocated),
    _Kind("cores_used_mean", lambda one: one.summary.cores_used_mean),
    _Kind("cpu_efficiency_pct", lambda one: one.summary.cpu_efficiency_pct, 1),
    _Kind("memory_peak_bytes", lambda one: one.summary.memory_peak_bytes, -1),
    _Kind("memory_limit_bytes", lambda one: one.summary.memory_limit_bytes),
    _Kind("gpu_util_mean_pct", lambda one: _mean(_gpus(one, lambda gpu: gpu.util_mean_pct)), 1),
    _Kind("gpu_idle_s", lambda one: _sum(_gpus(one, lambda gpu: gpu.idle_s)), -1),
    _Kind("gpu_memory_peak_bytes", lambda one: _sum(_gpus(one, lambda gpu: gpu.memory_peak_bytes))),
    _Kind("energy_j", lambda one: _sum(_gpus(one, lambda gpu: gpu.energy_j)), -1),
    _Kind("read_bytes", lambda one: one.summary.read_bytes),
    _Kind("written_bytes", lambda one: one.summary.written_bytes),
    _Kind("processes_max", lambda one: one.summary.processes_max),
)


def compare(reports: Sequence[Report], rates: Rates | None = None) -> Comparison:
    """Compare runs with the first of them."""
    made = list(reports)
    prices = rates or Rates()
    cost = _Kind("cost", lambda one: prices.cost(_core_hours(one), _gpu_hours(one)), -1)
    figures = [_figure(made, kind) for kind in (*_KINDS, cost)]
    findings, common = _findings(made)
    return Comparison(
        reports=made,
        figures=[one for one in figures if any(value is not None for value in one.values)],
        differences=_differences(made),
        findings=findings,
        common=common,
    )


def ended_well(report: Report) -> bool:
    """Tell whether a run came to its end: only then its time says anything."""
    run = report.run
    return run.ended_at_s is not None and not run.exit_code and run.signal is None


def _figure(reports: list[Report], kind: _Kind) -> Figure:
    values = [kind.value(one) for one in reports]
    is_fair = [ended_well(reports[0]) and ended_well(one) for one in reports]
    changes: list[Change | None] = [None]
    for value, fair in zip(values[1:], is_fair[1:], strict=True):
        changes.append(_change(values[0], value, kind.better if fair else 0))
    return Figure(kind.name, values, changes)


def _change(first: float | None, value: float | None, better: int) -> Change | None:
    if first is None or value is None:
        return None
    absolute = value - first
    pct = 100 * absolute / first if first else None
    is_small = absolute == 0 or (pct is not None and abs(pct) < SMALL_PCT)
    return Change(absolute, pct, None if is_small or not better else absolute * better > 0)


def _differences(reports: list[Report]) -> list[Difference]:
    """Return what was not the same, what explains most first."""
    rows = [Difference(what, [value(one) for one in reports]) for what, value in _FACTS]
    rows.append(Difference("arguments", _arguments(reports)))
    rows += _named([one.run.parameters or {} for one in reports])
    rows += _named([_environment(one) for one in reports])
    return [row for row in rows if len(set(row.values)) > 1]


def _asked(report: Report, field: str) -> str | None:
    job = report.run.job
    value = getattr(job, field) if job is not None else None
    return None if value is None else str(value)


def _walltime(report: Report) -> str | None:
    job = report.run.job
    return format_clock(job.walltime_s) if job is not None and job.walltime_s else None


def _limit(report: Report) -> str | None:
    summary = report.summary
    if summary.memory_limit_bytes is None:
        return None
    return f"{format_bytes(summary.memory_limit_bytes)} ({summary.memory_limit_source})"


def _models(report: Report) -> str | None:
    names = [gpu.name for gpu in report.summary.gpus]
    counted = [f"{names.count(name)} × {name}" for name in dict.fromkeys(names)]
    return ", ".join(counted) or None


def ending(report: Report) -> str:
    """Say how a run ended."""
    return how(report.run)


def _cores(report: Report) -> str | None:
    cores = report.summary.cores_allocated
    return None if cores is None else str(cores)


_FACTS: tuple[tuple[str, Callable[[Report], str | None]], ...] = (
    ("ended", ending),
    ("hosts", lambda one: " ".join(one.run.hosts) or None),
    ("cores", _cores),
    ("GPUs", _models),
    ("memory limit", _limit),
    ("queue", lambda one: _asked(one, "queue")),
    ("walltime", _walltime),
    ("directory", lambda one: one.run.cwd or None),
    ("read every", lambda one: f"{one.run.interval_s:g} s"),
    ("hpcwatch", lambda one: one.run.hpcwatch_version),
)


def _environment(report: Report) -> dict[str, str]:
    kept = report.run.environment
    return {name: value for name, value in kept.items() if not _ALWAYS_OTHER.search(name)}


def _named(tables: list[dict[str, str]]) -> list[Difference]:
    names = sorted({name for table in tables for name in table})
    return [Difference(name, [table.get(name) for table in tables]) for name in names]


def _arguments(reports: list[Report]) -> list[str | None]:
    """Return the words of each command line that differ from the first one's."""
    first = reports[0].run.argv
    others = [one.run.argv for one in reports]
    if all(argv == first for argv in others):
        return [None] * len(reports)
    kept = _differing(first, next(argv for argv in others if argv != first))
    return [kept, *(kept if argv == first else _differing(argv, first) for argv in others[1:])]


def _differing(argv: list[str], other: list[str]) -> str:
    """Return a command line with ``…`` for what stands in the other one, too."""
    made: list[str] = []
    for tag, start, end, _, _ in SequenceMatcher(None, argv, other, autojunk=False).get_opcodes():
        if tag == "equal":
            made.append("…")
        elif end > start:
            made.append(shlex.join(argv[start:end]))
    return " ".join(made)


def _findings(reports: list[Report]) -> tuple[list[Finding], list[str]]:
    """Return the rules that found something in some runs only, the worst first; and in all."""
    worst = [{one.rule: one for one in reversed(report.findings)} for report in reports]
    rules = dict.fromkeys(one.rule for report in reports for one in report.findings)
    some, common = [], []
    for name in rules:
        found = [table.get(name) for table in worst]
        severities = [one.severity if one is not None else None for one in found]
        if None not in severities and len(set(severities)) == 1:
            common.append(name)
        else:
            titles = [one.title if one is not None else None for one in found]
            some.append(Finding(name, severities, titles))
    return sorted(some, key=lambda one: -max(found or 0 for found in one.severities)), common
