"""The owner of a process."""

import os

from .typed import Optional


def owner_uid(pid: int) -> Optional[int]:
    """Return the user's number; None if the process is gone, hidden, or not of this namespace."""
    try:
        return os.stat("/proc/%d" % pid).st_uid
    except OSError:
        return None
