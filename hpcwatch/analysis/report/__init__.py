"""The Report: all that views show of a run. Pure. Anything unknown is None."""

from __future__ import annotations

from hpcwatch.analysis.costs import Rates
from hpcwatch.analysis.report.cpu import cores_allowed
from hpcwatch.analysis.report.nodes import largest_processes, node_summary, quality_of
from hpcwatch.analysis.report.records import GpuSummary, ProcessSummary, Quality, Report, Summary
from hpcwatch.analysis.report.summary import summary_of
from hpcwatch.analysis.timeline import HostTimeline, Timeline
from hpcwatch.probe.typed import Iterable, Sequence
from hpcwatch.recording.store import Event, Run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hpcwatch.analysis.advice import Made
    from hpcwatch.analysis.advice_check import Past
    from hpcwatch.analysis.costs import Costs
    from hpcwatch.analysis.findings import Finding, Scope, Thresholds
    from hpcwatch.analysis.needs import Observed
    from hpcwatch.analysis.report.energy import Energy, MountTraffic
    from hpcwatch.analysis.report.records import RankBalance, RankSummary
    from hpcwatch.analysis.rightsize import Advice

__all__ = [
    "TOO_SHORT_S",
    "GpuSummary",
    "ProcessSummary",
    "Quality",
    "Report",
    "Summary",
    "build",
    "cores_allowed",
]

TOO_SHORT_S = 1.0
"""Nothing can be said of so short a run that ended well: its report does not load the rules."""


def build(
    run: Run,
    timeline: Timeline,
    events: Iterable[Event] = (),
    odd_lines: int = 0,
    thresholds: Thresholds | None = None,
    is_running: bool | None = None,
    earlier: Sequence[Past] = (),
    rates: Rates | None = None,
) -> Report:
    """Make the report of a run that ended, still runs, or whose monitor was killed.

    ``earlier`` holds runs of the same name before it, the latest last. Without ``rates`` the report
    has no costs.
    """
    run = run.masked()
    hosts = _in_order(run, timeline)
    _end(run, hosts)
    told = [event.masked() for event in _steadied(run, timeline, events)]
    wall_s = _wall_s(run, hosts)
    summary = summary_of(run, hosts, wall_s)
    quality = quality_of(run, hosts, summary, odd_lines)
    observed = observed_of(run, timeline, summary, quality)
    made = advice_of(run, observed, earlier, thresholds) if observed is not None else None
    advice = made.advice if made is not None else None
    ranks, balance = _ranks(hosts)
    return Report(
        run=run,
        summary=summary,
        findings=_agreeing(
            findings_of(run, timeline, summary, tuple(told), thresholds), advice, run
        ),
        nodes=[node_summary(run, host, wall_s) for host in hosts],
        processes=largest_processes(hosts),
        events=told,
        quality=quality,
        timeline=timeline,
        is_running=is_running,
        advice=advice,
        observed=observed,
        costs=_costs(rates, run, hosts, summary, advice),
        energy=_energy(rates, run, hosts, wall_s),
        mounts=_mounts(hosts),
        prediction=made.prediction if made is not None else None,
        last_advice=made.check if made is not None else None,
        ranks=ranks,
        rank_balance=balance,
    )


def _agreeing(found: list[Finding], advice: Advice | None, run: Run) -> list[Finding]:
    """Return the findings with the amounts of the suggestion beside them."""
    if not found or advice is None:
        return found
    from hpcwatch.analysis.advice_agree import agreeing

    return agreeing(found, advice, run.job, run.environment)


def _ranks(hosts: list[HostTimeline]) -> tuple[list[RankSummary], RankBalance | None]:
    """Return the ranks of a parallel program; most programs are none."""
    if not any(host.ranks for host in hosts):
        return [], None
    from hpcwatch.analysis.report.ranks import balance_of, ranks_of

    ranks = ranks_of(hosts)
    return ranks, balance_of(ranks)


def _costs(
    rates: Rates | None,
    run: Run,
    hosts: list[HostTimeline],
    summary: Summary,
    advice: Advice | None,
) -> Costs | None:
    """Return what it cost; most sites write no rates down."""
    if rates is None or not rates.are_known:
        return None
    from hpcwatch.analysis.report.costs import costs_of

    return costs_of(rates, run, hosts, summary, advice)


def _energy(
    rates: Rates | None, run: Run, hosts: list[HostTimeline], wall_s: float
) -> Energy | None:
    """Return the energy; most runs have neither a device nor an exporter."""
    if run.job is None or not any(host.gpus or host.exported for host in hosts):
        return None
    from hpcwatch.analysis.report.energy import energy_of

    return energy_of(run, hosts, wall_s, rates and rates.grid)


def _mounts(hosts: list[HostTimeline]) -> list[MountTraffic]:
    """Return the traffic by mount that exporters published."""
    if not any(host.exported for host in hosts):
        return []
    from hpcwatch.analysis.report.energy import mounts_of

    return mounts_of(hosts)


