"""The rank of a process in a parallel program, from its environment.

Only the number leaves this file. A process that may not be read has no known rank.
"""

from .members import RANK_LOOKS, Tracked
from .procfs import read
from .typed import Optional, Tuple

_MOST_BYTES = 1 << 17
"""How much of an environment is read. Launchers append their variables, and batch systems' are
far smaller."""
_MOST_DIGITS = 7
NOT_YET = -1
"""Instead of a rank: there is no environment, as for a moment while a program is executed."""

_OF_LIBRARIES = (
    b"OMPI_COMM_WORLD_RANK",
    b"PMI_RANK",
    b"PMIX_RANK",
    b"MV2_COMM_WORLD_RANK",
    b"PALS_RANKID",
    b"FLUX_TASK_RANK",
)
"""Set for ranks alone, by Open MPI, MPICH and Intel MPI, PMIx, MVAPICH2, Cray PALS and Flux."""
_OF_COUNTED: Tuple[Tuple[bytes, bytes], ...] = (
    (b"RANK", b"WORLD_SIZE"),
    (b"SLURM_PROCID", b"SLURM_STEP_NUM_TASKS"),
)
"""torchrun's and Slurm's variables, each with the one that gives the number of ranks. A batch
script is the only task of its step: its 0 is no rank."""
_LAUNCHERS = (
    b"mpirun",
    b"mpiexec",
    b"mpiexec.hydra",
    b"orterun",
    b"orted",
    b"prterun",
    b"prte",
    b"prted",
    b"hydra_pmi_proxy",
    b"hydra_bstrap_pr",
    b"pmi_proxy",
    b"srun",
)
"""Programs that start ranks, as the kernel names them: Slurm may count them as tasks."""


def of_tracked(tracked: Tracked, proc: str = "/proc") -> Optional[int]:
    """Return a process's rank: read once, unless it executes another program.

    One that is just being executed shows no environment yet: it gets a second look.
    """
    if not tracked.is_rank_known:
        found = rank_of("%s/%d" % (proc, tracked.pid), tracked.stat.name)
        tracked.rank_looks = tracked.rank_looks + 1 if found == NOT_YET else RANK_LOOKS
        tracked.rank = None if found == NOT_YET else found
    return tracked.rank


def rank_of(folder: str, name: bytes) -> Optional[int]:
    """Return the rank of the process with this folder in /proc and this name.

    None if it has none, or its environment may not be read.
    """
    if name in _LAUNCHERS:
        return None
    try:
        raw = read(folder + "/environ", _MOST_BYTES)
    except OSError:
        return None
    if not raw:
        return NOT_YET
    raw = b"\0" + raw
    for variable in _OF_LIBRARIES:
        rank = _number(raw, variable)
        if rank is not None:
            return rank
    for variable, counted in _OF_COUNTED:
        rank, count = _number(raw, variable), _number(raw, counted)
        if rank is not None and count is not None and rank < count > 1:
            return rank
    return None


def _number(raw: bytes, variable: bytes) -> Optional[int]:
    """Return the value of a variable if it is a whole number of a plausible length."""
    start = raw.find(b"\0" + variable + b"=")
    if start < 0:
        return None
    value = raw[start + len(variable) + 2 :].partition(b"\0")[0]
    return int(value) if value.isdigit() and len(value) <= _MOST_DIGITS else None
