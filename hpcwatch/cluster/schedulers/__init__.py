"""The state of a job according to its scheduler. Pure: nothing here runs a command.

Each scheduler has one module, with one record of everything that others may ask about it
(``dialects``) and pairs of a command and its parser (``query``). ``environment`` finds the job of
this process, ``detection`` the scheduler of a machine, and ``inquiry`` makes the queries in the
right order.
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
"""One module each -> the variable that its jobs have. Without it the module is not loaded.

In the order in which they are preferred: Slurm may also provide Torque's names.
"""


def __getattr__(name: str) -> Any:
    """Import the records on first use: most programs run outside of a job."""
    if name in ("Job", "JobNode", "JobState", "ReadText"):
        from importlib import import_module

        return getattr(import_module(f"{__name__}.job"), name)
    raise AttributeError(name)


def dialect(name: str) -> Dialect:
    """Return everything that is known of a kind of scheduler. ``name`` is one of NAMES."""
    from importlib import import_module

    found: Dialect = import_module(f"{__name__}.{name}").DIALECT
    return found


def known(name: str | None) -> Dialect | None:
    """Return a scheduler's record; None for an unknown name. ``name`` may be foreign text."""
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
    """Return how a scheduler's job looks from inside, from the module that is cheapest to load.

    ``name`` is one of NAMES.
    """
    from hpcwatch.cluster.schedulers import environment

    return environment.INSIDE.get(name) or dialect(name).inside


def inside_of(environment: Mapping[str, str]) -> list[Inside]:
    """Return how jobs look from inside under each scheduler that the environment may come from."""
    return [inside(name) for name, variable in NAMES.items() if variable in environment]


def variable_prefixes() -> tuple[str, ...]:
    """Return the prefixes of the variables that schedulers set: ``SLURM_``, ``PBS_``."""
    begins = (variable.partition("_")[0] for variable in NAMES.values())
    return tuple(dict.fromkeys(f"{begin}_" for begin in begins))
