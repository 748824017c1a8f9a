"""Job arrays of PBS Pro and OpenPBS: `qsub -J`. Pure.

Sources: qsub(1B); the PBS Professional User's Guide, "Job Arrays"; pbs_server_attributes(7B),
max_array_size.
"""

from __future__ import annotations

from collections.abc import Sequence

from hpcwatch.cluster.schedulers import array_pbs
from hpcwatch.cluster.schedulers.array_jobs import Order
from hpcwatch.cluster.schedulers.query import Query
from hpcwatch.cluster.schedulers.request_pbspro import FLAGS

INDEX_VARIABLE = "PBS_ARRAY_INDEX"


def arguments(order: Order, given: Sequence[str]) -> list[str]:
    """Return the options for an array. Of one element there is none: that is a plain job.

    The first index must be smaller than the last.
    """
    if order.elements_count == 1:
        return array_pbs.own_arguments(order, given, FLAGS, f"{order.output}-1.out")
    most_at_once = f"%{order.at_once}" if order.at_once else ""
    made = array_pbs.own_arguments(order, given, FLAGS, f"{order.output}-^array_index^.out")
    return [*made, "-J", f"1-{order.elements_count}{most_at_once}"]


def unfit(given: Sequence[str]) -> str:
    """Return why options of the user's cannot be used, in words; empty if they can."""
    return array_pbs.unfit(given, FLAGS, "J")


def most() -> Query[int | None]:
    """Ask for the largest number of elements."""
    return array_pbs.most("max_array_size")
