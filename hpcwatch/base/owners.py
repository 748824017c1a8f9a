"""The owner of a folder: checked before anything found on disk is executed or trusted.

The rule is OpenSSH's for its configuration (ssh_config(5), FILES): it belongs to this user or to
root, and no one else may write in it.
"""

from __future__ import annotations

import os
import stat

from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def is_ours(path: str) -> bool:
    """Return True if a file or folder belongs to this user: only there we write unasked."""
    try:
        return os.stat(path).st_uid == os.geteuid()
    except OSError:
        return False


def doubt(path: str, trusted: int | None = None, is_group_fine: bool = False) -> str | None:
    """Return why ``path`` must not be trusted; None if it may be.

    ``trusted`` is a further user, besides this one and root. With ``is_group_fine`` others may
    write to it. Raises OSError.
    """
    status = os.stat(path)
    if status.st_uid not in (os.geteuid(), 0, trusted):
        return f"it belongs to {_user(status.st_uid)}"
    # In a sticky folder (/tmp) no user can change another's files; its files are checked as well.
    if is_group_fine:
        return None
    if status.st_mode & _OTHERS_WRITE and not status.st_mode & stat.S_ISVTX:
        return f"others may write to it: chmod go-w {path}"
    return None


def require(*paths: str, trusted: int | None = None) -> None:
    """Raise HpcwatchError unless each of these can be trusted. Missing ones are skipped.

    ``trusted`` is a further user, besides this one and root.
    """
    for path in paths:
        try:
            reason = doubt(path, trusted)
        except OSError:
            continue  # its reader reports that
        if reason is not None:
            raise HpcwatchError(f"{path} is not used", reason, EXIT_USAGE)


def owner_of(path: str) -> int | None:
    """Return the user id of a path's owner; None if that is unknown."""
    try:
        return os.stat(path).st_uid
    except OSError:
        return None


def _user(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
