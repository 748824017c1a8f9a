"""What a sweep found as one self-contained HTML page: no script, nothing fetched. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from hpcwatch.findings import Finding
from hpcwatch.sweep.best import Goal, best
from hpcwatch.sweep.outcome import Outcome
from hpcwatch.views import sweep_pictures, sweep_table
from hpcwatch.views.html.markup import Markup, escaped, joined, section, table, tag
from hpcwatch.views.sweep_words import duration, many, share, winner
from hpcwatch.views.tables import Table

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; display: block;
  overflow-x: auto; }
td, th { padding: .15rem .8rem .15rem 0; text-align: left; white-space: nowrap; }
tr > .number { text-align: right; } thead { border-bottom: 1px solid currentColor; }
svg { width: 100%; height: auto; font: 11px system-ui, sans-serif; }
svg text { fill: currentColor; } .axis { stroke: currentColor; opacity: .35; }
.good { fill: #2a7f62; } .bad { fill: #b3261e; } .top { fill: none; stroke: #c77700;
  stroke-width: 2; }
.critical { color: #b3261e; } .warning { color: #9a5b00; }
@media (prefers-color-scheme: dark) { .good { fill: #5fbf9a; } .bad { fill: #ff8a80; }
  .critical { color: #ff8a80; } .warning { color: #ffb74d; } }
"""


def page(outcome: Outcome, findings: Sequence[Finding], goal: Goal | None) -> str:
    """Return the whole page, ending in a newline."""
    head = tag(
        "head",
        Markup('<meta charset="utf-8">\n'),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1">\n'),
        tag("title", f"{outcome.name} · sweep · hpcwatch"),
        Markup(f"<style>{_STYLE}</style>\n"),
    )
    top = best([row for row in outcome.rows if row.is_good], goal)
    body = tag(
        "body",
        tag("h1", outcome.name),
        tag("p", _summary(outcome)),
        tag("p", tag("strong", winner(top, goal))) if top is not None and goal else Markup(),
        section("Findings", *(_finding(one) for one in findings), name="findings"),
        section(
            "Result by parameter", *sweep_pictures.scatters(outcome, goal, top), name="results"
        ),
        section("Which host ran what when", sweep_pictures.timeline(outcome), name="hosts"),
        section("Tasks", table(_tasks(outcome, goal)), name="tasks"),
    )
    return joined([Markup("<!doctype html>\n"), tag("html", head, body, lang="en"), Markup("\n")])


def _summary(outcome: Outcome) -> str:
    good = sum(row.is_good for row in outcome.rows)
    return (
        f"{good} of {many(len(outcome.rows), 'task')} ended well on"
        f" {many(len(outcome.places), 'host')} with {many(outcome.slots_count, 'slot')} in"
        f" {duration(outcome.end_s - outcome.start_s)}; the slots were busy"
        f" {share(outcome.busy_pct)} of the time."
    )


def _finding(finding: Finding) -> Markup:
    word = finding.severity.name.lower()
    head = tag("strong", f"{word}: {finding.title}", class_=word)
    return tag("p", head, escaped(f" {finding.advice}"))


def _tasks(outcome: Outcome, goal: Goal | None) -> Table:
    rows = sweep_table.ordered(outcome, goal.name if goal is not None else None, goal)
    columns = sweep_table.columns(outcome, rows)
    cells = [tuple(column.words[index] for column in columns) for index in range(len(rows))]
    return Table(tuple(column.title for column in columns), cells, len(columns))
