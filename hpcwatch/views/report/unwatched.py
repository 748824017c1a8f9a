"""Where the figures come from of a job that nobody watched, or only in part. Pure."""

from __future__ import annotations

import shlex

from hpcwatch.analysis.report import Report
from hpcwatch.analysis.report.sourced import OWN
from hpcwatch.base.clean import clean
from hpcwatch.base.units import format_pct, format_seconds, three_digits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hpcwatch.cluster.schedulers.job import Job

_NEXT_TIME = "Next time, watch it while it runs: hpcwatch job ID"


def is_unwatched(report: Report) -> bool:
    """True of a job of which hpcwatch has not a single reading of its own."""
    if report.run.kind != "job" or is_watched_in_part(report):
        return False
    return not report.quality.samples or bool(report.sources)


def is_watched_in_part(report: Report) -> bool:
    """True of a job of which some figures are our own, and some another's."""
    return any(source == OWN for _, source, _ in report.sources)


def shared_words(report: Report) -> str:
    """Say how much of each figure is from our own samples, and how much from another's."""
    shared = [one for one in report.sources if one.coverage_pct is not None]
    theirs = next((one.source for one in shared if one.source != OWN), None)
    known: dict[str, list[str]] = {}
    for figure in dict.fromkeys(one.figure for one in report.sources):
        known.setdefault(_shares(report, figure), []).append(_FIGURES.get(figure, figure))
    said = "; ".join(f"{' and '.join(figures)}: {shares}" for shares, figures in known.items())
    completed = "" if theirs is None else f", completed from {clean(theirs)}"
    return f"Watched in part{completed}. {said}"


def _shares(report: Report, figure: str) -> str:
    """Say how much of a figure is whose: ``own samples 2 h, 8 h from there, of 10 h``."""
    is_of_gpus = figure == "gpus"
    count = len(report.summary.gpus if is_of_gpus else report.nodes)
    all_s = report.summary.wall_s * count
    said = []
    for one in report.sources:
        if one.figure != figure:
            continue
        if one.coverage_pct is None:
            return f"from {clean(one.source)}"
        known = format_seconds(all_s * one.coverage_pct / 100)
        said.append(f"own samples {known}" if one.source == OWN else f"{known} from there")
    on = f" on {count} {'GPUs' if is_of_gpus else 'nodes'}" if count > 1 else ""
    return f"{', '.join(said)}, of {format_seconds(all_s)}{on}"


def unwatched_words(report: Report) -> str:
    """Say that the figures are the scheduler's, and what they cover."""
    if report.sources:
        return _sources_words(report)
    job = report.run.job
    name = job.scheduler if job is not None else "its scheduler"
    usage = job.usage if job is not None else None
    said = f"hpcwatch did not watch this job: the figures are from the accounting of {name}"
    if usage is None:
        return f"{said}, which tells nothing of the use. {_next_step(job)}"
    covers = "" if usage.covers.value == "all nodes" else f" ({usage.covers.value})"
    caveat = f" {report.caveat}" if report.caveat else ""
    return f"{said}{covers}.{caveat} {_next_step(job)}"


def _next_step(job: Job | None) -> str:
    """Say how to learn more: of a task that is over, from its array; of a running job, now."""
    if job is None:
        return _NEXT_TIME
    if not job.has_ended:
        return f"Watch it now: hpcwatch job {clean(shlex.quote(job.id))}"
    if job.array_id is None or job.is_array:
        return _NEXT_TIME
    array = clean(shlex.quote(job.array_id))
    return f"All tasks, and one request for them: hpcwatch report {array}. {_NEXT_TIME}"


def _sources_words(report: Report) -> str:
    """Say who took the readings, how often, and for how much of the time each figure is known."""
    readings = report.quality.samples
    noun = "reading" if readings == 1 else "readings"
    known: dict[str, list[str]] = {}
    for figure, source, coverage_pct in report.sources:
        share = "" if coverage_pct is None else f" ({format_pct(coverage_pct)} of the time)"
        known.setdefault(source, []).append(f"{_FIGURES.get(figure, figure)}{share}")
    said = "; ".join(f"{', '.join(figures)} from {clean(who)}" for who, figures in known.items())
    how_often = f"{readings:,} {noun}, one every {three_digits(report.quality.interval_s)} s a node"
    next_step = _next_step(report.run.job)
    return f"hpcwatch did not watch this job: {said}. {how_often}. {next_step}"


_FIGURES = {"cpu_s": "CPU time", "memory_peak_bytes": "memory", "gpus": "GPUs"}
