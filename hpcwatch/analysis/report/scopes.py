"""Evaluates the rules on a finished run. Pure.

Each host is a Scope of its own, over the time in which it was read; the job is one over all hosts.
"""

from __future__ import annotations

from hpcwatch.analysis.report.cpu import cores_allowed
from hpcwatch.analysis.report.records import Quality, Summary
from hpcwatch.analysis.timeline import HostTimeline, Timeline
from hpcwatch.probe.typed import Sequence
from hpcwatch.recording.store import Event, Run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hpcwatch.analysis.findings import Finding, Scope, Thresholds
    from hpcwatch.analysis.needs import Observed
    from hpcwatch.analysis.rightsize import Advice

TOO_SHORT_S = 1.0
"""Nothing can be said of so short a run that ended well: its report does not load the rules."""


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


def advice_of(run: Run, seen: Sequence[Observed], thresholds: Thresholds | None) -> Advice | None:
    """Return what to ask for next time. A site's share of memory is that of the findings."""
    from hpcwatch.analysis.rightsize import advise

    share = (thresholds or {}).get("memory-over-share", {}).get("memory_per_core_bytes")
    return None if run.job is None else advise(run.job, seen, run.environment, share)


def job_scope(run: Run, timeline: Timeline, summary: Summary) -> Scope:
    """Return what may be seen of all hosts together."""
    hosts = list(timeline.hosts.values())
    if len(hosts) == 1:
        return host_scope(run, timeline, hosts[0], summary)
    from hpcwatch.analysis.findings import Scope

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
