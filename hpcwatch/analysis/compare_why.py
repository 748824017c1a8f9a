"""Explains from two runs' figures why one took longer or used more memory. Pure.

Time is CPU time over busy cores, so that one of the two, or both, account for every difference. It
says nothing about unknown figures, nor about runs that did not reach their end.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from hpcwatch.analysis.report import Report, Summary
from hpcwatch.analysis.report.records import if_known, sum_if_known, whole
from hpcwatch.base.units import format_bytes, format_clock, format_cores, format_pct, three_digits

SMALL_PCT = 2.0
"""Own: on a quiet node two runs of the same program differ by less."""
_ALIKE_PCT = 10.0  # own: waiting for each other costs threads this much CPU time
_MOST_OF_IT = 0.5


class Explanation(NamedTuple):
    """Why another run's figure differs from the first one's, in numbers."""

    what: str
    """``time``, ``GPU time`` or ``memory``."""
    text: str


def explained(first: Report, other: Report) -> list[Explanation]:
    """Return the reasons; empty if the figures do not differ, or are unknown."""
    return [*_time(first, other), *_gpu_time(first, other), *_memory(first, other)]


def ended_well(report: Report) -> bool:
    """Return whether a run reached its end: else its time means nothing."""
    run = report.run
    return run.ended_at_s is not None and not run.exit_code and run.signal is None


def time_text(seconds: float) -> str:
    """Return a time with the precision of a comparison: ``5.47 s``, ``2:41``."""
    return format_clock(seconds) if seconds >= 60 else f"{three_digits(seconds)} s"


def threads_max(report: Report) -> float | None:
    """Return the most threads alive at one reading, on all hosts together; None if unknown."""
    hosts = report.timeline.hosts.values()
    known = [if_known(whole(host, "thread_count").highest()) for host in hosts]
    most: float | None = sum_if_known(known)
    return most if known else None


def _change_pct(first: float, other: float) -> float:
    return 100 * (other - first) / first


def _are_alike(first: float, other: float, pct: float = _ALIKE_PCT) -> bool:
    return first == other or (first > 0 and abs(_change_pct(first, other)) < pct)


def _time(first: Report, other: Report) -> Iterator[Explanation]:
    """Return whether the amount of work or the number of busy cores differed."""
    a, b = first.summary, other.summary
    if not (ended_well(first) and ended_well(other)) or _are_alike(a.wall_s, b.wall_s, SMALL_PCT):
        return
    if not (a.cpu_s and b.cpu_s and a.cores_used_mean and b.cores_used_mean):
        return
    cores = f"{format_cores(a.cores_used_mean)} and {format_cores(b.cores_used_mean)}"
    rather = f"{format_cores(b.cores_used_mean)} cores busy rather than "
    rather += format_cores(a.cores_used_mean)
    times = f"{time_text(a.cpu_s)} and {time_text(b.cpu_s)}"
    is_same_work = _are_alike(a.cpu_s, b.cpu_s)
    is_as_wide = _are_alike(a.cores_used_mean, b.cores_used_mean)
    more = "more" if b.cpu_s > a.cpu_s else "less"
    work = f"{format_pct(abs(_change_pct(a.cpu_s, b.cpu_s)))} {more} CPU time ({times})"
    if is_same_work and is_as_wide:
        text = f"CPU time ({times}) and busy cores ({cores}) differ by less than 10 % each"
    elif is_same_work:
        text = f"CPU time alike ({times}), {rather}"
    elif is_as_wide:
        text = f"{work}, as many cores busy ({cores})"
    else:
        text = f"{work}, {rather}"
    yield Explanation("time", text + _threads(first, other) + _waiting(first, other))


def _threads(first: Report, other: Report) -> str:
    a, b = threads_max(first), threads_max(other)
    if a is None or b is None or a == b:
        return ""
    return f"; {b:.0f} thread{'s' * (b != 1)} rather than {a:.0f}"


def _waiting(first: Report, other: Report) -> str:
    """Return how long the threads waited at least, if one of them waited most of the time."""
    summaries = first.summary, other.summary
    idle_s = [max(one.wall_s - (one.cpu_s or 0.0), 0.0) for one in summaries]
    if _are_alike(*idle_s):
        return ""
    if all(idle < _MOST_OF_IT * one.wall_s for idle, one in zip(idle_s, summaries)):
        return ""
    return f"; waited {time_text(idle_s[1])} rather than {time_text(idle_s[0])}"


def _gpu_time(first: Report, other: Report) -> Iterator[Explanation]:
    """Return whether the GPUs had more work, or more pauses."""
    if not (ended_well(first) and ended_well(other)):
        return
    if _are_alike(first.summary.wall_s, other.summary.wall_s, SMALL_PCT):
        return
    before, after = _gpu_busy_s(first), _gpu_busy_s(other)
    if not before or not after:
        return
    shares = [
        100 * busy_s / (one.summary.wall_s * len(one.summary.gpus))
        for busy_s, one in ((before, first), (after, other))
    ]
    worked = f"{time_text(before)} and {time_text(after)}"
    alike = "worked about as long" if _are_alike(before, after) else "worked"
    text = f"GPUs {alike} ({worked}), {format_pct(shares[1])} of the time"
    if not _are_alike(*shares):
        text += f" rather than {format_pct(shares[0])}"
    yield Explanation("GPU time", text)


def _gpu_busy_s(report: Report) -> float | None:
    """Return the GPUs' working time, summed over the devices; None if one is unknown."""
    shares = [gpu.util_mean_pct for gpu in report.summary.gpus]
    total_pct: float | None = sum_if_known(shares)
    return None if not shares or total_pct is None else total_pct * report.summary.wall_s / 100


