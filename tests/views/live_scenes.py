"""Made-up pictures for the live view: jobs, nodes in each state, devices, findings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from hpcwatch.analysis.findings import Directive, Finding, Severity
from hpcwatch.analysis.timeline import Timeline
from hpcwatch.base.units import GIB, MIB
from hpcwatch.cluster.schedulers.job import Job, JobNode, JobState
from hpcwatch.monitor.node_status import NodeState, NodeStatus
from hpcwatch.monitor.picture import Picture, Source
from hpcwatch.probe.schema import Cgroup, Gpu, GpuProcess, JobUse, Node, Process, Sample
from hpcwatch.views.live.board import Board, Figures
from hpcwatch.views.text import Line

NOW_S = 1_700_000_000.0
UP_S = 50_000.0
INTERVAL_S = 2.0
HOSTS = ("qb002", "qb003", "qb007")


class Quiet:
    """Actions that only note what was asked."""

    def __init__(self) -> None:
        self.refreshed = 0
        self.opened: list[str] = []
        self.named: list[frozenset[str]] = []
        self.followed: list[bool] = []

    def refresh(self) -> None:
        self.refreshed += 1

    def open_job(self, job_id: str) -> None:
        self.opened.append(job_id)

    def name_all(self, hosts: frozenset[str]) -> None:
        self.named.append(hosts)

    def follow_log(self, is_shown: bool) -> None:
        self.followed.append(is_shown)


def job(**changes: Any) -> Job:
    """The course's job on three nodes."""
    base = Job(
        id="305669.qb3",
        scheduler="torque",
        name="cnn.tf.gpu",
        owner="fchen14",
        queue="k40",
        account="loni_loniadmin1",
        state=JobState.RUNNING,
        raw_state="R",
        nodes=HOSTS,
        nodes_count=3,
        node_cores_count=20,
        cores_count=60,
        gpus_count=6,
        walltime_s=72 * 3600,
        submitted_at_s=NOW_S - 4 * 3600,
        started_at_s=NOW_S - 9667,
    )
    return base._replace(**changes)


def gpu(index: int, util_pct: float | None, used_gib: float = 10.8) -> Gpu:
    """A K40m that process 21270 holds."""
    return Gpu(
        index=index,
        uuid=f"GPU-{index}",
        name="Tesla K40m",
        util_pct=util_pct,
        memory_used_bytes=round(used_gib * GIB),
        memory_total_bytes=11519 * MIB,
        power_w=104.0 if util_pct else 61.0,
        power_limit_w=235.0,
        temperature_celsius=54.0,
        processes=[GpuProcess(21270, round(used_gib * GIB))],
    )


def processes(step: float, count: int = 3, name: str = "python") -> list[Process]:
    """A busy process of 2.04 cores, and calm ones."""
    made = []
    for place in range(count):
        rate = 2.04 if place == 0 else 0.01 / place
        made.append(
            Process(
                pid=21270 + place,
                ppid=1,
                name=name if place == 0 else f"helper{place}",
                state="R" if place == 0 else "S",
                argv=[name, "train.py", "--epochs", "20"] if place == 0 else None,
                user="fchen14",
                cpu_user_s=100 + rate * step,
                cpu_system_s=1.0,
                thread_count=37 if place == 0 else 1,
                rss_bytes=round((1.6 if place == 0 else 0.02) * GIB),
                pss_bytes=round((1.55 if place == 0 else 0.01) * GIB),
                virtual_bytes=166 * GIB,
            )
        )
    return made


def sample(host: str, step_s: float, **changes: Any) -> Sample:
    """A K40 node so many seconds after the course's job began to be watched."""
    node = Node(
        cpu_count=20,
        core_busy_s=[(0.98 if core < 2 else 0.01) * step_s + core for core in range(20)],
        cpu_user_s=2.2 * step_s,
        cpu_system_s=0.1 * step_s,
        load_1min_count=0.32,
        memory_total_bytes=126 * GIB,
        memory_available_bytes=110 * GIB,
        memory_cached_bytes=12 * GIB,
        swap_used_bytes=0,
        pressure_cpu_s=0.02 * step_s,
        pressure_memory_s=0.0,
        pressure_io_s=0.0,
        net_received_bytes=round(0.5 * MIB * step_s),
        net_sent_bytes=round(0.5 * MIB * step_s),
    )
    use = JobUse(
        found_by="cgroup",
        process_count=4,
        thread_count=41,
        cpu_user_s=2.1 * step_s,
        cpu_system_s=0.0,
        used_bytes=round(1.61 * GIB),
        swap_bytes=0,
        read_bytes=round(2 * MIB * step_s),
        written_bytes=0,
        allowed_cores=20,
    )
    base: dict[str, Any] = {
        "host": host,
        "at_s": NOW_S - 120 + step_s,
        "uptime_s": UP_S + step_s,
        "node": node,
        "job": use,
        "cgroup": Cgroup(path="torque/305669.qb3", is_job=True, used_bytes=round(1.61 * GIB)),
        "processes": processes(step_s),
        "gpus": [gpu(0, 77.0 if int(step_s) % 10 else 60.0), gpu(1, 0.0, 10.7)],
    }
    return Sample(**{**base, **changes})


