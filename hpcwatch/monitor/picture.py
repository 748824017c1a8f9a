"""The input of the live view at each repaint, the same for live and replayed data."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from hpcwatch.analysis.findings import Finding
from hpcwatch.analysis.timeline import Timeline
from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.monitor.further import Further
from hpcwatch.monitor.job_output import LogText
from hpcwatch.monitor.node_status import NodeStatus
from hpcwatch.recording.store import Event


class Source(NamedTuple):
    """The source of an answer, its age, and the error since then."""

    name: str
    """``slurm``, ``torque``, ``qshow``."""
    age_s: float
    trouble: str = ""


class Telling(NamedTuple):
    """The phase that a program in the job reports."""

    name: str
    """The id of its run."""
    words: str
    """``train › epoch · accuracy 0.97``; foreign text."""
    is_going: bool = True
    going_count: int = 1
    """The number of running recordings in the job; this is the newest."""


class Picture(NamedTuple):
    """A watched job or group of hosts at one moment."""

    title: str
    """The job id or hosts that the user named: ``305669``, ``qb[001-004]``."""
    job: Job | None
    """None for hosts without a job."""
    parts: tuple[Job, ...]
    """An array's tasks or a heterogeneous job's components; else only the job, or nothing."""
    sources: tuple[Source, ...]
    statuses: tuple[NodeStatus, ...]
    """One per node, in the scheduler's order."""
    timeline: Timeline
    findings: list[Finding]
    """Worst first."""
    at_s: float
    """Now, in seconds since the epoch."""
    monotonic_s: float
    """Now, on the clock of the statuses."""
    interval_s: float
    note: str = ""
    """Messages of the monitor."""
    replayed: str = ""
    """The position in a recording, such as ``replay 3:12 of 10:00, ×10``; empty if live."""
    place: int | None = None
    """A pending job's place in its queue; 1 is next."""
    telling: Telling | None = None
    """None if no program reports events."""
    events: tuple[Event, ...] = ()
    """The steps that a program in the job reported."""
    logs: tuple[LogText, ...] = ()
    """The job's output files; empty if the scheduler tells of none."""
    asked: frozenset[str] = frozenset()
    """Nodes that are asked for all of their processes."""
    further: Mapping[str, Further] = MappingProxyType({})
    """What each of those named last beyond its largest processes."""
