"""Where the figures come from of a job that nobody watched. Pure."""

from __future__ import annotations

from hpcwatch.analysis.report import Report
from hpcwatch.base.clean import clean
from hpcwatch.base.units import format_pct, three_digits

_NEXT_TIME = "Next time, watch it while it runs: hpcwatch job ID"


def is_unwatched(report: Report) -> bool:
    """True of a job of which hpcwatch has not a single reading of its own."""
    return report.run.kind == "job" and (not report.quality.samples or bool(report.sources))


def unwatched_words(report: Report) -> str:
    """Say that the figures are the scheduler's, and what they cover."""
    if report.sources:
        return _sources_words(report)
    job = report.run.job
    name = job.scheduler if job is not None else "its scheduler"
    usage = job.usage if job is not None else None
    said = f"hpcwatch did not watch this job: the figures are from the accounting of {name}"
    if usage is None:
        return f"{said}, which tells nothing of the use. {_NEXT_TIME}"
    covers = "" if usage.covers.value == "all nodes" else f" ({usage.covers.value})"
    return f"{said}{covers}. {_NEXT_TIME}"


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
    return f"hpcwatch did not watch this job: {said}. {how_often}. {_NEXT_TIME}"


_FIGURES = {"cpu_s": "CPU time", "memory_peak_bytes": "memory", "gpus": "GPUs"}
