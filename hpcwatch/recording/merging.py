"""Merges consecutive samples of a host into one with their last state and all extremes. Pure."""

from operator import itemgetter

from hpcwatch.probe.schema import (
    Cgroup,
    Gpu,
    JobUse,
    Node,
    Process,
    RankUse,
    Sample,
    Window,
)
from hpcwatch.probe.typed import Any, Callable, Iterable, Optional, Sequence
from hpcwatch.recording import metrics
from hpcwatch.recording.job_memory import gauge_of_used, job_used_bytes

MOST_PROCESSES = 24

GAUGES = {part: metrics.gauges(part) for part in ("node", "cgroup", "job", "gpu")}
"""Part of a sample -> its gauges, which rise and fall. All other numbers are counters."""

_PARTS_OF_HOST = ("node", "cgroup", "job")
_GAUGES_OF_HOST = {part: [f"{part}.{field}" for field in GAUGES[part]] for part in _PARTS_OF_HOST}
_WHOLE = "whole.used_bytes"


def _reader(record: Any, fields: Sequence[str]) -> Callable[[Any], Iterable[Any]]:
    """Return what reads these fields, in their order, of records of a type."""
    places, others = metrics.places(record, fields)
    if others:  # they are in the record's ``more``
        return lambda made: [metrics.value_of(made, field) for field in fields]
    return itemgetter(*places)


_RECORDS: dict[str, Any] = {"node": Node, "cgroup": Cgroup, "job": JobUse, "gpu": Gpu}
_READERS = {part: _reader(_RECORDS[part], GAUGES[part]) for part in GAUGES}

Extremes = tuple[float, float, float]


def count(sample: Sample) -> int:
    """Return how many readings a sample holds."""
    return sample.window.sample_count if sample.window else 1


def merge(first: Sample, second: Sample) -> Sample:
    """Merge two consecutive samples of one host into one."""
    counts = count(first), count(second)
    before, after = extremes(first), extremes(second)
    gauges = dict(before)
    for name, value in after.items():
        gauges[name] = _combine(before[name], value, *counts) if name in before else value
    window = Window(started_at_s(first), sum(counts), gauges)
    return joined(first, second)._replace(window=window)


def joined(first: Sample, second: Sample) -> Sample:
    """Return the last state of two consecutive samples of one host, without a window."""
    errors = {**(first.errors or {}), **(second.errors or {})}
    return second._replace(
        node=second.node or first.node,
        cgroup=second.cgroup or first.cgroup,
        job=second.job or first.job,
        rest=second.rest or first.rest,
        processes=_merge_processes(first.processes, second.processes),
        gpus=_merge_gpus(first.gpus, second.gpus),
        exported=second.exported or first.exported,
        ranks=merge_ranks(first.ranks, second.ranks),
        errors=errors or None,
        window=None,
    )


def started_at_s(sample: Sample) -> float:
    """Return the time of the first reading that a sample holds, in s since the epoch."""
    return sample.window.started_at_s if sample.window else sample.at_s


def _merge_gpus(first: Optional[list[Gpu]], second: Optional[list[Gpu]]) -> Optional[list[Gpu]]:
    """Keep each device's last state, with the reasons for lower clocks of both samples."""
    if first is None or second is None:
        return second if second is not None else first
    before = {gpu.uuid: gpu.clocks_held_by for gpu in first}
    merged = []
    for gpu in second:
        reasons = [*(before.get(gpu.uuid) or ()), *(gpu.clocks_held_by or ())]
        merged.append(gpu._replace(clocks_held_by=list(dict.fromkeys(reasons))) if reasons else gpu)
    return merged


def merge_ranks(
    first: Optional[list[RankUse]], second: Optional[list[RankUse]]
) -> Optional[list[RankUse]]:
    """Keep every rank of both, with the most of each figure: a rank may have ended meanwhile."""
    if not first or not second:
        return second or first
    known = {one.rank: one for one in first}
    for one in second:
        before = known.get(one.rank, one)
        known[one.rank] = RankUse(
            one.rank,
            max(before.process_count, one.process_count),
            max(before.cpu_s, one.cpu_s),
            max(before.peak_bytes, one.peak_bytes),
        )
    return [known[rank] for rank in sorted(known)]


def _combine(a: Extremes, b: Extremes, count_a: int, count_b: int) -> Extremes:
    mean = (a[1] * count_a + b[1] * count_b) / (count_a + count_b)
    return min(a[0], b[0]), mean, max(a[2], b[2])


def extremes(sample: Sample) -> dict[str, Extremes]:
    """Return minimum, mean and maximum of every known gauge of a sample."""
    gauges = {
        name: (value, value, value)
        for name, value in zip(names(sample), values(sample))
        if value is not None
    }
    if sample.window is not None:
        gauges.update(sample.window.gauges)
    return gauges


def names(sample: Sample) -> list[str]:
    """Return the gauges that a sample may have, as a window names them."""
    found: list[str] = []
    for part in _PARTS_OF_HOST:
        if getattr(sample, part) is not None:
            found += _GAUGES_OF_HOST[part]
    for gpu in sample.gpus or ():
        found += [f"gpu.{gpu.uuid}.{field}" for field in GAUGES["gpu"]]
    if gauge_of_used(sample) == _WHOLE:
        found.append(_WHOLE)
    return found


def values(sample: Sample) -> list[Optional[float]]:
    """Return the value of each of these gauges; None is unknown."""
    found: list[Optional[float]] = []
    for part in _PARTS_OF_HOST:
        record = getattr(sample, part)
        if record is not None:
            found += _READERS[part](record)
    read = _READERS["gpu"]
    for gpu in sample.gpus or ():
        found += read(gpu)
    if gauge_of_used(sample) == _WHOLE:
        found.append(job_used_bytes(sample))
    return found


def _merge_processes(
    first: Optional[list[Process]], second: Optional[list[Process]]
) -> Optional[list[Process]]:
    """Keep all processes of both, each with its latest counters and the argv that came once."""
    if first is None or second is None:
        return second or first
    known = {process.pid: process for process in first}
    for process in second:
        earlier = known.get(process.pid)
        argv = process.argv
        if earlier is not None and argv is None and process.name == earlier.name:
            argv = earlier.argv
        known[process.pid] = process if argv is process.argv else process._replace(argv=argv)
    if len(known) <= MOST_PROCESSES:
        return list(known.values())

    def weight(process: Process) -> float:
        cpu_s = (process.cpu_user_s or 0.0) + (process.cpu_system_s or 0.0)
        return cpu_s + (process.peak_bytes or process.rss_bytes or 0) / 1e9

    return sorted(known.values(), key=weight, reverse=True)[:MOST_PROCESSES]
