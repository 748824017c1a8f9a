"""`hpcwatch jobs --since` as a user runs it, beside commands that answer with made accounts."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from history_scenes import js1, sacct_answer, sacct_job, sacct_row, sacct_step
from program import Ended, Hpcwatch
from unit_parts import wait_until

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fakebin"))
from stand_in import SLURM, TORQUE, StandIn
from unit_parts import run as make_run

from hpcwatch.analysis.history_groups import Group
from hpcwatch.cli import explain
from hpcwatch.cluster.schedulers.job import Job, JobState
from hpcwatch.recording.store import RunDirectory
from hpcwatch.views.jobs.history_data import JOB_HEADS, plain_group
from hpcwatch.views.text import width_of

CONFIG = """AccountingStorageTRES = cpu,gres/gpu
GresTypes = gpu
JobAcctGatherType = jobacct_gather/{kind}
JobAcctGatherParams = (null)
"""


class Accounts:
    """Runs hpcwatch beside accounts."""

    def __init__(self, hpcwatch: Hpcwatch, folder: Path) -> None:
        self.hpcwatch, self.folder = hpcwatch, folder
        self.fake: StandIn | None = None

    def hold(
        self,
        rows: Sequence[Sequence[str]],
        kind: str = "linux",
        answers: dict[str, Any] | None = None,
    ) -> Accounts:
        """Answer every day's question with these rows; moved so that they ended lately."""
        told = {
            "squeue --version": {"stdout": "slurm 22.05.8\n"},
            "scontrol show config": {"stdout": CONFIG.format(kind=kind)},
            "sacctmgr*": {"stdout": "chem\nphysics\n"},
            "sacct *": {"stdout": sacct_answer(rows)},
        }
        scenario = {"*": {**told, **(answers or {})}}
        self.fake = StandIn(self.folder / "cluster", (*SLURM, "sacctmgr"), scenario)
        return self

    def on(self, commands: tuple[str, ...], scenario: dict[str, Any]) -> Accounts:
        self.fake = StandIn(self.folder / "cluster", commands, scenario)
        return self

    def variables(self, columns: int = 100) -> dict[str, str]:
        assert self.fake is not None
        return {**self.fake.environment, "TZ": "UTC", "COLUMNS": str(columns)}

    def __call__(self, *arguments: str, columns: int = 100) -> Ended:
        return self.hpcwatch("jobs", *arguments, **self.variables(columns))

    def shown(self, *arguments: str, columns: int = 100) -> list[str]:
        ended = self("--since", "1d", "-u", "alice", *arguments, columns=columns)
        assert (ended.code, ended.err) == (0, "")
        assert all(width_of(line) <= columns for line in ended.out.splitlines())
        return ended.out.splitlines()

    def plain(self, *arguments: str) -> dict[str, Any]:
        ended = self("--since", "1d", "-u", "alice", *arguments, "--format", "json")
        assert (ended.code, ended.err) == (0, "")
        found: dict[str, Any] = json.loads(ended.out)
        return found

    @property
    def calls(self) -> list[str]:
        assert self.fake is not None
        return self.fake.calls


@pytest.fixture
def accounts(hpcwatch: Hpcwatch, tmp_path: Path) -> Accounts:
    return Accounts(hpcwatch, tmp_path)


GPUS = "cpu=8,gres/gpu=2,mem=8G"
ROWS = [
    sacct_job("1", hours=2, cores=20, TotalCPU="02:00:00", JobName="serial"),
    sacct_step("1.batch", "mem=1G"),
    sacct_job("2", hours=1, State="OUT_OF_MEMORY", JobName="big", AllocTRES="cpu=1,mem=4G"),
    sacct_step("2.batch", "mem=4G", State="OUT_OF_MEMORY"),
    sacct_job("3", hours=3, AllocTRES=GPUS, JobName="net", User="alice"),
    sacct_step("3.0", "gres/gpumem=300M,gres/gpuutil=0,mem=2G"),
    sacct_job("4", hours=1, State="FAILED", ExitCode="3:0", JobName="serial", cores=1),
    sacct_job("9_1", hours=1, State="TIMEOUT", JobName="many", cores=1),
    sacct_job("9_2", hours=2, JobName="many", cores=1),
    sacct_row("5", JobName="waits", User="alice", State="PENDING", ReqTRES="cpu=4", ElapsedRaw=0),
]


def row(lines: list[str], job_id: str) -> str:
    (found,) = [line for line in lines if line.split(" ")[0] == job_id]
    return found


