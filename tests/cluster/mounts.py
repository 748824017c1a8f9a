"""What a host sees of this machine's files: its own /run, /tmp and /home, and what tests need.

A checkout or an interpreter may lie where only root may go (below its home) or in the machine's
/tmp or /home. Such a folder is covered by an empty one, in which the needed trees are put back.
"""

from __future__ import annotations

import os
import shlex
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

_EMPTIED = {"/tmp": "1777", "/home": "755", "/dev/shm": "1777"}
"""Folders that each host has for itself, and their modes."""
_STAGE = "/run/stage"


def interpreter_trees() -> tuple[str, ...]:
    """Where this Python and its libraries lie."""
    program = os.path.dirname(os.path.dirname(os.path.realpath(sys.executable)))
    return tuple(dict.fromkeys((sys.prefix, sys.base_prefix, program)))


def mount_script(needed: Iterable[str], binds: dict[str, str]) -> str:
    """The shell commands that a new mount namespace begins with.

    ``needed`` are trees that every user of the host must reach at their own paths; ``binds`` are
    further ones, by the path at which they are to be seen.
    """
    trees = sorted(set(needed), key=len)
    covers = dict(_EMPTIED)
    for tree in trees:
        closed = _closed_ancestor(tree)
        if closed and not _below(closed, covers):
            covers[closed] = "755"
    hidden = [tree for tree in trees if _below(tree, covers)]
    return "\n".join(_commands(covers, hidden, binds)) + "\n"


def _commands(covers: dict[str, str], hidden: list[str], binds: dict[str, str]) -> Iterator[str]:
    yield "mount -t tmpfs -o mode=755 tmpfs /run"
    yield "mkdir -m 1777 /run/lock"
    # Everything is put aside first: one folder may hold another's source.
    sources = [*hidden, *binds.values()]
    for number, source in enumerate(sources):
        aside = f"{_STAGE}/{number}"
        make = f"mkdir -p {aside}" if os.path.isdir(source) else f"touch {aside}"
        yield f"mkdir -p {_STAGE} && {make} && mount --rbind {shlex.quote(source)} {aside}"
    for cover, mode in covers.items():
        yield f"mount -t tmpfs -o mode={mode} tmpfs {shlex.quote(cover)}"
    for number, (source, target) in enumerate(zip(sources, [*hidden, *binds], strict=True)):
        place, aside = shlex.quote(target), f"{_STAGE}/{number}"
        make = f"mkdir -p {place} && " if os.path.isdir(source) else ""
        yield f"{make}mount --rbind {aside} {place} && umount -l {aside}"
    yield f"rm -rf --one-file-system {_STAGE}"


def _below(path: str, covers: Iterable[str]) -> bool:
    return any(path.startswith(cover + "/") or path == cover for cover in covers)


def _closed_ancestor(path: str) -> str | None:
    """The outermost folder above a path that only its owner may enter."""
    for folder in reversed(Path(path).parents):
        if not stat.S_IMODE(folder.stat().st_mode) & stat.S_IXOTH:
            return str(folder)
    return None
