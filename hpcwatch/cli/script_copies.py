"""Copies of job scripts that are submitted in the place of the user's own.

Each has a folder of its own beside the recordings. It stays there while the scheduler may need it.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping

from hpcwatch.base import files
from hpcwatch.base.errors import HpcwatchError, os_reason
from hpcwatch.recording import store


def new_folder(script: str) -> str:
    """Return the path of a folder for a copy of a script; it is not made yet."""
    new_id = store.new_id(os.path.basename(script), time.time())
    return os.path.join(os.path.dirname(store.root()), "submitted", new_id)


def write(texts: Mapping[str, str]) -> None:
    """Write texts to their paths; bytes that are no text stay as they are. Raises HpcwatchError."""
    for path, text in texts.items():
        try:
            files.make_private(os.path.dirname(path))
            files.write(path, [text.encode("utf-8", "surrogateescape")])
        except OSError as error:
            raise HpcwatchError(f"cannot write {path}", os_reason(error)) from None


def discard(script: str) -> None:
    """Remove a copy with its folder, as far as that is possible."""
    shutil.rmtree(os.path.dirname(script), ignore_errors=True)
