"""Job arrays of Torque: `qsub -t`. Pure.

Sources: qsub(1B) of Torque 6; Torque Administrator's Guide, max_job_array_size. Torque adds ``-7``
to the path of the output of the element 7.
"""

from __future__ import annotations

from collections.abc import Sequence

from hpcwatch.cluster.schedulers import array_pbs
from hpcwatch.cluster.schedulers.array_jobs import Order
from hpcwatch.cluster.schedulers.query import Query
from hpcwatch.cluster.schedulers.request_torque import FLAGS

INDEX_VARIABLE = "PBS_ARRAYID"


def arguments(order: Order, given: Sequence[str]) -> list[str]:
    """Return the options for an array."""
    most_at_once = f"%{order.at_once}" if order.at_once else ""
    made = array_pbs.own_arguments(order, given, FLAGS, f"{order.output}.out")
    return [*made, "-t", f"1-{order.elements_count}{most_at_once}"]


def unfit(given: Sequence[str]) -> str:
    """Return why options of the user's cannot be used, in words; empty if they can."""
    return array_pbs.unfit(given, FLAGS, "t")


def most() -> Query[int | None]:
    """Ask for the largest number of elements."""
    return array_pbs.most("max_job_array_size")
