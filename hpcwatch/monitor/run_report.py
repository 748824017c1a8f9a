"""From what `hpcwatch run` watched to its report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcwatch.analysis import report
from hpcwatch.analysis.timeline import Timeline
from hpcwatch.config import Settings
from hpcwatch.monitor.run_recording import Recording
from hpcwatch.recording import store

if TYPE_CHECKING:
    from hpcwatch.analysis.needs import Observed


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
    from hpcwatch.monitor.report import observed_before

    return observed_before(run)
