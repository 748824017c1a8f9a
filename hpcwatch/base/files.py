"""Writing a file that a user named."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable

from hpcwatch.base.errors import HpcwatchError, os_reason


def write(path: str, pieces: Iterable[str]) -> None:
    """Write a file as a whole or not at all; a pipe or a device is written to as it is.

    Raises HpcwatchError.
    """
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            _fill(path, pieces)
        else:
            _replace(os.path.realpath(path), pieces)  # a link stays one
    except OSError as error:
        raise HpcwatchError(f"cannot write {path}", os_reason(error)) from None


def _replace(path: str, pieces: Iterable[str]) -> None:
    """Write beside and move in place, so that a reader sees the old file or the new one."""
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.{os.getpid()}")
    try:
        _fill(temporary, pieces)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _fill(path: str, pieces: Iterable[str]) -> None:
    with open(path, "w", encoding="utf-8", errors="backslashreplace", newline="") as stream:
        stream.writelines(pieces)
