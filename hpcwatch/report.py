"""The Report: everything a view may see of a run. Pure. Anything unknown is None."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from hpcwatch.findings import Finding, Scope, Thresholds, evaluate, settled
from hpcwatch.probe.schema import Process
from hpcwatch.store import Event, Run
from hpcwatch.timeline import GpuTimeline, HostTimeline, Part, Timeline

if TYPE_CHECKING:
    from hpcwatch.observed import Observed
    from hpcwatch.rightsize import Advice
    from hpcwatch.schedulers.job import Job

LARGEST = 10  # processes named
_TOO_SHORT_S = 1.0  # nothing can be said of so short a run: its report need not load the rules


class GpuSummary(NamedTuple):
    """A device over the whole run."""

    host: str
    index: int  # type: ignore[assignment]  # tuple.index is not missed
    uuid: str
    name: str
    util_mean_pct: float | None
    util_max_pct: float | None
    idle_s: float | None
    memory_peak_bytes: int | None
    memory_total_bytes: int | None
    power_mean_w: float | None
    energy_j: float | None
    sm_active_mean_pct: float | None = None
    label: str = ""
    """``GPU 0``, an instance of a divided device ``GPU 0 MIG 1g.10gb #3``."""
    use: str = "unknown"
    """Whether it worked, did nothing, was never opened, or nobody knows."""
    clocks_held_by: list[str] | None = None
    """Every reason for lower clocks that was seen; None if the driver does not tell."""


class Gap(NamedTuple):
    """A stretch without readings."""

    started_at: str | None
    duration_s: float
    reason: str


class NodeSummary(NamedTuple):
    """One node over the whole run."""

    host: str
    cores_used_mean: float | None
    memory_peak_bytes: int | None
    memory_limit_bytes: int | None
    memory_limit_source: str | None
    read_bytes: int | None
    written_bytes: int | None
    processes_max: int | None
    samples: int
    gaps: list[Gap]


class ProcessSummary(NamedTuple):
    """One of the largest processes."""

    host: str
    pid: int
    name: str
    argv: list[str] | None
    cpu_s: float | None
    memory_peak_bytes: int | None
    gpu_memory_peak_bytes: int | None


class Summary(NamedTuple):
    """The whole run in figures."""

    wall_s: float
    cpu_s: float | None
    cpu_user_s: float | None
    cpu_system_s: float | None
    cores_allocated: int | None
    cores_used_mean: float | None
    cpu_efficiency_pct: float | None
    memory_peak_bytes: int | None
    memory_peak_exact: bool
    memory_limit_bytes: int | None
    memory_limit_source: str | None
    memory_files_bytes: int | None
    """The most that lay in files in memory-backed file systems; part of the peak."""
    memory_files_where: str | None
    read_bytes: int | None
    written_bytes: int | None
    processes_total: int | None
    processes_max: int | None
    gpus: list[GpuSummary]


class Quality(NamedTuple):
    """How it was measured, and what that cost."""

    interval_s: float
    samples: int
    coverage_pct: float | None
    unknown: list[str]
    monitor_cpu_s: float | None
    monitor_memory_bytes: int | None
    probe_errors: dict[str, str]
    odd_lines: int


class Report(NamedTuple):
    """Everything a view may see of a run."""

    run: Run
    summary: Summary
    findings: list[Finding]
    nodes: list[NodeSummary]
    processes: list[ProcessSummary]
    events: list[Event]
    quality: Quality
    timeline: Timeline
    is_running: bool | None = None
    """Of a run without an end: whether its monitor still lives. None if that is not known."""
    advice: Advice | None = None
    """What to ask for next time, or why nothing is suggested; None outside of a job."""
    observed: Observed | None = None
    """What the run showed of the job's needs: later runs of its name look back at it."""


