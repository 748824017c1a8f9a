"""TASKS: an array's tasks, or a heterogeneous job's components, as a table. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from hpcwatch.base.clean import clean
from hpcwatch.base.units import UNKNOWN, format_bytes, format_clock
from hpcwatch.cluster.schedulers.arrays import tasks_of
from hpcwatch.cluster.schedulers.job import Job, JobState
from hpcwatch.views.jobs.reasons import explained
from hpcwatch.views.live.board import Board, natural
from hpcwatch.views.live.page import Kind, ListPage, Sort, Target
from hpcwatch.views.live.words import state_style, state_text
from hpcwatch.views.table import Column, ListRow, cell
from hpcwatch.views.text import Line, Span, cut

_ORDER = list(JobState)


def ran_s(job: Job, now_s: float) -> float | None:
    """Return for how long a job has run, in s; None before it starts, or if that is unknown."""
    if job.state.is_over and job.ended_at_s is None:
        return None
    return job.elapsed_at(now_s)


class TasksPage(ListPage[Job]):
    """The tasks, each on its line; the enter key watches one."""

    name = "TASKS"
    noun = ("task", "tasks")
    sorts = (
        Sort("number", lambda _board: lambda job: natural(job.id)),
        Sort("state", lambda _board: lambda job: (_ORDER.index(job.state), natural(job.id))),
    )

    def items(self, board: Board) -> Sequence[Job]:
        """Return all tasks, without the array itself."""
        return tasks_of(board.picture.parts)

    def key(self, item: Job) -> Hashable:
        """A task is known by its id."""
        return item.id

    def words(self, item: Job) -> str:
        """Filter by id, state, node and reason."""
        words = (item.id, item.name, state_text(item), item.reason, *item.nodes)
        return " ".join(word for word in words if word)

    def opens(self, item: Job) -> Target:
        """Watch the task."""
        return Target(Kind.JOB, item.id)

    def table(
        self, board: Board, items: Sequence[Job], _width: int
    ) -> tuple[list[Column], list[ListRow]]:
        """Return a row a task."""
        columns = [
            Column("task", is_left=True, least=8),
            Column("state", is_left=True, least=9),
            Column("ran", least=8),
            Column("cores", least=5, rank=1),
            Column("memory", least=8, rank=2),
            Column("nodes", is_left=True, least=6, rank=3),
            Column("how it stands", is_left=True, least=12, is_open=True),
        ]
        return columns, [_row(job, board.picture.at_s) for job in items]


def _row(job: Job, now_s: float) -> ListRow:
    memory = job.usage.memory_bytes if job.usage is not None else None
    nodes = ",".join(map(clean, job.nodes))
    cells: list[Line] = [
        cell(clean(job.id)),
        [Span(state_text(job), state_style(job))],
        cell(format_clock(ran_s(job, now_s))),
        cell(UNKNOWN if job.cores_count is None else str(job.cores_count)),
        cell(format_bytes(memory)),
        cell(cut(nodes, 20) or UNKNOWN),
        cell(_stands(job)),
    ]
    return ListRow(cells)


def _stands(job: Job) -> str:
    if job.exit is not None:
        return job.exit.words
    if job.reason:
        return explained(job.reason)
    return ""
