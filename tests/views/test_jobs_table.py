"""The table of jobs, its flags, the words for waiting, and what a cancelled job loses."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcwatch.analysis.findings import Severity
from hpcwatch.base.units import GIB, MIB
from hpcwatch.cluster.schedulers.job import Coverage, Job, JobNode, JobState, Usage
from hpcwatch.cluster.schedulers.job_exit import Cause, JobExit
from hpcwatch.cluster.schedulers.query import Answer
from hpcwatch.cluster.schedulers.slurm_json import jobs_from_squeue
from hpcwatch.views.jobs import cells, jobs_table, loss
from hpcwatch.views.jobs.flags import Flag, flags_of, used
from hpcwatch.views.jobs.jobs_table import JobRow
from hpcwatch.views.jobs.reasons import plain
from hpcwatch.views.text import render, width_of

NOW_S = 1_800_000_000.0
DATA = Path(__file__).resolve().parents[1] / "parse" / "data"


def job(**fields: object) -> Job:
    """A job on one node of 20 cores that has run for two hours of 72."""
    known = Job(
        id="305669.qb3",
        scheduler="torque",
        name="cnn",
        queue="workq",
        nodes=("qb002",),
        cores_count=20,
        memory_bytes=100 * GIB,
        walltime_s=72 * 3600,
        started_at_s=NOW_S - 7200,
        submitted_at_s=NOW_S - 9000,
        state=JobState.RUNNING,
        raw_state="R",
        owner="alice",
        nodes_count=1,
        allocation=(JobNode("qb002", 20, 100 * GIB),),
    )
    return known._replace(**fields)  # type: ignore[arg-type]


def using(cores: float, memory_bytes: int = GIB, **fields: object) -> Job:
    usage = Usage(Coverage.JOB, cores * 7000, memory_bytes, None, 7000)
    return job(usage=usage, **fields)


def texts(one: Job) -> list[str]:
    return [flag.text for flag in flags_of(one, NOW_S)]


def table(*jobs: Job, width: int = 120) -> list[str]:
    rows = [JobRow(one, flags_of(one, NOW_S)) for one in jobs]
    return [render(line, False).rstrip() for line in jobs_table.lines("t", rows, NOW_S, width)]


@pytest.mark.parametrize(
    ("cores", "expected"),
    [
        (2.1, ["2.1 of 20 cores busy (10 %)"]),
        (1.0, ["1 of 20 cores busy: the program is serial"]),
        (14.0, ["14 of 20 cores busy (70 %)"]),
        (16.5, []),
    ],
)
def test_idle_cores_are_told_in_the_findings_words(cores: float, expected: list[str]) -> None:
    assert texts(using(cores)) == expected


def test_how_bad_idle_cores_are() -> None:
    assert flags_of(using(2.1), NOW_S)[0].severity is Severity.WARNING
    assert flags_of(using(14.0), NOW_S)[0].severity is Severity.INFO
    assert flags_of(using(2.1, is_interactive=True), NOW_S)[0].severity is Severity.INFO
    assert flags_of(using(14.0, is_interactive=True), NOW_S) == ()


def test_whom_idle_cores_do_not_accuse() -> None:
    assert texts(using(2.1, gpus_count=2)) == []
    assert texts(using(0.1, cores_count=1)) == []
    assert texts(using(2.1, cores_count=None)) == []
    assert texts(using(2.1, started_at_s=NOW_S - 299)) == []
    assert texts(using(2.1, started_at_s=NOW_S - 301)) != []
    assert texts(job()) == []
    assert texts(using(1.0, nodes=("a", "b"))) == ["1 of 20 cores busy (5 %)"]


def test_the_first_node_s_account_is_held_against_the_first_node() -> None:
    shares = (JobNode("a", 4, 4 * GIB), JobNode("b", 16, 16 * GIB))
    usage = Usage(Coverage.FIRST_NODE, 7000.0, round(3.9 * GIB), None, 7000)
    one = job(nodes=("a", "b"), allocation=shares, usage=usage, memory_bytes=20 * GIB)
    use = used(one, NOW_S)
    assert (use.cores, use.cores_count, use.memory_asked_bytes) == (1.0, 4, 4 * GIB)
    assert texts(one) == [
        "memory 98 % of request: 3.9 of 4 GiB",
        "1 of 4 cores busy on the first node (25 %)",
    ]
    assert table(one)[-1] == "* of the first node only: the others tell when the job ends"


@pytest.mark.parametrize(
    ("share", "severity"), [(0.89, None), (0.93, Severity.WARNING), (0.97, Severity.CRITICAL)]
)
def test_memory_near_what_was_asked(share: float, severity: Severity | None) -> None:
    found = flags_of(using(20.0, round(share * 100 * GIB)), NOW_S)
    assert [flag.severity for flag in found] == ([severity] if severity else [])
    if severity:
        assert found[0].text == f"memory {share:.0%} of request: ".replace("%", " %") + (
            f"{100 * share:.0f} of 100 GiB"
        )


@pytest.mark.parametrize(
    ("walltime_s", "expected"),
    [
        (7200 + 480, ["ends in 8 min"]),
        (7200 + 601, []),
        (7200 - 120, ["over its walltime by 2 min"]),
        (7200 + 59, ["ends in 59 s"]),
    ],
)
def test_the_end_is_near(walltime_s: int, expected: list[str]) -> None:
    assert texts(job(walltime_s=walltime_s)) == expected


def test_a_short_job_is_not_about_to_end_all_the_time() -> None:
    assert texts(job(walltime_s=600, started_at_s=NOW_S - 500)) == []
    assert texts(job(walltime_s=600, started_at_s=NOW_S - 545)) == ["ends in 55 s"]


def test_worst_first() -> None:
    one = using(2.1, 99 * GIB, walltime_s=7300)
    assert [flag.severity for flag in flags_of(one, NOW_S)] == [
        Severity.CRITICAL,
        Severity.WARNING,
        Severity.WARNING,
    ]


def test_a_job_that_is_over_is_accused_of_nothing_but_its_end() -> None:
    ending = JobExit(Cause.SIGNAL, "137", None, 9)
    one = using(2.1, state=JobState.FAILED, exit=ending, ended_at_s=NOW_S - 60)
    assert flags_of(one, NOW_S) == (Flag("ended", Severity.WARNING, "killed by SIGKILL"),)
    deleted = one._replace(state=JobState.CANCELLED, exit=JobExit(Cause.DELETED, "271"))
    assert flags_of(deleted, NOW_S) == (Flag("ended", Severity.INFO, "deleted"),)
    assert flags_of(one._replace(state=JobState.COMPLETED), NOW_S) == ()


def test_an_unknown_state_is_shown_in_the_scheduler_s_word() -> None:
    row = table(job(state=JobState.UNKNOWN, raw_state="Z\x1b[2J"))[3]
    assert r"Z\x1b[2J" in row
    assert cells.state(job(state=JobState.UNKNOWN, raw_state="")) == "–"


def test_unknown_is_a_dash_and_never_0() -> None:
    bare = Job("1", "slurm", state=JobState.RUNNING)
    header, row = table(bare)[2:4]
    assert header.split() == ["id", "name", "state", "time", "cores", "memory", "nodes", "queue"]
    assert row.split() == ["1", "–", "running", "–", "–", "of", "–", "–", "of", "–", "–", "–"]


def test_times_of_jobs_that_wait() -> None:
    waiting = job(state=JobState.QUEUED, started_at_s=None, allocation=(), nodes=())
    when = time.strftime("%H:%M", time.localtime(NOW_S + 5400))
    guessed = waiting._replace(estimated_start_at_s=NOW_S + 5400)
    assert cells.time(waiting, NOW_S) == "waits 2 h 30 min"
    assert cells.time(guessed, NOW_S).startswith("starts ~")
    assert when in cells.time(guessed, NOW_S, is_long=True)
    assert cells.time(guessed, NOW_S, is_long=True).endswith(" (a guess)")
    past = waiting._replace(estimated_start_at_s=NOW_S - 5)
    assert cells.time(past, NOW_S) == "starts soon"
    later = waiting._replace(eligible_at_s=NOW_S + 5400)
    assert cells.time(later, NOW_S).startswith("not before ")
    assert cells.time(waiting._replace(submitted_at_s=None), NOW_S) == "–"


def test_a_time_is_as_exact_as_it_is_near(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    try:
        assert cells.clock_words(NOW_S + 60, NOW_S) == "08:01"
        assert cells.clock_words(NOW_S + 86400, NOW_S) == "Sat 08:00"
        assert cells.clock_words(NOW_S + 30 * 86400, NOW_S) == "2027-02-14"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_flags_stand_beside_where_there_is_room() -> None:
    wide = table(using(2.1), width=160)
    assert wide[3].endswith("  ● 2.1 of 20 cores busy (10 %)")
    assert len(wide) == 4
    narrow = table(using(2.1), width=80)
    assert narrow[4] == "   ● 2.1 of 20 cores busy (10 %)"


def test_right_columns_give_way_and_the_name_only_as_far_as_it_must() -> None:
    long_name = job(name="n" * 60, gpus_count=1)
    full = table(long_name, width=200)
    assert "n" * 39 + "…" in full[3]
    assert full[2].split()[-3:] == ["GPUs", "nodes", "queue"]
    for width in range(60, 200):
        row = table(long_name, width=width)[3]
        assert width_of(row) <= width
        if width > 80:
            assert "of 72:00:00" in row
    shorter = table(long_name, width=width_of(full[3]) - 5)
    assert "n" * 34 + "…" in shorter[3]
    assert shorter[2].split()[-3:] == ["GPUs", "nodes", "queue"]


def test_wide_letters_keep_columns_in_place() -> None:
    rows = table(job(id="1", name="漢字"), job(id="2", name="abcd"))
    assert len({width_of(row.partition("running")[0]) for row in rows[3:5]}) == 1


NAMES = st.text(max_size=40)


@given(NAMES, NAMES, NAMES, NAMES, st.integers(1, 200))
def test_no_text_leaves_the_width_or_its_cell(
    name: str, queue: str, state: str, reason: str, width: int
) -> None:
    jobs = [
        job(name=name, queue=queue, state=JobState.UNKNOWN, raw_state=state, reason=reason),
        job(name=name, state=JobState.QUEUED, reason=reason, nodes=(), allocation=()),
    ]
    for line in table(*jobs, width=width):
        assert width_of(line) <= width
        assert line.isprintable()


def test_what_waiting_means_is_known_of_every_recorded_reason() -> None:
    answer = Answer((DATA / "slurm" / "squeue-json_mixed.txt").read_bytes())
    reasons = {one.reason for one in jobs_from_squeue(answer) if one.state.is_waiting}
    assert len(reasons) > 4
    for reason in reasons:
        assert reason and plain(reason)


def test_unknown_reasons_are_left_to_the_scheduler() -> None:
    one = job(state=JobState.QUEUED, reason="xyzzy")
    assert texts(one) == ["xyzzy"]
    known = job(state=JobState.QUEUED, reason="Priority", scheduler="slurm")
    assert texts(known) == ["jobs with a higher priority are ahead of it (slurm: Priority)"]


def lost(*parts: Job, me: str = "alice") -> list[str]:
    return loss.lines(parts, NOW_S, me)


def test_what_a_running_job_loses() -> None:
    assert lost(job(gpus_count=2)) == [
        "305669.qb3 · cnn · running on qb002 · queue workq",
        "  has run 2:00:00 of 72:00:00: 40 core-hours on 20 cores and 4 GPU-hours on 2 GPUs"
        " would be lost",
    ]
    assert lost(job(), me="bob")[1] == "  it is alice's, not yours"
    bare = Job("1", "slurm", state=JobState.RUNNING, started_at_s=NOW_S - 60)
    assert lost(bare) == ["1 · without a name · running", "  has run 1:00"]
    many = job(nodes=tuple(f"n{number}" for number in range(9)))
    assert "running on n0, n1, n2, n3 and 5 more" in lost(many)[0]


@pytest.mark.parametrize(
    ("indices", "count"),
    [("1-6%2", 6), ("1-6:2", 3), ("0,4-7", 5), ("3", 1), ("", 1), ("x", 1), ("1-9:0", 9)],
)
def test_tasks_of_an_array_are_counted(indices: str, count: int) -> None:
    array = job(id="6[].qb3", array_id="6[].qb3", array_index=indices, started_at_s=None, nodes=())
    plural = "" if count == 1 else "s"
    assert f"array of {count} task{plural}, running" in lost(array)[0]


def test_an_array_s_tasks_count_and_not_the_array_beside_them() -> None:
    parts = [
        job(id="6[].qb3", array_id="6[].qb3", array_index="1-6"),
        job(id="6[1].qb3", array_id="6[].qb3", array_index="1", cores_count=1),
        job(id="6[2].qb3", array_id="6[].qb3", array_index="2", cores_count=1, state=JobState.HELD),
    ]
    head, ran, waited = lost(*parts)
    assert "array of 2 tasks left: 1 running, 1 held" in head
    assert ran == "  has run 2:00:00 of 72:00:00: 2 core-hours on 1 core would be lost"
    assert waited == "  has waited 2 h 30 min: its place in the queue would be lost"


def test_components_of_a_heterogeneous_job() -> None:
    parts = [job(id="4+0", het_id="4"), job(id="4+1", het_id="4", het_offset=1)]
    head, ran = lost(*parts)
    assert head.startswith("4 · cnn · heterogeneous job of 2 components left: 2 running")
    assert ran.startswith("  the longest has run 2:00:00 of 72:00:00: 80 core-hours on 40 cores")


def test_how_a_job_ended() -> None:
    one = job(
        state=JobState.FAILED,
        raw_state="C",
        exit=JobExit(Cause.EXIT_CODE, "3", 3),
        ended_at_s=NOW_S - 3600,
    )
    said = loss.ending(one, NOW_S)
    assert said.startswith("ended with exit code 3 at ")
    assert said.endswith(" (torque: state C, exit status 3)")


def test_sizes_are_in_the_units_of_what_was_asked() -> None:
    one = using(1, 512 * MIB)
    assert cells.memory(one._replace(memory_bytes=2 * GIB), NOW_S) == "0.5 of 2 GiB"
    assert cells.memory(one._replace(memory_bytes=None), NOW_S) == "512 MiB of –"
    waiting = job(state=JobState.QUEUED, memory_bytes=2 * GIB)
    assert cells.memory(waiting, NOW_S) == "2 GiB"
    assert cells.cores(waiting, NOW_S) == "20"
