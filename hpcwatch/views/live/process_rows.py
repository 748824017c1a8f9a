"""The processes of a node as records, and the orders that they are listed in. Pure."""

from __future__ import annotations

from collections.abc import Callable

from hpcwatch.probe.schema import Process
from hpcwatch.views.live.board import Board, by_place
from hpcwatch.views.live.page import Sort
from hpcwatch.views.live.rows import NodeFigures, ProcessFigures

_MEMORY_AS_CORES = 1e-3
"""The most that memory, up to 10^15 bytes, counts in an order by CPU."""


def processes_of(node: NodeFigures) -> list[ProcessFigures]:
    """Return a node's processes, most CPU first, then most memory."""
    return sorted(listed_on(node), key=_by_cpu)


def count_on(node: NodeFigures) -> int:
    """Return how many processes of a node are listed."""
    if node.sample is None or node.history is None:
        return 0
    more = node.further.processes if node.further is not None else ()
    return len(node.sample.processes or ()) + len(more)


def has_ranks(node: NodeFigures) -> bool:
    """True if any listed process of a node is a rank."""
    named = node.sample.processes if node.sample is not None else None
    more = node.further.processes if node.further is not None else ()
    ranks = [one.rank for one in named or ()]
    return ranks.count(None) < len(ranks) or any(one.rank is not None for one in more)


def listed_on(node: NodeFigures) -> list[ProcessFigures]:
    """Return a node's processes in the order of its sample, then those it named on demand."""
    if node.sample is None or node.history is None:
        return []
    host, cores, every = node.host, node.process_cores, node.sample.processes or ()
    if node.further is None:
        return [ProcessFigures(host, one, cores.get(one.pid), node) for one in every]
    # One that was not among the largest before is known there only.
    more = node.further.cores
    made = [ProcessFigures(host, one, more.get(one.pid, cores.get(one.pid)), node) for one in every]
    return made + [
        ProcessFigures(host, one, more.get(one.pid), node) for one in node.further.processes
    ]


def cpu_s(process: Process) -> float | None:
    """Return the CPU time a process has used in all."""
    if process.cpu_user_s is None and process.cpu_system_s is None:
        return None
    return (process.cpu_user_s or 0.0) + (process.cpu_system_s or 0.0)


def _by_cpu(one: ProcessFigures) -> float:
    # Of those that use as much, that with more memory: a float sorts faster than a pair.
    return -(one.cores or 0.0) - 1e-18 * (one.process.rss_bytes or 0)


def _lead_by_cpu(node: NodeFigures) -> float:
    """Return the least key of a node's processes, without making their records.

    Ten thousand processes lie far apart in memory: more than the number is only read of those
    that use about the most.
    """
    if node.sample is None or node.further is not None:
        return min(map(_by_cpu, listed_on(node)))
    cores = node.process_cores.get
    named = node.sample.processes or ()
    least = max(node.process_cores.values(), default=0.0) - _MEMORY_AS_CORES
    return min(
        [
            -used - 1e-18 * (one.rss_bytes or 0)
            for one in named
            if (used := cores(one.pid, 0.0)) >= least
        ]
    )


def _by_rss(one: ProcessFigures) -> float:
    return -(one.process.rss_bytes or 0)


def _by_time(one: ProcessFigures) -> float:
    return -(cpu_s(one.process) or 0.0)


def _by_rank(one: ProcessFigures) -> object:
    rank = one.process.rank
    return rank is None, rank or 0, _by_cpu(one)


def _by_node(board: Board) -> Callable[[ProcessFigures], object]:
    places = board.places
    return lambda one: (places[one.host], -(one.cores or 0.0))


SORTS = (
    Sort("CPU", lambda _board: _by_cpu, lambda _board: _lead_by_cpu),
    Sort("RSS", lambda _board: _by_rss),
    Sort("CPU time", lambda _board: _by_time),
    Sort("PID", lambda _board: lambda one: one.process.pid),
    Sort("node", _by_node, by_place),
    Sort("rank", lambda _board: _by_rank),
)
