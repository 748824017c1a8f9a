"""A job's request as lines of a script in the user's own words, and edits of the numbers. Pure.

A scheduler's record (``dialects.Dialect``) names its ``Requests``, such as the module
``request_slurm``: ``read(job, environment)`` returns the lines, ``edit(lines, old, new)`` the same
lines with other numbers. Where the user's words are known, no line is made from numbers, and an
edit leaves words that it does not understand as they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

from hpcwatch.base.units import GIB, MIB

if TYPE_CHECKING:
    from hpcwatch.cluster.schedulers.job import Job

UNSAID = "…"
"""Stands in a line for words of the user that are not known. No scheduler accepts it."""


class Request(NamedTuple):
    """The request as lines of a script's head."""

    lines: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()
    """What the lines may lack. If there is any gap, the lines must not be pasted."""
    notes: tuple[str, ...] = ()
    """What the user should know about the origin of the lines."""


class Needs(NamedTuple):
    """Amounts to request. None is unknown or not requested; a limit of 0 bytes is to be removed."""

    nodes_count: int
    node_cores_count: int | None = None
    node_gpus_count: int | None = None
    node_memory_bytes: int | None = None
    walltime_s: int | None = None
    vmem_bytes: int | None = None
    pvmem_bytes: int | None = None


class Kept(NamedTuple):
    """A number that an edit could not change, and why."""

    subject: str
    """``nodes``, ``cores``, ``gpus``, ``memory`` or ``walltime``."""
    why: str


class Edited(NamedTuple):
    """The lines after an edit."""

    changes: tuple[tuple[str | None, str | None], ...]
    """The lines that differ, as (old, new): (None, new) is added, (old, None) is removed."""
    lines: tuple[str, ...]
    """All of them."""
    kept: tuple[Kept, ...] = ()


class Requests(Protocol):
    """Reads and edits a scheduler's requests: a module, or an object."""

    @property
    def PREFIX(self) -> str:  # noqa: N802 (a module's constant)
        """The prefix of a script's lines that the scheduler reads: ``#PBS``."""

    def script_name(self, job: Job) -> str | None:
        """Return the script's path, relative to where the job was submitted; None without one."""

    def read(self, job: Job, environment: Mapping[str, str]) -> Request:
        """Return what was requested for a job."""

    def edit(self, lines: tuple[str, ...], old: Needs, new: Needs) -> Edited:
        """Return the lines with the numbers in which ``new`` differs from ``old``.

        If it keeps a number, other lines may depend on that number: ``settled`` edits again.
        """


def settled(requests: Requests, lines: tuple[str, ...], old: Needs, new: Needs) -> Edited:
    """Edit lines again until none depends on a number that could not be changed."""
    kept: dict[str, Kept] = {}
    for _ in Needs._fields:  # each round settles at least one of them
        made = requests.edit(lines, old, new)
        if not made.kept:
            break
        for one in made.kept:
            kept.setdefault(one.subject, one)
            new = _unchanged(old, new, one.subject)
    return made._replace(kept=tuple(kept.values()))


def _unchanged(old: Needs, new: Needs, subject: str) -> Needs:
    """Return the new amounts with one of them as it was."""
    if subject == "nodes":  # the nodes that stay do not take over the others' share either
        return new._replace(
            nodes_count=old.nodes_count,
            node_cores_count=_least(old.node_cores_count, new.node_cores_count),
            node_gpus_count=_least(old.node_gpus_count, new.node_gpus_count),
            node_memory_bytes=_least(old.node_memory_bytes, new.node_memory_bytes),
        )
    if subject == "cores":
        return new._replace(node_cores_count=old.node_cores_count)
    if subject == "gpus":
        return new._replace(node_gpus_count=old.node_gpus_count)
    if subject == "memory":
        return new._replace(node_memory_bytes=old.node_memory_bytes)
    return new._replace(walltime_s=old.walltime_s)


def _least(old: int | None, new: int | None) -> int | None:
    return old if old is None or new is None else min(old, new)


