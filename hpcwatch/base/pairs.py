"""Neighbours in a sequence. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def pairwise(values: Sequence[T]) -> Iterator[tuple[T, T]]:
    """Yield each value with the one that follows it (itertools has it from Python 3.10 on)."""
    return zip(values, values[1:])
