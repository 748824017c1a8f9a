"""Past jobs from what real servers printed: Slurm's accounts, OpenPBS's and Torque's lists."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from parse_parts import DATA, answer_of, utc

from hpcwatch.cluster.schedulers import dialect
from hpcwatch.cluster.schedulers.history import PastJob, Site, Source, Wanted, past_of
from hpcwatch.cluster.schedulers.job import JobState
from hpcwatch.cluster.schedulers.query import NotUnderstoodError
from hpcwatch.cluster.schedulers.slurm_accounting import jobs_from_sacct
from hpcwatch.cluster.schedulers.slurm_past import FIELDS, Reader

EVERYTHING = Wanted(0.0, 1e11)
MARK = "\x1fcafe\x1f"


@pytest.fixture(autouse=True)
def in_utc() -> Iterator[None]:
    with utc():
        yield


def listed(scheduler: str, name: str, wanted: Wanted = EVERYTHING) -> dict[str, PastJob]:
    """The past jobs in a recorded answer of a server."""
    loads = dialect(scheduler).history
    assert loads is not None
    (question,) = loads().questions(wanted, loads().unasked)
    asked = question if "json" in name or "xml" in name else question.if_odd
    assert asked is not None
    raw = (DATA / scheduler / f"{name}.txt").read_bytes()
    pieces = [raw[at : at + 1000] for at in range(0, len(raw), 1000)]
    return {job.id: job for job in asked.reader.read(pieces)}


def test_openpbs_in_json() -> None:
    jobs = listed("pbspro", "qstat-x-f-json-all_all")
    job = jobs["2.qb3"]
    assert (job.state, job.exit_code, job.owner) == (JobState.COMPLETED, 0, "alice")
    assert job.gpus_count == 0, "what requests no ngpus is given none"
    assert jobs["1.qb3"].state is JobState.RUNNING
    assert jobs["1.qb3"].memory_from is Source.ACCOUNTS


def test_openpbs_in_text_when_all_is_over() -> None:
    jobs = listed("pbspro", "qstat-x-f-final_all")
    whole = jobs["20.qb3"]
    assert (whole.state, whole.nodes_count) == (JobState.COMPLETED, 2)
    assert (whole.cpu_from, whole.memory_from) == (Source.ACCOUNTS, Source.ACCOUNTS)
    assert whole.ended_at_s is not None
    assert whole.ran_s is not None
    assert whole.started_at_s is not None
    assert abs(whole.ended_at_s - whole.started_at_s - whole.ran_s) < 10
    assert jobs["13.qb3"].state is JobState.CANCELLED


def test_openpbs_array_as_its_tasks() -> None:
    jobs = listed("pbspro", "qstat-x-f-t-5-final_array")
    assert set(jobs) == {"5[1].qb3", "5[3].qb3", "5[5].qb3"}
    assert {job.array_id for job in jobs.values()} == {"5[].qb3"}


def test_torque_keeps_some_that_are_over() -> None:
    jobs = listed("torque", "qstat-x-all_xml")
    states = {name: job.state for name, job in jobs.items()}
    assert states["3.qb3"] is JobState.COMPLETED
    assert (states["4.qb3"], jobs["4.qb3"].exit_code) == (JobState.FAILED, 3)
    assert states["5.qb3"] is JobState.TIMEOUT
    assert jobs["3.qb3"].gpus_count is None, "whole nodes may have devices that were not requested"
    assert listed("torque", "qstat-x-all_xml", Wanted(0.0, 1e11, ("nobody",))) == {}
    assert listed("torque", "qstat-x-all_xml", Wanted(0.0, 1.0)) == {}


def test_accounts_of_all_jobs_are_known_where_a_server_lists_all() -> None:
    loads = dialect("pbspro").history
    assert loads is not None
    (question,) = loads().questions(Wanted(0.0, 1e11, (), ("nosuch",)), Site())
    raw = (DATA / "pbspro" / "qstat-x-f-json-all_all.txt").read_bytes()
    assert list(question.reader.read([raw])) == []
    assert isinstance(question.reader.accounts, frozenset)


@pytest.mark.parametrize("scheduler", ["torque", "pbspro"])
def test_what_is_no_list_is_not_understood(scheduler: str) -> None:
    loads = dialect(scheduler).history
    assert loads is not None
    (question,) = loads().questions(EVERYTHING, Site())
    with pytest.raises(NotUnderstoodError):
        list(question.reader.read([b"qstat: something else\n"]))
    assert list(question.reader.read([])) == []


SACCT = [
    *("sacct-P-common_later", "sacct-P-common_mixed", "sacct-batch2-P_mixed"),
    *("sacct-P-j-30_26-node-fail", "sacct-P-j-32_26-completed-cpu"),
    *("sacct-P-j-33_26-completed-steps", "sacct-P-j-3_26v2-oom-in-step"),
]


def reordered(path: Path) -> bytes:
    """A recorded table with the columns that the history asks for, in their order."""
    lines = path.read_text(errors="surrogateescape").splitlines()
    separator = "\x1f" if "\x1f" in lines[0] else "|"
    heads = lines[0].split(separator)
    rows = [dict(zip(heads, line.split(separator))) for line in lines[1:]]
    made = [FIELDS, *([row.get(name, "") for name in FIELDS] for row in rows)]
    return "".join(MARK.join(row) + "\n" for row in made).encode("utf-8", "surrogateescape")


@pytest.mark.parametrize("name", SACCT)
def test_sacct_reads_as_the_question_about_one_job_does(name: str) -> None:
    path = DATA / "slurm" / f"{name}.txt"
    found = {job.id: job for job in Reader(0.0, 1e11, True).read([reordered(path)])}
    known = {job.id: job for job in jobs_from_sacct(answer_of(path))}
    assert set(found) == set(known)
    assert found
    for job_id, job in known.items():
        past, other = found[job_id], past_of(job, 2e9)
        same = ("id", "name", "owner", "account", "queue", "state", "array_id", "walltime_s")
        for field in (*same, "cores_count", "gpus_count", "is_step_out_of_memory"):
            assert getattr(past, field) == getattr(other, field), (job_id, field)
        assert (past.raw_id or past.id) == (job.raw_id or job.id)
        for field in ("submitted_at_s", "started_at_s", "ended_at_s"):
            assert getattr(past, field) == getattr(job, field), (job_id, field)
        if job.state.is_over:
            usage = job.usage
            assert past.cpu_s == (usage.cpu_s if usage is not None else None), job_id
            assert past.memory_bytes == (usage.memory_bytes if usage is not None else None), job_id


def test_a_job_whose_step_was_killed_over_its_memory() -> None:
    path = DATA / "slurm" / "sacct-P-j-3_26v2-oom-in-step.txt"
    (job,) = Reader(0.0, 1e11, True).read([reordered(path)])
    assert (job.state, job.is_step_out_of_memory) == (JobState.FAILED, True)
    assert job.memory_bytes == 148600 << 10