def _in_order(run: Run, timeline: Timeline) -> list[HostTimeline]:
    """Return the hosts in the job's order, not in that of their first answers."""
    places = {name: place for place, name in enumerate(run.hosts)}
    hosts = timeline.hosts.values()
    return sorted(hosts, key=lambda host: places.get(host.name, len(places)))


def _steadied(run: Run, timeline: Timeline, events: Iterable[Event]) -> list[Event]:
    """Return the events with times of the steady clock of the host whose monitor recorded them."""
    host = timeline.hosts.get(run.monitor_host or next(iter(run.hosts), ""))
    return list(events) if host is None else host.clock.steadied(events, run.started_at_s)


def _end(run: Run, hosts: list[HostTimeline]) -> None:
    """Leave out readings after the end: what is used then is not the run's.

    A scheduler gives a job's end in whole seconds, and its clock may differ from a node's by so
    much that all readings come after the end: then nothing is cut.
    """
    job = run.job if run.kind == "job" else None
    end_s = run.ended_at_s if job is None else job.ended_at_s
    if end_s is None:
        return
    if job is None:  # its wall time comes from a monotonic clock
        end_s = max(end_s, run.started_at_s + (run.wall_s or 0.0))
    slack_s = 0.0 if job is None else 1.0
    for host in hosts:
        if host.first_at_s <= end_s or job is None:
            host.end_at(end_s + slack_s)


def _wall_s(run: Run, hosts: list[HostTimeline]) -> float:
    """Return how long the program ran; of a watched job, how long the job has.

    A job's time is its scheduler's count, which leaves out suspension.
    """
    job = run.job if run.kind == "job" else None
    ends = [host.last.at_s for host in hosts if host.last is not None]
    last_s = max(ends, default=run.ended_at_s or run.started_at_s)
    elapsed_s = job.elapsed_at(last_s) if job is not None else None
    if elapsed_s is not None:
        return elapsed_s
    if run.wall_s is not None:
        return run.wall_s
    return max(last_s - run.started_at_s, 0.0)


def findings_of(
    run: Run,
    timeline: Timeline,
    summary: Summary,
    events: tuple[Event, ...],
    thresholds: Thresholds | None,
) -> list[Finding]:
    """Return what the rules say of each host and of the job, the worst first."""
    ended_well = run.ended_at_s is not None and not (run.signal or run.exit_code)
    # A kill that the kernel counted is proof, however short the run was.
    is_proven = any(host.marks.kill_count for host in timeline.hosts.values())
    if ended_well and not is_proven and summary.wall_s < TOO_SHORT_S:
        return []
    from hpcwatch.analysis.findings import evaluate, settled

    scopes = [
        host_scope(run, timeline, host, summary)._replace(events=events)
        for host in timeline.hosts.values()
    ]
    found = [finding for scope in scopes for finding in evaluate(scope, thresholds)]
    if len(scopes) != 1 and run.job is not None:  # else that one was asked about the job, too
        whole = job_scope(run, timeline, summary)._replace(events=events)
        found += evaluate(whole, thresholds, is_of_job=True)
    return settled(found)


def observed_of(
    run: Run, timeline: Timeline, summary: Summary, quality: Quality
) -> Observed | None:
    """Return what the run showed of its job's needs; None outside of a job."""
    if run.job is None:
        return None
    from hpcwatch.analysis.needs import observe

    return observe(job_scope(run, timeline, summary), run.kind, quality.coverage_pct)


def advice_of(
    run: Run, observed: Observed, earlier: Sequence[Past], thresholds: Thresholds | None
) -> Made | None:
    """Return what to request next time. A site's share of memory is that of the findings."""
    if run.job is None:
        return None
    from hpcwatch.analysis.advice import made

    share = (thresholds or {}).get("memory-over-share", {}).get("memory_per_core_bytes")
    return made(run, run.job, observed, earlier, share)


def job_scope(run: Run, timeline: Timeline, summary: Summary) -> Scope:
    """Return what may be seen of all hosts together."""
    hosts = list(timeline.hosts.values())
    if len(hosts) == 1:
        return host_scope(run, timeline, hosts[0], summary)
    from hpcwatch.analysis.findings import Scope

    ends = [host.at_s[-1] for host in hosts if host.at_s]
    job = run.job if run.kind == "job" else None  # a watched job's time counts from its own start
    begun_s = (job.started_at_s if job is not None else None) or run.started_at_s
    end_s = max(ends, default=begun_s + summary.wall_s)
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
        memory_mark_bytes=run.memory_peak_bytes,
    )


def host_scope(run: Run, timeline: Timeline, host: HostTimeline, summary: Summary) -> Scope:
    """Return what the rules may see of one host, over the time in which it was read."""
    from hpcwatch.analysis.findings import Scope

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
        memory_mark_bytes=run.memory_peak_bytes,
    )
