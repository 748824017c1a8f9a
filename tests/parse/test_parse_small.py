"""The parts of parsers: hosts, times, exit statuses, records as JSON, odd and later formats."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parse_parts import AT_S, DATA, answer_of, recorded, utc

from hpcwatch.cluster.schedulers import Job, JobState, from_environment, moab, pbspro, slurm, torque
from hpcwatch.cluster.schedulers.hosts import (
    MOST_HOSTS,
    exec_gpus,
    exec_host,
    expand_hosts,
    gres_gpus,
    numbers,
    per_host,
)
from hpcwatch.cluster.schedulers.inquiry import gone
from hpcwatch.cluster.schedulers.job import Coverage, JobNode, Usage
from hpcwatch.cluster.schedulers.job_exit import Cause, exit_of_status
from hpcwatch.cluster.schedulers.query import Answer, NotUnderstoodError, clean_user
from hpcwatch.cluster.schedulers.slurm_json import jobs_from_squeue
from hpcwatch.cluster.schedulers.slurm_list import jobs_from_list
from hpcwatch.cluster.schedulers.slurm_states import memory_bytes, state_of
from hpcwatch.cluster.schedulers.text import seconds, when, when_before
from hpcwatch.probe.decode import build
from hpcwatch.probe.encode import to_plain

NOV_23 = 1795437446.0


@pytest.fixture(autouse=True)
def in_utc() -> Iterator[None]:
    with utc():
        yield


@pytest.mark.parametrize(
    ("text", "is_count", "cores"),
    [
        ("qb002/0-3+qb001/0-3", False, {"qb002": 4, "qb001": 4}),
        ("qb001/6,11-12", False, {"qb001": 3}),
        ("n/7+n/6+m/0", False, {"n": 2, "m": 1}),
        ("qb001/8*4+qb002/0*4", False, {"qb001": 4, "qb002": 4}),
        ("qb001/1", False, {"qb001": 1}),
        ("qb001/4+qb002/4", True, {"qb001": 4, "qb002": 4}),
        ("qb001", False, {"qb001": 0}),
        ("qb001/x*y+/3+", False, {"qb001": 0}),
        ("", False, {}),
    ],
)
def test_exec_host(text: str, is_count: bool, cores: dict[str, int]) -> None:
    assert per_host(exec_host(text, is_count)) == cores


def test_exec_gpus() -> None:
    assert exec_gpus("qb003-gpu/1+qb003-gpu/0+my-gpu-gpu/2") == {"qb003": (1, 0), "my-gpu": (2,)}
    assert exec_gpus("nonsense") == {}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("gpu:k40:1(IDX:0)", (1, (0,))),
        ("gpu:k40:2(IDX:0-1)", (2, (0, 1))),
        ("gpu:2(IDX:0,3)", (2, (0, 3))),
        ("gpu:a100:1(IDX:0),gpu:v100:2(IDX:1-2)", (3, (0, 1, 2))),
        ("gres:gpu:2", (2, ())),
        ("gpu:k40:2(S:0-1)", (2, ())),  # sockets, not devices
        ("gpu:3g.20gb:1(IDX:0)", (1, (0,))),
        ("gpu", (1, ())),
        ("gpu(IDX:0,2-3,5)", (4, (0, 2, 3, 5))),
        ("gpu(IDX:6)", (1, (6,))),
        ("gpu(CNT:3)", (3, ())),
        ("gpu:a100(CNT:3)", (3, ())),
        ("gpu:a100:2(CNT:2)", (2, ())),
        ("shard:4(IDX:0)", (0, ())),
    ],
)
def test_gres(text: str, found: tuple[int, tuple[int, ...]]) -> None:
    assert gres_gpus(text) == found


@given(st.text(alphabet="n0123456789[]-,+/*gpu()IDX:", max_size=40))
def test_lists_stay_bounded(text: str) -> None:
    assert len(expand_hosts(text)) <= MOST_HOSTS
    assert len(numbers(text)) <= MOST_HOSTS
    assert len(exec_host(text)) <= MOST_HOSTS
    gres_gpus(text)
    exec_gpus(text)


@pytest.mark.parametrize("text", ["n[0-99999][0-99999]", "n[0-999999999]", "[0-9]" * 30])
def test_hostile_lists_give_nothing(text: str) -> None:
    assert expand_hosts(text) == ()
    assert len(expand_hosts(",".join(["n[0-99998]"] * 5))) == MOST_HOSTS


@pytest.mark.parametrize(
    ("text", "at_s"),
    [
        ("Mon Nov 23 12:37:26 2026", NOV_23),
        ("2026-11-23T12:37:26", NOV_23),
        ("1795437446", NOV_23),
        ("Sun Jun  6 21:22:15 2010", 1275859335.0),
        ("Mo Nov 23 12:37:26 2026", None),
        ("lun. 23 nov. 2026", None),
        ("Unknown", None),
        ("N/A", None),
        ("0", None),
        ("2026-13-45T99:99:99", None),
        (None, None),
    ],
)
def test_times(text: str | None, at_s: float | None) -> None:
    assert when(text) == at_s


def test_a_time_without_its_year_is_in_the_past() -> None:
    assert when_before("Mon Nov 23 12:37:26", AT_S) == NOV_23
    assert when_before("Tue Nov 24 12:37:26", AT_S) == NOV_23 + 86400  # clocks differ
    assert when_before("Sun Apr 11 15:25:29", AT_S) == 1618154729.0  # 2021
    assert when_before("Mon Nov 30 12:00:00", AT_S) == 1606737600.0  # 2020: not next week
    assert when_before("Mit Nov 25 12:37:26", AT_S) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [("00:04.545", 4.545), ("1-02:03:04", 93784.0), ("973:29:15", 3504555.0), ("x", None)],
)
def test_cpu_time(text: str, value: float | None) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize(
    ("status", "cause", "words"),
    [
        (0, Cause.SUCCESS, "ended well"),
        (3, Cause.EXIT_CODE, "ended with exit code 3"),
        (271, Cause.DELETED, "deleted"),
        (265, Cause.SIGNAL, "killed by SIGKILL"),
        (137, Cause.SIGNAL, "killed by SIGKILL"),
        (143, Cause.SIGNAL, "killed by SIGTERM"),
        (255, Cause.EXIT_CODE, "ended with exit code 255"),
        (-11, Cause.WALLTIME, "killed: the walltime was over"),
        (-3, Cause.SCHEDULER, "the scheduler could not run it"),
    ],
)
def test_exit_statuses(status: int, cause: Cause, words: str) -> None:
    ending = exit_of_status(status, {-11: Cause.WALLTIME}, str(status))
    assert (ending.cause, ending.words) == (cause, words)


@pytest.mark.parametrize(
    ("raw", "reason", "state"),
    [
        ("CANCELLED by 1001", None, JobState.CANCELLED),
        ("PENDING", "JobHeldAdmin", JobState.HELD),
        ("PENDING", "Priority", JobState.QUEUED),
        ("PENDING", "JobHoldMaxRequeue", JobState.HELD),
        ("PENDING", "job_requeued_in_held_state", JobState.HELD),
        ("PENDING", "launch failed requeued held", JobState.HELD),
        ("PENDING", "QOSUsageThreshold", JobState.QUEUED),
        ("PENDING,SPECIAL_EXIT", None, JobState.HELD),
        ("RUNNING,STOPPED", None, JobState.SUSPENDED),
        ("RUNNING,CONFIGURING", None, JobState.RUNNING),
        ("RUNNING,COMPLETING", None, JobState.COMPLETING),
        ("OUT_OF_MEMORY", None, JobState.OUT_OF_MEMORY),
        ("BRAND_NEW", None, JobState.UNKNOWN),
        ("", None, JobState.UNKNOWN),
    ],
)
def test_slurm_s_states(raw: str, reason: str | None, state: JobState) -> None:
    assert state_of(raw, reason) is state


def test_no_memory_is_no_amount() -> None:
    """Slurm without CR_Memory and sbatch --mem=0 both write 0, which is "not limited"."""
    assert memory_bytes("0", 1 << 20) is None
    assert memory_bytes("0M") is None
    text = (
        b"JobId=77 JobName=nomem\n   UserId=root(0) GroupId=root(0)\n   JobState=RUNNING\n"
        b"   NumNodes=1 NumCPUs=2\n   TRES=cpu=2,node=1,billing=2\n"
        b"     Nodes=qb001 CPU_IDs=0-1 Mem=0 GRES_IDX=gpu(IDX:0,2-3)\n"
        b"   MinCPUsNode=2 MinMemoryNode=0 MinTmpDiskNode=0\n"
    )
    (job,) = slurm.COMMANDS.job("77").parse(Answer(text))
    assert (job.memory_bytes, job.node_memory_bytes) == (None, None)
    assert job.allocation == (JobNode("qb001", 2, None, 3, (0, 2, 3)),)


@pytest.mark.parametrize(
    "name", ["alice", "alice@corp.example.org", "CORP\\alice", "CORP+alice", "a.b-c_d$"]
)
def test_names_with_a_domain(name: str) -> None:
    assert clean_user(name) == name


def test_the_owner_of_a_pbs_job_may_have_a_domain() -> None:
    raw = (DATA / "torque" / "qstat-f-0_running-2nodes.txt").read_bytes()
    raw = raw.replace(b"Job_Owner = alice@qb3", b"Job_Owner = alice@corp.example.org@login1")
    assert torque.jobs_from_text(Answer(raw))[0].owner == "alice@corp.example.org"


def test_elapsed_time_is_what_the_scheduler_counts() -> None:
    job = Job("1", "torque", state=JobState.RUNNING, started_at_s=1000.0)
    assert job.elapsed_at(1600.0) == 600
    counted = job._replace(usage=Usage(Coverage.JOB, walltime_s=500))
    assert counted.elapsed_at(1600.0) == 600, "the count may be a few minutes old"
    assert counted.elapsed_at(9000.0) == 500, "it was suspended, or requeued"
    suspended = counted._replace(state=JobState.SUSPENDED)
    assert suspended.elapsed_at(1600.0) == 500
    resumed = job._replace(elapsed_s=7200.0, elapsed_at_s=5000.0)
    assert resumed.elapsed_at(5600.0) == 7800
    assert resumed._replace(elapsed_at_s=None).elapsed_at(5600.0) == 7200
    assert job._replace(state=JobState.HELD).elapsed_at(1600.0) is None
    assert job._replace(id="1[].qb3").elapsed_at(1600.0) is None


HELD_BY_MOAB = b"""job 5469633

