"""What went wrong with a sweep as a whole. Pure: an Outcome in, findings out.

As with all findings, a rule's keyword defaults are its thresholds and its docstring says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from statistics import median
from typing import Any

from hpcwatch.analysis.findings import Finding, Severity
from hpcwatch.analysis.findings.shared import Told, between
from hpcwatch.base.units import format_pct, format_seconds
from hpcwatch.sweep.assigned import given_twice
from hpcwatch.sweep.bars import Bar
from hpcwatch.sweep.outcome import Outcome, without_pauses
from hpcwatch.sweep.sharing import Sharing

Rule = Callable[..., Iterator[Finding]]

_ELSEWHERE = (
    "Leave the host out (--hosts) and run its tasks on other hosts (--retries 1); ask the help desk"
    " to look at it."
)
_ELSEWHERE_ARRAY = (
    "Leave the host out with an option of the scheduler (--scheduler-options); ask the help desk to"
    " look at it."
)


def evaluate(
    outcome: Outcome, thresholds: Mapping[str, Mapping[str, Any]] | None = None
) -> list[Finding]:
    """Ask all rules, worst first. ``thresholds`` are rule -> keyword -> value."""
    own = thresholds or {}
    found = [
        finding for name, rule in RULES.items() for finding in rule(outcome, **own.get(name, {}))
    ]
    return sorted(found, key=lambda one: (-one.severity, one.key))


def sweep_tail(
    outcome: Outcome,
    *,
    tail_share: float = 0.2,
    busy_share: float = 0.5,
    least_s: float = 60.0,
    least_tasks_count: int = 4,
) -> Iterator[Finding]:
    """At the end of the sweep few slots were busy: a long task started late, and other slots idled.

    The last ``tail_share`` of the sweep's time used less than ``busy_share`` of its slots. Only
    sweeps of at least ``least_s`` and ``least_tasks_count`` are judged, and no job array: its idle
    slots go to other jobs. If the longest tasks start first, all end together.

    Source: our own.
    """
    outcome = without_pauses(outcome)
    length_s = outcome.ran_s
    if outcome.is_array:
        return
    is_small = length_s < least_s or len(outcome.bars) < least_tasks_count
    if is_small or outcome.slots_count < 2:
        return
    from_s = outcome.end_s - tail_share * length_s
    busy = _busy_s(outcome.bars, from_s, outcome.end_s)
    share = busy / (outcome.slots_count * (outcome.end_s - from_s))
    if share >= busy_share:
        return
    saved_s = max(length_s - outcome.balance.longest_first_s, 0.0) if outcome.balance else 0.0
    told = Told(
        rule="sweep-tail",
        severity=Severity.INFO,
        title=f"In its last {format_seconds(outcome.end_s - from_s)} the sweep used "
        f"{format_pct(100 * share)} of its slots",
        evidence={"busy_pct": 100 * share, "saved_s": saved_s, "idle_slot_s": outcome.tail_slot_s},
        advice="Start the longest tasks first (--order longest-first): "
        f"{format_seconds(saved_s)} sooner with these tasks.",
        entity="sweep",
    )
    yield between(from_s, outcome.end_s - from_s, "", told)


def sweep_slow_host(
    outcome: Outcome,
    *,
    slower: float = 1.3,
    least_tasks_count: int = 3,
    failures_ratio: float = 3.0,
    least_failures_count: int = 3,
) -> Iterator[Finding]:
    """A host whose tasks take longer, or fail more often, than those of the others.

    Its median task took more than ``slower`` times the median of all others, or it has
    ``least_failures_count`` failures and a share of them that is ``failures_ratio`` times the
    others'. Judged only if it and the others ran at least ``least_tasks_count`` each. Tasks differ:
    with few of them, or with the long ones on one host by chance, this may accuse a sound host.

    Source: our own.
    """
    for host in dict.fromkeys(bar.host for bar in outcome.bars):
        own = [bar for bar in outcome.bars if bar.host == host]
        others = [bar for bar in outcome.bars if bar.host != host]
        if len(own) < least_tasks_count or len(others) < least_tasks_count:
            continue
        ratio = _median_s(own) / max(_median_s(others), 1e-9)
        failures = sum(not bar.is_good for bar in own)
        others_share = sum(not bar.is_good for bar in others) / len(others)
        is_often = failures / len(own) >= failures_ratio * others_share
        if failures >= least_failures_count and is_often:
            title = f"{failures} of {len(own)} tasks failed on {host}"
        elif ratio > slower:
            title = f"Tasks on {host} took {ratio:.1f} times as long as elsewhere"
        else:
            continue
        told = Told(
            rule="sweep-slow-host",
            severity=Severity.WARNING,
            title=title,
            evidence={"slower": ratio, "failures_count": failures, "tasks_count": len(own)},
            advice=_ELSEWHERE_ARRAY if outcome.is_array else _ELSEWHERE,
            entity="sweep",
        )
        yield between(own[0].start_s, own[-1].end_s - own[0].start_s, host, told)


def sweep_gpu_collision(outcome: Outcome, *, least_s: float = 60.0) -> Iterator[Finding]:
    """Two tasks shared a GPU while another GPU of the same host idled.

    For ``least_s`` or longer the tasks' recordings show processes of both on one busy device and
    another device of the job at 0. Without recordings the rule uses the one device that each task
    was given, if another device had no task at that time. GNU parallel's ``{%}`` counts slots over
    all hosts, so CUDA_VISIBLE_DEVICES made from it sends tasks of one host to the same device.
    ``--slots per-gpu`` gives each task its own device.

    Source: measured on GNU parallel; the minute is our own.
    """
    has_own = any(bar.device is not None for bar in outcome.bars)
    found: dict[str, Sharing] = {}
    for one in [*outcome.sharings, *given_twice(outcome)]:
        if one.shared_s >= least_s and one.shared_s > getattr(found.get(one.host), "shared_s", 0.0):
            found[one.host] = one
    for host, one in found.items():
        advice = "Give each task a GPU of its own: --slots per-gpu."
        if outcome.sharings and has_own:
            advice = (
                "Each task was given a GPU of its own: let the program use the one that"
                " CUDA_VISIBLE_DEVICES names, and choose none itself."
            )
        tasks = " and ".join(map(str, one.tasks[:2]))
        if len(one.tasks) > 2:
            tasks = f"{one.tasks[0]}, {one.tasks[1]} and {len(one.tasks) - 2} more"
        told = Told(
            rule="sweep-gpu-collision",
            severity=Severity.CRITICAL,
            title=f"Tasks {tasks} shared {one.device} of {host} for {format_seconds(one.shared_s)},"
            f" {one.idle} was idle",
            evidence={"shared_s": one.shared_s, "device": one.device, "idle": one.idle},
            advice=advice,
            entity="sweep",
        )
        yield between(one.start_s, one.shared_s, host, told)


def sweep_one_per_node(
    outcome: Outcome, *, most_share: float = 0.3, least_s: float = 60.0
) -> Iterator[Finding]:
    """Each host ran one task at a time, and the task used little of the host.

    Half of the tasks used less than ``most_share`` of their host's cores, and of its GPU where it
    has only one, in a sweep of ``least_s`` or more. GNU parallel folds the repeated lines of a node
    file into one host, so that ``-j 1`` is one task per node, however many cores it has.

    Source: measured on GNU parallel; the share is our own.
    """
    length_s = outcome.ran_s
    if length_s < least_s or any(place.slots_count > 1 for place in outcome.places):
        return
    cores = {place.name: place.cores_count for place in outcome.places}
    shares = [
        row.cpu_s / row.wall_s / count
        for row in outcome.rows
        if row.cpu_s is not None and row.wall_s and (count := cores.get(row.host or ""))
    ]
    gpus = [row.gpu_util_mean_pct for row in outcome.rows if row.gpu_util_mean_pct is not None]
    several = any(place.devices_count > 1 for place in outcome.places)
    if not shares or median(shares) >= most_share:
        return
    if gpus and median(gpus) >= 100 * most_share and not several:
        return
    least_cores = min(count for count in cores.values() if count)
    wanted = max(round(median(shares) * least_cores), 1)
    advice = "--slots per-gpu" if several else f"--slots per-core:{wanted}"
    told = Told(
        rule="sweep-one-per-node",
        severity=Severity.WARNING,
        title=f"One task per host, and it used {format_pct(100 * median(shares))} of the cores",
        evidence={"used_pct": 100 * median(shares), "cores_count": least_cores},
        advice=f"Run several tasks on each host at a time: {advice}.",
        entity="sweep",
    )
    yield between(outcome.start_s, length_s, "", told)


def sweep_short_tasks(
    outcome: Outcome, *, short_s: float = 1.0, least_tasks_count: int = 20
) -> Iterator[Finding]:
    """Tasks are so short that handing them out costs about as much as running them.

    At least half of the tasks took less than ``short_s``, in sweeps of at least
    ``least_tasks_count``. GNU parallel, a connection and the start of a monitor together take a
    good part of a second.

    Source: measured on GNU parallel.
    """
    walls = [row.wall_s for row in outcome.rows if row.wall_s is not None and row.is_good]
    if len(walls) < least_tasks_count or median(walls) >= short_s:
        return
    told = Told(
        rule="sweep-short-tasks",
        severity=Severity.INFO,
        title=f"Half of the tasks took less than {format_seconds(median(walls))}",
        evidence={"median_s": median(walls), "tasks_count": len(walls)},
        advice="Let an element of the array run more of them: --tasks-per-element."
        if outcome.is_array
        else "Let one task run several combinations, in a loop inside the program.",
        entity="sweep",
    )
    yield between(outcome.start_s, outcome.end_s - outcome.start_s, "", told)


RULES: dict[str, Rule] = {
    "sweep-tail": sweep_tail,
    "sweep-slow-host": sweep_slow_host,
    "sweep-gpu-collision": sweep_gpu_collision,
    "sweep-one-per-node": sweep_one_per_node,
    "sweep-short-tasks": sweep_short_tasks,
}
"""Name -> rule."""


def defaults() -> dict[str, Mapping[str, Any]]:
    """Return the thresholds of each rule: keyword -> default."""
    return {name: dict(getattr(rule, "__kwdefaults__", None) or {}) for name, rule in RULES.items()}


def _busy_s(bars: Iterable[Bar], start_s: float, end_s: float) -> float:
    return sum(max(min(bar.end_s, end_s) - max(bar.start_s, start_s), 0.0) for bar in bars)


def _median_s(bars: Iterable[Bar]) -> float:
    return median(bar.wall_s for bar in bars)
