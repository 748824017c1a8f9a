"""The end of what a program complains about."""

from __future__ import annotations

MOST_BYTES = 4096


class Tail:
    """Keeps the last bytes of a standard error."""

    def __init__(self) -> None:
        self._bytes = b""

    def add(self, data: bytes) -> None:
        """Append."""
        self._bytes = (self._bytes + data)[-MOST_BYTES:]

    def text(self) -> str:
        """Return what is kept."""
        return self._bytes.decode(errors="replace")

    def last_line(self) -> str:
        """Return the last line that is not blank; empty if there is none."""
        lines = self.text().splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "")
