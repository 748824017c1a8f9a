"""The scheduler's estimate of when requests would start, without a submission."""

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
    """The request as directives of a script."""
    needs: Needs


class Start(NamedTuple):
    """The estimated start of a request."""

    at_s: float | None
    """Seconds since the epoch; None if it is unknown."""
    why: str = ""
    """Why it is unknown."""


class Starts(NamedTuple):
    """The estimates of several requests, in their order."""

    starts: tuple[Start, ...]
    by: str
    """The source of the estimate."""


def starts(scheduler: str, wishes: Sequence[Wish], ask: Asker | None = None) -> Starts:
    """Ask for each request with one call. Raises HpcwatchError if the scheduler has no such call.

    If the scheduler rejects a request, its message is the reason why the start is unknown.
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
