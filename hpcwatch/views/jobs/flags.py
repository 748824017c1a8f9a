"""What is worth saying of a job from its scheduler's accounting alone, and how it is accounted.

The same limits and the same words as the rules of `hpcwatch.analysis.findings`, which see far
more: they read the job's nodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from hpcwatch.analysis.findings import ACCUSE_AFTER_S, Severity, Thresholds, rules
from hpcwatch.base.clean import clean
from hpcwatch.base.units import format_cores, format_of_bytes, format_pct, format_seconds
from hpcwatch.cluster.schedulers import NAMES, dialect
from hpcwatch.cluster.schedulers.job import Coverage, Job, JobState
from hpcwatch.views.jobs.reasons import own_words, plain

_ENDS_SOON_S = 600.0  # docs/findings.md, will-not-finish
_ENDS_SOON_SHARE = 0.1  # of the walltime: a job of ten minutes is not about to end all the time


class Flag(NamedTuple):
    """One thing to say of a job."""

    rule: str
    """The finding's rule; ``waits`` and ``ended`` where none is broken."""
    severity: Severity
    text: str


class Used(NamedTuple):
    """What a job uses of what it asked for, on those nodes that are accounted."""

    covers: Coverage | None
    """None if nothing is accounted."""
    cores: float | None = None
    """Mean since it started."""
    cores_count: int | None = None
    memory_bytes: int | None = None
    memory_asked_bytes: int | None = None


def elapsed_s(job: Job, now_s: float) -> float | None:
    """Return for how long a job has run, or ran; None if it did not start."""
    return job.elapsed_at(now_s)


def used(job: Job, now_s: float) -> Used:
    """Return what the accounting says, and what it is to be held against.

    Recordings of older versions may hold the use of the first node alone.
    """
    cores_count, memory_asked = job.cores_count, job.memory_bytes
    usage = job.usage
    if usage is None:
        return Used(None, None, cores_count, None, memory_asked)
    if usage.covers is Coverage.FIRST_NODE and job.allocation:
        cores_count, memory_asked = job.allocation[0].cores_count, job.allocation[0].memory_bytes
    # The walltime of the accounting belongs to its CPU time: both may be a minute old.
    over_s = usage.walltime_s or elapsed_s(job, now_s)
    cores = usage.cpu_s / over_s if usage.cpu_s is not None and over_s else None
    return Used(usage.covers, cores, cores_count, usage.memory_bytes, memory_asked)


def flags_of(job: Job, now_s: float, changed: Thresholds | None = None) -> tuple[Flag, ...]:
    """Return what there is to say of a job, worst first. ``changed`` overrides thresholds."""
    if job.state.is_waiting:
        return _waiting(job)
    if job.state.is_over or job.state is JobState.UNKNOWN:
        return _ended(job)
    limits = {
        name: {**entry.defaults, **(changed or {}).get(name, {})} for name, entry in rules().items()
    }
    found = [*_time(job, now_s), *_cores(job, now_s, limits), *_memory(job, now_s, limits)]
    return tuple(sorted(found, key=lambda flag: -flag.severity))


def _waiting(job: Job) -> tuple[Flag, ...]:
    if not job.reason:
        return ()
    words, own = plain(job.reason, job.id), own_words(job.reason)
    if words and job.licenses and "licence" in words:
        words = f"{words}: {clean(job.licenses)}"
    text = f"{words} ({job.scheduler}: {own})" if words else own
    return (Flag("waits", Severity.INFO, text),)


_TOLD = ("NonZeroExitCode", "TimeLimit", "OutOfMemory", "NodeDown", "RaisedSignal")
_BAD = {
    JobState.FAILED: Severity.WARNING,
    JobState.TIMEOUT: Severity.WARNING,
    JobState.OUT_OF_MEMORY: Severity.WARNING,
    JobState.NODE_FAILED: Severity.WARNING,
}


def _ended(job: Job) -> tuple[Flag, ...]:
    if job.state is JobState.COMPLETED:
        return ()
    if job.tasks is not None:
        return ()
    words = job.exit.words if job.exit is not None else ""
    # A reason that says again how the exit code says it ended adds nothing.
    is_in_reason = job.scheduler in NAMES and dialect(job.scheduler).is_end_in_reason
    is_told = not is_in_reason or job.reason in _TOLD or not job.reason
    text = " · ".join(filter(None, [words, None if is_told and words else job.reason]))
    return (Flag("ended", _BAD.get(job.state, Severity.INFO), text),) if text else ()


def _time(job: Job, now_s: float) -> list[Flag]:
    ran_s = elapsed_s(job, now_s)
    if ran_s is None or not job.walltime_s or job.state is JobState.SUSPENDED:
        return []
    left_s = int(job.walltime_s - ran_s)
    if left_s > min(_ENDS_SOON_S, _ENDS_SOON_SHARE * job.walltime_s):
        return []
    text = f"ends in {format_seconds(left_s)}"
    if left_s <= 0:
        text = f"over its walltime by {format_seconds(-left_s)}"
    return [Flag("will-not-finish", Severity.WARNING, text)]


def _cores(job: Job, now_s: float, limits: Mapping[str, Mapping[str, Any]]) -> list[Flag]:
    use = used(job, now_s)
    if use.cores is None or not use.cores_count or use.cores_count < 2 or job.gpus_count:
        return []  # the cores of a job with GPUs feed the devices
    if use.covers is Coverage.FIRST_NODE_OR_MORE:  # the rest may be busy, and not counted
        return []
    if (elapsed_s(job, now_s) or 0.0) < ACCUSE_AFTER_S:
        return []
    where = " on the first node" if use.covers is Coverage.FIRST_NODE else ""
    serial, low = limits["serial-on-many-cores"], limits["cpu-low"]
    if serial["least_cores"] <= use.cores <= serial["most_cores"] and len(job.nodes) == 1:
        text = f"1 of {use.cores_count} cores busy: the program is serial"
        return _milder(job, Flag("serial-on-many-cores", Severity.WARNING, text))
    pct = 100 * use.cores / use.cores_count
    if pct >= low["info_pct"]:
        return []
    severity = Severity.WARNING if pct < low["warning_pct"] else Severity.INFO
    text = f"{format_cores(use.cores)} of {use.cores_count} cores busy{where} ({format_pct(pct)})"
    return _milder(job, Flag("cpu-low", severity, text))


def _milder(job: Job, flag: Flag) -> list[Flag]:
    """In an interactive job a person thinks between commands."""
    if not job.is_interactive:
        return [flag]
    return [flag._replace(severity=Severity.INFO)] if flag.severity > Severity.INFO else []


def _memory(job: Job, now_s: float, limits: Mapping[str, Mapping[str, Any]]) -> list[Flag]:
    use = used(job, now_s)
    if use.memory_bytes is None or not use.memory_asked_bytes:
        return []
    share, near = use.memory_bytes / use.memory_asked_bytes, limits["memory-near-limit"]
    if share <= near["near_share"]:
        return []
    severity = Severity.CRITICAL if share > near["critical_share"] else Severity.WARNING
    amount = format_of_bytes(use.memory_bytes, use.memory_asked_bytes)
    text = f"memory {format_pct(100 * share)} of request: {amount}"
    return [Flag("memory-near-limit", severity, text)]
