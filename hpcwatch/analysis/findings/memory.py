"""Findings on memory that counts against the binding limit. Page cache never counts."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import NamedTuple

from hpcwatch.analysis.findings import (
    ENOUGH,
    MEMORY_PLOTS,
    Finding,
    Scope,
    Severity,
    is_guess,
    rule,
)
from hpcwatch.analysis.findings.shared import Told, between
from hpcwatch.analysis.findings.slope import slope_per_s
from hpcwatch.analysis.findings.windows import State, Stretch, stretch_of
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.analysis.timeline.columns import NAN, Part
from hpcwatch.base.units import format_bytes, format_of_bytes, format_seconds
from hpcwatch.cluster.schedulers import known

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hpcwatch.cluster.schedulers.job import Job

_LIMITS = {
    "cgroup": "of its cgroup",
    "request": "requested",
    "node": "of the node",
}
"""The source of the binding limit -> the words that end ``3.7 of 4 GiB …``."""


@rule(
    "memory-near-limit", margins={"near_share": -0.05, "critical_share": -0.02}, plots=MEMORY_PLOTS
)
def memory_near_limit(
    scope: Scope,
    *,
    near_share: float = 0.90,
    critical_share: float = 0.95,
    window_s: float = 60.0,
) -> Iterator[Finding]:
    """Memory used is over 90 % of the binding limit for 60 s; critical over 95 %.

    Used is what counts against the smallest of control group, request and node: never page cache,
    which the kernel gives back when it is needed. At the limit a process is killed without a
    message of its own. It is not an accusation: it appears from the first minute on, also in
    interactive jobs.
    Source: ClusterCockpit's job tagger (90 %); the window is our own.
    """
    for host in scope.timeline.hosts.values():
        if is_guess(scope, host, "charged_bytes", scope.start_s):
            continue
        if scope.is_live and _last_share(host) <= near_share:
            continue
        shares = _shares(host)
        stretch = stretch_of(scope, host, _above(shares, near_share), window_s)
        if stretch is None:
            continue
        is_worse = not shares[-1] <= critical_share or not scope.is_live
        worst = is_worse and stretch_of(scope, host, _above(shares, critical_share), window_s)
        start_s = stretch.end_s - window_s if scope.is_live else stretch.start_s
        of_stretch = usage_of(host, start_s, stretch.end_s)
        used = of_stretch.used_last_bytes if scope.is_live else of_stretch.used_high_bytes
        lasting = "" if scope.is_live else f" for {format_seconds(stretch.length_s)}"
        told = Told(
            rule="memory-near-limit",
            severity=Severity.CRITICAL if worst else Severity.WARNING,
            title=f"memory {_full(used, of_stretch.limit_bytes)} full{lasting}: "
            f"{of_limit(host, used, of_stretch.limit_bytes)}",
            evidence=evidence_of(host, of_stretch) | {"window_s": window_s},
            advice=_near_advice(host, stretch),
        )
        yield between(stretch.start_s, stretch.length_s, host.name, told)


@rule(
    "memory-will-run-out",
    margins={"warning_left_s": 600.0, "critical_left_s": 60.0},
    plots=MEMORY_PLOTS,
)
def memory_will_run_out(
    scope: Scope,
    *,
    warning_left_s: float = 1800.0,
    critical_left_s: float = 300.0,
    long_window_s: float = 600.0,
    window_s: float = 120.0,
) -> Iterator[Finding]:
    """Memory grows so that it reaches its limit in under 30 min; critical under 5 min. Live only.

    The growth is a Theil-Sen slope, which single jumps do not move, over the last 10 min (or the
    run so far) and over the last 2 min. Both must be positive, and the faster counts: a program
    that stopped growing is not reported, one that has just started to grow is, and one that freed
    memory, so that it uses less than the mean of the last 2 min, is not. Not in the first 2 min, in
    which most programs read their input.
    Source: our own.
    """
    if not scope.is_live or scope.ran_s < window_s:
        return
    for host in scope.timeline.hosts.values():
        if is_guess(scope, host, "charged_bytes", scope.end_s - long_window_s):
            continue
        growth = _steady_growth(scope, host, window_s, long_window_s)
        if growth is None:
            continue
        usage = usage_of(host, scope.end_s - window_s, scope.end_s)
        if usage.used_last_bytes < usage.used_mean_bytes:
            continue
        left_s = (usage.limit_bytes - usage.used_last_bytes) / growth
        if not left_s < warning_left_s:
            continue
        left_s = max(left_s, 0.0)
        clock = time.strftime("%H:%M", time.localtime(scope.end_s + left_s))
        told = Told(
            rule="memory-will-run-out",
            severity=Severity.CRITICAL if left_s < critical_left_s else Severity.WARNING,
            title=f"memory full at about {clock}: "
            f"{of_limit(host, usage.used_last_bytes, usage.limit_bytes)}",
            evidence=evidence_of(host, usage) | {"growth_bytes_per_s": growth, "left_s": left_s},
            advice=f"It grows by {format_bytes(60 * growth)} a minute and would reach the "
            f"limit in {format_seconds(left_s)}. Save what you need now, or stop it and ask for "
            "more memory.",
        )
        yield between(scope.end_s - window_s, window_s, host.name, told)


class Usage(NamedTuple):
    """Memory in a stretch of time, in bytes; NaN where unknown."""

    used_last_bytes: float
    used_mean_bytes: float
    used_high_bytes: float
    limit_bytes: float


def charged_part(host: HostTimeline, start_s: float, end_s: float) -> tuple[Part, float]:
    """Return what counted against the limit that binds at the end, and that limit in bytes.

    Another limit may have bound before a step began or ended: what counted against it is unknown
    here.
    """
    part = host.part("charged_bytes", start_s, end_s)
    limits = host.part("limit_bytes", start_s, end_s)
    limit_bytes = limits.last()
    if limits.mean.count(limit_bytes) == len(limits.mean):
        return part, limit_bytes
    low, mean, high = (
        [one if limit == limit_bytes else NAN for one, limit in zip(values, limits.mean)]
        for values in (part.low, part.mean, part.high)
    )
    return part._replace(low=low, mean=mean, high=high), limit_bytes


def usage_of(host: HostTimeline, start_s: float, end_s: float) -> Usage:
    """Return what counted between two times against the limit that binds at the end."""
    charged, limit_bytes = charged_part(host, start_s, end_s)
    return Usage(charged.last(), charged.average(), charged.highest(), limit_bytes)


def _shares(host: HostTimeline) -> list[float]:
    """Charged memory over the limit, one value per sample; NaN where unknown."""
    charged, limit = host.columns["charged_bytes"].mean, host.columns["limit_bytes"].mean
    return [used / most if most > 0 else NAN for used, most in zip(charged, limit)]


def _last_share(host: HostTimeline) -> float:
    """The share at the last sample; NaN if it is unknown."""
    charged, limit = host.columns["charged_bytes"].mean, host.columns["limit_bytes"].mean
    return charged[-1] / limit[-1] if limit[-1] > 0 else NAN


def _above(shares: list[float], share: float) -> list[State]:
    return [None if one != one else one > share for one in shares]


def _steady_growth(
    scope: Scope, host: HostTimeline, window_s: float, long_window_s: float
) -> float | None:
    """Return the faster growth of two windows, in bytes per second; None unless both grow."""
    growth = _growth(scope, host, window_s)
    if not growth > 0:
        return None
    long_growth = _growth(scope, host, min(long_window_s, scope.ran_s))
    return max(growth, long_growth) if long_growth > 0 else None


def _growth(scope: Scope, host: HostTimeline, length_s: float) -> float:
    """Bytes per second over the last ``length_s``; NaN if less than 80 % of it is known."""
    part, _ = charged_part(host, scope.end_s - length_s, scope.end_s)
    return slope_per_s(part.at_s, part.mean) if part.coverage >= ENOUGH else NAN


def oom_kills(host: HostTimeline) -> int:
    """Return the out-of-memory kills that the kernel counted in the job's control groups."""
    return host.marks.kill_count


