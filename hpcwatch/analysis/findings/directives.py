"""Findings as changes of the job script, in the job's own words. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from difflib import SequenceMatcher

from hpcwatch.analysis.findings import Directive, Scope
from hpcwatch.analysis.findings.header import Directives, difference, node_gpus_count, nodes_count
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.base.units import GIB, parse_bytes, parse_clock
from hpcwatch.cluster.schedulers import Job, known
from hpcwatch.cluster.schedulers.request import size


def sees_all(scope: Scope) -> bool:
    """True if every node of the job was watched, and its first sample is not dropped yet.

    Only then is it certain that less would have been enough.
    """
    job = scope.job
    hosts = scope.timeline.hosts.values()
    return (
        job is not None
        and len(hosts) >= len(job.nodes)
        and all(host.first is not None and host.first.at_s == host.at_s[0] for host in hosts)
    )


def fewer_cores(scope: Scope, needed_count: int) -> Directives:
    """Request ``needed_count`` cores per node, if that is less than now."""
    job = scope.job
    asked = job.node_cores_count if job else None
    if job is None or asked is None or not 0 < needed_count < asked or not sees_all(scope):
        return ()
    return _changed(scope, job, job._replace(node_cores_count=needed_count))


def more_cores(scope: Scope, needed_count: int) -> Directives:
    """Request ``needed_count`` cores per node, if that is more than now."""
    job = scope.job
    asked = job.node_cores_count if job else None
    if job is None or asked is None or needed_count <= asked:
        return ()
    return _changed(scope, job, job._replace(node_cores_count=needed_count))


def fewer_gpus(scope: Scope, needed_count: int) -> Directives:
    """Request ``needed_count`` devices per node, if that is less than now. With 0, none."""
    job = scope.job
    asked = node_gpus_count(job) if job else None
    if job is None or asked is None or not 0 <= needed_count < asked or not sees_all(scope):
        return ()
    return _changed(scope, job, job._replace(gpus_count=needed_count * nodes_count(job)))


def fewer_nodes(scope: Scope, needed_count: int) -> Directives:
    """Request ``needed_count`` nodes with as many cores and devices on each as now."""
    job = scope.job
    if job is None or not 0 < needed_count < nodes_count(job) or not sees_all(scope):
        return ()
    return difference(job, on_fewer_nodes(job, needed_count), scope.environment)


def gathered(scope: Scope, needed_count: int) -> Directives:
    """Request the same cores and devices on ``needed_count`` nodes, which are fewer."""
    job = scope.job
    if job is None or not 0 < needed_count < nodes_count(job) or not sees_all(scope):
        return ()
    cores = job.node_cores_count
    new = job._replace(
        nodes=job.nodes[:needed_count],
        nodes_count=needed_count,
        node_cores_count=cores and math.ceil(cores * nodes_count(job) / needed_count),
        node_memory_bytes=job.node_memory_bytes
        and math.ceil(job.node_memory_bytes * nodes_count(job) / needed_count),
    )
    return difference(job, new, scope.environment)


def on_fewer_nodes(job: Job, needed_count: int) -> Job:
    """Return a request for ``needed_count`` nodes, each with its present share."""
    gpus = node_gpus_count(job)
    return job._replace(
        nodes=job.nodes[:needed_count],
        nodes_count=needed_count,
        gpus_count=None if gpus is None else gpus * needed_count,
    )


def more_memory(scope: Scope, needed_bytes: int) -> Directives:
    """Request ``needed_bytes`` per node, if that is more than now."""
    job = scope.job
    asked = job.node_memory_bytes if job else None
    if job is None or (asked is not None and asked >= needed_bytes):
        return ()
    whole = job.memory_bytes  # where a job's memory on several nodes is requested as one amount
    if asked is None and whole is not None and whole >= needed_bytes * nodes_count(job):
        return ()
    return _changed(scope, job, job._replace(node_memory_bytes=needed_bytes))


def limiting_step(scope: Scope, host: HostTimeline) -> str | None:
    """Return Slurm's name of the step whose own memory limit binds; None if the job's does.

    Slurm gives a step without a request of its own the job's limit: only a smaller limit is its
    own.
    """
    job, limit = host.job or scope.job, host.limit.limit_bytes
    whole = job.node_memory_bytes if job is not None else None
    if limit is None or (whole is not None and limit >= whole):
        return None
    step = host.limit.step
    return step if step is not None and step.isdigit() else None  # srun starts no batch script


def more_memory_of_step(scope: Scope, host: HostTimeline, needed_bytes: int) -> Directives:
    """Request ``needed_bytes`` per node for the step, and for the job if it has less."""
    job, limit = host.job or scope.job, host.limit.limit_bytes
    scheduler = known(job.scheduler) if job is not None else None
    if limit is None or scheduler is None or not scheduler.step_memory:
        return ()
    option = scheduler.step_memory
    old, new = (f"{option}={size(given, 'M', 'G')}" for given in (limit, needed_bytes))
    return (Directive(scheduler.name, old, new), *more_memory(scope, needed_bytes))


def less_memory(scope: Scope, needed_bytes: int) -> Directives:
    """Request ``needed_bytes`` per node, if that is less than now."""
    job = scope.job
    asked = job.node_memory_bytes if job else None
    if job is None or asked is None or needed_bytes >= asked or not sees_all(scope):
        return ()
    return _changed(scope, job, job._replace(node_memory_bytes=needed_bytes))


def walltime(scope: Scope, needed_s: int) -> Directives:
    """Request ``needed_s`` of walltime."""
    job = scope.job
    if job is None or not job.walltime_s or job.walltime_s == needed_s:
        return ()
    return _changed(scope, job, job._replace(walltime_s=needed_s))


def _changed(scope: Scope, old: Job, new: Job) -> Directives:
    return difference(old, new, scope.environment)


def rounded_up(size_bytes: float) -> int:
    """Round memory up as a person would: to 1 GiB, above 30 to ten, above 1000 to a hundred."""
    gib = size_bytes / GIB
    step = 1 if gib <= 30 else 10 if gib <= 1000 else 100
    return math.ceil(gib / step) * step * GIB


def rounded_up_s(duration_s: float) -> int:
    """Round a walltime up to 5 minutes."""
    return math.ceil(duration_s / 300.0) * 300


# A word with the character before it; a duration is one word.
_WORDS = re.compile(r"[:,+\s]?(?:[\w./-]+=)?(?:\d+-)?\d+(?::\d\d)+(?=[,\s]|$)|[:,+\s]?[^:,+\s]*")
_AMOUNT = re.compile(r"(.*?[^\w.]|)(\d[\w.:-]*)")


def merged(changes: Iterable[Directive]) -> tuple[Directive, ...]:
    """Return one change per line of a script, with the effect of all changes.

    Where two changes write different amounts into the same word, the larger one wins: it is enough
    for both findings.
    """
    by_line: dict[tuple[str, str], Directive] = {}
    for change in changes:
        key = _line_of(change)
        before = by_line.get(key)
        by_line[key] = change if before is None else _both(before, change)
    return tuple(by_line.values())


def agreed(own: Iterable[Directive], every: Iterable[Directive]) -> tuple[Directive, ...]:
    """Return the effect of every change on the lines of some of the changes."""
    lines = {_line_of(change) for change in own}
    return tuple(change for change in merged(every) if _line_of(change) in lines)


def _line_of(change: Directive) -> tuple[str, str]:
    """Return what identifies the line of a script. An added line is identified by its option."""
    return change.scheduler, change.old or f"+{(change.new or '').partition('=')[0]}"


def _both(one: Directive, other: Directive) -> Directive:
    if one.new is None or other.new is None:
        return one._replace(new=one.new or other.new)
    base = one.new if one.old is None else one.old
    words = _WORDS.findall(base)
    first, second = _edits(words, one.new), _edits(words, other.new)
    if one.old is None:
        made = [max(first[at], second[at], key=_amount) for at in range(len(first))]
    else:
        unchanged = _edits(words, base)
        made = [_larger(word, first[at], second[at]) for at, word in enumerate(unchanged)]
    return one._replace(new="".join(made))


def _edits(words: list[str], text: str) -> list[str]:
    """Return what each word becomes in a text, and each gap between words and at the end."""
    made = ["", *(part for word in words for part in (word, ""))]
    new = _WORDS.findall(text)
    matcher = SequenceMatcher(None, words, new, autojunk=False)
    for kind, start, end, new_start, new_end in matcher.get_opcodes():
        if kind == "insert":
            made[2 * start] = "".join(new[new_start:new_end])
        elif kind != "equal":
            same = min(end - start, new_end - new_start)
            for at in range(end - start):
                made[2 * (start + at) + 1] = new[new_start + at] if at < same else ""
            made[2 * (start + same)] += "".join(new[new_start + same : new_end])
    return made


def _larger(word: str, one: str, other: str) -> str:
    """Return what becomes of a word that one or both of two changes may replace."""
    if word in (one, other):
        return other if one == word else one
    return max(one, other, key=_amount)


def _amount(word: str) -> float:
    """Return the amount at a word's end, to compare it with another; 0 if there is none."""
    match = _AMOUNT.fullmatch(word)
    if match is None:
        return 0.0
    text = match[2]
    amount = parse_clock(text) if ":" in text or "-" in text else parse_bytes(text)
    return float(amount or 0)
