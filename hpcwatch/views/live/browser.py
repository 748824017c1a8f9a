"""What is shown and what a key does: pages, what is opened, filter, pause. Knows no terminal."""

from __future__ import annotations

import signal
from typing import Protocol

from hpcwatch.base.clean import clean
from hpcwatch.monitor import own_process
from hpcwatch.monitor.further import MOST_NODES
from hpcwatch.monitor.picture import Picture
from hpcwatch.views.live.board import Board, Figures
from hpcwatch.views.live.chart import Letters
from hpcwatch.views.live.controls import Controls
from hpcwatch.views.live.findings import FindingsPage
from hpcwatch.views.live.frame import filter_line, keys_line, rule, tabs_line
from hpcwatch.views.live.gpus import GpusPage
from hpcwatch.views.live.head import head
from hpcwatch.views.live.log_page import LogPage
from hpcwatch.views.live.mouse import ALIASES, WHEEL, Places
from hpcwatch.views.live.node_page import OverviewPage
from hpcwatch.views.live.nodes import NodesPage
from hpcwatch.views.live.opened import Opened, opened_finding, opened_help, opened_node
from hpcwatch.views.live.page import Kind, ListPage, Page, Target
from hpcwatch.views.live.processes import ProcessesPage
from hpcwatch.views.live.question import Question, Send, about_signal, question_lines
from hpcwatch.views.live.rows import ProcessFigures
from hpcwatch.views.live.tasks import TasksPage
from hpcwatch.views.live.timelines import TimelinePage
from hpcwatch.views.live.waiting import waiting_lines
from hpcwatch.views.text import Line, Span, fit

_LOW = 12  # a lower screen has no rule and no keys
_ROOMY = 30  # a lower one has no rule above the tabs
_LONG_FILTER = 60


class Actions(Protocol):
    """What the command does for its view."""

    def refresh(self) -> None:
        """Ask the scheduler and the nodes again now."""

    def open_job(self, job_id: str) -> None:
        """The user wants to watch this job, an array's task: the view ends right after."""

    def name_all(self, hosts: frozenset[str]) -> None:
        """Ask these nodes for all of the job's processes from now on, and no others."""

    def follow_log(self, is_shown: bool) -> None:
        """The job's output is shown from now on, or no longer."""


