"""Compares runs: their figures, what changed, and what explains it. Pure."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

from hpcwatch.analysis.compare_why import SMALL_PCT, Explanation, ended_well, explained, threads_max
from hpcwatch.analysis.costs import Rates
from hpcwatch.analysis.findings import Severity
from hpcwatch.analysis.phases import phases, results
from hpcwatch.analysis.report import GpuSummary, Report
from hpcwatch.base.units import format_bytes, format_clock
from hpcwatch.events import EPOCH
from hpcwatch.probe.schema import Node

_ALWAYS_OTHER = re.compile(
    r"JOB_?ID|NODE_?FILE|NODE_?LIST|NODENAME|HOST|PID|TASK_?NUM|STEP|COOKIE|_TIME$|TMPDIR|SOCKET"
    r"|PORT|UNIQUE|GTIDS|PROCID|LOCALID|NODEID|TOPOLOGY|PARALLEL_SEQ|^_LMFILES_$"
)
"""Variables that differ in each job without explaining anything, or repeat another variable."""
_LISTS = {"LOADEDMODULES"}
"""Variables whose value is a list with colons."""
_PHASE_DEPTHS = 2  # the inner ones are steps, of which there are thousands
_MOST_PHASES, _MOST_RESULTS = 8, 12


class Change(NamedTuple):
    """The change from the first run's figure to another run's."""

    absolute: float
    pct: float | None
    """None if the first one's is zero."""
    is_better: bool | None
    """None if that is unknown or the change is small."""


class Figure(NamedTuple):
    """One figure of all runs. Its name carries the unit."""

    name: str
    values: list[float | None]
    changes: list[Change | None]
    """One per run; None for the first, and where one of the two values is unknown."""


class Difference(NamedTuple):
    """A property that differs between runs. None is unknown, or not set."""

    what: str
    values: list[str | None]


class ComparedFinding(NamedTuple):
    """A rule with a finding in some of the runs only."""

    rule: str
    severities: list[Severity | None]
    titles: list[str | None]


class Comparison(NamedTuple):
    """A comparison of runs."""

    reports: list[Report]
    figures: list[Figure]
    phases: list[Figure]
    """Seconds in each phase that the programs named, the largest differences first."""
    results: list[Figure]
    """The last value of each number that the programs logged."""
    explanations: list[list[Explanation]]
    """One list per run: why its figures differ from the first one's. The first run's is empty."""
    differences: list[Difference]
    findings: list[ComparedFinding]
    common: list[str]
    """Rules with a finding in every run."""


class _Kind(NamedTuple):
    """A figure: how it is read, and whether a larger or a smaller value is better."""

    name: str
    value: Callable[[Report], float | None]
    better: int = 0
    """1: more is better; -1: less is; 0: that depends."""


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _sum(values: Sequence[float | None]) -> float | None:
    """Return the sum; None if there is no value, or if one is unknown."""
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
    _Kind("threads_max", threads_max),
)


def compare(reports: Sequence[Report], rates: Rates | None = None) -> Comparison:
    """Compare runs with the first one."""
    made = list(reports)
    prices = rates or Rates()
    cost = _Kind("cost", lambda one: prices.cost(_core_hours(one), _gpu_hours(one)), -1)
    figures = [
        _figure(kind.name, [kind.value(one) for one in made], kind.better, made)
        for kind in (*_KINDS, cost)
    ]
    findings, common = _findings(made)
    return Comparison(
        reports=made,
        figures=[one for one in figures if any(value is not None for value in one.values)],
        phases=_phases(made),
        results=_results(made),
        explanations=[[], *(explained(made[0], one) for one in made[1:])],
        differences=_differences(made),
        findings=findings,
        common=common,
    )


def _figure(
    name: str, values: Sequence[float | None], better: int, reports: Sequence[Report]
) -> Figure:
    is_fair = [ended_well(reports[0]) and ended_well(one) for one in reports]
    changes: list[Change | None] = [None]
    for value, fair in zip(values[1:], is_fair[1:]):
        changes.append(_change(values[0], value, better if fair else 0))
    return Figure(name, list(values), changes)


def _change(first: float | None, value: float | None, better: int) -> Change | None:
    if first is None or value is None:
        return None
    absolute = value - first
    pct = 100 * absolute / first if first else None
    is_small = absolute == 0 or (pct is not None and abs(pct) < SMALL_PCT)
    return Change(absolute, pct, None if is_small or not better else absolute * better > 0)


def _phases(reports: list[Report]) -> list[Figure]:
    """Return the time in each of the programs' outer phases, summed by name."""
    tables = [_phase_times(one) for one in reports]
    names = dict.fromkeys(name for table in tables for name in table)
    made = [_figure(name, [one.get(name) for one in tables], -1, reports) for name in names]
    return sorted(made, key=lambda one: -_spread(one))[:_MOST_PHASES]


