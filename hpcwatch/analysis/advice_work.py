"""Tell which runs did the same work: by program, shape of the arguments and job's name. Pure.

Two runs have the same shape if their words differ in numbers only: ``solve --n # in_#.nc``. The
numbers are kept in their order, since one of them may be the size of the problem.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from hpcwatch.cluster.schedulers import known

if TYPE_CHECKING:
    from hpcwatch.cluster.schedulers.job import Job
    from hpcwatch.recording.store import Run

_NUMBER = re.compile(
    r"(?<![A-Za-z0-9.])\d{1,15}(?:\.\d{1,15})?(?:[eE][+-]?\d{1,2})?(?![A-Za-z0-9])"
)
"""A number on its own: that in ``resnet50`` is part of a name."""
_MOST_WORDS = 64
_MOST_LETTERS = 200
_MOST_NUMBERS = 16


class Number(NamedTuple):
    """A number among the arguments."""

    label: str
    """What it is called: ``--n``, ``argument 2``."""
    value: float


class Work(NamedTuple):
    """What a run did, as far as that shows from outside."""

    key: str
    """Two runs with the same key did the same work, up to their numbers."""
    name: str
    shape: str
    """In words: ``solve --n #``."""
    numbers: tuple[Number, ...]
    script: str | None
    """Identifies the commands of the job's script; None if it was not read or is not the work."""


def work_of(run: Run) -> Work:
    """Return what a run did."""
    from hashlib import sha256

    job = run.job
    words = list(run.argv) if run.argv or job is None else _script_words(job)
    shape, numbers = _shape(words[:_MOST_WORDS])
    script = job.script_hash if job is not None and run.kind == "job" else None
    job_name = (job.name if job is not None else None) or ""
    # If the commands are known, the name of their file does not matter.
    told = "\0".join((run.kind, run.name, job_name, script or "", *shape[bool(script) :]))
    key = sha256(told.encode("utf-8", "replace")).hexdigest()[:16]
    return Work(key, run.name, " ".join(shape), tuple(numbers[:_MOST_NUMBERS]), script)


def _script_words(job: Job) -> list[str]:
    """Return the job's script and its arguments, taken from the submit command."""
    scheduler = known(job.scheduler)
    script = scheduler.requests.script_name(job) if scheduler is not None else None
    if not script:
        return []
    name = os.path.basename(script)
    try:
        words = shlex.split(job.submit_arguments or "")
    except ValueError:
        words = []
    bases = [os.path.basename(word) for word in words]
    return words[bases.index(name) :] if name in bases else [name]


def _shape(words: Sequence[str]) -> tuple[list[str], list[Number]]:
    shape: list[str] = []
    numbers: list[Number] = []
    for place, word in enumerate(words):
        short = os.path.basename(word.rstrip("/"))[:_MOST_LETTERS]
        before = words[place - 1] if place > 1 else ""
        option, sign, _ = word.partition("=")
        if word.startswith("-") and sign:
            short = word[:_MOST_LETTERS]
            label = option
        else:
            is_value = before.startswith("-") and "=" not in before
            label = before if is_value else f"argument {place}"
        if place and not any(letter.isspace() for letter in word):  # not in text or code
            found = _NUMBER.findall(short)
            numbers += [Number(label[:_MOST_LETTERS], float(one)) for one in found]
            short = _NUMBER.sub("#", short)
        shape.append(short)
    return shape, numbers