class Browser:
    """Draws a picture as a screenful, and takes keys."""

    def __init__(
        self,
        actions: Actions,
        controls: Controls | None = None,
        letters: Letters = Letters.BRAILLE,
        send: Send | None = None,
    ) -> None:
        """``controls`` are keys of the command's own; ``letters`` are what charts begin with.

        ``send`` sends a signal to a process; as a rule to one of the user's own on this machine.
        """
        self.letters = letters
        """What charts are drawn with; the user may change it."""
        self._actions = actions
        self._controls = controls
        self._figures = Figures()
        self._board: Board | None = None
        self._processes = ProcessesPage()
        self._pages: tuple[Page, ...] = (
            GpusPage(),
            self._processes,
            FindingsPage(),
            TimelinePage(),
        )
        self._nodes, self._overview = NodesPage(), OverviewPage()
        self._tasks, self._log = TasksPage(), LogPage()
        self._page: Page | None = None
        self._opened: list[Opened] = []
        self._filter = ""
        self._is_typing = False
        self._is_paused = False
        self._room = (80, 24)
        self._is_laid = False
        self._send = send or _send
        self._question: Question | None = None
        self._said = ""
        self._places = Places(())
        self._is_log_shown = False
        self.has_mouse = True
        """False while the user wants to select text with the mouse."""
        self.is_over = False
        """True once the user wants to leave."""

    def look(self, picture: Picture) -> None:
        """Take a new picture, unless the user has paused."""
        if not self._is_paused or self._board is None:
            self._board = self._figures.board(picture)

    def lines(self, width: int, height: int) -> list[Line]:
        """Return the screen, exactly ``height`` lines, none wider than ``width``."""
        if self._board is None:
            return []
        board = self._board._replace(letters=self.letters)
        is_low = height < _LOW
        page = None if self._opened else self._current(board)
        if (page is self._log) is not self._is_log_shown:
            self._is_log_shown = page is self._log
            self._actions.follow_log(self._is_log_shown)
        top = head(board, width, height, has_advice=page is self._overview)
        if not is_low and height >= _ROOMY:
            top.append([Span("─" * width, "grey")])
        tabs = self._tabs(board, width)
        self._places = Places(tabs, len(top) + 1)
        top.append(tabs)
        bottom_count = 1 if is_low else 2
        room = max(height - len(top) - bottom_count, 1)
        self._room = (width, room)
        body, status = self._body(board, width, room)
        body = body[:room] + [[]] * (room - len(body))
        if self._question is not None:
            asked = question_lines(self._question, width)[:room]
            body[room - len(asked) :] = asked
        status = [self._said, *status] if self._said else status
        bottom: list[Line] = [] if is_low else [rule(status, width)]
        bottom.append(self._bottom(page, width))
        return [fit(line, width) for line in [*top, *body, *bottom][:height]]

    def _body(self, board: Board, width: int, height: int) -> tuple[list[Line], list[str]]:
        if self._opened:
            opened = self._opened[-1]
            lines = opened.lines(board, width, height)
            seen = opened.scroll.settle(len(lines), height)
            status = [] if len(seen) == len(lines) else [f"{seen.stop} of {len(lines)} lines"]
            return lines[seen.start : seen.stop], status
        page = self._current(board)
        self._is_laid = True
        if page is None:
            assert board.picture.job is not None
            return waiting_lines(board, board.picture.job, width)[:height], []
        return page.lines(board, self._filter, width, height), page.status()

    def _shown(self, board: Board) -> tuple[Page, ...]:
        """Return the pages there are: tasks only of an array, the others only of nodes."""
        parts = board.picture.parts
        is_many = len(parts) > 1 or any("[]" in part.id for part in parts)
        tasks: tuple[Page, ...] = (self._tasks,) if is_many else ()
        if board.nodes or not is_many:
            is_alone = len(board.nodes) == 1 and board.nodes[0].sample is not None
            first = self._overview if is_alone else self._nodes
            log: tuple[Page, ...] = (self._log,) if board.picture.logs else ()
            return (
                (first, *self._pages, *log, *tasks) if board.nodes or not _is_waiting(board) else ()
            )
        return tasks

    def _current(self, board: Board) -> Page | None:
        """Return the page that is shown; None while the job waits."""
        pages = self._shown(board)
        if not pages:
            return None
        if self._page in (self._nodes, self._overview):  # they stand for each other
            return pages[0]
        return self._page if self._page in pages else pages[0]

    def _tabs(self, board: Board, width: int) -> Line:
        names = [page.name for page in self._shown(board)]
        current = None if self._opened else self._current(board)
        shown = current.name if current is not None else None
        return tabs_line(board, names, shown, self._is_paused, width)

    def _bottom(self, page: Page | None, width: int) -> Line:
        if self._is_typing:
            return filter_line(self._filter, width)
        own = self._controls.hints if self._controls is not None else ()
        return keys_line(bool(self._opened), self._is_paused, width, own, self._hints(page))

    def _hints(self, page: Page | None) -> tuple[str, ...]:
        """Return the keys that only this page has, and that do something now."""
        if self._board is None or self._board.picture.replayed:
            return ()
        if page is not None:
            return page.hints
        return self._overview.hints if self._opened and self._opened[-1].host else ()

    def press(self, key: str) -> bool:
        """Take a key; one that means nothing here does nothing.

        True if another picture is wanted at once.
        """
        board = self._board
        is_due = self._press(key, board)
        self._is_laid = False
        return is_due

    def _press(self, key: str, board: Board | None) -> bool:
        key = key if self._is_typing else ALIASES.get(key, key)
        question, self._question, self._said = self._question, None, ""
        if board is None:
            self.is_over = self.is_over or key in ("q", "quit")
        elif question is not None:
            self._said = question.answer(key)
        elif self._is_typing:
            self._type(key)
        elif self._controls is not None and self._controls.press(key):
            return True
        elif self._press_common(key, board):
            return key in ("p", "r")
        else:
            self._press_here(key, board)
        return False

    def _press_common(self, key: str, board: Board) -> bool:
        """Take a key that means the same everywhere."""
        pages = self._shown(board)
        if key == "quit" or (key == "q" and not self._opened):
            self.is_over = True
        elif key.startswith("click "):
            self._click(key, board)
        elif key == "m":
            self.has_mouse = not self.has_mouse
            self._said = "" if self.has_mouse else "the mouse selects text; m gives it back"
        elif key in ("q", "esc", "backspace"):
            self._back()
        elif key == "p":
            self._is_paused = not self._is_paused
        elif key == "r":
            self._actions.refresh()
        elif key == "?":
            self._help()
        elif key == "l" and self._log in pages:
            self._opened.clear()
            self._page = self._log
        elif key == "b":
            self.letters = self.letters.next
        elif key in ("tab", "shift-tab") and pages:
            self._turn(pages, pages.index(self._current(board) or pages[0]), key)
        elif key.isdecimal() and key.isascii() and 1 <= int(key) <= len(pages):
            self._opened.clear()
            self._page = pages[int(key) - 1]
        else:
            return False
        return True

    def _turn(self, pages: tuple[Page, ...], index: int, key: str) -> None:
        step = 1 if key == "tab" else -1
        self._opened.clear()
        self._page = pages[(index + step) % len(pages)]

    def _press_here(self, key: str, board: Board) -> None:
        for name in WHEEL.get(key, (key,)):
            self._press_page(name, board)

    def _press_page(self, key: str, board: Board) -> None:
        if self._opened:
            if key == "a" and self._opened[-1].host:
                self._name_all(board, self._opened[-1].host)
            self._opened[-1].scroll.press(key)
            return
        page = self._current(board)
        if page is None:
            return
        if not self._is_laid:  # keys typed ahead act on rows that are not shown yet
            page.lines(board, self._filter, *self._room)
        if key == "/":
            self._is_typing = True
        elif key in ("k", "signal") and page is self._processes:
            self._ask_signal(board)
        elif key == "a" and page is self._processes:
            chosen = self._processes.chosen()
            self._name_all(board, chosen.host if chosen is not None else board.nodes[0].host)
        elif key == "a" and page is self._overview:
            self._name_all(board, board.nodes[0].host)
        elif key == "enter":
            self._open(page.target())
        else:
            page.press(key)

    def _name_all(self, board: Board, host: str) -> None:
        """Ask the nodes for all processes, of many nodes this one; or no more."""
        picture = board.picture
        every = frozenset(node.host for node in board.nodes)
        wanted = every if len(every) <= MOST_NODES else frozenset([host])
        if picture.replayed:
            self._said = "this is a recording: it names the largest processes only"
        elif picture.job is not None and picture.job.has_ended:
            self._said = "the job has ended: no node is asked any more"
        elif wanted <= picture.asked:
            self._actions.name_all(frozenset())
            self._said = "only the largest processes again"
        else:
            self._actions.name_all(wanted)
            where = clean(host) if len(wanted) == 1 else f"{len(wanted)} nodes"
            self._said = f"asks {where} for all processes; a ends it"

    def _ask_signal(self, board: Board) -> None:
        one = self._processes.chosen()
        if board.picture.replayed:
            self._said = "this is a recording: no process to send a signal to"
        elif one is not None:
            self._question = about_signal(one, self._send)

    def _click(self, key: str, board: Board) -> None:
        """Show the page of a tab, select a row, open the row that is selected."""
        column, row = map(int, key.split()[1:])
        pages, page = self._shown(board), self._current(board)
        place = self._places.tab(column) if row == self._places.tabs_row else None
        if place is not None and place < len(pages):
            self._opened.clear()
            self._page = pages[place]
            return
        if self._opened or not isinstance(page, ListPage):
            return
        if page.listing.choose(row - self._places.tabs_row - 2):
            self._open(page.target())

    def _back(self) -> None:
        if self._opened:
            self._opened.pop()
        else:
            self._filter = ""

    def _help(self) -> None:
        if not any(opened.is_help for opened in self._opened):
            own = self._controls.help if self._controls is not None else ()
            self._opened.append(opened_help(own))

    def _open(self, target: Target | None) -> None:
        if target is None:
            return
        if target.kind is Kind.JOB:
            self._actions.open_job(target.key)
            self.is_over = True
            return
        is_node = target.kind is Kind.NODE
        self._opened.append(opened_node(target.key) if is_node else opened_finding(target.key))

    def _type(self, key: str) -> None:
        """Take a key of the filter that is being typed."""
        if key == "esc":
            self._filter, self._is_typing = "", False
        elif key == "enter":
            self._is_typing = False
        elif key == "backspace":
            self._filter = self._filter[:-1]
        elif key == "clear":
            self._filter = ""
        elif len(key) == 1:
            self._filter = (self._filter + key)[:_LONG_FILTER]


def _send(one: ProcessFigures, number: signal.Signals) -> str:
    return own_process.send(one.host, one.process, number)


def _is_waiting(board: Board) -> bool:
    job = board.picture.job
    return job is not None and job.state.is_waiting
