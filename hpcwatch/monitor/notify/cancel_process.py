"""Cancels the job of `hpcwatch run`, in a process of its own: the program's children stay its own.

It reads the job from its standard input and writes what the scheduler says to its standard output.
"""

from __future__ import annotations

import json
import os
import sys

from hpcwatch.base.errors import HpcwatchError
from hpcwatch.cluster.cancelling import cancelled_own
from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.launch import own_python
from hpcwatch.probe.decode import build
from hpcwatch.probe.encode import to_plain
from hpcwatch.probe.listing import login_name

ARGV = own_python.argv("hpcwatch.monitor.notify.cancel_process")
MOST_BYTES = 4096
"""It writes its answer at once."""


def request(job: Job) -> bytes:
    """Return the process's input."""
    return json.dumps(to_plain(job)).encode() + b"\n"


def trouble_in(answer: bytes) -> str:
    """Return why the job was not cancelled; empty if it was."""
    try:
        return str(json.loads(answer)["trouble"])
    except (ValueError, KeyError, TypeError):
        return "no answer"


def main() -> None:
    """Cancel one job."""
    trouble = ""
    try:
        job = build(Job, json.loads(sys.stdin.buffer.readline()), odd=[])
        cancelled_own(job, login_name(os.getuid()))
    except HpcwatchError as error:
        trouble = str(error)
    os.write(1, json.dumps({"trouble": trouble[:300]}).encode())
    os._exit(0)


if __name__ == "__main__":
    main()