def test_the_table(accounts: Accounts) -> None:
    lines = accounts.hold(ROWS).shown(columns=140)
    assert lines[1] == ""
    heads = ["id", "name", "ended", "waited", "ran", "cores", "memory", "GPUs"]
    assert lines[2].split()[:8] == heads
    assert "2:00:00 of 2:00:00" in row(lines, "1")
    assert "1 of 20" in row(lines, "1")
    assert "1 of 4 GiB^" in row(lines, "1")
    assert row(lines, "1").split()[-2:] == ["38", "0"]
    assert "out of memory" in row(lines, "2")
    assert "0 of 2<" in row(lines, "3")
    assert "failed (3)" in row(lines, "4")
    assert "queued" in row(lines, "5")
    assert "^ of the largest step" in lines
    assert any(line.startswith("total") and "core-hours" in line for line in lines)


def test_the_worst_each_with_one_change(accounts: Accounts) -> None:
    lines = accounts.hold(ROWS).shown()
    start = lines.index("worst by waste (3 of 7):")
    said = " ".join(line.strip() for line in lines[start + 1 :])
    assert said.index("  net  ") < said.index("  serial  ")
    assert "its 2 GPUs did nothing: request none, or make the program use them" in said
    assert "1 of 20 cores busy on average: request 1, or make the program use them" in said


@pytest.mark.parametrize("columns", [60, 80, 100, 120, 200])
@pytest.mark.parametrize("by", ["job", "name", "array", "user", "account", "queue", "day"])
def test_every_width_holds_what_matters(accounts: Accounts, by: str, columns: int) -> None:
    lines = accounts.hold(ROWS).shown("--by", by, columns=columns)  # no line is wider
    text = "\n".join(lines)
    assert "total" in text
    assert lines[lines.index("") + 1].split()[0] == {"job": "id"}.get(by, by)


def test_names_take_the_room_that_other_columns_left(accounts: Accounts) -> None:
    accounts.hold([sacct_job("1", JobName="a" * 30)])
    for columns in (70, 80, 90, 110):
        line = row(accounts.shown(columns=columns), "1")
        assert line.split()[1] == "a" * 30 or width_of(line) == columns, columns


def test_a_day_is_readable_in_80_columns(accounts: Accounts) -> None:
    lines = accounts.hold(ROWS).shown("--by", "day", columns=80)
    assert any(re.match(r"\d{4}-\d\d-\d\d ", line) for line in lines)
    assert any(line.startswith("not over yet ") for line in lines)


def test_groups_have_quantiles_and_failures(accounts: Accounts) -> None:
    found = accounts.hold(ROWS).plain("--by", "name")["groups"]
    many = next(group for group in found if group["name"] == "many")
    assert (many["jobs_count"], many["failed_count"], many["timeout_count"]) == (2, 1, 1)
    assert (many["ran_min_s"], many["ran_p50_s"], many["ran_max_s"]) == (3600, 3600, 7200)
    assert (many["memory_p50_bytes"], many["memory_known_count"]) == (None, 0)
    assert found[0]["name"] == "net", "the worst first"
    (array,) = accounts.plain("--by", "array")["groups"]
    assert (array["name"], array["jobs_count"]) == ("9", 2)


def test_json_says_sums_and_of_how_many_they_are_known(accounts: Accounts) -> None:
    found = accounts.hold(ROWS).plain()
    assert (found["is_whole"], found["troubles"]) == (True, [])
    assert found["totals"]["jobs_count"] == 7
    assert found["totals"]["core_hours"] == pytest.approx(40 + 1 + 24 + 1 + 1 + 2)
    assert found["totals"]["idle_gpu_hours"] == pytest.approx(6)
    jobs = {job["id"]: job for job in found["jobs"]}
    assert jobs["1"]["cores_used_mean"] == 1
    assert jobs["1"]["memory_source"] == "accounts, largest step"
    assert jobs["3"]["gpus_source"] == "accounts, at most"
    assert jobs["9_1"]["array_id"] == "9"
    assert jobs["5"]["core_hours"] == 0
    assert found["worst"][0]["id"] == "3"


def test_csv_and_ndjson_have_the_same_jobs(accounts: Accounts) -> None:
    accounts.hold(ROWS)
    lines = accounts.shown("--format", "ndjson", columns=10_000)
    text = accounts.shown("--format", "csv", columns=10_000)
    rows = list(csv.DictReader(io.StringIO("\n".join(text))))
    assert [one["id"] for one in rows] == [json.loads(line)["id"] for line in lines]
    assert {one["id"] for one in rows} == {"1", "2", "3", "4", "9_1", "9_2", "5"}
    assert [one["ran_s"] for one in rows if one["id"] == "1"] == ["7200.0"]


