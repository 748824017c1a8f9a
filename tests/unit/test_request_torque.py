"""Torque's `-l` lines with other numbers in them: every other word stays.

The forms are those of "Requesting resources" of the Torque 6.1 manual and of qsub(1B).
"""

from __future__ import annotations

from typing import Any

import pytest
from request_cases import Case, check, gib

from hpcwatch.analysis.findings.header import edited, request
from hpcwatch.cluster.schedulers import Job

ONE: dict[str, Any] = {"node_cores_count": 8, "walltime_s": 72 * 3600}
TWO: dict[str, Any] = {"nodes": ("n1", "n2"), "node_cores_count": 4, "walltime_s": 36000}
CASES = {
    "a property": Case(
        ("-l nodes=1:ppn=8:k40",), ONE, {"node_cores_count": 1}, ("-l nodes=1:ppn=1:k40",)
    ),
    "a property before ppn": Case(
        ("-l nodes=1:k40:ppn=8",), ONE, {"node_cores_count": 4}, ("-l nodes=1:k40:ppn=4",)
    ),
    "one line stays one": Case(
        ("-l nodes=2:ppn=4,mem=8gb,walltime=10:00:00",),
        TWO | {"node_memory_bytes": gib(4)},
        {"node_cores_count": 2, "node_memory_bytes": gib(1), "walltime_s": 3600},
        ("-l nodes=2:ppn=2,mem=2gb,walltime=1:00:00",),
    ),
    "memory of a job on one node": Case(
        ("-l nodes=1:ppn=8", "-l mem=64gb"),
        ONE | {"node_memory_bytes": gib(64)},
        {"node_memory_bytes": gib(6)},
        ("-l nodes=1:ppn=8", "-l mem=6gb"),
    ),
    "memory of a process": Case(
        ("-l nodes=1:ppn=8,pmem=4gb",),
        ONE | {"node_memory_bytes": gib(32)},
        {"node_memory_bytes": gib(12)},
        ("-l nodes=1:ppn=8,pmem=1536mb",),
    ),
    "memory of a process follows the cores": Case(
        ("-l nodes=1:ppn=8", "-l pmem=1gb"),
        ONE,
        {"node_cores_count": 4},
        ("-l nodes=1:ppn=4", "-l pmem=2gb"),
    ),
    "memory where none was requested": Case(
        ("-l nodes=2:ppn=4",), TWO, {"node_memory_bytes": gib(3)},
        ("-l nodes=2:ppn=4", "-l mem=6gb"),
    ),
    "GPUs": Case(
        ("-l nodes=1:ppn=8:gpus=2:exclusive_process",),
        ONE | {"gpus_count": 2},
        {"gpus_count": 1},
        ("-l nodes=1:ppn=8:gpus=1:exclusive_process",),
    ),
    "no GPU, and no mode of one": Case(
        ("-l nodes=1:ppn=8:gpus=2:exclusive_process:reseterr:k40",),
        ONE | {"gpus_count": 2},
        {"gpus_count": 0},
        ("-l nodes=1:ppn=8:k40",),
    ),
    "GPUs that no line asks for": Case(
        ("-l nodes=1:ppn=8",), ONE | {"gpus_count": 2}, {"gpus_count": 1}, ("-l nodes=1:ppn=8",),
        ("gpus",),
    ),
    "no ppn": Case(
        ("-l nodes=1:fast",), ONE | {"node_cores_count": 1}, {"node_cores_count": 4},
        ("-l nodes=1:ppn=4:fast",),
    ),
    "fewer nodes take their share of the memory along": Case(
        ("-l nodes=2:ppn=4", "-l mem=8gb"),
        TWO | {"node_memory_bytes": gib(4)},
        {"nodes": ("n1",), "nodes_count": 1},
        ("-l nodes=1:ppn=4", "-l mem=4gb"),
    ),
    "the same on fewer nodes": Case(
        ("-l nodes=2:ppn=4,mem=8gb",),
        TWO | {"node_memory_bytes": gib(4)},
        {"nodes": ("n1",), "node_cores_count": 8, "node_memory_bytes": gib(8)},
        ("-l nodes=1:ppn=8,mem=8gb",),
    ),
    "named hosts": Case(
        ("-l nodes=n1:ppn=4+n2:ppn=4",), TWO, {"node_cores_count": 2},
        ("-l nodes=n1:ppn=2+n2:ppn=2",),
    ),
    "named hosts are not fewer": Case(
        ("-l nodes=n1:ppn=4+n2:ppn=4",), TWO, {"nodes": ("n1",)},
        ("-l nodes=n1:ppn=4+n2:ppn=4",), ("nodes",),
    ),
    "different nodes": Case(
        ("-l nodes=1:ppn=4+1:ppn=2:gpus=1,walltime=10:00:00",), TWO,
        {"node_cores_count": 1, "walltime_s": 3600},
        ("-l nodes=1:ppn=4+1:ppn=2:gpus=1,walltime=1:00:00",), ("cores",),
    ),
    "a suffix": Case(
        ("-l nodes=1:ppn=8#shared",), ONE, {"node_cores_count": 2}, ("-l nodes=1:ppn=2#shared",)
    ),
    "processors anywhere": Case(("-l procs=8",), ONE, {"node_cores_count": 2}, ("-l procs=2",)),
    "processors on several nodes": Case(
        ("-l procs=8",), TWO, {"node_cores_count": 2}, ("-l procs=8",), ("cores",)
    ),
    "ncpus": Case(("-l ncpus=8",), ONE, {"node_cores_count": 2}, ("-l ncpus=2",)),
    "more entries than nodes": Case(
        ("-l nodes=8",), ONE, {"node_cores_count": 2}, ("-l nodes=8",), ("cores",)
    ),
    "virtual memory": Case(
        ("-l nodes=1:ppn=8,vmem=8gb",), ONE | {"vmem_bytes": gib(8)}, {"vmem_bytes": gib(12)},
        ("-l nodes=1:ppn=8,vmem=12gb",),
    ),
    "virtual memory of a process goes": Case(
        ("-l nodes=1:ppn=8,pvmem=8gb,walltime=72:00:00",),
        ONE | {"pvmem_bytes": gib(8)}, {"pvmem_bytes": None},
        ("-l nodes=1:ppn=8,walltime=72:00:00",),
    ),
    "a line of its own goes whole": Case(
        ("-l nodes=1:ppn=8", "-l pvmem=8gb"),
        ONE | {"pvmem_bytes": gib(8)}, {"pvmem_bytes": None}, ("-l nodes=1:ppn=8",),
    ),
    "the first of a list goes": Case(
        ("-l pvmem=8gb,nodes=1:ppn=8",),
        ONE | {"pvmem_bytes": gib(8)}, {"pvmem_bytes": None}, ("-l nodes=1:ppn=8",),
    ),
    "options on one line": Case(
        ("-N cnn -q k40 -l nodes=1:ppn=8 -l walltime=72:00:00 -j oe",), ONE,
        {"node_cores_count": 4, "walltime_s": 4500},
        ("-N cnn -q k40 -l nodes=1:ppn=4 -l walltime=1:15:00 -j oe",),
    ),
    "glued": Case(
        ("-lnodes=1:ppn=8,walltime=72:00:00",), ONE, {"walltime_s": 4500},
        ("-lnodes=1:ppn=8,walltime=1:15:00",),
    ),
    "quoted": Case(
        ('-l "nodes=1:ppn=8,mem=4gb"', "-l walltime='72:00:00'"),
        ONE | {"node_memory_bytes": gib(4)},
        {"node_cores_count": 1, "node_memory_bytes": gib(1), "walltime_s": 4500},
        ('-l "nodes=1:ppn=1,mem=1gb"', "-l walltime='1:15:00'"),
    ),
    "words it does not know": Case(
        ("-l nodes=1:ppn=8,qos=high,feature='a|b',naccesspolicy=singlejob,file=10gb",
         "-W x=NACCESSPOLICY:SINGLEJOB", "-t 1-100%5"), ONE, {"node_cores_count": 2},
        ("-l nodes=1:ppn=2,qos=high,feature='a|b',naccesspolicy=singlejob,file=10gb",
         "-W x=NACCESSPOLICY:SINGLEJOB", "-t 1-100%5"),
    ),
    "memory of the job and of a process": Case(
        ("-l nodes=1:ppn=8,mem=32gb,pmem=4gb",), ONE | {"node_memory_bytes": gib(32)},
        {"node_memory_bytes": gib(12)},
        ("-l nodes=1:ppn=8,mem=32gb,pmem=4gb",), ("memory",),
    ),
    "more memory than virtual memory": Case(
        ("-l nodes=1:ppn=8,mem=8gb,vmem=8gb",),
        ONE | {"node_memory_bytes": gib(8), "vmem_bytes": gib(8)},
        {"node_memory_bytes": gib(12)}, ("-l nodes=1:ppn=8,mem=8gb,vmem=8gb",), ("memory",),
    ),
    "more memory and more virtual memory": Case(
        ("-l nodes=1:ppn=8,mem=8gb,vmem=8gb",),
        ONE | {"node_memory_bytes": gib(8), "vmem_bytes": gib(8)},
        {"node_memory_bytes": gib(12), "vmem_bytes": gib(14)},
        ("-l nodes=1:ppn=8,mem=12gb,vmem=14gb",),
    ),
    "cores in two resources": Case(
        ("-l nodes=1:ppn=4,procs=4",), ONE, {"node_cores_count": 2},
        ("-l nodes=1:ppn=4,procs=4",), ("cores",),
    ),
    "a walltime that Moab chooses": Case(
        ("-l nodes=1:ppn=8,minwclimit=10:00:00,walltime=72:00:00",), ONE, {"walltime_s": 3600},
        ("-l nodes=1:ppn=8,minwclimit=10:00:00,walltime=72:00:00",), ("walltime",),
    ),
    "named hosts get no cores of others": Case(
        ("-l nodes=n1:ppn=4+n2:ppn=4",), TWO, {"nodes": ("n1",), "node_cores_count": 8},
        ("-l nodes=n1:ppn=4+n2:ppn=4",), ("nodes",),
    ),
    "no walltime yet": Case(
        ("-l nodes=1:ppn=8",), ONE, {"walltime_s": 3600},
        ("-l nodes=1:ppn=8", "-l walltime=1:00:00"),
    ),
    "NUMA": Case(
        ("-L tasks=1:lprocs=8:memory=16gb:usecores:place=socket",),
        ONE | {"node_memory_bytes": gib(16)},
        {"node_cores_count": 2, "node_memory_bytes": gib(3)},
        ("-L tasks=1:lprocs=2:memory=3gb:usecores:place=socket",),
    ),
    "NUMA with placed cores": Case(
        ("-L tasks=1:lprocs=8:memory=16gb:place=core=8",),
        ONE | {"node_memory_bytes": gib(16)},
        {"node_cores_count": 2, "node_memory_bytes": gib(3)},
        ("-L tasks=1:lprocs=8:memory=3gb:place=core=8",), ("cores",),
    ),
    "NUMA with all cores": Case(
        ("-L tasks=1:lprocs=all",), ONE, {"node_cores_count": 2}, ("-L tasks=1:lprocs=all",),
        ("cores",),
    ),
    "NUMA without GPUs": Case(
        ("-L tasks=1:lprocs=8:gpus=1:exclusive_process",), ONE | {"gpus_count": 1},
        {"gpus_count": 0}, ("-L tasks=1:lprocs=8",),
    ),
    "NUMA with two kinds of tasks": Case(
        ("-L tasks=1:lprocs=4", "-L tasks=1:lprocs=8"), ONE, {"node_cores_count": 2},
        ("-L tasks=1:lprocs=4", "-L tasks=1:lprocs=8"), ("cores",),
    ),
    "NUMA with several tasks": Case(
        ("-L tasks=4:lprocs=2:memory=4gb", "-l walltime=72:00:00"), ONE,
        {"node_cores_count": 2, "walltime_s": 3600},
        ("-L tasks=4:lprocs=2:memory=4gb", "-l walltime=1:00:00"), ("cores",),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", list(CASES))
def test_other_numbers_in_the_user_s_own_lines(case: str) -> None:
    check("torque", CASES[case], "#PBS")


def told(*resources: str, **more: Any) -> Job:
    """A job as `qstat -f` tells it."""
    return Job("1.qb3", "torque", name="cnn", queue="k40", requested=resources, **ONE | more)


def test_what_the_server_holds_where_the_script_cannot_be_read() -> None:
    job = told("nodes=1:ppn=8:k40", "mem=6gb", "nodect=1", "neednodes=1:ppn=8:k40",
               "walltime=72:00:00", submit_arguments="run.pbs")  # fmt: skip
    made = request(job)
    assert made.lines == (
        "#PBS -N cnn", "#PBS -q k40", "#PBS -l nodes=1:ppn=8:k40", "#PBS -l mem=6gb",
        "#PBS -l walltime=72:00:00",
    )  # fmt: skip
    assert made.gaps == ()
    new = edited(job, job._replace(node_cores_count=1))
    assert new.changes == (("#PBS -l nodes=1:ppn=8:k40", "#PBS -l nodes=1:ppn=1:k40"),)


def test_options_of_qsub_itself_win_and_are_named() -> None:
    job = told("nodes=1:ppn=8", "walltime=72:00:00", script_lines=(
        "#PBS -l nodes=1:ppn=8,walltime=1:00:00", "#PBS -j oe", "#PBS -m abe"),
        submit_arguments="-l walltime=72:00:00 -q k40 run.pbs")  # fmt: skip
    made = request(job)
    assert made.lines == ("#PBS -l nodes=1:ppn=8,walltime=72:00:00", "#PBS -q k40")
    assert made.notes == ("Given to qsub itself, where it wins over the script: -l walltime, -q.",)


@pytest.mark.parametrize(
    "script",
    [
        ("#PBS -l nodes=1:ppn=4",),  # edited since
        ("#PBS -l nodes=1:ppn=8", "#PBS -l mem=1gb"),
        ("#PBS -q k40",),
    ],
)
def test_a_script_that_is_not_what_was_submitted_does_not_count(script: tuple[str, ...]) -> None:
    job = told("nodes=1:ppn=8", "walltime=72:00:00", script_lines=script)
    assert "#PBS -l nodes=1:ppn=8" in request(job).lines
    assert "#PBS -l walltime=72:00:00" in request(job).lines


def test_what_may_be_a_secret_is_not_repeated() -> None:
    lines = ("#PBS -v TOKEN=abc", "#PBS -l nodes=1:ppn=8 -v TOKEN=abc", "#PBS -l walltime=72:00:00")
    job = told(script_lines=lines)
    made = request(job)
    assert "abc" not in repr(made)
    assert made.lines == ("#PBS -l walltime=72:00:00",)
    assert made.gaps == ("the variables in the line of -v",)


def test_what_would_need_quotes_is_a_gap() -> None:
    made = request(told("nodes=1:ppn=8", "software=a b; rm -rf $HOME"))
    assert made.lines[2:] == ("#PBS -l nodes=1:ppn=8",)
    assert made.gaps == ("the resource 'software'",)
