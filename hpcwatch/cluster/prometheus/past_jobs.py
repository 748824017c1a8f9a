"""Figures of many past jobs from one Prometheus: asked in batches, told apart by job and time."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from hpcwatch.base.errors import HpcwatchError
from hpcwatch.cluster.prometheus.api import Series
from hpcwatch.cluster.prometheus.asking import Asker, Figures, JobAsked
from hpcwatch.cluster.prometheus.batches import Batch
from hpcwatch.cluster.prometheus.readings import Readings
from hpcwatch.probe.schema import Sample

_REQUEUED_S = 60.0
"""Of this time after a job's start nothing counts that may have been read before it: by then its
number was another run's. Slurm lets a requeued job wait for two minutes."""


def ask(
    asker: Asker, batch: Batch, fields: Mapping[str, Collection[int]]
) -> tuple[dict[int, list[Sample]], str]:
    """Return the samples of a batch's jobs by their places in it, and what failed, in one line.

    ``fields`` is each wanted field with the places of the jobs of which it is wanted. What came
    before a failure stays.
    """
    jobs = [wish.job for wish in batch.wishes]
    readings = {place: Readings((), job.start_s, "") for place, job in enumerate(jobs)}
    trouble = ""
    for field, places in fields.items():
        ids: dict[str, list[int]] = {}
        for place in places:
            for name in asker.ids_of(jobs[place]):
                ids.setdefault(name, []).append(place)
        if not ids:
            continue
        try:
            found = asker.figures(field, ids, batch.span, batch.look.window_s)
        except HpcwatchError as error:
            trouble = str(error)
            break
        _share_out(found, ids, jobs, batch, readings)
    return {place: list(one.samples()) for place, one in readings.items()}, trouble


def _share_out(
    found: Figures,
    ids: Mapping[str, Collection[int]],
    jobs: list[JobAsked],
    batch: Batch,
    readings: Mapping[int, Readings],
) -> None:
    """Give each job the readings of its series that are of its time."""
    for family, series in found.series:
        for place in ids.get(series.labels.get(found.job_label, ""), ()):
            job = jobs[place]
            since_s = job.start_s + min(batch.look.window_s, _REQUEUED_S)
            points = [point for point in series.points if since_s <= point[0] <= job.end_s]
            if points:
                own = Series(series.labels, points)
                readings[place].add(family, [own], found.node_labels)
