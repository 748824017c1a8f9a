"""The reports of what was watched, of what is recorded, and of what only a scheduler knows."""

from __future__ import annotations

import time

from hpcwatch import config
from hpcwatch.analysis import report
from hpcwatch.analysis.report import TOO_SHORT_S
from hpcwatch.analysis.timeline import Timeline
from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError
from hpcwatch.monitor import run_record
from hpcwatch.probe.typed import NamedTuple, Sequence
from hpcwatch.recording.store import Event, Run, RunDirectory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hpcwatch.analysis.advice_check import Past
    from hpcwatch.analysis.report.records import Gap
    from hpcwatch.cluster.schedulers.job import Job
    from hpcwatch.probe.schema import Sample
else:
    Sample = None  # its type as text would be compiled at each start


def of_program(
    run: Run, timeline: Timeline, events: Sequence[Event], settings: config.Settings
) -> report.Report:
    """Return the report of a program that has ended."""
    return _built(run, timeline, events, settings, earlier=past_runs(run))


def of_job(
    run: Run, timeline: Timeline, events: Sequence[Event], settings: config.Settings
) -> report.Report:
    """Return the report of what was seen so far of a job, or of hosts."""
    has_ended = run.ended_at_s is not None
    earlier = past_runs(run) if has_ended else ()
    return _built(run, timeline, events, settings, is_running=not has_ended, earlier=earlier)


class Recorded(NamedTuple):
    """What somebody else recorded of a job that nobody watched, or only in part."""

    samples: Sequence[Sample]
    interval_s: float
    source: str


def accounted(
    job: Job, settings: config.Settings, recorded: Recorded | None = None
) -> report.Report:
    """Return a report of the scheduler's accounting, and of what somebody else recorded."""
    from hpcwatch.cluster.schedulers.job import Coverage

    now_s = time.time()
    if not job.has_ended:  # a report of it tells of the time until now
        job = job._replace(elapsed_s=job.elapsed_at(now_s), elapsed_at_s=None)
    run = run_record.job_ended(run_record.of_job(job.id, job, job.nodes, settings), job)
    usage = job.usage
    # A job that never started has no start: its end stands for it, and no time was used.
    begun_s = job.started_at_s or job.ended_at_s or job.submitted_at_s or now_s
    is_whole = usage is not None and (usage.covers is Coverage.JOB or len(job.nodes) <= 1)
    run = run._replace(
        started_at_s=begun_s,
        ended_at_s=(job.ended_at_s or begun_s) if job.has_ended else None,
        memory_peak_bytes=usage.memory_bytes if usage is not None and is_whole else None,
    )
    if recorded is None or not recorded.samples:
        return report.build(run, Timeline(settings.interval_s, job), rates=settings.rates)
    from hpcwatch.analysis.report.sources import sources_of

    timeline = Timeline(recorded.interval_s, job)
    timeline.add_all(recorded.samples)
    run = run._replace(interval_s=recorded.interval_s)
    made = _built(run, timeline, (), settings)
    hosts = list(timeline.hosts.values())
    return made._replace(
        sources=sources_of(recorded.source, job, made.summary, hosts),
        energy=made.energy and made.energy._replace(gpu_source=recorded.source),
        nodes=[node._replace(gaps=_gaps(node.gaps, recorded)) for node in made.nodes],
    )


class Completed(NamedTuple):
    """The report of a job that was watched in part, with what somebody else recorded."""

    report: report.Report
    contradicted: Sequence[str]
    """Nodes of which their readings contradict ours, and do not count."""


def completed(
    directory: RunDirectory, own: report.Report, recorded: Recorded, settings: config.Settings
) -> Completed:
    """Complete a report of our samples by what somebody else recorded of the rest of the job.

    Raises HpcwatchError if the samples cannot be read any more.
    """
    from hpcwatch.analysis.report import completed as joining
    from hpcwatch.analysis.timeline.filled import contradicted, filled, is_filled
    from hpcwatch.analysis.timeline.others import Others

    def with_(others: Others) -> Timeline:
        samples = (one for one in directory.read_samples() if one is not None)
        return filled(samples, own.timeline, others, run.interval_s, job)

    run, job = own.run, own.run.job
    others = Others(recorded.samples, recorded.interval_s)
    timeline = with_(others)
    wrong = contradicted(timeline)
    if wrong:
        timeline = with_(others.without(wrong))
    if job is None or not is_filled(timeline):
        return Completed(own, wrong)
    run = run._replace(started_at_s=job.started_at_s or run.started_at_s)
    events, earlier = directory.read_events(), past_runs(own.run)
    whole = _built(run, timeline, events, settings, is_running=own.is_running, earlier=earlier)
    return Completed(joining.completed(own, whole, recorded.source), wrong)


def _gaps(gaps: Sequence[Gap], recorded: Recorded) -> list[Gap]:
    """Return gaps with the reason that is true of readings that are not our own."""
    return [gap._replace(reason=f"{recorded.source} has no reading") for gap in gaps]


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
    is_running, earlier = is_monitored(run), past_runs(run)
    return _built(run, timeline, events, settings, odd_lines, is_running, earlier)


def _built(
    run: Run,
    timeline: Timeline,
    events: Sequence[Event],
    settings: config.Settings,
    odd_lines: int = 0,
    is_running: bool | None = None,
    earlier: Sequence[Past] = (),
) -> report.Report:
    thresholds = settings.thresholds_for(run.job.queue if run.job is not None else None)
    rates = settings.rates
    return report.build(run, timeline, events, odd_lines, thresholds, is_running, earlier, rates)


def past_runs(run: Run) -> list[Past]:
    """Return earlier runs of the same name in jobs, from their recordings, the latest last.

    None are read for a run too short to say anything: its end must cost nothing.
    """
    is_short = run.wall_s is not None and run.wall_s < TOO_SHORT_S
    if run.job is None or (is_short and not run.exit_code and run.signal is None):
        return []
    from hpcwatch.recording.previous_runs import before

    found = (past_of(directory, other) for directory, other in before(run) if other.job)
    return [one for one in found if one is not None]


def past_of(directory: RunDirectory, run: Run) -> Past | None:
    """Return an earlier run; None if its report is missing, damaged, or tells no needs."""
    from hpcwatch.analysis.advice_check import Past, Prediction
    from hpcwatch.analysis.advice_work import work_of
    from hpcwatch.analysis.needs import Observed
    from hpcwatch.probe.decode import build

    parts = directory.report_part()
    if not isinstance(parts, dict):
        return None
    try:
        observed: Observed = build(Observed, parts.get("observed"))
    except (ValueError, KeyError, TypeError):
        return None  # from an earlier version, or damaged
    try:
        said: Prediction | None = build(Prediction, parts.get("prediction"))
    except (ValueError, KeyError, TypeError):
        said = None
    return Past(run, work_of(run), observed, said)