def _phase_times(report: Report) -> dict[str, float | None]:
    """Return seconds by the phase's name; None if the end of one is unknown."""
    times: dict[str, float | None] = {}
    for phase in phases(report.events):
        if phase.depth < _PHASE_DEPTHS:
            before = times.get(phase.name, 0.0)
            is_known = before is not None and phase.duration_s is not None
            times[phase.name] = (before or 0.0) + (phase.duration_s or 0.0) if is_known else None
    return times


def _spread(figure: Figure) -> float:
    known = [value for value in figure.values if value is not None]
    return max(known) - min(known) if known else 0.0


def _results(reports: list[Report]) -> list[Figure]:
    """Return the last logged numbers of the programs, and how many epochs they reported."""
    tables = [_reported_numbers(one) for one in reports]
    names = list(dict.fromkeys(name for table in tables for name in table))[:_MOST_RESULTS]
    return [_figure(name, [one.get(name) for one in tables], 0, reports) for name in names]


def _reported_numbers(report: Report) -> dict[str, float]:
    numbers = {
        name: value
        for name, value in results(report.events).items()
        if isinstance(value, float) and math.isfinite(value)
    }
    epochs_count = sum(event.name == EPOCH for event in report.events)
    if epochs_count and not {"epoch", "epochs"} & numbers.keys():
        numbers = {"epochs reported": float(epochs_count), **numbers}
    return numbers


def _differences(reports: list[Report]) -> list[Difference]:
    """Return the differences, those that explain most first."""
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


def _held_by(report: Report) -> str | None:
    """Return every reason for lower clocks of any device; None if it is unknown for one of them."""
    told = [gpu.clocks_held_by for gpu in report.summary.gpus]
    if not told or any(reasons is None for reasons in told):
        return None
    every = sorted({reason for reasons in told for reason in reasons or ()})
    return ", ".join(every) or "nothing"


def _of_nodes(
    report: Report, value: Callable[[Node], int | None], text: Callable[[int], str]
) -> str | None:
    """Return each different text of the nodes; None if it is unknown for one of them."""
    lasts = [host.last for host in report.timeline.hosts.values()]
    values = [value(last.node) for last in lasts if last is not None and last.node is not None]
    known = [text(one) for one in values if one is not None]
    return ", ".join(dict.fromkeys(known)) if known and len(known) == len(lasts) else None


def _memory_total(node: Node) -> int | None:
    return node.memory_total_bytes


def _cores(report: Report) -> str | None:
    cores = report.summary.cores_allocated
    return None if cores is None else str(cores)


_FACTS: tuple[tuple[str, Callable[[Report], str | None]], ...] = (
    ("ended", lambda one: one.run.how),
    ("hosts", lambda one: " ".join(one.run.hosts) or None),
    ("cores", _cores),
    ("a node's cores", lambda one: _of_nodes(one, lambda node: node.cpu_count, str)),
    ("a node's memory", lambda one: _of_nodes(one, _memory_total, format_bytes)),
    ("GPUs", _models),
    ("GPU clocks held by", _held_by),
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
    return [Difference(name, _values(name, tables)) for name in names]


def _values(name: str, tables: list[dict[str, str]]) -> list[str | None]:
    values = [table.get(name) for table in tables]
    known = [value for value in values if value is not None]
    if name not in _LISTS or len(known) < len(values):
        return values
    return _that_differ([value.split(":") for value in known])


def _arguments(reports: list[Report]) -> list[str | None]:
    return _that_differ([one.run.argv for one in reports])


def _that_differ(lists: list[list[str]]) -> list[str | None]:
    """Return the words of each list that differ from the first one's; None if all are the same."""
    first = lists[0]
    if all(words == first for words in lists):
        return [None] * len(lists)
    kept = _differing(first, next(words for words in lists if words != first))
    return [kept, *(kept if words == first else _differing(words, first) for words in lists[1:])]


def _differing(words: list[str], other: list[str]) -> str:
    """Return words with ``…`` for those that the other list has too.

    The option in front of a value stays: ``… --epochs 3``.
    """
    made: list[str] = []
    for tag, start, end, _, _ in SequenceMatcher(None, words, other, autojunk=False).get_opcodes():
        if tag == "equal":
            made.append("…")
        elif end > start:
            is_value = start > 0 and words[start - 1].startswith("-")
            made.append(shlex.join(words[start - is_value : end]))
    return " ".join(made)


def _findings(reports: list[Report]) -> tuple[list[ComparedFinding], list[str]]:
    """Return the rules with findings in some runs only, the worst first; and those in all."""
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
            some.append(ComparedFinding(name, severities, titles))
    return sorted(some, key=lambda one: -max(found or 0 for found in one.severities)), common
