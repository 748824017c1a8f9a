"""Findings about an oversized request give the same amounts as the suggestion next to them. Pure.

A rule sees one run, so it advises 1.2 times what that run used. The suggestion also counts earlier
runs of the same work. Of two different numbers in one report, one would be wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from hpcwatch.analysis.findings import Finding
from hpcwatch.analysis.findings.header import difference
from hpcwatch.base.units import format_bytes, format_clock

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hpcwatch.analysis.advice_bounds import Bound, Trend
    from hpcwatch.analysis.rightsize import Advice
    from hpcwatch.cluster.schedulers.job import Job


class _Amount(NamedTuple):
    """What one rule judges."""

    field: str
    """The job's request."""
    evidence: str
    noun: str
    shown: Callable[[int], str]
    bound: Bound | None
    trend: Trend | None


def agreeing(
    findings: Sequence[Finding], advice: Advice | None, job: Job | None, env: Mapping[str, str]
) -> list[Finding]:
    """Return the findings with the suggestion's amounts where it is based on more than this run."""
    if advice is None or advice.bounds is None or advice.new is None or job is None:
        return list(findings)
    bounds = advice.bounds
    amounts = {
        "memory-over-asked": _Amount(
            "node_memory_bytes", "needed_bytes", "memory", format_bytes,
            bounds.memory, bounds.memory_trend,
        ),
        "walltime-over-asked": _Amount(
            "walltime_s", "needed_s", "walltime", format_clock, bounds.wall, bounds.wall_trend
        ),
    }  # fmt: skip
    return [
        _agreed(one, amounts[one.rule], advice.new, job, env) if one.rule in amounts else one
        for one in findings
    ]


def _agreed(
    finding: Finding, amount: _Amount, new: Job, job: Job, env: Mapping[str, str]
) -> Finding:
    if amount.trend is not None:
        why = (
            f"Keep the {amount.noun}: over the last {amount.trend.runs_count} runs the need drifts."
        )
        return finding._replace(advice=why, directives=())
    bound = amount.bound
    if bound is None or bound.runs_count < 2:
        return finding
    asked, needed = getattr(job, amount.field), getattr(new, amount.field)
    if not asked or not needed:
        return finding
    of = f"{bound.runs_count} runs of this work needed up to {amount.shown(round(bound.largest))}"
    evidence = {**finding.evidence, amount.evidence: needed}
    if needed >= asked:
        return finding._replace(
            advice=f"Keep the {amount.noun}: {of}.", directives=(), evidence=evidence
        )
    return finding._replace(
        advice=f"Ask for {amount.shown(needed)}: {of}.",
        directives=difference(job, job._replace(**{amount.field: needed}), env),
        evidence=evidence,
    )
