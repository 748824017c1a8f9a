"""Errors of a program's monitor: each is a line on standard error, and the run goes on."""

from __future__ import annotations

from collections.abc import Callable

from hpcwatch.base.clean import clean
from hpcwatch.base.errors import HpcwatchError, os_reason
from hpcwatch.monitor import standard_error


class Complaints:
    """Prints each error once. Any thread may call it."""

    def __init__(self, note: Callable[[str], bool]) -> None:
        """``note`` shows a line in the live view; it returns False if there is no view."""
        self._note = note
        self._said: set[str] = set()

    def say(self, message: str) -> None:
        """Print a line once, in the live view or on standard error."""
        if message in self._said:
            return
        self._said.add(message)
        line = f"hpcwatch: {clean(message)}\n"
        if not self._note(line):
            standard_error.write(line)

    def guarded(self, what: str, step: Callable[[], None]) -> None:
        """Run a step; its failure is one line, and the program runs on."""
        attempt(self.say, what, step)


def attempt(say: Callable[[str], None], what: str, step: Callable[[], None]) -> bool:
    """Take a step; True if it went well. Its failure is said in one line, and all else goes on."""
    about = f"{what}: " if what else ""
    try:
        step()
    except HpcwatchError as error:
        say(f"{about}{error}")
    except OSError as error:
        say(f"{about}{os_reason(error)}")
    except Exception as error:  # a mistake of ours must not end somebody's run of three days
        say(f"{about}{type(error).__name__}: {error}")
    else:
        return True
    return False
