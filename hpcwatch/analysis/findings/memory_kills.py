"""The finding on processes that were killed because memory ran out."""

from __future__ import annotations

from collections.abc import Iterator

from hpcwatch.analysis.findings import MEMORY_PLOTS, Finding, Scope, Severity, is_guess, rule
from hpcwatch.analysis.findings.directives import (
    limiting_step,
    more_memory,
    more_memory_of_step,
    rounded_up,
)
from hpcwatch.analysis.findings.header import Directives
from hpcwatch.analysis.findings.memory import (
    Usage,
    evidence_of,
    of_limit,
    oom_kills,
    step_option,
    usage_of,
)
from hpcwatch.analysis.findings.shared import Told, between, known_evidence
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.analysis.timeline.seen import Mark
from hpcwatch.base.units import MIB, format_bytes
from hpcwatch.cluster.schedulers.job import Job, JobState
from hpcwatch.cluster.schedulers.job_exit import Cause

_SIGKILL = 9
_KILLED_EXIT_CODES = (
    -_SIGKILL,
    128 + _SIGKILL,
)  # 137: a shell's code for it


@rule(
    "memory-killed",
    silences=("memory-near-limit", "memory-will-run-out"),
    is_of_job=True,
    plots=MEMORY_PLOTS,
)
def memory_killed(
    scope: Scope,
    *,
    killed_share: float = 0.85,
    mark_share: float = 0.95,
    last_s: float = 120.0,
    peak_factor: float = 1.5,
    limit_factor: float = 1.2,
) -> Iterator[Finding]:
    """A process was killed because memory ran out: always critical, however few samples there are.

    The kernel counted such a kill in the job's control group since the program began. Or the
    program died of signal 9 (137 in a shell's words) and memory was at 85 % of the limit at a
    reading in its last 2 min, or a high-water mark that the kernel keeps of the group or of a
    process rose to 95 % of it then: a kill between two readings leaves no other trace. Or the
    scheduler says so of the job or one of its steps. The advice is to request 1.5 times the peak,
    at least 1.2 times the limit, as the sampled peak is a lower bound. If a step's own limit was
    reached, that limit must be raised.
    Source: NeSI's and Princeton's advice to users.
    """
    hosts = list(scope.timeline.hosts.values())
    is_known = False
    for host in hosts:
        kills = oom_kills(host)
        usage = usage_of(host, scope.end_s - last_s, scope.end_s)
        is_near = _was_near(scope, host, usage, killed_share, mark_share, last_s)
        if not kills and not (_is_killed(scope) and is_near):
            continue
        is_known = True
        whole = usage_of(host, scope.start_s, scope.end_s)
        yield _killed_on(scope, host, whole, kills, peak_factor, limit_factor)
    if not is_known and scope.job is not None and _is_schedulers_word(scope.job):
        yield _killed_by_word(scope, scope.job, hosts, peak_factor, limit_factor)


def _is_killed(scope: Scope) -> bool:
    """True if the program, or the last command of its shell, died of SIGKILL."""
    if scope.is_live:
        return False
    return scope.signal == _SIGKILL or scope.exit_code in _KILLED_EXIT_CODES


def _is_schedulers_word(job: Job) -> bool:
    is_of_exit = job.exit is not None and (
        job.exit.cause is Cause.MEMORY or job.exit.is_step_out_of_memory
    )
    return job.state is JobState.OUT_OF_MEMORY or is_of_exit


def _was_near(
    scope: Scope,
    host: HostTimeline,
    usage: Usage,
    killed_share: float,
    mark_share: float,
    last_s: float,
) -> bool:
    """True if a reading, or a mark that rose lately, shows memory at the limit."""
    if is_guess(scope, host, "charged_bytes", scope.end_s - last_s):
        return False
    limit = usage.limit_bytes if usage.limit_bytes == usage.limit_bytes else host.limit.limit_bytes
    if not limit:
        return False
    if usage.used_high_bytes >= killed_share * limit:
        return True
    if host.limit.source == "node":
        return False  # the marks are the job's, and others use the node's memory too
    return _fresh_mark(scope, host, last_s) >= mark_share * limit


def _fresh_mark(scope: Scope, host: HostTimeline, last_s: float) -> float:
    """Return the largest mark that rose in the last ``last_s``, in bytes; 0 if none did.

    The group's mark includes page cache, which is freed before a kill: the largest known cache is
    subtracted, unless the mark is beyond doubt.
    """
    marks = host.marks

    def fresh(mark: Mark) -> int:
        is_fresh = mark.risen_at_s is not None and mark.risen_at_s > scope.end_s - last_s
        return (mark.size_bytes or 0) if is_fresh else 0

    process = fresh(marks.process)
    if (scope.memory_mark_bytes or 0) > (marks.process.size_bytes or 0):
        process = scope.memory_mark_bytes or 0
    if marks.group.size_bytes is not None:
        process = min(process, marks.group.size_bytes)
    cache = host.part("cache_bytes", scope.start_s, scope.end_s).highest()
    group_now = host.last.cgroup if host.last is not None else None
    limited = marks.limited.get((group_now.limit_path if group_now is not None else None) or "")
    group = (fresh(limited) if limited is not None else 0) - (cache if cache == cache else 0.0)
    if host.limit.step is not None:
        process = 0  # it is unknown whether that process is the step's
    return max(float(process), group)


