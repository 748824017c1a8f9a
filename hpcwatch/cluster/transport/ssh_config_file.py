"""ssh_config files as lines: keywords, quoting and Include, the way OpenSSH reads them.

After ssh_config(5) and OpenSSH's readconf.c. paramiko's reader knows no Include, and says neither
file nor line of what it does not understand.
"""

from __future__ import annotations

import glob
import os
import re
from typing import NamedTuple

from hpcwatch.base.errors import os_reason
from hpcwatch.cluster.transport import ConnectError, Trouble

_LINE = re.compile(r"\s*([A-Za-z][A-Za-z0-9]*)(?:\s*=\s*|\s+)(.*?)\s*", re.DOTALL)
_MOST_DEEP = 16  # Include within Include: OpenSSH's own limit


class Line(NamedTuple):
    """A line of a configuration file."""

    path: str
    number: int
    keyword: str
    """In lower case."""
    argument: str
    """As written, without its comment only where a reader takes words of it."""
    included: tuple[tuple[Line, ...], ...] = ()
    """The lines of each file that an Include names."""

    def error(self, what: str) -> ConnectError:
        """Return the error that names this line."""
        return bad_line(self.path, self.number, what)

    def words(self) -> list[str]:
        """Return the arguments, unquoted. Raises ConnectError if a quote stays open."""
        try:
            return split(self.argument)
        except ValueError as error:
            raise self.error(str(error)) from None

    def word(self) -> str:
        """Return the first argument. Raises ConnectError if there is none."""
        words = self.words()
        if not words:
            raise self.error(f"{self.keyword} has no value")
        return words[0]


def bad_line(path: str, number: int, what: str) -> ConnectError:
    """Return the error for a line we do not understand: the ssh program may."""
    return ConnectError(Trouble.LOGIN, f"{path}:{number}: {what}", "try --transport ssh-program")


def split(text: str) -> list[str]:
    """Split a text into words as OpenSSH's argv_split does; ``#`` begins a comment.

    Raises ValueError if a quote is not closed.
    """
    words: list[str] = []
    at = 0
    while True:
        while at < len(text) and text[at] in " \t":
            at += 1
        if at == len(text) or text[at] == "#":
            return words
        word, at = _word(text, at)
        words.append(word)


def _word(text: str, at: int) -> tuple[str, int]:
    """Return the word that begins at a place, and where it ends."""
    word, quote = "", ""
    while at < len(text):
        character = text[at]
        if character == "\\" and text[at + 1 : at + 2] in ("'", '"', "\\", " "):
            at += 1
            word += text[at]
        elif quote:
            quote, word = ("", word) if character == quote else (quote, word + character)
        elif character in " \t":
            break
        elif character in "'\"":
            quote = character
        else:
            word += character
        at += 1
    if quote:
        raise ValueError("a quote is not closed")
    return word, at


def read(path: str, folder: str, above: tuple[str, ...] = ()) -> tuple[Line, ...]:
    """Read a file and what it includes; none if it does not exist.

    ``folder`` is what relative names of an Include start from; ``above`` the files that include
    this one. Raises ConnectError.
    """
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            text = file.read()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise ConnectError(Trouble.LOGIN, f"cannot read {path}", os_reason(error)) from None
    lines = []
    for number, raw in enumerate(text.split("\n"), 1):
        if not raw.strip() or raw.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(raw)
        if match is None or not match[2]:
            raise bad_line(path, number, f"cannot read {raw.strip()[:60]!r}")
        line = Line(path, number, match[1].lower(), match[2])
        if line.keyword == "include":
            line = line._replace(included=_included(line, folder, (*above, path)))
        lines.append(line)
    return tuple(lines)


def _included(line: Line, folder: str, above: tuple[str, ...]) -> tuple[tuple[Line, ...], ...]:
    if len(above) > _MOST_DEEP:
        raise line.error("too many files include each other")
    files: list[tuple[Line, ...]] = []
    for word in line.words():
        pattern = os.path.join(folder, os.path.expanduser(word))
        for path in sorted(glob.glob(pattern)):
            if path in above:
                raise line.error(f"{path} includes itself")
            files.append(read(path, folder, above))
    return tuple(files)
