"""What a job's environment says of it: Torque, PBS Pro and Slurm, and text that says nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcwatch.cluster.schedulers import Job, from_environment, slurm
from hpcwatch.cluster.schedulers.job import JobNode
from hpcwatch.cluster.schedulers.slurm import expand_hosts
from hpcwatch.cluster.schedulers.text import count, devices_count
from hpcwatch.monitor import other_nodes_process

ENVIRONMENTS = Path(__file__).resolve().parents[1] / "data" / "environments"
MIB = 1 << 20
FILES = {
    "/var/spool/torque/aux//0.qb3": (ENVIRONMENTS / "torque-nodefile.txt").read_text(),
    "/var/spool/torque/aux//0.qb3gpu": (ENVIRONMENTS / "torque-gpufile.txt").read_text(),
    "/var/spool/pbs/aux/15.qb3": "qb001\nqb002\n",
    "/var/spool/pbs/aux/19.qb3": "qb003\n",
}


def recorded(name: str) -> dict[str, str]:
    """A job's environment as its scheduler made it."""
    lines = (ENVIRONMENTS / f"{name}.txt").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


def nothing(_: str) -> str | None:
    return None


def test_torque() -> None:
    assert from_environment(recorded("torque-two-nodes"), FILES.get) == Job(
        id="0.qb3",
        scheduler="torque",
        name="two_nodes",
        queue="workq",
        nodes=("qb002", "qb001"),
        cores_count=8,
        node_cores_count=4,
        gpus_count=1,
        walltime_s=108000,
        allocation=(JobNode("qb003", gpus_count=1, gpu_indices=(0,)),),
    )


def test_torque_without_its_node_file() -> None:
    job = from_environment(recorded("torque-two-nodes"), nothing)
    assert job is not None
    assert (job.cores_count, job.node_cores_count, job.nodes) == (8, 4, ())


def test_openpbs_with_a_gpu() -> None:
    assert from_environment(recorded("openpbs-gpu"), FILES.get) == Job(
        id="19.qb3",
        scheduler="pbspro",
        name="gpuenv",
        queue="workq",
        nodes=("qb003",),
        cores_count=1,
        node_cores_count=1,
    )


def test_openpbs_on_two_nodes_tells_the_cores_of_this_one() -> None:
    job = from_environment(recorded("openpbs-two-nodes"), FILES.get)
    assert job is not None
    assert (job.nodes, job.cores_count, job.node_cores_count) == (("qb001", "qb002"), None, 2)


SLURM = {
    "SLURM_JOB_ID": "4711",
    "SLURM_JOB_NAME": "cnn.tf.gpu",
    "SLURM_JOB_PARTITION": "gpu",
    "SLURM_JOB_ACCOUNT": "proj1",
    "SLURM_JOB_NUM_NODES": "3",
    "SLURM_JOB_NODELIST": "qb[001-002,010]",
    "SLURM_JOB_CPUS_PER_NODE": "20(x2),4",
    "SLURM_CPUS_ON_NODE": "20",
    "SLURM_MEM_PER_NODE": "64000",
    "SLURM_JOB_GPUS": "0,1",
    "SLURM_JOB_START_TIME": "1700000000",
    "SLURM_JOB_END_TIME": "1700003600",
}


def test_slurm() -> None:
    assert from_environment(SLURM, nothing) == Job(
        id="4711",
        scheduler="slurm",
        name="cnn.tf.gpu",
        queue="gpu",
        account="proj1",
        nodes=("qb001", "qb002", "qb010"),
        cores_count=44,
        node_cores_count=20,
        gpus_count=6,
        memory_bytes=3 * 64000 * MIB,
        node_memory_bytes=64000 * MIB,
        walltime_s=3600,
        started_at_s=1700000000,
    )


def without(*names: str, **others: str) -> Job:
    kept = {name: value for name, value in SLURM.items() if name not in names}
    job = from_environment({**kept, **others}, nothing)
    assert job is not None
    return job


def test_slurm_with_memory_a_core() -> None:
    job = without("SLURM_MEM_PER_NODE", SLURM_MEM_PER_CPU="4000")
    assert job.memory_bytes == 44 * 4000 * MIB
    assert job.node_memory_bytes == 20 * 4000 * MIB


def test_slurm_with_all_memory_of_the_node_asks_for_no_number() -> None:
    job = without(SLURM_MEM_PER_NODE="0")
    assert (job.memory_bytes, job.node_memory_bytes) == (None, None)


def test_slurm_without_gpus_does_not_say_none() -> None:
    assert without("SLURM_JOB_GPUS").gpus_count is None


def test_slurm_wins_where_both_speak() -> None:
    assert without(PBS_JOBID="4711").scheduler == "slurm"


def test_interactive_jobs() -> None:
    assert without(SLURM_JOB_NAME="interactive").is_interactive
    pbs = {"PBS_JOBID": "1.qb3", "PBS_ENVIRONMENT": "PBS_INTERACTIVE"}
    job = from_environment(pbs, nothing)
    assert job is not None
    assert job.is_interactive


@pytest.mark.parametrize("environment", [{}, {"PBS_NODEFILE": "/x"}, {"SLURM_JOB_ID": ""}])
def test_outside_of_a_job(environment: dict[str, str]) -> None:
    assert from_environment(environment, nothing) is None


def test_a_part_of_slurm_s_environment_is_no_job() -> None:
    assert from_environment(recorded("slurm-gpu-part"), nothing) is None


