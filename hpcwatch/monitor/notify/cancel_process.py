"""A process that cancels the job of `hpcwatch run`, so that the monitor itself starts no children.

It reads the job from standard input and writes the scheduler's answer to standard output.
"""

from __future__ import annotations

import json
import os
import sys
from typing import NamedTuple

from hpcwatch.base.errors import HpcwatchError
from hpcwatch.cluster.cancelling import cancelled_own
from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.cluster.schedulers.query import NoAnswerError
from hpcwatch.launch import own_python
from hpcwatch.probe.decode import build
from hpcwatch.probe.encode import to_plain
from hpcwatch.probe.listing import login_name

ARGV = own_python.argv("hpcwatch.monitor.notify.cancel_process")
MOST_BYTES = 4096
"""The answer is written in one piece."""


def request(job: Job) -> bytes:
    """Return the process's input."""
    return json.dumps(to_plain(job)).encode() + b"\n"


class Trouble(NamedTuple):
    """Why the job was not cancelled."""

    words: str
    """Empty if it was cancelled."""
    is_sure: bool = True
    """False if the job may be cancelled nevertheless: its end also ends this process."""


def trouble_in(answer: bytes) -> Trouble:
    """Read the process's answer. Without an answer it is not certain that cancelling failed."""
    try:
        plain = json.loads(answer)
        return Trouble(str(plain["words"]), bool(plain["is_sure"]))
    except (ValueError, KeyError, TypeError):
        return Trouble("no answer", is_sure=False)


def main() -> None:
    """Cancel one job."""
    trouble = Trouble("")
    try:
        job = build(Job, json.loads(sys.stdin.buffer.readline()), odd=[])
        cancelled_own(job, login_name(os.getuid()))
    except NoAnswerError as error:
        trouble = Trouble(str(error)[:300], is_sure=False)
    except HpcwatchError as error:
        trouble = Trouble(str(error)[:300])
    os.write(1, json.dumps(trouble._asdict()).encode())
    os._exit(0)


if __name__ == "__main__":
    main()
