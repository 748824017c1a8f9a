"""One picture of what is watched (`--once`, `--format`), printed."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError
from hpcwatch.monitor.node_status import NodeState
from hpcwatch.monitor.watch import Watch
from hpcwatch.views.text import columns_of, wants_colour

if TYPE_CHECKING:
    from hpcwatch.monitor.picture import Picture

_RATE_S = 0.9
"""Rates over a shorter time say little."""
ONCE_S = 20.0
"""How long one picture waits for nodes: a connection and two readings take one to two seconds."""
_PROGRAM_S = 5.0
"""How long one picture waits, after the nodes, for the program's events."""


def once(watch: Watch, options: argparse.Namespace) -> int:
    """Print one picture as soon as every node was read for a second or has failed.

    Return the exit code: 1 if there are nodes and none of them could be read.
    """
    deadline_s = time.monotonic() + ONCE_S
    while time.monotonic() < deadline_s and not is_complete(watch):
        time.sleep(0.05)
    watch.await_program(min(deadline_s - time.monotonic(), _PROGRAM_S))
    with watch.lock:
        print(_text(watch, options), end="")
        return 1 if watch.statuses() and not watch.timeline.hosts else 0


def is_complete(watch: Watch) -> bool:
    """Return True if waiting would add nothing: rates need two readings."""
    with watch.lock:
        hosts = watch.timeline.hosts
        read = {name for name, host in hosts.items() if host.at_s[-1] - host.at_s[0] > _RATE_S}
    return all(
        status.host in read or (status.state is NodeState.LOST and status.host not in hosts)
        for status in watch.statuses()
    )


def _text(watch: Watch, options: argparse.Namespace) -> str:
    picture = watch.picture()
    if options.format == "json":
        if picture.job is None and picture.parts:
            return _array_json(picture)
        from hpcwatch.analysis.report.to_json import to_json

        return to_json(watch.report()) + "\n"
    if options.format == "qshow":
        from hpcwatch.views.report.qshow import qshow_text

        if picture.job is None:
            raise HpcwatchError("no job to show", "name one task of the array", EXIT_USAGE)
        return qshow_text(picture.job, picture.timeline, picture.statuses)
    from hpcwatch.views.live.once import text_of

    coloured = wants_colour(sys.stdout, options.color)
    return text_of(picture, columns_of(sys.stdout), None, coloured)


def _array_json(picture: Picture) -> str:
    """Return an array's tasks as `hpcwatch jobs --format json` does: it has no report."""
    from hpcwatch.cluster.schedulers.arrays import tasks_of
    from hpcwatch.views.jobs import to_json as jobs_json
    from hpcwatch.views.jobs.jobs_table import JobRow

    tasks = tasks_of(picture.parts)
    rows = [JobRow(job, ()) for job in tasks]
    first = tasks[0]
    return jobs_json.to_json(first.owner or "", first.scheduler, rows, picture.at_s) + "\n"
