"""What a sweep found as one self-contained HTML page that fetches nothing. Pure.

All is in the markup itself; the script adds the picking of tasks and the order of the table. The
policy in the head allows our own script and style by their hash, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files

from hpcwatch.analysis.findings import Finding
from hpcwatch.base.units import UNKNOWN
from hpcwatch.sweep.best import Goal, best
from hpcwatch.sweep.outcome import Outcome, TaskRow
from hpcwatch.views.report.html.markup import Markup, escaped, joined, policy, section, tag
from hpcwatch.views.sweep import failures, parallel, pictures, sweep_table
from hpcwatch.views.sweep.words import many, share, time_taken, winner

_SCRIPT, _STYLE = "sweep.js", "sweep.css"
_MOST_ROWS = 5000  # more do not fit on a page; CSV has all


def page(
    outcome: Outcome,
    findings: Sequence[Finding],
    goal: Goal | None,
    last_lines: Mapping[int, Sequence[str]] | None = None,
) -> str:
    """Return the whole page, ending in a newline.

    ``last_lines`` are what tasks that failed wrote last.
    """
    head = tag(
        "head",
        Markup('<meta charset="utf-8">\n'),
        policy([_asset(_SCRIPT)], [_asset(_STYLE)]),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1">\n'),
        tag("title", f"{outcome.name} · sweep · hpcwatch"),
        Markup(f"<style>{_asset(_STYLE)}</style>\n"),
    )
    top = best([row for row in outcome.rows if row.is_good], goal)
    body = tag(
        "body",
        tag("h1", outcome.name),
        tag("p", _summary(outcome)),
        tag("p", tag("strong", winner(top, goal))) if top is not None and goal else Markup(),
        section("Findings", *(_finding(one) for one in findings), name="findings"),
        section(
            "Result by parameters",
            *parallel.picture(outcome, goal, top),
            *pictures.scatters(outcome, goal, top),
            name="results",
        ),
        section("Which host ran what when", pictures.timeline(outcome), name="hosts"),
        section("Failed", *failures.elements(outcome, last_lines or {}), name="failed"),
        section("Tasks", *_tasks(outcome, goal), name="tasks"),
        Markup(f"<script>{_asset(_SCRIPT)}</script>\n"),
    )
    return joined([Markup("<!doctype html>\n"), tag("html", head, body, lang="en"), Markup("\n")])


@cache
def _asset(name: str) -> str:
    return files("hpcwatch.views").joinpath("assets").joinpath(name).read_text("utf-8")


def _summary(outcome: Outcome) -> str:
    good = sum(row.is_good for row in outcome.rows)
    failed = len(sweep_table.failures(outcome))
    how = f"ended well, {failed} failed," if failed else "ended well"
    tasks = f"{good} of {many(len(outcome.rows), 'task')} {how}"
    hosts = many(len(outcome.places), "host")
    if outcome.is_array:
        return f"{tasks} on {hosts} in {time_taken(outcome)}, as a job array."
    return (
        f"{tasks} on {hosts} with {many(outcome.slots_count, 'slot')} in"
        f" {time_taken(outcome)}; the slots were busy {share(outcome.busy_pct)} of the time."
    )


def _finding(finding: Finding) -> Markup:
    word = finding.severity.name.lower()
    head = tag("strong", f"{word}: {finding.title}", class_=word)
    return tag("p", head, escaped(f" {finding.advice}"))


def _tasks(outcome: Outcome, goal: Goal | None) -> list[Markup]:
    """Return the table, the best task first. Cells tell the script the numbers behind words."""
    rows = sweep_table.ordered(outcome, goal.name if goal is not None else None, goal)[:_MOST_ROWS]
    columns = sweep_table.columns(outcome, rows)
    left_out = len(outcome.rows) - len(rows)
    made = [
        tag(
            "div",
            tag("table", tag("thead", _head(columns)), tag("tbody", *_rows(rows, columns))),
            class_="wide",
            tabindex="0",
            role="region",
            aria_label="tasks",
        )
    ]
    if left_out:
        made.append(tag("p", f"{many(left_out, 'more task')}: --format csv has all."))
    return made


def _head(columns: Sequence[sweep_table.Column]) -> Markup:
    return tag(
        "tr",
        *(
            tag("th", one.title, scope="col", class_="number" if one.is_number else False)
            for one in columns
        ),
    )


def _rows(rows: Sequence[TaskRow], columns: Sequence[sweep_table.Column]) -> list[Markup]:
    return [
        tag(
            "tr",
            *(_cell(column, index, place == 0) for place, column in enumerate(columns)),
            data_task=str(row.number),
        )
        for index, row in enumerate(rows)
    ]


def _cell(column: sweep_table.Column, index: int, is_first: bool) -> Markup:
    word, figure = column.words[index], column.figures[index]
    return tag(
        "th" if is_first else "td",
        word,
        scope="row" if is_first else False,
        class_="number" if column.is_number else False,
        data_number=False if figure is None else repr(float(figure)),
        data_unknown=word in (UNKNOWN, ""),
    )
