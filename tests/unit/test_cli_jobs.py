"""`hpcwatch jobs` as a user runs it, with schedulers' commands that answer recorded output."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from program import Ended, Hpcwatch
from unit_parts import run

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fakebin"))
import scenarios
from stand_in import MAUI, SLURM, TORQUE, StandIn

from hpcwatch import cli
from hpcwatch.cluster import client
from hpcwatch.cluster.schedulers.job import Job, JobState
from hpcwatch.recording.store import RunDirectory
from hpcwatch.views.text import width_of

DATA = Path(__file__).resolve().parents[1] / "parse" / "data"


class Jobs:
    """Runs `hpcwatch jobs` beside a stand-in."""

    def __init__(self, hpcwatch: Hpcwatch, folder: Path) -> None:
        self.hpcwatch, self.folder = hpcwatch, folder
        self.fake: StandIn | None = None

    def on(self, commands: tuple[str, ...], scenario: dict[str, Any]) -> Jobs:
        self.fake = StandIn(self.folder / "cluster", commands, scenario)
        return self

    def environment(self, columns: int) -> dict[str, str]:
        assert self.fake is not None
        return {**self.fake.environment, "TZ": "UTC", "COLUMNS": str(columns)}

    def __call__(self, *arguments: str, columns: int = 100) -> Ended:
        return self.hpcwatch("jobs", *arguments, **self.environment(columns))

    def shown(self, *arguments: str, columns: int = 100) -> list[str]:
        ended = self(*arguments, columns=columns)
        assert (ended.code, ended.err) == (0, "")
        return ended.out.splitlines()

    def plain(self, *arguments: str) -> dict[str, Any]:
        ended = self(*arguments, "--format", "json")
        assert (ended.code, ended.err) == (0, "")
        plain: dict[str, Any] = json.loads(ended.out)
        return plain

    @property
    def calls(self) -> list[str]:
        assert self.fake is not None
        return self.fake.calls


@pytest.fixture
def jobs(hpcwatch: Hpcwatch, tmp_path: Path) -> Jobs:
    return Jobs(hpcwatch, tmp_path)


def row(lines: list[str], job_id: str) -> str:
    (found,) = [line for line in lines if line.split(" ")[0] == job_id]
    return found


def below(lines: list[str], job_id: str) -> str:
    """What is said of a job in the lines below its own."""
    index = lines.index(row(lines, job_id)) + 1
    said = []
    while index < len(lines) and lines[index].startswith("   "):
        said.append(lines[index].strip())
        index += 1
    return " ".join(said)


def test_torque_with_maui(jobs: Jobs) -> None:
    lines = jobs.on(TORQUE + MAUI, scenarios.torque(3000)).shown("-u", "alice", columns=120)
    assert lines[0] == (
        "alice on torque: 5 running (17 cores, 2 GPUs), 1 array begun, 5 waiting, 3 over"
    )
    words = row(lines, "0.qb3").split()
    assert words[1:3] == ["two_nodes", "running"]
    assert "of 30:00:00, 29 h 10 min left" in row(lines, "0.qb3")
    assert "0.05 of 8" in row(lines, "0.qb3")
    assert "0.62 of 2 GiB" in row(lines, "0.qb3")
    assert below(lines, "0.qb3") == "● 0.05 of 8 cores busy (0.6 %)"
    assert below(lines, "1.qb3") == "", "the cores of a job with GPUs feed them"
    assert "over its walltime by 45 min" in below(lines, "2.qb3")
    assert "starts ~" in row(lines, "9.qb3")
    assert "(a guess)" in row(lines, "9.qb3")
    assert below(lines, "9.qb3").startswith("· not enough cores are free yet (torque: idle procs")
    assert "held" in row(lines, "10.qb3")
    assert "not before" in row(lines, "12.qb3")
    assert below(lines, "4.qb3") == "● ended with exit code 3"
    assert below(lines, "5.qb3") == "● killed: the walltime was over"
    assert below(lines, "3.qb3") == ""
    assert "took 0:07" in row(lines, "3.qb3")


def test_running_jobs_come_first_then_waiting_then_finished_ones(jobs: Jobs) -> None:
    found = jobs.on(TORQUE + MAUI, scenarios.torque()).plain("-u", "alice")
    states = [one["state"] for one in found["jobs"]]
    assert states == ["running"] * 6 + ["queued", "held", "held", "queued", "queued"] + [
        "failed",
        "completed",
        "timeout",
    ]


def test_one_call_and_a_few_more(jobs: Jobs) -> None:
    jobs.on(TORQUE + MAUI, scenarios.torque()).shown("-u", "alice")
    assert jobs.calls[:2] == ["qstat --version", "qstat -x"]
    assert sum(call.startswith("qstat") for call in jobs.calls) == 2
    assert sum(call.startswith("checkjob") for call in jobs.calls) == 4


def test_openpbs_accounts_the_first_node_and_says_so(jobs: Jobs) -> None:
    lines = jobs.on(TORQUE, scenarios.pbspro(1000)).shown("-u", "alice", columns=90)
    assert jobs.calls == ["qstat --version", "qstat -f -F json"]
    assert lines[0] == "alice on pbspro: 8 running (25 cores, 2 GPUs), 5 waiting"
    assert "of 10*" in row(lines, "7.qb3")
    assert "0.3 of 1.27 GiB*" in row(lines, "7.qb3")
    assert below(lines, "8.qb3") == "", "the other nodes may be busy, and not counted yet"
    assert "*" not in row(lines, "1.qb3")
    assert lines[-1] == "* of the first node at least: others may not be counted yet"
    assert "▲ memory 155 % of request: 311 of 200 MiB" in below(lines, "6.qb3")
    assert below(lines, "9.qb3").startswith(
        "· the cluster does not have that much: it never starts"
    )
    assert "not enough is free yet: 40 cores asked" in below(lines, "14.qb3")


def replayed(jobs: Jobs, commands: tuple[str, ...], answer: str, name: str) -> str:
    """The one row of a job that a recorded answer tells of, and what is said below it."""
    version = {"stdout": "slurm 23.11\n" if "squeue" in commands else "pbs_version = 23.06.06\n"}
    scenario: dict[str, Any] = {
        "*": {
            "squeue --version": version,
            "qstat --version": version,
            "squeue*": {"stderr": "squeue: unrecognized option '--json'\n", "exit_code": 1},
            "qstat -f -F json*": {"stderr": "qstat: invalid option -- F\n", "exit_code": 2},
            "sstat*": "slurm/sstat-j_unknown-id",
            "*": {"stdout": answer},
        }
    }
    lines = jobs.on(commands, scenario).shown("-u", "alice", columns=150)
    return f"{row(lines, name)} {below(lines, name)}"


def ago(seconds: float, form: str = "%Y-%m-%dT%H:%M:%S") -> str:
    return time.strftime(form, time.gmtime(time.time() - seconds))


def test_suspended_time_counts_neither_as_run_nor_as_left(jobs: Jobs) -> None:
    """fasrc/slurm_showq#13: it ran 2 h, was suspended 26 h, and runs again since 2 h."""
    said = replayed(
        jobs,
        SLURM,
        "JobId=70 JobName=relax\n   UserId=alice(1001) GroupId=alice(1001) MCS_label=N/A\n"
        "   JobState=RUNNING Reason=None Dependency=(null)\n"
        "   RunTime=04:00:00 TimeLimit=08:00:00 TimeMin=N/A\n"
        f"   StartTime={ago(30 * 3600)} EndTime={ago(-4 * 3600)} Deadline=N/A\n"
        f"   SuspendTime={ago(7200)} SecsPreSuspend=7200\n   NumNodes=1 NumCPUs=8 NumTasks=1\n",
        "70",
    )
    assert "4:00:0" in said
    assert "of 8:00:00, " in said
    assert " left" in said
    assert "over its walltime" not in said


