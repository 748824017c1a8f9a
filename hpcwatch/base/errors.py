"""The one exception that a user sees as a single line."""

from __future__ import annotations

EXIT_FAILURE = 1
EXIT_USAGE = 2


class HpcwatchError(Exception):
    """What went wrong, what to do about it, and the exit code."""

    def __init__(self, message: str, hint: str = "", exit_code: int = EXIT_FAILURE) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code

    def __str__(self) -> str:
        return f"{self.message}: {self.hint}" if self.hint else self.message


def os_reason(error: BaseException) -> str:
    """Return an OSError's reason without its errno and path, else the error's own words."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__
