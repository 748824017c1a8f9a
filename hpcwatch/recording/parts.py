"""Reads a run's parts from its folder, or from the one file that a short run became at its end.

The file has a line of its own for the run and for its report, then the lines of ``events.jsonl``
and ``samples.jsonl`` as they were. It is there before the folder goes: a reader who finds a part no
longer in the folder finds it in the file.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from itertools import islice
from typing import Any, BinaryIO, NamedTuple

from hpcwatch.base import owners, reading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

SAMPLES = "samples.jsonl"
_ALWAYS_THERE = ("run.json", SAMPLES)
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
            raise _too_large(self.path, most_bytes)
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
    part = _found(folder, packed, name)
    if part is None and name in _ALWAYS_THERE:
        # NFS remembers for a while that a name was not there. Opening the folder makes it ask
        # (nfs(5), "Data and metadata coherence").
        with contextlib.suppress(OSError):
            os.scandir(os.path.dirname(os.path.abspath(folder))).close()
        part = _found(folder, packed, name)
    if part is None:
        path = os.path.join(folder, name)
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    return part


def _found(folder: str, packed: str, name: str) -> Part | None:
    path = os.path.join(folder, name)
    try:
        return Part(name, reading.opened(path), path, is_packed=False)
    except (FileNotFoundError, NotADirectoryError):
        return opened_packed(folder, packed, name)


def opened_packed(folder: str, packed: str, name: str) -> Part | None:
    """Open the one file; None if there is none, or if another user put it next to the folder.

    Raises OSError.
    """
    try:
        stream = reading.opened(packed)
    except (FileNotFoundError, NotADirectoryError):
        return None
    part = Part(name, stream, packed, is_packed=True)
    status = os.fstat(stream.fileno())
    if owners.owner_of(folder) not in (None, status.st_uid):
        stream.close()
        return None
    if status.st_size > reading.MOST_BYTES:
        stream.close()
        raise _too_large(packed, reading.MOST_BYTES)
    return part


def sample_lines(folder: str, packed: str) -> Iterator[bytes]:
    """Yield the lines of samples. Raises OSError.

    A run on another host may end meanwhile: NFS then takes the folder's file away (ESTALE), and the
    same lines go on in the one file.
    """
    part = opened(folder, packed, SAMPLES)
    count = 0
    try:
        for line in part.samples():
            yield line
            count += 1
    except OSError as error:
        rest = opened_packed(folder, packed, SAMPLES) if error.errno == errno.ESTALE else None
        if rest is None or part.is_packed:
            raise
        yield from islice(rest.samples(), count, None)


def _too_large(path: str, most_bytes: int) -> OSError:
    return OSError(errno.EFBIG, f"larger than {most_bytes >> 20} MiB", path)


def is_of_samples(line: bytes) -> bool:
    """Return False for a line of the one file that holds another part."""
    return not line.startswith(_NO_SAMPLE)
