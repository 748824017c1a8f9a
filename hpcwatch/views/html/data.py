"""What the page draws and lets download: the report's JSON and its thinned series. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from hpcwatch.findings.together import together
from hpcwatch.report import Report
from hpcwatch.report_json import to_plain
from hpcwatch.thinning import Cut, Grid, Thinned, cut, grid_of, thinned
from hpcwatch.views import plots

_NUMBERS_COUNT = 800_000  # in all series together: what keeps the page below 5 MB
_STEPS_LEAST, _STEPS_MOST = 60, 1200


def embedded(report: Report) -> str:
    """Return the data as JSON that nothing in it can end, whatever surrounds it."""
    text = json.dumps(_plain(report), ensure_ascii=True, separators=(",", ":"))
    # ensure_ascii leaves no U+2028; these three are all that HTML could read as its own.
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _plain(report: Report) -> dict[str, Any]:
    hosts = list(report.timeline.hosts)
    shown = [(plot, list(plots.lines(report, plot))) for plot in plots.drawn(report)]
    columns_count = 3 * sum(len(lines) for _, lines in shown)
    steps = min(max(_NUMBERS_COUNT // max(columns_count, 1), _STEPS_LEAST), _STEPS_MOST)
    grid = grid_of(report.timeline.hosts.values(), report.run.started_at_s, steps)
    cuts = {host.name: cut(host, grid) for host in report.timeline.hosts.values()}
    return {
        "report": to_plain(report),
        "grid": grid._asdict(),
        "hosts": hosts,
        "plots": [_plot(report, plot) for plot, _ in shown],
        "series": [
            _series(plot, line, hosts.index(line.host.name), cuts[line.host.name])
            for plot, lines in shown
            for line in lines
        ],
        "findings": _marks(report, hosts, grid),
    }


def _plot(report: Report, plot: plots.Plot) -> dict[str, Any]:
    return {
        "name": plot.name,
        "title": plot.title,
        "unit": plot.unit,
        "is_gpu": plot.is_gpu,
        "limits": _limits(report, plot),
    }


def _limits(report: Report, plot: plots.Plot) -> list[float | None]:
    """What a line of each host may reach at most, in the plot's unit; None is unknown."""
    from hpcwatch.report import cores_allowed

    if plot.name == "cpu":
        hosts = report.timeline.hosts.values()
        return [cores_allowed(report.run.job, host) for host in hosts]
    if plot.name == "memory":
        return [_short(node.memory_limit_bytes, plot.size) for node in report.nodes]
    if plot.name == "gpu-util":
        return [100.0 for _ in report.nodes]
    return [None for _ in report.nodes]


def _series(plot: plots.Plot, line: plots.Line, host_index: int, steps: Cut) -> dict[str, Any]:
    on_grid = thinned(line.column, line.host.span_s, steps)
    made = {"plot": plot.name, "host": host_index, "entity": line.entity}
    rows = Thinned(*(_shortened(values, plot) for values in on_grid))
    made["mean"] = rows.mean
    if rows.low != rows.mean or rows.high != rows.mean:
        made |= {"low": rows.low, "high": rows.high}
    return made


def _shortened(values: Iterable[float], plot: plots.Plot) -> list[Any]:
    """Bring values into the plot's unit with three digits; unknown is None.

    A whole number where that is enough: most of the page is these.
    """
    if plot.unit in ("%", "W"):
        return [round(value) if value == value else None for value in values]
    return [_short(value, plot.size) if value == value else None for value in values]


def _short(value: float | None, size: float) -> float | int | None:
    if value is None:
        return None
    shown = value / size
    digits = 0 if shown >= 99.95 else 1 if shown >= 9.995 else 2 if shown >= 0.9995 else 3
    rounded = round(shown, digits)
    return int(rounded) if rounded == int(rounded) else rounded


def _marks(report: Report, hosts: list[str], grid: Grid) -> list[dict[str, Any]]:
    """Where each finding, by its number on the page, is to be marked.

    Seconds since the grid's start.
    """
    return [
        {
            "number": number,
            "severity": finding.severity.name.lower(),
            "entity": finding.entity,
            "plots": plots.marked(finding.rule),
            "hosts": [hosts.index(name) for name in on if name in hosts],
            "from_s": round(finding.started_at_s - grid.start_s, 3),
            "to_s": round(finding.started_at_s - grid.start_s + finding.duration_s, 3),
        }
        for number, (finding, on) in enumerate(together(report.findings), 1)
    ]
