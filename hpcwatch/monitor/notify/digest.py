"""One message per interval for all tasks of a job array.

The tasks run on different nodes and share a folder, in which each message is a file. The first task
that finds the last digest old enough sends all waiting messages as one.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from hpcwatch.base import files, reading
from hpcwatch.monitor.notify import message

_MOST_READ = 500
_MOST_NAMED = 8
_STALE_LOCK_S = 120.0
_ALIVE_S = 180.0
"""A task that did not look for so long has ended: three times the interval in ``process``."""
_OLD_S = 7 * 86400.0
_MOST_BYTES = 1 << 16
_SEVERITIES = ("info", "warning", "critical")


class Spool(NamedTuple):
    """The place where messages of an array wait."""

    folder: str
    interval_s: float
    is_last: bool
    """True for the task with the highest index, and if the highest index is unknown."""


class Digest:
    """Sends messages of an array's tasks together. Any thread may call it; nothing raises."""

    def __init__(self, spool: Spool, send: Callable[[bytes], None]) -> None:
        self._spool, self._send = spool, send
        self._lock = threading.Lock()
        self._count = 0
        self._name = f"{socket.gethostname()}-{os.getpid()}"
        self._guarded(self._begin)

    def take(self, line: bytes) -> None:
        """Store a message in the folder; send all messages if the digest is due."""
        with self._lock:
            try:
                self._keep(line)
            except OSError:
                self._send(line)  # the folder is not usable: send this message alone
        self.look()

    def look(self) -> None:
        """Send all waiting messages if the last digest is old enough."""
        self._guarded(self._touch)
        self._guarded(lambda: self._send_all(is_due=self._is_due))

    def end(self) -> None:
        """End this task. Send all waiting messages if no other task is left to do it."""
        with contextlib.suppress(OSError):
            os.remove(os.path.join(self._spool.folder, "alive", self._name))
        self._guarded(lambda: self._send_all(is_due=lambda: self._is_due() or self._is_alone()))

    def _guarded(self, step: Callable[[], None]) -> None:
        with self._lock, contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            step()

    def _path(self, *names: str) -> str:
        return os.path.join(self._spool.folder, *names)

    def _begin(self) -> None:
        remove_old(os.path.dirname(self._spool.folder))
        for name in ("waiting", "alive"):
            files.make_private(self._path(name))
        self._touch()
        if self._spool.is_last:
            files.replace(self._path("last-begun"), "")

    def _touch(self) -> None:
        files.replace(self._path("alive", self._name), "")

    def _keep(self, line: bytes) -> None:
        self._count += 1
        name = f"{time.time():.6f}-{self._name}-{self._count}"
        files.replace(self._path("waiting", name), line.decode("utf-8", "replace"))

    def _is_due(self) -> bool:
        try:
            sent_s = os.stat(self._path("sent")).st_mtime
        except FileNotFoundError:
            return True
        return not 0 <= time.time() - sent_s < self._spool.interval_s

    def _is_alone(self) -> bool:
        """True if no other task runs and the last task has started."""
        now_s = time.time()
        others = [one.stat().st_mtime for one in os.scandir(self._path("alive"))]
        is_begun = os.path.exists(self._path("last-begun"))
        return is_begun and not any(now_s - at_s < _ALIVE_S for at_s in others)

    def _send_all(self, is_due: Callable[[], bool]) -> None:
        if not is_due() or not self._names():
            return
        lock = self._path("lock")
        if not files.claim(lock, ""):
            if time.time() - os.stat(lock).st_mtime > _STALE_LOCK_S:
                os.remove(lock)  # the process that made it was killed
            return
        try:
            if is_due():
                found = self._taken()
                if found:
                    files.replace(self._path("sent"), "")
                    self._send(together(found))
        finally:
            os.remove(lock)

    def _names(self) -> list[str]:
        """Return the names of complete messages, not of those that are being written."""
        return [name for name in os.listdir(self._path("waiting")) if not name.startswith(".")]

    def _taken(self) -> list[bytes]:
        """Remove the waiting messages, and return them, the oldest first."""
        names = sorted(self._names())[:_MOST_READ]
        found = []
        for name in names:
            path = self._path("waiting", name)
            with contextlib.suppress(OSError):  # an unreadable message does not stop the others
                found.append(reading.data(path, _MOST_BYTES))
            with contextlib.suppress(OSError):
                os.remove(path)
        return found


def remove_old(folder: str) -> None:
    """Remove the folders of arrays to which nothing was written for a week."""
    with contextlib.suppress(OSError):
        for one in os.scandir(folder):
            if time.time() - one.stat().st_mtime > _OLD_S:
                shutil.rmtree(one.path, ignore_errors=True)


def together(lines: list[bytes]) -> bytes:
    """Combine messages into one. A single message stays unchanged."""
    if len(lines) == 1:
        return lines[0]
    found = [plain for plain in map(_read, lines) if plain is not None]
    worst = max((_rank(plain) for plain in found), default=0)
    shown = sorted(found, key=lambda plain: -_rank(plain))[:_MOST_NAMED]
    name = str(found[0].get("name", "")) if found else ""
    rows = [f"{len(found)} messages of the array {name}:".replace("  ", " ")]
    rows += [str(plain.get("text", "")).partition("\n")[0][:180] for plain in shown]
    if len(found) > len(shown):
        rows.append(f"and {len(found) - len(shown)} more")
    first = found[0] if found else {}
    about = message.Subject(
        name, str(first.get("user", "")), "", scheduler=_text(first, "scheduler")
    )
    rules = tuple(dict.fromkeys(str(rule) for plain in found for rule in _rules(plain)))
    made = message.Message(
        "digest", "\n".join(rows), time.time(), _SEVERITIES[worst], rules, len(found)
    )
    return message.line(made, about)


def _read(line: bytes) -> dict[str, object] | None:
    try:
        plain = json.loads(line)
    except ValueError:
        return None
    return plain if isinstance(plain, dict) else None


def _rank(plain: dict[str, object]) -> int:
    word = plain.get("severity")
    return _SEVERITIES.index(word) if isinstance(word, str) and word in _SEVERITIES else 0


def _rules(plain: dict[str, object]) -> list[object]:
    rules = plain.get("rules")
    return rules if isinstance(rules, list) else []


def _text(plain: dict[str, object], name: str) -> str | None:
    value = plain.get(name)
    return value if isinstance(value, str) else None
