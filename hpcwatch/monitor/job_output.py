"""Follows the files that a job's standard output and error are written to.

They are read on a thread of their own, because their file system may hang. The scheduler tells the
paths: only regular files are read, the end of each, in bounded memory.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import stat
import threading
from typing import NamedTuple

from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.monitor.log_lines import GrowingText

LOOK_S = 1.0
_TAIL_BYTES = 256 << 10
_SETTLE_S = 1.0


class LogText(NamedTuple):
    """The end of one file."""

    name: str
    """``output`` or ``error``."""
    path: str
    """As the scheduler tells it; foreign text."""
    lines: tuple[str, ...] = ()
    """Without control sequences; the last one may still grow."""
    first_number: int = 0
    """How many lines came before the first of ``lines``."""
    trouble: str = ""
    """Why it cannot be read."""
    read_at: str = ""
    """Where it was read through a node's link: ``/var/spool/7.OU on qb002``; foreign text."""


class JobOutput:
    """The output files of a job, read until ``stop``."""

    def __init__(self, job: Job) -> None:
        self._tails = _tails(job)
        self._texts = tuple(LogText(tail.name, tail.told) for tail in self._tails)
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hpcwatch-log", daemon=True)

    def start(self) -> None:
        """Start reading."""
        if self._tails:
            self._thread.start()

    def stop(self) -> None:
        """Look once more, then stop; a look that hangs is abandoned."""
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(_SETTLE_S)

    def unread(self) -> dict[str, str]:
        """Return the paths that cannot be read here, by name, as they may be on a node."""
        return {
            tail.name: tail.path
            for tail, text in zip(self._tails, self._texts)
            if text.trouble and not text.lines
        }

    @property
    def texts(self) -> tuple[LogText, ...]:
        """What was read last. The same objects mean that nothing has changed."""
        return self._texts

    def _run(self) -> None:
        is_last = False
        while True:
            with contextlib.suppress(Exception):  # a bug of ours costs a page of the view
                self._texts = tuple(tail.look() for tail in self._tails)
            if is_last:
                return
            is_last = self._wake.wait(LOOK_S)


def _tails(job: Job) -> tuple[Tail, ...]:
    """Return a follower of each file, of one that takes both a single one."""
    made: list[Tail] = []
    for name, told in (("output", job.output_path), ("error", job.error_path)):
        if told and not any(tail.told == told for tail in made):
            made.append(Tail(name, told, _path(told, job.working_directory)))
    return tuple(made)


def _path(told: str, folder: str | None) -> str:
    """Return where a file lies: PBS tells ``host:path``, and a path may be one in a folder."""
    host, colon, rest = told.partition(":")
    path = rest if colon and "/" not in host else told
    return os.path.join(folder or "", path)


class Tail:
    """The end of a file that grows."""

    def __init__(self, name: str, told: str, path: str) -> None:
        """``told`` is the path as it is shown."""
        self.name = name
        self.told = told
        self.path = path
        self._text = LogText(name, told)
        self._begin((0, 0))

    def _begin(self, identity: tuple[int, int]) -> None:
        self._identity = identity
        self._offset = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._grown = GrowingText()

    def look(self) -> LogText:
        """Read what has come since; return the same object if that is nothing."""
        try:
            has_news = self._read()
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            if self._text.trouble != why:
                self._text = self._text._replace(trouble=why)
            return self._text
        if has_news or self._text.trouble:
            grown = self._grown
            self._text = LogText(self.name, self.told, grown.lines, grown.first_number)
        return self._text

    def _read(self) -> bool:
        if not os.path.isabs(self.path):
            raise ValueError("the scheduler does not tell where it is")
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
        descriptor = os.open(self.path, flags)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise ValueError("not a regular file")
            identity = status.st_dev, status.st_ino
            if identity != self._identity or status.st_size < self._offset:
                self._begin(identity)
            return self._take(descriptor, status.st_size)
        finally:
            os.close(descriptor)

    def _take(self, descriptor: int, size: int) -> bool:
        """Take in what is new, of much only the end. Return whether there was anything."""
        if size - self._offset > _TAIL_BYTES:
            self._offset = size - _TAIL_BYTES
            self._decoder.reset()
            self._grown.skip()
        data = os.pread(descriptor, size - self._offset, self._offset) if size else b""
        self._offset += len(data)
        self._grown.add(self._decoder.decode(data))
        return bool(data)