def build(
    run: Run,
    timeline: Timeline,
    events: Iterable[Event] = (),
    odd_lines: int = 0,
    thresholds: Thresholds | None = None,
    is_running: bool | None = None,
    earlier: Sequence[Observed] = (),
) -> Report:
    """Make the report of a run that ended, still runs, or whose monitor was killed.

    ``earlier`` is what runs of the same program showed before, the latest last.
    """
    hosts = _in_order(run, timeline)
    wall_s = _wall_s(run, hosts)
    summary = _summary(run, hosts, wall_s)
    quality = _quality(run, hosts, summary, odd_lines)
    observed = _observed(run, timeline, summary, quality)
    return Report(
        run=run,
        summary=summary,
        findings=_findings(run, timeline, summary, thresholds),
        nodes=[_node(run, host, wall_s) for host in hosts],
        processes=_largest(hosts),
        events=list(events),
        quality=quality,
        timeline=timeline,
        is_running=is_running,
        advice=_advice(run, [*earlier, observed], thresholds) if observed is not None else None,
        observed=observed,
    )


def _in_order(run: Run, timeline: Timeline) -> list[HostTimeline]:
    """Return the hosts in the job's order, not in that of their first answers."""
    places = {name: place for place, name in enumerate(run.hosts)}
    hosts = timeline.hosts.values()
    return sorted(hosts, key=lambda host: places.get(host.name, len(places)))


def _wall_s(run: Run, hosts: list[HostTimeline]) -> float:
    """Return how long the program ran; of a watched job, how long the job has."""
    job = run.job if run.kind == "job" else None
    ends = [host.last.at_s for host in hosts if host.last is not None]
    last_s = max(ends, default=run.ended_at_s or run.started_at_s)
    if job is not None and job.started_at_s is not None:
        return max((job.ended_at_s or last_s) - job.started_at_s, 0.0)
    if run.wall_s is not None:
        return run.wall_s
    return max(last_s - run.started_at_s, 0.0)


def cores_allowed(job: Job | None, host: HostTimeline) -> int | None:
    """Return the cores the job may use on a host: asked for, else allowed by the kernel."""
    asked = host.job or job
    if asked is not None and asked.node_cores_count is not None:
        return asked.node_cores_count
    sample = host.last
    if sample is None or sample.job is None:
        return None
    allowed = sample.job.allowed_cores or _earlier_allowed(host)
    quota = sample.cgroup.cpu_quota_cores if sample.cgroup is not None else None
    if allowed is None or quota is None:
        return allowed
    return max(min(allowed, round(quota)), 1)


def _earlier_allowed(host: HostTimeline) -> int | None:
    """At the end no process is left to ask; the first sample and the named processes know."""
    known = [process.allowed_cores for process in host.processes.values()]
    if host.first is not None and host.first.job is not None:
        known.append(host.first.job.allowed_cores)
    return max((count for count in known if count), default=None)


def _summary(run: Run, hosts: list[HostTimeline], wall_s: float) -> Summary:
    user, system = _cpu(run, hosts)
    cpu_s = _cpu_s(run, user, system)
    job = run.job
    allowed = [cores_allowed(job, host) for host in hosts]
    allocated = _sum(allowed) if hosts else None
    if job is not None and job.cores_count is not None and run.kind == "job":
        allocated = job.cores_count
    used = _cores_used(run, hosts, cpu_s, wall_s)
    peak, is_exact = _memory_peak(run, hosts)
    limits = [host.limit for host in hosts if host.limit.limit_bytes is not None]
    smallest = min(limits, key=lambda limit: limit.limit_bytes or 0, default=None)
    jobs = [host.last.job for host in hosts if host.last is not None and host.last.job is not None]
    return Summary(
        wall_s=wall_s,
        cpu_s=cpu_s,
        cpu_user_s=user,
        cpu_system_s=system,
        cores_allocated=allocated,
        cores_used_mean=used,
        cpu_efficiency_pct=100 * used / allocated if used is not None and allocated else None,
        memory_peak_bytes=peak,
        memory_peak_exact=is_exact,
        memory_limit_bytes=smallest.limit_bytes if smallest else None,
        memory_limit_source=smallest.source if smallest else None,
        memory_files_bytes=_sum([host.files_peak_bytes for host in hosts]) if hosts else None,
        memory_files_where=next((host.files_where for host in hosts if host.files_where), None),
        read_bytes=_sum([use.read_bytes for use in jobs]) if jobs else None,
        written_bytes=_sum([use.written_bytes for use in jobs]) if jobs else None,
        processes_total=sum(use.seen_count for use in jobs) if jobs else None,
        processes_max=sum(host.process_count_max for host in hosts) if jobs else None,
        gpus=_gpus(run, hosts),
    )


