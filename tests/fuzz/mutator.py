"""Damages bytes as a broken file system, a dying program or an attacker would. Seeded."""

from __future__ import annotations

import random
from collections.abc import Sequence

MOST_BYTES = 64 << 10
"""Of a mutant: what is larger is refused by bounds that have tests of their own."""

_ODD = (
    b"\x1b[2J\x1b]0;x\x07",
    b"\x9b31m",
    b"\xc2\x9b31m",
    b"\0",
    b"\r",
    b"\x7f",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    "\u202e\u2028\u200b".encode(),
    b"\\u001b[2J",
    b"\\ud800",
    b"&#27;",
    b"<script>",
    b"[red]",
    b"{0}%s",
    b"-1",
    b"0",
    b"1e308",
    b"1e999",
    b"NaN",
    b"Infinity",
    b"-0.0",
    b"9" * 25,
    b"9" * 5000,
    b"99999999999-99:99:99",
    b"\xd9\xa3",  # a digit, and not of ASCII
    b"null",
    b"true",
    b"[]",
    b"{}",
    b'""',
    b"[" * 3000,
    b"n[1-999999999]",
    b"n[1-3,",
    b"x" * 9000,
    b"\n\n\n",
    b"\t",
    b"=",
    b",",
    b":",
)


class Mutator:
    """Makes mutants of seeds, the same ones for the same seed of chance."""

    def __init__(self, seeds: Sequence[bytes], chance: random.Random) -> None:
        self._seeds = [seed[:MOST_BYTES] for seed in seeds] or [b""]
        self._chance = chance
        self._ways = (
            self._cut,
            self._truncate,
            self._flip,
            self._flip,
            self._insert,
            self._insert,
            self._replace_word,
            self._replace_word,
            self._splice,
            self._repeat,
            self._swap_lines,
            self._drop_line,
        )

    def mutant(self) -> bytes:
        """Return the next one."""
        made = self._chance.choice(self._seeds)
        for _ in range(self._chance.choice((1, 1, 1, 2, 3, 6))):
            made = self._chance.choice(self._ways)(made)
        return made[:MOST_BYTES]

    def _span(self, data: bytes, most: int = 200) -> tuple[int, int]:
        start = self._chance.randint(0, len(data))
        return start, min(start + self._chance.randint(0, most), len(data))

    def _cut(self, data: bytes) -> bytes:
        start, end = self._span(data)
        return data[:start] + data[end:]

    def _truncate(self, data: bytes) -> bytes:
        return data[: self._chance.randint(0, len(data))]

    def _flip(self, data: bytes) -> bytes:
        made = bytearray(data)
        for _ in range(self._chance.randint(1, 4) if made else 0):
            made[self._chance.randrange(len(made))] ^= 1 << self._chance.randrange(8)
        return bytes(made)

    def _insert(self, data: bytes) -> bytes:
        start, _ = self._span(data)
        return data[:start] + self._chance.choice(_ODD) + data[start:]

    def _replace_word(self, data: bytes) -> bytes:
        """Put something odd in the place of a number or a word."""
        start, end = self._span(data, 1)
        is_of_word = (b"%c" % byte for byte in range(256))
        word = {one for one in is_of_word if one.isalnum() or one in b".-_+"}
        while start > 0 and data[start - 1 : start] in word:
            start -= 1
        while end < len(data) and data[end : end + 1] in word:
            end += 1
        return data[:start] + self._chance.choice(_ODD) + data[end:]

    def _splice(self, data: bytes) -> bytes:
        other = self._chance.choice(self._seeds)
        start, _ = self._span(data)
        first, last = self._span(other, 2000)
        return data[:start] + other[first:last] + data[start:]

    def _repeat(self, data: bytes) -> bytes:
        start, end = self._span(data)
        return data[:end] + data[start:end] * self._chance.choice((1, 2, 50)) + data[end:]

    def _swap_lines(self, data: bytes) -> bytes:
        lines = data.split(b"\n")
        first, second = (self._chance.randrange(len(lines)) for _ in range(2))
        lines[first], lines[second] = lines[second], lines[first]
        return b"\n".join(lines)

    def _drop_line(self, data: bytes) -> bytes:
        lines = data.split(b"\n")
        del lines[self._chance.randrange(len(lines))]
        return b"\n".join(lines)
