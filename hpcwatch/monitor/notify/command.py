"""Runs a command with a text as its standard input, within a deadline."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence

from hpcwatch.base.clean import clean
from hpcwatch.base.errors import HpcwatchError, os_reason


def run(argv: Sequence[str], text: bytes, deadline_s: float, is_shown: bool = False) -> None:
    """Run it to its end; kill it and its children after ``deadline_s``.

    ``is_shown`` lets it write to our standard error; else its output is discarded. It has the
    user's environment and nothing else. Raises HpcwatchError if it fails.
    """
    name = clean(os.path.basename(argv[0]))
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=None if is_shown else subprocess.DEVNULL,
            start_new_session=True,  # so that its children can be ended with it
        )
    except (OSError, ValueError) as error:
        raise HpcwatchError(f"cannot run {name}", os_reason(error)) from None
    try:
        process.communicate(text, timeout=deadline_s)
    except subprocess.TimeoutExpired:
        raise HpcwatchError(f"{name} did not end within {deadline_s:g} s") from None
    except OSError as error:
        raise HpcwatchError(f"cannot write to {name}", os_reason(error)) from None
    finally:
        _end(process)
    if process.returncode:
        raise HpcwatchError(f"{name} failed", _how(process.returncode))


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of its group, which is its own session."""
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired, OSError):
        process.wait(1.0)


def _how(code: int) -> str:
    from hpcwatch.base.signals import numbered_signal_name

    return f"exit code {code}" if code > 0 else f"killed by {numbered_signal_name(-code)}"