SUM = """Job Id: 69301.qb3
    Job_Owner = alice@corp.example.org@qb3.example.org
    resources_used.cput = 4090:56:03
    resources_used.mem = 133784200kb
    resources_used.walltime = 64:26:16
    job_state = R
    exec_host = b141/0*16+b142/0*16+b143/0*16+b144/0*16
    exec_vnode = (b141:ncpus=16:mem=62914560kb)+(b142:ncpus=16:mem=62914560kb)\
+(b143:ncpus=16:mem=62914560kb)+(b144:ncpus=16:mem=62914560kb)
    Resource_List.mem = 240gb
    Resource_List.ncpus = 64
    Resource_List.walltime = 72:00:00
    stime = {stime}
"""


def test_use_above_the_first_node_s_share_is_a_sum_over_all(jobs: Jobs) -> None:
    text = SUM.replace("\\\n", "").replace("alice@corp.example.org@", "alice@")
    said = replayed(
        jobs, TORQUE, text.format(stime=ago(64 * 3600, "%a %b %d %H:%M:%S %Y")), "69301.qb3"
    )
    assert "63.5 of 64 " in said
    assert "128 of 240 GiB " in said
    assert "memory-near-limit" not in said
    assert "%" not in said


def test_an_array_that_has_begun_is_its_tasks(jobs: Jobs) -> None:
    """qtop#219: the parent's start is the first task's, so its time is nothing to judge."""
    text = (
        "Job Id: 13013[].qb3\n    Job_Name = arr\n    Job_Owner = alice@qb3\n    job_state = B\n"
        "    Resource_List.ncpus = 2\n    Resource_List.walltime = 04:00:00\n"
        f"    stime = {ago(6 * 3600, '%a %b %d %H:%M:%S %Y')}\n    array = True\n"
        "    array_state_count = Queued:3 Running:2 Exiting:0 Expired:5 \n"
    )
    said = replayed(jobs, TORQUE, text, "13013[].qb3")
    assert "begun  3 waiting, 2 running, 5 over  2 each" in said
    assert "walltime" not in said


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("PREEMPTED Reason=None", "preempted: a job of higher priority took its place"),
        ("NODE_FAIL Reason=NodeDown FailedNode=qb001", "its node failed (qb001)"),
        ("FAILED Reason=NonZeroExitCode", "ended with exit code 1; a step of it was killed"),
    ],
)
def test_how_a_slurm_job_ended(jobs: Jobs, state: str, words: str) -> None:
    said = replayed(
        jobs,
        SLURM,
        "JobId=108 JobName=low\n   UserId=alice(1001) GroupId=alice(1001) MCS_label=N/A\n"
        f"   JobState={state} Dependency=(null)\n"
        "   Requeue=0 Restarts=0 BatchFlag=1 Reboot=0 ExitCode=1:0\n   DerivedExitCode=0:125\n"
        f"   StartTime={ago(10800)} EndTime={ago(60)} Deadline=N/A\n",
        "108",
    )
    assert words in said
    assert "could not run" not in said


