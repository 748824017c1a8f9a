"""Reads a run's parts from its folder, or from the one file that a short run became at its end.

The file has a line of its own for the run and for its report, then the lines of ``events.jsonl``
and ``samples.jsonl`` as they were. It is there before the folder goes: a reader who finds a part no
longer in the folder finds it in the file.
"""

from __future__ import annotations

import errno
import json
import os
from typing import Any, BinaryIO, NamedTuple

from hpcwatch.base import owners, reading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_HEADS = {"run.json": b'{"run":', "report.json": b'{"report":'}
_EVENT = b'{"at_s"'
_NO_SAMPLE = (*_HEADS.values(), _EVENT)
"""How lines begin that are no samples. A sample begins with its host."""


class Part(NamedTuple):
    """An open file that holds a part of a run."""

    name: str
    stream: BinaryIO
    path: str
    is_packed: bool
    """It holds the other parts as well."""

    @property
    def written_at_s(self) -> float:
        """When it was written, in s since the epoch."""
        return os.fstat(self.stream.fileno()).st_mtime

    def document(self, most_bytes: int = reading.MOST_BYTES) -> Any:
        """Return the JSON of the run or the report, and close it. Raises OSError, ValueError."""
        with self.stream as stream:
            if not self.is_packed:
                data = stream.read(most_bytes + 1)
            elif self.name == "run.json":
                data = stream.readline(most_bytes + 1)
            else:
                next(reading.lines_of(stream), b"")
                data = stream.readline(most_bytes + 1)
        if len(data) > most_bytes:
            raise OSError(errno.EFBIG, f"larger than {most_bytes >> 20} MiB", self.path)
        if self.is_packed and not data.startswith(_HEADS[self.name]):
            raise ValueError(f"no line of {self.name}")
        try:
            found = json.loads(data)
        except RecursionError:
            raise ValueError("nested too deeply") from None
        if self.is_packed:
            (found,) = found.values()
        return found

    def samples(self) -> Iterator[bytes]:
        """Yield the lines of samples, and close it. Raises OSError."""
        with self.stream as stream:
            for line in reading.lines_of(stream):
                if not self.is_packed or is_of_samples(line):
                    yield line

    def events(self) -> Iterator[bytes]:
        """Yield the lines of events, and close it. Raises OSError."""
        with self.stream as stream:
            for line in reading.lines_of(stream):
                if not self.is_packed or line.startswith(_EVENT):
                    yield line
                elif is_of_samples(line):
                    return


def opened(folder: str, packed: str, name: str) -> Part:
    """Open what holds ``run.json`` or another part. Raises OSError."""
    path = os.path.join(folder, name)
    try:
        return Part(name, reading.opened(path), path, is_packed=False)
    except (FileNotFoundError, NotADirectoryError):
        part = opened_packed(folder, packed, name)
        if part is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from None
        return part


def opened_packed(folder: str, packed: str, name: str) -> Part | None:
    """Open the one file; None if there is none, or if another user put it next to the folder.

    Raises OSError.
    """
    try:
        stream = reading.opened(packed)
    except (FileNotFoundError, NotADirectoryError):
        return None
    owner = owners.owner_of(folder)
    if owner not in (None, os.fstat(stream.fileno()).st_uid):
        stream.close()
        return None
    return Part(name, stream, packed, is_packed=True)


def is_of_samples(line: bytes) -> bool:
    """Return False for a line of the one file that holds another part."""
    return not line.startswith(_NO_SAMPLE)
