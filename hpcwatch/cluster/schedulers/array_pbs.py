"""Job arrays of Torque and PBS Pro: options of qsub. Pure.

Source: qsub(1B) of both. If an option is given to qsub several times, the first counts.
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


class QsubArrays:
    """The job arrays of one PBS: elements `1-N`, at most `%M` of them at once."""

    def __init__(
        self,
        variable: str,
        letter: str,
        flags: str,
        limit: str,
        output: str,
        output_of_one: str | None = None,
    ) -> None:
        """``letter`` is the array's option, ``flags`` the letters of options without a value.

        ``limit`` names the server's attribute with the largest number of elements. ``output`` ends
        the path of each element's output. ``output_of_one`` ends it where a single element cannot
        be an array and is submitted as a plain job.
        """
        self.INDEX_VARIABLE = variable
        self._letter, self._flags, self._limit = letter, flags, limit
        self._output, self._output_of_one = output, output_of_one

    def arguments(self, order: Order, given: Sequence[str]) -> list[str]:
        """Return the options for an array. Raises HpcwatchError."""
        if order.elements_count == 1 and self._output_of_one is not None:
            return self._own(order, given, order.output + self._output_of_one)
        most_at_once = f"%{order.at_once}" if order.at_once else ""
        made = self._own(order, given, order.output + self._output)
        return [*made, f"-{self._letter}", f"1-{order.elements_count}{most_at_once}"]

    def _own(self, order: Order, given: Sequence[str], output: str) -> list[str]:
        """Return the other options. PBS runs a script by the user's login shell unless -S is given.

        Raises HpcwatchError.
        """
        if not _PATH.fullmatch(order.output):
            hint = "set HPCWATCH_HOME to a folder with plain letters in its name"
            raise HpcwatchError(f"PBS takes no output in {order.output}", hint, EXIT_USAGE)
        letters = {option.name for option in options(given, self._flags)}
        name = [] if "N" in letters else ["-N", pbs_name(order.name)]
        return ["-S", "/bin/sh", "-j", "oe", "-o", output, *name, *given]

    def unfit(self, given: Sequence[str]) -> str:
        """Return why options of the user's cannot be used, in words; empty if they can."""
        for name, value in options(given, self._flags):
            if not name or len(name) > 1:
                return no_option(f"--{name}" if name else value)
            if name in _TAKEN + self._letter or (name == "W" and "block" in value):
                return is_set_by_sweep(f"-W {value}" if name == "W" else f"-{name}")
        return ""

    def most(self) -> Query[int | None]:
        """Ask for the largest number of elements."""
        return Query(["qstat", "-B", "-f"], lambda answer: number_after(self._limit, answer))


def pbs_name(name: str) -> str:
    """Return a job's name that every PBS takes: it begins with a letter and is short."""
    return (name if name[:1].isalpha() else f"s{name}")[:_LONGEST_NAME]
