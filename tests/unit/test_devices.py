"""Which devices of a node are the job's, and what became of each."""

from __future__ import annotations

from typing import Any

import pytest
from unit_parts import START_S, sample
from unit_parts import job as use

from hpcwatch.analysis.findings import Scope
from hpcwatch.analysis.findings.devices import Use, known_allocation, use_of
from hpcwatch.analysis.findings.gpu_attribution import Attribution, How, attributed, shown_gpus
from hpcwatch.analysis.timeline import HostTimeline, Timeline
from hpcwatch.cluster.schedulers import Job
from hpcwatch.cluster.schedulers.job import JobNode
from hpcwatch.probe.schema import Gpu, GpuProcess, Mig, Node, Process, Sample

PID = 500
PARENT = "GPU-41000000-0000"


def gpu(index: int, held: bool = False, **fields: Any) -> Gpu:
    """A device, on which a process of the job may be."""
    processes = [GpuProcess(PID, 1 << 30)] if held else []
    own = {"processes": processes, "device_file": f"/dev/nvidia{index}"}
    return Gpu(index, f"GPU-{index}{index}00-aa", "K40", **{**own, **fields})


def instance(number: int) -> Gpu:
    """An instance of a divided device 0."""
    mig = Mig(0, PARENT, number, 0, "1g.10gb")
    return Gpu(0, f"MIG-{number}{number}00-bb", "H100 MIG 1g.10gb", mig=mig, processes=[])


DIVIDED = [Gpu(0, PARENT, "H100", mig_instance_count=2), instance(9), instance(13)]


def host(gpus: list[Gpu], *others: Sample, cpu_count: int = 16, **traits: Any) -> HostTimeline:
    """A node with these devices; ``traits`` are fields of its JobUse."""
    timeline = Timeline(1.0)
    last = sample(
        10.0,
        node=Node(cpu_count=cpu_count),
        job=use()._replace(**traits),
        processes=[Process(PID, 1, "python", "R")],
        gpus=gpus,
    )
    timeline.add_all([*others, last])
    return timeline.hosts["n1"]


def asked(count: int | None, indices: tuple[int, ...] = (), **fields: Any) -> Job:
    """A job of one node that asked for so many devices."""
    share = (JobNode("n1", 4, None, count, indices),) if indices else ()
    values = {"nodes": ("n1",), "gpus_count": count, "allocation": share, **fields}
    return Job("7", "slurm", **values)


def told(found: Attribution) -> tuple[list[str], How]:
    return [one.label.removeprefix("GPU ") for one in found.gpus], found.how


FOUR = [gpu(index) for index in range(4)]


@pytest.mark.parametrize(
    ("job", "gpus", "traits", "labels", "how"),
    [
        (asked(2, (1, 3)), FOUR, {}, ["1", "3"], How.SCHEDULER),
        # The surest says; what is visible may be numbered otherwise.
        (asked(1, (2,)), FOUR, {"visible_devices": ["0"]}, ["2"], How.SCHEDULER),
        # A control group hides the others, and NVML counts those that are left anew.
        (asked(1, (2,)), FOUR[:1], {}, ["0"], How.SCHEDULER),
        # Numbers that no device has say nothing.
        (asked(2, (6, 7)), FOUR, {"visible_devices": ["0,1"]}, ["0", "1"], How.VISIBLE),
        (asked(1), FOUR, {"allowed_devices": ["/dev/nvidia3"]}, ["3"], How.CGROUP),
        (asked(2), FOUR, {"allowed_devices": ["/dev/nvidia3"]}, [], How.OPENED),
        (asked(4), FOUR, {"visible_devices": ["0"]}, ["0", "1", "2", "3"], How.ALL),
        (asked(2), FOUR, {"visible_devices": ["1", "2"]}, ["1", "2"], How.VISIBLE),
        (asked(2), FOUR, {"visible_devices": ["1, 2"]}, ["1", "2"], How.VISIBLE),
        (asked(1), FOUR, {"visible_devices": ["GPU-2200"]}, ["2"], How.VISIBLE),
        # A rank was shown one of two: which is the other is not known.
        (asked(2), [FOUR[0], gpu(1, held=True), *FOUR[2:]], {"visible_devices": ["1"]}, ["1"],
         How.OPENED),
        # Environments of what may be another job's processes count for nothing.
        (asked(1), FOUR, {"visible_devices": ["1"], "found_by": "user"}, [], How.OPENED),
        (asked(None, node_cores_count=16), FOUR, {}, ["0", "1", "2", "3"], How.WHOLE_NODE),
        (asked(None, node_cores_count=4), [*FOUR[:3], gpu(3, held=True)], {}, ["3"], How.OPENED),
        (asked(1), DIVIDED, {"visible_devices": ["MIG-9900-bb"]}, ["0 MIG 1g.10gb #9"],
         How.VISIBLE),
        (asked(1), DIVIDED, {"visible_devices": [f"MIG-{PARENT}/13/0"]}, ["0 MIG 1g.10gb #13"],
         How.VISIBLE),
        # An index means a whole device, and none of these is.
        (asked(1), DIVIDED, {"visible_devices": ["0"]}, [], How.OPENED),
        (asked(1, (0,)), DIVIDED, {}, [], How.OPENED),
        (asked(2, (0, 1)), DIVIDED, {}, ["0 MIG 1g.10gb #9", "0 MIG 1g.10gb #13"], How.SCHEDULER),
    ],
)  # fmt: skip
def test_whose_devices(
    job: Job, gpus: list[Gpu], traits: dict[str, Any], labels: list[str], how: How
) -> None:
    assert told(attributed(job, host(gpus, **{"found_by": "cgroup", **traits}))) == (labels, how)


