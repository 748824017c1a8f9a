"""Sends numbers to an OpenTelemetry collector: OTLP/HTTP with JSON.

The body is an ExportMetricsServiceRequest of opentelemetry-proto in proto3's JSON mapping, where
integers of 64 bits are strings. Counters are cumulative sums.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from hpcwatch import __version__
from hpcwatch.export.families import COUNTER, Family, Labels, Point
from hpcwatch.export.push import post
from hpcwatch.export.scene import About, Numbers
from hpcwatch.export.text import sample_name

_CUMULATIVE = 2
_PATH = "/v1/metrics"
_UNITS = {
    "seconds": "s",
    "bytes": "By",
    "watts": "W",
    "joules": "J",
    "celsius": "Cel",
    "hertz": "Hz",
    "ratio": "1",
    "cores": "{core}",
}
"""OpenMetrics' unit -> UCUM's."""


def send(url: str, each: Sequence[Numbers], token: str | None, deadline_s: float) -> None:
    """Send all numbers in one request. Raises HpcwatchError if the collector does not accept it."""
    body = json.dumps(request(each, time.time())).encode()
    where = url if urlsplit(url).path.strip("/") else url.rstrip("/") + _PATH
    post(where, body, "application/json", token, deadline_s)


def request(each: Sequence[Numbers], now_s: float) -> dict[str, Any]:
    """Return the request, with one resource per run or job. ``now_s`` is Unix time in seconds."""
    return {"resourceMetrics": [_resource(about, points, now_s) for about, points in each]}


def _resource(about: About, points: Sequence[Point], now_s: float) -> dict[str, Any]:
    by_family: dict[Family, list[Point]] = {}
    for point in points:
        by_family.setdefault(point.family, []).append(point)
    start_s = about.started_at_s
    metrics = [_metric(family, rows, start_s, now_s) for family, rows in by_family.items()]
    scope = {"name": "hpcwatch", "version": __version__}
    return {
        "resource": {"attributes": _attributes((("service.name", "hpcwatch"),))},
        "scopeMetrics": [{"scope": scope, "metrics": metrics}],
    }


def _metric(
    family: Family, points: Sequence[Point], start_s: float | None, now_s: float
) -> dict[str, Any]:
    made: dict[str, Any] = {
        "name": sample_name(family),
        "description": family.what,
        "unit": _UNITS.get(family.unit, ""),
    }
    is_counter = family.kind == COUNTER
    rows = [_row(point, start_s if is_counter else None, now_s) for point in points]
    if is_counter:
        made["sum"] = {
            "dataPoints": rows,
            "aggregationTemporality": _CUMULATIVE,
            "isMonotonic": True,
        }
    else:
        made["gauge"] = {"dataPoints": rows}
    return made


def _row(point: Point, start_s: float | None, now_s: float) -> Mapping[str, Any]:
    started = {} if start_s is None else {"startTimeUnixNano": _nanoseconds(start_s)}
    return {
        "attributes": _attributes(point.labels),
        **started,
        "timeUnixNano": _nanoseconds(now_s),
        "asDouble": float(point.value),
    }


def _attributes(labels: Labels) -> list[dict[str, Any]]:
    return [
        {"key": name, "value": {"stringValue": value.encode("utf-8", "replace").decode()}}
        for name, value in labels
        if value
    ]


def _nanoseconds(at_s: float) -> str:
    return str(int(at_s * 1e9))
