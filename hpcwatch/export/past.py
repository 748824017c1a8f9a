"""A recording as OpenMetrics, each number with its time: `hpcwatch report RUN -o run.om`.

`promtool tsdb create-blocks-from openmetrics run.om DATA` turns it into blocks for a Prometheus.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterator
from typing import NamedTuple

from hpcwatch.analysis.report import Report
from hpcwatch.analysis.timeline import Timeline
from hpcwatch.export import families, text
from hpcwatch.export.families import Family, Labels, Point
from hpcwatch.export.points import of_finding, of_host, of_job
from hpcwatch.export.scene import About, about_run
from hpcwatch.monitor import report as reports
from hpcwatch.recording.store import RunDirectory

_STEP_S = 60.0
"""Constant numbers are repeated at this interval, as a query looks back 300 s at most."""
_MOST_STEPS = 10_000
"""The minutes of a week: the most repetitions of a constant number."""
_LEAST_GAP_S = 1.0
_KEPT_SAMPLES = 16


class _Series(NamedTuple):
    """The numbers of one family with one set of labels."""

    at_s: array[float]
    values: array[float]


class Past:
    """All numbers of a recording by family and labels, each series in the order of time."""

    def __init__(self) -> None:
        self._families: dict[Family, dict[str, _Series]] = {}
        self._known: dict[tuple[str, Labels], _Series] = {}
        """The same series by unwritten labels: writing and escaping labels is the slowest step."""

    def add(self, point: Point, at_s: float) -> None:
        """Add a number, unless it is less than a millisecond later than the last one."""
        series = self._known.get((point.family.name, point.labels))
        if series is None:
            series = self._begun(point)
        if not series.at_s or round(at_s * 1000) > round(series.at_s[-1] * 1000):
            series.at_s.append(at_s)
            series.values.append(point.value)

    def _begun(self, point: Point) -> _Series:
        by_labels = self._families.setdefault(point.family, {})
        made = _Series(array("d"), array("d"))
        series = by_labels.setdefault(text.label_text(point.labels), made)
        self._known[point.family.name, point.labels] = series
        return series

    def pieces(self) -> Iterator[str]:
        """Yield the text, series by series."""
        for family, by_labels in self._families.items():
            yield text.heading(family)
            name = text.sample_name(family)
            for labels, series in by_labels.items():
                yield text.with_times(name, labels, series.at_s, series.values)
        yield text.END


def pieces(directory: RunDirectory, silenced: Collection[str] = ()) -> Iterator[str]:
    """Yield a recording as OpenMetrics in pieces, without findings of ``silenced`` rules.

    Raises HpcwatchError if the recording cannot be read.
    """
    report = reports.load(directory)
    about = about_run(report.run)
    past = Past()
    start_s, end_s = _ends(report)
    for point in of_job(about):
        _repeat(past, point, start_s, end_s)
    _add_samples(past, directory, report, about)
    _add_states(past, report, about)
    for finding in sorted(report.findings, key=lambda one: one.started_at_s):
        if finding.rule not in silenced:
            until_s = finding.started_at_s + finding.duration_s
            _repeat(past, of_finding(finding, about), finding.started_at_s, until_s)
    return past.pieces()


def _ends(report: Report) -> tuple[float, float]:
    """Return the times of the first and the last reading; without readings, those of the run."""
    hosts = [host for host in report.timeline.hosts.values() if host.at_s]
    if not hosts:
        return report.run.started_at_s, report.run.ended_at_s or report.run.started_at_s
    return min(host.at_s[0] for host in hosts), max(host.at_s[-1] for host in hosts)


def _repeat(past: Past, point: Point, start_s: float, end_s: float) -> None:
    """Repeat a number over time, within bounds: a damaged recording may have absurd times."""
    step_s = max(_STEP_S, (end_s - start_s) / _MOST_STEPS)
    for step in range(_MOST_STEPS):
        at_s = start_s + step * step_s
        if at_s >= end_s:
            break
        past.add(point, at_s)
    past.add(point, max(start_s, end_s))


def _add_samples(past: Past, directory: RunDirectory, report: Report, about: About) -> None:
    """Read the recording again, as the report's timeline has rates and no counters."""
    run = report.run
    timeline = Timeline(run.interval_s, run.job, _KEPT_SAMPLES)
    for sample in directory.read_samples():
        if sample is None:
            continue
        before = timeline.hosts.get(sample.host)
        last = before.last if before is not None else None
        timeline.add(sample)
        host = timeline.hosts[sample.host]
        if host.last is last:  # this sample was left out: it is no later than the one before
            continue
        for point in of_host(host, about):
            past.add(point, host.at_s[-1])


def _add_states(past: Past, report: Report, about: About) -> None:
    """Add whether the readings of each node arrived: 0 in each gap between readings."""
    for host in report.timeline.hosts.values():
        labels: Labels = (*about.labels, ("node", host.name))
        up, down = Point(families.NODE_UP, labels, 1), Point(families.NODE_UP, labels, 0)
        before_s = None
        for at_s, span_s in zip(host.at_s, host.span_s):
            if before_s is not None and at_s - span_s - before_s > _LEAST_GAP_S:
                _repeat(past, down, before_s + _LEAST_GAP_S / 2, at_s - span_s)
            past.add(up, at_s)
            before_s = at_s
