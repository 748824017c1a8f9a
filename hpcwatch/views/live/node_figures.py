"""Works out a node's figures from its timeline, once per sample. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.monitor.node_status import NodeStatus
from hpcwatch.probe.schema import Gpu, Sample
from hpcwatch.views.live.late import Late
from hpcwatch.views.live.rows import Before, DeviceUse, NodeFigures
from hpcwatch.views.live.shown_devices import shown_devices

_NO_USE = DeviceUse()


def figures_of(
    status: NodeStatus,
    history: HostTimeline,
    sample: Sample,
    known: NodeFigures | None,
    cores_count: int | None,
    is_over: bool = False,
) -> NodeFigures:
    """Work out a node's figures; ``known`` are those of the sample before, if there are any.

    They are those that are summed up over all nodes: what only its own row shows comes later.
    Of a job that ``is_over`` the last memory that is known counts: of its last moments, without
    a process, none is.
    """
    node, job = sample.node, sample.job
    sums = history.sums_at(len(history.at_s) - 1)
    shown = shown_devices(history, sample, known.shown if known is not None else None)
    late = Late(history, sample, shown, known.late if known is not None else None)
    swap = job.swap_bytes if job is not None else None
    if swap is None and node is not None:
        swap = node.swap_used_bytes
    used_bytes: float | None = history.used_bytes
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
        swap_bytes=swap,
        peak_bytes=history.used_peak_bytes,
        shown=shown,
        use=_device_use(late.devices) if late.devices else _NO_USE,
        disk_bytes_per_s=_known(sums.disk_bytes_per_s),
        net_bytes_per_s=_known(sums.net_bytes_per_s),
        found_by=job.found_by if job is not None else None,
        late=late,
    )


def _device_use(devices: Sequence[Gpu]) -> DeviceUse:
    utils = [gpu.util_pct for gpu in devices if gpu.util_pct is not None]
    busy = utils
    if len(utils) < len(devices):  # instances tell how many of their multiprocessors work
        utils_or_parts = [g.sm_active_pct if g.util_pct is None else g.util_pct for g in devices]
        busy = [share for share in utils_or_parts if share is not None]
    return DeviceUse(
        device_count=len(devices),
        known_count=len(busy),
        busy_count=len([share for share in busy if share > 0]),
        util_pct=sum(utils) / len(utils) if utils else None,
    )


def _before(history: HostTimeline) -> Before | None:
    before = history.before
    return None if before is None else Before(before.uptime_s, before.node)


def _known(value: float) -> float | None:
    return value if value == value else None