def test_slurm_asks_sstat_for_the_first_few(jobs: Jobs) -> None:
    lines = jobs.on(SLURM, scenarios.slurm()).shown("-u", "alice")
    assert sum(call.startswith("sstat") for call in jobs.calls) == 4
    assert sum(call.startswith("squeue --json") for call in jobs.calls) == 1
    assert "2.44 of 4 GiB+" in row(lines, "1")
    assert "– of 1" in row(lines, "2_1"), "unknown is not 0"
    assert "+ of the steps that run" in lines
    assert below(lines, "2_[3-6%2]").endswith("(slurm: JobArrayTaskLimit)")
    assert "(slurm: Resources)" in below(lines, "5")


def test_json_holds_what_the_table_shows(jobs: Jobs) -> None:
    found = jobs.on(TORQUE, scenarios.pbspro()).plain("-u", "alice")
    assert (found["schema_version"], found["user"], found["scheduler"]) == (1, "alice", "pbspro")
    (chunks,) = [one for one in found["jobs"] if one["id"] == "7.qb3"]
    assert chunks["asked"] == {
        "nodes": 3,
        "cores": 10,
        "gpus": 1,
        "memory_bytes": 1300 << 20,
        "walltime_s": 432000,
        "licenses": None,
    }
    assert chunks["used"]["covers"] == "first node, or more"
    assert chunks["used"]["cores_asked"] == 10
    assert chunks["used"]["memory_asked_bytes"] == 1300 << 20
    (big,) = [one for one in found["jobs"] if one["id"] == "9.qb3"]
    assert big["used"] is None
    assert big["estimated_start_at"] is None
    assert big["flags"][0]["rule"] == "waits"