def timeline(hosts: Iterable[str] = HOSTS, the_job: Job | None = None, **changes: Any) -> Timeline:
    """Two minutes of readings of each host."""
    made = Timeline(INTERVAL_S, the_job)
    for host in hosts:
        for step in range(0, 121, 2):
            made.add(sample(host, float(step), **changes))
    return made


def finding(
    severity: Severity = Severity.CRITICAL,
    host: str = "qb002",
    entity: str = "GPU 1",
    title: str = "GPU 1 idle 12 min, holds 10.7 GiB",
) -> Finding:
    """A finding with evidence, advice and a change."""
    return Finding(
        rule="gpu-memory-held",
        severity=severity,
        host=host,
        entity=entity,
        started_at_s=NOW_S - 720,
        duration_s=720.0,
        title=title,
        evidence={"held_bytes": round(10.7 * GIB), "util_mean_pct": 0.0, "process": "python"},
        advice="TensorFlow reserves every GPU it sees: export CUDA_VISIBLE_DEVICES=0, or use"
        " MirroredStrategy to train on both.",
        directives=(
            Directive("torque", "#PBS -l nodes=3:ppn=20:gpus=2", "#PBS -l nodes=3:ppn=4:gpus=1"),
        ),
    )


def status(host: str, state: NodeState = NodeState.LIVE, **changes: Any) -> NodeStatus:
    """A node that is read by ssh."""
    base = NodeStatus(host, state, since_s=UP_S, reason="", way="ssh", last_at_s=UP_S + 119)
    return base._replace(**changes)


def lost(host: str) -> NodeStatus:
    """A node that does not answer for 40 s."""
    return status(
        host,
        NodeState.LOST,
        since_s=UP_S + 80,
        reason="connection timed out",
        last_at_s=UP_S + 68,
        retry_at_s=UP_S + 132,
    )


def picture(hosts: Sequence[str] = HOSTS, **changes: Any) -> Picture:
    """Three nodes of two GPUs each, as in the course."""
    the_job = changes.get("job", job())
    base: dict[str, Any] = {
        "title": "305669",
        "job": the_job,
        "parts": (the_job,) if the_job is not None else (),
        "sources": (Source("torque", 12.0),),
        "statuses": tuple(status(host) for host in hosts),
        "timeline": None,
        "findings": [],
        "at_s": NOW_S,
        "monotonic_s": UP_S + 120,
        "interval_s": INTERVAL_S,
    }
    values = {**base, **changes}
    if values["timeline"] is None:
        values["timeline"] = timeline(hosts, the_job)
    return Picture(**values)


FINDINGS = [
    finding(),
    finding(host="qb003"),
    finding(
        Severity.WARNING,
        "qb003",
        "job",
        "18 of 20 cores idle: 54 core-hours an hour",
    ),
]


def waiting(**changes: Any) -> Picture:
    """A job that waits for cores."""
    the_job = job(
        state=JobState.QUEUED,
        raw_state="Q",
        started_at_s=None,
        nodes=(),
        reason="Not Running: Insufficient amount of resource: ncpus (R: 40 A: 32 T: 60)",
        estimated_start_at_s=NOW_S + 2 * 3600,
    )
    base = picture((), job=the_job, place=3)
    return base._replace(**changes)


def array_of(count: int = 5) -> Picture:
    """An array of which two tasks run."""
    states = [JobState.COMPLETED, JobState.RUNNING, JobState.RUNNING, JobState.FAILED]
    parts = []
    for index in range(1, count + 1):
        state = states[index - 1] if index <= len(states) else JobState.QUEUED
        parts.append(
            job(
                id=f"2_{index}",
                scheduler="slurm",
                state=state,
                nodes=() if state is JobState.QUEUED else ("qb002",),
                started_at_s=None if state is JobState.QUEUED else NOW_S - 60 * index,
                ended_at_s=NOW_S - 10 if state.is_over else None,
                reason="Resources" if state is JobState.QUEUED else None,
                nodes_count=1,
                allocation=(JobNode("qb002", 4),),
            )
        )
    return picture((), job=None, title="2", parts=tuple(parts))


def board(shown: Picture) -> Board:
    """What the pages are drawn from."""
    return Figures().board(shown)


def texts(lines: Iterable[Line]) -> list[str]:
    """The lines without their styles and the blanks at their right ends."""
    return ["".join(span.text for span in line).rstrip() for line in lines]