def _memory(first: Report, other: Report) -> Iterator[Explanation]:
    """Return whether more processes, files in memory or one larger process made the difference."""
    a, b = first.summary, other.summary
    before, after = a.memory_peak_bytes, b.memory_peak_bytes
    if not before or not after or _are_alike(before, after):
        return
    told = _by_processes(first, other) or _by_files(first, other) or _by_largest(first, other)
    if told:
        yield Explanation("memory", told)


def _by_processes(first: Report, other: Report) -> str:
    a, b = first.summary, other.summary
    if not a.processes_max or not b.processes_max or a.processes_max == b.processes_max:
        return ""
    each = [(one.memory_peak_bytes or 0) / (one.processes_max or 1) for one in (a, b)]
    if not _are_alike(*each):
        return ""
    count = f"{b.processes_max} process{'es' * (b.processes_max != 1)}"
    sizes = f"{format_bytes(each[0])} and {format_bytes(each[1])}"
    return f"{count} rather than {a.processes_max}, about as much in each ({sizes})"


def _by_files(first: Report, other: Report) -> str:
    a, b = first.summary, other.summary
    files = a.memory_files_bytes, b.memory_files_bytes
    if files[0] is None or files[1] is None or not _is_most_of_it(files[1] - files[0], a, b):
        return ""
    where = b.memory_files_where or a.memory_files_where or "memory"
    return f"files in {where}: {format_bytes(files[1])} rather than {format_bytes(files[0])}"


def _by_largest(first: Report, other: Report) -> str:
    largest = [
        max(one.processes, key=lambda process: process.memory_peak_bytes or 0, default=None)
        for one in (first, other)
    ]
    a, b = largest
    if a is None or b is None or a.memory_peak_bytes is None or b.memory_peak_bytes is None:
        return ""
    change = b.memory_peak_bytes - a.memory_peak_bytes
    if not _is_most_of_it(change, first.summary, other.summary):
        return ""
    sizes = f"{format_bytes(b.memory_peak_bytes)} rather than {format_bytes(a.memory_peak_bytes)}"
    return f"its largest process ({b.name}) held {sizes}"


def _is_most_of_it(change_bytes: int, first: Summary, other: Summary) -> bool:
    """Return whether a change has the direction of the peak's and over half of its size."""
    total = (other.memory_peak_bytes or 0) - (first.memory_peak_bytes or 0)
    return change_bytes / total > _MOST_OF_IT
