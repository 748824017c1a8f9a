"""The record of a scheduler: everything that the rest of hpcwatch may ask about it.

A new scheduler is one module with a DIALECT and one line in `schedulers.NAMES`. No other code
compares a scheduler's name. docs/adding.md shows a complete example.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from hpcwatch.cluster.schedulers.array_jobs import ArrayJobs
from hpcwatch.cluster.schedulers.environment import Inside
from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.cluster.schedulers.query import Answer, Query, Scheduler
from hpcwatch.cluster.schedulers.request import Needs, Requests
from hpcwatch.cluster.schedulers.site_settings import SiteSettings

if TYPE_CHECKING:
    from hpcwatch.cluster.schedulers.history import History


class Reasons(NamedTuple):
    """A scheduler's words for why a job waits, each with the same in plain English."""

    exact: Mapping[str, str] = {}
    """Whole reasons, in lower case."""
    patterns: tuple[tuple[str, str], ...] = ()
    """Regular expressions, searched for in a reason in lower case; the first match counts."""


class Trial(Protocol):
    """How a scheduler says when a request would start that is not submitted: a module."""

    @property
    def BY(self) -> str:  # noqa: N802 (a module's constant)
        """Whose estimate it is, in words."""

    def query(self, lines: Sequence[str]) -> Query[Any]:
        """Ask for a script with these directives."""

    def start_s(self, answer: Any, needs: Needs) -> float | None:
        """Return the start in seconds since the epoch; None if the answer does not tell it."""


class GiveBack(Protocol):
    """How nodes of a running job are given back: a module."""

    @property
    def NOTE(self) -> str:  # noqa: N802 (a module's constant)
        """What the user should know before."""

    def query(self, job: Job, given: Sequence[str]) -> Query[str] | None:
        """Ask to take nodes from a job; None if that cannot be said of it."""


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
    """Commands that are on PATH where this scheduler may exist."""
    probe: tuple[str, ...]
    """The command whose answer tells whether this scheduler exists."""
    is_told_by: Callable[[Answer], bool]
    """Returns whether the probe's answer is this scheduler's."""
    purposes: Mapping[str, str]
    """For `hpcwatch doctor`: each of its commands -> what hpcwatch uses it for."""
    submits_by: str
    """The command that takes a script: it hands its environment on to the job."""
    job_groups: tuple[str, ...]
    """Example paths of the control group of job 5. A test checks that the probe knows them."""
    reasons: Reasons = Reasons()
    transports: tuple[str, ...] = ()
    """Ways to reach a node of its jobs besides ssh, by name (`ssh.transport`)."""
    step_memory: str = ""
    """The option that gives a step of a job more memory: ``srun --mem``. Empty: no steps."""
    whole_cores: str = ""
    """How a program gets all cores of its job when its launcher gives it fewer."""
    launchers: str = ""
    """How a program is started on all nodes of its job."""
    has_helpers: bool = False
    """True if Moab, Maui or qshow may be used with it."""
    is_end_in_reason: bool = False
    """True if the reason of a job that is over says how it ended."""
    formatting: tuple[str, ...] = ()
    """Prefixes of variables with which users change the output of its commands."""
    site: SiteSettings | None = None
    """Its settings that an administrator may want to change."""
    settings: Mapping[str, str] = {}
    """Variables to set for its commands, so that they print what the parsers expect."""
    cluster: str = ""
    """The variable of a job that names its cluster. Empty: there is none."""
    history: Callable[[], History] | None = None
    """Loads what it offers of past jobs, which most commands do not ask for; None: nothing."""
    trial: Trial | None = None
    """None: it does not say when a request would start before it is submitted."""
    give_back: GiveBack | None = None
    """None: it takes no nodes back from a running job."""
    arrays: ArrayJobs | None = None
    """None: hpcwatch submits no job arrays to it."""