def _cpu(run: Run, hosts: list[HostTimeline]) -> tuple[float | None, float | None]:
    """User and system seconds: the kernel's account if the run ended, else what was sampled.

    The kernel accounts for what ran below the monitor; on the job's other nodes counts what was
    used since the run began.
    """
    if run.cpu_user_s is not None:
        elsewhere = [host for host in hosts if host.name not in run.hosts[:1]]
        return (
            _sum([run.cpu_user_s, *(_grown(host, "cpu_user_s") for host in elsewhere)]),
            _sum([run.cpu_system_s, *(_grown(host, "cpu_system_s") for host in elsewhere)]),
        )
    jobs = [host.last.job for host in hosts if host.last is not None and host.last.job is not None]
    if not jobs:
        return None, None
    return _sum([use.cpu_user_s for use in jobs]), _sum([use.cpu_system_s for use in jobs])


def _grown(host: HostTimeline, counter: str) -> float | None:
    """Return how far a counter of the job has gone on a host."""
    first = host.first.job if host.first is not None else None
    last = host.last.job if host.last is not None else None
    start, end = getattr(first, counter, None), getattr(last, counter, None)
    return None if start is None or end is None else max(end - start, 0.0)


def _cpu_s(run: Run, user_s: float | None, system_s: float | None) -> float | None:
    """CPU seconds in all: what was sampled, or what the scheduler accounts for if it saw more."""
    from hpcwatch.schedulers.job import Coverage

    sampled = None if user_s is None or system_s is None else user_s + system_s
    usage = run.job.usage if run.kind == "job" and run.job is not None else None
    if usage is None or usage.cpu_s is None or usage.covers is not Coverage.JOB:
        return sampled
    return max(usage.cpu_s, sampled or 0.0)


def _cores_used(
    run: Run, hosts: list[HostTimeline], cpu_s: float | None, wall_s: float
) -> float | None:
    """Mean of the cores in use: of a watched job while it was watched, else from its counters."""
    if hosts and (run.kind == "job" or not any(map(_is_tree, hosts))):
        means = [_known(_whole(host, "cpu_cores").average()) for host in hosts]
        if all(mean is not None for mean in means):
            return float(_sum(means))
    return cpu_s / wall_s if cpu_s is not None and wall_s > 0 else None


def _is_tree(host: HostTimeline) -> bool:
    """True if what was counted on a host are the monitor's own descendants."""
    use = host.last.job if host.last is not None else None
    return use is None or use.found_by == "tree"


def _whole(host: HostTimeline, metric: str, gpu: str | None = None) -> Part:
    """Return a metric over all that was read of a host."""
    if not host.at_s:
        return host.part(metric, 0.0, 0.0, gpu)
    return host.part(metric, host.at_s[0] - host.span_s[0] - 1.0, host.at_s[-1], gpu)


def _memory_peak(run: Run, hosts: list[HostTimeline]) -> tuple[int | None, bool]:
    """The largest of what was sampled and of any process's own high-water mark.

    Exact only where one process was all there was: its mark is the kernel's. All else is a lower
    bound, for several processes may have peaked together between two readings.
    """
    marks = [run.memory_peak_bytes, *(_marks(host) for host in hosts)]
    mark = max((one for one in marks if one is not None), default=None)
    sampled = [host.used_peak_bytes for host in hosts if host.used_peak_bytes is not None]
    peak = max([*sampled, *([] if mark is None else [mark])], default=None)
    alone = all(host.process_count_max <= 1 for host in hosts)
    seen = sum(host.last.job.seen_count for host in hosts if host.last and host.last.job)
    return peak, bool(peak is not None and peak == mark and alone and seen <= 1)


def _marks(host: HostTimeline) -> int | None:
    sample = host.last
    return sample.job.process_peak_bytes if sample is not None and sample.job is not None else None


