"""What a scheduler takes as a job array: the options, the element's number, the largest size.

Pure. An array's elements are numbered from 1, without gaps, which every scheduler accepts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

from hpcwatch.cluster.schedulers.query import Answer, Query


class Order(NamedTuple):
    """An array to be submitted."""

    elements_count: int
    """Numbered from 1."""
    name: str
    output: str
    """The beginning of the path of each element's output: ``FOLDER/1``."""
    at_once: int | None = None
    """The most elements that run at the same time; None: as the scheduler likes."""


class ArrayJobs(Protocol):
    """A scheduler's job arrays: a module or an object."""

    @property
    def INDEX_VARIABLE(self) -> str:  # noqa: N802 (a module's constant)
        """The environment variable that holds an element's number."""

    def arguments(self, order: Order, given: Sequence[str]) -> list[str]:
        """Return the options for an array; ``given`` are those that the user adds."""

    def unfit(self, given: Sequence[str]) -> str:
        """Return why options of the user's cannot be used, in words; empty if they can."""

    def most(self) -> Query[int | None]:
        """Ask for the largest number of elements. None: it is not known."""


class Option(NamedTuple):
    """A user's option. ``name`` is ``p`` or ``partition``; empty for a word that is no option."""

    name: str
    value: str


def options(
    words: Sequence[str], flags: str, takes_value: Callable[[str], bool] = lambda _: False
) -> Iterator[Option]:
    """Read the words of a command line.

    ``flags`` are the letters of options without a value, ``takes_value`` says whether a long
    option's value may be the next word.
    """
    rest = iter(words)
    for word in rest:
        if word.startswith("--") and len(word) > 2:
            name, equals, value = word[2:].partition("=")
            is_open = not equals and takes_value(name)
            yield Option(name, next(rest, "") if is_open else value)
        elif word.startswith("-") and len(word) > 1 and word != "--":
            letters = word[1:]
            while letters[:1] and letters[0] in flags:
                yield Option(letters[0], "")
                letters = letters[1:]
            if letters:
                yield Option(letters[0], letters[1:] or next(rest, ""))
        else:
            yield Option("", word)


def number_after(name: str, answer: Answer) -> int | None:
    """Return the number in the line ``NAME = NUMBER`` of a server's settings."""
    if answer.exit_code != 0:
        return None
    match = re.search(rf"^\s*{name}\s*=\s*([0-9]{{1,9}})\s*$", answer.text, re.MULTILINE)
    return int(match[1]) if match else None


def no_option(word: str) -> str:
    """Say that a word is not an option: it would be taken for the script."""
    return f"{word[:60]!r} is no option of this scheduler: give nothing but options"


def is_set_by_sweep(name: str) -> str:
    """Say that the sweep itself sets an option."""
    return f"the sweep itself sets {name}: leave it out"
