"""What a sweep found, for programs: JSON and CSV. Pure. Unknown is null, or empty in CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from hpcwatch.analysis.findings import Finding
from hpcwatch.base.clean import clean
from hpcwatch.sweep.best import Goal, best
from hpcwatch.sweep.outcome import Outcome, TaskRow

SCHEMA_VERSION = 1


def to_json(outcome: Outcome, findings: Sequence[Finding], goal: Goal | None) -> str:
    """Return the whole outcome; times are ISO 8601 in UTC, units are in the names."""
    top = best([row for row in outcome.rows if row.is_good], goal)
    balance = outcome.balance
    plain = {
        "schema_version": SCHEMA_VERSION,
        "name": outcome.name,
        "parameters": outcome.parameters,
        "started_at": _iso(outcome.start_s) if outcome.bars else None,
        "wall_s": outcome.end_s - outcome.start_s,
        "paused_s": outcome.paused_s,
        "slots": outcome.slots_count,
        "busy_pct": outcome.busy_pct,
        "tail_slot_s": outcome.tail_slot_s,
        "balance": None if balance is None else balance._asdict(),
        "hosts": [place._asdict() for place in outcome.places],
        "best": None
        if top is None or goal is None
        else {
            "task": top.number,
            "result": goal.name,
            "value": top.results[goal.name],
            "is_less_better": goal.is_less_better,
        },
        "tasks": [_task(row) for row in outcome.rows],
        "bars": [bar._asdict() for bar in outcome.bars],
        "findings": [_finding(one) for one in findings],
    }
    return json.dumps(plain, indent=1) + "\n"


def _task(row: TaskRow) -> dict[str, Any]:
    plain = row._asdict()
    plain["started_at"] = _iso(plain.pop("started_at_s"))
    return plain


def _finding(finding: Finding) -> dict[str, Any]:
    plain = finding._asdict()
    plain["severity"] = finding.severity.name.lower()
    plain["started_at"] = _iso(plain.pop("started_at_s"))
    del plain["directives"], plain["waste"], plain["entity"]
    return plain


def _iso(at_s: float | None) -> str | None:
    from hpcwatch.base.units import iso

    return iso(at_s)


_FIGURES = (
    "how",
    "host",
    "device",
    "wall_s",
    "cpu_s",
    "memory_peak_bytes",
    "gpu_util_mean_pct",
    "gpu_memory_peak_bytes",
    "attempts_count",
)


def to_csv(outcome: Outcome, rows: Sequence[TaskRow]) -> str:
    """Return a row a task: its number, parameters, results, then what it cost."""
    results = list(dict.fromkeys(name for row in outcome.rows for name in row.results))
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    head = ["task", *outcome.parameters, *results, "started_at", *_FIGURES]
    has_commands = any(row.command for row in rows)
    writer.writerow([_harmless(name) for name in (*head, *(["command"] if has_commands else []))])
    for row in rows:
        cells: list[Any] = [row.number]
        cells += [_harmless(row.parameters.get(name, "")) for name in outcome.parameters]
        cells += [_cell(row.results.get(name)) for name in results]
        cells += [_iso(row.started_at_s) or ""]
        cells += [_cell(getattr(row, name)) for name in _FIGURES]
        writer.writerow([*cells, _harmless(row.command)] if has_commands else cells)
    return buffer.getvalue()


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return _harmless(value) if isinstance(value, str) else value


def _harmless(text: str) -> str:
    """Make a text harmless, to a spreadsheet too: none begins as a formula does; numbers may."""
    name = clean(text)
    try:
        float(name)
    except ValueError:
        return f"'{name}" if name.startswith(("=", "+", "-", "@")) else name
    return name
