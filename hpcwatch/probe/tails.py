"""Tails: follows the job's standard output and error, which may lie on this node only.

Their file systems may hang, so a separate thread reads them. Only regular files are opened that
belong to the job's owner or to the user who runs the probe.
"""

import codecs
import os
import stat
import threading

from .schema import LogPiece
from .typed import FrozenSet, Iterable, List, Optional, Tuple

LOOK_S = 1.0
MOST_BYTES = 64 << 10
"""The most bytes of each file in one sample. Of more text, only the end is kept."""
_NUMBERS = {"output": 1, "error": 2}
"""Name -> the descriptor that a program writes it to."""
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


class Tails:
    """The files that a watcher asks for."""

    def __init__(self, wanted: Iterable[Tuple[str, str]], owners: FrozenSet[int]) -> None:
        """``wanted`` has names (``output``, ``error``) and paths as the scheduler reports them."""
        self._files = [_File(name, path, owners) for name, path in wanted if name in _NUMBERS]
        self._pids: List[int] = []
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hpcwatch-tails", daemon=True)
        self._thread.start()

    def take(self, pids: List[int]) -> List[LogPiece]:
        """Return the text that was added since the last call.

        ``pids`` are processes of the job that may write to the files, the likeliest first.
        """
        self._pids = pids
        with self._lock:
            pieces = [one.taken() for one in self._files]
        return [piece for piece in pieces if piece is not None]

    def close(self) -> None:
        """End the thread, as soon as a hanging file system answers."""
        self._end.set()

    def _run(self) -> None:
        while True:
            for one in self._files:
                one.look(self._pids, self._lock)
            if self._end.wait(LOOK_S):
                return


class _File:
    """One file that is followed."""

    def __init__(self, name: str, path: str, owners: FrozenSet[int]) -> None:
        self._name = name
        self._told = path
        self._owners = owners
        self._identity = (0, 0)
        self._offset_bytes = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = ""
        self._path = path
        self._is_new = True
        self._is_cut = False
        self._trouble = "it was not looked at yet"
        self._said: Optional[str] = None

    def taken(self) -> Optional[LogPiece]:
        """Return the new text or a new trouble, once; None if there is neither."""
        if not self._text and self._trouble == self._said:
            return None
        piece = LogPiece(
            name=self._name,
            path=self._path,
            text=self._text,
            is_new=self._is_new,
            is_cut=self._is_cut,
            trouble=self._trouble or None,
        )
        self._text, self._is_new, self._is_cut, self._said = "", False, False, self._trouble
        return piece

    def look(self, pids: List[int], lock: threading.Lock) -> None:
        """Read new text. The lock is held only while it is stored, never while a file is read."""
        try:
            descriptor, path = self._open(pids)
        except (OSError, ValueError) as error:
            with lock:
                self._trouble = getattr(error, "strerror", None) or str(error)
            return
        try:
            status = os.fstat(descriptor)
            identity = (status.st_dev, status.st_ino)
            is_other = identity != self._identity or status.st_size < self._offset_bytes
            start = 0 if is_other else self._offset_bytes
            skipped = max(status.st_size - start - MOST_BYTES, 0)
            data = os.pread(descriptor, MOST_BYTES, start + skipped)
        except OSError as error:
            with lock:
                self._trouble = error.strerror or str(error)
            return
        finally:
            os.close(descriptor)
        with lock:
            self._path, self._trouble = path, ""
            self._note(data, is_other, skipped > 0)
            self._identity, self._offset_bytes = identity, start + skipped + len(data)

    def _note(self, data: bytes, is_other: bool, is_skipped: bool) -> None:
        """Add text. It replaces older text if the file is another, or if a part was skipped."""
        if is_other or is_skipped:
            self._decoder.reset()
            self._text = ""
            self._is_new = self._is_new or is_other
            self._is_cut = is_skipped or (self._is_cut and not is_other)
        self._text += self._decoder.decode(data)
        if len(self._text) > MOST_BYTES:
            self._text, self._is_cut = self._text[-MOST_BYTES:], True

    def _open(self, pids: List[int]) -> Tuple[int, str]:
        """Open the file that the scheduler reports, else one that the job's processes write to."""
        try:
            return self._open_regular(self._told), self._told
        except (OSError, ValueError) as error:
            first = error
        for pid in pids:
            link = "/proc/%d/fd/%d" % (pid, _NUMBERS[self._name])
            try:
                return self._open_regular(link), os.readlink(link)
            except (OSError, ValueError):
                continue  # a pipe, a terminal, /dev/null; or it has ended
        raise first

    def _open_regular(self, path: str) -> int:
        """Open a file. Raises OSError, or ValueError if it is not one that we read."""
        if not os.path.isabs(path):
            raise ValueError("the scheduler does not tell where it is")
        before = os.stat(path)  # first, as opening a device or a FIFO may have an effect
        self._check(before)
        descriptor = os.open(path, _FLAGS)
        try:
            self._check(os.fstat(descriptor))
        except ValueError:
            os.close(descriptor)
            raise
        return descriptor

    def _check(self, status: os.stat_result) -> None:
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("not a regular file")
        if status.st_uid not in self._owners:
            raise ValueError("it belongs to another user")
