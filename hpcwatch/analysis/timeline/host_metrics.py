"""What a host's columns are derived from: gauges, counters, the job's CPU, the limit. Pure."""

from hpcwatch.analysis.limits import Limit
from hpcwatch.analysis.timeline.columns import NAN, Column, GaugeColumns, same
from hpcwatch.probe.schema import Cgroup, JobUse, Node, Sample
from hpcwatch.probe.typed import Any, Iterable, Mapping, NamedTuple, Optional, Sequence
from hpcwatch.recording import metrics
from hpcwatch.recording.job_memory import is_rest_unread

HOST_METRICS = tuple(metric.name for metric in metrics.of_host())
OF_PROCESSES = frozenset(metric.name for metric in metrics.of_host() if metric.part == "job")
"""Metrics that are only as sure as it is which processes are the job's."""

HOST_RATES_OF_JOB = frozenset(
    {"cpu_cores", *(one.name for one in metrics.of_host() if one.part == "job" and one.is_rate)}
)
"""Metrics that tell of the time since the sample before."""
OF_JOB = OF_PROCESSES - {"stranger_cores"} | {"charged_bytes", "cache_bytes"}
"""Metrics that say nothing of a job that has ended."""

_PARTS: dict[str, Any] = {"job": JobUse, "cgroup": Cgroup, "node": Node}


class Sums(NamedTuple):
    """What is summed up over all nodes, of one sample. NaN is unknown."""

    at_s: float
    cores: float
    used_bytes: float
    gpus: float
    """GPUs' worth of utilisation."""
    disk_bytes_per_s: float
    net_bytes_per_s: float


def sums_at(
    at_s: float, columns: Mapping[str, Column], utils: Iterable[Column], index: int
) -> Sums:
    """Return the sums at a sample's place; ``utils`` are the utilisations of the devices."""
    disk = known_sum(
        [columns[name].mean[index] for name in ("read_bytes_per_s", "written_bytes_per_s")]
    )
    return Sums(
        at_s,
        columns["cpu_cores"].mean[index],
        columns["used_bytes"].mean[index],
        known_sum([column.mean[index] for column in utils]) / 100.0,
        disk,
        columns["net_bytes_per_s"].mean[index],
    )


def known_sum(values: Sequence[float]) -> float:
    """Return the sum of those that are known; NaN if none is."""
    total = sum(values)
    if values and total == total:
        return total
    known = [value for value in values if value == value]
    return sum(known) if known else NAN


def gauge_columns(columns: Mapping[str, Column]) -> list[tuple[str, GaugeColumns]]:
    """Return the columns of the gauges by the part of a sample that they are read from."""
    made = []
    for part, record in _PARTS.items():
        own = [one for one in metrics.of_host() if one.part == part and one.fields]
        gauges = [one for one in own if not one.is_rate]
        made.append((part, GaugeColumns(columns, gauges, record, part)))
    return made


class RateColumn(NamedTuple):
    """A rate's column, and the counters that it is derived from."""

    column: Column
    part: str
    places: tuple[int, ...]
    """Where the counters stand in the part."""
    more: tuple[str, ...]
    """Counters without a field of their own."""


def rate_columns(columns: Mapping[str, Column]) -> list[RateColumn]:
    """Return where each rate is put, and what it is derived from."""
    return [
        RateColumn(columns[one.name], one.part, *metrics.places(_PARTS[one.part], one.fields))
        for one in metrics.of_host()
        if one.is_rate
    ]


def cpu_counter_s(sample: Sample) -> Optional[float]:
    """Return the job's CPU counter.

    Its group's, unless the program that we watch is one of several tasks in it; else that of its
    processes. Where others' processes are hidden, those of a whole node are the node's own.
    """
    job, cgroup, node = sample.job, sample.cgroup, sample.node
    is_task = job is not None and job.found_by == "tree" and not job.is_whole_job
    if cgroup is not None and cgroup.is_job and cgroup.cpu_s is not None and not is_task:
        return cgroup.cpu_s
    if job is not None and job.found_by == "visible":
        parts = (node.cpu_user_s, node.cpu_system_s) if node is not None else (None, None)
        return sum_known(*parts)
    if job is None:
        return None
    if is_rest_unread(sample):
        return None
    own_s, rest = sum_known(job.cpu_user_s, job.cpu_system_s), sample.rest
    if rest is None or own_s is None:
        return own_s
    return sum_known(own_s, sum_known(rest.cpu_user_s, rest.cpu_system_s))


def throttled_pct(now: Optional[Cgroup], then: Optional[Cgroup]) -> float:
    """Return the share of the CPU quota's periods in which the group was made to wait, 0 to 100.

    NaN where there is no quota. A group that did not want to run was not made to wait: 0.
    """
    if now is None or then is None or now.path != then.path:
        return NAN
    if now.cpu_quota_cores != then.cpu_quota_cores:
        return NAN  # the counters are another quota's
    periods = _grown(then.cpu_period_count, now.cpu_period_count)
    throttled = _grown(then.cpu_throttled_count, now.cpu_throttled_count)
    if periods == 0:
        return NAN if now.cpu_quota_cores is None else 0.0
    return 100 * throttled / periods


def _grown(start: Optional[int], end: Optional[int]) -> float:
    """Return how far a counter went; NaN if it is unknown or was reset."""
    return NAN if start is None or end is None or end < start else float(end - start)


def sum_known(one: Optional[float], other: Optional[float]) -> Optional[float]:
    """Return the sum of two figures; None if one is unknown."""
    return None if one is None or other is None else one + other


def charged(
    sample: Sample, limit: Limit, used: Optional[tuple[float, float, float]]
) -> tuple[float, float, float]:
    """Return what counts against the limit: low, mean and high."""
    gauges = sample.window.gauges if sample.window else {}
    if limit.source == "cgroup":
        group = sample.cgroup
        is_same = group is not None and limit.charged_bytes == group.used_bytes
        own = gauges.get("cgroup.used_bytes") if is_same else None
        return gauges.get("cgroup.limit_used_bytes") or own or same(limit.charged_bytes)
    if limit.source == "request" and used is not None:
        return used
    available = gauges.get("node.memory_available_bytes")
    if limit.source == "node" and available is not None and limit.limit_bytes is not None:
        low, mean, high = available
        return limit.limit_bytes - high, limit.limit_bytes - mean, limit.limit_bytes - low
    return same(limit.charged_bytes)


def growth(now: Any, then: Any, rate: RateColumn) -> float:
    """Return the sum of how far counters went; NaN if one is unknown or was reset."""
    total = 0.0
    for place in rate.places:
        end, start = now[place], then[place]
        if end is None or start is None or end < start:
            return NAN
        total += end - start
    for key in rate.more:
        end, start = (now.more or {}).get(key), (then.more or {}).get(key)
        if end is None or start is None or end < start:
            return NAN
        total += end - start
    return total
