"""The only place that runs schedulers' commands: argument lists, never a shell, with a deadline.

A scheduler is shared by thousands of users: the same query runs at most once in 30 s, however often
a view repaints. While it fails, the last good answer stands with its age.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from hpcwatch.base.errors import HpcwatchError, os_reason
from hpcwatch.cluster.schedulers import NAMES, dialect
from hpcwatch.cluster.schedulers.detection import HELPERS, Detected, commands, detect, probes
from hpcwatch.cluster.schedulers.inquiry import Inquiry, Reply
from hpcwatch.cluster.schedulers.query import (
    Answer,
    NoAnswerError,
    NotUnderstoodError,
    Query,
    ServerDownError,
)

TIMEOUT_S = 30.0
"""Slurm 26.05's clients try for 20.0 s before they say that the controller is down."""
_HELPER_TIMEOUT_S = 10.0
"""checkjob, showstart and qshow only add to an answer that exists already."""
EVERY_S = 30.0
MOST_BYTES = 64 << 20
"""Limit of standard output: 20,000 jobs of 3 kB, more than `qstat -f` prints at large sites."""
MOST_LINES = 3_000_000
_MOST_ERROR_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 16
_LOOK_S = 0.02
"""The interval of checks whether a silent command has ended: a child may keep its output open."""

_TRIAL = "--test-only"
"""sbatch only tells when the job would start, as a time in the format of its environment."""

Run = Callable[[Sequence[str]], Answer]


def environment(own: Mapping[str, str], argv: Sequence[str] = ()) -> dict[str, str]:
    """Return the environment for a scheduler's command: locale C, our time zone.

    A command that submits hands its environment on to the job: it gets the user's own.
    """
    known = [dialect(name) for name in NAMES]
    if argv and argv[0] in {one.submits_by for one in known} and _TRIAL not in argv:
        return dict(own)
    dropped = ("LC_", *(start for one in known for start in one.formatting))
    kept = {name: value for name, value in own.items() if not name.startswith(dropped)}
    settings = {name: value for one in known for name, value in one.settings.items()}
    return {**kept, "LC_ALL": "C", **settings}


