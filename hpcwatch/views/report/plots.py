"""The timelines of a report: which metrics, in which unit, and each in a sentence. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from hpcwatch.analysis.findings import EVERY_PLOT, rules
from hpcwatch.analysis.report import Report
from hpcwatch.analysis.resample import over
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.analysis.timeline.columns import Column
from hpcwatch.base.units import GIB, MIB, UNKNOWN, format_clock, three_digits
from hpcwatch.recording import metrics


class Plot(NamedTuple):
    """One timeline. ``size`` is how much of the metric's own unit one of ``unit`` is."""

    name: str
    title: str
    unit: str
    size: float
    metric: str
    is_gpu: bool


PLOTS = tuple(
    Plot(*metric.plot, metric.name, metric.part == "gpu")
    for metric in metrics.plotted()
    if metric.plot is not None
)


class Line(NamedTuple):
    """One metric of one host or device over time."""

    host: HostTimeline
    entity: str
    """``job``, or ``GPU 1``."""
    column: Column


def lines(report: Report, plot: Plot) -> Iterator[Line]:
    """Yield every line of a plot of which anything is known."""
    shown = {(gpu.host, gpu.uuid): gpu.label for gpu in report.summary.gpus}
    for host in report.timeline.hosts.values():
        columns = [("job", host.columns)] if not plot.is_gpu else []
        if plot.is_gpu:
            columns = [
                (shown[host.name, gpu.uuid], gpu.columns)
                for gpu in host.gpus.values()
                if (host.name, gpu.uuid) in shown
            ]
        for entity, of in columns:
            column = of[plot.metric]
            if any(value == value for value in column.mean):
                yield Line(host, entity, column)


def drawn(report: Report) -> list[Plot]:
    """Return the plots worth drawing: all of which something is known, but no flat rates."""
    worth = (plot for plot in PLOTS if any(_is_worth(plot, line) for line in lines(report, plot)))
    return [_fitting(report, plot) if plot.unit == "GiB" else plot for plot in worth]


def _fitting(report: Report, plot: Plot) -> Plot:
    """Draw what never reaches a GiB in MiB."""
    highest = max(max(filter(_is_known, line.column.high)) for line in lines(report, plot))
    return plot if highest >= GIB else plot._replace(unit="MiB", size=MIB)


def _is_known(value: float) -> bool:
    return value == value


def _is_worth(plot: Plot, line: Line) -> bool:
    if plot.unit != "MiB/s":  # of CPU, memory and GPUs nothing at all is worth seeing too
        return True
    _, _, highest = over(line.column, line.host.span_s, 0, len(line.host.at_s))
    return highest >= 0.1 * plot.size


def marked(rule: str) -> tuple[str, ...]:
    """Return the names of the plots on which a rule's finding is to be marked; mostly one."""
    entry = rules().get(rule)
    if entry is None:  # a finding of a recording, of a rule that there is no more
        return ()
    return tuple(plot.name for plot in PLOTS) if entry.plots == EVERY_PLOT else entry.plots


class Figures(NamedTuple):
    """A plot in numbers, in its own unit; None is unknown."""

    lines_count: int
    lowest: float | None
    mean: float | None
    highest: float | None
    highest_after_s: float | None
    """When the highest was seen, since the run's start."""
    highest_of: str | None
    """Where: ``qb002`` or ``qb002 GPU 1``."""


def figures(report: Report, plot: Plot) -> Figures:
    """Sum up all lines of a plot; the mean is over time and then over the lines."""
    lows, means, tops = [], [], []
    for line in lines(report, plot):
        host, column = line.host, line.column
        low, mean, top = over(column, host.span_s, 0, len(host.at_s))
        where = host.name if not plot.is_gpu else f"{host.name} {line.entity}"
        after_s = host.at_s[column.high.index(top)] - report.run.started_at_s
        lows.append(low)
        means.append(mean)
        tops.append((top, after_s, where))
    if not tops:
        return Figures(0, None, None, None, None, None)
    top, after_s, where = max(tops, key=lambda one: one[0])
    return Figures(
        lines_count=len(tops),
        lowest=min(lows) / plot.size,
        mean=sum(means) / len(means) / plot.size,
        highest=top / plot.size,
        highest_after_s=after_s,
        highest_of=where,
    )


def sentence(report: Report, plot: Plot) -> str:
    """Describe a plot, for readers who cannot see it. Foreign names are not yet cleaned."""
    of = figures(report, plot)
    if of.highest is None:
        return f"{plot.title}: {UNKNOWN}"
    said = f"mean {number(of.mean)} {plot.unit}, between {number(of.lowest)}"
    said += f" and {number(of.highest)} {plot.unit}"
    said += f"; highest after {format_clock(max(of.highest_after_s or 0.0, 0.0))}"
    if of.lines_count > 1:
        what = "GPUs" if plot.is_gpu else "nodes"
        said = f"{of.lines_count} {what}, {said} on {of.highest_of}"
    return said + "."


def number(value: float | None) -> str:
    """Format a figure of a plot; None is unknown."""
    return UNKNOWN if value is None or math.isnan(value) else three_digits(max(value, 0.0))
