"""report.json, version 1, as documented. Pure.

Anything unknown is null. Adding a key keeps the version; changing or removing one raises it.
"""

from __future__ import annotations

from hpcwatch.analysis.report import Report
from hpcwatch.base.units import iso
from hpcwatch.probe.encode import to_text
from hpcwatch.probe.typed import TYPE_CHECKING, Any
from hpcwatch.recording.store import Run

if TYPE_CHECKING:
    from hpcwatch.analysis.findings import Finding
    from hpcwatch.cluster.schedulers.job import Job

SCHEMA_VERSION = 1


def to_json(report: Report) -> str:
    """Return report.json, version 1."""
    return to_text(to_plain(report), "\n")


def to_plain(report: Report) -> dict[str, Any]:
    """Return the report as the documented structure of dicts and lists."""
    summary = report.summary._asdict()
    summary["gpus"] = [gpu._asdict() for gpu in report.summary.gpus]
    nodes = [
        {**node._asdict(), "gaps": [gap._asdict() for gap in node.gaps]} for node in report.nodes
    ]
    plain: dict[str, Any] = _rounded(
        {
            "schema_version": SCHEMA_VERSION,
            "run": _run(report.run),
            "summary": summary,
            "findings": [_finding(finding) for finding in report.findings],
            "directives": _directives(report),
            "costs": report.costs._asdict() if report.costs is not None else None,
            "energy": report.energy._asdict() if report.energy is not None else None,
            "mounts": [one._asdict() for one in report.mounts],
            "sources": [one._asdict() for one in report.sources],
            "caveat": report.caveat or None,
            "observed": report.observed._asdict() if report.observed is not None else None,
            "prediction": _record(report.prediction),
            "last_advice": _record(report.last_advice),
            "nodes": nodes,
            "processes": [process._asdict() for process in report.processes],
            "ranks": [rank._asdict() for rank in report.ranks],
            "rank_balance": _record(report.rank_balance),
            "events": [
                {"at": iso(event.at_s), "name": event.name, "fields": event.fields}
                for event in report.events
            ],
            "quality": report.quality._asdict(),
        }
    )
    return plain


def _record(value: Any) -> Any:
    """Return a record, and those in it, as dicts and lists."""
    if isinstance(value, tuple):
        named = getattr(value, "_fields", None)
        items = [_record(item) for item in value]
        return items if named is None else dict(zip(named, items))
    return value


def _rounded(value: Any) -> Any:
    """Round to a microsecond or better; NaN, which JSON lacks, is unknown."""
    if isinstance(value, float):
        return round(value, 6) if value == value and abs(value) != float("inf") else None
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(item) for item in value]
    return value


def _run(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "name": run.name,
        "kind": run.kind,
        "argv": run.argv,
        "cwd": run.cwd,
        "user": run.user,
        "hosts": run.hosts,
        "started_at": iso(run.started_at_s),
        "ended_at": iso(run.ended_at_s),
        "exit_code": run.exit_code,
        "signal": run.signal,
        "hpcwatch_version": run.hpcwatch_version,
        "environment": run.environment,
        "job": None if run.job is None else _job(run.job),
    }


def _job(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "scheduler": job.scheduler,
        "name": job.name,
        "queue": job.queue,
        "state": job.state.value,
        "raw_state": job.raw_state or None,
        "nodes": list(job.nodes),
        "cores": job.cores_count,
        "gpus": job.gpus_count,
        "memory_bytes": job.memory_bytes,
        "walltime_s": job.walltime_s,
        "submitted_at": iso(job.submitted_at_s),
        "started_at": iso(job.started_at_s),
        "ended_at": iso(job.ended_at_s),
        "owner": job.owner,
        "account": job.account,
        "reason": job.reason,
        "estimated_start_at": iso(job.estimated_start_at_s),
        "exit": job.exit.words if job.exit is not None else None,
    }


def _directives(report: Report) -> dict[str, Any] | None:
    """The whole suggested header; null if none is suggested."""
    advice = report.advice
    if advice is None or advice.refused is not None:
        return None
    return {
        "scheduler": advice.scheduler,
        "lines": list(advice.lines),
        "saves": advice.saves._asdict(),
        "changes": [directive._asdict() for directive in advice.changes],
        "margins": advice.margins,
        "based_on": advice.based_on,
        "withheld": advice.withheld,
        "notes": [*advice.notes, *advice.kept],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "rule": finding.rule,
        "severity": finding.severity.name.lower(),
        "host": finding.host,
        "entity": finding.entity,
        "started_at": iso(finding.started_at_s),
        "duration_s": finding.duration_s,
        "title": finding.title,
        "evidence": finding.evidence,
        "advice": finding.advice,
        "directives": [directive._asdict() for directive in finding.directives],
        "waste": finding.waste._asdict(),
    }
