"""FINDINGS: what is worth acting on, worst first; opened, with evidence and advice. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Hashable, Sequence

from hpcwatch.analysis.findings import Finding
from hpcwatch.analysis.findings.directives import agreed
from hpcwatch.base.clean import clean
from hpcwatch.base.units import format_seconds
from hpcwatch.views.live.board import Board
from hpcwatch.views.live.layout import spread
from hpcwatch.views.live.page import Kind, ListPage, Target
from hpcwatch.views.live.words import moment
from hpcwatch.views.report.evidence import label, value
from hpcwatch.views.run.line import style_of
from hpcwatch.views.table import Column, ListRow, cell
from hpcwatch.views.text import SIGNS, Line, Span, cut, wrapped


class FindingsPage(ListPage[Finding]):
    """The findings as a table."""

    name = "FINDINGS"
    noun = ("finding", "findings")

    def items(self, board: Board) -> Sequence[Finding]:
        """Return all findings, worst first."""
        return board.picture.findings

    def key(self, item: Finding) -> Hashable:
        """A finding is known by rule, host and what it is about."""
        return item.key

    def words(self, item: Finding) -> str:
        """Filter by severity, rule, host and title."""
        word = item.severity.name.lower()
        return f"{word} {item.rule} {item.host} {item.entity} {item.title}"

    def opens(self, item: Finding) -> Target:
        """Open the finding."""
        return Target(Kind.FINDING, item.key)

    def nothing(self, _board: Board) -> str:
        """Say so."""
        return "nothing to act on was found so far"

    def table(
        self, _board: Board, items: Sequence[Finding], _width: int
    ) -> tuple[list[Column], list[ListRow]]:
        """Return a row a finding."""
        host = min(max((len(one.host) for one in items), default=4), 20)
        columns = [
            Column("severity", is_left=True, least=10),
            Column("for", least=9),
            Column("node", is_left=True, least=host),
            Column("what", is_left=True, least=20, is_open=True),
        ]
        return columns, [self._row(one) for one in items]

    def _row(self, one: Finding) -> ListRow:
        word, style = one.severity.name.lower(), style_of(one.severity)
        cells: list[Line] = [
            [Span(f"{SIGNS[word]} {word}", style)],
            cell(format_seconds(one.duration_s)),
            cell(cut(clean(one.host), 20)),
            cell(clean(one.title), "bold" if style else ""),
        ]
        return ListRow(cells)


def finding_rows(findings: Sequence[Finding], width: int, most: int) -> list[Line]:
    """Return findings above a page, worst first: the first with its advice in full.

    Of others the advice follows where there is room, else their titles, else their number.
    """
    lines: list[Line] = []
    for place, one in enumerate(findings):
        title: Line = [Span(" "), title_span(one, width - 2)]
        rows = wrapped(clean(" ".join(one.advice.split())), max(width - 4, 20))
        advice: list[Line] = [[Span(f"   {row}")] for row in rows]
        left, waiting = most - len(lines), len(findings) - place - 1
        if place and left <= 1 and waiting:
            lines.append([Span(f" +{waiting + 1} more: page FINDINGS", "dim")])
            return lines
        is_whole = 1 + len(advice) + (waiting > 0) <= left
        lines += [title, *advice] if not place or is_whole else [title]
        if len(lines) >= most and waiting:
            return [*lines[:-1], _with_more(lines[-1], waiting, width)]
    return lines


def _with_more(line: Line, count: int, width: int) -> Line:
    return spread(line, [Span(f" +{count} more ", "dim")], width)


def title_span(finding: Finding, width: int) -> Span:
    """Return a finding's sign, host and title."""
    where = f"{clean(finding.host)}: " if finding.host else ""
    text = f"{SIGNS[finding.severity.name.lower()]} {where}{clean(finding.title)}"
    return Span(cut(text, width), style_of(finding.severity))


def finding_lines(board: Board, one: Finding, width: int) -> list[Line]:
    """Return a finding in full: title, where and since when, advice, evidence, the change."""
    word, style = one.severity.name.lower(), style_of(one.severity)
    since = moment(one.started_at_s, board.picture.at_s)
    is_instant = one.duration_s < 1.0
    lasting = (
        f"at {since}" if is_instant else f"for {format_seconds(one.duration_s)}, since {since}"
    )
    lines: list[Line] = [[Span(f" {SIGNS[word]} {word}  ", style), Span(clean(one.title), "bold")]]
    where = ", ".join(clean(word) for word in (one.host, one.entity) if word)
    lines.append([Span(f"   {where}, {lasting}", "dim")])
    lines.append([])
    rows = textwrap.wrap(clean(" ".join(one.advice.split())), max(min(width - 5, 96), 20))
    lines += [[Span(f"   {row}")] for row in rows]
    every = [change for finding in board.picture.findings for change in finding.directives]
    changes = agreed(one.directives, [*one.directives, *every])
    if changes:
        lines += [[], [Span("   In the job script", "head")]]
        for change in changes:
            if change.old:
                lines.append([Span(f"   - {clean(change.old)}", "dim")])
            if change.new:
                lines.append([Span(f"   + {clean(change.new)}", "ok")])
    if one.evidence:
        lines += [[], [Span("   It rests on", "head")]]
        longest = max(len(label(name)) for name in one.evidence)
        for name, figure in one.evidence.items():
            called = clean(label(name)).ljust(longest)
            lines.append([Span(f"   {called}  ", "dim"), Span(clean(value(name, figure)))])
    lines += [[], [Span(f"   More of it: hpcwatch explain {clean(one.rule)}", "dim")]]
    return lines
