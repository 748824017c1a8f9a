"""Where the figures come from of a job that nobody watched. Pure."""

from __future__ import annotations

from hpcwatch.analysis.report import Report

_NEXT_TIME = "Next time, watch it while it runs: hpcwatch job ID"


def is_unwatched(report: Report) -> bool:
    """True of a job of which hpcwatch has not a single reading."""
    return not report.quality.samples and report.run.kind == "job"


def unwatched_words(report: Report) -> str:
    """Say that the figures are the scheduler's, and what they cover."""
    job = report.run.job
    name = job.scheduler if job is not None else "its scheduler"
    usage = job.usage if job is not None else None
    said = f"hpcwatch did not watch this job: the figures are from the accounting of {name}"
    if usage is None:
        return f"{said}, which tells nothing of the use. {_NEXT_TIME}"
    covers = "" if usage.covers.value == "all nodes" else f" ({usage.covers.value})"
    return f"{said}{covers}. {_NEXT_TIME}"
