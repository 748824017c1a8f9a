"""All commands with their options, taken from the commands' own parsers."""

from __future__ import annotations

from importlib import import_module
from typing import NamedTuple

from hpcwatch.cli import COMMANDS
from hpcwatch.cli.arguments import DESCRIBE, Argument, DescribedError


class Command(NamedTuple):
    """A command."""

    name: str
    what: str
    """As in `hpcwatch --help`."""
    description: str
    usage: str
    """Its usage line, if its parser sets one."""
    options: tuple[Argument, ...]
    words: tuple[Argument, ...]

    @property
    def synopsis(self) -> str:
        """Its usage line."""
        if self.usage:
            return self.usage
        return " ".join(["hpcwatch", self.name, "[options]", *map(_written, self.words)])


def commands() -> list[Command]:
    """Return the commands in the order of `hpcwatch --help`."""
    return [described(name) for name in COMMANDS]


def described(name: str) -> Command:
    """Return one command."""
    what = COMMANDS[name]
    try:
        import_module(f"hpcwatch.cli.{name}").main([DESCRIBE])
    except DescribedError as told:
        options = tuple(one for one in told.arguments if one.flags)
        words = tuple(one for one in told.arguments if not one.flags)
        return Command(name, what, told.description, told.usage, options, words)
    raise AssertionError(f"{name} does not parse its arguments")


def _written(word: Argument) -> str:
    if word.many == "?":
        return f"[{word.metavar}]"
    if word.many == "*":
        return f"[{word.metavar} ...]"
    if word.many == "+":
        return f"{word.metavar} ..."
    return "..." if word.many == "..." else word.metavar
