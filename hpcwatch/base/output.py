"""Writing to streams that may be closed, full, or limited to few characters."""

from __future__ import annotations

import codecs
import errno
import sys

_WITHOUT_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def prepare() -> None:
    """Make a stream replace characters that it cannot encode by similar ones, not raise."""
    register()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=NEAREST)


def is_interactive() -> bool:
    """Return True if both the screen and the keyboard are a terminal."""
    streams = (sys.stdin, sys.stdout)
    return all(stream is not None and stream.isatty() for stream in streams)


def complain(text: str) -> None:
    """Write a text and a newline to standard error if it can be written to."""
    write_error(text + "\n")


def write_error(text: str) -> None:
    """Write to standard error; do nothing if it is closed, full, or hung up."""
    if sys.stderr is None:  # print would choose standard output, which is the program's
        return
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (OSError, ValueError):
        pass


def flush() -> bool:
    """Flush both streams; return False if output on standard output was lost."""
    is_whole = True
    for stream in (sys.stderr, sys.stdout):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError) as error:
            if stream is sys.stdout:
                is_whole = False
                if is_without_room(error):
                    complain(lost(error))
    return is_whole


def is_without_room(error: Exception) -> bool:
    """Return True if something could not be written for want of room: a full disk, a quota."""
    return isinstance(error, OSError) and error.errno in _WITHOUT_ROOM


def lost(error: Exception) -> str:
    """Return the line that says that output was lost for want of room."""
    from hpcwatch.base.errors import os_reason

    return f"hpcwatch: the output is not whole: {os_reason(error)}"


NEAREST = "hpcwatch.nearest"
"""The name of the encoding error handler after ``register``: ``errors=NEAREST``."""

_LIKE = str.maketrans(
    {
        **dict.fromkeys("─━╸╌–—−·", "-"),
        **dict.fromkeys("▏▎▍▌▋▕│├", "|"),
        **dict.fromkeys("▊▉█", "#"),
        **dict.fromkeys("┤┼┌┐└┘", "+"),
        **dict(zip("▁▂▃▄▅▆▇⠀", "_.,-=+* ")),
        **dict(zip("▲●✓✗×≥≤…→←↑↓›░▒°", "!*+xx><~><^v>:%o")),
    }
)
"""Each replacement takes one column, as the original does."""


def register() -> None:
    """Register NEAREST with all encoders."""
    codecs.register_error(NEAREST, _nearest)


def _nearest(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    wrong = error.object[error.start : error.end]
    alike = wrong.translate(_LIKE)
    return "".join(one if one.isascii() else "?" for one in alike), error.end
