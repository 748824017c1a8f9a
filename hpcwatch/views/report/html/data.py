"""What the page draws and lets download: the report's JSON and its thinned series. Pure."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import Any

from hpcwatch.analysis.findings.together import together
from hpcwatch.analysis.report import Report
from hpcwatch.analysis.report.to_json import to_plain
from hpcwatch.analysis.resample import Cut, Grid, Thinned, cut, grid_of, thinned
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.views.report import curves, lanes, plots

_NUMBERS_COUNT = 800_000  # in all series together: what keeps the page below 5 MB
_STEPS_LEAST, _STEPS_MOST = 60, 1200
_EVENTS = 2000  # of the raw ones; of more, every n-th


def grid(report: Report) -> Grid:
    """Return the steps of time that all of the page is drawn on."""
    shown = [list(plots.lines(report, plot)) for plot in plots.drawn(report)]
    columns_count = 3 * sum(map(len, shown))
    steps = min(max(_NUMBERS_COUNT // max(columns_count, 1), _STEPS_LEAST), _STEPS_MOST)
    hosts = report.timeline.hosts.values()
    return grid_of(hosts, report.run.started_at_s, steps, lanes.end_s(report))


def events_step(report: Report) -> int:
    """Return n if the data hold every n-th event; report.json holds all."""
    return -(-len(report.events) // _EVENTS) or 1


def embedded(report: Report, on: Grid) -> str:
    """Return the data as JSON that nothing in it can end, whatever surrounds it."""
    text = json.dumps(_plain(report, on), ensure_ascii=True, separators=(",", ":"))
    # ensure_ascii leaves no U+2028; these three are all that HTML could read as its own.
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _plain(report: Report, on: Grid) -> dict[str, Any]:
    hosts = list(report.timeline.hosts)
    places = {name: place for place, name in enumerate(hosts)}
    cuts = {host.name: cut(host, on) for host in report.timeline.hosts.values()}
    drawn = plots.drawn(report)
    told = list(enumerate(curves.grouped(curves.curves(report, on)[0]).items()))
    bands, left_count = lanes.bands(report, on)
    return {
        "report": to_plain(report._replace(events=report.events[:: events_step(report)])),
        "events_count": len(report.events),
        "grid": on._asdict(),
        "zone": _zone(on.start_s),
        "hosts": hosts,
        "plots": [_plot(report, plot) for plot in drawn]
        + [_value_plot(number, group, found) for number, (group, found) in told],
        "series": [
            _series(plot, line, places[line.host.name], cuts[line.host.name])
            for plot in drawn
            for line in plots.lines(report, plot)
        ]
        + [_curve(number, curve) for number, (_, found) in told for curve in found],
        "bands": [_without_defaults(band) for band in bands],
        "bands_left_out": left_count,
        "ticks": [tick._asdict() for tick in lanes.ticks(report, on)],
        "findings": _marks(report, places, on),
    }


def _zone(at_s: float) -> dict[str, Any]:
    """The time of day here when the run started: a reader elsewhere sees the cluster's clock."""
    here = time.localtime(at_s)
    return {"offset_s": here.tm_gmtoff, "name": time.strftime("%z", here)}


def _without_defaults(band: lanes.Band) -> dict[str, Any]:
    defaults = lanes.Band._field_defaults
    return {name: one for name, one in band._asdict().items() if defaults.get(name) != one}


def value_plot_name(number: int) -> str:
    """Return the name of a plot of logged values; its title is foreign."""
    return f"value-{number}"


def _value_plot(number: int, group: str, found: list[curves.Curve]) -> dict[str, Any]:
    return {
        "name": value_plot_name(number),
        "title": group,
        "unit": "",
        "is_gpu": False,
        "is_value": True,
        "is_wide": curves.is_wide(found),
        "limits": [],
    }


def _curve(number: int, curve: curves.Curve) -> dict[str, Any]:
    """Only the steps with logged values: mostly they are few."""
    made: dict[str, Any] = {"plot": value_plot_name(number), "host": None, "entity": curve.name}
    made |= {"steps": curve.steps, "mean": _five_digits(curve.mean)}
    if curve.low != curve.high:
        made |= {"low": _five_digits(curve.low), "high": _five_digits(curve.high)}
    return made


def _five_digits(values: Iterable[float]) -> list[float | int]:
    rounded = (float(f"{value:.5g}") for value in values)
    return [int(value) if value == int(value) else value for value in rounded]


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
    from hpcwatch.analysis.report import cores_allowed

    if plot.name == "cpu":
        hosts = report.timeline.hosts.values()
        return [cores_allowed(report.run.job, host) for host in hosts]
    if plot.name == "memory":
        return [_short(node.memory_limit_bytes, plot.size) for node in report.nodes]
    if plot.name == "gpu-util":
        return [100.0 for _ in report.nodes]
    if plot.name == "gpu-power":
        return [_power_limit(host) for host in report.timeline.hosts.values()]
    return [None for _ in report.nodes]


def _power_limit(host: HostTimeline) -> float | None:
    """Return the limit of a host's GPUs in W if it is the same for all; None else."""
    limits = {gpu.last.power_limit_w for gpu in host.gpus.values() if gpu.last is not None}
    return limits.pop() if len(limits) == 1 else None


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


def _marks(report: Report, places: dict[str, int], on: Grid) -> list[dict[str, Any]]:
    """Where each finding, by its number on the page, is to be marked.

    Seconds since the grid's start. What shows on no timeline is left out.
    """
    return [
        {
            "number": number,
            "severity": finding.severity.name.lower(),
            "entity": finding.entity,
            "plots": plots.marked(finding.rule),
            "hosts": [places[name] for name in hosts if name in places],
            "from_s": round(finding.started_at_s - on.start_s, 3),
            "to_s": round(finding.started_at_s - on.start_s + finding.duration_s, 3),
        }
        for number, (finding, hosts) in enumerate(together(report.findings), 1)
        if plots.marked(finding.rule)
    ]
