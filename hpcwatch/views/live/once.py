"""One picture as text: what `--once` prints. Reads without colour and in any width. Pure."""

from __future__ import annotations

import textwrap

from hpcwatch.analysis.array_tasks import summary_of, task_of
from hpcwatch.analysis.findings import Finding
from hpcwatch.analysis.findings.directives import merged
from hpcwatch.analysis.findings.together import told
from hpcwatch.base.clean import clean
from hpcwatch.cluster.schedulers.arrays import tasks_of
from hpcwatch.monitor.picture import Picture
from hpcwatch.views.jobs.array_text import summary_lines
from hpcwatch.views.live.board import Board, Figures
from hpcwatch.views.live.findings import title_span
from hpcwatch.views.live.gpus import GpusPage, gpu_table, unknown_because
from hpcwatch.views.live.head import head
from hpcwatch.views.live.nodes import NodesPage
from hpcwatch.views.live.process_table import process_table
from hpcwatch.views.live.processes import ProcessesPage
from hpcwatch.views.live.tasks import TasksPage
from hpcwatch.views.live.waiting import waiting_lines
from hpcwatch.views.table import page_table
from hpcwatch.views.text import Line, Span, fit, render

_PROCESSES = 10


def text_of(picture: Picture, width: int, height: int | None, coloured: bool) -> str:
    """Return a picture as text that ends in a newline, no line wider than ``width``.

    With ``height`` what does not fit is left out and counted.
    """
    board = Figures().board(picture)
    lines = _lines(board, width)
    if height is not None and len(lines) > height:
        hidden = len(lines) - height + 1
        lines = [*lines[: height - 1], [Span(f" … {hidden} more lines", "dim")]]
    fitted = [fit(line, width) for line in lines]
    return "".join(render(_bare(line), coloured) + "\n" for line in fitted)


def _bare(line: Line) -> Line:
    """Return a line without blanks at its right end."""
    kept = list(line)
    while kept and not kept[-1].text.rstrip(" "):
        kept.pop()
    if kept:
        kept[-1] = Span(kept[-1].text.rstrip(" "), kept[-1].style)
    return kept


def _lines(board: Board, width: int) -> list[Line]:
    job = board.picture.job
    lines = head(board._replace(picture=board.picture._replace(findings=[])), width, 50)
    if job is not None and job.state.is_waiting and not board.nodes:
        lines += waiting_lines(board, job, width)[:-2]
    if len(board.picture.parts) > 1:
        lines += [[], *TasksPage().whole(board, width)]
        if board.picture.parts[0].het_id is None:
            lines += _summed(board)
    if board.nodes:
        lines += [[], *NodesPage().whole(board, width)]
    gpus = GpusPage().items(board)
    if gpus:
        lines += [[], *page_table(*gpu_table(board, gpus, width), width)]
    trouble = unknown_because(board)
    if trouble is not None:
        lines += [[], [Span(f" {trouble}", "warning")]]
    lines += _findings(told(board.picture.findings), width)
    processes = sorted(ProcessesPage().items(board), key=lambda one: -(one.cores or 0.0))
    if processes:
        shown = processes[:_PROCESSES]
        lines += [[], *page_table(*process_table(shown, width), width)]
        if len(processes) > len(shown):
            lines.append([Span(f" … {len(processes) - len(shown)} more processes", "dim")])
    return lines


def _summed(board: Board) -> list[Line]:
    """Return what an array's tasks have in common."""
    tasks = [task_of(job, board.picture.at_s) for job in tasks_of(board.picture.parts)]
    said = summary_lines(summary_of(tasks), len(tasks))
    return [[], *([Span(f" {line}")] for line in said)] if said else []


def _findings(findings: list[Finding], width: int) -> list[Line]:
    """Return each finding with what to do about it, and what all of them make of the script."""
    lines: list[Line] = []
    for finding in findings:
        lines += [[], [Span(" "), title_span(finding, width - 1)]]
        advice = clean(" ".join(finding.advice.split()))
        rows = textwrap.wrap(advice, max(min(width, 100) - 4, 20))
        lines += [[Span(f"   {row}")] for row in rows]
    changes = merged(change for finding in findings for change in finding.directives)
    if changes:
        lines += [[], [Span(" In the job script", "head")]]
    for change in changes:
        lines += [[Span(f"   - {clean(change.old)}", "dim")]] if change.old else []
        lines += [[Span(f"   + {clean(change.new)}", "ok")]] if change.new else []
    return lines
