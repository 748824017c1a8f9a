"""Functions that rules on several subjects share. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from hpcwatch.analysis.findings import ENOUGH, Directive, Finding, Scope, Severity, Waste
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.analysis.timeline.columns import Part
from hpcwatch.analysis.timeline.gpus import GpuTimeline

HOUR_S = 3600.0
MINUTE_S = 60.0

COUNTS_THE_WHOLE_JOB = ("cgroup", "environment", "shepherd")
"""The ways of finding processes with which none of the job's on that host can be missing."""


class Told(NamedTuple):
    """The texts of a finding."""

    rule: str
    severity: Severity
    title: str
    evidence: dict[str, float | int | str]
    advice: str
    directives: tuple[Directive, ...] = ()
    waste: Waste = Waste()
    entity: str = "job"


def over(part: Part, host: str, told: Told) -> Finding:
    """Return a finding about the stretch that was judged."""
    start_s = part.at_s[0] - part.span_s[0] if part.at_s else 0.0
    return between(start_s, part.asked_s, host, told)


def throughout(scope: Scope, host: str, told: Told) -> Finding:
    """Return a finding about all of the time that its rule judged."""
    return between(scope.start_s, scope.end_s - scope.start_s, host, told)


def between(start_s: float, duration_s: float, host: str, told: Told) -> Finding:
    """Return a finding that began at ``start_s``."""
    return Finding(
        rule=told.rule,
        severity=told.severity,
        host=host,
        entity=told.entity,
        started_at_s=start_s,
        duration_s=duration_s,
        title=told.title,
        evidence=told.evidence,
        advice=told.advice,
        directives=told.directives,
        waste=told.waste,
    )


def stretch_start_s(scope: Scope, window_s: float) -> float:
    """Return where the stretch to judge begins: a window ago, or after the run at its start."""
    return scope.end_s - window_s if scope.is_live else scope.start_s


def asked_cores(scope: Scope, host: HostTimeline) -> int | None:
    """Return the cores requested on a host, else those the job may use there."""
    job = host.job or scope.job
    asked = job.node_cores_count if job is not None else None
    return asked or scope.cores_allowed


def mean_over(
    host: HostTimeline, metric: str, start_s: float, end_s: float, gpu: str | None = None
) -> float | None:
    """Return a metric's mean between two times; None if too little of it is known."""
    part = host.part(metric, start_s, end_s, gpu)
    return part.average() if part.coverage >= ENOUGH else None


def share_where(part: Part, holds: Callable[[float], bool]) -> float:
    """Return the share (0 to 1) of the known time in which a metric's mean meets a condition."""
    known_s = part.known_s
    return part.time_where(lambda _low, mean, _high: holds(mean)) / known_s if known_s else 0.0


def counts_the_whole_job(host: HostTimeline) -> bool:
    """True if everything that belongs to the job on this host is counted.

    For a program that stands for its job, the job's group, or its other processes, must be counted
    too.
    """
    use, last = host.last_use, host.last
    if use is None or last is None:
        return False
    if use.found_by == "tree" and use.is_whole_job:
        group = last.cgroup
        return last.rest is not None or (
            group is not None and group.is_job and group.cpu_s is not None
        )
    return use.found_by in COUNTS_THE_WHOLE_JOB


def known_evidence(**numbers: float | int | str | None) -> dict[str, float | int | str]:
    """Return the known numbers."""
    return {name: value for name, value in numbers.items() if value is not None and value == value}


def gpu_entity(gpu: GpuTimeline) -> str:
    """Return the subject of a finding on a device."""
    return gpu.label


def allowed_count(host: HostTimeline) -> int | None:
    """Return the cores that any known process of the job may run on; None if unknown."""
    ends = [sample.job for sample in (host.first, host.last) if sample is not None]
    known = [process.allowed_cores for process in host.processes.values()]
    known += [use.allowed_cores for use in ends if use is not None]
    return max((count for count in known if count), default=None)