@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        (("--state", "oom,timeout"), {"2", "9_1"}),
        (("--state", "FAILED"), {"4"}),
        (("--state", "queued"), {"5"}),
        (("--name", "ser*"), {"1", "4"}),
        (("--name", "ser*", "--state", "failed"), {"4"}),
    ],
)
def test_only_some(accounts: Accounts, arguments: tuple[str, ...], ids: set[str]) -> None:
    found = accounts.hold(ROWS).plain(*arguments)
    assert {job["id"] for job in found["jobs"]} == ids
    assert found["totals"]["jobs_count"] == len(ids)


def test_orders(accounts: Accounts) -> None:
    accounts.hold(ROWS)
    order = [job["id"] for job in accounts.plain("--sort", "waste")["jobs"]]
    assert order[:2] == ["3", "1"]
    order = [job["id"] for job in accounts.plain("--sort", "ran")["jobs"]]
    assert order[0] == "3"
    order = [job["id"] for job in accounts.plain("--sort", "id")["jobs"]]
    assert order == ["1", "2", "3", "4", "5", "9_1", "9_2"]


def test_costs_at_the_configured_rates(accounts: Accounts) -> None:
    accounts.hold(ROWS)
    accounts.hpcwatch.configure('[costs]\ncore_hour = 1\ngpu_hour = 10\nunit = "EUR"\n')
    found = accounts.plain()
    jobs = {job["id"]: job for job in found["jobs"]}
    assert (jobs["1"]["cost"], jobs["1"]["idle_cost"]) == (40, 38)
    assert jobs["3"]["cost"] == 24 + 60
    assert found["totals"]["cost_known_count"] == 7
    assert any(line.startswith("total") and "EUR" in line for line in accounts.shown())


def test_page_cache_is_said_where_it_may_be(accounts: Accounts) -> None:
    assert "page cache" in "\n".join(accounts.hold(ROWS, kind="cgroup").shown())


def test_page_cache_is_not_said_where_it_cannot_be(accounts: Accounts) -> None:
    assert "page cache" not in "\n".join(accounts.hold(ROWS).shown())


BAD = {
    ("--since", "7days"): "did you mean 7d?",
    ("--since", "2026-02-31"): "did you mean 2026-02-28?",
    ("--since", "yesterday"): "did you mean 20",
    ("--since", "soon"): "give 7d, 2026-11-01",
    ("--since", "1d", "--until", "2d"): "--until is not after --since",
    ("--since", "0d"): "--since is not in the past",
    ("--since", "1d", "--state", "failled"): "did you mean failed?",
    ("--since", "1d", "--state", "zzz"): "it is one of completed",
    ("--since", "1d", "--by", "acount"): "did you mean account?",
    ("--since", "1d", "--sort", "wast"): "did you mean waste?",
    ("--since", "1d", "-u", "a b"): "is no user name",
    ("--since", "1d", "-A", "$(rm)"): "is no account",
    ("--since", "1d", "--all", "-u", "alice"): "exclude each other",
    ("--state", "failled"): "did you mean failed?",
    ("--by", "acount"): "did you mean account?",
    ("--sort", "wast"): "did you mean waste?",
    ("--until", "1d"): "say since when",
    ("--by", "name"): "say since when",
    ("--format", "csv"): "say since when",
    ("-u", "alice", "bob"): "name one, or say --since",
}


