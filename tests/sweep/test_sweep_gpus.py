"""Which GPUs a host's tasks may use: Torque's list, CUDA_VISIBLE_DEVICES, divided devices."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import driver
import pytest
from sweep_parts import Sweeps, needs_parallel, python, shown

from hpcwatch.analysis.findings.gpu_numbers import Minor, NvmlIndex
from hpcwatch.sweep import gpus
from hpcwatch.sweep.gpus import Device, Numbering

WHOLE = [Device(NvmlIndex(number), f"GPU-{number}a", minor=Minor(number)) for number in range(4)]
PERMUTED = [
    one._replace(minor=Minor(minor)) for one, minor in zip(WHOLE, (2, 3, 0, 1), strict=True)
]
MIXED = [one._replace(model=f"model {int(one.number) % 2}") for one in WHOLE]
DIVIDED = [Device(NvmlIndex(0), "GPU-0a", ("MIG-11", "MIG-22")), Device(NvmlIndex(1), "GPU-1a")]
HOST = os.uname().nodename


def test_torques_list_is_read_line_by_line() -> None:
    text = "qb003-gpu0\nqb003-gpu1\n\nqb-4.cluster-gpu3\nqb003-gpu0\nqb003\nqb003-gpux\n gpu1\n"
    found = gpus.read_gpu_file(text)
    assert found.told == {"qb003": ["0", "1"], "qb-4": ["3"]}
    assert found.wrong == [(6, "qb003"), (7, "qb003-gpux"), (8, "gpu1")]
    assert gpus.read_gpu_file("") == ({}, [])
    recorded = Path(__file__).parents[1] / "data" / "environments" / "torque-gpufile.txt"
    assert gpus.read_gpu_file(recorded.read_text()) == ({"qb003": ["0"]}, [])


@pytest.mark.parametrize(
    ("visible", "told", "listed", "is_here", "expected"),
    [
        (None, None, None, True, []),
        (None, None, WHOLE, True, ["GPU-0a", "GPU-1a", "GPU-2a", "GPU-3a"]),
        (["3", "1", "3"], None, None, True, ["3", "1"]),
        (["1"], ["2", "3"], WHOLE, True, ["GPU-1a"]),  # a user may narrow what the scheduler gave
        ([], ["2"], WHOLE, True, []),
        (None, ["2", "3"], WHOLE, True, ["GPU-2a", "GPU-3a"]),
        # Behind ssh the variable is that of the first host: its own share counts more.
        (["0", "1"], ["2"], WHOLE, False, ["GPU-2a"]),
        (["0", "1"], [], WHOLE, False, []),
        (["0", "1"], None, WHOLE, False, ["GPU-0a", "GPU-1a"]),
        (["GPU-9"], None, WHOLE, False, ["GPU-0a", "GPU-1a", "GPU-2a", "GPU-3a"]),
        (["GPU-2"], None, WHOLE, True, ["GPU-2a"]),
        # A control group hides the others and numbers anew.
        (None, ["2", "3"], WHOLE[:2], True, ["GPU-0a", "GPU-1a"]),
        (None, ["7"], WHOLE, True, []),
        (None, None, DIVIDED, True, ["MIG-11", "MIG-22", "GPU-1a"]),
        (["0"], None, DIVIDED, True, ["MIG-11", "MIG-22"]),
        (["MIG-22"], None, DIVIDED, True, ["MIG-22"]),
        (["MIG-GPU-0a/1/0"], None, DIVIDED, True, ["MIG-GPU-0a/1/0"]),
        (["MIG-99"], None, DIVIDED, True, []),
        (["GPU-0a"], None, DIVIDED, True, ["MIG-11", "MIG-22"]),
        (None, ["4", "5", "6"], DIVIDED, False, ["MIG-11", "MIG-22", "GPU-1a"]),
    ],
)
def test_what_tasks_may_be_given(
    visible: Sequence[str] | None,
    told: Sequence[str] | None,
    listed: Sequence[Device] | None,
    is_here: bool,
    expected: list[str],
) -> None:
    assert gpus.usable(visible, told, listed, is_here) == expected


@pytest.mark.parametrize(
    ("visible", "told", "listed", "counted", "expected"),
    [
        (None, ["2"], PERMUTED, Numbering(are_minors=True), ["GPU-0a"]),
        (None, ["2"], PERMUTED, Numbering(), ["2"]),  # of Torque it is not known which is meant
        (["1"], None, PERMUTED, Numbering(), ["GPU-1a"]),
        (["1", "GPU-3"], None, MIXED, Numbering(), ["1", "GPU-3a"]),
        (["1"], None, MIXED, Numbering(is_pci_order=True), ["GPU-1a"]),
        (["1", "-1", "2"], None, WHOLE, Numbering(), ["GPU-1a"]),  # as CUDA reads it
    ],
)
def test_a_uuid_means_the_same_device_in_every_numbering(
    visible: Sequence[str] | None,
    told: Sequence[str] | None,
    listed: Sequence[Device],
    counted: Numbering,
    expected: list[str],
) -> None:
    assert gpus.usable(visible, told, listed, counted=counted) == expected


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("CUDA_VISIBLE_DEVICES=1 python t.py", "1"),
        ("cd x; CUDA_VISIBLE_DEVICES=$((3 - 1)) python t.py", "2"),
        ('env CUDA_VISIBLE_DEVICES="$((5%2))" python', "1"),
        ("export CUDA_VISIBLE_DEVICES=MIG-1a-2b; python", "MIG-1a-2b"),
        ("CUDA_VISIBLE_DEVICES=0,1 python t.py", None),
        ("CUDA_VISIBLE_DEVICES=$X python t.py", None),
        ("MY_CUDA_VISIBLE_DEVICES=1 python", None),
        ("CUDA_VISIBLE_DEVICES=$((1 % 0)) python", None),
        ("python t.py 1", None),
    ],
)
def test_the_gpu_that_a_command_line_names(command: str, expected: str | None) -> None:
    assert gpus.in_command(command) == expected


@pytest.fixture
def sweeps(tmp_path: Path) -> Sweeps:
    return Sweeps(tmp_path)


def in_torque(sweeps: Sweeps, listed: str) -> dict[str, str]:
    """The environment of a Torque job on this host with such a list of GPUs."""
    (sweeps.folder / "nodes").write_text(f"{HOST}\n{HOST}\n")
    (sweeps.folder / "gpus").write_text(listed)
    return {
        "PBS_JOBID": "7.qb3",
        "PBS_NUM_PPN": "2",
        "PBS_NODEFILE": str(sweeps.folder / "nodes"),
        "PBS_GPUFILE": str(sweeps.folder / "gpus"),
    }


SHOW_DEVICE = python("import os, time; print(os.environ['CUDA_VISIBLE_DEVICES']); time.sleep(0.5)")


@needs_parallel
def test_a_torque_jobs_gpus_are_slots(sweeps: Sweeps) -> None:
    job = in_torque(sweeps, f"{HOST}-gpu2\n{HOST}-gpu5\nnonsense\nmore of it\nelsewhere-gpu0\n")
    ended = sweeps(
        "-p", "n=1..4", "--slots", "per-gpu", "--format", "json", "--", *SHOW_DEVICE, "{n}", **job
    )
    assert ended.code == 0, ended.err
    found = shown(ended)
    assert found["slots"] == 2
    assert {task["device"] for task in found["tasks"]} == {"2", "5"}
    for task in found["tasks"]:
        assert sweeps.outputs()[task["number"]].strip() == task["device"]
    told = [line for line in ended.err.splitlines() if "names no GPU" in line]
    assert len(told) == 1
    assert "gpus, line 3: 'nonsense' names no GPU such as qb003-gpu0 (so do 2 lines)" in told[0]


@needs_parallel
def test_a_torque_job_without_gpus_here_has_no_slots(sweeps: Sweeps) -> None:
    job = in_torque(sweeps, "elsewhere-gpu0\n")
    ended = sweeps("-p", "n=1", "--slots", "per-gpu", "--", "true", "{n}", **job)
    assert (ended.code, "no GPU" in ended.err) == (2, True)


@needs_parallel
@pytest.mark.skipif(not driver.has_compiler(), reason="needs a compiler: gcc")
@pytest.mark.parametrize("visible", [None, "0", "MIG-22222222-0000-4000-8000-000000000000"])
def test_instances_of_a_divided_device_are_slots(
    sweeps: Sweeps, tmp_path: Path, visible: str | None
) -> None:
    folder = driver.install(driver.scenario("mig"), tmp_path / "driver")
    more = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    ended = sweeps(
        "-p", "n=1..4", "--slots", "per-gpu", "--format", "json", "--", *SHOW_DEVICE, "{n}",
        LD_LIBRARY_PATH=str(folder), **more,
    )  # fmt: skip
    assert ended.code == 0, ended.err
    parts = [f"MIG-{digit * 8}-0000-4000-8000-000000000000" for digit in "12"]
    expected = {visible} if visible in parts else set(parts)
    found = shown(ended)
    assert found["slots"] == len(expected)
    assert {text.strip() for text in sweeps.outputs().values()} == expected
    assert {task["device"] for task in found["tasks"]} == expected
