"""Findings on memory. What counts is what counts against the binding limit, never page cache."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

from hpcwatch.analysis.findings import ENOUGH, Finding, Scope, Severity, rule
from hpcwatch.analysis.findings.directives import more_memory, rounded_up
from hpcwatch.analysis.findings.slope import slope_per_s
from hpcwatch.analysis.findings.windows import State, Stretch, stretch_of
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.analysis.timeline.columns import NAN, Part
from hpcwatch.base.units import format_bytes, format_of_bytes, format_seconds

_LIMITS = {
    "cgroup": "of its cgroup",
    "request": "asked for",
    "node": "of the node",
}
"""Where the binding limit comes from -> the words that end ``3.7 of 4 GiB …``."""

_SIGKILL = 9
_KILLED_EXIT_CODES = (-_SIGKILL, 128 + _SIGKILL)  # 137: how a shell reports it of its last child


@rule("memory-near-limit", margins={"near_share": -0.05, "critical_share": -0.02})
def memory_near_limit(
    scope: Scope,
    *,
    near_share: float = 0.90,
    critical_share: float = 0.95,
    window_s: float = 60.0,
) -> Iterator[Finding]:
    """Memory used is over 90 % of the binding limit for 60 s; critical over 95 %.

    Used is what counts against the smallest of control group, request and node: never page cache,
    which the kernel gives back when it is needed. At the limit a process is killed without a word
    of its own. It is no accusation: it is said from the first minute on, in interactive jobs, too.
    Source: ClusterCockpit's job tagger (90 %); the window is our own.
    Override: [findings.memory-near-limit] near_share, critical_share, window_s.
    """
    for host in scope.timeline.hosts.values():
        if scope.is_live and _last_share(host) <= near_share:
            continue
        shares = _shares(host)
        stretch = stretch_of(scope, host, _above(shares, near_share), window_s)
        if stretch is None:
            continue
        is_worse = not shares[-1] <= critical_share or not scope.is_live
        worst = is_worse and stretch_of(scope, host, _above(shares, critical_share), window_s)
        start_s = stretch.end_s - window_s if scope.is_live else stretch.start_s
        of_stretch = _usage(host, start_s, stretch.end_s)
        used = of_stretch.used_last_bytes if scope.is_live else of_stretch.used_high_bytes
        lasting = "" if scope.is_live else f" for {format_seconds(stretch.length_s)}"
        yield Finding(
            rule="memory-near-limit",
            severity=Severity.CRITICAL if worst else Severity.WARNING,
            host=host.name,
            entity="job",
            started_at_s=stretch.start_s,
            duration_s=stretch.length_s,
            title=f"memory {_full(used, of_stretch.limit_bytes)} full{lasting}: "
            f"{_of_limit(host, used, of_stretch.limit_bytes)}",
            evidence=_evidence(host, of_stretch) | {"window_s": window_s},
            advice=_near_advice(host, stretch),
        )


@rule("memory-will-run-out", margins={"warning_left_s": 600.0, "critical_left_s": 60.0})
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
    that stopped growing is not accused of its past, one that has just begun to is seen, and one
    that let go of its memory, so that less is used than in the last 2 min on average, is left
    alone. Not in the first 2 min, in which most programs read their input.
    Source: our own. Override: [findings.memory-will-run-out] warning_left_s, critical_left_s,
    long_window_s, window_s.
    """
    if not scope.is_live or scope.ran_s < window_s:
        return
    for host in scope.timeline.hosts.values():
        growth = _growth(scope, host, window_s)
        if not growth > 0:
            continue
        long_growth = _growth(scope, host, min(long_window_s, scope.ran_s))
        if not long_growth > 0:
            continue
        growth = max(growth, long_growth)
        usage = _usage(host, scope.end_s - window_s, scope.end_s)
        if usage.used_last_bytes < usage.used_mean_bytes:
            continue
        left_s = (usage.limit_bytes - usage.used_last_bytes) / growth
        if not left_s < warning_left_s:
            continue
        left_s = max(left_s, 0.0)
        clock = time.strftime("%H:%M", time.localtime(scope.end_s + left_s))
        yield Finding(
            rule="memory-will-run-out",
            severity=Severity.CRITICAL if left_s < critical_left_s else Severity.WARNING,
            host=host.name,
            entity="job",
            started_at_s=scope.end_s - window_s,
            duration_s=window_s,
            title=f"memory full at about {clock}: "
            f"{_of_limit(host, usage.used_last_bytes, usage.limit_bytes)}",
            evidence=_evidence(host, usage) | {"growth_bytes_per_s": growth, "left_s": left_s},
            advice=f"It grows by {format_bytes(60 * growth)} a minute and would reach the "
            f"limit in {format_seconds(left_s)}. Save what you need now, or stop it and ask for "
            "more memory.",
        )


