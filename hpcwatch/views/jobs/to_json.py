"""`hpcwatch jobs --format json`, version 1. Unknown is null; adding a key keeps the version."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from hpcwatch.base.units import iso
from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.views.jobs.flags import elapsed_s, used
from hpcwatch.views.jobs.jobs_table import JobRow

SCHEMA_VERSION = 1


def to_json(
    user: str, scheduler: str, rows: Sequence[JobRow], now_s: float, caveat: str = ""
) -> str:
    """Return a user's jobs as JSON; ``caveat`` is what accounted memory may hold besides."""
    plain = {
        "schema_version": SCHEMA_VERSION,
        "user": user,
        "scheduler": scheduler,
        "asked_at": iso(now_s),
        "caveat": caveat or None,
        "jobs": [_row(row, now_s) for row in rows],
    }
    return json.dumps(plain, indent=1, ensure_ascii=True)


def _row(row: JobRow, now_s: float) -> dict[str, Any]:
    job = row.job
    return {
        "id": job.id,
        "name": job.name,
        "owner": job.owner,
        "account": job.account,
        "queue": job.queue,
        "state": job.state.value,
        "raw_state": job.raw_state or None,
        "nodes": list(job.nodes),
        "asked": {
            "nodes": job.nodes_count or len(job.nodes) or None,
            "cores": job.cores_count,
            "gpus": job.gpus_count,
            "memory_bytes": job.memory_bytes,
            "walltime_s": job.walltime_s,
            "licenses": job.licenses,
        },
        "tasks": None if job.tasks is None else job.tasks._asdict(),
        "used": _used(job, now_s),
        "submitted_at": iso(job.submitted_at_s),
        "eligible_at": iso(job.eligible_at_s),
        "estimated_start_at": iso(job.estimated_start_at_s),
        "started_at": iso(job.started_at_s),
        "ended_at": iso(job.ended_at_s),
        "elapsed_s": _rounded(elapsed_s(job, now_s)),
        "exit": None if job.exit is None else job.exit.words,
        "reason": job.reason,
        "flags": [
            {"rule": flag.rule, "severity": flag.severity.name.lower(), "text": flag.text}
            for flag in row.flags
        ],
    }


def _used(job: Job, now_s: float) -> dict[str, Any] | None:
    use = used(job, now_s)
    if use.covers is None or job.usage is None:
        return None
    return {
        "covers": use.covers.value,
        "cores_mean": _rounded(use.cores),
        "cores_asked": use.cores_count,
        "cpu_s": job.usage.cpu_s,
        "memory_bytes": use.memory_bytes,
        "memory_asked_bytes": use.memory_asked_bytes,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
