"""What a program said of itself, in words: its phases and results. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from hpcwatch.analysis.phases import Phase, phases, results, value_text
from hpcwatch.analysis.report import Report
from hpcwatch.analysis.timeline import Timeline
from hpcwatch.base.clean import clean
from hpcwatch.base.units import format_clock, format_cores, format_seconds
from hpcwatch.views.text import Line, Span, cut, width_of

_PHASES_SHOWN = 8
_RESULTS_SHOWN = 12
_INDENT = 2
_NAME_COLUMNS = 23
_BAR_COLUMNS = 20  # as wide as a sparkline, and below those: both begin in column 53
_LEAST_COVERAGE = 0.5  # a phase shorter than the interval was hardly seen


class PhaseRow(NamedTuple):
    """All phases of one name at one depth."""

    name: str
    depth: int
    times_count: int
    started_at_s: float
    spans: Sequence[tuple[float, float | None]]
    """The start and end of each, since the epoch; None without an end event."""
    total_s: float | None
    """Of those that ended; None if none did."""
    open_count: int
    """The number of phases without an end event."""
    cores_mean: float | None
    """Cores in use meanwhile, on all nodes; None where too little was seen."""
    errors_count: int


def step_lines(report: Report, label: int, width: int) -> list[Line]:
    """Return the report's lines on phases and results, behind labels of ``label`` columns."""
    rows = phase_rows(phases(report.events), report.timeline)
    made = _phase_lines(rows, report.run.started_at_s, report.summary.wall_s)
    found = list(results(report.events).items())
    shown = [f"{name} {value_text(value)}" for name, value in found[-_RESULTS_SHOWN:]]
    if len(found) > len(shown):
        shown.append(f"{len(found) - len(shown)} more")
    import textwrap

    wrapped = textwrap.wrap(clean(", ".join(shown)), max(width - label, 10))
    for place, row in enumerate(wrapped):
        made.append([Span(f"{'Results' if place == 0 else '':{label}}{row}")])
    return made


def took_text(row: PhaseRow) -> str:
    """Say how long phases took in all; what has not ended may have taken longer: ``≥ 3:12``."""
    if row.total_s is None:
        return "not ended"
    took = format_seconds(row.total_s) if row.total_s < 60 else format_clock(row.total_s)
    return f"≥ {took}" if row.open_count else took


def phase_rows(found: Sequence[Phase], timeline: Timeline) -> list[PhaseRow]:
    """Return phases summed up by name and depth, in the order in which they first began."""
    groups: dict[tuple[int, str], list[Phase]] = {}
    for phase in found:
        groups.setdefault((phase.depth, phase.name), []).append(phase)
    return [_summed(group, timeline) for group in groups.values()]


def _summed(group: list[Phase], timeline: Timeline) -> PhaseRow:
    known = [phase.duration_s for phase in group if phase.duration_s is not None]
    parts = [
        host.part("cpu_cores", phase.started_at_s, phase.started_at_s + phase.duration_s)
        for phase in group
        if phase.duration_s is not None
        for host in timeline.hosts.values()
    ]
    asked_s = sum(known) * len(timeline.hosts)
    seen_s = sum(part.known_s for part in parts)
    core_s = sum(part.average() * part.known_s for part in parts if part.known_s)
    is_seen = asked_s > 0 and seen_s >= _LEAST_COVERAGE * asked_s
    return PhaseRow(
        name=group[0].name,
        depth=group[0].depth,
        times_count=len(group),
        started_at_s=group[0].started_at_s,
        spans=[(one.started_at_s, _end_s(one)) for one in group],
        total_s=sum(known) if known else None,
        open_count=len(group) - len(known),
        cores_mean=core_s / seen_s * len(timeline.hosts) if is_seen else None,
        errors_count=sum(phase.error is not None for phase in group),
    )


def _end_s(phase: Phase) -> float | None:
    return None if phase.duration_s is None else phase.started_at_s + phase.duration_s


def _phase_lines(rows: list[PhaseRow], started_at_s: float, wall_s: float) -> list[Line]:
    """A line a phase, with a bar on the scale of time that the sparklines above have."""
    if not rows:
        return []
    head = f"{'Phases':{_INDENT + _NAME_COLUMNS}}{'from':>9}{'took':>10}{'cores':>7}"
    made: list[Line] = [[Span(head, "dim")]]
    for row in rows[:_PHASES_SHOWN]:
        name = "  " * min(row.depth, 4) + clean(row.name)
        name = f"{name} ×{row.times_count:,}" if row.times_count > 1 else name
        name = cut(name, _NAME_COLUMNS)
        start = format_clock(max(row.started_at_s - started_at_s, 0.0))
        took = took_text(row)
        text = f"{'':{_INDENT}}{name}{' ' * (_NAME_COLUMNS - width_of(name))}"
        line = [
            Span(f"{text}{start:>9}{took:>10}{format_cores(row.cores_mean):>7}  "),
            Span(bar(row.spans, started_at_s, wall_s), "ok"),
        ]
        if row.errors_count:
            failed = f"{row.errors_count:,} failed" if row.times_count > 1 else "failed"
            line.append(Span(f" {failed}", "warning"))
        made.append(line)
    if len(rows) > _PHASES_SHOWN:
        made.append([Span(f"{'':{_INDENT}}{len(rows) - _PHASES_SHOWN} more phases", "dim")])
    return made


def bar(spans: Sequence[tuple[float, float | None]], started_at_s: float, wall_s: float) -> str:
    """Draw when something went on: ``  ━━━━  ━━``, each column an even part of the run.

    A phase without an end event is drawn to the end of the run, marked by ``╌``.
    """
    cells = [" "] * _BAR_COLUMNS
    scale = _BAR_COLUMNS / wall_s if wall_s > 0 else 0.0
    for start_s, end_s in spans:
        first = min(max(int((start_s - started_at_s) * scale), 0), _BAR_COLUMNS - 1)
        if end_s is None:
            cells[first:] = "━" + "╌" * (_BAR_COLUMNS - first - 1)
            continue
        last = min(max(math.ceil((end_s - started_at_s) * scale), first + 1), _BAR_COLUMNS)
        cells[first:last] = "━" * (last - first)
    return "".join(cells).rstrip()
