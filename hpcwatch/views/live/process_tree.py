"""Processes as a tree: each below its parent, siblings in the order that they came in. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from hpcwatch.views.live.rows import ProcessFigures

_DEEPEST = 20  # columns of branches: deeper ones stand at the same place


class Twig(NamedTuple):
    """A process in its tree."""

    item: ProcessFigures
    branch: str
    """What stands before its command: ``│  ├─ ``."""


def tree(items: Sequence[ProcessFigures]) -> list[Twig]:
    """Return the processes, parents before their children.

    One whose parent is not among them is a root; so is one of a circle, which foreign numbers may
    form.
    """
    known = {(one.host, one.process.pid) for one in items}
    children: dict[tuple[str, int], list[ProcessFigures]] = defaultdict(list)
    roots = []
    for one in items:
        parent = (one.host, one.process.ppid)
        if parent in known and one.process.ppid != one.process.pid:
            children[parent].append(one)
        else:
            roots.append(one)
    made: list[Twig] = []
    seen: set[tuple[str, int]] = set()
    for root in [*roots, *items]:  # what no root leads to is in a circle
        _grow(root, children, made, seen)
    return made


def _grow(
    root: ProcessFigures,
    children: dict[tuple[str, int], list[ProcessFigures]],
    made: list[Twig],
    seen: set[tuple[str, int]],
) -> None:
    """Add a process and all below it, without recursion: a chain may be long."""
    left: list[tuple[ProcessFigures, str, str]] = [(root, "", "")]
    while left:
        one, branch, indent = left.pop()
        key = (one.host, one.process.pid)
        if key in seen:
            continue
        seen.add(key)
        made.append(Twig(one, branch[-_DEEPEST:]))
        below = children.get(key, [])
        for place, child in reversed(list(enumerate(below))):
            is_last = place == len(below) - 1
            left.append(
                (
                    child,
                    indent + ("└─ " if is_last else "├─ "),
                    indent + ("   " if is_last else "│  "),
                )
            )
