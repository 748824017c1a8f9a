"""What `hpcwatch job` costs on the login node: the whole of it, with a full-screen view.

Whatever the benchmark opens links to is handed in; the view stands on a terminal of 200x50.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import pty
import resource
import struct
import tempfile
import termios
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from harness import wait_until

from hpcwatch.cli.live_view import live
from hpcwatch.cluster.schedulers.inquiry import Reply
from hpcwatch.cluster.schedulers.job import Job, JobNode, JobState
from hpcwatch.config import Settings
from hpcwatch.monitor.known import Known, Questions
from hpcwatch.monitor.node_status import NodeState
from hpcwatch.monitor.remote import Opener
from hpcwatch.monitor.watch import Watch

SCREEN = (50, 200)


class Figures(NamedTuple):
    """What was measured on the login side."""

    first_s: float
    """From the start until every node that lives had answered."""
    cpu_pct: float
    """Of one core, after that."""
    peak_bytes: float


class Inquiry:
    """A scheduler that always says the same."""

    class scheduler:
        name = "slurm"

    def __init__(self, job: Job) -> None:
        self._job = job

    def job(self, _job_id: str, _last: Job | None = None) -> Reply:
        return Reply((self._job,))


def job_on(names: Sequence[str], owner: str = "alice") -> Job:
    """A job with all of these nodes."""
    return Job(
        id="305669",
        scheduler="slurm",
        name="large",
        owner=owner,
        state=JobState.RUNNING,
        nodes=tuple(names),
        cores_count=20 * len(names),
        gpus_count=4 * len(names),
        walltime_s=72 * 3600,
        started_at_s=time.time() - 3600,
        allocation=tuple(JobNode(name, 20, 126 << 30, 4) for name in names),
    )


def measured(work: Callable[[], Figures]) -> Figures:
    """Measure in a process of its own: peaks and imports are not another size's."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        pid, terminal = pty.fork()
        if pid == 0:
            os.environ |= {"HPCWATCH_HOME": folder, "TERM": "xterm-256color"}
            result.write_text(json.dumps(work()))
            os._exit(0)
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", *SCREEN, 0, 0))
        said = b""
        with contextlib.suppress(OSError):
            while data := os.read(terminal, 1 << 16):
                said = (said + data)[-2000:]
        os.waitpid(pid, 0)
        os.close(terminal)
        if not result.exists():
            raise RuntimeError(said.decode(errors="replace"))
        return Figures(*json.loads(result.read_text()))


def watched(
    job: Job, interval_s: float, seconds: float, opener: Callable[[], Opener], dead_count: int = 0
) -> Figures:
    """Watch a job for so long after its first full picture."""
    inquiry: Any = Inquiry(job)
    watch = Watch(
        title=job.id,
        questions=Questions(inquiry, job.id),
        known=Known((job,), time.monotonic()),
        hosts=(),
        opener=lambda _job: opener(),
        settings=Settings(interval_s=interval_s),
    )
    began_s = time.monotonic()
    watch.start()
    living_count = len(job.nodes) - dead_count
    try:
        wait_until(lambda: len(watch.timeline.hosts) == living_count, "every node", 120.0)
    except TimeoutError as error:
        lost = [one.reason for one in watch.statuses() if one.state is not NodeState.LIVE]
        raise RuntimeError(f"{error}: {lost[:5]}") from None
    first_s = time.monotonic() - began_s
    used: list[float] = []

    def look() -> None:
        time.sleep(interval_s)
        before_s = time.process_time()
        time.sleep(seconds)
        used.append(100 * (time.process_time() - before_s) / seconds)
        os.kill(os.getpid(), 15)

    looker = threading.Thread(target=look)
    looker.start()
    live(watch, argparse.Namespace(color="always"))
    looker.join()
    watch.stop()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Figures(first_s, used[0], float(peak))
