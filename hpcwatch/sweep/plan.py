"""The plan of a sweep, on disk: ``plan.json`` and a line per task in ``tasks.jsonl``.

A task is read by its number, so that starting one costs the same in a sweep of ten thousand.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

from hpcwatch.base import files, reading
from hpcwatch.base.errors import HpcwatchError, os_reason
from hpcwatch.probe.decode import build

PLAN_VERSION = 2
"""Since 2 an attempt's end is in the file of its start."""
PLAN_FILE, TASKS_FILE = "plan.json", "tasks.jsonl"
_MOST_BYTES = 1 << 30


class Task(NamedTuple):
    """One run of the command. ``number`` is GNU parallel's Seq: 1, 2, 3 and so on."""

    number: int
    parameters: dict[str, str]
    argv: list[str]


class Plan(NamedTuple):
    """The part of the plan that all tasks share."""

    id: str
    name: str
    command: list[str]
    """The command as the user gave it, with ``{name}`` in it."""
    parameters: list[str]
    cwd: str
    slots: str
    """``2``, ``per-gpu`` or ``per-core:4``."""
    retries_count: int
    timeout_s: float | None
    interval_s: float | None
    seed: int | None
    order: str
    tasks_count: int
    made_at_s: float
    job_id: str | None = None
    lease_s: float = 120.0
    """Seconds for which a host may be cut off before another host takes over its task. All hosts
    must use the same value.

    If it is short, a hanging file server costs tasks; if it is long, a retry after a host's death
    waits that long.
    """
    version: int = PLAN_VERSION


def tasks_of(command: Sequence[str], combinations: Sequence[dict[str, str]]) -> list[Task]:
    """Return the tasks, numbered from 1 in their starting order."""
    from hpcwatch.sweep.template import filled

    return [
        Task(number, values, filled(command, values))
        for number, values in enumerate(combinations, 1)
    ]


def write(folder: str, plan: Plan, tasks: Sequence[Task]) -> None:
    """Write both files into the sweep's folder. Raises HpcwatchError."""
    try:
        lines = "".join(json.dumps(task._asdict()) + "\n" for task in tasks)
        files.replace(os.path.join(folder, TASKS_FILE), lines)
        text = json.dumps(plan._asdict(), indent=1) + "\n"
        files.replace(os.path.join(folder, PLAN_FILE), text)
    except OSError as error:
        raise HpcwatchError(f"cannot write the plan in {folder}", os_reason(error)) from None


def read(folder: str) -> Plan:
    """Read the plan. Raises HpcwatchError."""
    path = os.path.join(folder, PLAN_FILE)
    plain = _parsed(path, _text(path))
    version = plain.get("version", 0)
    if isinstance(version, int) and version > PLAN_VERSION:
        raise HpcwatchError(f"{path} was written by a newer hpcwatch", "update hpcwatch")
    plan: Plan = _built(path, Plan, plain)
    return plan


def read_tasks(folder: str) -> list[Task]:
    """Read all tasks. Raises HpcwatchError."""
    path = os.path.join(folder, TASKS_FILE)
    return [_built(path, Task, _parsed(path, line)) for line in _text(path).splitlines()]


def read_task(folder: str, number: int) -> Task:
    """Read one task. Raises HpcwatchError, also if the number does not exist."""
    path = os.path.join(folder, TASKS_FILE)
    try:
        for place, line in enumerate(reading.lines(path), 1):
            if place == number:
                task: Task = _built(path, Task, _parsed(path, line.decode("utf-8", "replace")))
                return task
    except OSError as error:
        raise HpcwatchError(f"cannot read {path}", os_reason(error)) from None
    raise HpcwatchError(f"{path} has no task {number}")


def differences(plan: Plan, tasks: Sequence[Task], wanted: Plan, others: Sequence[Task]) -> str:
    """Return how a sweep differs from the requested one, in words; empty if it does not."""
    if plan.command != wanted.command:
        return f"the command was {_words(plan.command)}"
    if plan.cwd != wanted.cwd:
        return f"the working directory was {plan.cwd}"
    if plan.parameters != wanted.parameters:
        return f"the parameters were {', '.join(plan.parameters) or 'none'}"
    before, now = ({tuple(task.parameters.items()) for task in some} for some in (tasks, others))
    gone, new = before - now, now - before
    if gone:
        return f"{len(gone)} of its combinations are not requested now, such as {_named(min(gone))}"
    if new:
        return f"{len(new)} combinations are new, such as {_named(min(new))}"
    return ""


def _words(command: Sequence[str]) -> str:
    import shlex

    return shlex.join(command)


def _named(values: Sequence[tuple[str, str]]) -> str:
    return " ".join(f"{name}={value}" for name, value in values)


def _text(path: str) -> str:
    try:
        return reading.text(path, most_bytes=_MOST_BYTES)
    except OSError as error:
        raise HpcwatchError(f"cannot read {path}", os_reason(error)) from None
    except UnicodeDecodeError:
        raise HpcwatchError(f"cannot read {path}", "it is damaged") from None


def _parsed(path: str, text: str) -> dict[str, Any]:
    try:
        plain = json.loads(text)
    except (ValueError, RecursionError):
        plain = None
    if not isinstance(plain, dict):
        raise HpcwatchError(f"cannot read {path}", "it is damaged")
    return plain


def _built(path: str, record: Any, plain: dict[str, Any]) -> Any:
    try:
        return build(record, plain)
    except (ValueError, TypeError, KeyError):
        raise HpcwatchError(f"cannot read {path}", "it is damaged") from None
