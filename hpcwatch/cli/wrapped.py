"""The copy of a job script that runs under `hpcwatch run`: for `submit --cancel-if-idle`."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from typing import NamedTuple

from hpcwatch.base import reading
from hpcwatch.base.clean import clean
from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError, os_reason
from hpcwatch.cli import script_copies

_MOST_BYTES = 16 << 20
_SHELLS = ("sh", "bash", "dash", "ksh", "zsh")


class _Head(NamedTuple):
    """What of a script the scheduler reads, and how the script is run."""

    lines: tuple[str, ...]
    """All lines above its first command: they hold its directives."""
    interpreter: tuple[str, ...]


def copy(script: str, idle_s: float) -> str:
    """Write a copy that runs the script under `hpcwatch run --cancel-if-idle`; return its path.

    The script's text is kept as it is in a file beside the copy, and the lines that run it are
    printed. Raises HpcwatchError for a script that no shell runs.
    """
    try:
        text = reading.data(script, _MOST_BYTES).decode("utf-8", "surrogateescape")
    except OSError as error:
        raise HpcwatchError(f"cannot read {clean(script)}", os_reason(error)) from None
    head = _head(text, script)
    name, folder = os.path.basename(script), script_copies.new_folder(script)
    path, kept = os.path.join(folder, name), os.path.join(folder, "script", name)
    added = _added(head.interpreter, kept, idle_s)
    script_copies.write({kept: text, path: "\n".join([*head.lines, *added, ""])})
    _show(script, added)
    return path


def _show(script: str, added: Sequence[str]) -> None:
    print(f"{clean(script)} is submitted as a copy; below its directives stands:")
    for line in added:
        print(f"  + {clean(line)}")


def _head(text: str, script: str) -> _Head:
    """Return the lines above the first command. Raises HpcwatchError if no shell runs it."""
    lines = text.split("\n")
    count = next(
        (at for at, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#")),
        len(lines),
    )
    first = lines[0] if lines else ""
    # Without #! PBS runs a script by the user's login shell.
    login = [os.environ.get("SHELL") or "/bin/sh"]
    words = first[2:].split() if first.startswith("#!") else login
    if words[:1] and os.path.basename(words[0]) == "env":
        words = words[1:]
    shell = os.path.basename(words[0]) if words else ""
    if shell not in _SHELLS:
        hint = "write hpcwatch run --cancel-if-idle TIME -- in front of its command yourself"
        raise HpcwatchError(
            f"--cancel-if-idle: {clean(script)} is run by {clean(shell)}, and only scripts of "
            f"{', '.join(_SHELLS)} can be wrapped",
            hint,
            EXIT_USAGE,
        )
    return _Head(tuple(lines[:count]), tuple(words))


def _added(interpreter: Sequence[str], kept: str, idle_s: float) -> list[str]:
    run = f'{shlex.join([*interpreter, kept])} "$@"'
    ours = shlex.join(_program())
    test = shlex.quote(_program()[0])
    return [
        f"# By hpcwatch submit --cancel-if-idle {_age(idle_s)}; the script itself: {kept}",
        f"if [ -x {test} ]; then exec {ours} run --cancel-if-idle {_age(idle_s)} -- {run}; fi",
        'echo "hpcwatch is not on this node: the job is not watched" >&2',
        f"exec {run}",
    ]


def _program() -> list[str]:
    """Return how this hpcwatch is called on another node that shares its file system."""
    own = os.path.abspath(sys.argv[0]) if os.path.basename(sys.argv[0]) == "hpcwatch" else None
    found = own if own and os.access(own, os.X_OK) else shutil.which("hpcwatch")
    return [found] if found else [sys.executable, "-m", "hpcwatch"]


def _age(seconds: float) -> str:
    for unit, size_s in (("h", 3600), ("m", 60)):
        if seconds >= size_s and seconds % size_s == 0:
            return f"{seconds / size_s:g}{unit}"
    return f"{seconds:g}s"
