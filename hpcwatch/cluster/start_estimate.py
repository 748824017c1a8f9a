"""When requests that are not submitted would start, as the scheduler estimates it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from hpcwatch.base.errors import HpcwatchError
from hpcwatch.cluster.client import Asker
from hpcwatch.cluster.schedulers import known
from hpcwatch.cluster.schedulers.request import Needs


class Wish(NamedTuple):
    """A request."""

    lines: tuple[str, ...]
    """As directives of a script."""
    needs: Needs


class Start(NamedTuple):
    """When a request would start."""

    at_s: float | None
    """Seconds since the epoch; None if that is not known."""
    why: str = ""
    """Why it is not known."""


class Starts(NamedTuple):
    """When requests would start, in their order."""

    starts: tuple[Start, ...]
    by: str
    """Whose estimate it is."""


def starts(scheduler: str, wishes: Sequence[Wish], ask: Asker | None = None) -> Starts:
    """Ask for each request, one call each. Raises HpcwatchError if the scheduler has no such call.

    What it says against one of them is the reason why its start is not known.
    """
    dialect = known(scheduler)
    trial = dialect.trial if dialect is not None else None
    if trial is None:
        raise HpcwatchError(
            f"{scheduler} does not say when a job that is not submitted would start"
        )
    asked = ask or Asker()
    found = []
    for wish in wishes:
        try:
            at_s = trial.start_s(asked(trial.query(wish.lines)).value, wish.needs)
        except HpcwatchError as error:
            found.append(Start(None, error.message))
        else:
            found.append(Start(at_s, "" if at_s is not None else "it fits no free gap"))
    return Starts(tuple(found), trial.BY)
