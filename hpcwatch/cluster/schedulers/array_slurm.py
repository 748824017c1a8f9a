"""Job arrays of Slurm: `sbatch --array`. Pure.

Sources: sbatch(1), "filename pattern"; slurm.conf(5), MaxArraySize.
"""

from __future__ import annotations

from collections.abc import Sequence

from hpcwatch.cluster.schedulers.array_jobs import (
    Order,
    is_set_by_sweep,
    no_option,
    number_after,
    options,
)
from hpcwatch.cluster.schedulers.query import Answer, Query
from hpcwatch.cluster.schedulers.slurm_options import FLAGS, SHORT, SHORT_FLAGS, VALUED, long_name

INDEX_VARIABLE = "SLURM_ARRAY_TASK_ID"
_TAKEN = ("array", "error", "input", "output", "parsable", "test-only", "wait", "wrap")
_TELLING = ("help", "usage", "version")
_VALUED = (VALUED | frozenset(SHORT.values())) - FLAGS


def arguments(order: Order, given: Sequence[str]) -> list[str]:
    """Return the options for an array. The last of several equal ones counts."""
    most = f"%{order.at_once}" if order.at_once else ""
    output = order.output.replace("%", "%%")
    return [
        f"--job-name={order.name}",
        *given,
        f"--array=1-{order.elements_count}{most}",
        f"--output={output}-%a.out",
    ]


def unfit(given: Sequence[str]) -> str:
    """Return why options of the user's cannot be used, in words; empty if they can."""
    for name, value in options(
        given, "".join(SHORT_FLAGS), lambda name: long_name(name) in _VALUED
    ):
        if not name:
            return f"{no_option(value)}, a value as --name=value"
        full = SHORT.get(name, name) if len(name) == 1 else long_name(name)
        if full in _TELLING:
            return f"--{full} submits nothing: leave it out"
        if any(one.startswith(full) for one in _TAKEN):  # sbatch accepts shortened names
            return is_set_by_sweep(f"--{full}")
    return ""


def most() -> Query[int | None]:
    """Ask for the largest number of elements: the largest index is MaxArraySize less 1."""
    return Query(["scontrol", "show", "config"], _most)


def _most(answer: Answer) -> int | None:
    size = number_after("MaxArraySize", answer)
    return None if size is None else size - 1
