"""argparse, with errors as one line and exit code 2.

argparse rather than click: `hpcwatch run` has to start the program within milliseconds, and
importing click takes longer than all the rest of it.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterable
from typing import Any, NamedTuple, NoReturn

from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError

DESCRIBE = "--\0describe"
"""A command that gets this as its only argument returns the description of its options."""


class Argument(NamedTuple):
    """An option or a positional argument of a command, as its parser describes it."""

    flags: tuple[str, ...]
    """``-o``, ``--output``; empty for a positional argument."""
    metavar: str
    """The name of its value, such as FILE; empty if it takes none."""
    choices: tuple[str, ...]
    many: str | int | None
    """argparse's ``nargs``."""
    what: str


class DescribedError(Exception):
    """Not an error: carries the description that was requested."""

    def __init__(self, description: str, usage: str, arguments: list[Argument]) -> None:
        super().__init__(description)
        self.description = description
        self.usage = usage
        self.arguments = arguments


class _Formatter(argparse.HelpFormatter):
    """Wraps at 80 columns, and keeps words with hyphens whole: ``node-failed``, paths."""

    def __init__(self, prog: str) -> None:
        # With a given width, argparse does not import shutil to look it up for every argument.
        super().__init__(prog, width=80)

    def _split_lines(self, text: str, width: int) -> list[str]:
        import textwrap

        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(indent + line for line in self._split_lines(text, width - len(indent)))


class Parser(argparse.ArgumentParser):
    """A parser whose errors are HpcwatchErrors."""

    def __init__(self, prog: str, description: str, usage: str | None = None) -> None:
        super().__init__(
            prog=prog,
            description=description,
            usage=usage,
            allow_abbrev=False,
            formatter_class=_Formatter,
        )

    def add_colour(self) -> None:
        """Add ``--color``."""
        what = "auto (on a terminal, unless NO_COLOR is set), always or never"
        self.add_argument("--color", choices=("auto", "always", "never"), default="auto", help=what)

    def add_format(self, *choices: str) -> None:
        """Add ``--format``; the first choice is the default."""
        what = "the output format (default: %(default)s)"
        self.add_argument("--format", choices=choices, default=choices[0], help=what)

    def add_interval(self) -> None:
        """Add ``--interval``."""
        what = "seconds between readings (default: 1)"
        self.add_argument("--interval", type=interval, metavar="S", help=what)

    def add_scheduler(self, names: Iterable[str]) -> None:
        """Add ``--scheduler``."""
        what = f"{', '.join(names)} (default: the one detected)"
        self.add_argument("--scheduler", metavar="NAME", help=what)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse as argparse does. Raises DescribedError if the description is requested."""
        if args == [DESCRIBE]:
            told = [_told(action) for action in self._actions if action.help != argparse.SUPPRESS]
            raise DescribedError(self.description or "", self.usage or "", told)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Raise an HpcwatchError that says what is wrong, and what was probably meant."""
        said, hint = self._plainer(message)
        raise HpcwatchError(said, hint or f"see {self.prog} --help", EXIT_USAGE)

    def _plainer(self, message: str) -> tuple[str, str]:
        """Return argparse's message in plainer words, and the nearest known word if there is one.

        argparse has no other way to tell what was wrong than its text.
        """
        import re

        unknown = re.fullmatch(r"unrecognized arguments: (\S+).*", message, re.DOTALL)
        if unknown is not None:
            word = unknown[1].partition("=")[0]
            if not word.startswith("-"):
                return f"{word!r} is one argument too many", ""
            flags = [flag for action in self._actions for flag in action.option_strings]
            return f"no option {word}", did_you_mean(word, flags)
        choice = re.fullmatch(
            r"argument (\S+): invalid choice: '(.*)' \(choose from (.*)\)", message, re.DOTALL
        )
        if choice is None:
            return message, ""
        flag, word, text = choice.groups()
        known = re.findall(r"[\w.+-]+", text)
        said = f"{flag.partition('/')[0]} cannot be {word!r}"
        return said, did_you_mean(word, known) or f"give one of {', '.join(known)}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``did you mean html?``; empty if no known word is near."""
    from difflib import get_close_matches

    near = get_close_matches(word, list(known), 1, 0.65)
    return f"did you mean {near[0]}?" if near else ""


def _told(action: argparse.Action) -> Argument:
    takes_value = action.nargs != 0
    metavar = action.metavar if isinstance(action.metavar, str) else None
    what = action.help or ""
    if "%" in what:
        what %= {"default": action.default, "dest": action.dest}
    return Argument(
        flags=tuple(action.option_strings),
        metavar=(metavar or action.dest.upper()) if takes_value else "",
        choices=tuple(str(choice) for choice in action.choices or ()),
        many=action.nargs,
        what=what,
    )


def interval(text: str) -> float:
    """Read a sampling interval in seconds."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.05 <= value <= 3600:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not an interval: give seconds between 0.05 and 3600, such as 1"
        )
    return value


_FORMATS = ("%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S")
DAY_S = 86400.0


def age_s(text: str) -> float:
    """Read an age in seconds."""
    from hpcwatch.base.units import parse_age

    found = parse_age(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not an age: give 30d, 12h or 2w")
    return found


def since_s(text: str) -> float:
    """Read an age or a local date, as seconds since the epoch."""
    from hpcwatch.base.units import parse_age

    age = parse_age(text)
    if age is not None:
        return time.time() - age
    for layout in _FORMATS:
        try:
            return time.mktime(time.strptime(text, layout))
        except (ValueError, OverflowError):
            continue
    raise argparse.ArgumentTypeError(
        f"{text!r} is not a time: give 7d, 2026-11-01 or 2026-11-01T9:30"
    )
