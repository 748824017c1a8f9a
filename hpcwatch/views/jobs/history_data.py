"""Past jobs for programs: JSON, CSV and a JSON object a line. Pure. Unknown is null or empty.

Keys carry their unit; times are ISO 8601 in UTC. Version 1: keys may be added.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from hpcwatch.analysis.history import Hours, Sum, Totals, change_for
from hpcwatch.analysis.history_groups import Group
from hpcwatch.analysis.history_quantiles import Quantiles
from hpcwatch.base.clean import clean
from hpcwatch.base.units import iso
from hpcwatch.cluster.schedulers.history import PastJob

SCHEMA_VERSION = 1
Row = tuple[PastJob, Hours]


def plain_job(job: PastJob, hours: Hours) -> dict[str, Any]:
    """Return a job as the documented structure: one level, so that CSV has the same columns."""
    is_busy_known = job.cpu_s is not None and job.ran_s
    return {
        "id": job.id,
        "name": job.name,
        "owner": job.owner,
        "account": job.account,
        "queue": job.queue,
        "array_id": job.array_id,
        "state": job.state.value,
        "raw_state": job.raw_state or None,
        "exit_code": job.exit_code,
        "signal": job.signal,
        "is_step_out_of_memory": job.is_step_out_of_memory,
        "submitted_at": iso(job.submitted_at_s),
        "eligible_at": iso(job.eligible_at_s),
        "started_at": iso(job.started_at_s),
        "ended_at": iso(job.ended_at_s),
        "waited_s": _rounded(job.waited_s),
        "ran_s": _rounded(job.ran_s),
        "walltime_s": job.walltime_s,
        "nodes_count": job.nodes_count,
        "cores_count": job.cores_count,
        "cpu_s": _rounded(job.cpu_s),
        "cores_used_mean": _rounded((job.cpu_s or 0.0) / job.ran_s)
        if is_busy_known and job.ran_s
        else None,
        "cpu_source": _source(job.cpu_from),
        "memory_requested_bytes": job.memory_requested_bytes,
        "memory_bytes": job.memory_bytes,
        "memory_source": _source(job.memory_from),
        "gpus_count": job.gpus_count,
        "gpus_used_mean": _rounded(job.gpus_used),
        "gpus_source": _source(job.gpus_from),
        "gpu_memory_bytes": job.gpu_memory_bytes,
        "gpu_memory_source": _source(job.gpu_memory_from),
        "core_hours": _rounded(hours.core),
        "idle_core_hours": _rounded(hours.idle_core),
        "gpu_hours": _rounded(hours.gpu),
        "idle_gpu_hours": _rounded(hours.idle_gpu),
        "cost": _rounded(hours.cost),
        "idle_cost": _rounded(hours.idle_cost),
    }


def plain_group(group: Group) -> dict[str, Any]:
    """Return a group: its counts, sums and quantiles, one level."""
    return {
        "name": group.name,
        "jobs_count": group.totals.jobs_count,
        "failed_count": group.failed_count,
        **{
            f"{state.replace(' ', '_')}_count": group.totals.states[state]
            for state in ("completed", "failed", "timeout", "out of memory", "node failed")
            if state != "failed"
        },
        **_quantiles("ran", "_s", group.time_s),
        **_quantiles("memory", "_bytes", group.memory_bytes),
        **_sums(group.totals),
    }


def _quantiles(name: str, unit: str, of: Quantiles) -> dict[str, Any]:
    spread = of.spread()
    values: Sequence[float | None] = spread[:6] if spread is not None else [None] * 6
    names = ("min", "p25", "p50", "p75", "p95", "max")
    made: dict[str, Any] = {
        f"{name}_{which}{unit}": _rounded(value) for which, value in zip(names, values)
    }
    return {**made, f"{name}_known_count": of.known_count}


def _sums(totals: Totals) -> dict[str, Any]:
    pairs: dict[str, Sum] = {
        "core_hours": totals.core,
        "idle_core_hours": totals.idle_core,
        "gpu_hours": totals.gpu,
        "idle_gpu_hours": totals.idle_gpu,
        "cost": totals.cost,
        "idle_cost": totals.idle_cost,
    }
    made: dict[str, Any] = {}
    for name, one in pairs.items():
        made[name] = _rounded(one.value) if one.known_count else None
        made[f"{name}_known_count"] = one.known_count
    return made


def to_json(
    head: dict[str, Any],
    totals: Totals,
    rows: Iterable[dict[str, Any]],
    worst: Sequence[Row],
    what: str,
) -> Iterator[str]:
    """Yield one JSON object in pieces; ``what`` is ``jobs`` or ``groups``, the key of the rows."""
    whole = {
        "schema_version": SCHEMA_VERSION,
        **head,
        "totals": {
            "jobs_count": totals.jobs_count,
            "states": dict(totals.states),
            **_sums(totals),
        },
        "worst": [
            {"id": job.id, "waste": _rounded(hours.waste), "change": change_for(job, hours) or None}
            for job, hours in worst
        ],
    }
    yield json.dumps(whole, indent=1, ensure_ascii=True)[:-2]
    yield f',\n "{what}": ['
    between = "\n  "
    for row in rows:
        yield between + json.dumps(row, ensure_ascii=True)
        between = ",\n  "
    yield "\n ]\n}\n"


def to_ndjson(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield a JSON object a line."""
    for row in rows:
        yield json.dumps(row, ensure_ascii=True) + "\n"


def to_csv(rows: Iterable[dict[str, Any]], heads: Sequence[str]) -> Iterator[str]:
    """Yield the heading and a line a row."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(heads)
    for row in rows:
        writer.writerow([_cell(row[head]) for head in heads])
        if buffer.tell() > 1 << 16:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def _cell(value: object) -> object:
    """Make a text harmless, to a spreadsheet too: none begins as a formula does."""
    if not isinstance(value, str):
        return value
    text = clean(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def _source(source: object) -> str | None:
    return None if source is None else str(getattr(source, "value", source))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


JOB_HEADS = tuple(plain_job(PastJob("", ""), Hours(None, None, None, None)))
GROUP_HEADS = tuple(plain_group(Group("")))
