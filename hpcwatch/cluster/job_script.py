"""The directives of a job's script, read from its user's own file.

The path comes from the scheduler, so it is foreign text: only the head of a regular file of our own
is read, if it is not newer than the job and no line could harm a terminal.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from hpcwatch.cluster.schedulers import known

if TYPE_CHECKING:
    from hpcwatch.cluster.schedulers.job import Job

MOST_BYTES = 64 << 10
_MOST_LINES = 200
_LONGEST = 10_000
_CLOCKS_S = 2.0  # a file server's clock may be a little ahead of the scheduler's


def with_script(job: Job, last: Job | None = None) -> Job:
    """Return the job with its script's directives, if they can be read.

    ``last`` is the earlier record of the same job, for values that an answer lacks.
    """
    if last is not None and last.id == job.id:
        job = job._replace(
            requested=job.requested or last.requested,
            submit_arguments=job.submit_arguments or last.submit_arguments,
            script_lines=job.script_lines if job.script_lines is not None else last.script_lines,
            script_hash=job.script_hash or last.script_hash,
        )
    scheduler = known(job.scheduler)
    if job.script_lines is not None or scheduler is None:
        return job
    name = scheduler.requests.script_name(job)
    if not name:
        return job
    path = os.path.join(job.working_directory or "", name)
    text = _own_text(path, job.submitted_at_s) if os.path.isabs(path) else None
    if text is None:
        return job
    lines = directives(text, scheduler.requests.PREFIX)
    return job._replace(script_lines=lines, script_hash=commands_hash(text))


def commands_hash(text: str) -> str:
    """Return what identifies a script's commands: other directives and comments do not change it.

    Only what was read of a long script counts.
    """
    from hashlib import sha256

    lines = (line.strip() for line in text.split("\n"))
    commands = [line for line in lines if line and not line.startswith("#")]
    return sha256("\n".join(commands).encode()).hexdigest()[:16]


def _own_text(path: str, submitted_at_s: float | None) -> str | None:
    """Return the head of a file; None if it is not ours, or was changed since."""
    try:
        # O_NONBLOCK: opening a pipe would wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except (OSError, ValueError):
        return None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.getuid():
            return None
        if submitted_at_s is not None and status.st_mtime > submitted_at_s + _CLOCKS_S:
            return None
        return os.read(descriptor, MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return None
    finally:
        os.close(descriptor)


def directives(text: str, prefix: str) -> tuple[str, ...] | None:
    """Return the lines that the scheduler reads: those above the first command.

    None if there may be more than was read, or a line that must not be shown.
    """
    found: list[str] = []
    for line in map(str.rstrip, text.split("\n")):
        if line.startswith(prefix) and line[len(prefix) :][:1].isspace():
            found.append(line)
        elif line and not line.lstrip().startswith("#"):
            break
    else:
        if len(text.encode()) >= MOST_BYTES:
            return None
    is_plain = all(
        len(line) <= _LONGEST and line.replace("\t", " ").isprintable() for line in found
    )
    return tuple(found) if is_plain and len(found) <= _MOST_LINES else None
