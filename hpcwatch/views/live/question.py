"""A question over the page, which one key answers. Pure."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from typing import NamedTuple

from hpcwatch.base.clean import clean
from hpcwatch.views.live.process_table import command
from hpcwatch.views.live.rows import ProcessFigures
from hpcwatch.views.text import Line, Span, cut, width_of

Send = Callable[[ProcessFigures, signal.Signals], str]
"""Sends a signal and says in words what came of it."""

_WIDEST = 76
SIGNALS: Mapping[str, signal.Signals] = {
    "t": signal.SIGTERM,
    "i": signal.SIGINT,
    "9": signal.SIGKILL,
    "z": signal.SIGSTOP,
    "c": signal.SIGCONT,
}
_WORDS = {"t": "TERM, end", "i": "INT, as Ctrl-C", "9": "KILL", "z": "STOP", "c": "CONT, go on"}


class Question(NamedTuple):
    """What is asked, and what a key does."""

    title: str
    rows: tuple[str, ...]
    answer: Callable[[str], str]
    """Takes a key, and returns what is said afterwards."""


def about_signal(one: ProcessFigures, send: Send) -> Question:
    """Return the question which signal a process gets."""
    choices = "   ".join(f"{key}  {words}" for key, words in _WORDS.items())
    title = f"Signal to {clean(one.process.name)} ({one.process.pid}) on {clean(one.host)}"

    def answer(key: str) -> str:
        number = SIGNALS.get(key)
        return "nothing was sent" if number is None else send(one, number)

    return Question(title, (command(one), "", choices, "any other key: nothing"), answer)


def question_lines(question: Question, width: int) -> list[Line]:
    """Return the question in a frame, at most ``width`` columns wide."""
    room = max(min(width - 4, _WIDEST), 10)
    title = f" {cut(question.title, room - 2)} "
    made: list[Line] = [
        [
            Span(" ┌", "grey"),
            Span(title, "bold"),
            Span("─" * (room - width_of(title)) + "┐", "grey"),
        ]
    ]
    for row in question.rows:
        said = cut(row, room - 2)
        padding = " " * (room - 1 - width_of(said))
        made.append([Span(" │ ", "grey"), Span(said + padding), Span("│", "grey")])
    return [*made, [Span(" └" + "─" * room + "┘", "grey")]]
