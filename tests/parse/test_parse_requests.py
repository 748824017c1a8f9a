"""What was requested in the scheduler's own words, from recorded answers, and as lines again."""

from __future__ import annotations

import pytest
from parse_parts import Recorded, recorded

from hpcwatch.analysis.findings.header import request
from hpcwatch.cluster.schedulers import Job

RECORDED = {f"{one.path.parent.name}/{one.path.stem}": one for one in recorded()}


def job_of(name: str) -> Job:
    one: Recorded = RECORDED[name]
    jobs: tuple[Job, ...] = one.parse(one.answer)
    assert len(jobs) == 1
    return jobs[0]


REQUESTED = {
    "pbspro/qstat-f-7_multichunk-running": (
        "mem=1300mb ncpus=10 ngpus=1 nodect=3 place=scatter"
        " select=2:ncpus=4:mem=500mb+1:ncpus=2:ngpus=1:mem=300mb walltime=120:00:00",
        [
            "#PBS -l select=2:ncpus=4:mem=500mb+1:ncpus=2:ngpus=1:mem=300mb",
            "#PBS -l place=scatter",
            "#PBS -l walltime=120:00:00",
            "#PBS -N chunks",
        ],
    ),
    "pbspro/qstat-f-8_nodes-ppn-running": (
        "mpiprocs=8 ncpus=8 nodect=2 nodes=2:ppn=4 place=scatter select=2:ncpus=4:mpiprocs=4"
        " walltime=02:00:00",
        [
            "#PBS -l nodes=2:ppn=4",
            "#PBS -l walltime=02:00:00",
            "#PBS -N oldstyle_name_too_long_for_display",
        ],
    ),
    "pbspro/qstat-f-14_script-job": (
        "mem=2gb ncpus=40 nodect=2 place=free select=2:ncpus=20:mem=1gb walltime=30:00:00",
        [
            "#PBS -N fem_solve",
            "#PBS -q workq",
            "#PBS -A loni_loniadmin1",
            "#PBS -l select=2:ncpus=20:mem=1gb",
            "#PBS -l walltime=30:00:00",
        ],
    ),
    "torque/qstat-f-0_running-2nodes": (
        "mem=2gb nodect=2 nodes=2:ppn=4 walltime=30:00:00",
        [
            "#PBS -N two_nodes",
            "#PBS -q workq",
            "#PBS -A loni_loniadmin1",
            "#PBS -l nodes=2:ppn=4",
            "#PBS -l mem=2gb",
            "#PBS -l walltime=30:00:00",
        ],
    ),
    # Submitted with its script at standard input: what is given to qsub is not all.
    "torque/qstat-f-7_multireq-gpu-running": (
        "nodect=2 nodes=qb002:ppn=3+qb003:ppn=2:gpus=1 walltime=120:00:00",
        [
            "#PBS -N chunks_and_a_rather_long_name",
            "#PBS -q workq",
            "#PBS -l nodes=qb002:ppn=3+qb003:ppn=2:gpus=1",
            "#PBS -l walltime=120:00:00",
        ],
    ),
    "slurm/scontrol-show-job-d-3_gpu-running": (
        "QOS=normal NumNodes=1 NumTasks=2 CPUs/Task=1 MinMemoryCPU=500M TresPerNode=gres:gpu:k40:1",
        [
            "#SBATCH --job-name=gpujob",
            "#SBATCH --partition=k40",
            "#SBATCH --account=loni_loniadmin1",
            "#SBATCH --qos=normal",
            "#SBATCH --nodes=1",
            "#SBATCH --ntasks=2",
            "#SBATCH --cpus-per-task=1",
            "#SBATCH --mem-per-cpu=500M",
            "#SBATCH --gres=gpu:k40:1",
            "#SBATCH --time=0:30:00",
        ],
    ),
}


@pytest.mark.parametrize("name", list(REQUESTED))
def test_the_request_of_a_recorded_job(name: str) -> None:
    job = job_of(name)
    words, lines = REQUESTED[name]
    assert " ".join(job.requested) == words
    made = request(job)
    assert list(made.lines) == lines
    assert bool(made.gaps) is (job.scheduler == "slurm")


def test_torque_s_memory_of_a_job_on_one_node_is_the_node_s() -> None:
    (job,) = (
        one
        for one in RECORDED["torque/qstat-f-all_later"].parse(
            RECORDED["torque/qstat-f-all_later"].answer
        )
        if one.name == "done"
    )
    assert (job.nodes_count, job.memory_bytes) == (1, 400 << 20)
    assert job.node_memory_bytes == 400 << 20
    two = job_of("torque/qstat-f-0_running-2nodes")
    assert (two.memory_bytes, two.node_memory_bytes) == (2 << 30, None)
