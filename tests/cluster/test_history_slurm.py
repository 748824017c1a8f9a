"""`hpcwatch jobs --since` above real Slurm and its database, in each way that a job may end."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cluster.cluster import Cluster
from cluster.daemon import wait_for
from cluster.slurm_files import ACCOUNT

HOURS_BACK = 26
_HOSTILE = "hist-a|b\nc\x1fd\x1b[2J=e"
_GREEDY = "exec python3 -c 'import time; held = bytearray(300 << 20); time.sleep(600)'"
_BUSY_S = 1.0
_BUSY = f"python3 -c 'import time\nwhile time.process_time() < {_BUSY_S}: pass'"


class Past:
    """Jobs that are over and lie a day back in the accounts: sreport tells of whole hours only."""

    def __init__(self, slurm: Cluster, late: str) -> None:
        """``late`` is a job whose walltime will be over."""
        self._slurm = slurm
        self.ids = {"late": late}
        self.took_s = 0.0
        """What all jobs took together, with what was done to them."""

    def make(self) -> None:
        """Run the jobs to their ends, and move them back."""
        slurm = self._slurm
        began_s = time.monotonic()
        self._make_one_over_its_memory()
        waiting = '[ -n "$SLURM_RESTART_COUNT" ] && exit 0; touch begun; sleep 600'
        self._submit("well", f"srun -n2 sleep 2; {_BUSY}", "-n4", "--mem=500M")
        self._submit("fails", "exit 3")
        self._submit("array", "sleep $SLURM_ARRAY_TASK_ID", "--array=1-3")
        self._submit("het", "srun --het-group=0,1 sleep 1", "-n1", ":", "-n2", "--mem=200M")
        self._submit("gpu", "sleep 3", "-p", "k40", "--gres=gpu:2")
        self._submit("named", "sleep 1", name=_HOSTILE)
        self._submit("deleted", "sleep 600", "--time=10")
        self._submit("again", waiting, "--requeue")
        self._submit("others", "sleep 1", user="bob")
        again = self.ids["again"]
        slurm.wait_state(self.ids["deleted"], "RUNNING")
        slurm.said("sh", "-c", "until [ -e work/begun ]; do sleep 0.1; done; rm work/begun")
        slurm.said("scancel", self.ids["deleted"])
        slurm.said("scontrol", "requeue", again)
        slurm.wait_state(again, "PENDING")
        slurm.said("scontrol", "update", f"JobId={again}", "StartTime=now", user="root")
        # Slurm may take the first run's end, which it hears of late, for the second one's.
        slurm.wait_state(again, "COMPLETED", "FAILED", "CANCELLED")
        wait_for(lambda: self._are_over(*self.ids), "all jobs to be over in the accounts")
        self.took_s = time.monotonic() - began_s
        self._move()

    def _make_one_over_its_memory(self) -> None:
        """Let Slurm kill a job by what it gathers: nothing else does without control groups."""
        self._slurm.configure(JobAcctGatherParams="OverMemoryKill")
        try:
            self._submit("greedy", _GREEDY, "--mem=60M")
            wait_for(lambda: self._are_over("greedy"), "the greedy job to be killed")
        finally:
            self._slurm.configure(JobAcctGatherParams=None)

    def _submit(
        self, kind: str, script: str, *arguments: str, name: str = "", user: str = "alice"
    ) -> None:
        words = ["-J", name or f"hist-{kind}", *arguments]
        self.ids[kind] = self._slurm.submit(script, *words, user=user)

    def _are_over(self, *kinds: str) -> bool:
        ids = {self.ids[kind] for kind in kinds}
        argv = ["sacct", "-a", "-X", "-n", "-P", "-o", "JobID,State,End,ExitCode", "-j"]
        said = self._slurm.run([*argv, ",".join(ids)], "root").stdout.split("\n")
        rows = [line.split("|") for line in said if line]
        known = {row[0].split("_")[0].split("+")[0] for row in rows}
        states = {row[1] for row in rows}
        return (
            known == ids
            and all(row[2] != "Unknown" for row in rows)
            and not any(row[1] == "FAILED" and row[3] == "0:0" for row in rows)
            and not states & {"PENDING", "RUNNING", "REQUEUED"}
            and self._are_named(ids)
        )

    def _are_named(self, ids: set[str]) -> bool:
        """Whether the accounting has learned of the names: until then it has "allocation"."""
        argv = ["sacct", "-a", "-X", "-n", "-P", "-o", "JobName", "-j", ",".join(ids)]
        names = self._slurm.run(argv, "root").stdout.split("\n")
        return names != [""] and "allocation" not in names

    def _move(self) -> None:
        """Move the jobs in the database, steps with them."""
        names = ("time_submit", "time_eligible", "time_start", "time_end")
        back = HOURS_BACK * 3600

        def moved(columns: tuple[str, ...]) -> str:
            return ",".join(f"{name}={name}-{back}" for name in columns)

        chosen = "job_name like 'hist-%'"
        self._query(
            f"update loni_step_table set {moved(names[2:])} where job_db_inx in"
            f" (select job_db_inx from loni_job_table where {chosen});"
            f" update loni_job_table set {moved(names)} where {chosen};"
        )

    def _query(self, sql: str) -> str:
        argv = ("mariadb", "--no-defaults", "-S", "/run/mysql/socket", "slurm_acct", "-N", "-e")
        return self._slurm.said(*argv, sql, user="root")

    def asked(self, *arguments: str, user: str = "alice", code: int = 0) -> dict[str, Any]:
        """The answer as JSON."""
        argv = ["hpcwatch", "jobs", "--since", f"{2 * HOURS_BACK}h", "--name", "hist-*"]
        done = self._slurm.run([*argv, "--format", "json", *arguments], user)
        assert done.returncode == code, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def job(self, kind: str, *arguments: str) -> dict[str, Any]:
        """One job."""
        (found,) = [job for job in self.asked(*arguments)["jobs"] if job["id"] == self.ids[kind]]
        return found  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def past(slurm: Cluster, overdue: str) -> Past:
    """Jobs of each kind."""
    made = Past(slurm, overdue)
    made.make()
    return made


def test_a_job_with_steps(past: Past) -> None:
    job = past.job("well")
    assert (job["name"], job["owner"], job["account"]) == ("hist-well", "alice", ACCOUNT)
    assert (job["state"], job["exit_code"], job["cores_count"]) == ("completed", 0, 4)
    assert job["memory_requested_bytes"] == 500 << 20
    assert 2 <= job["ran_s"] <= past.took_s + 1
    assert _BUSY_S * 0.9 < job["cpu_s"] < 4 * (job["ran_s"] + 1)
    assert job["cpu_source"] == "accounts"
    assert job["memory_source"] in ("accounts, largest step", None)


@pytest.mark.parametrize(
    ("kind", "state", "code"),
    [
        ("fails", "failed", 3),
        ("deleted", "cancelled", 0),
        ("late", "timeout", 0),
    ],
)
def test_how_a_job_ended(past: Past, kind: str, state: str, code: int) -> None:
    job = past.job(kind)
    assert (job["state"], job["exit_code"]) == (state, code)


def test_a_kill_by_what_slurm_gathers_has_no_state_of_its_own_but_its_memory(past: Past) -> None:
    job = past.job("greedy")
    assert (job["state"], job["exit_code"]) == ("failed", None)
    assert job["memory_requested_bytes"] == 60 << 20
    assert 60 << 20 < job["memory_bytes"] < 400 << 20  # it may be killed while it still grows
    assert job["memory_source"] == "accounts, largest step"


def test_each_run_of_a_requeued_job_has_a_row(past: Past, slurm: Cluster) -> None:
    again = past.ids["again"]
    runs = [job for job in past.asked()["jobs"] if job["id"] == again]
    argv = ("sacct", "-D", "-X", "-n", "-P", "-o", "State", "-S", "2020-01-01", "-j", again)
    assert [run["raw_state"] for run in runs] == slurm.said(*argv).split()
    assert (len(runs), runs[0]["raw_state"], runs[0]["state"]) == (2, "REQUEUED", "unknown")


def test_an_array_and_its_group(past: Past) -> None:
    array = past.ids["array"]
    tasks = [job for job in past.asked()["jobs"] if job["array_id"] == array]
    assert {task["id"] for task in tasks} == {f"{array}_{index}" for index in (1, 2, 3)}
    groups = past.asked("--by", "array")["groups"]
    (group,) = [one for one in groups if one["name"] == array]
    assert (group["jobs_count"], group["ran_known_count"]) == (3, 3)
    assert group["ran_min_s"] <= group["ran_p50_s"] <= group["ran_max_s"]


def test_each_component_of_a_heterogeneous_job_has_a_row(past: Past) -> None:
    het = past.ids["het"]
    parts = {job["id"]: job for job in past.asked()["jobs"] if job["id"].startswith(f"{het}+")}
    assert {name: part["cores_count"] for name, part in parts.items()} == {
        f"{het}+0": 1,
        f"{het}+1": 2,
    }


def test_a_job_with_devices(past: Past) -> None:
    job = past.job("gpu")
    assert (job["gpus_count"], job["gpus_used_mean"], job["idle_gpu_hours"]) == (2, None, None)
    assert job["gpu_hours"] == pytest.approx(2 * job["ran_s"] / 3600, abs=1e-6)
    assert past.job("well")["gpus_count"] == 0, "the site counts devices"


def test_a_hostile_name(past: Past) -> None:
    assert past.job("named")["name"] == _HOSTILE


def test_sums_are_those_of_sreport(past: Past, slurm: Cluster) -> None:
    # Whole hours in which the jobs that were moved lie, and none of today's.
    first_s = (time.time() // 3600 - HOURS_BACK - 3) * 3600
    hours = [
        time.strftime("%Y-%m-%dT%H:00:00", time.localtime(at_s))
        for at_s in (first_s, first_s + 5 * 3600)
    ]
    times = (f"Start={hours[0]}", f"End={hours[1]}", "Grouping=1000000")
    for tres, key in (("cpu", "core_hours"), ("gres/gpu", "gpu_hours")):
        argv = ["sreport", "-P", "-n", "-t", "seconds", "-T", tres, "job", "SizesByAccount"]
        said = slurm.said(*argv, *times, user="root")
        cells = [line.split("|") for line in said.splitlines() if line.startswith("loni|")]
        whole_s = sum(int(cell) for row in cells for cell in row[2:-1] if cell.isdigit())
        ours = past.asked("--all")["totals"]
        assert whole_s > 0
        assert 3600 * ours[key] == pytest.approx(whole_s, abs=1), said


def test_others_jobs(past: Past) -> None:
    assert past.ids["others"] not in {job["id"] for job in past.asked()["jobs"]}
    for options in (("--all",), ("-u", "bob"), ("-u", "alice", "bob"), ("-A", ACCOUNT)):
        found = past.asked(*options)
        assert past.ids["others"] in {job["id"] for job in found["jobs"]}, options
    assert {one["name"] for one in past.asked("--all", "--by", "user")["groups"]} == {
        "alice",
        "bob",
    }


def test_an_account_and_a_user_that_there_are_not(past: Past, slurm: Cluster) -> None:
    done = slurm.run(["hpcwatch", "jobs", "--since", "2d", "-A", ACCOUNT[:-1]])
    assert (done.returncode, done.stdout) == (2, "")
    assert f"did you mean {ACCOUNT}?" in done.stderr
    done = slurm.run(["hpcwatch", "jobs", "--since", "1h", "-u", "nosuchuser"])
    assert done.returncode == 1
    assert "Invalid user id: nosuchuser" in done.stdout


@contextmanager
def accounting(slurm: Cluster, line: str) -> Iterator[None]:
    """Run the accounting with a line more in its configuration."""
    conf = slurm.folder / "etc" / "slurmdbd.conf"
    before = conf.read_text()
    slurm.stop_slurmdbd()
    conf.write_text(f"{before}{line}\n")
    slurm.start_slurmdbd()
    try:
        yield
    finally:
        slurm.stop_slurmdbd()
        conf.write_text(before)
        slurm.start_slurmdbd()


def test_where_others_jobs_are_private(past: Past, slurm: Cluster) -> None:
    with accounting(slurm, "PrivateData=jobs,users,accounts,usage"):
        assert past.ids["others"] not in {job["id"] for job in past.asked("--all")["jobs"]}
        assert past.job("well")["state"] == "completed"


def test_while_the_database_is_down(past: Past, slurm: Cluster) -> None:
    slurm.stop_slurmdbd()
    try:
        found = past.asked(code=1)
    finally:
        slurm.start_slurmdbd()
    assert found["is_whole"] is False
    assert "sacct" in found["troubles"][0]
    assert found["jobs"] == []
