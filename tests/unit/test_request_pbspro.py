"""PBS Pro's and OpenPBS's request with other numbers in it: `select`, `place` and the older forms.

The forms are those of "Requesting Resources" of the PBS User's Guide and of real jobs of OpenPBS
23.06.
"""

from __future__ import annotations

from typing import Any

import pytest
from request_cases import Case, check, gib, job_of, pbs_problems

from hpcwatch.analysis.findings.header import edited, request
from hpcwatch.cluster.schedulers import Job

ONE: dict[str, Any] = {"node_cores_count": 4, "walltime_s": 36000}
TWO: dict[str, Any] = ONE | {"nodes": ("n1", "n2")}
CASES = {
    "processes and place stay": Case(
        ("-l select=2:ncpus=4:mem=4gb:mpiprocs=2", "-l place=scatter"),
        TWO | {"node_memory_bytes": gib(4)},
        {"node_cores_count": 2, "node_memory_bytes": gib(1)},
        ("-l select=2:ncpus=2:mem=1gb:mpiprocs=2", "-l place=scatter"),
    ),
    "no fewer cores than processes": Case(
        ("-l select=2:ncpus=4:mem=4gb:mpiprocs=4", "-l place=scatter"),
        TWO | {"node_memory_bytes": gib(4)},
        {"node_cores_count": 1, "node_memory_bytes": gib(1)},
        ("-l select=2:ncpus=4:mem=1gb:mpiprocs=4", "-l place=scatter"), ("cores",),
    ),
    "no fewer cores than threads of all processes": Case(
        ("-l select=1:ncpus=8:mpiprocs=2:ompthreads=3",), ONE | {"node_cores_count": 8},
        {"node_cores_count": 4},
        ("-l select=1:ncpus=8:mpiprocs=2:ompthreads=3",), ("cores",),
    ),
    "as many cores as threads of all processes": Case(
        ("-l select=1:ncpus=8:mpiprocs=2:ompthreads=2",), ONE | {"node_cores_count": 8},
        {"node_cores_count": 4},
        ("-l select=1:ncpus=4:mpiprocs=2:ompthreads=2",),
    ),
    "more cores for more processes than cores": Case(
        ("-l select=1:ncpus=4:mpiprocs=16",), ONE, {"node_cores_count": 8},
        ("-l select=1:ncpus=8:mpiprocs=16",),
    ),
    "all processes on fewer nodes": Case(
        ("-l select=2:ncpus=4:mpiprocs=4",), TWO, {"nodes": ("n1",), "node_cores_count": 8},
        ("-l select=1:ncpus=8:mpiprocs=8",),
    ),
    "processes that fewer nodes cannot share evenly": Case(
        ("-l select=3:ncpus=4:mpiprocs=3",), TWO | {"nodes": ("n1", "n2", "n3")},
        {"nodes": ("n1", "n2"), "node_cores_count": 6},
        ("-l select=3:ncpus=4:mpiprocs=3",), ("nodes",),
    ),
    "named nodes get no cores of others": Case(
        ("-l select=2:ncpus=4:host=n1",), TWO, {"nodes": ("n1",), "node_cores_count": 8},
        ("-l select=2:ncpus=4:host=n1",), ("nodes",),
    ),
    "no GPU while a kind of GPU is asked for": Case(
        ("-l select=1:ncpus=4:ngpus=2:gpu_type=a100",), ONE | {"gpus_count": 2},
        {"gpus_count": 0}, ("-l select=1:ncpus=4:ngpus=2:gpu_type=a100",), ("gpus",),
    ),
    "fewer GPUs of a kind": Case(
        ("-l select=1:ncpus=4:ngpus=2:gpu_type=a100",), ONE | {"gpus_count": 2},
        {"gpus_count": 1}, ("-l select=1:ncpus=4:ngpus=1:gpu_type=a100",),
    ),
    "accelerators are counted twice": Case(
        ("-l select=1:ncpus=4:ngpus=2:naccelerators=2",), ONE | {"gpus_count": 2},
        {"gpus_count": 1}, ("-l select=1:ncpus=4:ngpus=2:naccelerators=2",), ("gpus",),
    ),
    "more memory than virtual memory": Case(
        ("-l select=1:ncpus=4:mem=4gb:vmem=6gb",), ONE | {"node_memory_bytes": gib(4)},
        {"node_memory_bytes": gib(8)}, ("-l select=1:ncpus=4:mem=4gb:vmem=6gb",), ("memory",),
    ),
    "less memory than virtual memory": Case(
        ("-l select=1:ncpus=4:mem=4gb:vmem=6gb",), ONE | {"node_memory_bytes": gib(4)},
        {"node_memory_bytes": gib(2)}, ("-l select=1:ncpus=4:mem=2gb:vmem=6gb",),
    ),
    "a walltime that PBS chooses": Case(
        ("-l select=1:ncpus=4", "-l min_walltime=5:00:00,max_walltime=10:00:00"), ONE,
        {"walltime_s": 3600},
        ("-l select=1:ncpus=4", "-l min_walltime=5:00:00,max_walltime=10:00:00"), ("walltime",),
    ),
    "the older form with cores and processes": Case(
        ("-l nodes=1:ppn=2:ncpus=4",), ONE, {"node_cores_count": 2},
        ("-l nodes=1:ppn=2:ncpus=4",), ("cores",),
    ),
    "a GPU and memory stay": Case(
        ("-l select=1:ncpus=4:mem=4gb:ngpus=1",),
        ONE | {"node_memory_bytes": gib(4), "gpus_count": 1},
        {"node_cores_count": 1},
        ("-l select=1:ncpus=1:mem=4gb:ngpus=1",),
    ),
    "the older form stays one": Case(
        ("-l nodes=1:ppn=8", "-l mem=6gb"),
        ONE | {"node_cores_count": 8, "node_memory_bytes": gib(6)},
        {"node_cores_count": 1, "node_memory_bytes": gib(1)},
        ("-l nodes=1:ppn=1", "-l mem=1gb"),
    ),
    "the oldest form stays one": Case(
        ("-l ncpus=4", "-l mem=6gb", "-l ngpus=2"),
        ONE | {"node_memory_bytes": gib(6), "gpus_count": 2},
        {"node_cores_count": 2, "node_memory_bytes": gib(1), "gpus_count": 1},
        ("-l ncpus=2", "-l mem=1gb", "-l ngpus=1"),
    ),
    "one line": Case(
        ("-l select=1:ncpus=4:mem=8gb,walltime=10:00:00,place=free:excl",),
        ONE | {"node_memory_bytes": gib(8)},
        {"node_memory_bytes": gib(2), "walltime_s": 3600},
        ("-l select=1:ncpus=4:mem=2gb,walltime=1:00:00,place=free:excl",),
    ),
    "words it does not know": Case(
        ("-l select=1:ncpus=4:arch=linux:model=skl:ompthreads=2:scratch_local=10gb",
         "-l place=vscatter", "-l software=fem", "-P proj", "-J 1-10"), ONE,
        {"node_cores_count": 2},
        ("-l select=1:ncpus=2:arch=linux:model=skl:ompthreads=2:scratch_local=10gb",
         "-l place=vscatter", "-l software=fem", "-P proj", "-J 1-10"),
    ),
    "memory goes in, behind the rest": Case(
        ("-l select=1:ncpus=4:ngpus=1",), ONE | {"gpus_count": 1}, {"node_memory_bytes": gib(6)},
        ("-l select=1:ncpus=4:ngpus=1:mem=6gb",),
    ),
    "no cores said": Case(
        ("-l select=1:mem=4gb",), ONE | {"node_cores_count": 1, "node_memory_bytes": gib(4)},
        {"node_cores_count": 2}, ("-l select=1:ncpus=2:mem=4gb",),
    ),
    "no count said": Case(
        ("-l select=ncpus=4:mem=4gb",), ONE, {"node_cores_count": 2},
        ("-l select=ncpus=2:mem=4gb",),
    ),
    "no GPU": Case(
        ("-l select=1:ncpus=4:ngpus=2:mem=4gb",), ONE | {"gpus_count": 2}, {"gpus_count": 0},
        ("-l select=1:ncpus=4:mem=4gb",),
    ),
    "fewer nodes": Case(
        ("-l select=2:ncpus=4:mem=4gb", "-l place=scatter"), TWO,
        {"nodes": ("n1",)}, ("-l select=1:ncpus=4:mem=4gb", "-l place=scatter"),
    ),
    "the same on fewer nodes": Case(
        ("-l select=2:ncpus=4:mem=4gb",), TWO | {"node_memory_bytes": gib(4)},
        {"nodes": ("n1",), "node_cores_count": 8, "node_memory_bytes": gib(8)},
        ("-l select=1:ncpus=8:mem=8gb",),
    ),
    "several chunks on a node": Case(
        ("-l select=4:ncpus=2:mem=2gb",),
        TWO | {"node_memory_bytes": gib(4)},
        {"node_cores_count": 2, "node_memory_bytes": gib(3)},
        ("-l select=4:ncpus=1:mem=1536mb",),
    ),
    "chunks of one core": Case(
        ("-l select=8:ncpus=1", "-l walltime=10:00:00"), TWO,
        {"node_cores_count": 1, "walltime_s": 3600},
        ("-l select=8:ncpus=1", "-l walltime=1:00:00"), ("cores",),
    ),
    "different chunks": Case(
        ("-l select=2:ncpus=4:mem=500mb+1:ncpus=2:ngpus=1:mem=300mb",),
        TWO | {"nodes": ("n1", "n2", "n3"), "gpus_count": 1},
        {"node_cores_count": 1, "gpus_count": 0, "node_memory_bytes": gib(1)},
        ("-l select=2:ncpus=4:mem=500mb+1:ncpus=2:ngpus=1:mem=300mb",),
        ("cores", "gpus", "memory"),
    ),
    "equal chunks": Case(
        ("-l select=1:ncpus=4:host=n1+1:ncpus=4:host=n2",), TWO, {"node_cores_count": 2},
        ("-l select=1:ncpus=2:host=n1+1:ncpus=2:host=n2",),
    ),
    "a named host": Case(
        ("-l select=2:ncpus=4:host=n1",), TWO, {"nodes": ("n1",)},
        ("-l select=2:ncpus=4:host=n1",), ("nodes",),
    ),
    "quoted": Case(
        ('-l select="1:ncpus=4:mem=4gb"', "-l 'walltime=10:00:00'"), ONE,
        {"node_cores_count": 2, "walltime_s": 3600},
        ('-l select="1:ncpus=2:mem=4gb"', "-l 'walltime=1:00:00'"),
    ),
    "the older form with GPUs of a node": Case(
        ("-l nodes=2:ppn=4:ngpus=2:bigmem",), TWO | {"gpus_count": 4}, {"gpus_count": 2},
        ("-l nodes=2:ppn=4:ngpus=1:bigmem",),
    ),
    "the older form with cores of a process": Case(
        ("-l nodes=1:ppn=2:cpp=2",), ONE, {"node_cores_count": 2},
        ("-l nodes=1:ppn=2:cpp=2",), ("cores",),
    ),
    "nothing asked": Case(
        ("-N x",), ONE | {"node_cores_count": 1}, {"node_memory_bytes": gib(3)},
        ("-N x", "-l mem=3gb"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", list(CASES))
def test_other_numbers_in_the_user_s_own_lines(case: str) -> None:
    check("pbspro", CASES[case], "#PBS")
    one = CASES[case]
    assert pbs_problems(tuple(f"#PBS {line}" for line in one.expected)) == []


def test_the_check_knows_what_qsub_refuses() -> None:
    assert pbs_problems(("#PBS -l select=1:ncpus=1:mem=1gb", "#PBS -l mem=6gb"))
    assert pbs_problems(("#PBS -l nodes=1:ppn=1", "#PBS -l place=scatter"))
    assert pbs_problems(("#PBS -l walltime=1:00", "#PBS -l walltime=2:00"))
    assert not pbs_problems(("#PBS -l select=1:ncpus=1:mem=1gb,place=pack,walltime=1:00",))


def told(*resources: str, **more: Any) -> Job:
    """A job as `qstat -f` tells it."""
    values = {"nodes": ("n1",), "name": "cnn", "queue": "workq", **ONE, **more}
    return Job("1.qb3", "pbspro", requested=resources, **values)


HELD = {
    "select": (
        ("mem=8gb", "ncpus=8", "ngpus=2", "mpiprocs=8", "nodect=2", "place=scatter",
         "select=2:ncpus=4:mem=4gb:ngpus=1:mpiprocs=4", "walltime=120:00:00"),
        ("-l select=2:ncpus=4:mem=4gb:ngpus=1:mpiprocs=4", "-l place=scatter",
         "-l walltime=120:00:00"),
    ),
    "its default place is not repeated": (
        ("ncpus=1", "nodect=1", "place=free", "select=1:ncpus=1"), ("-l select=1:ncpus=1",),
    ),
    "the older form, from which the server makes a select": (
        ("mem=6gb", "mpiprocs=8", "ncpus=8", "nodect=1", "nodes=1:ppn=8", "place=scatter",
         "select=1:ncpus=8:mem=6gb:mpiprocs=8", "walltime=02:00:00"),
        ("-l nodes=1:ppn=8", "-l mem=6gb", "-l walltime=02:00:00"),
    ),
    "a queue's default memory is nobody's request": (
        ("mem=2gb", "ncpus=4", "nodect=1", "place=pack", "select=1:ncpus=4", "software=fem"),
        ("-l select=1:ncpus=4", "-l place=pack", "-l software=fem"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", list(HELD))
def test_what_the_server_holds_where_the_script_cannot_be_read(case: str) -> None:
    resources, expected = HELD[case]
    made = request(told(*resources, submit_arguments="run.pbs"))
    assert made.lines == ("#PBS -N cnn", "#PBS -q workq", *(f"#PBS {line}" for line in expected))
    assert made.gaps == ()
    assert pbs_problems(made.lines) == []


def test_a_command_instead_of_a_script() -> None:
    job = told(
        "ncpus=4", "mem=400mb", "nodect=1", "place=free", "select=1:ncpus=4:mem=400mb",
        "walltime=10:00:00",
        submit_arguments="-l select=1:ncpus=4:mem=400mb -l walltime=10:00:00 -N done"
        " -- /bin/x -l y",
    )  # fmt: skip
    assert request(job).lines == (
        "#PBS -l select=1:ncpus=4:mem=400mb", "#PBS -l walltime=10:00:00", "#PBS -N done",
    )  # fmt: skip
    new = edited(job, job._replace(node_cores_count=1, walltime_s=3600))
    assert new.lines[:2] == ("#PBS -l select=1:ncpus=1:mem=400mb", "#PBS -l walltime=1:00:00")


def test_without_the_scheduler_s_answer_no_line_can_be_pasted() -> None:
    case = Case((), ONE, {}, ())
    job = job_of("pbspro", case, "#PBS")._replace(script_lines=None)
    made = request(job)
    assert made.lines[0] == "#PBS -l select=1:ncpus=4:…"
    assert made.gaps
    assert edited(job, job._replace(node_cores_count=1)).changes == (
        ("#PBS -l select=1:ncpus=4:…", "#PBS -l select=1:ncpus=1:…"),
    )
