"""The report's time series as CSV: one row per host, entity and time. Pure.

The first columns say where and when; then comes one column a metric, its unit in its name, as
`hpcwatch explain` and the recording call it. Of gauges, which a long recording sums up, the lowest
and the highest value stand beside the mean. Unknown is empty.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

from hpcwatch.analysis.report import Report
from hpcwatch.analysis.timeline import HOST_METRICS, HostTimeline
from hpcwatch.analysis.timeline.columns import Column
from hpcwatch.analysis.timeline.gpus import GPU_METRICS
from hpcwatch.base.clean import clean
from hpcwatch.base.units import iso

PLACE = ("host", "entity", "device", "at", "elapsed_s", "span_s")
"""``entity`` is ``job`` or ``GPU 1``, ``device`` the GPU's UUID, ``at`` ISO 8601 in UTC,
``elapsed_s`` counts from the run's start, ``span_s`` is how long the row stands for."""
_AT_ONCE = 1000  # samples: column by column is quicker than value by value


def rows(report: Report) -> Iterator[str]:
    """Yield the file in pieces of many lines, the heading first."""
    yield _line([*PLACE, *_heads(HOST_METRICS), *_heads(GPU_METRICS)]) + "\n"
    for host in report.timeline.hosts.values():
        for first in range(0, len(host.at_s), _AT_ONCE):
            lines = _of_host(host, slice(first, first + _AT_ONCE), report.run.started_at_s)
            yield "\n".join(lines) + "\n"


def headings() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each metric with the headings of its columns, in the file's order."""
    for metric in (*HOST_METRICS, *GPU_METRICS):
        yield metric, _names(metric)


def _line(cells: Iterable[str]) -> str:
    """Put texts into a line, with quotes where they need some."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="").writerow(cells)
    return buffer.getvalue()


def _of_host(host: HostTimeline, part: slice, start_s: float) -> Iterator[str]:
    """Yield the lines of some samples: of each the host's own, then those of its devices."""
    when = [
        [iso(at_s) or "" for at_s in host.at_s[part]],
        [_number(round(at_s - start_s, 3)) for at_s in host.at_s[part]],
        [_number(round(span_s, 3)) for span_s in host.span_s[part]],
    ]
    blank = [""] * len(when[0])

    def lines(entity: str, device: str, values: list[list[str]]) -> Iterator[str]:
        place = [_line([harmless(host.name), entity, device])] * len(blank)
        # What else is in a line needs no quotes.
        return map(",".join, zip(place, *when, *values))

    own = _texts(host.columns, HOST_METRICS, part)
    entities = [lines("job", "", own + [blank] * len(_heads(GPU_METRICS)))]
    for gpu in host.gpus.values():
        values = _texts(gpu.columns, GPU_METRICS, part)
        values = [blank] * len(_heads(HOST_METRICS)) + values
        entities.append(lines(harmless(gpu.label), harmless(gpu.uuid), values))
    return chain.from_iterable(zip(*entities))


def _heads(metrics: Sequence[str]) -> list[str]:
    return [name for metric in metrics for name in _names(metric)]


def _names(metric: str) -> tuple[str, ...]:
    """``used_bytes`` is a gauge: its extremes get columns; ``cpu_cores`` is a rate: it has none."""
    if metric.endswith(("_cores", "_per_s")):
        return (metric,)
    stem, _, unit = metric.rpartition("_")
    return metric, f"{stem}_min_{unit}", f"{stem}_max_{unit}"


def _texts(columns: Mapping[str, Column], metrics: Sequence[str], part: slice) -> list[list[str]]:
    """Return what stands below each heading, in the headings' order."""
    made = []
    for metric in metrics:
        column = columns[metric]
        mean = _numbers(column.mean[part])
        made.append(mean)
        if len(_names(metric)) > 1:
            is_instant = column.low is column.mean
            made += [mean if is_instant else _numbers(of[part]) for of in (column.low, column.high)]
    return made


def _numbers(values: Sequence[float]) -> list[str]:
    if values.count(values[0]) == len(values):  # limits, what is not used
        return [_number(values[0])] * len(values)
    return list(map(_number, values))


def _number(value: float) -> str:
    """Write a value to a microunit, without an exponent or a needless ``.0``; unknown is empty."""
    if value != value:
        return ""
    if value == (whole := int(value)):  # most: volumes and counts
        return str(whole)
    text = f"{value:.6f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def harmless(text: str) -> str:
    """Make a name harmless, to a spreadsheet too: none begins as a formula does."""
    name = clean(text)
    return f"'{name}" if name.startswith(("=", "+", "-", "@")) else name
