"""sbatch's options with other numbers in them, in scripts and submit lines: all else stays.

The forms are those of sbatch(1). That sbatch takes what is made of them is tested on a real
cluster (``tests/cluster/test_suggested_headers.py``).
"""

from __future__ import annotations

from typing import Any

import pytest
from request_cases import Case, check, gib

from hpcwatch.analysis.findings.header import edited, request
from hpcwatch.cluster.schedulers import Job

ONE: dict[str, Any] = {"node_cores_count": 8, "walltime_s": 36000, "cores_count": 8}
TWO: dict[str, Any] = ONE | {"nodes": ("n1", "n2"), "cores_count": 16}
GPUS: dict[str, Any] = ONE | {"gpus_count": 2}
CASES = {
    "cores of a task": Case(
        ("--cpus-per-task=8", "--constraint=k40", "--partition=checkpt"), ONE,
        {"node_cores_count": 2},
        ("--cpus-per-task=2", "--constraint=k40", "--partition=checkpt"),
    ),
    "short options": Case(
        ("-c 8", "-n1", "-t 600", "-p k40"), ONE, {"node_cores_count": 2, "walltime_s": 3600},
        ("-c 2", "-n1", "-t 1:00:00", "-p k40"),
    ),
    "several on a line": Case(
        ("-N 1 -n 1 -c 8 --mem 8G -t 10:00:00 # the usual",),
        ONE | {"node_memory_bytes": gib(8)},
        {"node_cores_count": 2, "node_memory_bytes": gib(2), "walltime_s": 3600},
        ("-N 1 -n 1 -c 2 --mem 2G -t 1:00:00 # the usual",),
    ),
    "shortened names": Case(
        ("--cpus-per-t=8", "--part=k40", "--time=10:00:00"), ONE,
        {"node_cores_count": 2, "walltime_s": 3600},
        ("--cpus-per-t=2", "--part=k40", "--time=1:00:00"),
    ),
    "tasks of one node": Case(("--ntasks=8",), ONE, {"node_cores_count": 2}, ("--ntasks=2",)),
    "tasks of a node": Case(
        ("--nodes=1", "--ntasks-per-node=8"), ONE, {"node_cores_count": 2},
        ("--nodes=1", "--ntasks-per-node=2"),
    ),
    "tasks and cores of a task": Case(
        ("--ntasks=4", "--cpus-per-task=2", "--mem=8G"), ONE | {"node_memory_bytes": gib(8)},
        {"node_cores_count": 2, "node_memory_bytes": gib(2)},
        ("--ntasks=4", "--cpus-per-task=2", "--mem=2G"), ("cores",),
    ),
    "tasks on several nodes": Case(
        ("--nodes=2", "--ntasks-per-node=8"), TWO, {"node_cores_count": 2},
        ("--nodes=2", "--ntasks-per-node=8"), ("cores",),
    ),
    "nothing said of cores": Case(
        ("--mem=8G",), ONE | {"node_cores_count": 1, "node_memory_bytes": gib(8)},
        {"node_cores_count": 2}, ("--mem=8G", "--cpus-per-task=2"),
    ),
    "all cores of a node": Case(
        ("--exclusive", "--time=10:00:00"), ONE, {"node_cores_count": 2, "walltime_s": 3600},
        ("--exclusive", "--time=1:00:00"), ("cores",),
    ),
    "alone among users": Case(
        ("--exclusive=user", "-c8"), ONE, {"node_cores_count": 2}, ("--exclusive=user", "-c2")
    ),
    "at least so many cores": Case(
        ("-c8", "--mincpus=8"), ONE, {"node_cores_count": 2}, ("-c2", "--mincpus=2")
    ),
    "memory in MiB": Case(
        ("--mem=8192",), ONE | {"node_memory_bytes": gib(8)}, {"node_memory_bytes": gib(1.5)},
        ("--mem=1536M",),
    ),
    "memory of a core": Case(
        ("-c8", "--mem-per-cpu=1G"), ONE | {"node_memory_bytes": gib(8)},
        {"node_memory_bytes": gib(2)}, ("-c8", "--mem-per-cpu=256M"),
    ),
    "memory of a core follows the cores": Case(
        ("-c8", "--mem-per-cpu=1G"), ONE | {"node_memory_bytes": gib(8)},
        {"node_cores_count": 4}, ("-c4", "--mem-per-cpu=2G"),
    ),
    "memory of a GPU": Case(
        ("--gres=gpu:2", "--mem-per-gpu=8G"), GPUS | {"node_memory_bytes": gib(16)},
        {"node_memory_bytes": gib(4)}, ("--gres=gpu:2", "--mem-per-gpu=2G"),
    ),
    "memory of a GPU follows the GPUs": Case(
        ("--gres=gpu:2", "--mem-per-gpu=8G"), GPUS | {"node_memory_bytes": gib(16)},
        {"gpus_count": 1}, ("--gres=gpu:1", "--mem-per-gpu=16G"),
    ),
    "GPUs of a kind": Case(
        ("--gres=gpu:k40:2,license:3",), GPUS, {"gpus_count": 1}, ("--gres=gpu:k40:1,license:3",)
    ),
    "no GPU": Case(
        ("--gres=gpu:2", "--gpu-bind=closest", "-c8"), GPUS, {"gpus_count": 0}, ("-c8",)
    ),
    "no GPU beside others": Case(
        ("--gres=license:3,gpu:k40:2",), GPUS, {"gpus_count": 0}, ("--gres=license:3",)
    ),
    "GPUs of the job": Case(("-G k40:2", "-c8"), GPUS, {"gpus_count": 1}, ("-G k40:1", "-c8")),
    "GPUs of a node": Case(
        ("--nodes=2", "--gpus-per-node=a100:2"), TWO | {"gpus_count": 4}, {"gpus_count": 2},
        ("--nodes=2", "--gpus-per-node=a100:1"),
    ),
    "GPUs of a task": Case(
        ("--ntasks=2", "--gpus-per-task=1"), GPUS, {"gpus_count": 1},
        ("--ntasks=2", "--gpus-per-task=1"), ("gpus",),
    ),
    "GPUs of a node and of a task": Case(
        ("--ntasks=2", "--gres=gpu:2", "--gpus-per-task=1"), GPUS, {"gpus_count": 1},
        ("--ntasks=2", "--gres=gpu:2", "--gpus-per-task=1"), ("gpus",),
    ),
    "GPUs of the only task": Case(
        ("--ntasks=1", "--gres=gpu:2", "--gpus-per-task=2"), GPUS, {"gpus_count": 1},
        ("--ntasks=1", "--gres=gpu:1", "--gpus-per-task=1"),
    ),
    "GPUs said three times": Case(
        ("--gres=gpu:2", "--gpus=2", "--gpus-per-node=2"), GPUS, {"gpus_count": 1},
        ("--gres=gpu:1", "--gpus=1", "--gpus-per-node=1"),
    ),
    "GPUs of a node and of a socket": Case(
        ("--gpus-per-node=2", "--sockets-per-node=2", "--gpus-per-socket=1"), GPUS,
        {"gpus_count": 1},
        ("--gpus-per-node=2", "--sockets-per-node=2", "--gpus-per-socket=1"), ("gpus",),
    ),
    "GPUs of two kinds": Case(
        ("--gpus-per-node=2", "--gpus=a100:1,v100:1"), GPUS, {"gpus_count": 1},
        ("--gpus-per-node=2", "--gpus=a100:1,v100:1"), ("gpus",),
    ),
    "GPUs among the resources of a task": Case(
        ("--ntasks=1", "--gres=gpu:2", "--tres-per-task=gres/gpu:2"), GPUS, {"gpus_count": 1},
        ("--ntasks=1", "--gres=gpu:2", "--tres-per-task=gres/gpu:2"), ("gpus",),
    ),
    "tasks of a GPU": Case(
        ("--gpus=2", "--ntasks-per-gpu=2"), GPUS, {"gpus_count": 0},
        ("--gpus=2", "--ntasks-per-gpu=2"), ("gpus",),
    ),
    "GPUs bound by number": Case(
        ("--gres=gpu:2", "--gpu-bind=map_gpu:0,1"), GPUS, {"gpus_count": 1},
        ("--gres=gpu:2", "--gpu-bind=map_gpu:0,1"), ("gpus",),
    ),
    "memory of GPUs that stay": Case(
        ("--ntasks=2", "--gpus-per-task=1", "--mem-per-gpu=8G"),
        GPUS | {"node_memory_bytes": gib(16)}, {"gpus_count": 1},
        ("--ntasks=2", "--gpus-per-task=1", "--mem-per-gpu=8G"), ("gpus",),
    ),
    "cores of a GPU follow the GPUs": Case(
        ("--gpus=2", "--cpus-per-gpu=4"), GPUS, {"gpus_count": 1},
        ("--gpus=1", "--cpus-per-gpu=8"),
    ),
    "cores of tasks with GPUs": Case(
        ("--ntasks=8", "--gpus-per-task=1"), ONE | {"gpus_count": 8}, {"node_cores_count": 4},
        ("--ntasks=8", "--gpus-per-task=1"), ("cores",),
    ),
    "cores among the resources of a task": Case(
        ("--ntasks=1", "--tres-per-task=cpu:8"), ONE, {"node_cores_count": 4},
        ("--ntasks=1", "--tres-per-task=cpu:8"), ("cores",),
    ),
    "fewer cores than given, more than asked for": Case(
        ("-c4", "--hint=nomultithread"), ONE, {"node_cores_count": 6},
        ("-c4", "--hint=nomultithread"), ("cores",),
    ),
    "fewer cores than asked for": Case(
        ("-c4", "--hint=nomultithread"), ONE, {"node_cores_count": 2},
        ("-c2", "--hint=nomultithread"),
    ),
    "memory of cores that stay": Case(
        ("--ntasks=4", "--cpus-per-task=2", "--mem-per-cpu=1G"),
        ONE | {"node_memory_bytes": gib(8)}, {"node_cores_count": 2},
        ("--ntasks=4", "--cpus-per-task=2", "--mem-per-cpu=1G"), ("cores",),
    ),
    "all tasks with their GPUs on fewer nodes": Case(
        ("--nodes=2", "--ntasks-per-node=2", "--cpus-per-task=4", "--gpus-per-task=1"),
        TWO | {"gpus_count": 4}, {"nodes": ("n1",), "node_cores_count": 16},
        ("--nodes=1", "--ntasks-per-node=4", "--cpus-per-task=4", "--gpus-per-task=1"),
    ),
    "GPUs of two kinds are not fewer on fewer nodes": Case(
        ("--nodes=2", "--gpus=a100:2,v100:2", "-c8"), TWO | {"gpus_count": 4},
        {"nodes": ("n1",), "gpus_count": 2},
        ("--nodes=2", "--gpus=a100:2,v100:2", "-c8"), ("nodes",),
    ),
    "a warning earlier than the new walltime": Case(
        ("--time=10:00:00", "--signal=B:USR1@7200"), ONE, {"walltime_s": 3600},
        ("--time=10:00:00", "--signal=B:USR1@7200"), ("walltime",),
    ),
    "a warning within the new walltime": Case(
        ("--time=10:00:00", "--signal=USR1@600"), ONE, {"walltime_s": 3600},
        ("--time=1:00:00", "--signal=USR1@600"),
    ),
    "cores of a GPU": Case(
        ("--gpus=2", "--cpus-per-gpu=4"), GPUS, {"node_cores_count": 4},
        ("--gpus=2", "--cpus-per-gpu=2"),
    ),
    "fewer nodes": Case(
        ("--nodes=2", "-c8", "--gpus=4"), TWO | {"gpus_count": 4},
        {"nodes": ("n1",), "gpus_count": 2}, ("--nodes=1", "-c8", "--gpus=2"),
    ),
    "fewer nodes with their tasks": Case(
        ("--nodes=2", "--ntasks=16"), TWO, {"nodes": ("n1",)}, ("--nodes=1", "--ntasks=8")
    ),
    "the same on fewer nodes": Case(
        ("--nodes=2", "--ntasks=16", "--ntasks-per-node=8"), TWO,
        {"nodes": ("n1",), "node_cores_count": 16},
        ("--nodes=1", "--ntasks=16", "--ntasks-per-node=16"),
    ),
    "named nodes": Case(
        ("--nodelist=n[1-2]", "--nodes=2"), TWO, {"nodes": ("n1",)},
        ("--nodelist=n[1-2]", "--nodes=2"), ("nodes",),
    ),
    "at least so much time": Case(
        ("--time=10:00:00", "--time-min=5:00:00"), ONE, {"walltime_s": 3600},
        ("--time=1:00:00", "--time-min=1:00:00"),
    ),
    "days": Case(("--time=0-10",), ONE, {"walltime_s": 5400}, ("--time=1:30:00",)),
    "words it does not know": Case(
        ("-c8", '--constraint="ib&amd"', "--licenses=fem:2", "--hint=nomultithread",
         "--array=1-10%2", "--some-new-thing=4"), ONE, {"node_cores_count": 4},
        ("-c4", '--constraint="ib&amd"', "--licenses=fem:2", "--hint=nomultithread",
         "--array=1-10%2", "--some-new-thing=4"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", list(CASES))
def test_other_numbers_in_the_user_s_own_lines(case: str) -> None:
    check("slurm", CASES[case], "#SBATCH")


def told(line: str | None, **more: Any) -> Job:
    """A job that was submitted so."""
    values = {"nodes": ("n1",), **ONE, **more}
    return Job("1", "slurm", submit_arguments=line, **values)


def test_options_of_sbatch_itself_win_and_are_named() -> None:
    script = ("#SBATCH --time=1:00:00 --mem=4G", "#SBATCH -o out", "#SBATCH --mail-user=a@b.c")
    job = told("sbatch -t 10:00:00 --gres=gpu:1 run.sh --mem=9G", script_lines=script, gpus_count=1)
    made = request(job)
    assert made.lines == ("#SBATCH --time=10:00:00 --mem=4G", "#SBATCH --gres=gpu:1")
    assert made.notes == ("Given to sbatch itself, where it wins over the script: --time, --gres.",)
    assert made.gaps == ()


def test_lines_of_several_components_are_not_taken_for_those_of_one() -> None:
    script = ("#SBATCH -c8", "#SBATCH hetjob", "#SBATCH -c2")
    job = told("sbatch run.sh", script_lines=script, het_id="1", requested=("CPUs/Task=8",))
    made = request(job)
    assert made.lines == ("#SBATCH --cpus-per-task=8", "#SBATCH --time=10:00:00")
    assert "the other components of the job" in made.gaps[0]


def test_a_wrapped_command_is_not_read_as_options() -> None:
    job = told("sbatch -n1 -c8 --mem=2G -t 600 -J x --wrap srun --gres=gpu:1 sleep 60")
    made = request(job)
    assert made.lines == ("#SBATCH -n1", "#SBATCH -c8", "#SBATCH --mem=2G", "#SBATCH -t 600",
                          "#SBATCH -J x")  # fmt: skip
    assert made.gaps == ("what follows --wrap in the submit line",)
    assert request(told("sbatch -c8 --wrap sleep 60")).gaps == ()


@pytest.mark.parametrize(
    "lines",
    [("#SBATCH --time=2:00:00",), ("#SBATCH -c16",), ("#SBATCH --mem=80G",), ("#SBATCH -N3",),
     ("#SBATCH --gres=gpu:3",)],
)  # fmt: skip
def test_a_script_that_is_not_what_was_submitted_does_not_count(lines: tuple[str, ...]) -> None:
    job = told("sbatch run.sh", script_lines=lines, node_memory_bytes=gib(8), gpus_count=1)
    made = request(job)
    assert made.lines != lines
    assert made.gaps


def test_what_scontrol_tells_where_the_script_cannot_be_read() -> None:
    fields = ("NumNodes=1", "NumTasks=1", "CPUs/Task=8", "MinMemoryNode=8G", "Features=ib&amd",
              "TresPerNode=gres/gpu:k40:2", "QOS=normal", "Command=/home/a/run.sh")  # fmt: skip
    job = told("sbatch run.sh", requested=fields, gpus_count=2, node_memory_bytes=gib(8))
    made = request(job)
    assert made.lines == (
        "#SBATCH --qos=normal", '#SBATCH --constraint="ib&amd"', "#SBATCH --nodes=1",
        "#SBATCH --ntasks=1", "#SBATCH --cpus-per-task=8", "#SBATCH --mem=8G",
        "#SBATCH --gres=gpu:k40:2", "#SBATCH --time=10:00:00",
    )  # fmt: skip
    assert made.gaps == ("options that Slurm does not report, such as --exclusive",)
    new = edited(job, job._replace(node_cores_count=2, gpus_count=1))
    assert new.changes == (
        ("#SBATCH --cpus-per-task=8", "#SBATCH --cpus-per-task=2"),
        ("#SBATCH --gres=gpu:k40:2", "#SBATCH --gres=gpu:k40:1"),
    )


def test_what_may_be_a_secret_is_not_repeated() -> None:
    made = request(
        told("sbatch --export=TOKEN=abc -c8 run.sh", script_lines=("#SBATCH --comment=abc -N1",))
    )
    assert "abc" not in repr(made)
