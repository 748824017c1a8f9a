"""Whose a folder is: asked before anything found on disk is executed or believed.

The rule is OpenSSH's for its configuration (ssh_config(5), FILES): it belongs to this user or to
root, and nobody else may write in it.
"""

from __future__ import annotations

import os
import stat

from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def is_ours(path: str) -> bool:
    """Tell whether a file or folder belongs to this very user: only there we write unasked."""
    try:
        return os.stat(path).st_uid == os.geteuid()
    except OSError:
        return False


def doubt(path: str, trusted: int | None = None, is_group_fine: bool = False) -> str | None:
    """Return why what lies in ``path`` is not to be believed; None if it may be.

    ``trusted`` is a user besides this one and root. With ``is_group_fine`` others may write to it.
    Raises OSError.
    """
    status = os.stat(path)
    if status.st_uid not in (os.geteuid(), 0, trusted):
        return f"it belongs to {_user(status.st_uid)}"
    # A sticky folder (/tmp) lets nobody touch what is another's; files in it are looked at, too.
    if is_group_fine:
        return None
    if status.st_mode & _OTHERS_WRITE and not status.st_mode & stat.S_ISVTX:
        return f"others may write to it: chmod go-w {path}"
    return None


def require(*paths: str, trusted: int | None = None) -> None:
    """Raise HpcwatchError unless each of these is to be believed. One that is missing is left.

    ``trusted`` is a user besides this one and root.
    """
    for path in paths:
        try:
            reason = doubt(path, trusted)
        except OSError:
            continue  # who reads it says so
        if reason is not None:
            raise HpcwatchError(f"{path} is not used", reason, EXIT_USAGE)


def owner_of(path: str) -> int | None:
    """Return the id of the user to whom something belongs; None if that is not known."""
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