def test_a_job_is_called_by_its_number() -> None:
    job = Job("305669.qb3", "torque")
    assert job.is_called("305669")
    assert job.is_called("305669.qb3")
    assert not job.is_called("30566")


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("qb[001-003,010],login1", ("qb001", "qb002", "qb003", "qb010", "login1")),
        ("n[8-11]", ("n8", "n9", "n10", "n11")),
        ("r[0-1]n[1-2]", ("r0n1", "r0n2", "r1n1", "r1n2")),
        ("n[1-2]-ib", ("n1-ib", "n2-ib")),
        ("alone", ("alone",)),
        ("", ()),
        ("n[1-", ()),
        ("n[a-b]", ()),
        ("n[²]", ()),
        ("n[3-1]", ()),
        ("n[1-999999999999]", ()),
    ],
)
def test_host_lists(text: str, hosts: tuple[str, ...]) -> None:
    assert expand_hosts(text) == hosts


def test_a_host_list_does_not_explode() -> None:
    assert len(expand_hosts("n[0-999][0-999]")) <= 100_001


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (None, None),
        ("", 0),
        ("3-1", 0),
        ("0", 1),
        ("0,1", 2),
        ("0-3", 4),
        ("GPU-5ebe9f43-ac33-5420", 1),
        ("MIG-1,MIG-2", 2),
        ("NoDevFiles", 0),
        ("-1", 0),
    ],
)
def test_devices(text: str | None, number: int | None) -> None:
    assert devices_count(text) == number


@given(st.text(max_size=30) | st.text(alphabet="0123456789-,[]²x()", max_size=30))
def test_hostile_values_raise_nothing(value: str) -> None:
    assert count(value) is None or value.isdigit()
    devices = devices_count(value)
    assert devices is not None
    assert devices >= 0
    job = slurm.from_environment(dict.fromkeys(SLURM, value or "x"), nothing)
    assert job is not None
    assert job.cores_count is None or job.cores_count >= 0


def test_absurdly_long_numbers_raise_nothing() -> None:
    assert count("9" * 5000) is None
    without(SLURM_JOB_CPUS_PER_NODE="9" * 5000, SLURM_JOB_GPUS="0-" + "9" * 5000)


@pytest.mark.parametrize(
    ("text", "indices"), [("0,2", (0, 2)), ("3", (3,)), ("", ()), ("0-1", ()), ("k40:1", ())]
)
def test_slurm_tells_a_batch_script_its_devices(text: str, indices: tuple[int, ...]) -> None:
    of = {"SLURM_JOB_ID": "7", "SLURM_JOB_GPUS": text, "SLURMD_NODENAME": "qb003"}
    made = from_environment(of, FILES.get)
    assert made is not None
    assert [node.gpu_indices for node in made.allocation] == ([indices] if indices else [])


def test_the_lines_of_a_gpu_file_are_grouped_by_host() -> None:
    of = {"PBS_JOBID": "7.qb3", "PBS_NUM_PPN": "1", "PBS_GPUFILE": "/gpus"}
    text = "qb003-gpu1\nqb003-gpu0\nqb-gpu-4-gpu2\nodd\n"
    made = from_environment(of, {"/gpus": text}.get)
    assert made is not None
    assert [(node.host, node.gpu_indices) for node in made.allocation] == [
        ("qb003", (0, 1)),
        ("qb-gpu-4", (2,)),
    ]


@pytest.mark.parametrize(
    ("variables", "is_one_of_many"),
    [
        ({}, False),
        ({"SLURM_STEP_ID": "-5"}, False),  # Slurm 26.05, in a batch script
        ({"SLURM_STEP_ID": "4294967291"}, False),  # before it
        ({"SLURM_STEP_ID": "0"}, True),
        ({"PMI_RANK": "3"}, True),
        ({"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "1"}, False),
        ({"PMIX_RANK": "1"}, True),
    ],
)
def test_only_a_rank_leaves_the_other_nodes_to_others(
    variables: dict[str, str], is_one_of_many: bool
) -> None:
    job = Job("4711", "slurm", nodes=("none-1.invalid", "none-2.invalid"))
    assert other_nodes_process.wanted(job, variables) == (() if is_one_of_many else job.nodes)


def test_slurm_s_name_of_a_run_comes_from_the_environment() -> None:
    assert without(SLURM_JOB_SLUID="sBXSM8MARR7000").sluid == "sBXSM8MARR7000"


class Counted(tuple):  # type: ignore[type-arg]
    """An allocation that counts how often it is searched."""

    searches = 0

    def __iter__(self) -> Iterator[JobNode]:
        self.searches += 1
        return super().__iter__()


def test_the_shares_of_a_thousand_nodes_are_found_by_one_search() -> None:
    shares = Counted(JobNode(f"qb{number}.hpc", cores_count=number) for number in range(1000))
    job = Job("1", "slurm", allocation=shares)
    found = [job.seen_from(f"qb{number}").node_cores_count for number in range(1, 1000)]
    assert found == list(range(1, 1000))
    assert shares.searches == 1


def test_a_host_s_share_is_that_of_the_job_that_is_asked() -> None:
    first = Job("1", "slurm", allocation=(JobNode("a", 1), JobNode("b", 2), JobNode("b.hpc", 3)))
    second = first._replace(allocation=(JobNode("a.hpc", 4),))
    assert [job.on("a.site") for job in (first, second, first)] == [
        JobNode("a", 1),
        JobNode("a.hpc", 4),
        JobNode("a", 1),
    ]
    assert first.on("b.hpc") == JobNode("b", 2), "the first of two, whatever their domains"
    assert second.on("b") is None
    assert Job("2", "slurm").on("a") is None