def run(argv: Sequence[str], timeout_s: float | None = None, folder: str | None = None) -> Answer:
    """Run a command to its end, in ``folder`` or where we are, and return what it printed.

    Raises HpcwatchError if it cannot be started, NoAnswerError if it does not end within
    ``timeout_s`` or prints more than MOST_BYTES or MOST_LINES. A command that a signal killed has a
    negative exit code.
    """
    name = argv[0]
    path = shutil.which(name)
    if path is None:
        raise HpcwatchError(f"{name} is not on PATH", "is this a login node?")
    if timeout_s is None:
        timeout_s = _HELPER_TIMEOUT_S if name in HELPERS else TIMEOUT_S
    try:
        process = subprocess.Popen(
            [path, *argv[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(os.environ, argv),
            cwd=folder,
            start_new_session=True,  # so that all of a wrapper's children can be ended
        )
    except OSError as error:
        raise HpcwatchError(f"cannot run {name}", os_reason(error)) from None
    try:
        reader = _Reader(process, name)
    except OSError as error:
        process.kill()
        raise HpcwatchError(f"cannot read what {name} prints", os_reason(error)) from None
    try:
        reader.read(timeout_s)
    except BaseException:
        reader.kill()
        raise
    finally:
        reader.close()
    return Answer(bytes(reader.stdout), bytes(reader.stderr), process.returncode, time.time(), name)


class _Reader:
    """Reads both outputs of a command until the command ends, within bounds.

    It waits for the command itself and not for the end of its outputs: a child that a site's
    wrapper leaves behind (an ssh that serves later connections) may keep them open for hours.
    """

    def __init__(self, process: subprocess.Popen[bytes], name: str) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self.stdout, self.stderr = bytearray(), bytearray()
        self._process, self._name = process, name
        self._lines_count = 0
        self._selector = selectors.DefaultSelector()
        for stream, kept in ((process.stdout, self.stdout), (process.stderr, self.stderr)):
            os.set_blocking(stream.fileno(), False)
            self._selector.register(stream, selectors.EVENT_READ, kept)

    def read(self, timeout_s: float) -> None:
        """Read until the command has ended. Raises NoAnswerError at a bound."""
        end_s = time.monotonic() + timeout_s
        while self._process.poll() is None:
            left_s = end_s - time.monotonic()
            if left_s <= 0:
                raise ServerDownError(f"{self._name} did not answer within {timeout_s:g} s")
            if self._selector.get_map():
                self._take(min(left_s, _LOOK_S))
            else:  # both outputs are closed: the end is near
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(left_s)
        # The pipes hold what it printed before its end; a child may go on to fill them.
        while self._selector.get_map() and self._take(0) and time.monotonic() < end_s:
            pass

    def _take(self, patience_s: float) -> bool:
        """Read the available output; False if there is none."""
        ready = self._selector.select(patience_s)
        for key, _ in ready:
            try:
                data = os.read(key.fd, _CHUNK_BYTES)
            except BlockingIOError:
                continue
            if not data:
                self._selector.unregister(key.fileobj)
                continue
            key.data.extend(data)
            if key.data is self.stdout:
                self._lines_count += data.count(b"\n")
        if len(self.stdout) > MOST_BYTES:
            raise NoAnswerError(f"{self._name} printed more than {MOST_BYTES >> 20} MiB")
        if self._lines_count > MOST_LINES:
            raise NoAnswerError(f"{self._name} printed more than {MOST_LINES:,} lines")
        if len(self.stderr) > _MOST_ERROR_BYTES:
            raise NoAnswerError(f"{self._name} printed errors without end")
        return bool(ready)

    def kill(self) -> None:
        """End the command and its children, which share its process group."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except OSError:
            self._process.kill()
        # A process in an uninterruptible wait (a hung file system) outlives even SIGKILL.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)

    def close(self) -> None:
        """Close the outputs."""
        self._selector.close()
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()


class _Known(NamedTuple):
    """The last good answer to a query, and the last attempt."""

    value: Any
    has_value: bool
    value_at_s: float
    tried_at_s: float
    trouble: HpcwatchError | None


class Asker:
    """Runs queries, each command line at most once in ``every_s``."""

    def __init__(
        self,
        run: Run = run,
        clock: Callable[[], float] = time.monotonic,
        every_s: float = EVERY_S,
    ) -> None:
        self._run = run
        self._clock = clock
        self._every_s = every_s
        self._known: dict[tuple[str, ...], _Known] = {}
        self._odd: set[tuple[str, ...]] = set()
        self._renamed: set[tuple[str, ...]] = set()

    def __call__(self, query: Query[Any]) -> Reply:
        """Return the last good answer, after a new query if it is old.

        Raises HpcwatchError if there never was a good answer.
        """
        known = self._known.get(query.argv)
        now = self._clock()
        if known is None or now - known.tried_at_s >= self._every_s:
            known = self._asked(query, known, now)
            self._known[query.argv] = known
        if known.has_value:
            trouble = known.trouble.message if known.trouble else ""
            return Reply(known.value, now - known.value_at_s, trouble)
        assert known.trouble is not None
        raise known.trouble

    def _asked(self, query: Query[Any], known: _Known | None, now: float) -> _Known:
        try:
            value = self._answer(query)
        except HpcwatchError as error:
            if known is not None and known.has_value:
                return known._replace(tried_at_s=now, trouble=error)
            return _Known(None, False, now, now, error)
        return _Known(value, True, now, now, None)

    def _answer(self, query: Query[Any]) -> Any:
        """Query; in another format if the answer is odd, by another id if it is empty."""
        kind = query.argv[:3]
        if query.if_odd is not None and kind in self._odd:
            return self._answer(query.if_odd)
        if query.if_unknown is not None and query.argv in self._renamed:
            return self._answer(query.if_unknown)
        try:
            value = query.parse(self._run(query.argv))
        except ServerDownError:
            raise
        except NoAnswerError:  # a command that crashes in one format may work in another
            if query.if_odd is None:
                raise
            return self._answer(query.if_odd)
        except NotUnderstoodError:
            if query.if_odd is None:
                raise
            value = self._answer(query.if_odd)
            self._odd.add(kind)  # a format that this version does not know is not tried again
            return value
        if not value and query.if_unknown is not None:
            value = self._answer(query.if_unknown)
            if value:  # the server takes the number only: one call is enough from now on
                self._renamed.add(query.argv)
        return value

    def hurry(self) -> None:
        """Query anew next time, and keep the answers in case that fails."""
        long_ago_s = self._clock() - self._every_s
        for argv, known in self._known.items():
            self._known[argv] = known._replace(tried_at_s=min(known.tried_at_s, long_ago_s))

    def forget(self) -> None:
        """Query anew next time: a job was just submitted or cancelled."""
        self._known.clear()


def inquiry(forced: str | None = None, ask: Asker | None = None) -> Inquiry:
    """Return the queries of this machine's scheduler. Raises HpcwatchError if there is none."""
    return Inquiry(find(forced), ask or Asker())


def find(forced: str | None = None, run: Run = run) -> Detected:
    """Detect this machine's scheduler. Raises HpcwatchError if there is none."""
    on_path = frozenset(name for name in commands() if shutil.which(name))
    answers: dict[tuple[str, ...], Answer] = {}
    for argv in () if forced else probes(on_path):
        try:
            answers[argv] = run(argv)
        except HpcwatchError:
            continue
    return detect(on_path, answers, forced)
