"""Queries the scheduler once about the job of `hpcwatch run`, in a separate process."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping
from typing import Protocol

from hpcwatch.base import files
from hpcwatch.base.errors import HpcwatchError, os_reason
from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.launch import own_python
from hpcwatch.launch.program import Program
from hpcwatch.probe.decode import build
from hpcwatch.probe.encode import to_plain

ARGV = own_python.argv("hpcwatch.cluster.asked_job")
ASK_AFTER_S = 1.0
"""For a shorter program the scheduler, which thousands of users share, is not queried."""
PATIENCE_S = 0.5
"""How long the end of a program may wait for a pending answer."""
_MOST_BYTES = 1 << 20
_RANKS = ("SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK")


class Taker(Protocol):
    """The receiver of the job."""

    def job_told(self, job: Job) -> None:
        """Receive the job with the scheduler's answer added."""


def is_worth_asking(environment: Mapping[str, str]) -> bool:
    """Return True if the scheduler is to be queried: only by the first of a job's many tasks."""
    is_first_rank = all(environment.get(name, "0") == "0" for name in _RANKS)
    return is_first_rank and environment.get("PARALLEL_SEQ", "1") == "1"


def answer_from(text: bytes) -> Job:
    """Parse the process's output. Raises HpcwatchError with the reason if it is not a job."""
    try:
        plain = json.loads(text)
        if "trouble" not in plain:
            job: Job = build(Job, plain["job"], odd=[])
            return job
        trouble = str(plain["trouble"])[:300]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        trouble = "no answer"
    raise HpcwatchError(trouble)


class OwnRequest:
    """The query, on its own thread from the program's start to the answer."""

    def __init__(self, program: Program, job: Job, taker: Taker) -> None:
        self._program = program
        self._job = job
        self._taker = taker
        self._has_ended = threading.Event()
        self._lock = threading.Lock()
        """Locked while the process is started, and while its input is closed."""
        self._to_helper: int | None = None
        self._asked_s: float | None = None
        self._is_over = False
        self.trouble: str | None = None
        """Why there was no answer; None if there was one, or no query."""
        self._thread = threading.Thread(target=self._ask, name="hpcwatch-own-job", daemon=True)
        self._thread.start()

    def _ask(self) -> None:
        if self._has_ended.wait(ASK_AFTER_S):
            return
        try:
            with self._lock:
                if self._has_ended.is_set():
                    return
                self._asked_s = time.monotonic()
                self._to_helper, source = self._program.start_helper(ARGV)
                descriptor = os.dup(self._to_helper)
            with open(source, "rb") as stream:
                # Not under the lock, which the program's end waits for: the helper may not read.
                with open(descriptor, "wb", buffering=0) as request:
                    request_text = json.dumps(to_plain(self._job)).encode() + b"\n"
                    files.write_all(request.fileno(), request_text)
                answer = stream.read(_MOST_BYTES)
            job = answer_from(answer)
        except HpcwatchError as error:
            self._failed(str(error))
        except OSError as error:
            self._failed(os_reason(error))
        except Exception as error:  # an odd answer: nothing may raise while the program runs
            self._failed(f"{type(error).__name__}: {error}")
        else:
            if not self._is_over:
                self._taker.job_told(job)

    def _failed(self, reason: str) -> None:
        if not self._is_over:
            self.trouble = f"{self._job.scheduler} did not describe the job: {reason}"

    def stop(self) -> None:
        """Wait briefly for a pending answer, then end the query."""
        self._has_ended.set()
        self._thread.join(PATIENCE_S)
        if self._thread.is_alive() and self._asked_s is not None:
            waited_s = time.monotonic() - self._asked_s
            self._failed(f"no answer within {waited_s:.1f} s")
        self._is_over = True
        with self._lock:
            if self._to_helper is not None:
                os.close(self._to_helper)
                self._to_helper = None
