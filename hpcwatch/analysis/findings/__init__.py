"""Observations worth acting on. A rule is one decorated function; thresholds are its defaults.

Rules are pure: a Scope in, Findings out. The same function is evaluated live, on a sliding window,
and after the run, on all of it. A rule's keyword defaults are its thresholds; its docstring says
what they mean, why, and where they come from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from hpcwatch.analysis.timeline import HostTimeline, Timeline
from hpcwatch.analysis.timeline.columns import Part

if TYPE_CHECKING:
    from hpcwatch.analysis.timeline.gpus import GpuTimeline
    from hpcwatch.cluster.schedulers.job import Job
    from hpcwatch.recording.store import Event


class Severity(IntEnum):
    """How much a finding matters."""

    INFO = 1
    WARNING = 2
    CRITICAL = 3


class Directive(NamedTuple):
    """A change of one line of a job script.

    ``old`` is None if a line is added, ``new`` is None if a line is removed.
    """

    scheduler: str
    old: str | None
    new: str | None


class Waste(NamedTuple):
    """The requested resources that were idle during a finding."""

    core_hours: float = 0.0
    gpu_hours: float = 0.0

    @property
    def weight(self) -> float:
        """Both in one figure, in core-hours."""
        return self.core_hours + _GPU_IN_CORES * self.gpu_hours


_GPU_IN_CORES = 16.0  # own: nodes have 8 to 32 cores per GPU


class Finding(NamedTuple):
    """One observation. ``evidence`` holds the numbers it rests on, units in their names."""

    rule: str
    severity: Severity
    host: str
    """Empty if it is about several nodes together."""
    entity: str
    """Its subject on that host: ``job``, ``GPU 1``."""
    started_at_s: float
    duration_s: float
    title: str
    """One line; the first words say what is wrong: ``GPU 1 idle 12 min, holds 10.7 GiB``."""
    evidence: dict[str, float | int | str]
    advice: str
    directives: tuple[Directive, ...] = ()
    waste: Waste = Waste()

    @property
    def key(self) -> tuple[str, str, str]:
        """The identity of the finding between evaluations."""
        return self.rule, self.host, self.entity


class Scope(NamedTuple):
    """The input of a rule, and the stretch of time to judge.

    In a job on several nodes each node has its own scope: nodes differ in cores and limits. Rules
    about the job as a whole get a scope of all nodes.
    """

    timeline: Timeline
    is_live: bool
    started_at_s: float
    """Start of the run."""
    start_s: float
    """Start of the stretch to judge (live: the run's start; rules take their own window)."""
    end_s: float
    cores_allowed: int | None = None
    """Cores the job may use on this host."""
    environment: Mapping[str, str] = MappingProxyType({})
    exit_code: int | None = None
    signal: int | None = None
    cpu_s: float | None = None
    """The kernel's accounting of the whole run; None while it runs."""
    wall_s: float | None = None
    memory_mark_bytes: int | None = None
    """The high-water mark of the largest process that ended, kept by the kernel (ru_maxrss)."""
    events: tuple[Event, ...] = ()
    """The events of the program itself (see ``analysis.progress``); of one program only."""

    @property
    def job(self) -> Job | None:
        """The job's request as seen from the host; None without a scheduler's job."""
        return self.timeline.job

    @property
    def ran_s(self) -> float:
        """How long the run has lasted."""
        return self.end_s - self.started_at_s if self.wall_s is None else self.wall_s

    @property
    def whole_host(self) -> str:
        """The host of a finding about the job as a whole: its only host, else empty."""
        names = list(self.timeline.hosts)
        return names[0] if len(names) == 1 else ""


Rule = Callable[..., Iterable[Finding]]


CPU_PLOTS = ("cpu",)
MEMORY_PLOTS = ("memory",)
GPU_PLOTS = ("gpu-util", "gpu-active", "gpu-memory", "gpu-power")
EVERY_PLOT = ("*",)
NO_PLOT: tuple[str, ...] = ()


class RuleEntry(NamedTuple):
    """A registered rule."""

    name: str
    function: Rule
    silences: tuple[str, ...]
    accuses: bool
    """It accuses of waste: not before 300 s, and one severity milder in interactive jobs."""
    margins: Mapping[str, float]
    """Threshold -> the amount added to it while the finding stands (see ``findings.live``)."""
    defaults: Mapping[str, Any]
    """Threshold -> its default."""
    is_of_job: bool = False
    """It judges all nodes together: evaluated once, not per host."""
    plots: tuple[str, ...] = CPU_PLOTS
    """Names of the report's plots on which its findings are marked."""


SWEEP_RULES_MODULE = "hpcwatch.sweep.findings"
"""The rules about a whole sweep, which judge an outcome instead of a timeline."""

_MODULES = (
    "memory",
    "memory_kills",
    "memory_use",
    "memory_kinds",
    "cpu",
    "threads",
    "gpu",
    "gpu_idle",
    "gpu_work",
    "gpu_starved",
    "gpu_state",
    "gpu_others",
    "gpu_sick",
    "gpu_request",
    "nodes",
    "node_state",
    "storage",
    "progress",
    "slowdown",
    "finishing",
    "time_left",
)
_RULES: dict[str, RuleEntry] = {}


def rule(
    name: str,
    silences: tuple[str, ...] = (),
    accuses: bool = False,
    margins: Mapping[str, float] | None = None,
    is_of_job: bool = False,
    plots: tuple[str, ...] = CPU_PLOTS,
) -> Callable[[Rule], Rule]:
    """Register a rule. Its findings are marked on ``plots``, named as in ``recording.metrics``.

    A finding of it silences the named rules on the same host and entity, one about the ``job``
    on all of the host, one without a host everywhere.
    """

    def register(function: Rule) -> Rule:
        defaults = dict(getattr(function, "__kwdefaults__", None) or {})
        eased = dict(margins or {})
        _RULES[name] = RuleEntry(
            name, function, silences, accuses, eased, defaults, is_of_job, plots
        )
        return function

    return register


def rules() -> dict[str, RuleEntry]:
    """Return all rules by name."""
    _register_all()
    return _RULES


@cache
def _register_all() -> None:
    from importlib import import_module

    for module in _MODULES:
        import_module(f"{__name__}.{module}")


Thresholds = Mapping[str, Mapping[str, Any]]
"""Rule -> keyword -> value, from the configuration."""

ACCUSE_AFTER_S = 300.0  # own: a program may need this long to read its input and compile


def ask(entry: RuleEntry, scope: Scope, values: Mapping[str, Any]) -> list[Finding]:
    """Evaluate one rule, under the guards that all accusing rules share.

    In an interactive job a person thinks between commands, so that idle hardware is one severity
    milder there; information is then dropped.
    """
    if not entry.accuses:
        return list(entry.function(scope, **values))
    if scope.ran_s < ACCUSE_AFTER_S:
        return []
    found = list(entry.function(scope, **values))
    if scope.job is None or not scope.job.is_interactive:
        return found
    return [
        finding._replace(severity=Severity(finding.severity - 1))
        for finding in found
        if finding.severity > Severity.INFO
    ]


def settled(found: Iterable[Finding]) -> list[Finding]:
    """Drop what other findings silence: one cause, one finding. Worst first."""
    everything = list(found)
    silenced = {
        (name, finding.host, finding.entity)
        for finding in everything
        for name in _RULES[finding.rule].silences
    }
    kept = [
        finding
        for finding in everything
        if silenced.isdisjoint(
            (finding.key, (finding.rule, finding.host, "job"), (finding.rule, "", "job"))
        )
    ]
    return sorted(
        kept, key=lambda one: (-one.severity, -one.waste.weight, -one.duration_s, one.key)
    )


def kind_asked(scope: Scope, is_of_job: bool | None = None) -> bool | None:
    """Return which kind of rules to ask: about a job's nodes together or not, or None for both.

    One of several hosts does not show what the job as a whole does.
    """
    return None if is_of_job is None and not scope.timeline.is_part else bool(is_of_job)


def of_kind(is_of_job: bool | None) -> list[RuleEntry]:
    """Return the rules of a kind (see ``kind_asked``)."""
    return [one for one in rules().values() if is_of_job is None or one.is_of_job is is_of_job]


def evaluate(
    scope: Scope, thresholds: Thresholds | None = None, is_of_job: bool | None = None
) -> list[Finding]:
    """Evaluate the rules and drop silenced findings; worst first, then by cost.

    ``is_of_job`` selects only the rules about all nodes together, or only the others.
    """
    changed = thresholds or {}
    return settled(
        finding
        for entry in of_kind(kind_asked(scope, is_of_job))
        for finding in ask(entry, scope, changed.get(entry.name, {}))
    )


ENOUGH = 0.8  # own: a window with fewer known readings than this share is unknown


def judged(
    scope: Scope,
    host: HostTimeline,
    metric: str,
    window_s: float,
    gpu: GpuTimeline | None = None,
    may_guess: bool = False,
) -> Part | None:
    """Return a metric over the stretch that a rule judges; None if too little of it is known.

    In a job it is also None if processes that may not be the job's are counted, unless the rule
    ``may_guess``: then the figure is an upper bound. Live the stretch is the last ``window_s``;
    after the run it is all but the first 120 s and the last 60 s, or all but the first and last
    tenth of a short run.
    """
    if scope.is_live:
        start_s, end_s = scope.end_s - window_s, scope.end_s
        if start_s < scope.started_at_s - host_slack_s(scope):
            return None
    else:
        length_s = scope.end_s - scope.start_s
        start_s = scope.start_s + min(120.0, 0.1 * length_s)
        end_s = scope.end_s - min(60.0, 0.1 * length_s)
        if end_s - start_s < window_s:
            return None
    if gpu is None and not may_guess and is_guess(scope, host, metric, start_s):
        return None
    part = host.part(metric, start_s, end_s, None if gpu is None else gpu.uuid)
    return part if part.coverage >= ENOUGH else None


def is_guess(scope: Scope, host: HostTimeline, metric: str, start_s: float) -> bool:
    """True if a job's metric since then may count processes that are not the job's."""
    return scope.job is not None and host.is_guess(metric, start_s)


def host_slack_s(scope: Scope) -> float:
    """How far a window may reach back before the start: one interval."""
    return scope.timeline.interval_s