@pytest.mark.parametrize("arguments", list(BAD))
def test_bad_input_is_one_line_and_asks_nobody(
    accounts: Accounts, arguments: tuple[str, ...]
) -> None:
    ended = accounts.hold(ROWS)(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert len(ended.err.splitlines()) == 1
    assert BAD[arguments] in ended.err
    assert accounts.calls == []


def test_an_unknown_account_names_the_nearest(accounts: Accounts) -> None:
    ended = accounts.hold([])("--since", "1d", "-A", "chmem")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == "hpcwatch: no account chmem: did you mean chem?\n"


def test_no_jobs_of_an_account_that_there_is(accounts: Accounts) -> None:
    ended = accounts.hold([])("--since", "1d", "-A", "chem")
    assert (ended.code, ended.err) == (0, "")
    assert "no jobs" in ended.out


DOWN = {
    "stderr": "sacct: error: slurm_persist_conn_open_without_init: failed to open persistent "
    "connection to host:qb3:6819: Connection refused\n",
    "exit_code": 1,
}


def test_a_database_that_is_down_is_told_in_its_words(accounts: Accounts) -> None:
    ended = accounts.hold(ROWS, answers={"sacct *": DOWN})("--since", "7d", "-u", "alice")
    assert ended.code == 1
    assert "Connection refused" in ended.out
    assert "Not whole: missing or in part is" in ended.out
    assert sum(call.startswith("sacct ") for call in accounts.calls) == 1, "it is asked no more"


def test_one_bad_day_costs_no_other_day(accounts: Accounts) -> None:
    refused = {"stderr": "sacct: error: a word of its own\n", "exit_code": 1, "then": "later"}
    accounts.hold(ROWS)
    assert accounts.fake is not None
    path = accounts.fake.folder / "scenario.json"
    scenario = json.loads(path.read_text())
    path.write_text(json.dumps({**scenario, "start": {"sacct *": refused}}))
    ended = accounts("--since", "7d", "-u", "alice", "--format", "json")
    found = json.loads(ended.out)
    assert ended.code == 1
    assert "a word of its own" in ended.err
    assert (found["is_whole"], len(found["missing"])) == (False, 1)
    assert "a word of its own" in found["troubles"][0]
    # The first question was about the last day, to which what waits belongs.
    assert {job["id"] for job in found["jobs"]} <= {"1", "2", "3", "4", "9_1", "9_2", "5"}


def test_ctrl_c_keeps_what_came(accounts: Accounts) -> None:
    accounts.hold(ROWS)
    assert accounts.fake is not None
    path = accounts.fake.folder / "scenario.json"
    scenario = json.loads(path.read_text())
    whole = {**scenario["*"]["sacct *"], "then": "hangs"}
    hang = {"hang_s": 600}
    path.write_text(
        json.dumps({**scenario, "start": {"sacct *": whole}, "hangs": {"sacct *": hang}})
    )
    environment = {**accounts.hpcwatch.environment, **accounts.variables()}
    command = accounts.hpcwatch.command("jobs", "--since", "7d", "-u", "alice")
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # where the tests themselves ignore it, as in the background of a shell
    with process:
        asked = lambda: sum(call.startswith("sacct ") for call in accounts.calls) == 2  # noqa: E731
        wait_until(asked, "the second day's question")
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (130, "")
    assert re.search(r": \d jobs?: ", out)
    assert "Stopped: missing or in part is" in out


def test_a_row_with_a_hostile_name_is_harmless_in_each_format(accounts: Accounts) -> None:
    name = '=cmd|x\n\x1b[2J"'
    accounts.hold([sacct_job("1", JobName=name)])
    for kind in ("table", "csv", "json", "ndjson"):
        ended = accounts("--since", "7d", "-u", "alice", "--format", kind)
        assert "\x1b" not in ended.out
        assert ended.code == 0
    (one,) = csv.DictReader(io.StringIO(accounts("--since", "7d", "--format", "csv").out))
    assert one["name"] == "'=cmd|x\\n\\x1b[2J\""
    assert accounts.plain()["jobs"][0]["name"] == name


def test_an_older_sacct_is_told_as_it_says_itself(accounts: Accounts) -> None:
    refused = {"stderr": 'sacct: error: Invalid field requested: "AdminComment"\n', "exit_code": 1}
    ended = accounts.hold(ROWS, answers={"sacct *": refused})("--since", "1h", "-u", "alice")
    assert ended.code == 1
    assert "Invalid field requested" in ended.out


def recorded(accounts: Accounts, job: Job, summary: dict[str, Any], **fields: Any) -> None:
    """A recording of a job with this summary in its report."""
    folder = accounts.hpcwatch.runs / f"of-{job.id}"
    directory = RunDirectory.create(str(folder))
    directory.write_run(make_run(job=job, kind="job", **fields))
    directory.write_report(json.dumps({"summary": summary}))


GPU = {"util_mean_pct": 40.0, "memory_peak_bytes": 1 << 30}


def test_recordings_fill_in_what_accounts_do_not_know(accounts: Accounts) -> None:
    accounts.hold([sacct_job("7", hours=1, AllocTRES=GPUS), sacct_step("7.0", "mem=2G")])
    (before,) = accounts.plain()["jobs"]
    assert (before["gpus_used_mean"], before["memory_source"]) == (None, "accounts, largest step")
    at_s = _epoch(before["started_at"])
    summary = {"gpus": [GPU, GPU], "memory_peak_bytes": 3 << 30, "cpu_s": 5.0, "scope": "job"}
    times = {"started_at_s": at_s, "ended_at_s": at_s + 3600, "wall_s": 3590.0}
    recorded(accounts, Job("7", "slurm"), summary, **times)
    found = accounts.plain()
    (job,) = found["jobs"]
    assert job["gpus_used_mean"] == pytest.approx(0.8)
    assert (job["gpus_source"], job["gpu_memory_bytes"]) == ("recording", 2 << 30)
    assert (job["memory_bytes"], job["memory_source"]) == (3 << 30, "recording")
    assert job["cpu_source"] == "accounts", "what accounts know stays"
    assert any("+ from our recording" in line for line in accounts.shown())


def test_a_recording_of_a_part_fills_in_nothing(accounts: Accounts) -> None:
    accounts.hold([sacct_job("7", hours=1, AllocTRES=GPUS), sacct_step("7.0", "mem=2G")])
    at_s = _epoch(accounts.plain()["jobs"][0]["started_at"])
    summary = {"gpus": [GPU, GPU], "memory_peak_bytes": 3 << 30, "scope": "job"}
    times = {"started_at_s": at_s, "ended_at_s": at_s + 900, "wall_s": 900.0}
    recorded(accounts, Job("7", "slurm"), summary, **times)
    (job,) = accounts.plain()["jobs"]
    assert (job["gpus_used_mean"], job["memory_source"]) == (None, "accounts, largest step")


def test_a_recording_of_an_earlier_job_of_the_same_number_is_another_s(accounts: Accounts) -> None:
    accounts.hold([sacct_job("7", hours=1, AllocTRES=GPUS)])
    at_s = _epoch(accounts.plain()["jobs"][0]["started_at"]) - 86400
    summary = {"gpus": [GPU, GPU], "memory_peak_bytes": 3 << 30, "scope": "job"}
    times = {"started_at_s": at_s, "ended_at_s": at_s + 3600, "wall_s": 3600.0}
    recorded(accounts, Job("7", "slurm", owner="alice"), summary, **times)
    job = next(job for job in accounts.plain()["jobs"] if job["state"] == "completed")
    assert job["gpus_used_mean"] is None


def test_what_torque_forgot_comes_from_recordings(accounts: Accounts) -> None:
    accounts.on(
        TORQUE,
        {"*": {"qstat --version": "other/torque/qstat-version", "qstat -x -t": {"stdout": ""}}},
    )
    job = Job(
        *("5.qb3", "torque", "old"),
        owner="alice",
        state=JobState.COMPLETED,
        cores_count=4,
        started_at_s=_ago(7200),
        ended_at_s=_ago(3600),
    )
    times = {"started_at_s": _ago(7200), "ended_at_s": _ago(3600), "wall_s": 3600.0}
    recorded(accounts, job, {"cpu_s": 3600.0, "memory_peak_bytes": 1 << 30}, **times)
    found = accounts.plain()
    (one,) = found["jobs"]
    assert (one["id"], one["state"], one["cores_used_mean"]) == ("5.qb3", "completed", 1)
    assert (one["cpu_source"], one["memory_source"]) == ("recording", "recording")
    assert any("Torque forgets a job" in note for note in found["notes"])


def _ago(seconds: float) -> float:
    import time

    return time.time() - seconds


def _epoch(text: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def test_every_column_is_explained() -> None:
    known = set(explain.names())
    assert [head for head in JOB_HEADS if head not in known] == []


def test_every_column_of_groups_is_explained() -> None:
    heads = plain_group(Group("a name"))
    assert [head for head in heads if explain.meaning(head) is None] == []
    assert explain.meaning("ran_p95_s") == (
        "The 95th percentile of the time that the jobs of a group ran."
    )
    for odd in ("ran_p96_s", "ran_p95_w", "lost_count", "ran_p95"):
        assert explain.meaning(odd) is None


def test_jobstats_is_a_source(accounts: Accounts) -> None:
    node = {"cpus": 4, "total_time": 3600, "used_memory": 1 << 30, "gpu_utilization": {"0": 10}}
    comment = js1({"nodes": {"a": node}})
    accounts.hold([sacct_job("7", AdminComment=comment, AllocTRES="cpu=4,gres/gpu=1,mem=4G")])
    (job,) = accounts.plain()["jobs"]
    assert (job["cpu_source"], job["gpus_used_mean"]) == ("jobstats", 0.1)
    assert any("' from jobstats" in line for line in accounts.shown())
