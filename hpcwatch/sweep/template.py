"""The command of a sweep, with ``{name}`` where a parameter's value goes. No shell is involved."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError

_PLACE = re.compile(r"\{\{([A-Za-z_][A-Za-z0-9_-]*)\}\}|\{([A-Za-z_][A-Za-z0-9_-]*)\}")
"""``{{name}}`` is the literal ``{name}``, ``{name}`` is a value; other braces are literal."""


def check(command: Sequence[str], names: Collection[str], must_use: Collection[str]) -> None:
    """Raise HpcwatchError if the command names an unknown parameter or leaves one out."""
    if not command or not command[0]:
        hint = "say: hpcwatch sweep -p layers=1,2,3 -- python train.py {layers}"
        raise HpcwatchError("no command to run", hint, EXIT_USAGE)
    used = {match[2] for word in command for match in _PLACE.finditer(word) if match[2]}
    for name in sorted(used - set(names)):
        known = ", ".join(names) or "none is given"
        hint = f"the parameters are: {known}; for the braces themselves write {{{{{name}}}}}"
        raise HpcwatchError(
            f"the command uses {{{name}}}, which is not a parameter", hint, EXIT_USAGE
        )
    for name in must_use:
        if name not in used:
            hint = f"write {{{name}}} where its value goes"
            raise HpcwatchError(f"the command does not use {name}", hint, EXIT_USAGE)


def filled(command: Sequence[str], values: Mapping[str, str]) -> list[str]:
    """Return the command with the values in place; each word stays one word."""

    def replaced(match: re.Match[str]) -> str:
        return f"{{{match[1]}}}" if match[1] else values[match[2]]

    return [_PLACE.sub(replaced, word) for word in command]
