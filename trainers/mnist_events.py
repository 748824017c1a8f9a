"""Reports phases and results to the `hpcwatch run` that watches the program, if one does.

It appends lines of JSON to the file that $HPCWATCH_EVENTS names, so that nothing of hpcwatch need
be installed beside TensorFlow. A program whose Python has hpcwatch calls `hpcwatch.log` instead.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

VARIABLE = "HPCWATCH_EVENTS"


def emit(name: str, fields: Mapping[str, float | str]) -> None:
    """Append one event with one write. Does nothing without a monitor, and never raises.

    Numbers that JSON does not have (a loss that is not a number) are left out.
    """
    path = os.environ.get(VARIABLE)
    if not path:
        return
    known = {
        key: value
        for key, value in fields.items()
        if isinstance(value, str) or math.isfinite(value)
    }
    line = json.dumps({"name": name, "at": round(time.time(), 6), "fields": known}) + "\n"
    with suppress(OSError):  # the training counts, not what is reported of it
        # The file is the monitor's: if it is gone, nobody reads what would be written.
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)


@contextmanager
def phase(name: str) -> Iterator[None]:
    """Mark what runs inside of a `with` as a phase. Exceptions pass through."""
    fields: dict[str, float | str] = {"phase": name, "pid": os.getpid()}
    started = time.monotonic()
    emit("phase begin", fields)
    try:
        yield
    except BaseException as error:
        fields["error"] = type(error).__name__
        raise
    finally:
        emit("phase end", {**fields, "duration_s": round(time.monotonic() - started, 6)})
