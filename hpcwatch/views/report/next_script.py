"""What to write in the next job script. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from hpcwatch.analysis.costs import price
from hpcwatch.analysis.findings import ACCUSE_AFTER_S, Directive, Finding
from hpcwatch.analysis.findings.directives import merged
from hpcwatch.analysis.findings.header import clock, node_gpus_count, nodes_count
from hpcwatch.analysis.report import Report
from hpcwatch.base.units import amount, format_bytes, format_pct
from hpcwatch.views.report.advice import last_advice

if TYPE_CHECKING:
    from hpcwatch.analysis.rightsize import Advice
    from hpcwatch.cluster.schedulers.job import Job

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
    asks: tuple[str, ...] = ()
    """What to ask for where it changes, in words: ``4 cores``, ``1 GPU``."""


def next_script(report: Report) -> NextScript:
    """Return what is to change; no changes if nothing is. What became of the last advice is noted.

    Where a whole header cannot be suggested, the changes are those that the findings name.
    """
    script, said = _next_script(report), last_advice(report)
    return script._replace(notes=[said, *script.notes]) if said else script


def _next_script(report: Report) -> NextScript:
    advice = report.advice
    if advice is not None and advice.refused is None:
        if not advice.changes:
            return NextScript([], [], [], list(advice.kept))
        return NextScript(
            changes=list(advice.changes),
            lines=list(advice.lines),
            saves=[*_saves(advice), *_price(report)],
            notes=[*_margins(advice), *_withheld(advice), *advice.notes, *advice.kept],
            share=_share(report, advice),
            asks=tuple(_asks(report.run.job, advice.new)),
        )
    changes = merged(change for finding in report.findings for change in finding.directives)
    # Not of a run that only ended too early: a suggestion is not expected from it.
    is_expected = advice is not None and report.summary.wall_s >= ACCUSE_AFTER_S
    notes = [f"No header is suggested: {advice.refused}."] if advice and is_expected else []
    return NextScript(list(changes), [], [], notes)


def saves_sentence(script: NextScript) -> str:
    """Say what the change saves; empty if nothing is known to be saved."""
    if not script.saves:
        return ""
    share = f": {script.share}" if script.share else ""
    return f"Saves {', '.join(script.saves)} a run{share}."


def own_changes(report: Report, finding: Finding) -> list[Directive]:
    """Return the changes a finding asks for in lines that the next script leaves alone.

    A line is changed in one place: there all findings and the whole request are taken together,
    while one finding alone may ask for more of something else in the same line.
    """
    told = next_script(report).changes
    lines = {change.old for change in told if change.old}
    added = {_asked_for(change) for change in told if not change.old}
    return [
        change
        for change in finding.directives
        if (change.old not in lines if change.old else _asked_for(change) not in added)
    ]


def _asked_for(change: Directive) -> str:
    return (change.new or "").partition("=")[0]


def _margins(advice: Advice) -> list[str]:
    return [f"From {advice.based_on}: {advice.margins}."] if advice.margins else []


def _withheld(advice: Advice) -> list[str]:
    """Say why there is no header to paste, and what to do instead."""
    if advice.withheld is None:
        return []
    return [f"No header to paste ({advice.withheld}): change the numbers in your own lines."]


def _asks(old: Job | None, new: Job | None) -> Iterator[str]:
    if old is None or new is None:
        return
    nodes = nodes_count(new)
    each = " a node" if nodes > 1 else ""
    if nodes != nodes_count(old):
        yield _count(nodes, "node")
    if new.node_cores_count is not None and new.node_cores_count != old.node_cores_count:
        yield _count(new.node_cores_count, "core") + each
    gpus = node_gpus_count(new)
    if gpus is not None and gpus != node_gpus_count(old):
        yield (_count(gpus, "GPU") if gpus else "no GPU") + each
    if new.node_memory_bytes != old.node_memory_bytes:
        yield f"{format_bytes(new.node_memory_bytes)} of memory{each}"
    if new.walltime_s is not None and new.walltime_s != old.walltime_s:
        yield f"a walltime of {clock(new.walltime_s)}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' if number != 1 else ''}"


def _saves(advice: Advice) -> list[str]:
    saves = advice.saves
    words = []
    if (saves.core_hours or 0) >= _LEAST_HOURS:
        words.append(amount(saves.core_hours or 0, "core-hour"))
    if (saves.gpu_hours or 0) >= _LEAST_HOURS:
        words.append(amount(saves.gpu_hours or 0, "GPU-hour"))
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
