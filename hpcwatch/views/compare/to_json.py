"""Runs side by side as JSON, version 1. Pure. Anything unknown is null."""

from __future__ import annotations

import json
from typing import Any

from hpcwatch.analysis.compare import Change, ComparedFinding, Comparison, Figure
from hpcwatch.base.units import iso
from hpcwatch.views.compare.better import better_text

SCHEMA_VERSION = 1


def to_json(compared: Comparison, cost_unit: str = "") -> str:
    """Return the comparison; changes are from the first run to each, whose own is null.

    ``better`` is the sentence which run is better and at what price; null where the runs do not
    say what is better.
    """
    plain = {
        "schema_version": SCHEMA_VERSION,
        "runs": [
            {
                "id": one.run.id,
                "name": one.run.name,
                "started_at": iso(one.run.started_at_s),
                "how": one.run.how,
                "argv": one.run.argv,
                "hosts": one.run.hosts,
            }
            for one in compared.reports
        ],
        "figures": [_figure(one) for one in compared.figures],
        "phases": [_figure(one) for one in compared.phases],
        "results": [_figure(one) for one in compared.results],
        "cost_unit": cost_unit or None,
        "explanations": [
            [explanation._asdict() for explanation in told] for told in compared.explanations
        ],
        "differences": [one._asdict() for one in compared.differences],
        "findings": [_finding(one) for one in compared.findings],
        "findings_in_all": compared.common,
        "better": better_text(compared),
    }
    return json.dumps(plain, indent=1, ensure_ascii=True)


def _figure(figure: Figure) -> dict[str, Any]:
    return {
        "name": figure.name,
        "values": [_number(value) for value in figure.values],
        "changes": [_change(change) for change in figure.changes],
    }


def _number(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _change(change: Change | None) -> dict[str, Any] | None:
    if change is None:
        return None
    return {
        "absolute": _number(change.absolute),
        "pct": _number(change.pct),
        "is_better": change.is_better,
    }


def _finding(finding: ComparedFinding) -> dict[str, Any]:
    severities = [one.name.lower() if one is not None else None for one in finding.severities]
    return {"rule": finding.rule, "severities": severities, "titles": finding.titles}
