"""Scenes for tests of the export, and what its numbers say according to Prometheus' own parser."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_classic

from hpcwatch.analysis.findings import Finding, Severity
from hpcwatch.analysis.timeline import Timeline
from hpcwatch.cluster.schedulers import Job
from hpcwatch.export import text
from hpcwatch.export.families import Point
from hpcwatch.export.scene import About, Scene, about_job
from hpcwatch.probe.schema import Cgroup, Gpu, JobUse, Node, Sample

START_S = 1_700_000_000.0
GIB = 1 << 30

JOB = Job(
    "4711.qb3",
    "torque",
    name="train",
    queue="gpu",
    owner="alice",
    nodes=("n1", "n2"),
    node_cores_count=8,
    walltime_s=3600,
    started_at_s=START_S,
)


class Told(NamedTuple):
    """A sample of an exposition."""

    name: str
    labels: dict[str, str]
    value: float


def families(exposition: str) -> list[Any]:
    """What OpenMetrics' parser reads; it raises for whatever breaks the standard."""
    parse: Any = parse_openmetrics
    return list(parse(exposition))


def openly(points: Iterable[Point]) -> list[Told]:
    """What OpenMetrics' parser reads of numbers."""
    return [
        Told(one.name, dict(one.labels), one.value)
        for family in families(text.openmetrics(points))
        for one in family.samples
    ]


def classically(points: Iterable[Point]) -> list[Told]:
    """What the parser of the format 0.0.4 reads of them."""
    return [
        Told(one.name, dict(one.labels), one.value)
        for family in parse_classic(text.classic(points))
        for one in family.samples
    ]


def value(told: Iterable[Told], name: str, /, **labels: str) -> float:
    """The value of the one sample with that name and these labels among its own."""
    found = [one.value for one in told if one.name == name and labels.items() <= one.labels.items()]
    assert len(found) == 1, (name, labels, found)
    return found[0]


def names(told: Iterable[Told]) -> set[str]:
    """All names."""
    return {one.name for one in told}


def sample(host: str, step: int, **changes: object) -> Sample:
    """A reading of a node with two GPUs, ``step`` seconds after the start."""
    made = Sample(
        host=host,
        at_s=START_S + step,
        uptime_s=5000.0 + step,
        node=Node(
            cpu_count=16,
            cpu_user_s=1000.0 + 4 * step,
            cpu_system_s=10.0,
            memory_total_bytes=64 * GIB,
            memory_available_bytes=50 * GIB,
            net_received_bytes=1000 * step,
            net_sent_bytes=500 * step,
            fabric_received_bytes=10 * step,
            fabric_sent_bytes=20 * step,
        ),
        cgroup=Cgroup(
            "/job_4711", True, used_bytes=6 * GIB, cache_bytes=GIB, limit_bytes=32 * GIB,
            cpu_s=3.5 * step,
        ),
        job=JobUse(
            "cgroup", process_count=3, cpu_user_s=3.0 * step, cpu_system_s=0.5 * step,
            used_bytes=6 * GIB, files_bytes=GIB, read_bytes=7 * step, owner_uid=1001,
            written_bytes=9 * step, runnable_count=2, blocked_count=0,
        ),
        gpus=[
            Gpu(
                n, f"GPU-{host}-{n}", "NVIDIA A100", util_pct=25.0 + 50 * n,
                memory_used_bytes=(n + 1) * GIB, memory_total_bytes=40 * GIB, power_w=100.5,
                energy_j=9000.0 + 100 * step, device_file=f"/dev/nvidia{n + 4}",
                sm_active_pct=20.0, temperature_celsius=50.0, power_limit_w=400.0,
            )
            for n in range(2)
        ],
    )  # fmt: skip
    return made._replace(**changes)  # type: ignore[arg-type]


def finding(host: str = "n1", entity: str = "GPU 1") -> Finding:
    """A finding about a GPU."""
    return Finding(
        "gpu-unused", Severity.CRITICAL, host, entity, START_S, 60.0, "idle", {}, "use it"
    )


def scene(
    samples: Iterable[Sample] = (),
    about: About | None = None,
    is_up: dict[str, bool] | None = None,
    findings: Iterable[Finding] = (),
) -> Scene:
    """Two nodes of a job, if no samples are given."""
    given = list(samples) or [sample(host, step) for host in ("n1", "n2") for step in (0, 1, 2)]
    timeline = Timeline(1.0, JOB)
    timeline.add_all(given)
    states = dict.fromkeys(timeline.hosts, True) if is_up is None else is_up
    return Scene(about or about_job(JOB, "c1"), timeline, states, list(findings))
