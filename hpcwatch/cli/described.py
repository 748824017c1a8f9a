"""All commands with their options, taken from the commands' own parsers."""

from __future__ import annotations

from importlib import import_module
from typing import NamedTuple

from hpcwatch.cli import COMMANDS
from hpcwatch.cli.arguments import DESCRIBE, Argument, DescribedError

SUBCOMMANDS = {"sweep show": ("sweep_now", "show a sweep as it is now, from any terminal")}
"""Commands of two words -> their module, and what they do."""


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
    """Return the commands in the order of `hpcwatch --help`, each before those below it."""
    below = {name: [one for one in SUBCOMMANDS if one.split()[0] == name] for name in COMMANDS}
    return [described(one) for name in COMMANDS for one in (name, *below[name])]


def described(name: str) -> Command:
    """Return one command."""
    module, what = SUBCOMMANDS[name] if name in SUBCOMMANDS else (name, COMMANDS[name])
    try:
        import_module(f"hpcwatch.cli.{module}").main([DESCRIBE])
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
