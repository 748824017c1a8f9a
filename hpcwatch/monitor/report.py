"""From a recording on disk to its report."""

from __future__ import annotations

from hpcwatch import config
from hpcwatch.analysis import report
from hpcwatch.analysis.needs import Observed
from hpcwatch.analysis.timeline import Timeline
from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError
from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.probe.decode import build
from hpcwatch.recording.previous_runs import before
from hpcwatch.recording.removal import is_monitored
from hpcwatch.recording.store import Run, RunDirectory


def load(directory: RunDirectory, job: Job | None = None) -> report.Report:
    """Make the report of a recorded run. Raises HpcwatchError if it is not readable.

    ``job`` is what its scheduler says by now.
    """
    run = directory.read_run()
    if job is not None:
        run = run._replace(job=job)
    timeline = Timeline(run.interval_s, run.job)
    odd_lines = 0
    for sample in directory.read_samples():
        if sample is None:
            odd_lines += 1
        else:
            timeline.add(sample)
    if not timeline.hosts and odd_lines > 1:  # one line may be torn, all of them are not ours
        hint = f"none of its {odd_lines} lines is a sample"
        raise HpcwatchError(f"{directory.path}: not a recording of hpcwatch", hint, EXIT_USAGE)
    settings = config.load_to_read()
    return report.build(
        run,
        timeline,
        directory.read_events(),
        odd_lines,
        settings.thresholds_for(run.job.queue if run.job is not None else None),
        is_running=is_monitored(run),
        earlier=observed_before(run),
        rates=settings.rates,
    )


def observed_before(run: Run) -> list[Observed]:
    """Return what earlier runs of the same name showed, the latest last, from their reports."""
    if run.job is None:
        return []
    seen = [_observed(directory) for directory in before(run)]
    return [one for one in seen if one is not None]


def _observed(directory: RunDirectory) -> Observed | None:
    try:
        observed: Observed = build(Observed, directory.report_part("observed"))
    except (ValueError, KeyError, TypeError):
        return None  # of an earlier version, or damaged
    return observed