@rule("memory-killed", silences=("memory-near-limit", "memory-will-run-out"))
def memory_killed(
    scope: Scope,
    *,
    killed_share: float = 0.85,
    last_s: float = 120.0,
    peak_factor: float = 1.5,
    limit_factor: float = 1.2,
) -> Iterator[Finding]:
    """A process was killed for want of memory: always critical.

    Either the kernel counted such a kill in the control group while we watched, or the program
    died of signal 9 (137 in a shell's words) and in its last 2 min memory was at 85 % of the
    limit: a kill between two readings leaves no higher one. What to ask for is 1.5 times the
    peak, at least 1.2 times the limit, as the sampled peak is a lower bound.
    Source: NeSI's and Princeton's advice to users.
    Override: [findings.memory-killed] killed_share, last_s, peak_factor, limit_factor.
    """
    for host in scope.timeline.hosts.values():
        kills = oom_kills(host)
        by_signal = scope.signal == _SIGKILL or scope.exit_code in _KILLED_EXIT_CODES
        usage = _usage(host, scope.end_s - last_s, scope.end_s)
        is_near = usage.used_high_bytes >= killed_share * usage.limit_bytes > 0
        if not kills and not (by_signal and is_near and not scope.is_live):
            continue
        whole = _usage(host, scope.start_s, scope.end_s)
        needed = _needed_bytes(host, whole, peak_factor, limit_factor)
        used = _of_limit(host, whole.used_high_bytes, whole.limit_bytes)
        killed = "1 process" if kills == 1 else f"{kills} processes"
        yield Finding(
            rule="memory-killed",
            severity=Severity.CRITICAL,
            host=host.name,
            entity="job",
            started_at_s=scope.end_s,
            duration_s=0.0,
            title=f"out of memory: the kernel killed {killed}"
            if kills
            else f"killed, probably out of memory: ≥ {used}",
            evidence=_evidence(host, whole) | {"oom_kill_count": kills},
            advice=_killed_advice(host, whole.used_high_bytes, needed),
            directives=() if needed is None else more_memory(scope, needed),
        )


class _Usage(NamedTuple):
    """Memory in a stretch of time, in bytes; NaN where unknown."""

    used_last_bytes: float
    used_mean_bytes: float
    used_high_bytes: float
    limit_bytes: float


def _usage(host: HostTimeline, start_s: float, end_s: float) -> _Usage:
    charged = host.part("charged_bytes", start_s, end_s)
    limit_bytes = host.part("limit_bytes", start_s, end_s).last()
    return _Usage(charged.last(), charged.average(), charged.highest(), limit_bytes)


def _shares(host: HostTimeline) -> list[float]:
    """What counts against the limit over the limit, one a sample; NaN where unknown."""
    charged, limit = host.columns["charged_bytes"].mean, host.columns["limit_bytes"].mean
    return [used / most if most > 0 else NAN for used, most in zip(charged, limit)]


def _last_share(host: HostTimeline) -> float:
    """The share at the last sample; NaN if it is unknown."""
    charged, limit = host.columns["charged_bytes"].mean, host.columns["limit_bytes"].mean
    return charged[-1] / limit[-1] if limit[-1] > 0 else NAN


def _above(shares: list[float], share: float) -> list[State]:
    return [None if one != one else one > share for one in shares]


def _growth(scope: Scope, host: HostTimeline, length_s: float) -> float:
    """Bytes per second over the last ``length_s``; NaN if less than 80 % of it is known."""
    part: Part = host.part("charged_bytes", scope.end_s - length_s, scope.end_s)
    return slope_per_s(part.at_s, part.mean) if part.coverage >= ENOUGH else NAN


def oom_kills(host: HostTimeline) -> int:
    """Kills for want of memory that the control group counted while we watched."""
    first = host.first.cgroup if host.first else None
    last = host.last.cgroup if host.last else None
    if first is None or last is None or first.path != last.path:
        return 0
    if first.oom_kill_count is None or last.oom_kill_count is None:
        return 0
    return max(last.oom_kill_count - first.oom_kill_count, 0)


def _needed_bytes(
    host: HostTimeline, usage: _Usage, peak_factor: float, limit_factor: float
) -> int | None:
    """Memory to ask for; None where asking for more moves no limit: the node's own, or none."""
    limit = host.limit
    if limit.source not in ("cgroup", "request") or limit.limit_bytes is None:
        return None
    peak = max(host.used_peak_bytes or 0, usage.used_high_bytes)  # NaN last: it then loses
    return rounded_up(max(limit_factor * limit.limit_bytes, peak_factor * peak))


def _full(used: float, limit: float) -> str:
    """Write a share without rounding it up to full: ``93 %``, ``99.7 %``."""
    share = 100.0 * used / limit
    if share >= 1000:
        return "over 999 %"
    return f"{share:.0f} %" if share < 99 or share >= 100 else f"{int(share * 10) / 10} %"


def _of_limit(host: HostTimeline, used: float, limit: float) -> str:
    """Write ``3.7 of 4 GiB asked for``."""
    return f"{format_of_bytes(used, limit)} {_LIMITS[host.limit.source or 'node']}"


def _evidence(host: HostTimeline, usage: _Usage) -> dict[str, float | int | str]:
    """The numbers that are known."""
    numbers: dict[str, float | int | str] = {
        name: value for name, value in usage._asdict().items() if value == value
    }
    if host.limit.source is not None:
        numbers["limit_source"] = host.limit.source
    return numbers


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
    what = "what was asked for" if host.limit.source == "request" else "its control group's limit"
    return (
        f"The limit that binds is {what}; page cache is not counted. A process that goes beyond "
        "it is killed: ask for more memory, or keep less in memory at once."
    )


def _killed_advice(host: HostTimeline, peak: float, needed_bytes: int | None) -> str:
    seen = (
        f"The largest reading was {format_bytes(peak)}, and the true peak may be higher. "
        if peak == peak
        else ""
    )
    if needed_bytes is not None:
        return f"{seen}Ask for at least {format_bytes(needed_bytes)}."
    if host.limit.source == "node":
        return f"{seen}Run fewer processes a node, or ask for a node with more memory."
    return f"{seen}Ask for more memory."
