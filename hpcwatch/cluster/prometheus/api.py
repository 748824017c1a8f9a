"""The range queries of Prometheus's HTTP API, in bounds. What it answers is foreign.

Source: https://prometheus.io/docs/prometheus/latest/querying/api/. Thanos, Mimir and
VictoriaMetrics answer the same.
"""

from __future__ import annotations

import json
import time
import urllib.parse
from typing import Any, NamedTuple

from hpcwatch.base import web, web_address
from hpcwatch.base.clean import clean
from hpcwatch.base.errors import HpcwatchError

DEADLINE_S = 10.0
MOST_BYTES = 50 << 20
_LEAST_S = 0.05
"""With less time left a server cannot answer: nothing more is asked."""
MOST_SERIES = 4096
MOST_LABELS = 64
_LONGEST_WORD = 256
_MOST_VALUE = 1e300


class Series(NamedTuple):
    """One series: its labels, and its known values by time in seconds since the epoch."""

    labels: dict[str, str]
    points: list[tuple[float, float]]


class Span(NamedTuple):
    """The times that are asked for."""

    start_s: float
    end_s: float
    step_s: float


class Server:
    """A Prometheus, asked for at most 10 s and 50 MB in all.

    Only the time of the questions counts: between two of them the accounts of months may be read.
    """

    def __init__(self, url: str, token: str | None = None, deadline_s: float = DEADLINE_S) -> None:
        """Raises HpcwatchError if the address is none."""
        self.where = web_address.origin(url)
        self._url = web_address.check_address(url).rstrip("/")
        self._token = token
        self._left_s = deadline_s
        self._deadline_s = deadline_s
        self._left_bytes = MOST_BYTES

    @property
    def is_spent(self) -> bool:
        """True once nothing more may be asked."""
        return self._left_s < _LEAST_S or self._left_bytes <= 0

    def range(self, query: str, span: Span) -> list[Series]:
        """Return the series of a query. Raises HpcwatchError with one line."""
        if self._left_s < _LEAST_S:
            raise HpcwatchError(f"{self.where} did not answer within {self._deadline_s:g} s")
        asked = {
            "query": query,
            "start": f"{span.start_s:.3f}",
            "end": f"{span.end_s:.3f}",
            "step": f"{span.step_s:g}",
        }
        began_s = time.monotonic()
        try:
            answer = web.ask(
                f"{self._url}/api/v1/query_range?{urllib.parse.urlencode(asked)}",
                token=self._token,
                deadline_s=self._left_s,
                most_bytes=self._left_bytes,
            )
            self._left_bytes -= len(answer.body)
            return self._series(answer, span)
        finally:
            self._left_s -= time.monotonic() - began_s

    def _series(self, answer: web.Answer, span: Span) -> list[Series]:
        try:
            plain = json.loads(answer.body)
            status = plain["status"]
            result = plain["data"]["result"] if status == "success" else None
        except (ValueError, KeyError, TypeError, RecursionError):
            said = f"{self.where} answers {answer.status}, and not as a Prometheus does"
            raise HpcwatchError(said) from None
        if status != "success":
            error = clean(str(plain.get("error", ""))[:200])
            raise HpcwatchError(f"{self.where} refuses the query", error)
        if not isinstance(result, list) or len(result) > MOST_SERIES:
            raise HpcwatchError(f"{self.where} answers with too many series, or none")
        found = [_series(one, span) for one in result]
        return [one for one in found if one is not None and one.points]


def _series(plain: Any, span: Span) -> Series | None:
    """Return a series; None if it is not one. A value that is no number is unknown."""
    labels = plain.get("metric") if isinstance(plain, dict) else None
    values = plain.get("values") if isinstance(plain, dict) else None
    if not isinstance(labels, dict) or not isinstance(values, list) or len(labels) > MOST_LABELS:
        return None
    words = {
        name[:_LONGEST_WORD]: value[:_LONGEST_WORD]
        for name, value in labels.items()
        if isinstance(value, str)
    }
    points = {}
    for pair in values:
        point = _point(pair)
        if point is not None and span.start_s <= point[0] <= span.end_s:
            points[point[0]] = point[1]
    return Series(words, sorted(points.items()))


def _point(pair: Any) -> tuple[float, float] | None:
    """Return time and value; None for NaN, infinity, and what is not a pair."""
    try:
        at_s, value = float(pair[0]), float(pair[1])
    except (TypeError, ValueError, IndexError, KeyError, OverflowError):
        return None
    is_known = abs(value) < _MOST_VALUE and at_s == at_s
    return (at_s, value) if is_known else None
