"""Results and phases from inside a program, for the run that watches it.

    import hpcwatch
    hpcwatch.log(test_accuracy=0.992, epoch=3)
    with hpcwatch.phase("load"):
        ...

Outside of `hpcwatch run` nothing happens. Nothing here raises, prints or waits, whatever the values
and the file system: it is the program's run, not ours.

This file needs the standard library alone (Python 3.8 or newer). Where a program's environment has
no hpcwatch, copy it beside the program: ``import hpcwatch_events as hpcwatch``. In other languages
append lines to the file that ``$HPCWATCH_EVENTS`` names, each in one write:
``{"test_accuracy": 0.99}``, or ``{"name": "checkpoint", "at": 1764000000.5, "fields": {"step":
4}}`` with the time, in seconds since the epoch, left out at will.
"""

from __future__ import annotations

import os
import time
from itertools import islice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Any

VARIABLE = "HPCWATCH_EVENTS"
LOG, EPOCH = "log", "epoch"
PHASE_BEGIN, PHASE_END = "phase begin", "phase end"

LINE_MOST_BYTES = 16384
NAME_MOST = 64
TEXT_MOST = 200
FIELDS_MOST = 32

_path = os.environ.get(VARIABLE)


def log(**values: object) -> None:
    """Record values by name: numbers, short texts, booleans.

    Scalars of NumPy, TensorFlow and the like count as numbers. The last value of each name is the
    run's result.
    """
    if _path:
        emit(LOG, values)


def phase(name: str) -> _Phase | _NoPhase:
    """Return a context that marks a stretch of the run: ``with hpcwatch.phase("load"):``.

    Phases may be nested. An exception ends a phase and is passed on.
    """
    return _Phase(name) if _path else _NO_PHASE


def is_watched() -> bool:
    """True if a monitor may read the events."""
    return bool(_path)


def emit(name: str, fields: Mapping[str, object]) -> None:
    """Append an event to the file that the monitor reads, if there is one. Never raises."""
    if not _path:
        return
    try:
        import json  # nothing is loaded outside of a run

        items = islice(fields.items(), FIELDS_MOST)
        plain = {str(key)[:NAME_MOST]: _plain(one) for key, one in items}
        event = {"at": round(time.time(), 6), "name": str(name)[:NAME_MOST], "fields": plain}
        line = json.dumps(event, allow_nan=False).encode() + b"\n"
        if len(line) <= LINE_MOST_BYTES:
            _append(line)
    except Exception:  # noqa: S110  # odd values, a full disk, a file that is gone
        pass


def _append(line: bytes) -> None:
    """Append with one write, so that lines of several processes never mix.

    The file is opened each time: a program that becomes a daemon closes descriptors, and a kept one
    could then be another file's. A missing file is not created: nothing would read it.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK  # the variable may name a FIFO
    descriptor = os.open(_path or os.devnull, flags)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)


def _plain(value: object) -> float | str | bool | None:
    """Return a value in a form that JSON has: numbers and texts, others as short texts."""
    if value is None or isinstance(value, (bool, str, int, float)):
        return fitting(value)
    ways: tuple[Callable[[Any], object], ...] = (_item, float, str)
    for convert in ways:
        try:
            return fitting(convert(value))
        except Exception:  # noqa: S112  # the next one
            continue
    return type(value).__name__[:TEXT_MOST]


def _item(value: Any) -> object:
    """Return the scalar in a NumPy or PyTorch value. Raises if there is none, or several."""
    return value.item()


def fitting(value: object) -> float | str | bool | None:
    """Return a plain value with texts cut; NaN and infinities, which JSON lacks, are texts.

    Raises TypeError for any other value.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)[:TEXT_MOST]
    if isinstance(value, int) and value.bit_length() < 64:
        return int(value)
    if isinstance(value, (int, float)):
        try:
            number = float(value)
        except OverflowError:
            return "inf" if value > 0 else "-inf"
        return number if _is_finite(number) else str(number)
    raise TypeError(type(value).__name__)


def _is_finite(number: float) -> bool:
    """Return whether JSON has this number. Without `math`, whose import would read another file."""
    return number - number == 0.0


class _Phase:
    """Marks a phase's begin and end."""

    __slots__ = ("_name", "_started_s")

    def __init__(self, name: str) -> None:
        self._name = name
        self._started_s = 0.0

    def __enter__(self) -> None:
        self._started_s = time.monotonic()
        emit(PHASE_BEGIN, {"phase": self._name, "pid": os.getpid()})

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        duration_s = round(time.monotonic() - self._started_s, 6)
        fields = {"phase": self._name, "pid": os.getpid(), "duration_s": duration_s}
        if kind is not None:
            fields["error"] = kind.__name__
        emit(PHASE_END, fields)


class _NoPhase:
    """Marks nothing: outside of a run."""

    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


_NO_PHASE = _NoPhase()

_PAIR = (
    r"([A-Za-z_][A-Za-z0-9_./-]{0,63})="
    # Quotes and brackets may hold blanks: Python prints such values.
    r"""(?:'([^']{0,200})'|"([^"]{0,200})"|(\[[^]]{0,198}\]|\([^)]{0,198}\)|\S{1,200}))(?:\s+|$)"""
)
_NUMBER = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?"


def last_line_results(text: str) -> dict[str, float | str]:
    """Return the results at the end of an output: ``test_accuracy=0.9923 epochs=4``.

    The last line that is not blank must consist of pairs ``name=value``, separated by blanks; else
    there are no results. A value that is not a decimal number is kept as text. It may have blanks
    in quotes, which are removed, or in brackets: ``name='a b' sizes=[1, 2]``.
    """
    import re

    end = text.rstrip()
    line = end[-LINE_MOST_BYTES:].splitlines()[-1] if end else ""
    line = line.strip()
    if len(line) == LINE_MOST_BYTES:
        return {}
    results: dict[str, float | str] = {}
    begin = count = 0
    while begin < len(line):
        pair = re.compile(_PAIR).match(line, begin)
        count += 1
        if pair is None or count > FIELDS_MOST or not pair[0].strip().isprintable():
            return {}
        name, value = pair[1], next(one for one in pair.groups()[1:] if one is not None)
        is_number = re.fullmatch(_NUMBER, value) and _is_finite(float(value))
        results[name] = float(value) if is_number else value
        begin = pair.end()
    return results
