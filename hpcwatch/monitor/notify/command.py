"""Runs a command with a text on its standard input, within a deadline."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence

from hpcwatch.base.clean import clean
from hpcwatch.base.errors import HpcwatchError, os_reason


def run(argv: Sequence[str], text: bytes, deadline_s: float, is_shown: bool = False) -> None:
    """Run a command to its end. After ``deadline_s`` seconds it is killed with its children.

    With ``is_shown`` it may write to our standard error; else its output is discarded. It inherits
    only the user's environment. Raises HpcwatchError if it fails.
    """
    name = clean(os.path.basename(argv[0]))
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=None if is_shown else subprocess.DEVNULL,
            start_new_session=True,  # so that its children can be killed, too
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
    """Kill the remaining processes of its group, which is also its session."""
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired, OSError):
        process.wait(1.0)


def _how(code: int) -> str:
    from hpcwatch.base.signals import numbered_signal_name

    return f"exit code {code}" if code > 0 else f"killed by {numbered_signal_name(-code)}"