@pytest.mark.parametrize("columns", [20, 40, 80, 100, 132, 250])
@pytest.mark.parametrize("name", ["torque", "pbspro", "slurm"])
def test_it_fits_any_width(jobs: Jobs, name: str, columns: int) -> None:
    commands = SLURM if name == "slurm" else TORQUE
    jobs.on(commands, getattr(scenarios, name)())
    lines = jobs.shown("-u", "alice", columns=columns)
    assert max(map(width_of, lines)) <= columns
    if columns >= 80:
        header = next(line for line in lines if line.startswith("id "))
        assert header.split()[:6] == ["id", "name", "state", "time", "cores", "memory"]
    if columns >= 132:
        assert "queue" in header
        assert "nodes" in header


HOSTILE = "a\x1b[2J\x1b]0;x\x07[red]b[/red]\u202e漢字" * 3


def test_hostile_names_reach_no_terminal(jobs: Jobs) -> None:
    scenario = scenarios.slurm()
    recorded = scenario["*"]["squeue --json -u *"]
    quoted = json.dumps(HOSTILE, ensure_ascii=True)
    recorded["replace"] = {'"fem=solve run"': quoted, '"checkpt"': quoted, '"Resources"': quoted}
    ended = jobs.on(SLURM, scenario)("-u", "alice", "--color", "never", columns=200)
    assert (ended.code, ended.err) == (0, "")
    assert not set(ended.out) & {"\x1b", "\x07", "\u202e"}
    assert r"a\x1b[2J\x1b]0;x\x07[red]b[/red]\u202e" in ended.out
    assert max(map(width_of, ended.out.splitlines())) <= 200


def test_no_jobs_are_one_friendly_line(jobs: Jobs) -> None:
    jobs.on(TORQUE, scenarios.torque())
    ended = jobs("-u", "nobody.else")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == (
        "nobody.else has no running or pending jobs on torque, or torque does not show them to"
        " you.\n"
    )
    assert jobs.plain("-u", "nobody.else")["jobs"] == []


@pytest.mark.parametrize("name", ["torque", "pbspro", "slurm"])
def test_an_empty_answer_is_no_jobs(jobs: Jobs, name: str) -> None:
    none = {
        "torque": (TORQUE, "qstat -x", ""),
        "pbspro": (TORQUE, "qstat -f -F json", '{"timestamp":1, "pbs_version":"23"}'),
        "slurm": (SLURM, "squeue --json -u *", '{"errors": [], "jobs": []}'),
    }
    commands, line, stdout = none[name]
    scenario = getattr(scenarios, name)()
    scenario["*"][line] = {"stdout": stdout}
    ended = jobs.on(commands, scenario)()
    assert (ended.code, ended.err) == (0, "")
    assert f"has no running or pending jobs on {name}.\n" in ended.out


@pytest.mark.parametrize(
    ("name", "line", "answer", "words"),
    [
        ("torque", "qstat -x", "torque/qstat_server-down", "cannot connect to server qb3"),
        ("pbspro", "qstat -f -F json", "pbspro/qstat_server-down", "cannot connect to server qb3"),
        ("slurm", "squeue --json -u *", "slurm/squeue-json_server-down", "Failed while looking"),
    ],
)
def test_a_server_that_is_down_is_one_clear_line(
    jobs: Jobs, name: str, line: str, answer: str, words: str
) -> None:
    scenario = getattr(scenarios, name)()
    scenario["*"][line] = answer
    scenario["*"]["qstat -f"] = "torque/qstat_server-down"
    ended = jobs.on(SLURM if name == "slurm" else TORQUE, scenario)("-u", "alice")
    assert (ended.code, ended.out) == (1, "")
    assert words in ended.complaint
    assert "last answer" not in ended.complaint, "there is none to keep in a new process"


