"""The tasks of a sweep that failed, with what each wrote last, for its HTML page. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hpcwatch.base.clean import clean
from hpcwatch.sweep.outcome import Outcome, TaskRow
from hpcwatch.views.report.html.markup import Markup, escaped, joined, tag
from hpcwatch.views.sweep import sweep_table
from hpcwatch.views.sweep.words import combination, many

MOST_FAILURES = 50
MOST_LINES = 10
_MOST_OPEN = 3
"""As many as can be read at a glance; the others open at a click."""


def elements(outcome: Outcome, last_lines: Mapping[int, Sequence[str]]) -> list[Markup]:
    """Return an element a task, in their order: what it was and how it ended, its last lines."""
    failed = sweep_table.failures(outcome)
    made = [
        _task(row, last_lines.get(row.number, ()), is_open=place < _MOST_OPEN)
        for place, row in enumerate(failed[:MOST_FAILURES])
    ]
    if len(failed) > MOST_FAILURES:
        made.append(tag("p", f"{many(len(failed) - MOST_FAILURES, 'more task')} failed."))
    return made


def _task(row: TaskRow, lines: Sequence[str], is_open: bool) -> Markup:
    what = combination(row.parameters) or clean(row.command)
    where = f" on {row.host}" if row.host is not None else ""
    head = f"task {row.number} {what}: {sweep_table.how(row)}{where}"
    written = [*([row.trouble] if row.trouble else []), *lines]
    if not written:
        return tag("p", tag("span", head, class_="critical"), " It wrote nothing that is known.")
    text = joined(Markup(f"{escaped(line)}\n") for line in written)
    file = tag("p", f"All of it: {row.output}", class_="soft") if row.output else Markup()
    return tag(
        "details",
        tag("summary", head, class_="critical"),
        tag("pre", text, tabindex="0", aria_label=f"last lines of task {row.number}"),
        file,
        open=is_open,
    )
