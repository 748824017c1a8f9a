"""Patterns of ssh_config and known_hosts, and the conditions of a Match line."""

from __future__ import annotations

import fnmatch
import re
import subprocess
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

from hpcwatch.cluster.transport.ssh_config_file import Line

EXEC_S = 10.0
"""How long the command of a ``Match exec`` may take; later it counts as false."""


class Subject(NamedTuple):
    """What a Match line asks about, as far as it is known where the line stands."""

    host: str
    """The name to connect to: HostName if it was set above."""
    original: str
    user: str
    local_user: str
    is_final: bool
    is_canonical: bool
    expand: Callable[[str], str]
    """Fills in the tokens of a command."""


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    # Only * and ? are special: brackets are letters, unlike in a shell.
    return re.compile(fnmatch.translate(pattern.replace("[", "[[]")))


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Tell whether a name fits the list: some pattern does, and none that begins with ``!``."""
    found = False
    for pattern in patterns:
        if pattern.startswith("!"):
            if _compiled(pattern[1:]).match(name):
                return False
        elif _compiled(pattern).match(name):
            found = True
    return found


def holds(line: Line, subject: Subject) -> bool:
    """Tell whether all conditions of a Match line hold.

    Raises ConnectError if one is not known here: guessing would connect with wrong settings.
    """
    words = line.words()
    if not words:
        raise line.error("Match has no conditions")
    result = True
    while words:
        name, equals, value = words.pop(0).partition("=")
        is_negated, name = name.startswith("!"), name.lstrip("!").lower()
        if name in ("all", "final", "canonical"):
            truth = _flag(name, subject)
        else:
            if not equals and not words:
                raise line.error(f"Match {name} has no value")
            value = value if equals else words.pop(0)
            # As OpenSSH does: a command is not run once the line cannot hold any more.
            truth = _condition(line, name, value, subject) if result or name != "exec" else False
        result = result and truth is not is_negated
    return result


def is_about_final(line: Line) -> bool:
    """Tell whether a Match line asks for a second reading of the files."""
    return any(word.lstrip("!").lower() == "final" for word in line.words())


def _flag(name: str, subject: Subject) -> bool:
    return {"all": True, "final": subject.is_final, "canonical": subject.is_canonical}[name]


def _condition(line: Line, name: str, value: str, subject: Subject) -> bool:
    patterns = value.split(",")
    if name == "host":
        return matches(subject.host.lower(), patterns)
    if name == "originalhost":
        return matches(subject.original.lower(), patterns)
    if name == "user":
        return matches(subject.user, patterns)
    if name == "localuser":
        return matches(subject.local_user, patterns)
    if name == "exec":
        return _runs(subject.expand(value))
    raise line.error(f"Match {name} is not known here")


def _runs(command: str) -> bool:
    # A shell, as ssh does: the command is the user's own configuration.
    try:
        done = subprocess.run(
            ["sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=EXEC_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