def test_the_answer_stands_until_the_next_sample_and_for_the_same_job_only() -> None:
    seen, job = host(FOUR, visible_devices=["3"]), asked(1)
    first = attributed(job, seen)
    assert told(first) == (["3"], How.VISIBLE)
    assert attributed(job, seen) is first
    assert told(attributed(asked(2, (0, 1)), seen)) == (["0", "1"], How.SCHEDULER)
    bare, of = host(FOUR), {"CUDA_VISIBLE_DEVICES": "2"}
    assert told(attributed(job, bare, of)) == (["2"], How.VISIBLE)
    assert told(attributed(job, bare)) == ([], How.OPENED)
    seen.append(sample(11.0, job=use()._replace(visible_devices=["1"]), gpus=FOUR))
    assert told(attributed(job, seen)) == (["1"], How.VISIBLE)


def test_the_run_s_environment_is_the_last_source() -> None:
    of = {"CUDA_VISIBLE_DEVICES": "2"}
    assert told(attributed(asked(1), host(FOUR), of)) == (["2"], How.VISIBLE)
    other = host(FOUR, visible_devices=["3"])
    assert told(attributed(asked(1), other, of)) == (["3"], How.VISIBLE)


@pytest.mark.parametrize(
    ("variables", "labels"),
    [
        ({"ROCR_VISIBLE_DEVICES": ["1,3"]}, ["1", "3"]),
        ({"HIP_VISIBLE_DEVICES": ["2"]}, ["2"]),
        ({"ROCR_VISIBLE_DEVICES": ["1,3"], "HIP_VISIBLE_DEVICES": ["1"]}, ["3"]),
        ({"ROCR_VISIBLE_DEVICES": ["0", "1"]}, []),  # ranks with a device each: whose is which?
        ({"ROCR_VISIBLE_DEVICES": ["GPU-5b3c2a1f"]}, []),
        ({"ROCR_VISIBLE_DEVICES": ["7"]}, []),
    ],
)
def test_devices_that_amds_variables_leave(
    variables: dict[str, list[str]], labels: list[str]
) -> None:
    devices = [one._replace(device_file=f"/dev/dri/renderD{128 + one.index}") for one in FOUR]
    job = asked(len(labels) or 1)
    seen = host(devices, found_by="cgroup", device_variables=variables)
    how = How.VISIBLE if labels else How.OPENED
    assert told(attributed(job, seen)) == (labels, how)
    mixed = [devices[0]._replace(name="MI100"), *devices[1:]]
    seen = host(mixed, found_by="cgroup", device_variables=variables)
    assert told(attributed(job, seen))[1] is How.OPENED


@pytest.mark.parametrize(
    ("job", "is_certain"), [(asked(1, (1,)), True), (asked(4), True), (asked(1), False)]
)
def test_only_what_a_scheduler_gave_is_certain(job: Job, is_certain: bool) -> None:
    timeline = Timeline(1.0, job)
    of = host(FOUR, visible_devices=["1"])
    scope = Scope(timeline, False, START_S, START_S, START_S + 10)
    assert (known_allocation(scope, of) is not None) is is_certain


