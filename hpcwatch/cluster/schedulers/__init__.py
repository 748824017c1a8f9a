"""What a scheduler says of a job. Pure: nothing here runs a command.

One module per scheduler, with one record of all that others may ask about it (``dialect``) and
pairs of a command and its parser (``query``). ``environment`` tells which job this process is in,
``detection`` which scheduler a machine has, and ``inquiry`` asks it in the right order.
"""

from __future__ import annotations

from hpcwatch.probe.typed import TYPE_CHECKING, Any, Mapping

if TYPE_CHECKING:
    from hpcwatch.cluster.schedulers.dialects import Dialect
    from hpcwatch.cluster.schedulers.environment import Inside
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
    "inside",
    "inside_of",
    "known",
    "scheduler",
    "variable_prefixes",
]

NAMES = {"slurm": "SLURM_JOB_ID", "torque": "PBS_JOBID", "pbspro": "PBS_JOBID"}
"""One module each -> the variable that its jobs have, without which none of it is loaded.

In the order they are preferred: Slurm may come with Torque's names too.
"""


def __getattr__(name: str) -> Any:
    """Import the records when they are asked for: most programs run in no job."""
    if name in ("Job", "JobNode", "JobState", "ReadText"):
        from importlib import import_module

        return getattr(import_module(f"{__name__}.job"), name)
    raise AttributeError(name)


def dialect(name: str) -> Dialect:
    """Return all that is known of a kind of scheduler. ``name`` is one of NAMES."""
    from importlib import import_module

    found: Dialect = import_module(f"{__name__}.{name}").DIALECT
    return found


def known(name: str | None) -> Dialect | None:
    """Return a scheduler's record; None for a name of none. ``name`` may be foreign text."""
    return dialect(name) if name in NAMES else None


def scheduler(name: str) -> Scheduler:
    """Return a scheduler's commands and parsers. ``name`` is one of NAMES."""
    return dialect(name).commands


def from_environment(environment: Mapping[str, str], read_text: ReadText) -> Job | None:
    """Return the job this process runs in, or None outside of one."""
    found = None
    for name, variable in NAMES.items():
        if variable in environment and found is None:
            found = inside(name).job(environment, read_text)
    return found


def inside(name: str) -> Inside:
    """Return how a scheduler's job looks from inside, from the module that costs least to load.

    ``name`` is one of NAMES.
    """
    from hpcwatch.cluster.schedulers import environment

    return environment.INSIDE.get(name) or dialect(name).inside


def inside_of(environment: Mapping[str, str]) -> list[Inside]:
    """Return how jobs look from inside under each scheduler that this environment may be of."""
    return [inside(name) for name, variable in NAMES.items() if variable in environment]


def variable_prefixes() -> tuple[str, ...]:
    """Return the beginnings of the variables that schedulers set: ``SLURM_``, ``PBS_``."""
    begins = (variable.partition("_")[0] for variable in NAMES.values())
    return tuple(dict.fromkeys(f"{begin}_" for begin in begins))
