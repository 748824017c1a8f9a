"""Works out a node's figures from its timeline, once per sample. Pure."""

from __future__ import annotations

from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.monitor.node_status import NodeStatus
from hpcwatch.probe.schema import Sample
from hpcwatch.recording.job_memory import job_used_bytes
from hpcwatch.views.live.late import Late
from hpcwatch.views.live.rows import Before, NodeFigures
from hpcwatch.views.live.shown_devices import shown_devices


def figures_of(
    status: NodeStatus,
    history: HostTimeline,
    sample: Sample,
    known: NodeFigures | None,
    cores_count: int | None,
    is_over: bool = False,
) -> NodeFigures:
    """Work out a node's figures; ``known`` are those of the sample before, if there are any.

    Of a job that ``is_over`` the last memory that is known counts: of its last moments, without
    a process, none is.
    """
    node, job, cgroup = sample.node, sample.job, sample.cgroup
    sums = history.sums_at(len(history.at_s) - 1)
    then, shown, late = (
        (None, None, None) if known is None else (known.sample, known.shown, known.late)
    )
    shown = shown_devices(history, sample, then, shown)
    cache = cgroup.cache_bytes if cgroup is not None and cgroup.is_job else None
    if cache is None and node is not None:
        cache = node.memory_cached_bytes
    swap = job.swap_bytes if job is not None else None
    if swap is None and node is not None:
        swap = node.swap_used_bytes
    used_bytes: float | None = job_used_bytes(sample)
    if used_bytes is None and is_over:
        means = history.columns["used_bytes"].mean
        used_bytes = next((value for value in reversed(means) if value == value), None)
    return NodeFigures(
        host=status.host,
        status=status,
        history=history,
        sample=sample,
        before=_before(history),
        cores_count=cores_count,
        used_cores=_known(sums.cores),
        load_count=node.load_1min_count if node is not None else None,
        used_bytes=used_bytes,
        limit=history.limit,
        cache_bytes=cache,
        swap_bytes=swap,
        peak_bytes=history.used_peak_bytes,
        shown=shown,
        disk_bytes_per_s=_known(sums.disk_bytes_per_s),
        net_bytes_per_s=_known(sums.net_bytes_per_s),
        late=Late(history, sample, shown.uuids, late),
    )


def _before(history: HostTimeline) -> Before | None:
    before = history.before
    return None if before is None else Before(before.uptime_s, before.node)


def _known(value: float) -> float | None:
    return value if value == value else None