def _gpus(run: Run, hosts: list[HostTimeline]) -> list[GpuSummary]:
    """Sum up the job's devices; without a job, all."""
    if not any(host.gpus for host in hosts):
        return []  # most nodes: the modules need not be loaded
    from hpcwatch.findings.devices import shown_gpus

    return [
        _gpu(host, gpu) for host in hosts for gpu in shown_gpus(host.job, host, run.environment)
    ]


def _gpu(host: HostTimeline, gpu: GpuTimeline) -> GpuSummary:
    from hpcwatch.findings.devices import use_of

    util = _whole(host, "util_pct", gpu.uuid)
    zero = _whole(host, "util_zero_pct", gpu.uuid)
    power = _whole(host, "power_w", gpu.uuid)
    return GpuSummary(
        host=host.name,
        index=gpu.index,
        uuid=gpu.uuid,
        name=gpu.name,
        util_mean_pct=_known(util.average()),
        util_max_pct=_known(util.highest()),
        idle_s=_known(zero.average() / 100 * zero.known_s),
        memory_peak_bytes=gpu.memory_peak_bytes,
        memory_total_bytes=gpu.memory_total_bytes,
        power_mean_w=_known(power.average()),
        energy_j=gpu.energy_j,
        sm_active_mean_pct=_known(_whole(host, "sm_active_pct", gpu.uuid).average()),
        label=gpu.label,
        use=use_of(host, gpu).value,
        clocks_held_by=list(gpu.clocks_held_by) if gpu.last.clocks_held_by is not None else None,
    )


def _node(run: Run, host: HostTimeline, wall_s: float) -> NodeSummary:
    job = host.last.job if host.last is not None else None
    cpu_s = None
    if job is not None and job.cpu_user_s is not None and job.cpu_system_s is not None:
        cpu_s = job.cpu_user_s + job.cpu_system_s
    return NodeSummary(
        host=host.name,
        cores_used_mean=_cores_used(run, [host], cpu_s, wall_s),
        memory_peak_bytes=host.used_peak_bytes,
        memory_limit_bytes=host.limit.limit_bytes,
        memory_limit_source=host.limit.source,
        read_bytes=job.read_bytes if job is not None else None,
        written_bytes=job.written_bytes if job is not None else None,
        processes_max=host.process_count_max if job is not None else None,
        samples=host.reading_count,
        gaps=_gaps(host),
    )


def _gaps(host: HostTimeline) -> list[Gap]:
    """Stretches between samples that are longer than a sample can stand for."""
    gaps = []
    for index in range(1, len(host.at_s)):
        missing_s = host.at_s[index] - host.at_s[index - 1] - host.span_s[index]
        if missing_s > host.interval_s:
            started = host.at_s[index - 1]
            gaps.append(Gap(iso(started), missing_s, "no reading: stopped or too busy"))
    return gaps


def _largest(hosts: list[HostTimeline]) -> list[ProcessSummary]:
    """The largest processes by CPU, then memory; each once."""
    found = [_process(host, process) for host in hosts for process in host.processes.values()]
    by_cpu = sorted(found, key=lambda one: -(one.cpu_s or 0))[:LARGEST]
    by_memory = sorted(found, key=lambda one: -(one.memory_peak_bytes or 0))[:LARGEST]
    by_gpu = [one for one in found if one.gpu_memory_peak_bytes]
    return list({(one.host, one.pid): one for one in [*by_cpu, *by_memory, *by_gpu]}.values())


def _process(host: HostTimeline, process: Process) -> ProcessSummary:
    held = [gpu.holders.get(process.pid, 0) for gpu in host.gpus.values()]
    cpu_s = None
    if process.cpu_user_s is not None and process.cpu_system_s is not None:
        cpu_s = process.cpu_user_s + process.cpu_system_s
    return ProcessSummary(
        host=host.name,
        pid=process.pid,
        name=process.name,
        argv=process.argv,
        cpu_s=cpu_s,
        memory_peak_bytes=process.peak_bytes,
        gpu_memory_peak_bytes=sum(held) or None,
    )


