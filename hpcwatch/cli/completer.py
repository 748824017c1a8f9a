"""The possible next words of a command line of hpcwatch: one completer for all shells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from hpcwatch.cli import COMMANDS
from hpcwatch.cli.arguments import Argument
from hpcwatch.cli.described import SUBCOMMANDS, Command, described
from hpcwatch.views.report.formats import FORMATS

_WORDS = {
    "RUN": "runs",
    "RUNS": "runs",
    "JOBID": "jobs",
    "JOB": "jobs",
    "ID": "jobs",
    "RULE": "names",
    "STATES": "states",
}
"""Name of a value -> the kind of our words that complete it."""
_SHELLS = {
    "FILE": ":files",
    "SCRIPT": ":files",
    "DIR": ":folders",
    "FOLDER": ":folders",
    "DESTINATION": ":folders",
    "HOST": ":hosts",
    "HOSTS": ":hosts",
}
"""Name of a value -> what the shell itself completes it with."""
_REPORT = "FORMAT[:FILE]"
_PROGRAMS = ("run", "sweep")
"""Commands that take a command line of another program."""

_OF_COMMANDS = {
    ("explain", "NAME"): "names",
    ("advice", "NAME"): "works",
    ("sweep show", "NAME"): "sweeps",
}
"""Of these NAMEs we know the words; in other commands the user chooses one."""

Find = Callable[[str], Iterable[str]]
"""Returns our words of a kind.

``works`` are the names of runs, ``sweeps`` the ids of sweeps, ``names`` those to explain.
"""


class Offer(NamedTuple):
    """A possible next word; the shell replaces one that begins with a colon by its own offers."""

    word: str
    what: str = ""


def offers(words: Sequence[str], find: Find) -> list[Offer]:
    """Return the completions of the last of the words after ``hpcwatch``.

    bash gives ``--view=p`` as three words, other shells as one.
    """
    current = words[-1] if words else ""
    if len(words) <= 1:
        known = [Offer(name, what) for name, what in COMMANDS.items()]
        flags = [Offer("--help"), Offer("--version")]
        return _starting(flags if current.startswith("-") else known, current)
    if words[0] not in COMMANDS:
        return []
    name = " ".join(words[:2])
    if len(words) > 2 and name in SUBCOMMANDS:
        return _in_command(described(name), list(words[2:-1]), current, find)
    command = described(words[0])
    before = words[1:-1]
    if "--" in before:
        return [Offer(":programs" if before[-1] == "--" else ":arguments")]
    return _in_command(command, list(before), current, find)


def _in_command(command: Command, before: list[str], current: str, find: Find) -> list[Offer]:
    if ":" in (current, *before[-1:]):  # bash and --report html:FILE
        return [Offer(":files")]
    if current == "=":
        before, current = [*before, current], ""
    if before[-1:] == ["="]:
        return _starting(_values(command, before[-2], find), current) if before[1:] else []
    flag, equals, start = current.partition("=")
    if equals and current.startswith("-"):
        found = _starting(_values(command, flag, find), start)
        return [one._replace(word=f"{flag}={one.word}") for one in found if one.word[:1] != ":"]
    if before and before[-1].startswith("-") and _takes_value(command, before[-1]):
        return _starting(_values(command, before[-1], find), current)
    if current.startswith("-"):
        flags = [Offer(flag, one.what) for one in command.options for flag in one.flags]
        return _starting(flags, current)
    below = [] if before else _below(command.name)
    return _starting([*below, *_plain_words(command, find)], current)


def _below(name: str) -> list[Offer]:
    """Return the second words of commands of two words."""
    parts = ((one.split(), what) for one, (_, what) in SUBCOMMANDS.items())
    return [Offer(second, what) for (first, second), what in parts if first == name]


def _plain_words(command: Command, find: Find) -> list[Offer]:
    for word in command.words:
        made = _of(command, word, find)
        if made:
            return made
    return [Offer(":programs")] if command.name in _PROGRAMS else []


def _takes_value(command: Command, flag: str) -> bool:
    return any(flag in one.flags and one.metavar for one in command.options)


def _values(command: Command, flag: str, find: Find) -> list[Offer]:
    option = next((one for one in command.options if flag in one.flags), None)
    return _of(command, option, find) if option is not None else []


def _of(command: Command, argument: Argument, find: Find) -> list[Offer]:
    """Return the completions of a value."""
    if argument.metavar == _REPORT:
        return [Offer(name if name == "text" else f"{name}:") for name in FORMATS]
    if argument.choices:
        return [Offer(word) for word in argument.choices]
    if argument.metavar in _SHELLS:
        return [Offer(_SHELLS[argument.metavar])]
    kind = _WORDS.get(argument.metavar, "")
    if argument.metavar == "NAME":
        kind = "" if argument.flags else _OF_COMMANDS.get((command.name, "NAME"), "")
    return [Offer(word) for word in find(kind)] if kind else []


def _starting(found: Iterable[Offer], start: str) -> list[Offer]:
    return [one for one in found if one.word.startswith((start, ":"))]
