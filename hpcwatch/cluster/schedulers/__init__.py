"""What a scheduler says of a job. Pure: nothing here runs a command.

One module per scheduler with pairs of a command and its parser (``query``). ``environment`` tells
which job this process is in, ``detection`` which scheduler a machine has, and ``inquiry`` asks
it in the right order.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpcwatch.cluster.schedulers.job import Job, JobNode, JobState, ReadText
    from hpcwatch.cluster.schedulers.query import Scheduler

__all__ = ["NAMES", "Job", "JobNode", "JobState", "ReadText", "from_environment", "scheduler"]

NAMES = ("slurm", "torque", "pbspro")
"""One module each, in the order they are preferred: Slurm may come with Torque's names too."""


def __getattr__(name: str) -> Any:
    """Import the records when they are asked for: most programs run in no job."""
    if name in ("Job", "JobNode", "JobState", "ReadText"):
        return getattr(import_module(f"{__name__}.job"), name)
    raise AttributeError(name)


def scheduler(name: str) -> Scheduler:
    """Return a scheduler's commands and parsers. ``name`` is one of NAMES."""
    commands: Scheduler = import_module(f"{__name__}.{name}").COMMANDS
    return commands


def from_environment(environment: Mapping[str, str], read_text: ReadText) -> Job | None:
    """Return the job this process runs in, or None outside of one."""
    if "SLURM_JOB_ID" not in environment and "PBS_JOBID" not in environment:
        return None
    from hpcwatch.cluster.schedulers.environment import job

    return job(environment, read_text)
