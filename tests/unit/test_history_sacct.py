"""The rows of `sacct` as they stream in: steps, windows, hostile names, what is unknown."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from history_scenes import MARK, T0_S, js1, sacct_job, sacct_row, sacct_step, sacct_text

from hpcwatch.cluster.schedulers.history import PastJob, Site, Source, Wanted
from hpcwatch.cluster.schedulers.job import JobState
from hpcwatch.cluster.schedulers.query import Answer, NotUnderstoodError
from hpcwatch.cluster.schedulers.slurm_accounting import (
    SEPARATOR,
    jobs_from_sacct,
    new_separator,
)
from hpcwatch.cluster.schedulers.slurm_history import UNASKED, days, questions, site_from
from hpcwatch.cluster.schedulers.slurm_past import FIELDS, Reader
from hpcwatch.cluster.schedulers.slurm_rows import MOST_ROW_BYTES

DATA = Path(__file__).resolve().parents[1] / "parse" / "data" / "slurm"
MIB = 1 << 20


@pytest.mark.parametrize("name", ["a\x1fb", "a|b\nc", "a\n666\x1fx", "\x1f" * 30])
def test_a_question_about_one_job_takes_any_name_too(name: str) -> None:
    """The history of one job, whose separator is new in each process."""
    heads = ("JobID", "SubmitLine", "JobName", "User", "State", "End")
    rows = [heads, ("7", "sbatch x", name, "alice", "COMPLETED", "Unknown")]
    text = "".join(SEPARATOR.join(row) + "\n" for row in rows)
    (job,) = jobs_from_sacct(Answer(text.encode()))
    assert (job.id, job.name, job.owner) == ("7", name.strip() or None, "alice")


def pieces(text: str, size: int = 1000) -> list[bytes]:
    raw = text.encode("utf-8", "surrogateescape")
    return [raw[at : at + size] for at in range(0, len(raw), size)]


def read(rows: Sequence[Sequence[str]], reader: Reader | None = None) -> list[PastJob]:
    return list((reader or everything()).read(pieces(sacct_text(rows))))


def everything(counts_gpus: bool = False) -> Reader:
    return Reader(0.0, 1e12, is_last=True, counts_gpus=counts_gpus)


def only(rows: Sequence[Sequence[str]]) -> PastJob:
    (job,) = read(rows)
    return job


def test_a_job_and_its_steps() -> None:
    job = only(
        [
            sacct_job("7", hours=2, cores=8, TotalCPU="1-02:03:04.5", AllocTRES="cpu=8,mem=4G"),
            sacct_step("7.batch", "cpu=00:00:04,energy=0,mem=319640K,pages=2,vmem=900000K"),
            sacct_step("7.0", "cpu=00:00:04,mem=2048M,vmem=1300080K", NTasks="4"),
        ]
    )
    assert (job.id, job.name, job.owner, job.account, job.queue) == (
        *("7", "train", "alice", "chem"),
        "checkpt",
    )
    assert (job.state, job.exit_code, job.signal) == (JobState.COMPLETED, 0, None)
    assert (job.cores_count, job.memory_requested_bytes) == (8, 4096 * MIB)
    assert (job.cpu_s, job.cpu_from) == (93784.5, Source.ACCOUNTS)
    assert (job.memory_bytes, job.memory_from) == (2048 * MIB, Source.STEP)
    assert (job.ran_s, job.walltime_s, job.waited_s) == (7200.0, 7200, 60.0)
    assert (job.submitted_at_s, job.ended_at_s) == (T0_S, T0_S + 60 + 7200)


def test_the_largest_task_is_said_to_be_one_where_there_are_more() -> None:
    job = only([sacct_job("7"), sacct_step("7.0", MaxRSS="1024K", NTasks="4")])
    assert (job.memory_bytes, job.memory_from) == (MIB, Source.TASK)
    job = only([sacct_job("7"), sacct_step("7.0", MaxRSS="1024K", NTasks="1")])
    assert (job.memory_bytes, job.memory_from) == (MIB, Source.STEP)


def test_what_nothing_was_gathered_of_is_unknown_and_not_zero() -> None:
    job = only([sacct_job("7", TotalCPU="00:00:00"), sacct_step("7.batch")])
    assert (job.cpu_s, job.memory_bytes, job.gpus_used) == (None, None, None)
    assert (job.cpu_from, job.memory_from, job.gpus_from) == (None, None, None)


def test_what_still_runs_has_no_use_yet() -> None:
    rows = [sacct_job("7", State="RUNNING", End="Unknown"), sacct_step("7.0", "mem=5M")]
    job = only(rows)
    assert (job.state, job.ran_s, job.cpu_s, job.memory_bytes) == (
        *(JobState.RUNNING, 3600.0, None),
        None,
    )


def test_a_step_killed_over_its_memory_limit() -> None:
    rows = [
        sacct_job("7", State="FAILED", ExitCode="1:0"),
        sacct_step("7.0", State="OUT_OF_MEMORY", ExitCode="0:125"),
    ]
    job = only(rows)
    assert (job.state, job.exit_code, job.is_step_out_of_memory) == (JobState.FAILED, 1, True)


def test_a_signal_is_no_exit_code() -> None:
    job = only([sacct_job("7", State="FAILED", ExitCode="0:9")])
    assert (job.exit_code, job.signal) == (None, 9)


def test_each_run_of_a_requeued_job_counts() -> None:
    rows = [
        sacct_job("7", State="REQUEUED", hours=1),
        sacct_step("7.batch", "mem=5M"),
        sacct_job("7", hours=2),
    ]
    first, last = read(rows)
    assert (first.state, first.raw_state, first.ran_s) == (JobState.UNKNOWN, "REQUEUED", 3600.0)
    assert (last.state, last.ran_s) == (JobState.COMPLETED, 7200.0)
    assert (first.memory_bytes, last.memory_bytes) == (5 * MIB, None)


def test_arrays_and_components() -> None:
    rows = [sacct_job("2_3"), sacct_job("4+0"), sacct_step("4+0.batch", "mem=5M"), sacct_job("9")]
    task, component, plain = read(rows)
    assert (task.id, task.array_id, plain.array_id) == ("2_3", "2", None)
    assert (component.id, component.array_id, component.memory_bytes) == ("4+0", None, 5 * MIB)


def test_gathered_devices_bound_the_use_from_above() -> None:
    amounts = "cpu=8,gres/gpu=4,gres/gpu:a100=4,mem=4G"
    used = "cpu=1,gres/gpumem=1000M,gres/gpuutil=60,mem=5M"
    job = only([sacct_job("7", AllocTRES=amounts), sacct_step("7.0", used)])
    assert (job.gpus_count, job.gpus_used, job.gpus_from) == (4, 0.6, Source.PEAKS)
    assert (job.gpu_memory_bytes, job.gpu_memory_from) == (1000 * MIB, Source.PEAKS)
    # A part of a divided device reads 0, and a short job was not sampled.
    for name, cell in (("AllocTRES", "cpu=8,gres/gpu:a100_1g.5gb=4"), ("ElapsedRaw", "90")):
        row = sacct_job("7", AllocTRES=amounts)
        row[FIELDS.index(name)] = cell
        assert only([row, sacct_step("7.0", "gres/gpumem=1M,gres/gpuutil=0")]).gpus_used is None


def test_zeros_alone_accuse_no_device() -> None:
    """Slurm reports 0 of both for a device that it cannot read."""
    row = sacct_job("7", AllocTRES="cpu=8,gres/gpu=4,mem=4G")
    unread = only([row, sacct_step("7.batch", "cpu=1,gres/gpumem=0,gres/gpuutil=0,mem=5M")])
    assert (unread.gpus_used, unread.gpus_from) == (None, None)
    idle = only([row, sacct_step("7.batch", "cpu=1,gres/gpumem=500M,gres/gpuutil=0,mem=5M")])
    assert (idle.gpus_used, idle.gpus_from) == (0.0, Source.PEAKS)


@pytest.mark.parametrize(("counts", "count"), [(True, 0), (False, None)])
def test_no_devices_are_none_only_where_the_site_counts_them(
    counts: bool, count: int | None
) -> None:
    (job,) = read([sacct_job("7")], everything(counts))
    assert job.gpus_count == count


def test_jobstats_summary_replaces_what_slurm_gathered() -> None:
    node = {
        "cpus": 4,
        "total_time": 7200,
        "used_memory": 2048 * MIB,
        "total_memory": 4096 * MIB,
        "gpu_utilization": {"0": 77.0, "1": 3.0},
        "gpu_used_memory": {"0": MIB, "1": MIB},
    }
    amounts = "cpu=4,gres/gpu=2,mem=4G"
    rows = [
        sacct_job("7", AdminComment=js1({"nodes": {"a": node}, "gpus": 2}), AllocTRES=amounts),
        sacct_step("7.0", "mem=3G,gres/gpuutil=90"),
    ]
    job = only(rows)
    assert (job.cpu_s, job.memory_bytes) == (7200.0, 2048 * MIB)
    assert job.gpus_used == pytest.approx(0.8)
    assert {job.cpu_from, job.memory_from, job.gpus_from} == {Source.JOBSTATS}
    assert job.gpu_memory_bytes == 2 * MIB


def test_a_job_counts_in_the_window_in_which_it_ended() -> None:
    day = 86400
    ends = {"1": T0_S - 1, "2": T0_S, "3": T0_S + day - 1, "4": T0_S + day, "5": "Unknown"}
    rows = [sacct_job(name, End=end) for name, end in ends.items()]
    rows[4][FIELDS.index("State")] = "RUNNING"
    first = Reader(T0_S, T0_S + day)
    second = Reader(T0_S + day, T0_S + 2 * day, is_last=True)
    assert [job.id for job in read(rows, first)] == ["2", "3"]
    assert [job.id for job in read(rows, second)] == ["4", "5"]


HOSTILE = [
    "a|b",
    "a\nb",
    "\n",
    "a\n666|x||bob|chem|checkpt|COMPLETED|0:0",
    "a\x1fb\x1f\x1f",
    f"x{MARK[:-1]}y",
    "a\x1b[2Jb",
    "a\udcffb",
    "ünï",
    "a\r\nb",
    '"quoted", \\',
]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("size", [1, 7, 4096])
def test_a_hostile_name_stays_a_name(name: str, size: int) -> None:
    rows = [sacct_job("6"), sacct_job("7", JobName=name), sacct_step("7.0", "mem=5M")]
    reader = everything()
    found = list(reader.read(pieces(sacct_text([*rows, sacct_job("8")]), size)))
    assert [job.id for job in found] == ["6", "7", "8"]
    assert found[1].name == (name.strip() or None)
    assert found[1].memory_bytes == 5 * MIB
    assert reader.odd_count == 0


def test_no_name_can_write_another_job_s_row() -> None:
    """With a separator that is known it could: it is new in each question."""
    name = f"x{MARK}{MARK.join(sacct_job('7')[2:])}\n666{MARK}x"
    forged = read([sacct_job("7", JobName=name)])
    assert [job.id for job in forged] == ["7", "666"], "the attack works where it is known"
    marks = {new_separator() for _ in range(100)}
    assert len(marks) == 100
    argv = [one.argv for one in questions(Wanted(T0_S, T0_S + 9e4, ("alice",)), Site())]
    assert len({word for words in argv for word in words if "delimiter" in word}) == len(argv)


@pytest.mark.parametrize("field", ["JobName", "AdminComment"])
def test_a_field_of_ten_megabytes_costs_its_own_row_only(field: str) -> None:
    for filling in ("x" * (10 << 20), "x\n" * (5 << 20)):
        rows = [
            sacct_job("6"),
            [filling if name == field else cell for name, cell in zip(FIELDS, sacct_job("7"))],
            sacct_step("7.0", "mem=5M"),
            sacct_job("8"),
        ]
        reader = everything()
        begin_s = time.process_time()
        found = list(reader.read(pieces(sacct_text(rows), 1 << 18)))
        assert time.process_time() - begin_s < 20
        assert [(job.id, job.memory_bytes) for job in found] == [("6", None), ("8", None)]
        assert reader.odd_count >= 1


def test_a_row_that_is_nearly_too_long_is_read() -> None:
    name = "x" * (MOST_ROW_BYTES - 1000)
    assert only([sacct_job("7", JobName=name)]).name == name


def test_a_cut_answer_keeps_what_is_complete() -> None:
    text = sacct_text([sacct_job("6"), sacct_job("7")])
    reader = everything()
    cut = text[: len(text) - 20]
    assert [job.id for job in reader.read(pieces(cut))] == ["6"]
    assert reader.odd_count == 1


@pytest.mark.parametrize("text", ["slurm_load: error\n", "JobID\n", "JobID|State\n", "\n"])
def test_what_is_no_table_is_not_understood(text: str) -> None:
    with pytest.raises(NotUnderstoodError):
        list(everything().read(pieces(text)))


def test_no_answer_is_no_jobs() -> None:
    assert list(everything().read([])) == []


def test_odd_cells_are_unknown() -> None:
    odd = random.Random(5)
    for _ in range(300):
        cells = {name: odd.choice(["", "x", "-1", "9" * 30, "²", "NaN", "1:2:3:4:5"])
                 for name in FIELDS[2:]}  # fmt: skip
        read([sacct_row("7", **cells), sacct_step("7.0", odd.choice(["mem=", "mem", ",,", "=5"]))])


def test_old_times_are_read_too() -> None:
    job = only([sacct_job("7", Submit="2026-11-23T12:16:49", Start="Unknown")])
    assert job.started_at_s is None
    assert job.submitted_at_s == time.mktime((2026, 11, 23, 12, 16, 49, 0, 0, -1))


def days_of(since: Sequence[int], until: Sequence[int]) -> list[str]:
    bounds = [time.mktime((*part, 0, 0, 0, -1)) for part in (since, until)]  # type: ignore[arg-type]
    found = days(*bounds)
    assert found[0][0] == bounds[0]
    assert found[-1][1] == bounds[1]
    assert all(one[1] == other[0] for one, other in zip(found, found[1:]))
    return [time.strftime("%d %H:%M", time.localtime(first)) for first, _ in found]


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu"])
def test_windows_end_at_local_midnight(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert days_of((2026, 11, 21, 9, 30), (2026, 11, 23, 0, 0)) == ["21 09:30", "22 00:00"]
        # Summer time ends in Berlin: that day has 25 hours.
        shown = ["24 12:00", "25 00:00", "26 00:00"]
        assert days_of((2026, 10, 24, 12, 0), (2026, 10, 26, 1, 0)) == shown
    finally:
        monkeypatch.undo()
        time.tzset()


def argv_of(wanted: Wanted) -> Iterable[tuple[str, ...]]:
    return [one.argv for one in questions(wanted, Site())]


def test_the_latest_day_is_asked_first_and_each_by_itself() -> None:
    found = argv_of(Wanted(T0_S, T0_S + 2.5 * 86400, ("alice", "bob")))
    begins = [argv[argv.index("-S") + 1] for argv in found]
    assert begins == sorted(begins, reverse=True)
    assert all(argv[argv.index("-u") + 1] == "alice,bob" and "-a" not in argv for argv in found)
    (argv,) = argv_of(Wanted(T0_S, T0_S + 60, (), ("chem",)))
    assert "-a" in argv
    assert argv[argv.index("-A") + 1] == "chem"


CONFIG = """Configuration data as of 2026-11-29T18:00:00
AccountingStorageTRES   = cpu,mem,energy,node,billing,gres/gpu
GresTypes               = gpu
JobAcctGatherParams     = {params}
JobAcctGatherType       = jobacct_gather/{kind}
"""


@pytest.mark.parametrize(
    ("kind", "params", "is_said"),
    [
        ("cgroup", "(null)", True),
        ("cgroup", "OverMemoryKill,no_file_cache", False),
        ("linux", "(null)", False),
        ("none", "", False),
    ],
)
def test_page_cache_is_said_unless_the_site_leaves_it_out(
    kind: str, params: str, is_said: bool
) -> None:
    site = site_from(Answer(CONFIG.format(kind=kind, params=params).encode()))
    assert ("page cache" in site.caveat) is is_said
    assert site.counts_gpus


HUGE, CACHE = "huge pages twice", "page cache"


@pytest.mark.parametrize(
    ("version", "plugin", "said"),
    [
        ("21.08.8", "autodetect", ""),
        ("22.05.8", "autodetect", HUGE),
        ("22.05.8", "cgroup/v1", ""),
        ("23.02.5", "cgroup/v2", HUGE),
        ("23.02.6", "cgroup/v2", ""),
        ("23.11.0", "cgroup/v2", CACHE),
        ("26.05.3", "cgroup/v1", ""),
        ("unknown", "(null)", CACHE),
    ],
)
def test_what_memory_may_hold_depends_on_the_version(version: str, plugin: str, said: str) -> None:
    text = CONFIG.format(kind="cgroup", params="(null)")
    text += f"SLURM_VERSION           = {version}\nCgroupPlugin            = {plugin}\n"
    caveat = site_from(Answer(text.encode())).caveat
    assert (caveat == "") is (said == "")
    assert said in caveat


def test_an_unreadable_configuration_may_mean_page_cache() -> None:
    assert "page cache" in site_from(Answer(b"nothing\n")).caveat
    assert "page cache" in UNASKED.caveat
    assert not UNASKED.counts_gpus


def test_a_site_without_devices_counts_them_all() -> None:
    text = "AccountingStorageTRES = cpu\nGresTypes = (null)\n"
    assert site_from(Answer(text.encode())).counts_gpus
    assert not site_from(Answer(text.replace("(null)", "gpu").encode())).counts_gpus