def _findings(
    run: Run, timeline: Timeline, summary: Summary, thresholds: Thresholds | None
) -> list[Finding]:
    ended_well = run.ended_at_s is not None and not (run.signal or run.exit_code)
    if ended_well and summary.wall_s < _TOO_SHORT_S:
        return []
    scopes = [_scope(run, timeline, host, summary) for host in timeline.hosts.values()]
    found = [finding for scope in scopes for finding in evaluate(scope, thresholds)]
    if len(scopes) != 1 and run.job is not None:  # else that one was asked about the job, too
        found += evaluate(_job_scope(run, timeline, summary), thresholds, is_of_job=True)
    return settled(found)


def _observed(run: Run, timeline: Timeline, summary: Summary, quality: Quality) -> Observed | None:
    """Return what the run showed of its job's needs; None outside of a job."""
    if run.job is None:
        return None
    from hpcwatch.observed import observe

    return observe(_job_scope(run, timeline, summary), run.kind, quality.coverage_pct)


def _advice(run: Run, seen: Sequence[Observed], thresholds: Thresholds | None) -> Advice | None:
    """Return what to ask for next time. A site's share of memory is that of the findings."""
    from hpcwatch.rightsize import advise

    share = (thresholds or {}).get("memory-over-share", {}).get("memory_per_core_bytes")
    return None if run.job is None else advise(run.job, seen, run.environment, share)


def _job_scope(run: Run, timeline: Timeline, summary: Summary) -> Scope:
    """Return what may be seen of all hosts together."""
    hosts = list(timeline.hosts.values())
    if len(hosts) == 1:
        return _scope(run, timeline, hosts[0], summary)
    ends = [host.at_s[-1] for host in hosts if host.at_s]
    end_s = max(ends, default=run.started_at_s + summary.wall_s)
    return Scope(
        timeline=timeline,
        is_live=False,
        started_at_s=run.started_at_s,
        start_s=run.started_at_s,
        end_s=end_s,
        environment=run.environment,
        exit_code=run.exit_code,
        signal=run.signal,
        cpu_s=summary.cpu_s,
        wall_s=summary.wall_s,
    )


def _scope(run: Run, timeline: Timeline, host: HostTimeline, summary: Summary) -> Scope:
    """Return what the rules may see of one host, over the time in which it was read."""
    is_alone = len(timeline.hosts) == 1
    is_watched = run.kind == "job"  # from outside, and hardly ever from its start
    end_s = run.started_at_s + summary.wall_s
    if is_watched and host.at_s:
        end_s = host.at_s[-1]
    return Scope(
        timeline=timeline if is_alone else timeline.only(host.name),
        is_live=False,
        started_at_s=run.started_at_s,
        start_s=run.started_at_s,
        end_s=end_s,
        cores_allowed=cores_allowed(run.job, host),
        environment=run.environment,
        exit_code=run.exit_code,
        signal=run.signal,
        cpu_s=summary.cpu_s if is_alone else None,
        wall_s=summary.wall_s,
    )


def _quality(run: Run, hosts: list[HostTimeline], summary: Summary, odd_lines: int) -> Quality:
    errors: dict[str, str] = {}
    for host in hosts:
        errors.update({f"{host.name}: {name}": text for name, text in host.errors.items()})
    read_s = sum(sum(host.span_s) for host in hosts)
    nodes = run.job.nodes if run.kind == "job" and run.job is not None else ()
    wanted_s = summary.wall_s * max(len(nodes), len(hosts))
    plain = summary._asdict()
    return Quality(
        interval_s=run.interval_s,
        samples=sum(host.reading_count for host in hosts),
        coverage_pct=min(100 * read_s / wanted_s, 100.0) if wanted_s > 0 else None,
        unknown=sorted(name for name, value in plain.items() if value is None),
        monitor_cpu_s=run.monitor_cpu_s,
        monitor_memory_bytes=run.monitor_memory_bytes,
        probe_errors=errors,
        odd_lines=odd_lines,
    )


def iso(at_s: float | None) -> str | None:
    """Return a time as ISO 8601 in UTC, to the millisecond."""
    if at_s is None:
        return None
    thousandths = int(at_s * 1000) % 1000
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at_s)) + f".{thousandths:03}Z"


def _known(value: float) -> float | None:
    return value if value == value else None


def _sum(values: Iterable[Any]) -> Any:
    """Sum; None if any is unknown."""
    known = list(values)
    return None if any(value is None for value in known) else sum(known)
