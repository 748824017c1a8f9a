"""Accounts of past jobs, made in the form in which recorded sacct prints them."""

from __future__ import annotations

import base64
import gzip
import json
import time
from collections.abc import Sequence
from typing import Any

from hpcwatch.base.units import GIB
from hpcwatch.cluster.schedulers.job import Coverage, Job, JobState, Usage
from hpcwatch.cluster.schedulers.job_exit import Cause, JobExit
from hpcwatch.cluster.schedulers.slurm_past import FIELDS

MARK = "\x1f0a1b2c3d\x1f"
"""What stands between cells: sacct is told a new one each time."""
T0_S = 1795436209
"""Mon Nov 23 12:16:49 2026 UTC."""


def sacct_row(job_id: str, **cells: object) -> list[str]:
    """A row; what is not given is empty."""
    return [str(cells.get(name, job_id if name == "JobID" else "")) for name in FIELDS]


def sacct_job(job_id: str, *, hours: float = 1.0, cores: int = 4, **cells: object) -> list[str]:
    """A job that has completed after so many hours."""
    elapsed_s = round(hours * 3600)
    amounts = f"billing={cores},cpu={cores},mem=4096M,node=1"
    return sacct_row(
        job_id,
        **{
            "JobName": "train",
            "User": "alice",
            "Account": "chem",
            "Partition": "checkpt",
            "State": "COMPLETED",
            "ExitCode": "0:0",
            "NNodes": "1",
            "AllocTRES": amounts,
            "ReqTRES": amounts,
            "TotalCPU": "01:00:00",
            "ElapsedRaw": elapsed_s,
            "Timelimit": "02:00:00",
            "Submit": T0_S,
            "Eligible": T0_S,
            "Start": T0_S + 60,
            "End": T0_S + 60 + elapsed_s,
            **cells,
        },
    )


def sacct_step(step_id: str, used: str = "", **cells: object) -> list[str]:
    """A step of one task."""
    told = {"JobName": "batch", "State": "COMPLETED", "ExitCode": "0:0", "NTasks": "1"}
    return sacct_row(step_id, **{**told, "TRESUsageInTot": used, **cells})


def sacct_text(rows: Sequence[Sequence[str]], mark: str = MARK) -> str:
    """The whole answer."""
    return "".join(mark.join(row) + "\n" for row in [FIELDS, *rows])


def js1(plain: object) -> str:
    """An AdminComment as jobstats writes it."""
    packed = gzip.compress(json.dumps(plain, separators=(",", ":")).encode(), mtime=0)
    return "JS1:" + base64.b64encode(packed).decode()


def sacct_answer(rows: Sequence[Sequence[str]]) -> str:
    """The same, with what ended an hour or more before T0 + 1 day moved to now."""
    moved = int(time.time()) - T0_S - 4 * 3600
    names = ("Submit", "Eligible", "Start", "End")
    places = [FIELDS.index(name) for name in names]
    later = [
        [
            str(int(cell) + moved) if at in places and cell.isdigit() else cell
            for at, cell in enumerate(row)
        ]
        for row in rows
    ]
    return sacct_text(later)


def array_job(index: int, used_bytes: int | None, ran_s: float, **more: Any) -> Job:
    """A task of an array that requests 8 GiB and 10 h for each."""
    usage = None if used_bytes is None else Usage(Coverage.JOB, memory_bytes=used_bytes)
    base: dict[str, Any] = {
        "id": f"900_{index}",
        "scheduler": "slurm",
        "array_id": "900",
        "array_index": str(index),
        "state": JobState.COMPLETED,
        "exit": JobExit(Cause.SUCCESS, "0:0", 0),
        "node_memory_bytes": 8 * GIB,
        "walltime_s": 36_000,
        "started_at_s": 1000.0,
        "ended_at_s": 1000.0 + ran_s,
        "usage": usage,
    }
    return Job(**{**base, **more})
