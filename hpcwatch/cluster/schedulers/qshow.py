"""`qshow`: one site's own summary of a job on its nodes. One sample of it is public."""

from __future__ import annotations

import re
from typing import NamedTuple

from hpcwatch.base.units import parse_bytes
from hpcwatch.cluster.schedulers.job import Coverage, Job, Usage
from hpcwatch.cluster.schedulers.query import (
    Answer,
    Query,
    SchedulerError,
    clean_pbs_id,
    is_unknown,
    not_understood,
)
from hpcwatch.cluster.schedulers.text import count


class QshowProcess(NamedTuple):
    """A process on a node, or several with the same name."""

    user: str
    command: str
    vmem_bytes: int | None
    memory_bytes: int | None
    cpu_hours: float | None


class QshowNode(NamedTuple):
    """A node's line."""

    host: str
    up_days: float | None
    load: float | None
    cpu_pct: float | None
    """In percent of one core: 205 is two busy cores."""
    users_count: int | None
    processes: tuple[QshowProcess, ...]


class Qshow(NamedTuple):
    """A job's health as qshow sums it up. None is unknown."""

    job_id: str
    nodes: tuple[QshowNode, ...]
    user: str | None = None
    allocation: str | None = None
    queue: str | None = None
    cpu_hours: float | None = None
    wall_hours: float | None = None
    nodes_count: int | None = None
    unused_nodes_count: int | None = None
    node_cores_count: int | None = None
    load_mean: float | None = None
    cpu_mean_pct: float | None = None
    memory_mean_bytes: int | None = None
    vmem_mean_bytes: int | None = None


_TITLE = re.compile(r"^PBS job: (\S+), nodes: (\d{1,6})$", re.MULTILINE)
_NODE = re.compile(
    r"^([A-Za-z0-9][\w.-]{0,252}) +(\S+) +(\S+) +(\S+) +(\S+)((?: +\S+:\S+)*) *$", re.MULTILINE
)
_PAIR = re.compile(r"(?:^|\s)(\w+)=(\S*)")


def merged(job: Job, known: Qshow) -> Job:
    """Add what qshow says and a running job's scheduler does not: its use on all nodes."""
    nodes_count = known.nodes_count or len(known.nodes) or None
    usage = job.usage
    if usage is None or usage.covers in (Coverage.FIRST_NODE, Coverage.FIRST_NODE_OR_MORE):
        usage = Usage(
            covers=Coverage.JOB,
            cpu_s=None if known.cpu_hours is None else 3600.0 * known.cpu_hours,
            memory_bytes=_on_all(known.memory_mean_bytes, nodes_count),
            vmem_bytes=_on_all(known.vmem_mean_bytes, nodes_count),
            walltime_s=usage.walltime_s if usage is not None else None,
        )
    return job._replace(
        usage=usage,
        account=job.account or known.allocation,
        queue=job.queue or known.queue,
        node_cores_count=job.node_cores_count or known.node_cores_count,
    )


def _on_all(mean: int | None, nodes_count: int | None) -> int | None:
    return None if mean is None or nodes_count is None else mean * nodes_count


def parse(answer: Answer) -> Qshow | None:
    """Read `qshow ID`; None if it knows no such job. Raises SchedulerError."""
    if is_unknown(answer):
        return None
    if answer.exit_code != 0:
        raise SchedulerError(f"qshow: {answer.words}")
    text = answer.text
    title = _TITLE.search(text)
    if title is None:
        raise not_understood("qshow", answer)
    head, mark, summary = text[title.end() :].partition("PBS_job=")
    pairs = {name: value for name, value in _PAIR.findall(mark + summary) if value != "-"}
    return Qshow(
        job_id=title[1],
        nodes=tuple(_node(match) for match in _NODE.finditer(head) if match[1] != "Hostname"),
        user=pairs.get("user"),
        allocation=pairs.get("allocation"),
        queue=pairs.get("queue"),
        cpu_hours=_number(pairs.get("cpu_hours")),
        wall_hours=_number(pairs.get("wall_hours")),
        nodes_count=count(pairs.get("total_nodes")) or count(title[2]),
        unused_nodes_count=count(pairs.get("unused_nodes")),
        node_cores_count=count(pairs.get("ppn")),
        load_mean=_number(pairs.get("avg_load")),
        cpu_mean_pct=_number(pairs.get("avg_cpu", "").removesuffix("%")),
        memory_mean_bytes=_bytes(pairs.get("avg_mem")),
        vmem_mean_bytes=_bytes(pairs.get("avg_vmem")),
    )


def _node(match: re.Match[str]) -> QshowNode:
    return QshowNode(
        host=match[1],
        up_days=_number(match[2]),
        load=_number(match[3]),
        cpu_pct=_number(match[4]),
        users_count=count(match[5]),
        processes=tuple(map(_process, match[6].split())),
    )


def _process(text: str) -> QshowProcess:
    user, command, *amounts = text.split(":")
    vmem, memory, hours, *_ = [*amounts, "", "", ""]
    return QshowProcess(user, command, _bytes(vmem), _bytes(memory), _number(hours))


def _number(text: str | None) -> float | None:
    return float(text) if text and re.fullmatch(r"\d{1,15}(\.\d{1,15})?", text, re.ASCII) else None


def _bytes(text: str | None) -> int | None:
    return parse_bytes(text) if text and len(text) < 40 else None


def health(job_id: str) -> Query[Qshow | None]:
    """Ask qshow for a job."""
    return Query(["qshow", clean_pbs_id(job_id)], parse)
