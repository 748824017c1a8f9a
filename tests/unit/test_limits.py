"""Which memory limit binds, and what counts against it."""

from __future__ import annotations

import pytest
from unit_parts import GIB, job, sample

from hpcwatch.analysis.limits import Limit, binding_limit
from hpcwatch.cluster.schedulers import Job
from hpcwatch.probe.schema import Cgroup, Node, Sample
from hpcwatch.recording.job_memory import job_used_bytes

NODE = Node(memory_total_bytes=64 * GIB, memory_available_bytes=40 * GIB)
USE = job(1.0, 5 * GIB)


def group(limit_gib: int | None, is_job: bool = True) -> Cgroup:
    limit = None if limit_gib is None else limit_gib * GIB
    return Cgroup("/slurm/uid_1/job_5", is_job, used_bytes=3 * GIB, limit_bytes=limit)


def asked(gib: int) -> Job:
    return Job("1", "slurm", node_memory_bytes=gib * GIB)


@pytest.mark.parametrize(
    ("cgroup", "request_", "expected"),
    [
        (group(8), asked(16), Limit(8 * GIB, "cgroup", 3 * GIB)),
        (group(16), asked(8), Limit(8 * GIB, "request", 3 * GIB)),
        (group(16, is_job=False), asked(8), Limit(8 * GIB, "request", 5 * GIB)),
        (None, asked(8), Limit(8 * GIB, "request", 5 * GIB)),
        (group(16), None, Limit(16 * GIB, "cgroup", 3 * GIB)),
        (group(None), None, Limit(64 * GIB, "node", 24 * GIB)),
        (group(128), asked(128), Limit(64 * GIB, "node", 24 * GIB)),
        (None, None, Limit(64 * GIB, "node", 24 * GIB)),
    ],
)
def test_the_smallest_limit_binds(
    cgroup: Cgroup | None, request_: Job | None, expected: Limit
) -> None:
    assert binding_limit(sample(0, node=NODE, cgroup=cgroup, job=USE), request_) == expected


def test_nothing_known_is_no_limit() -> None:
    assert binding_limit(sample(0), None) == Limit(None, None, None)
    unknown = Node(memory_total_bytes=GIB)
    assert binding_limit(sample(0, node=unknown), None) == Limit(GIB, "node", None)


@pytest.mark.parametrize(
    ("one", "used"),
    [
        (sample(0, job=USE), 5 * GIB),
        (sample(0, job=USE, cgroup=group(8)), 3 * GIB),
        (sample(0, job=USE, cgroup=group(8, is_job=False)), 5 * GIB),
        (sample(0), None),
    ],
)
def test_what_a_job_uses(one: Sample, used: int | None) -> None:
    assert job_used_bytes(one) == used
