"""Finds the metrics that rose on the nodes when a program became slow. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from hpcwatch.analysis.findings import Scope
from hpcwatch.analysis.findings.devices import own_gpus
from hpcwatch.analysis.findings.shared import asked_cores, mean_over
from hpcwatch.analysis.findings.windows import Stretch
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.base.units import format_cores, format_pct

_THROTTLED_PCT = 5.0  # the same as gpu-throttled
_STRANGER_CORES = 0.5  # the same as strangers
_OTHERS_CORES = 1.0  # own: the system's daemons use less than that
_BLOCKED_SHARE = 0.1  # the same as storage-wait
_IOWAIT_SHARE = 0.1  # the same as gpu-starved


class Cause(NamedTuple):
    """A possible cause of a slow program."""

    words: str
    advice: str
    evidence: dict[str, float | int | str]
    weight: float
    """The rise, in units of the least rise worth reporting."""


_NONE = (
    "Look at what the program itself does more of than at first: longer inputs, lists that grow, "
    "more output, a cache that is too small."
)


def most_risen(scope: Scope, before: Stretch, then: Stretch) -> Cause:
    """Return the largest rise on any host from one stretch to the other, or that there was none."""
    known = [
        cause
        for host in scope.timeline.hosts.values()
        for find in (_throttling, _strangers, _others, _storage)
        for cause in find(scope, host, before, then)
    ]
    if not known:
        return Cause("what else changed is not known", _NONE, {}, 0.0)
    most = max(known, key=lambda one: one.weight)
    return most if most.weight >= 1 else Cause("nothing seen explains it", _NONE, {}, 0.0)


def _rise(
    host: HostTimeline, metric: str, before: Stretch, then: Stretch, uuid: str | None = None
) -> float | None:
    """Return the rise of a metric's mean; None if one of the means is unknown."""
    was = mean_over(host, metric, *before, uuid)
    now = mean_over(host, metric, *then, uuid)
    return None if was is None or now is None else now - was


def _throttling(
    scope: Scope, host: HostTimeline, before: Stretch, then: Stretch
) -> Iterator[Cause]:
    for gpu in own_gpus(scope, host):
        rise = _rise(host, "throttled_pct", before, then, gpu.uuid)
        if rise is not None:
            yield Cause(
                f"heat or power supply slows {gpu.label} down{_where(scope, host)}",
                f"{gpu.label} ({gpu.uuid}) on {host.name} was throttled in {format_pct(rise)} more "
                "of the time than before: tell the help desk.",
                {"throttled_rise_pct": rise, "gpu_index": gpu.index},
                rise / _THROTTLED_PCT,
            )


def _strangers(scope: Scope, host: HostTimeline, before: Stretch, then: Stretch) -> Iterator[Cause]:
    rise = _rise(host, "stranger_cores", before, then)
    if rise is not None:
        yield _others_cause(scope, host, rise, _STRANGER_CORES)


def _others(scope: Scope, host: HostTimeline, before: Stretch, then: Stretch) -> Iterator[Cause]:
    node = _rise(host, "node_busy_cores", before, then)
    own = _rise(host, "cpu_cores", before, then)
    if node is not None and own is not None:
        yield _others_cause(scope, host, node - own, _OTHERS_CORES)


def _others_cause(scope: Scope, host: HostTimeline, cores: float, least: float) -> Cause:
    where = _where(scope, host)
    return Cause(
        f"others keep {format_cores(cores)} more cores busy{where}",
        f"Processes that are not the job's keep {format_cores(cores)} more cores of {host.name} "
        "busy than before. Ask for whole nodes if you need them; on a node of the job's own, "
        "tell the help desk.",
        {"others_rise_cores": cores},
        cores / least,
    )


def _storage(scope: Scope, host: HostTimeline, before: Stretch, then: Stretch) -> Iterator[Cause]:
    node = host.last_node
    blocked, cores = _rise(host, "blocked_count", before, then), asked_cores(scope, host)
    iowait = _rise(host, "node_iowait_cores", before, then)
    advice = (
        "Copy the data to the node's local disk at the start of the job, and write less often: "
        "others may load the same storage."
    )
    words = f"it waits for storage{_where(scope, host)}"
    if blocked is not None and cores:
        weight = blocked / cores / _BLOCKED_SHARE
        yield Cause(words, advice, {"blocked_rise_count": blocked}, weight)
    if iowait is not None and node is not None and node.cpu_count:
        share = iowait / node.cpu_count
        yield Cause(words, advice, {"iowait_rise_share": share}, share / _IOWAIT_SHARE)


def _where(scope: Scope, host: HostTimeline) -> str:
    return "" if len(scope.timeline.hosts) == 1 else f" on {host.name[:20]}"