AName: PC_rerun
State: Idle
Creds:  user:alice  group:alice  class:batch
WallTime:   00:00:00 of 3:00:00:00

Holds:          Batch:RMFailure
NOTE:  job cannot run  (job has hold in place)
"""


def test_moab_s_holds() -> None:
    (held,) = moab.jobs_from_checkjob(Answer(HELD_BY_MOAB, at_s=AT_S))
    queued = Job("5469633.qb3", "torque", state=JobState.QUEUED, estimated_start_at_s=AT_S)
    job = moab.merged(queued, held)
    assert (job.state, job.reason) == (JobState.HELD, "Holds: Batch:RMFailure")
    assert job.estimated_start_at_s is None
    waits = Job("12.qb3", "torque", state=JobState.QUEUED, raw_state="W", reason="waits for")
    (maui,) = moab.jobs_from_checkjob(answer_of(DATA / "moab" / "checkjob-v-12_waiting.txt"))
    assert moab.merged(waits, maui) == waits, "Maui says Hold of a job that waits for its time"


def test_memory_in_slurm_s_units() -> None:
    assert memory_bytes("318247.50K") == 325885440
    assert memory_bytes("2048", 1 << 20) == 2 << 30
    assert memory_bytes("9" * 5000) is None


def all_jobs() -> list[Job]:
    found: list[Job] = []
    for one in recorded():
        if any(word in one.path.stem for word in ("all_", "later", "multireq", "two-nodes")):
            records = one.parse(one.answer)
            found += [r for r in records if isinstance(r, Job)] if type(records) is tuple else []
    return found


def test_a_job_survives_json() -> None:
    jobs = all_jobs()
    assert len(jobs) > 100
    assert {job.scheduler for job in jobs} == {"torque", "pbspro", "slurm"}
    for job in jobs:
        again = build(Job, json.loads(json.dumps(to_plain(job))))
        assert again == job
        assert again.state is job.state


def test_a_job_of_another_version_can_be_read() -> None:
    job = build(Job, {"id": "1", "scheduler": "torque", "state": "new", "colour": "red"})
    assert job == Job("1", "torque")
    old = Job("1.qb3", "torque", nodes=("a",))._asdict()
    del old["allocation"], old["state"]
    assert build(Job, json.loads(json.dumps(old))).nodes == ("a",)


def test_a_job_tells_its_names_and_shares() -> None:
    (task,) = slurm.COMMANDS.job("2_1").parse(
        answer_of(DATA / "slurm" / "scontrol-show-job-d-2_1_array-task-running.txt")
    )
    assert all(task.is_called(word) for word in ("2_1", "18"))
    assert not task.is_called("1")
    inside = from_environment(
        {"SLURM_JOB_ID": "18", "SLURM_ARRAY_JOB_ID": "2", "SLURM_ARRAY_TASK_ID": "1"}, lambda _: ""
    )
    assert inside is not None
    assert inside.is_called("2_1")
    (job,) = pbspro.jobs_from_json(answer_of(DATA / "pbspro" / "qstat-f-json-7_multichunk.txt"))
    share = job.on("qb003.loni.org")
    assert share is not None
    assert (share.cores_count, share.gpus_count, share.memory_bytes) == (2, 1, 300 << 20)
    assert job.on("qb009") is None


def test_a_heterogeneous_job_is_found_by_its_first_number() -> None:
    answer = answer_of(DATA / "slurm" / "scontrol-show-job-d-batch2-all_mixed.txt")
    text = answer.text
    records = [one for one in text.split("\n\n") if " HetJobId=4 " in one]
    asked = slurm.COMMANDS.job("4").parse(Answer("\n\n".join(records).encode()))
    assert [job.id for job in asked] == ["4+0", "4+1"]


def test_a_job_that_is_gone_is_not_called_successful() -> None:
    job = Job("1", "torque", state=JobState.RUNNING)
    assert gone(job).state is JobState.UNKNOWN
    over = job._replace(state=JobState.FAILED)
    assert gone(over) is over


LATIN = b"caf\xe9"


def test_bytes_that_are_no_utf_8_survive_in_every_format() -> None:
    raw = (DATA / "torque" / "qstat-x-0_xml-running.txt").read_bytes()
    (job,) = torque.jobs_from_xml(Answer(raw.replace(b"two_nodes<", LATIN + b"<")))
    assert job.name == "caf\udce9"
    raw = (DATA / "pbspro" / "qstat-f-json-1_running.txt").read_bytes()
    (job,) = pbspro.jobs_from_json(Answer(raw.replace(b'"small"', b'"' + LATIN + b'"')))
    assert job.name == "caf\udce9"
    raw = (DATA / "torque" / "qstat-f-0_running-2nodes.txt").read_bytes()
    (job,) = torque.jobs_from_text(Answer(raw.replace(b"= two_nodes", b"= " + LATIN)))
    assert json.loads(json.dumps(to_plain(job)))["name"] == "caf\udce9"


def test_json_with_a_bare_number_as_a_name_is_read_as_text_instead() -> None:
    raw = (DATA / "pbspro" / "qstat-f-json-1_running.txt").read_bytes()
    (job,) = pbspro.jobs_from_json(Answer(raw.replace(b'"small"', b"1e5")))
    assert job.name == "1e5"
    asked = pbspro.COMMANDS.job("1")
    with pytest.raises(NotUnderstoodError):
        asked.parse(Answer(raw.replace(b'"small"', b"007")))
    assert asked.if_odd is not None
    assert asked.if_odd.argv == ("qstat", "-f", "1")


def test_entities_are_refused() -> None:
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaa">]><Data><Job><Job_Id>&a;</Job_Id></Job></Data>'
    with pytest.raises(NotUnderstoodError):
        torque.jobs_from_xml(Answer(bomb))


def test_a_variable_cannot_set_a_job_s_state() -> None:
    raw = (DATA / "torque" / "qstat-f-0_running-2nodes.txt").read_bytes()
    fake = raw.replace(b"PBS_O_HOST=qb3", b"X=1\\\n    job_state = C\\\n    exit_status = 0")
    (job,) = torque.jobs_from_text(Answer(fake))
    assert (job.state, job.exit) == (JobState.RUNNING, None)


def test_a_comment_cannot_set_how_a_job_ended() -> None:
    raw = (DATA / "torque" / "qstat-f-13_deleted.txt").read_bytes()
    fake = raw.replace(b"PBS_O_HOST=qb3", b"X=1\\\n    exit_status = 0")
    (job,) = torque.jobs_from_text(Answer(fake))
    assert job.state is JobState.CANCELLED
    raw = (DATA / "pbspro" / "qstat-f-1_running-newline-in-vars.txt").read_bytes()
    fake = raw.replace(b"PBS_O_HOST=qb3", b"X=1\n    job_state = F")  # OpenPBS escapes nothing
    (job,) = pbspro.jobs_from_text(Answer(fake))
    assert job.state is JobState.RUNNING


def test_openpbs_s_estimate_counts_while_the_job_waits() -> None:
    raw = (DATA / "pbspro" / "qstat-f-9_queued-cannot-run.txt").read_bytes()
    with_time = raw.replace(
        b"    substate", b"    estimated.start_time = Mon Nov 23 12:37:26 2026\n    substate"
    )
    (job,) = pbspro.jobs_from_text(Answer(with_time))
    assert job.estimated_start_at_s == NOV_23
    (job,) = pbspro.jobs_from_text(Answer(with_time.replace(b"job_state = Q", b"job_state = R")))
    assert job.estimated_start_at_s is None


def test_limits_of_virtual_memory() -> None:
    raw = (DATA / "torque" / "qstat-f-0_running-2nodes.txt").read_bytes()
    line = b"    Resource_List.nodect"
    asked = b"    Resource_List.pvmem = 16gb\n    Resource_List.vmem = 100gb\n"
    (job,) = torque.jobs_from_text(Answer(raw.replace(line, asked + line)))
    assert (job.pvmem_bytes, job.vmem_bytes) == (16 << 30, 100 << 30)
    (job,) = torque.jobs_from_text(Answer(raw))
    assert (job.pvmem_bytes, job.vmem_bytes) == (None, None)


def test_a_guess_from_history_is_no_estimate() -> None:
    text = (DATA / "moab" / "moab-showstart-doc-orion_idle-three-estimates.txt").read_text()
    lines = [line for line in text.splitlines() if "Rsv" not in line]
    found = moab.estimate_from_showstart(Answer("\n".join(lines).encode(), at_s=AT_S))
    assert found == (AT_S + 5 * 3600 + 14 * 60 + 55, "priority")
    lines = [line for line in lines if "Priority" not in line]
    assert moab.estimate_from_showstart(Answer("\n".join(lines).encode(), at_s=AT_S)) is None


def test_a_path_may_look_like_fields() -> None:
    path = DATA / "slurm" / "scontrol-show-job-d-1_running-2nodes.txt"
    raw = path.read_bytes().replace(b"WorkDir=/home/alice", b"WorkDir=/home/a b Key=B JobName=x")
    (job,) = slurm.COMMANDS.job("1").parse(Answer(raw))
    assert (job.working_directory, job.name) == ("/home/a b Key=B JobName=x", "fem=solve run")


def test_a_comment_cannot_set_a_job_s_state() -> None:
    path = DATA / "slurm" / "scontrol-show-job-d-batch2-8_newline-in-comment.txt"
    raw = path.read_bytes().replace(b"line2 Key=Val", b"   JobState=FAILED JobName=x")
    (job,) = slurm.COMMANDS.job("8").parse(Answer(raw))
    assert (job.state, job.name) == (JobState.RUNNING, "newline")


FORGED = b"""a

