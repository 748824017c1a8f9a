"""What to write in the next job script. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hpcwatch.costs import price
from hpcwatch.findings import ACCUSE_AFTER_S, Directive, Finding
from hpcwatch.report import Report
from hpcwatch.units import format_bytes, format_pct, three_digits

if TYPE_CHECKING:
    from hpcwatch.rightsize import Advice

_LEAST_HOURS = 0.05  # less than that is not worth a word


class NextScript(NamedTuple):
    """The change of a job script, as a view shows it."""

    changes: list[Directive]
    lines: list[str]
    """The whole suggested header; empty if only single lines are known."""
    saves: list[str]
    """In words: ``43 core-hours``, ``0.86 EUR``."""
    notes: list[str]
    """Margins, what it is based on, or why nothing is suggested."""
    share: str = ""
    """What it saves at a glance: ``80 % of the core-hours``."""


def next_script(report: Report) -> NextScript:
    """Return what is to change; all empty if nothing is.

    Where a whole header cannot be suggested, the changes are those that the findings name.
    """
    advice = report.advice
    if advice is not None and advice.refused is None:
        if not advice.changes:
            return NextScript([], [], [], [])
        return NextScript(
            changes=list(advice.changes),
            lines=list(advice.lines),
            saves=[*_saves(advice), *_price(report)],
            notes=[f"From {advice.based_on}: {advice.margins}."] if advice.margins else [],
            share=_share(report, advice),
        )
    changes = [change for finding in report.findings for change in finding.directives]
    # Not of a run that just ended too early: nobody expects a suggestion from it.
    is_expected = advice is not None and report.summary.wall_s >= ACCUSE_AFTER_S
    notes = [f"No header is suggested: {advice.refused}."] if advice and is_expected else []
    return NextScript(list(dict.fromkeys(changes)), [], [], notes)


def saves_sentence(script: NextScript) -> str:
    """Say what the change saves; empty if nothing is known to be saved."""
    if not script.saves:
        return ""
    share = f": {script.share}" if script.share else ""
    return f"Saves {', '.join(script.saves)} a run{share}."


def own_changes(report: Report, finding: Finding) -> list[Directive]:
    """Return the changes a finding asks for beyond those of the next script."""
    told = next_script(report).changes
    return [change for change in finding.directives if change not in told]


def _saves(advice: Advice) -> list[str]:
    saves = advice.saves
    words = []
    if (saves.core_hours or 0) >= _LEAST_HOURS:
        words.append(f"{three_digits(saves.core_hours or 0)} core-hours")
    if (saves.gpu_hours or 0) >= _LEAST_HOURS:
        words.append(f"{three_digits(saves.gpu_hours or 0)} GPU-hours")
    if not words and saves.memory_byte_hours:
        words.append(f"{format_bytes(saves.memory_byte_hours)} × hours of memory")
    return words


def _price(report: Report) -> list[str]:
    costs = report.costs
    return [price(costs.saved_cost, costs.unit)] if costs is not None and costs.saved_cost else []


def _share(report: Report, advice: Advice) -> str:
    """Say which share of the cores' or the devices' time is saved."""
    hours = report.summary.wall_s / 3600
    job = report.run.job
    cores, gpus = report.summary.cores_allocated, job.gpus_count if job is not None else None
    for saved, asked, what in (
        (advice.saves.core_hours, cores, "core-hours"),
        (advice.saves.gpu_hours, gpus, "GPU-hours"),
    ):
        if saved and asked and hours:
            return f"{format_pct(min(100 * saved / (asked * hours), 100.0))} of the {what}"
    return ""
