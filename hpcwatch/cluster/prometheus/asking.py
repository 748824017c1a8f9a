"""A job's readings from a Prometheus: which queries are put, over which times, and what fails."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import NamedTuple

from hpcwatch.base import web_address
from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError
from hpcwatch.cluster.prometheus.api import Series, Server, Span
from hpcwatch.cluster.prometheus.presets import PRESETS, Family, Preset
from hpcwatch.cluster.prometheus.promql import filled
from hpcwatch.cluster.prometheus.readings import Readings
from hpcwatch.probe.schema import Sample

_LEAST_STEP_S = 60.0
"""Longer steps are multiples of it: exporters are asked every 15, 30 or 60 s. Else a counter would
grow by one reading in a step and by two in the next, and a rate would show a peak that was none."""
_WINDOW_S = 150.0
"""A reading is valid for so long: a site scrapes every 15 to 60 s, and a scrape may fail."""
_MOST_POINTS, _FEW_POINTS = 500, 60
_POINTS_IN_ALL = 30_000


class JobAsked(NamedTuple):
    """The job that is asked for."""

    id: str
    """The id in the scheduler's commands."""
    names: Sequence[str]
    """The id on its nodes, which the kernel and exporters see."""
    nodes: Sequence[str]
    start_s: float
    end_s: float


class Found(NamedTuple):
    """What a Prometheus had of a job."""

    samples: list[Sample]
    interval_s: float
    """Between two of its readings here."""
    source: str
    """Who says so: ``Prometheus at http://prometheus:9090 (jobstats)``."""
    trouble: str = ""
    """Why something is missing, in one line; empty if nothing failed."""


class Figures(NamedTuple):
    """The series of one figure of several jobs."""

    job_label: str
    node_labels: Sequence[str]
    series: list[tuple[Family, Series]]


class Asker:
    """Asks one Prometheus for jobs, at most 10 s and 50 MB in all."""

    def __init__(self, url: str, preset: str, token_file: str | None = None) -> None:
        """Raises HpcwatchError if the address, the preset or the token's file is none."""
        known = PRESETS.get(preset)
        if known is None:
            hint = f"give one of {', '.join(PRESETS)}"
            raise HpcwatchError(f"prometheus.preset: no {preset[:40]!r}", hint, EXIT_USAGE)
        self._preset: Preset = known
        token = None if token_file is None else web_address.token_of(token_file)
        self._server = Server(url, token)
        self._name = preset
        self.source = f"Prometheus at {self._server.where} ({preset})"

    @property
    def is_spent(self) -> bool:
        """True once nothing more may be asked."""
        return self._server.is_spent

    def ids_of(self, job: JobAsked) -> tuple[str, ...]:
        """Return what series call a job."""
        return (job.id,) if self._preset.has_own_ids else tuple(job.names)

    def figures(self, field: str, ids: Collection[str], span: Span, window_s: float) -> Figures:
        """Return one figure's series of the jobs that are called so.

        Raises HpcwatchError.
        """
        found = Figures(self._preset.job_label, self._preset.node_labels, [])
        for family in self._preset.families:
            if family.field == field:
                query = filled(family.query, self._preset.job_label, sorted(ids), window_s)
                found.series.extend((family, one) for one in self._server.range(query, span))
        return found

    def has_unnamed(self, at_s: float) -> bool:
        """Return True if there are series at that time that do not name their job.

        ``job`` finds those of one job, too, but ``figures`` does not. Raises HpcwatchError.
        """
        query, now = self._preset.has_unnamed, Span(at_s, at_s, 1.0)
        return bool(query) and bool(self._server.range(query, now))

    def job(self, job: JobAsked, fields: Collection[str] = (), points: int = _MOST_POINTS) -> Found:
        """Return what is known of a job, of the given fields alone if there are any.

        A query that fails ends the questions: what came before it stays, and ``trouble`` says why.
        """
        span, window_s = _span(job, points)
        readings = Readings(job.nodes, job.start_s, self._name)
        ids = self.ids_of(job)
        trouble = ""
        for family in self._preset.families:
            if fields and family.field not in fields:
                continue
            try:
                wanted = f"{family.query} or ({family.of_one})" if family.of_one else family.query
                query = filled(wanted, self._preset.job_label, ids, window_s)
                series = self._server.range(query, span)
            except HpcwatchError as error:
                trouble = str(error)
                break
            readings.add(family, series, self._preset.node_labels)
        samples = list(readings.samples())
        # A node of which nothing is known makes sums over the nodes unknown, and not smaller.
        samples += readings.of_unknown(job.end_s) if samples else ()
        return Found(samples, span.step_s, self.source, trouble)


def _span(job: JobAsked, points: int) -> tuple[Span, float]:
    """Return the times to ask for, the last one being the job's end, and a reading's window."""
    most = max(min(points, _POINTS_IN_ALL // max(len(job.nodes), 1)), _FEW_POINTS)
    length_s = max(job.end_s - job.start_s, 1.0)
    step_s = _LEAST_STEP_S * max(math.ceil(length_s / most / _LEAST_STEP_S), 1)
    count = int(length_s // step_s)
    window_s = max(_WINDOW_S, step_s)
    # No window reaches back before the job: its number may have been another's.
    return Span(job.end_s - count * step_s, job.end_s, step_s), min(window_s, max(length_s, 1.0))