def _killed_on(
    scope: Scope,
    host: HostTimeline,
    usage: Usage,
    kills: int,
    peak_factor: float,
    limit_factor: float,
) -> Finding:
    """Return the finding on one host."""
    limit, step = host.limit.limit_bytes, limiting_step(scope, host)
    peak = usage.used_high_bytes if usage.used_high_bytes == usage.used_high_bytes else 0.0
    if host.limit.step is None:  # else the job's own figures are not the step's
        mark = max(scope.memory_mark_bytes or 0, host.marks.process.size_bytes or 0)
        peak = max(peak, host.used_peak_bytes or 0, min(mark, limit or 0))
    needed = None
    # A larger request does not move a node's limit, and there may be no request.
    if host.limit.source in ("cgroup", "request") and limit is not None:
        needed = _rounded(max(limit_factor * limit, peak_factor * peak), step)
    killed = "1 process" if kills == 1 else f"{kills} processes"
    told = Told(
        rule="memory-killed",
        severity=Severity.CRITICAL,
        title=f"out of memory: the kernel killed {killed}"
        if kills
        else f"killed, probably out of memory: ≥ {of_limit(host, peak, limit or 0)}",
        evidence=evidence_of(host, usage) | {"oom_kill_count": kills},
        advice=_advice(host, step, peak, needed),
        directives=_directives(scope, host, step, needed),
    )
    return between(scope.end_s, 0.0, host.name, told)


def _rounded(size_bytes: float, step: str | None) -> int:
    """Round up the memory to request: a step may be small, and requests a share of the job's."""
    if step is None or size_bytes > 1024 * MIB:
        return rounded_up(size_bytes)
    return -(-int(size_bytes) // (10 * MIB)) * 10 * MIB


def _directives(
    scope: Scope, host: HostTimeline, step: str | None, needed_bytes: int | None
) -> Directives:
    if needed_bytes is None:
        return ()
    if step is not None:
        return more_memory_of_step(scope, host, needed_bytes)
    return more_memory(scope, needed_bytes)


def _advice(host: HostTimeline, step: str | None, peak: float, needed_bytes: int | None) -> str:
    seen = (
        f"The largest reading was {format_bytes(peak)}, and the true peak may be higher. "
        if peak
        else ""
    )
    if needed_bytes is not None and step is not None:
        return (
            f"{seen}The limit that was reached is that of step {step} alone: give it "
            f"at least {format_bytes(needed_bytes)}{step_option(host.job, ' with ')}. More memory "
            "for the job does not help it."
        )
    if needed_bytes is not None:
        return f"{seen}Ask for at least {format_bytes(needed_bytes)}."
    if host.limit.source == "node":
        return f"{seen}Run fewer processes a node, or ask for a node with more memory."
    return f"{seen}Ask for more memory."


def _killed_by_word(
    scope: Scope, job: Job, hosts: list[HostTimeline], peak_factor: float, limit_factor: float
) -> Finding:
    """Return the finding that rests only on the scheduler's state. It needs no samples."""
    peaks = [host.used_peak_bytes for host in hosts if host.used_peak_bytes is not None]
    peak, asked = max(peaks, default=None), job.node_memory_bytes
    of_whole = job.state is JobState.OUT_OF_MEMORY
    needed = None
    if asked:
        needed = rounded_up(max(limit_factor * asked, peak_factor * (peak or 0)))
    advice = "Ask for more memory."
    if needed is not None:
        advice = f"Ask for at least {format_bytes(needed)}."
    if not of_whole:
        advice = (
            f"If the step had a limit of its own{step_option(job, ' (', ')')}, that is what has to "
            f"be raised; else {advice[0].lower()}{advice[1:]}"
        )
    told = Told(
        rule="memory-killed",
        severity=Severity.CRITICAL,
        title="out of memory: the scheduler says so of "
        + ("the job" if of_whole else "one of the job's steps"),
        evidence=known_evidence(memory_peak_bytes=peak, limit_bytes=asked),
        advice=advice,
        directives=more_memory(scope, needed) if needed is not None and of_whole else (),
    )
    return between(scope.end_s, 0.0, scope.whole_host, told)