def test_a_command_that_hangs_is_given_up(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """In this process, where the 30 s can be made one."""
    scenario = scenarios.torque()
    scenario["*"]["qstat -x"] = {"hang_s": 300}
    for name, text in jobs.on(TORQUE, scenario).environment(100).items():
        monkeypatch.setenv(name, text)
    monkeypatch.setenv("HPCWATCH_HOME", str(jobs.hpcwatch.home))
    monkeypatch.setattr(client, "TIMEOUT_S", 1.0)
    assert cli.main(["jobs", "-u", "alice"]) == 1
    said = capfd.readouterr()
    assert said.out == ""
    assert "qstat did not answer within 1 s" in said.err


def test_nonsense_is_reported_in_its_own_words(jobs: Jobs) -> None:
    scenario = scenarios.torque()
    for line in ("qstat -x", "qstat -f"):
        scenario["*"][line] = {"stdout": "Segmentation \x1b[31mfault\n", "exit_code": 139}
    ended = jobs.on(TORQUE, scenario)("-u", "alice")
    assert ended.code == 1
    assert r"Segmentation \x1b[31mfault" in ended.complaint


@pytest.mark.parametrize("user", ["", "-a", "a b", "$(id)", "a;b", "x" * 80])
def test_only_user_names_are_asked_for(jobs: Jobs, user: str) -> None:
    ended = jobs.on(SLURM, scenarios.slurm())(f"--user={user}")
    assert (ended.code, ended.out) == (2, "")
    assert "is no user name" in ended.complaint
    assert jobs.calls == []


def test_an_unknown_scheduler_is_named(jobs: Jobs) -> None:
    ended = jobs.on(TORQUE, scenarios.torque())("--scheduler", "lsf")
    assert ended.code == 2
    assert "it is one of slurm, torque, pbspro" in ended.complaint


def test_without_a_scheduler(jobs: Jobs) -> None:
    ended = jobs.on((), {})()
    assert (ended.code, ended.out) == (1, "")
    assert "no scheduler found: no squeue and no qstat on PATH" in ended.complaint


def test_thresholds_are_those_of_the_configuration(jobs: Jobs, hpcwatch: Hpcwatch) -> None:
    hpcwatch.configure("[findings.cpu-low]\nwarning_pct = 0.1\ninfo_pct = 0.2\n")
    lines = jobs.on(TORQUE, scenarios.torque(3000)).shown("-u", "alice")
    assert below(lines, "0.qb3") == ""


def watched(hpcwatch: Hpcwatch, title: str, age_s: float = 1.0, **fields: Any) -> RunDirectory:
    """A recording of job 0.qb3 as another hpcwatch makes it, with a report so far."""
    job = Job("0.qb3", "torque", state=JobState.RUNNING)
    directory = RunDirectory.create(str(hpcwatch.runs / "watched"))
    directory.write_run(run(kind="job", job=job, **{"ended_at_s": None, **fields}))
    finding = {"rule": "gpu-memory-held", "severity": "critical", "title": title}
    directory.write_report(json.dumps({"schema_version": 1, "findings": [finding]}))
    samples = Path(directory.file("samples.jsonl"))
    samples.touch()
    os.utime(samples, (time.time() - age_s, time.time() - age_s))
    return directory


def test_findings_of_a_recording_that_is_being_made(jobs: Jobs, hpcwatch: Hpcwatch) -> None:
    watched(hpcwatch, "GPU 1 idle 12 min, \x1bholds 10.7 GiB")
    lines = jobs.on(TORQUE, scenarios.torque(3000)).shown("-u", "alice")
    assert below(lines, "0.qb3") == (
        r"▲ GPU 1 idle 12 min, \x1bholds 10.7 GiB ● 0.05 of 8 cores busy (0.6 %)"
    )
    assert "GPU 1 idle" not in below(lines, "1.qb3")


@pytest.mark.parametrize("change", [{"age_s": 3600.0}, {"ended_at_s": 1_700_000_000.0}])
def test_findings_of_an_old_recording_are_not_news(
    jobs: Jobs, hpcwatch: Hpcwatch, change: dict[str, float]
) -> None:
    watched(hpcwatch, "GPU 1 idle", **change)
    lines = jobs.on(TORQUE, scenarios.torque(3000)).shown("-u", "alice")
    assert "GPU 1 idle" not in "\n".join(lines)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"findings": 3}', '{"findings": [{"rule": 1}]}'])
def test_a_damaged_report_stops_nothing(jobs: Jobs, hpcwatch: Hpcwatch, text: str) -> None:
    watched(hpcwatch, "x").write_report(text)
    lines = jobs.on(TORQUE, scenarios.torque(3000)).shown("-u", "alice")
    assert below(lines, "0.qb3") == "● 0.05 of 8 cores busy (0.6 %)"
