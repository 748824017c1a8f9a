"""The only place that runs schedulers' commands: argument lists, never a shell; with a deadline.

A scheduler is shared by thousands: the same question is put to it once in 30 s at most, however
often a view repaints, and while it does not answer the last good answer stands with its age.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from hpcwatch.base.errors import HpcwatchError, os_reason
from hpcwatch.cluster.schedulers.detection import COMMANDS, Detected, detect, probes
from hpcwatch.cluster.schedulers.inquiry import Inquiry, Reply
from hpcwatch.cluster.schedulers.query import Answer, NotUnderstoodError, Query, ServerDownError

TIMEOUT_S = 20.0
EVERY_S = 30.0
MOST_BYTES = 256 << 20  # of one answer: the queue of the largest sites is a tenth of it

Run = Callable[[Sequence[str]], Answer]

_FORMATTING = ("SQUEUE_", "SACCT_", "SINFO_", "SSTAT_", "SCONTROL_", "SLURM_TIME_FORMAT", "LC_")
"""Variables by which a user shapes what these commands print for people."""


def environment(own: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for a scheduler's command: C's locale, our time zone."""
    kept = {name: value for name, value in own.items() if not name.startswith(_FORMATTING)}
    return {**kept, "LC_ALL": "C", "SLURM_TIME_FORMAT": "standard"}


def run(argv: Sequence[str], timeout_s: float = TIMEOUT_S) -> Answer:
    """Run a command to its end.

    Raises HpcwatchError if it cannot be started, ServerDownError if it does not end in time.
    """
    name = argv[0]
    path = shutil.which(name)
    if path is None:
        raise HpcwatchError(f"{name} is not on PATH", "is this a login node?")
    try:
        with subprocess.Popen(
            [path, *argv[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(os.environ),
            start_new_session=True,  # so that all of a wrapper's children can be ended
        ) as process:
            return _finished(process, name, timeout_s)
    except OSError as error:
        raise HpcwatchError(f"cannot run {name}", os_reason(error)) from None


def _finished(process: subprocess.Popen[bytes], name: str, timeout_s: float) -> Answer:
    try:
        stdout, stderr = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        message = f"{name} did not answer within {timeout_s:g} s"
        raise ServerDownError(message, "the last answer is kept") from None
    finally:
        if process.poll() is None:
            _kill_group(process)
    return Answer(stdout[:MOST_BYTES], stderr[:MOST_BYTES], process.returncode, time.time())


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, 9)
    except OSError:
        process.kill()


class _Known(NamedTuple):
    """A question's last good answer and the last attempt."""

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
        """Return the last good answer, asking anew if it is old.

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
        """Ask; in another format if the answer is odd, by another id if there is none."""
        kind = query.argv[:3]
        if query.if_odd is not None and kind in self._odd:
            return self._answer(query.if_odd)
        if query.if_unknown is not None and query.argv in self._renamed:
            return self._answer(query.if_unknown)
        try:
            value = query.parse(self._run(query.argv))
        except NotUnderstoodError:
            if query.if_odd is None:
                raise
            value = self._answer(query.if_odd)
            self._odd.add(kind)  # what this version does not know need not be tried again
            return value
        if not value and query.if_unknown is not None:
            value = self._answer(query.if_unknown)
            if value:  # the server takes the number only: one call is enough from now on
                self._renamed.add(query.argv)
        return value

    def forget(self) -> None:
        """Ask anew next time: a job was just submitted or cancelled."""
        self._known.clear()


def inquiry(forced: str | None = None, ask: Asker | None = None) -> Inquiry:
    """Return questions to this machine's scheduler. Raises HpcwatchError if there is none."""
    return Inquiry(find(forced), ask or Asker())


def find(forced: str | None = None, run: Run = run) -> Detected:
    """Find out which scheduler this machine has. Raises HpcwatchError if there is none."""
    on_path = frozenset(name for name in COMMANDS if shutil.which(name))
    answers: dict[tuple[str, ...], Answer] = {}
    for argv in () if forced else probes(on_path):
        try:
            answers[argv] = run(argv)
        except HpcwatchError:
            continue
    return detect(on_path, answers, forced)
