"""The values of PBS's `nodes` and `select`, and edits that Torque and PBS Pro share. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from hpcwatch.cluster.schedulers.request import UNSAID, Kept, Needs
from hpcwatch.cluster.schedulers.text import count


class Chunks:
    """The value of ``nodes`` or ``select``: ``2:ppn=4:k40+qb003:ppn=2#shared``."""

    def __init__(self, value: str) -> None:
        spec, self._hash, self._suffix = value.partition("#")
        self.parts = [part.split(":") for part in spec.split("+")]
        for part in self.parts:
            if "=" in part[0]:  # PBS Pro: a chunk without a number is one
                part.insert(0, "")

    def counts(self) -> list[int | None]:
        """Return the count of each part; None where a part names a host."""
        return [
            int(part[0] or "1") if re.fullmatch(r"\d{0,6}", part[0]) else None
            for part in self.parts
        ]

    def total(self) -> int:
        """Return the number of chunks."""
        return sum(1 if count is None else count for count in self.counts())

    def even(self, name: str) -> str | None:
        """Return the value that a resource has in all chunks, '' if none has it; else None."""
        values = set(self.values(name))
        return values.pop() if len(values) == 1 else None

    def values(self, name: str) -> list[str]:
        """Return each chunk's value of a resource, '' where it is not given."""
        return [
            next((w[len(name) + 1 :] for w in part[1:] if w.startswith(f"{name}=")), "")
            for part in self.parts
        ]

    def most(self, *names: str) -> int:
        """Return the largest product of some counts in a chunk. A count that is not given is 1."""
        counts = [[count(value) or 1 for value in self.values(name)] for name in names]
        return max(map(math.prod, zip(*counts)))

    def words(self) -> Iterator[str]:
        """Yield the properties and resources of every chunk."""
        for part in self.parts:
            yield from part[1:]

    def put(self, name: str, value: str | None, is_last: bool = False) -> None:
        """Write a resource into every chunk, or remove it."""
        for part in self.parts:
            at = next((i for i, word in enumerate(part) if word.startswith(f"{name}=")), None)
            if value is None:
                part[:] = part[:1] + [w for w in part[1:] if not w.startswith(f"{name}=")]
            elif at is not None:
                part[at] = f"{name}={value}"
            else:
                end = len(part) - (part[-1] == UNSAID)
                part.insert(end if is_last else 1, f"{name}={value}")

    def drop_words(self, words: frozenset[str]) -> None:
        """Remove bare words from every chunk."""
        for part in self.parts:
            part[1:] = [word for word in part[1:] if word not in words]

    @property
    def text(self) -> str:
        """The value as text."""
        return (
            "+".join(":".join(part).removeprefix(":") for part in self.parts)
            + self._hash
            + self._suffix
        )


def put_nodes(chunks: Chunks, old: Needs, new: Needs) -> Iterator[Kept]:
    """Write the number of nodes."""
    if new.nodes_count == old.nodes_count:
        return
    if len(chunks.parts) > 1 or chunks.counts() != [old.nodes_count]:
        yield Kept("nodes", f"nodes={chunks.text} says which nodes, not only how many")
    else:
        chunks.parts[0][0] = str(new.nodes_count)


def put_cores(chunks: Chunks, old: Needs, new: Needs, name: str) -> Iterator[Kept]:
    """Write the number of cores per node."""
    if new.node_cores_count == old.node_cores_count:
        return
    is_placed = chunks.total() in (old.nodes_count, new.nodes_count)
    if chunks.even(name) is None:
        yield Kept("cores", f"nodes={chunks.text} asks for different nodes")
    elif not is_placed:
        yield Kept("cores", f"nodes={chunks.text} was placed on {old.nodes_count}")
    else:
        chunks.put(name, str(new.node_cores_count))
