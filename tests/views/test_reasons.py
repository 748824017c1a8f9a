"""Why a job waits, in plain English: who holds it, and what releases it."""

from __future__ import annotations

import pytest

from hpcwatch.cluster.schedulers.job import Job, JobState
from hpcwatch.views.jobs.flags import flags_of
from hpcwatch.views.jobs.reasons import explained, plain


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("JobHeldUser", "its owner holds it: scontrol release ID lets it go"),
        ("JobHoldMaxRequeue", "scontrol release ID"),
        ("job_requeued_in_held_state", "it was requeued and is held: scontrol release ID"),
        ("launch failed requeued held", "scontrol release ID"),
        ("Hold_Types = u", "its owner holds it: qrls ID lets it go"),
        ("Hold_Types = o", "only an operator can release it"),
        ("Hold_Types = uo", "only an operator can release it"),
        ("Hold_Types = s", "only an administrator can release it"),
        ("Hold_Types = s, depend = afterok:2.qb3", "it waits for another job"),
        ("Hold_Types = l", "qrls ID lets it go"),
        ("Hold_Types = u · Job held by alice", "its owner holds it"),
        ("Holds: Batch:RMFailure", "until an administrator releases it"),
        ("Holds: User", "its owner holds it"),
        ("idle procs do not meet requirements : 0 of 1 procs found · feasible procs: 0", "never"),
    ],
)
def test_holds_tell_who_and_how(reason: str, words: str) -> None:
    assert words in plain(reason)


def test_codes_are_no_riddles() -> None:
    assert explained("job_requeued_in_held_state").startswith("job requeued in held state: ")
    assert explained("brand_new_reason") == "brand new reason"


def test_licences_are_named() -> None:
    job = Job("14", "slurm", state=JobState.QUEUED, reason="Licenses", licenses="fluent:3")
    (flag,) = flags_of(job, 0.0)
    assert flag.text == "it waits for a licence: fluent:3 (slurm: Licenses)"


@pytest.mark.parametrize(
    ("reason", "job_id", "words"),
    [
        ("JobHeldUser", "7", "its owner holds it: scontrol release 7 lets it go"),
        ("Hold_Types = u", "6[].qb3", "its owner holds it: qrls '6[].qb3' lets it go"),
        ("Holds: User", r"1\2", r"releasehold '1\2' or qrls '1\2' lets it go"),
        ("Resources", "7", "it is its turn, but what it asks for is not free yet"),
    ],
)
def test_a_command_names_the_job(reason: str, job_id: str, words: str) -> None:
    assert words in plain(reason, job_id)
    assert "ID" not in plain(reason, job_id)


def test_the_table_of_jobs_names_the_job_in_a_command() -> None:
    job = Job("1234", "slurm", state=JobState.HELD, reason="JobHeldUser")
    (flag,) = flags_of(job, 0.0)
    assert "scontrol release 1234 lets it go" in flag.text
