"""Checks of what hpcwatch needs: here, of the scheduler, and on a node. None needs another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from typing import NamedTuple

from hpcwatch.base.errors import HpcwatchError, os_reason


class Level(Enum):
    """The result of a check."""

    OK = "ok"
    NOTE = "note"
    """Not checked, or irrelevant here."""
    WARNING = "warning"
    """Something will be missing."""
    PROBLEM = "problem"
    """Something will not work."""


class Check(NamedTuple):
    """The subject of a check, what was found, and what to do about it."""

    subject: str
    level: Level
    found: str
    advice: str = ""


def ok(subject: str, found: str) -> Check:
    """Return a check without a problem."""
    return Check(subject, Level.OK, found)


def guarded(subject: str, checks: Callable[[], Iterable[Check]]) -> Iterator[Check]:
    """Yield a check's results; an exception in it becomes one more, and stops no other check."""
    try:
        yield from checks()
    except HpcwatchError as error:
        yield Check(subject, Level.PROBLEM, error.message, error.hint)
    except Exception as error:  # unexpected errors are what doctor is for
        found = f"the check itself failed: {type(error).__name__}: {os_reason(error)}"
        yield Check(subject, Level.PROBLEM, found, "please report it, with this line")
