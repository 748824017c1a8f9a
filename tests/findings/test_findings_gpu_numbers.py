"""Whoever numbers the devices, and however: no finding accuses the wrong one.

The product of models, minor numbers, sources and places of the job's process, each cell with what
is true there: the device the job was given, and the device its process is on.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import pytest
from finding_samples import PID, Shape, job, samples, scope

from hpcwatch.analysis.findings import Finding, evaluate
from hpcwatch.analysis.findings.gpu_numbers import hides_all
from hpcwatch.analysis.timeline import Timeline
from hpcwatch.base.units import GIB
from hpcwatch.cluster.schedulers import Job, from_environment
from hpcwatch.cluster.schedulers.job import JobNode
from hpcwatch.probe.schema import Gpu, GpuProcess, Mig, Sample

HOST = "qb002"
LENGTH_S, INTERVAL_S = 900.0, 60.0
MODELS = {
    "equal": ["NVIDIA A100-SXM4-80GB"] * 4,
    "mixed": ["NVIDIA T400", "NVIDIA A100-SXM4-80GB", "NVIDIA T400", "NVIDIA A100-SXM4-80GB"],
}
FASTEST_FIRST = {"equal": [0, 1, 2, 3], "mixed": [1, 3, 0, 2]}
"""CUDA's order: the index in NVML of CUDA's device 0, 1, …"""
MINORS = {"minor = index": [0, 1, 2, 3], "permuted": [2, 3, 0, 1]}
UUIDS = [f"GPU-{digit * 8}-0000-4000-8000-000000000000" for digit in "5678"]
INSTANCE = "MIG-11111111-0000-4000-8000-000000000000"


class Node(NamedTuple):
    """A node, and which of its devices (NVML's index) the job was given."""

    models: str
    minors: str
    given: int

    @property
    def minor(self) -> int:
        return MINORS[self.minors][self.given]

    @property
    def cuda_index(self) -> int:
        return FASTEST_FIRST[self.models].index(self.given)


class Said(NamedTuple):
    """What hpcwatch hears of the job."""

    job: Job
    visible: list[str] | None = None
    allowed: list[str] | None = None
    order: list[str] | None = None
    is_divided: bool = False


ONE = job(gpus_count=1, node_cores_count=8)


def slurm(node: Node) -> Said:
    variables = {
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_GPUS": str(node.minor),
        "SLURMD_NODENAME": HOST,
        "SLURM_JOB_NODELIST": HOST,
    }
    found = from_environment(variables, lambda _path: None)
    assert found is not None
    return Said(found)


def pbs_gpu_file(number: int) -> Said:
    variables = {"PBS_JOBID": "7.srv", "PBS_NUM_PPN": "8", "PBS_NODEFILE": "n", "PBS_GPUFILE": "g"}
    files = {"n": f"{HOST}\n" * 8, "g": f"{HOST}-gpu{number}\n"}
    found = from_environment(variables, files.get)
    assert found is not None
    return Said(found)


def exec_gpus(number: int) -> Said:
    return Said(ONE._replace(allocation=(JobNode(HOST, 8, None, 1, (number,)),)))


def visible(value: str, *order: str) -> Said:
    return Said(ONE, visible=[value], order=list(order) or None)


SOURCES: dict[str, Callable[[Node], Said]] = {
    "Slurm IDX": slurm,
    # It is not documented which of the two Torque means: both must be borne.
    "exec_gpus, index": lambda node: exec_gpus(node.given),
    "exec_gpus, minor": lambda node: exec_gpus(node.minor),
    "PBS_GPUFILE, index": lambda node: pbs_gpu_file(node.given),
    "PBS_GPUFILE, minor": lambda node: pbs_gpu_file(node.minor),
    "cgroup v1": lambda node: Said(ONE, allowed=[f"/dev/nvidia{node.minor}"]),
    "visible index": lambda node: visible(str(node.cuda_index)),
    "visible index, PCI order": lambda node: visible(str(node.given), "PCI_BUS_ID"),
    "visible index, orders differ": lambda node: visible(
        str(node.cuda_index), "FASTEST_FIRST", "PCI_BUS_ID"
    ),
    "visible UUID": lambda node: visible(UUIDS[node.given]),
    "visible part of a UUID": lambda node: visible(UUIDS[node.given][:8]),
    "visible part of all UUIDs": lambda _node: visible("GPU-"),
    "visible MIG": lambda _node: visible(INSTANCE)._replace(is_divided=True),
    "visible -1": lambda _node: visible("-1"),
    "visible empty": lambda _node: visible(""),
}
PLACES = ("there", "elsewhere", "none", "list unknown")


def devices(node: Node, said: Said, place: str, others_pct: float) -> list[Gpu]:
    """The devices of the node: the job's process works on one, strangers on the others or not."""
    working = {"there": node.given, "list unknown": node.given, "elsewhere": elsewhere(node)}
    made = []
    for index in range(4):
        is_ours = working.get(place) == index
        is_others = not is_ours and index != node.given and others_pct > 0
        pids = [PID] if is_ours else [999_999] if is_others else []
        processes = [GpuProcess(pid, GIB, uid=1234 if is_others else 4321) for pid in pids]
        util = 95.0 if is_ours else others_pct if is_others else 0.0
        gpu = Gpu(
            index=index,
            uuid=UUIDS[index],
            name=MODELS[node.models][index],
            util_pct=util,
            util_max_pct=util,
            util_zero_pct=0.0 if util else 100.0,
            memory_used_bytes=2 * GIB if processes else 0,
            memory_total_bytes=80 * GIB,
            processes=None if place == "list unknown" else processes,
            device_file=f"/dev/nvidia{MINORS[node.minors][index]}",
        )
        if said.is_divided and index == node.given:
            made.append(gpu._replace(mig_instance_count=1, util_pct=None, processes=None))
            mig = Mig(index, gpu.uuid, 7, 0, "1g.10gb")
            gpu = gpu._replace(uuid=INSTANCE, mig=mig, util_pct=None, util_max_pct=None)
        made.append(gpu)
    return made


def elsewhere(node: Node) -> int:
    return (node.given + 1) % 4


def seen(node: Node, said: Said, place: str, others_pct: float, found_by: str) -> Iterator[Sample]:
    gpus = devices(node, said, place, others_pct)
    variables = None if said.order is None else {"CUDA_DEVICE_ORDER": said.order}
    shape = Shape(length_s=LENGTH_S, interval_s=INTERVAL_S, cpu_count=64, found_by=found_by)
    for sample in samples(shape):
        assert sample.job is not None
        use = sample.job._replace(
            visible_devices=said.visible,
            allowed_devices=said.allowed,
            device_variables=variables,
            gpu_signs=["/dev/nvidiactl", "libcuda.so"],
        )
        yield sample._replace(job=use, gpus=gpus)


def findings(
    node: Node,
    said: Said,
    place: str,
    others_pct: float,
    found_by: str,
    when: Sequence[bool] = (True,),
) -> list[Finding]:
    """Return what is found while the job runs (True), after its end (False), or both."""
    made = Timeline(INTERVAL_S, said.job)
    made.add_all(seen(node, said, place, others_pct, found_by))
    shape = Shape(length_s=LENGTH_S, job=said.job)
    found = [one for is_live in when for one in evaluate(scope(made, shape, is_live=is_live))]
    return [one for one in found if one.rule.startswith("gpu-")]


def is_true(finding: Finding, node: Node, place: str, found_by: str) -> bool:
    """Whether what a finding says holds in this cell."""
    if finding.rule == "gpu-unused":
        return finding.entity == f"GPU {node.given}" and place in ("elsewhere", "none")
    if finding.rule == "gpu-unassigned":  # of all the user's processes it may be another job's
        is_there = finding.entity == f"GPU {elsewhere(node)}" and place == "elsewhere"
        return is_there and found_by != "user"
    return False


@pytest.mark.parametrize("source", list(SOURCES))
@pytest.mark.parametrize("minors", list(MINORS))
@pytest.mark.parametrize("models", list(MODELS))
def test_no_finding_accuses_falsely(models: str, minors: str, source: str) -> None:
    cells = itertools.product((0, 3), PLACES, (0.0, 95.0), ("cgroup", "user"))
    for given, place, others_pct, found_by in cells:
        node = Node(models, minors, given)
        said = SOURCES[source](node)
        for finding in findings(node, said, place, others_pct, found_by, (True, False)):
            cell = (given, place, others_pct, found_by)
            assert is_true(finding, node, place, found_by), (cell, finding.title)


ACCUSING = {
    ("equal", "minor = index"): set(SOURCES)
    - {"visible part of all UUIDs", "visible MIG", "visible -1", "visible empty"},
    # As before without what may be numbered in two ways.
    ("mixed", "permuted"): {
        "Slurm IDX",
        "cgroup v1",
        "visible index, PCI order",
        "visible UUID",
        "visible part of a UUID",
    },
}


@pytest.mark.parametrize(("models", "minors"), list(ACCUSING))
def test_an_unused_device_is_reported_where_devices_are_known(models: str, minors: str) -> None:
    accusing = set()
    for source, say in SOURCES.items():
        node = Node(models, minors, 3)
        found = findings(node, say(node), "none", 95.0, "cgroup")
        if [one.entity for one in found] == ["GPU 3"]:
            accusing.add(source)
    assert accusing == ACCUSING[models, minors]


def test_a_device_outside_of_the_allocation_is_reported_only_if_certain() -> None:
    node = Node("equal", "minor = index", 0)
    said = slurm(node)
    found = findings(node, said, "elsewhere", 0.0, "cgroup")
    assert {(one.rule, one.entity) for one in found} == {
        ("gpu-unused", "GPU 0"),
        ("gpu-unassigned", "GPU 1"),
    }
    permuted = node._replace(minors="permuted")
    assert findings(permuted, slurm(permuted), "elsewhere", 0.0, "cgroup") == []


def test_the_case_of_a_small_and_a_large_device() -> None:
    """PBS gives CUDA's device 0: the A100, which NVML counts as 1; the T400 is idle."""
    variables = {"PBS_JOBID": "12.srv", "NCPUS": "1", "CUDA_VISIBLE_DEVICES": "0"}
    found = from_environment(variables, lambda _path: None)
    assert found is not None
    made = Timeline(INTERVAL_S, found)
    node = Node("mixed", "minor = index", 1)
    made.add_all(seen(node, Said(found, visible=["0"]), "there", 0.0, "tree"))
    asked = scope(made, Shape(length_s=LENGTH_S), is_live=False, environment=variables)
    assert [one for one in evaluate(asked) if one.rule.startswith("gpu-")] == []


@pytest.mark.parametrize(
    ("values", "hides"),
    [(["-1"], True), ([""], True), (["NoDevFiles"], True), (["-1,0"], True), (["-1", "0"], False),
     (["0"], False), ([], False)],
)  # fmt: skip
def test_values_that_hide_every_device(values: list[str], hides: bool) -> None:
    assert hides_all(values) is hides
