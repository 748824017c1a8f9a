"""Ids of my jobs for completion: a person presses Tab often, the scheduler is queried seldom."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence

from hpcwatch import config
from hpcwatch.base import files, owners, reading
from hpcwatch.base.errors import HpcwatchError
from hpcwatch.cluster import client
from hpcwatch.cluster.schedulers.inquiry import Inquiry
from hpcwatch.cluster.schedulers.query import Answer
from hpcwatch.probe.listing import login_name
from hpcwatch.recording.store import root

_PATIENCE_S = 3.0  # a person waits for each of the two commands
_FILE = "queued"
"""In the folder of recordings: the last answer, an id per line."""


def my_jobs() -> list[str]:
    """Return the ids of my jobs, from an answer of the last 30 s; none without an answer."""
    path = os.path.join(os.path.dirname(root()), _FILE)
    try:
        if 0 <= time.time() - os.stat(path).st_mtime < client.EVERY_S:
            return reading.text(path).split()
    except (OSError, ValueError):
        pass
    found = _asked()
    with contextlib.suppress(OSError):
        _keep(path, "".join(f"{job_id}\n" for job_id in found))
    return found


def _asked() -> list[str]:
    wanted = config.load_or_default().scheduler
    try:
        asked = Inquiry(client.find(wanted, _run), client.Asker(_run))
        return [job.id for job in asked.jobs(login_name(os.getuid())).value]
    except HpcwatchError:
        return []


def _run(argv: Sequence[str]) -> Answer:
    return client.run(argv, _PATIENCE_S)


def _keep(path: str, text: str) -> None:
    """Write the file in one step: another shell may be reading it. Raises OSError."""
    folder = os.path.dirname(path)
    files.make_private(folder)
    if not owners.is_ours(folder):  # another user's recordings are only read
        return
    files.replace(path, text)
