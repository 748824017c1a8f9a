"""What job arrays of Torque and PBS Pro have in common: qsub's options. Pure.

Source: qsub(1B) of both. Of several equal options on qsub's command line the first counts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError
from hpcwatch.cluster.schedulers.array_jobs import (
    Order,
    is_set_by_sweep,
    no_option,
    number_after,
    options,
)
from hpcwatch.cluster.schedulers.query import Query

_PATH = re.compile(r"[\w./+@=-]+", re.ASCII)
_LONGEST_NAME = 15
_TAKEN = "ejoSIz"


def own_arguments(order: Order, given: Sequence[str], flags: str, output: str) -> list[str]:
    """Return the options besides the array's own. Raises HpcwatchError.

    PBS runs a script by the user's login shell unless it is told another one.
    """
    if not _PATH.fullmatch(order.output):
        hint = "set HPCWATCH_HOME to a folder with plain letters in its name"
        raise HpcwatchError(f"PBS takes no output in {order.output}", hint, EXIT_USAGE)
    letters = {option.name for option in options(given, flags)}
    name = [] if "N" in letters else ["-N", pbs_name(order.name)]
    return ["-S", "/bin/sh", "-j", "oe", "-o", output, *name, *given]


def pbs_name(name: str) -> str:
    """Return a job's name that every PBS takes: it begins with a letter and is short."""
    return (name if name[:1].isalpha() else f"s{name}")[:_LONGEST_NAME]


def unfit(given: Sequence[str], flags: str, taken: str) -> str:
    """Return why options of the user's cannot be used, in words; empty if they can.

    ``taken`` are the letters of the array's own options.
    """
    for name, value in options(given, flags):
        if not name or len(name) > 1:
            return no_option(f"--{name}" if name else value)
        if name in _TAKEN + taken or (name == "W" and "block" in value):
            return is_set_by_sweep(f"-W {value}" if name == "W" else f"-{name}")
    return ""


def most(name: str) -> Query[int | None]:
    """Ask for the largest number of elements, by the name of the server's attribute."""
    return Query(["qstat", "-B", "-f"], lambda answer: number_after(name, answer))
