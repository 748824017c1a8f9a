"""The rows of `sacct -P`, read as they come, so that a million rows take no memory. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hpcwatch.cluster.schedulers.query import NotUnderstoodError

MOST_ROW_BYTES = 2 << 20
"""A job's comment may be long; a row longer than this is left out."""


class Rows:
    """The rows of one answer. The header shows which mark separates cells."""

    def __init__(self, fields: tuple[str, ...]) -> None:
        self._fields = fields
        self.odd_count = 0
        """Rows left out because they were too long or had another number of cells."""

    def read(self, pieces: Iterable[bytes]) -> Iterator[list[str]]:
        """Yield the cells of each row, in the order of the fields.

        A name that contains newlines takes several lines, which are joined again.
        Raises NotUnderstoodError if the first line is not the header.
        """
        lines = self._lines(pieces)
        header = next(lines, None)
        if header is None:
            return
        delimiter = self._delimiter(header)
        gaps = len(self._fields) - 1
        begun: list[str] = []  # lines of a row that is not yet complete
        seen = length = 0
        for line in lines:
            count = line.count(delimiter)
            if count == gaps:  # nearly always; a row that began before it is incomplete
                self.odd_count += bool(begun)
                begun, seen, length = [], 0, 0
                yield line.split(delimiter)
                continue
            begun.append(line)
            seen, length = seen + count, length + len(line) + 1
            if seen == gaps:
                yield "\n".join(begun).split(delimiter)
            elif seen < gaps and length <= MOST_ROW_BYTES:
                continue
            else:
                self.odd_count += 1
            begun, seen, length = [], 0, 0
        self.odd_count += bool(begun)

    def _delimiter(self, header: str) -> str:
        first, second = self._fields[:2]
        end = header.find(second, len(first))
        delimiter = header[len(first) : end] if header.startswith(first) and end > 0 else ""
        if not delimiter or header.split(delimiter) != list(self._fields):
            raise NotUnderstoodError(f"sacct was not understood: {header[:80]!r}")
        return delimiter

    def _lines(self, pieces: Iterable[bytes]) -> Iterator[str]:
        """Yield lines; skip each that is longer than a row may be, without keeping it."""
        rest, is_skipping = b"", False
        for piece in pieces:
            if is_skipping:
                _, newline, piece = piece.partition(b"\n")  # noqa: PLW2901
                if not newline:
                    continue
                is_skipping = False
            head, newline, tail = piece.rpartition(b"\n")
            if newline:
                text = (rest + head).decode("utf-8", "surrogateescape")
                rest = tail
                yield from text.split("\n")
            else:
                rest += tail
            if len(rest) > MOST_ROW_BYTES:
                rest, is_skipping = b"", True
                self.odd_count += 1
        if rest:
            yield rest.decode("utf-8", "surrogateescape")
