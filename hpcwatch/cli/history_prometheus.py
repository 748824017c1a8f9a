"""What the site's Prometheus knows of past jobs that neither accounts nor recordings do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from hpcwatch import config
from hpcwatch.base.clean import clean
from hpcwatch.base.errors import HpcwatchError
from hpcwatch.cluster.prometheus.asking import Asker, Found, JobAsked
from hpcwatch.cluster.schedulers.history import PastJob, Source
from hpcwatch.probe.schema import Sample

_LEAST_S = 300.0
"""Own: of a shorter job there are too few readings."""
_LEAST_SHARE = 0.9
"""Own: of the job's time, below which readings do not stand for the job; as of a recording."""
_POINTS = 200
_FIELDS = {"cpu": "cpu_s", "memory": "used_bytes", "gpus": "util_pct"}


class Filler:
    """Fills in figures, one job after the other, for 10 s in all."""

    def __init__(self, prometheus: config.Prometheus | None) -> None:
        self._asker: Asker | None = None
        self._left_count = 0
        self._trouble = ""
        try:
            self._asker = None if prometheus is None else Asker(*prometheus)
        except HpcwatchError as error:
            self._trouble = str(error)

    def fill(self, job: PastJob) -> PastJob:
        """Return a job with what was unknown of it; each figure says its source."""
        lacking = _lacking(job)
        if self._asker is None or not lacking or job.started_at_s is None:
            return job
        if self._trouble or self._asker.is_spent:
            self._left_count += 1
            return job
        end_s = job.started_at_s + (job.ran_s or 0.0)
        names = tuple(dict.fromkeys((job.id, job.id.partition(".")[0])))
        asked = JobAsked(job.id, names, (), job.started_at_s, end_s)
        found = self._asker.job(asked, [_FIELDS[one] for one in lacking], _POINTS)
        self._trouble = found.trouble
        return _filled(job, found, lacking)

    def troubles(self) -> list[str]:
        """Say in one line what failed, and of how many jobs nothing was asked."""
        if not self._trouble and not self._left_count:
            return []
        said = clean(self._trouble or "Prometheus took too long")
        if not self._left_count:
            return [f"{said}."]
        noun = "job" if self._left_count == 1 else "jobs"
        return [f"{said}; {self._left_count:,} more {noun} not asked for."]


def _lacking(job: PastJob) -> list[str]:
    """Return what is unknown of a job that ran for long enough and has ended.

    A task of an array has a number of its own on its nodes (Slurm), which the accounts' list lacks.
    """
    if not job.ran_s or job.ran_s < _LEAST_S or job.ended_at_s is None or job.array_id:
        return []
    is_bound = job.gpus_used is None or job.gpus_from is Source.PEAKS
    lacking = {
        "cpu": job.cpu_s is None,
        "memory": job.memory_bytes is None,
        "gpus": is_bound and job.gpus_count != 0,
    }
    return [name for name, is_lacking in lacking.items() if is_lacking]


class _Node(NamedTuple):
    """What was read of one node: its known values, in their order."""

    cpu_s: list[tuple[float, float]]
    used_bytes: list[int]
    util_pct: dict[str, list[float]]


def _filled(job: PastJob, found: Found, lacking: Sequence[str]) -> PastJob:
    nodes = _by_node(found.samples)
    # On more nodes there is another cluster's job of this number as well.
    is_all = bool(nodes) and len(nodes) == (job.nodes_count or len(nodes))
    ran_s = job.ran_s or 0.0
    readings_count = _LEAST_SHARE * ran_s / found.interval_s
    if "cpu" in lacking and is_all:
        cpu_s = _cpu_s(nodes, (job.started_at_s or 0.0) + _LEAST_SHARE * ran_s)
        job = job if cpu_s is None else job._replace(cpu_s=cpu_s, cpu_from=Source.PROMETHEUS)
    is_read = all(node.used_bytes and len(node.used_bytes) >= readings_count for node in nodes)
    if "memory" in lacking and is_all and is_read:
        size = sum(max(node.used_bytes) for node in nodes)
        job = job._replace(memory_bytes=size, memory_from=Source.PROMETHEUS)
    devices = [values for node in nodes for values in node.util_pct.values()]
    is_known = devices and all(len(values) >= readings_count for values in devices)
    count = job.gpus_count if job.gpus_count is not None else len(devices)
    if "gpus" in lacking and is_known and is_all and len(devices) == count:
        used = sum(sum(values) / len(values) for values in devices) / 100
        job = job._replace(gpus_used=used, gpus_from=Source.PROMETHEUS, gpus_count=count)
    return job


def _cpu_s(nodes: Sequence[_Node], least_at_s: float) -> float | None:
    """Return the counters' sum; None if one was last read long before the end."""
    if not all(node.cpu_s and node.cpu_s[-1][0] >= least_at_s for node in nodes):
        return None
    return sum(node.cpu_s[-1][1] for node in nodes)


def _by_node(samples: Sequence[Sample]) -> list[_Node]:
    nodes: dict[str, _Node] = {}
    for sample in samples:
        node = nodes.setdefault(sample.host, _Node([], [], {}))
        group = sample.cgroup
        if group is not None and group.cpu_s is not None:
            node.cpu_s.append((sample.at_s, group.cpu_s))
        if group is not None and group.used_bytes is not None:
            node.used_bytes.append(group.used_bytes)
        for gpu in sample.gpus or ():
            if gpu.util_pct is not None:
                node.util_pct.setdefault(gpu.uuid, []).append(gpu.util_pct)
    return list(nodes.values())
