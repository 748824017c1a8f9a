"""The reports of what was watched, of what is recorded, and of what only a scheduler knows."""

from __future__ import annotations

from hpcwatch import config
from hpcwatch.analysis import report
from hpcwatch.analysis.timeline import Timeline
from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError
from hpcwatch.monitor import run_record
from hpcwatch.probe.typed import Sequence
from hpcwatch.recording.store import Event, Run, RunDirectory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hpcwatch.analysis.needs import Observed
    from hpcwatch.cluster.schedulers.job import Job


def of_program(
    run: Run, timeline: Timeline, events: Sequence[Event], settings: config.Settings
) -> report.Report:
    """Return the report of a program that has ended."""
    return _built(run, timeline, events, settings, earlier=observed_before(run))


def of_job(
    run: Run, timeline: Timeline, events: Sequence[Event], settings: config.Settings
) -> report.Report:
    """Return the report of what was seen so far of a job, or of hosts."""
    return _built(run, timeline, events, settings, is_running=True)


def accounted(job: Job, settings: config.Settings) -> report.Report:
    """Return a report that holds only the scheduler's accounting."""
    from hpcwatch.cluster.schedulers.job import Coverage

    run = run_record.job_ended(run_record.of_job(job.id, job, job.nodes, settings), job)
    usage = job.usage
    # A job that never started has no start: its end stands for it, and no time was used.
    ended_s = job.ended_at_s or job.started_at_s or job.submitted_at_s or run.started_at_s
    is_whole = usage is not None and (usage.covers is Coverage.JOB or len(job.nodes) <= 1)
    run = run._replace(
        started_at_s=job.started_at_s or ended_s,
        ended_at_s=ended_s,
        memory_peak_bytes=usage.memory_bytes if usage is not None and is_whole else None,
    )
    return report.build(run, Timeline(settings.interval_s, job), rates=settings.rates)


def load(directory: RunDirectory, job: Job | None = None) -> report.Report:
    """Make the report of a recorded run. Raises HpcwatchError if it is not readable.

    ``job`` is the scheduler's latest answer.
    """
    from hpcwatch.recording.removal import is_monitored

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
    if not timeline.hosts and odd_lines > 1:  # one line may be torn, not all
        hint = f"none of its {odd_lines} lines is a sample"
        raise HpcwatchError(f"{directory.path}: not a recording of hpcwatch", hint, EXIT_USAGE)
    events, settings = directory.read_events(), config.load_to_read()
    is_running, earlier = is_monitored(run), observed_before(run)
    return _built(run, timeline, events, settings, odd_lines, is_running, earlier)


def _built(
    run: Run,
    timeline: Timeline,
    events: Sequence[Event],
    settings: config.Settings,
    odd_lines: int = 0,
    is_running: bool | None = None,
    earlier: Sequence[Observed] = (),
) -> report.Report:
    thresholds = settings.thresholds_for(run.job.queue if run.job is not None else None)
    rates = settings.rates
    return report.build(run, timeline, events, odd_lines, thresholds, is_running, earlier, rates)


def observed_before(run: Run) -> list[Observed]:
    """Return the figures of earlier runs of the same name from their reports, the latest last."""
    if run.job is None:
        return []
    from hpcwatch.recording.previous_runs import before

    seen = [_observed(directory) for directory in before(run)]
    return [one for one in seen if one is not None]


def _observed(directory: RunDirectory) -> Observed | None:
    from hpcwatch.analysis.needs import Observed
    from hpcwatch.probe.decode import build

    try:
        observed: Observed = build(Observed, directory.report_part("observed"))
    except (ValueError, KeyError, TypeError):
        return None  # from an earlier version, or damaged
    return observed
