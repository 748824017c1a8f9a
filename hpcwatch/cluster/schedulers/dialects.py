"""What the rest of hpcwatch may ask about a kind of scheduler: one record, made in its module.

A new scheduler is one module with a DIALECT and one line in `schedulers.NAMES`. Nothing else
compares a scheduler's name; docs/adding.md shows a whole one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from hpcwatch.cluster.schedulers.environment import Inside
from hpcwatch.cluster.schedulers.query import Answer, Scheduler
from hpcwatch.cluster.schedulers.request import Requests


class Reasons(NamedTuple):
    """A scheduler's words for why a job waits, and the same in plain English."""

    exact: Mapping[str, str] = {}
    """Whole reasons, in lower case."""
    patterns: tuple[tuple[str, str], ...] = ()
    """Regular expressions, searched for in a reason in lower case; the first that fits counts."""


class Dialect(NamedTuple):
    """One kind of scheduler."""

    name: str
    commands: Scheduler
    """Pairs of a command and a parser."""
    inside: Inside
    """How its job looks to a process in it."""
    requests: Requests
    """Reads and edits the lines of a script that request something."""
    required: tuple[str, ...]
    """Commands that are on PATH where this scheduler may be."""
    probe: tuple[str, ...]
    """The command line whose answer tells whether it is."""
    is_told_by: Callable[[Answer], bool]
    """Whether the probe's answer is this scheduler's."""
    purposes: Mapping[str, str]
    """For `hpcwatch doctor`: its commands -> what hpcwatch does with them."""
    job_groups: tuple[str, ...]
    """Paths of a job's control group, of job 5, as the probe has to know them."""
    reasons: Reasons = Reasons()
    transports: tuple[str, ...] = ()
    """Ways to a node of its jobs that exist besides ssh, by name (`ssh.transport`)."""
    step_memory: str = ""
    """How a step of a job gets more memory, without the amount: ``srun --mem``. Empty: no steps."""
    whole_cores: str = ""
    """How a program gets all cores of its job where its launcher gives it fewer."""
    launchers: str = ""
    """How a program is started on all nodes of its job."""
    has_helpers: bool = False
    """Moab, Maui or qshow may be used with it."""
    is_end_in_reason: bool = False
    """The reason of a job that is over says how it ended."""
    formatting: tuple[str, ...] = ()
    """Beginnings of variables by which users shape what its commands print for people."""
    settings: Mapping[str, str] = {}
    """Variables that its commands are given, so that they print what the parsers know."""
