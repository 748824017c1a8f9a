"""What a scheduler says of a job. Pure: nothing here runs a command.

One module per scheduler, with one record of all that others may ask about it (``dialect``) and
pairs of a command and its parser (``query``). ``environment`` tells which job this process is in,
``detection`` which scheduler a machine has, and ``inquiry`` asks it in the right order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpcwatch.cluster.schedulers.dialects import Dialect
    from hpcwatch.cluster.schedulers.job import Job, JobNode, JobState, ReadText
    from hpcwatch.cluster.schedulers.query import Scheduler

__all__ = [
    "NAMES",
    "Job",
    "JobNode",
    "JobState",
    "ReadText",
    "dialect",
    "from_environment",
    "scheduler",
]

NAMES = {"slurm": "SLURM_JOB_ID", "torque": "PBS_JOBID", "pbspro": "PBS_JOBID"}
"""One module each -> the variable that its jobs have, without which none of it is loaded.

In the order they are preferred: Slurm may come with Torque's names too.
"""


def __getattr__(name: str) -> Any:
    """Import the records when they are asked for: most programs run in no job."""
    if name in ("Job", "JobNode", "JobState", "ReadText"):
        return getattr(import_module(f"{__name__}.job"), name)
    raise AttributeError(name)


def dialect(name: str) -> Dialect:
    """Return all that is known of a kind of scheduler. ``name`` is one of NAMES."""
    known: Dialect = import_module(f"{__name__}.{name}").DIALECT
    return known


def scheduler(name: str) -> Scheduler:
    """Return a scheduler's commands and parsers. ``name`` is one of NAMES."""
    return dialect(name).commands


def from_environment(environment: Mapping[str, str], read_text: ReadText) -> Job | None:
    """Return the job this process runs in, or None outside of one."""
    found = None
    for name, variable in NAMES.items():
        if variable in environment and found is None:
            found = _reader(name)(environment, read_text)
    return found


def _reader(name: str) -> Callable[[Mapping[str, str], ReadText], Job | None]:
    """Return what reads a job's environment, from the module that costs least to load."""
    from hpcwatch.cluster.schedulers import environment

    return getattr(environment, name, None) or dialect(name).from_environment
