"""Reads every file of a recording, a sweep or the user: regular files only, bounded in size.

A named pipe or a device in place of a file is refused before it is opened. A file that is larger
than its limit is refused before it is read.
"""

from __future__ import annotations

import errno
import os
import stat

from hpcwatch.base.files import refuse_foreign_link

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, BinaryIO, TypeVar

    Found = TypeVar("Found")

MOST_BYTES = 256 << 20
LINE_BYTES = 32 << 20
_LOOK_BYTES = 4 << 20
_MOST_REPLACED = 3


def opened(path: str) -> BinaryIO:
    """Open a regular file for reading. Raises OSError."""
    refuse_foreign_link(path)
    _check_regular(os.stat(path), path)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        _check_regular(os.fstat(descriptor), path)
        return open(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _check_regular(status: os.stat_result, path: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        code = errno.EISDIR if stat.S_ISDIR(status.st_mode) else errno.EINVAL
        words = os.strerror(code) if code == errno.EISDIR else "not a regular file"
        raise OSError(code, words, path)


def data(path: str, most_bytes: int = MOST_BYTES) -> bytes:
    """Return a file's content. Raises OSError, also if it is larger than ``most_bytes``."""
    found = current(lambda: _start_of(path, most_bytes + 1))
    if len(found) > most_bytes:
        raise OSError(errno.EFBIG, f"larger than {most_bytes >> 20} MiB", path)
    return found


def _start_of(path: str, size_bytes: int) -> bytes:
    with opened(path) as stream:
        return stream.read(size_bytes)


def current(read: Callable[[], Found]) -> Found:
    """Read a file, and again if another host replaced it meanwhile. Raises OSError.

    NFS keeps a file for those who read it on the host that removes it, for no others: they get
    ESTALE, and then open the file that has the name now.
    """
    for _ in range(_MOST_REPLACED):
        try:
            return read()
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
    return read()


def text(path: str, errors: str = "strict", most_bytes: int = MOST_BYTES) -> str:
    """Return a file's text. Raises OSError, and ValueError if it is not UTF-8."""
    return data(path, most_bytes).decode("utf-8", errors)


def plain(path: str, most_bytes: int = MOST_BYTES) -> Any:
    """Return a file's JSON, parsed. Raises OSError, and ValueError if it is not JSON."""
    import json

    try:
        return json.loads(data(path, most_bytes))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def lines(path: str) -> Iterator[bytes]:
    """Yield a file's lines with their ends; a line longer than LINE_BYTES becomes a blank one.

    Raises OSError.
    """
    with opened(path) as stream:
        yield from lines_of(stream)


def lines_of(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of an open file as ``lines`` does."""
    while line := stream.readline(LINE_BYTES):
        if len(line) == LINE_BYTES and not line.endswith(b"\n"):
            while (rest := stream.readline(LINE_BYTES)) and not rest.endswith(b"\n"):
                pass
            line = b" \n"
        yield line


def tail(path: str, most_bytes: int) -> str:
    """Return the end of a file; empty if it cannot be read."""
    try:
        with opened(path) as stream:
            stream.seek(max(stream.seek(0, os.SEEK_END) - most_bytes, 0))
            return stream.read(most_bytes).decode("utf-8", "replace")
    except OSError:
        return ""


class Look:
    """What was appended to a growing file since the last look."""

    def __init__(self, lines: list[bytes], is_another: bool, is_all: bool) -> None:
        self.lines = lines
        """The whole new lines, without their ends."""
        self.is_another = is_another
        """The file is not the one of the last look: it was replaced or truncated."""
        self.is_all = is_all
        """The end of the file was reached."""


class Growing:
    """A file of lines, read as it grows; a line is returned once it is whole.

    The file is reopened for each look: then a network file system reports its current length.
    """

    def __init__(
        self,
        path: str,
        offset: int = 0,
        line_bytes: int = LINE_BYTES,
        behind_bytes: int | None = None,
        instead: str | None = None,
    ) -> None:
        """Start at ``offset``. Lines longer than the limit are left out.

        With ``behind_bytes`` a look that is further behind skips all but that much of the end.
        ``instead`` is read, from its start, once ``path`` is gone.
        """
        self._path = path
        self._instead = instead
        self._offset = offset
        self._line_bytes = line_bytes
        self._behind_bytes = behind_bytes
        self._file: tuple[int, int] | None = None
        self._rest = b""

    def look(self) -> Look:
        """Return the new lines, a bounded number of bytes. Raises OSError."""
        with self._opened() as stream:
            status = os.fstat(stream.fileno())
            is_another = self._is_another(status)
            behind = status.st_size - self._offset
            if self._behind_bytes is not None and behind > self._behind_bytes:
                self._offset, self._rest = status.st_size - self._behind_bytes, b""
            found = os.pread(stream.fileno(), _LOOK_BYTES, self._offset)
        self._offset += len(found)
        *whole, rest = (self._rest + found).split(b"\n")
        self._rest = rest[: self._line_bytes + 1]  # enough to see that it is too long
        kept = [line for line in whole if len(line) <= self._line_bytes]
        return Look(kept, is_another, len(found) < _LOOK_BYTES)

    def _opened(self) -> BinaryIO:
        try:
            return opened(self._path)
        except (FileNotFoundError, NotADirectoryError):
            if self._instead is None:
                raise
            return opened(self._instead)

    def _is_another(self, status: os.stat_result) -> bool:
        file = status.st_dev, status.st_ino
        is_another = self._file is not None and (
            file != self._file or status.st_size < self._offset
        )
        if is_another:
            self._offset, self._rest = 0, b""
        self._file = file
        return is_another

    def new_lines(self) -> Iterator[bytes]:
        """Yield all whole lines that are new. Raises OSError."""
        is_all = False
        while not is_all:
            found = self.look()
            is_all = found.is_all
            yield from found.lines
