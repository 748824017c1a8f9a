"""The report that `hpcwatch run` makes when its program has ended."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from hpcwatch import report, store
from hpcwatch.cli import reporting
from hpcwatch.cli.output import write_error
from hpcwatch.cli.recording import Recording
from hpcwatch.config import Settings
from hpcwatch.timeline import Timeline
from hpcwatch.views.text import columns_of, fresh_line

if TYPE_CHECKING:
    from hpcwatch.cli.run import Options
    from hpcwatch.observed import Observed


def build(
    run: store.Run, timeline: Timeline, recording: Recording, settings: Settings
) -> report.Report:
    """Return the report of a run that has ended. ``timeline`` is what was read lately."""
    return report.build(
        run,
        _whole(timeline, run, recording),
        recording.events(),
        0,
        settings.thresholds_for(run.job.queue if run.job is not None else None),
        earlier=_observed_before(run),
        rates=settings.rates,
    )


def _whole(timeline: Timeline, run: store.Run, recording: Recording) -> Timeline:
    """The live timeline if it still holds everything, else the recording's."""
    is_whole = all(host.reading_count == len(host.at_s) for host in timeline.hosts.values())
    if is_whole or not recording.is_whole:
        return timeline
    recorded = Timeline(run.interval_s, run.job)
    recorded.add_all(recording.samples())
    return recorded


def _observed_before(run: store.Run) -> list[Observed]:
    """Return what earlier runs of the program showed; nothing outside of a job."""
    if run.job is None:
        return []
    from hpcwatch.reading import observed_before

    return observed_before(run)


def show(
    made: report.Report,
    options: Options,
    saved: store.RunDirectory | None,
    say: Callable[[str], None],
) -> None:
    """Print the report and write the files that were asked for.

    ``saved`` is where it can be read again; ``say`` takes what went wrong with a file.
    """
    text = reporting.printed(made, options.report, sys.stderr, options.color)
    if sys.stderr is not None and sys.stderr.isatty():
        text = fresh_line(columns_of(sys.stderr)) + text
    if saved is not None:
        is_at_home = saved.path.startswith(store.root() + os.sep)
        named = made.run.id if is_at_home else shlex.quote(options.output or "")
        text += f"Again: hpcwatch report {named}\n"
    write_error(text)
    reporting.write(made, options.report, say)
