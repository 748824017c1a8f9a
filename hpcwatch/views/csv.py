"""The report's time series as CSV: one row per host, entity and time. Pure.

The first columns say where and when; then comes one column a metric, its unit in its name, as
`hpcwatch explain` and the recording call it. Of gauges, which a long recording sums up, the lowest
and the highest value stand beside the mean. Unknown is empty.
"""

from __future__ import annotations

import csv
import io
from array import array
from collections.abc import Iterator, Mapping, Sequence

from hpcwatch.report import Report, iso
from hpcwatch.timeline import GPU_METRICS, HOST_METRICS, Column, HostTimeline
from hpcwatch.views.text import clean

PLACE = ("host", "entity", "device", "at", "elapsed_s", "span_s")
"""``entity`` is ``job`` or ``GPU 1``, ``device`` the GPU's UUID, ``at`` ISO 8601 in UTC,
``elapsed_s`` counts from the run's start, ``span_s`` is how long the row stands for."""


def rows(report: Report) -> Iterator[str]:
    """Yield the lines of the file, the heading first, each ending in a newline."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    for cells in _cells(report):
        writer.writerow(cells)
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()


def _cells(report: Report) -> Iterator[Sequence[str]]:
    heads = [
        [name for metric in of for name in _names(metric)] for of in (HOST_METRICS, GPU_METRICS)
    ]
    yield [*PLACE, *heads[0], *heads[1]]
    host_blanks, gpu_blanks = ([""] * len(names) for names in heads)
    for host in report.timeline.hosts.values():
        name = _harmless(host.name)
        of_host = _arrays(host.columns, HOST_METRICS)
        devices = [
            (_harmless(gpu.label), _harmless(gpu.uuid), _arrays(gpu.columns, GPU_METRICS))
            for gpu in host.gpus.values()
        ]
        for index in range(len(host.at_s)):
            when = _when(host, index, report.run.started_at_s)
            values = [_number(of[index]) for of in of_host]
            yield [name, "job", "", *when, *values, *gpu_blanks]
            for entity, device, arrays in devices:
                values = [_number(of[index]) for of in arrays]
                yield [name, entity, device, *when, *host_blanks, *values]


def _when(host: HostTimeline, index: int, start_s: float) -> tuple[str, str, str]:
    at_s = host.at_s[index]
    return iso(at_s) or "", _number(round(at_s - start_s, 3)), _number(round(host.span_s[index], 3))


def _names(metric: str) -> tuple[str, ...]:
    """``used_bytes`` is a gauge: its extremes get columns; ``cpu_cores`` is a rate: it has none."""
    if metric.endswith(("_cores", "_per_s")):
        return (metric,)
    stem, _, unit = metric.rpartition("_")
    return metric, f"{stem}_min_{unit}", f"{stem}_max_{unit}"


def _arrays(columns: Mapping[str, Column], metrics: Sequence[str]) -> list[array[float]]:
    """Return the values behind each heading, in the headings' order."""
    arrays = []
    for metric in metrics:
        column = columns[metric]
        arrays.append(column.mean)
        if len(_names(metric)) > 1:
            arrays += [column.low, column.high]
    return arrays


def _number(value: float) -> str:
    """Write a value to a microunit, without an exponent or a needless ``.0``; unknown is empty."""
    if value != value:
        return ""
    if value == (whole := int(value)):  # most: volumes and counts
        return str(whole)
    text = f"{value:.6f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _harmless(text: str) -> str:
    """Make a name harmless, to a spreadsheet too: none begins as a formula does."""
    name = clean(text)
    return f"'{name}" if name.startswith(("=", "+", "-", "@")) else name
