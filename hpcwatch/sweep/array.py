"""The job arrays of a sweep, on disk: a record for each submission, its script and its output.

Each element of an array runs its share of the plan's tasks. Elements are numbered from 1 without
gaps, and the record says which tasks each one runs. So a resumed sweep is an array like the first.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterable
from typing import NamedTuple

from hpcwatch.base import files, reading
from hpcwatch.base.errors import HpcwatchError, os_reason
from hpcwatch.probe.decode import build

ARRAYS = "arrays"
"""The name of the folder of all records."""
_MOST_TASKS = 10_000_000
_OUTPUT = re.compile(r"[0-9]+(-[0-9]+)?\.out(-[0-9]+)?", re.ASCII)
"""The names of the elements' output: Slurm's and PBS Pro's ``1-7.out``, Torque's ``1.out-7``."""


class Submission(NamedTuple):
    """One job array that was submitted."""

    number: int
    scheduler: str
    tasks: str
    """The numbers of its tasks: ``1-10000`` or ``3,7-9``."""
    tasks_per_element: int
    options: list[str]
    """The user's options for the scheduler."""
    at_once: int | None
    made_at_s: float
    job_id: str | None = None
    """None before the scheduler answers, or if it did not answer."""

    @property
    def numbers(self) -> list[int]:
        """The numbers of its tasks, in order."""
        return unfolded(self.tasks)

    @property
    def elements_count(self) -> int:
        """The number of its elements."""
        return -(-len(self.numbers) // self.tasks_per_element)

    def tasks_of(self, index: int) -> list[int]:
        """Return the numbers of an element's tasks; empty if there is no such element."""
        first = (index - 1) * self.tasks_per_element
        return self.numbers[first : first + self.tasks_per_element] if index > 0 else []

    def element_of(self) -> dict[int, int]:
        """Return task number -> index of its element."""
        each = self.tasks_per_element
        return {number: place // each + 1 for place, number in enumerate(self.numbers)}


def folded(numbers: Iterable[int]) -> str:
    """Return sorted numbers as text: ``1-3,7``."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in spans)


def unfolded(text: str) -> list[int]:
    """Return the numbers in a text like ``1-3,7``. Raises ValueError."""
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        low, high = int(first), int(last if dash else first)
        if high - low + len(found) >= _MOST_TASKS:
            raise ValueError("too many tasks")
        found += range(low, high + 1)
    return found


def script_file(folder: str, number: int) -> str:
    """Return the path of a submission's script."""
    return os.path.join(folder, ARRAYS, f"{number}.sh")


def output_stem(folder: str, number: int) -> str:
    """Return the beginning of the paths of the elements' output."""
    return os.path.join(folder, ARRAYS, str(number))


def discard_silent_outputs(folder: str) -> None:
    """Remove the empty outputs of elements. Only for arrays that have been over for a while."""
    with contextlib.suppress(OSError):
        for entry in list(os.scandir(os.path.join(folder, ARRAYS))):
            is_output = _OUTPUT.fullmatch(entry.name) and entry.is_file(follow_symlinks=False)
            if is_output and entry.stat(follow_symlinks=False).st_size == 0:
                files.discard(entry.path)


def _record_file(folder: str, number: int) -> str:
    return os.path.join(folder, ARRAYS, f"{number}.json")


def write(folder: str, submission: Submission) -> None:
    """Write a record. Raises OSError."""
    files.make_private(os.path.join(folder, ARRAYS))
    files.replace(_record_file(folder, submission.number), json.dumps(submission._asdict()))


def read(folder: str, number: int) -> Submission:
    """Read a record. Raises HpcwatchError."""
    path = _record_file(folder, number)
    try:
        found: Submission = build(Submission, reading.plain(path))
        if found.tasks_per_element < 1 or not found.numbers:
            raise ValueError("it is damaged")
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise HpcwatchError(f"cannot read {path}", os_reason(error)) from None
    return found


def every(folder: str) -> list[Submission]:
    """Return the readable records, the latest last."""
    try:
        names = os.listdir(os.path.join(folder, ARRAYS))
    except OSError:
        return []
    found = []
    for number in sorted(int(name[:-5]) for name in names if _is_record(name)):
        try:
            found.append(read(folder, number))
        except HpcwatchError:
            continue
    return found


def next_number(folder: str) -> int:
    """Return the number of the next submission. Unreadable records count, too."""
    try:
        names = os.listdir(os.path.join(folder, ARRAYS))
    except OSError:
        return 1
    return max((int(name[:-5]) for name in names if _is_record(name)), default=0) + 1


def _is_record(name: str) -> bool:
    number = name.removesuffix(".json")
    return number != name and number.isascii() and number.isdecimal() and len(number) < 10
