"""The scheduler's job in which this process runs."""

from __future__ import annotations

import os

from hpcwatch.cluster import schedulers
from hpcwatch.probe.typed import Mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hpcwatch.cluster.schedulers.job import Job

_MOST_BYTES = 64 << 20  # a line for each slot of a job


def own_job() -> Job | None:
    """Return the job according to the environment and the files it names; None outside of a job."""
    return schedulers.from_environment(os.environ, _read_text)


def names_here(job: Job) -> tuple[str, ...]:
    """Return the names that this job may have in environments and control groups on this node."""
    return tuple(dict.fromkeys((job.id, job.id.partition(".")[0])))


def is_one_of_many(environment: Mapping[str, str]) -> bool:
    """True if a launcher started this process as one of several tasks of the job.

    Then this process uses only a part of the job's resources. Sources: srun(1), mpirun(1) of Open
    MPI, GNU parallel.
    """
    if "PARALLEL_SEQ" in environment:
        return True
    sizes = [_number(environment.get(name)) for name in _SIZES]
    known = [size for size in sizes if size is not None]
    if any(size > 1 for size in known):
        return True
    if not known and any(name in environment for name in _RANKS):
        return True
    if not is_in_step(environment):
        return "PMIX_RANK" in environment
    here, whole = environment.get("SLURM_CPUS_ON_NODE"), environment.get("SLURM_JOB_CPUS_PER_NODE")
    tasks = _number(environment.get("SLURM_STEP_NUM_TASKS")) or 1
    return tasks > 1 or (whole is not None and here != whole.partition("(")[0].partition(",")[0])


def is_in_step(environment: Mapping[str, str]) -> bool:
    """True below srun: in a step, of which a job may have several at once.

    A batch script and an allocation's shell are no steps: their number is negative (-5), before
    26.05 without its sign.
    """
    step = _number(environment.get("SLURM_STEP_ID"))
    return step is not None and 0 <= step < _FIRST_SPECIAL_STEP


_SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE")
_RANKS = ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "MPI_LOCALRANKID")
_FIRST_SPECIAL_STEP = 0xFFFFFFF0  # slurm.h: SLURM_BATCH_SCRIPT is 0xfffffffb


def _number(text: str | None) -> int | None:
    try:
        return int(text or "")
    except ValueError:
        return None


def _read_text(path: str) -> str | None:
    try:
        from hpcwatch.base import reading

        return reading.text(path, "replace", _MOST_BYTES)
    except OSError:
        return None
