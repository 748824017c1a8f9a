"""A job's request as the lines of its script, and changes of them. Pure.

Each scheduler's record reads and edits the lines (see ``hpcwatch.cluster.schedulers.request``).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from hpcwatch.analysis.findings import Directive
from hpcwatch.cluster.schedulers import Job, known
from hpcwatch.cluster.schedulers.request import (
    Edited,
    Request,
    clock,
    needs_of,
    node_gpus_count,
    nodes_count,
    settled,
)

__all__ = [
    "Directives",
    "clock",
    "difference",
    "directives",
    "edited",
    "node_gpus_count",
    "nodes_count",
    "request",
]

Directives = tuple[Directive, ...]
_NO_ENVIRONMENT: Mapping[str, str] = MappingProxyType({})


def request(job: Job, environment: Mapping[str, str] = _NO_ENVIRONMENT) -> Request:
    """Return the request, in the user's words if they are known; no lines if nothing is known."""
    scheduler = known(job.scheduler)
    return Request() if scheduler is None else scheduler.requests.read(job, environment)


def edited(old: Job, new: Job, environment: Mapping[str, str] = _NO_ENVIRONMENT) -> Edited:
    """Return a job's lines with the numbers of another."""
    scheduler = known(old.scheduler)
    if scheduler is None:
        return Edited((), ())
    lines = scheduler.requests.read(old, environment).lines
    return settled(scheduler.requests, lines, needs_of(old), needs_of(new))


def difference(old: Job, new: Job, environment: Mapping[str, str]) -> Directives:
    """Return the lines in which the requests of two jobs differ."""
    return directives(old, edited(old, new, environment))


def directives(job: Job, made: Edited) -> Directives:
    """Return an edit as changes of a job's script."""
    return tuple(Directive(job.scheduler, old, new) for old, new in made.changes)
