"""What the live view is told at each repaint. The view cannot tell live from replayed."""

from __future__ import annotations

from typing import NamedTuple

from hpcwatch.analysis.findings import Finding
from hpcwatch.analysis.timeline import Timeline
from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.monitor.local import NodeStatus


class Source(NamedTuple):
    """Where an answer came from, how old it is, and what went wrong since."""

    name: str
    """``slurm``, ``torque``, ``qshow``."""
    age_s: float
    trouble: str = ""


class Telling(NamedTuple):
    """What a program in the job says that it is at."""

    name: str
    """Its run's."""
    words: str
    """``train › epoch · accuracy 0.97``; foreign text."""
    is_going: bool = True
    going_count: int = 1
    """How many runs go on in the job; of them this is the newest."""


class Picture(NamedTuple):
    """A watched job or group of hosts at one moment."""

    title: str
    """What was asked for: ``305669``, ``qb[001-004]``."""
    job: Job | None
    """None for hosts without a job."""
    parts: tuple[Job, ...]
    """An array's tasks, a heterogeneous job's components; else the job alone, or nothing."""
    sources: tuple[Source, ...]
    statuses: tuple[NodeStatus, ...]
    """One a node, in the scheduler's order."""
    timeline: Timeline
    findings: list[Finding]
    """Worst first."""
    at_s: float
    """Now, in seconds since the epoch."""
    monotonic_s: float
    """Now, on the clock of the statuses."""
    interval_s: float
    note: str = ""
    """What the monitor has to say of itself."""
    replayed: str = ""
    """Where in a recording this is, in words: ``replay 3:12 of 10:00, ×10``; empty if it is now."""
    place: int | None = None
    """A waiting job's place in its queue, 1 is next."""
    telling: Telling | None = None
    """None if no program tells anything."""
