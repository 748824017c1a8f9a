"""How the site gathers what its accounting says: asked once for each answer."""

from __future__ import annotations

from collections.abc import Iterable

from hpcwatch.base.errors import HpcwatchError
from hpcwatch.cluster import client
from hpcwatch.cluster.schedulers import dialect
from hpcwatch.cluster.schedulers.history import History, Site
from hpcwatch.cluster.schedulers.job import Job


def site(history: History) -> Site:
    """Return what holds for all jobs, as far as the scheduler tells."""
    if history.site is None:
        return history.unasked
    try:
        found: Site = client.Asker()(history.site).value
    except HpcwatchError:
        return history.unasked
    return found


def memory_caveat_of(jobs: Iterable[Job]) -> str:
    """Return the caveat if any of these jobs has accounted memory; its scheduler is asked once."""
    known = (one for one in jobs if one.usage is not None and one.usage.memory_bytes)
    first = next(known, None)
    return memory_caveat(first.scheduler) if first is not None else ""


def memory_caveat(scheduler: str) -> str:
    """Return what is to be said of memory that a scheduler accounts; empty if nothing is."""
    history = dialect(scheduler).history
    return site(history()).caveat if history is not None else ""
