"""A search among the recorded runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple, Protocol, TypeVar

from hpcwatch.recording.lookup import Say, list_runs
from hpcwatch.recording.removal import is_being_made, is_link, last_written_s, size_bytes
from hpcwatch.recording.store import Run, RunDirectory


class _Dated(Protocol):
    @property
    def last_s(self) -> float:
        """When something happened in it for the last time."""


Dated = TypeVar("Dated", bound=_Dated)


class Found:
    """A run and its directory; two with the same directory are equal."""

    def __init__(self, directory: RunDirectory, run: Run) -> None:
        self.directory = directory
        self.run = run

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Found) and self.directory.path == other.directory.path

    def __hash__(self) -> int:
        return hash(self.directory.path)

    @property
    def size_bytes(self) -> int:
        """The size of its files."""
        return size_bytes(self.directory)

    @property
    def how(self) -> str:
        """How it ended, or ``running`` while it is recorded."""
        return "running" if is_being_made(self.directory, self.run) else self.run.how

    @property
    def is_link(self) -> bool:
        """True if it lies outside of the store."""
        return is_link(self.directory)

    @property
    def last_s(self) -> float:
        """When something was added to it for the last time."""
        return last_written_s(self.directory, self.run)

    def fits(self, wanted: Wanted) -> bool:
        """Return whether it is one of those that are looked for."""
        run = self.run
        return (
            (wanted.name is None or fnmatchcase(run.name, wanted.name))
            and (wanted.job is None or (run.job is not None and run.job.is_called(wanted.job)))
            and (wanted.since_s is None or run.started_at_s >= wanted.since_s)
            and (wanted.kind is None or run.kind == wanted.kind)
            and (not wanted.is_failed or bool(run.exit_code or run.signal))
            and (not wanted.has_findings or has_findings(self.directory))
        )


class Wanted(NamedTuple):
    """The conditions of a search; a run must meet all of them."""

    name: str | None = None
    """A shell pattern such as ``train*``."""
    job: str | None = None
    since_s: float | None = None
    is_failed: bool = False
    has_findings: bool = False
    kind: str | None = None


def all_runs(say: Say | None = None) -> list[Found]:
    """Return all readable runs, the latest last; call ``say`` with a line for each other."""
    return [Found(directory, run) for directory, run in list_runs(say)]


def found_at(directory: RunDirectory) -> Found:
    """Return the run of a directory. Raises HpcwatchError."""
    return Found(directory, directory.read_run())


def older_than(found: Sequence[Dated], seconds: float) -> list[Dated]:
    """Return the runs or sweeps whose last write is at least ``seconds`` ago."""
    limit_s = time.time() - seconds
    return [one for one in found if one.last_s < limit_s]


def has_findings(directory: RunDirectory) -> bool:
    """Return True if a run's report has findings; False without a readable report."""
    return bool(directory.report_part("findings"))