JobId=9 ArrayJobId=8 ArrayTaskId=1 JobName=x
   UserId=bob(1) GroupId=bob(1)
   JobState=FAILED

JobId=8 JobName=y
   UserId=bob(1)"""


def test_a_comment_forges_no_job() -> None:
    path = DATA / "slurm" / "scontrol-show-job-d-batch2-8_newline-in-comment.txt"
    raw = path.read_bytes().replace(b"line2 Key=Val", FORGED)
    (job,) = slurm.COMMANDS.job("8").parse(Answer(raw))
    assert (job.id, job.owner, job.state) == ("8", "alice", JobState.RUNNING)
    assert job.working_directory == "/home/alice"
    assert job.output_path is not None
    path = DATA / "slurm" / "scontrol-show-job-d-1_newline-in-name-forged-comment.txt"
    (job,) = slurm.COMMANDS.job("1").parse(answer_of(path))
    assert (job.name, job.owner, job.nodes) == ("evil\n123456789", "alice", ("qb001",))
    assert job.working_directory == "/home/alice"


def test_a_name_forges_no_row_of_a_list() -> None:
    path = DATA / "slurm" / "squeue-o-list_mixed.txt"
    text = path.read_text()
    forged = text.splitlines(keepends=True)[0]
    row = forged.replace("alice", "bob")[:40]
    jobs = jobs_from_list(Answer(text.replace("n" * 40, f"\n{row}"[:40]).encode()))
    assert {job.owner for job in jobs} == {"alice"}
    assert [job.id for job in jobs] == ["2_[1-3%1]", "4", "3", "1", "2_0"]


LATER: dict[str, Any] = {
    "jobs": [
        {
            "job_id": 7,
            "array_job_id": {"set": True, "infinite": False, "number": 5},
            "array_task_id": {"set": True, "infinite": False, "number": 0},
            "het_job_id": {"set": True, "infinite": False, "number": 0},
            "job_state": ["FAILED"],
            "state_reason": "NonZeroExitCode",
            "name": "a|b",
            "user_name": "alice",
            "cpus": {"set": True, "infinite": False, "number": 4},
            "nodes": "qb[001-002]",
            "time_limit": {"set": False, "infinite": True, "number": 0},
            "start_time": {"set": True, "infinite": False, "number": 1795436209},
            "end_time": {"set": True, "infinite": False, "number": 1795436300},
            "exit_code": {
                "status": ["SIGNALED"],
                "return_code": {"set": False, "infinite": False, "number": 0},
                "signal": {"id": {"set": True, "infinite": False, "number": 9}, "name": "Killed"},
            },
            "tres_alloc_str": "cpu=4,mem=8G,node=2,gres/gpu=2,gres/gpu:k40=2",
            "gres_detail": ["gpu:k40:1(IDX:0)", "gpu:k40:1(IDX:1)"],
            "job_resources": {
                "nodes": {
                    "count": 2,
                    "allocation": [
                        {"name": "qb001", "cpus": {"count": 2}, "memory": {"allocated": 4096}},
                        {"name": "qb002", "cpus": {"count": 2}, "memory": {"allocated": 4096}},
                    ],
                }
            },
        }
    ],
    "errors": [],
}


def test_later_versions_of_slurm_wrap_their_numbers() -> None:
    (job,) = jobs_from_squeue(Answer(json.dumps(LATER).encode()))
    assert (job.id, job.name, job.cores_count, job.gpus_count) == ("5_0", "a|b", 4, 2)
    assert (job.walltime_s, job.started_at_s) == (None, 1795436209.0)
    assert job.exit is not None
    assert job.exit.words == "killed by SIGKILL"
    assert [node.gpu_indices for node in job.allocation] == [(0,), (1,)]
    assert job.node_memory_bytes == 4 << 30


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(sorted(LATER["jobs"][0])), inner, max_size=5)
        ),
    )
)
def test_json_of_another_shape(value: object) -> None:
    for plain in (
        {"jobs": value},
        {"jobs": [value]},
        {
            "jobs": [
                {**LATER["jobs"][0], "exit_code": value, "nodes": value, "job_resources": value}
            ]
        },
    ):
        try:
            jobs_from_squeue(Answer(json.dumps(plain).encode()))
        except NotUnderstoodError as error:
            assert error.message