def _full(used: float, limit: float) -> str:
    """Write a share without rounding it up to full: ``93 %``, ``99.7 %``."""
    share = 100.0 * used / limit
    if share >= 1000:
        return "over 999 %"
    return f"{share:.0f} %" if share < 99 or share >= 100 else f"{int(share * 10) / 10} %"


def of_limit(host: HostTimeline, used: float, limit: float) -> str:
    """Return ``3.7 of 4 GiB requested``, ``99 of 100 MiB of step 0``."""
    step = host.limit.step
    whose = _LIMITS[host.limit.source or "node"] if step is None else f"of step {step}"
    return f"{format_of_bytes(used, limit)} {whose}"


def evidence_of(host: HostTimeline, usage: Usage) -> dict[str, float | int | str]:
    """Return the known numbers."""
    numbers: dict[str, float | int | str] = {
        name: value for name, value in usage._asdict().items() if value == value
    }
    if host.limit.source is not None:
        numbers["limit_source"] = host.limit.source
    if host.limit.path is not None:
        numbers["limit_group"] = _in_plain_letters(host.limit.path)
    return numbers


def _in_plain_letters(path: str) -> str:
    """Return the end of a group's path. Its letters are foreign text."""
    return re.sub(r"[^A-Za-z0-9._/@:+\[\]-]", "?", path[-80:])


def step_option(job: Job | None, before: str, after: str = "") -> str:
    """Return what gives a step more memory, ``srun --mem``, between two texts.

    Empty if the job's scheduler has no such option.
    """
    scheduler = known(job.scheduler) if job is not None else None
    option = scheduler.step_memory if scheduler is not None else ""
    return f"{before}{option}{after}" if option else ""


def _near_advice(host: HostTimeline, stretch: Stretch) -> str:
    if host.limit.source == "node":
        own, charged = (
            host.part(metric, stretch.start_s, stretch.end_s).highest()
            for metric in ("used_bytes", "charged_bytes")
        )
        if own < 0.5 * charged:
            return (
                f"This run holds {format_bytes(own)} of it, other processes on the node hold the "
                "rest. When the node is full the kernel kills the largest: look who uses it, or "
                "ask for a node of your own."
            )
        return (
            "When the node's memory is full, the kernel kills processes. Keep less in memory at "
            "once, run fewer processes a node, or ask for a node with more memory."
        )
    what = "the request" if host.limit.source == "request" else "its control group's limit"
    if host.limit.step is not None:
        return (
            f"The limit that binds is that of step {host.limit.step} alone, not the job's. A "
            "process that goes beyond it is killed: give the step more"
            f"{step_option(host.job, ' with ')}, or keep less in memory at once."
        )
    return (
        f"The limit that binds is {what}; page cache is not counted. A process that goes beyond "
        "it is killed: ask for more memory, or keep less in memory at once."
    )
