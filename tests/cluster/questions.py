"""hpcwatch's scheduler layer, run by a user on the login host and asked from here."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from cluster.cluster import Cluster
from cluster.daemon import wait_for
from cluster.errors import ClusterError
from cluster.layout import ASKING
from hpcwatch.cluster.schedulers import Job
from hpcwatch.probe.decode import build


class Questions:
    """One running ``asking.py``: it remembers answers as a live view does."""

    def __init__(self, process: subprocess.Popen[str], scheduler: str | None, every_s: float):
        self._process = process
        self._say({"scheduler": scheduler, "every_s": every_s})

    def _say(self, words: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()

    def __call__(self, *question: Any) -> Any:
        """Put a question; the answer as it was printed."""
        assert self._process.stdout is not None and self._process.stderr is not None
        self._say(question)
        line = self._process.stdout.readline()
        assert line, self._process.stderr.read()
        return json.loads(line)

    def jobs(self, *question: Any) -> list[Job]:
        """Put a question whose answer is jobs."""
        answer = self(*question)
        assert "value" in answer, answer
        return [build(Job, plain) for plain in answer["value"]]

    def job(self, job_id: str) -> Job:
        """Ask for a job that is one."""
        (job,) = self.jobs("job", job_id)
        return job

    def job_once(self, job_id: str, holds: Callable[[Job], object], what: str) -> Job:
        """Ask for a job until something holds of it."""
        return self._once(("job", job_id), holds, what)

    def past_once(self, job_id: str, holds: Callable[[Job], object], what: str) -> Job:
        """Ask the accounting until something holds: it learns of things a moment later."""
        return self._once(("history", job_id), holds, what)

    def _once(self, question: tuple[str, str], holds: Callable[[Job], object], what: str) -> Job:
        seen: list[Job] = []
        answer: dict[str, Any] = {}

        def asked() -> object:
            nonlocal answer
            answer = self(*question)  # an error is an answer that may change, too
            seen[:] = [build(Job, plain) for plain in answer.get("value") or ()]
            return len(seen) == 1 and holds(seen[0])

        try:
            wait_for(asked, f"{' '.join(question)} {what}")
        except ClusterError as error:
            raise ClusterError(f"{error}; the last answer was {answer}") from None
        return seen[0]


@contextmanager
def questions(
    cluster: Cluster, scheduler: str | None = None, every_s: float = 0.0, user: str = "alice"
) -> Iterator[Questions]:
    """A program to ask until the end of the ``with``."""
    argv = [sys.executable, str(cluster.folder / "lib" / ASKING.name)]
    process = cluster.start(argv, user)
    with process:
        yield Questions(process, scheduler, every_s)
        process.communicate()