class Spot(NamedTuple):
    """A value within a line."""

    name: str
    value: str
    start: int
    end: int
    """The position of the value."""
    cut_start: int
    cut_end: int
    """The part of the line to remove with the value."""


def inside_quotes(line: str, start: int, end: int) -> tuple[int, int]:
    """Return a value's position without the quotes around it, unless it holds such a quote."""
    value = line[start:end]
    is_quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'"
    return (start + 1, end - 1) if is_quoted and value.count(value[0]) == 2 else (start, end)


Spots = Callable[[str], tuple[Spot, ...]]
"""Returns the values in a line."""


class Script:
    """Lines under edit."""

    def __init__(self, lines: Iterable[str], spots: Spots) -> None:
        self._old = tuple(lines)
        self._now: list[str | None] = list(self._old)
        """The lines in the same order; added lines come last."""
        self._spots = spots

    def get(self, name: str) -> str | None:
        """Return a value; if it is given several times, the last counts."""
        found = None
        for line in self._now:
            for spot in self._spots(line) if line else ():
                found = spot.value if spot.name == name else found
        return found

    def times(self, name: str) -> int:
        """Return how many times a value is given."""
        return sum(spot.name == name for line in self._now if line for spot in self._spots(line))

    def put(self, name: str, value: str) -> bool:
        """Replace a value wherever it is given. Returns False if it is not given."""
        return self._each(name, lambda line, spot: line[: spot.start] + value + line[spot.end :])

    def drop(self, name: str) -> bool:
        """Remove a value from its line, and the whole line if nothing else is in it."""

        def without(line: str, spot: Spot) -> str | None:
            rest = line[: spot.cut_start] + line[spot.cut_end :]
            return rest if self._spots(rest) else None

        return self._each(name, without)

    def add(self, line: str) -> None:
        """Add a line at the end."""
        self._now.append(line)

    def _each(self, name: str, change: Callable[[str, Spot], str | None]) -> bool:
        is_found = False
        for index, line in enumerate(self._now):
            spots = [spot for spot in self._spots(line or "") if spot.name == name]
            if line is not None and spots:
                self._now[index] = change(line, spots[-1])
                is_found = True
        return is_found

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines as they are now."""
        return tuple(line for line in self._now if line is not None)

    def edited(self, kept: Iterable[Kept]) -> Edited:
        """Return the lines and the differences."""
        changes = [
            (old, self._now[index])
            for index, old in enumerate(self._old)
            if old != self._now[index]
        ]
        added = [(None, line) for line in self._now[len(self._old) :]]
        return Edited((*changes, *added), self.lines, tuple(kept))


def has_plain_words(job: Job) -> bool:
    """True if the user's words can be shown and pasted: no control character, no line break.

    They come from the scheduler or from a recording. A line break would end a comment in a script.
    """
    words = (job.submit_arguments or "", *(job.script_lines or ()))
    return all(line.replace("\t", " ").isprintable() for line in words)


def nodes_count(job: Job) -> int:
    """Return the number of nodes of the job."""
    return max(len(job.nodes) or job.nodes_count or 1, 1)


def node_gpus_count(job: Job) -> int | None:
    """Return the devices requested per node; None if that is unknown."""
    return None if job.gpus_count is None else math.ceil(job.gpus_count / nodes_count(job))


def needs_of(job: Job) -> Needs:
    """Return the amounts of a job."""
    return Needs(
        nodes_count=nodes_count(job),
        node_cores_count=job.node_cores_count,
        node_gpus_count=node_gpus_count(job),
        node_memory_bytes=job.node_memory_bytes,
        walltime_s=job.walltime_s,
        vmem_bytes=job.vmem_bytes,
        pvmem_bytes=job.pvmem_bytes,
    )


def clock(seconds: int) -> str:
    """Write a duration in the form that all schedulers accept: ``3:15:00``, ``0:20:00``."""
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def size(size_bytes: float, mib: str, gib: str) -> str:
    """Write an amount of memory in whole GiB, or else in MiB, rounded up."""
    if size_bytes % GIB == 0:
        return f"{int(size_bytes) // GIB}{gib}"
    return f"{math.ceil(size_bytes / MIB)}{mib}"
