"""The scheduler's answers, written unchanged as parser tests (tests/parse/data/README.md)."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

from hpcwatch.base import files
from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError, os_reason
from hpcwatch.base.units import iso
from hpcwatch.cluster.client import Asker, Run
from hpcwatch.cluster.schedulers import moab, qshow
from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.cluster.schedulers.query import Answer, Query, Scheduler
from hpcwatch.recording.masking import masked_text, masked_words

LIST_FILE = "answers.json"
_OF_HELPERS: dict[str, Callable[[str], Query[Any]]] = {
    "checkjob": moab.job,
    "showstart": moab.estimate,
    "qshow": qshow.health,
}
_LONGEST_WORD, _LONGEST_NAME = 24, 60


class Heard(NamedTuple):
    """One command and its answer, None if it gave none."""

    argv: tuple[str, ...]
    answer: Answer | None
    at_s: float
    took_s: float
    trouble: str = ""


class Recording:
    """Runs commands and keeps all answers."""

    def __init__(self, run: Run, clock: Callable[[], float] = time.time) -> None:
        self._run = run
        self._clock = clock
        self.all: list[Heard] = []

    def __call__(self, argv: Sequence[str]) -> Answer:
        """Run a command. Raises HpcwatchError as ``command.run`` does."""
        begin_s = self._clock()
        try:
            answer = self._run(argv)
        except HpcwatchError as error:
            took_s = self._clock() - begin_s
            self.all.append(Heard(tuple(argv), None, begin_s, took_s, error.message))
            raise
        self.all.append(Heard(tuple(argv), answer, begin_s, self._clock() - begin_s))
        return answer

    def heard(self, argv: Sequence[str]) -> Answer | None:
        """Return the latest answer to a command; None if there is none."""
        wanted = tuple(argv)
        return next((one.answer for one in reversed(self.all) if one.argv == wanted), None)


def ask_all(
    scheduler: Scheduler, helpers: Collection[str], ask: Asker, jobs: Sequence[Job]
) -> None:
    """Run every query that hpcwatch ever makes about these jobs; failures are kept as answers."""
    queries: list[Query[Any] | None] = []
    for job in jobs:
        job_id = job.raw_id or job.id
        queries += [scheduler.job(job_id), scheduler.history(job_id), scheduler.usage(job_id)]
        queries += [_OF_HELPERS[name](job.id) for name in sorted(helpers)]
    for query in queries:
        try:
            if query is not None:
                ask(query)
        except HpcwatchError:
            continue


def one_of_each_state(jobs: Sequence[Job]) -> list[Job]:
    """Return one job per state: answers about jobs in the same state look alike."""
    return list({job.state: job for job in reversed(jobs)}.values())


def new_folder(path: str) -> str:
    """Make a folder for answers. Raises HpcwatchError if it cannot be made or holds files."""
    try:
        files.make_private(path)
        is_used = bool(os.listdir(path))
    except OSError as error:
        raise HpcwatchError(f"cannot write to {path}", os_reason(error), EXIT_USAGE) from None
    if is_used:
        raise HpcwatchError(
            f"cannot write to {path}", "it holds files: name a new folder", EXIT_USAGE
        )
    return path


def write(folder: str, scheduler: str, heard: Sequence[Heard]) -> int:
    """Write the answers, each as NAME.txt, NAME.err, NAME.rc; return how many there are.

    Raises HpcwatchError.
    """
    listed, used = [], set[str]()
    try:
        for one in heard:
            name = _unused(_name(scheduler, one), used)
            listed.append(_entry(one, name))
            if one.answer is not None:
                _write_answer(os.path.join(folder, name), one.answer)
        files.replace(os.path.join(folder, LIST_FILE), json.dumps(listed, indent=1) + "\n")
    except OSError as error:
        raise HpcwatchError(f"cannot write to {folder}", os_reason(error)) from None
    return len(listed)


def _entry(one: Heard, name: str) -> dict[str, object]:
    return {
        "name": name if one.answer is not None else None,
        "argv": masked_words(one.argv),
        "exit_code": one.answer.exit_code if one.answer is not None else None,
        "asked_at": iso(one.at_s),
        "took_s": round(one.took_s, 3),
        "trouble": one.trouble or None,
    }


def _write_answer(path: str, answer: Answer) -> None:
    files.make_private(os.path.dirname(path))
    parts = {".txt": answer.stdout}
    if answer.stderr:
        parts[".err"] = answer.stderr
    if answer.exit_code:
        parts[".rc"] = b"%d\n" % answer.exit_code
    for ending, raw in parts.items():
        text = masked_text(raw.decode("utf-8", "surrogateescape"))
        files.append(path + ending, text.encode("utf-8", "surrogateescape"))


def _name(scheduler: str, one: Heard) -> str:
    """Return a name such as ``torque/qstat-x-305669_recorded``: it tells tests/parse the parser."""
    words = [re.sub(r"[^A-Za-z0-9]+", "-", word).strip("-") for word in one.argv]
    short = [word for word in words if 0 < len(word) <= _LONGEST_WORD]
    folder = "moab" if one.argv[0] in _OF_HELPERS else scheduler
    if "--version" in one.argv:
        folder = f"other/{scheduler}"
    return f"{folder}/{'-'.join(short)[:_LONGEST_NAME]}_recorded"


def _unused(name: str, used: set[str]) -> str:
    number, made = 1, name
    while made in used:
        number += 1
        made = f"{name}-{number}"
    used.add(made)
    return made