def test_a_view_shows_the_jobs_devices_and_those_it_is_on() -> None:
    gpus = [*FOUR[:3], gpu(3, held=True)]
    assert [one.index for one in shown_gpus(asked(1, (1,)), host(gpus))] == [1, 3]
    assert [one.index for one in shown_gpus(asked(1), host(gpus))] == [0, 1, 2, 3]
    assert [one.index for one in shown_gpus(None, host(gpus))] == [0, 1, 2, 3]
    assert [one.label for one in shown_gpus(None, host(DIVIDED))] == [
        "GPU 0 MIG 1g.10gb #9",
        "GPU 0 MIG 1g.10gb #13",
    ]


@pytest.mark.parametrize(
    ("device", "signs", "wanted"),
    [
        (gpu(0, util_pct=3.0), [], Use.WORKED),
        (gpu(0, held=True, util_pct=0.0), None, Use.IDLE),
        (gpu(0, util_pct=0.0), None, Use.NEVER_OPENED),
        (gpu(0, util_pct=0.0), ["/dev/nvidia0", "libcuda.so"], Use.IDLE),
        (gpu(0, util_pct=0.0), ["/dev/nvidia1", "libcuda.so"], Use.NEVER_OPENED),
        (gpu(0, util_pct=0.0, processes=None), None, Use.IDLE),
        (gpu(0, util_pct=0.0, processes=None), [], Use.NEVER_OPENED),
        (gpu(0, held=True), None, Use.UNKNOWN),
        (gpu(0), [], Use.UNKNOWN),
        (instance(9)._replace(sm_active_pct=12.0), None, Use.WORKED),
        (instance(9)._replace(sm_active_pct=0.0), ["libcuda.so"], Use.NEVER_OPENED),
    ],
)
def test_what_became_of_a_device(device: Gpu, signs: list[str] | None, wanted: Use) -> None:
    of = host([device], gpu_signs=signs)
    assert use_of(of, of.gpus[device.uuid]) is wanted


def test_a_process_that_was_seen_on_a_device_is_not_forgotten() -> None:
    earlier = sample(
        5.0, job=use(), processes=[Process(PID, 1, "python", "R")],
        gpus=[gpu(0, held=True, util_pct=0.0)],
    )  # fmt: skip
    of = host([gpu(0, util_pct=0.0)], earlier, gpu_signs=[])
    assert use_of(of, of.gpus[gpu(0).uuid]) is Use.IDLE


def test_that_nobody_opened_any_is_not_said_if_the_driver_saw_somebody() -> None:
    second = gpu(1, util_pct=0.0, processes=None)
    for first, wanted in ((gpu(0), Use.NEVER_OPENED), (gpu(0, held=True), Use.IDLE)):
        of = host([first, second], gpu_signs=[])
        assert use_of(of, of.gpus[second.uuid]) is wanted


@pytest.mark.parametrize(
    ("mig", "label"),
    [
        (None, "GPU 3"),
        (Mig(3, "GPU-x", 9, 0, "1g.10gb"), "GPU 3 MIG 1g.10gb #9"),
        (Mig(3, "GPU-x", 9, 2, "1c.3g.40gb"), "GPU 3 MIG 1c.3g.40gb #9/2"),
        (Mig(3, "GPU-x", 9, 0), "GPU 3 MIG #9"),
    ],
)
def test_labels(mig: Mig | None, label: str) -> None:
    assert Gpu(3, "u", "n", mig=mig).label == label


def energies(*readings: tuple[float | None, float | None]) -> float | None:
    """Energy after samples ten seconds apart, each a counter and a power."""
    timeline = Timeline(10.0)
    for number, (energy_j, power_w) in enumerate(readings):
        gpus = [gpu(0, energy_j=energy_j, power_w=power_w)]
        timeline.add(sample(10.0 * number, gpus=gpus))
    return timeline.hosts["n1"].gpus[gpu(0).uuid].energy_j


def test_energy_is_the_counters_or_summed_up_from_the_power() -> None:
    assert energies((500.0, 50.0), (700.0, 50.0), (1500.0, 50.0)) == 1000
    assert energies((None, None), (700.0, 50.0), (1500.0, None), (None, None)) == 800
    assert energies((None, 50.0), (None, 60.0), (None, None), (None, 80.0)) == 600 + 800
    assert energies((None, None), (None, None)) is None
