"""`hpcwatch cancel` as a user runs it: on a terminal and without, beside schedulers' stand-ins."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pytest
from program import DEADLINE_S, Ended, Hpcwatch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fakebin"))
import scenarios
from stand_in import MAUI, SLURM, TORQUE, StandIn

DATA = Path(__file__).resolve().parents[1] / "parse" / "data"
NO_XML = {"stderr": "qstat: invalid option -- 'x'\n", "exit_code": 2}


def torque(**states: Any) -> dict[str, Any]:
    """Job 13 runs for an hour and a half and is deleted by qdel."""
    alone = {
        "recorded": "torque/qstat-x-all_xml",
        "taken_at_s": scenarios.STARTED_S["torque"] + 5400,
        "stretch": 5400 / 40,
    }
    return {
        "*": {"qstat --version": "other/torque/qstat-version"},
        "start": {
            "qstat -x*": alone,
            "qdel 13": {"then": "deleted"},
            "qdel 15": {"recorded": "torque/qdel-15_other-user"},
            "qdel 10": {"recorded": "torque/qdel-1_server-down"},
        },
        "deleted": {"qstat -x*": NO_XML, "qstat -f 13": "torque/qstat-f-13_deleted"},
        **states,
    }


class Cancel:
    """Runs `hpcwatch cancel` beside a stand-in."""

    def __init__(self, hpcwatch: Hpcwatch, folder: Path) -> None:
        self.hpcwatch, self.folder = hpcwatch, folder

    def on(self, commands: tuple[str, ...], scenario: dict[str, Any]) -> Cancel:
        self.fake = StandIn(self.folder / "cluster", commands, scenario)
        self.environment = {**self.fake.environment, "TZ": "UTC"}
        return self

    def __call__(self, *arguments: str) -> Ended:
        return self.hpcwatch("cancel", *arguments, **self.environment)

    def asked(self, answer: bytes, *arguments: str) -> tuple[int, str]:
        """Run it on a terminal and answer its question; return its exit code and the screen."""
        ours, theirs = pty.openpty()

        def take_terminal() -> None:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # a script's & makes its children deaf
            os.setsid()
            fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

        with subprocess.Popen(
            self.hpcwatch.command("cancel", *arguments),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**self.hpcwatch.environment, **self.environment, "TERM": "xterm"},
            cwd=self.folder,
            preexec_fn=take_terminal,
        ) as process:
            os.close(theirs)
            seen = b""
            is_answered = False
            while True:
                try:
                    read = os.read(ours, 4096)
                except OSError:  # how a terminal ends on Linux
                    break
                if not read:
                    break
                seen += read
                if b"[y/N]" in seen and not is_answered:
                    os.write(ours, answer)
                    is_answered = True
            os.close(ours)
            code = process.wait(DEADLINE_S)
        return code, seen.decode().replace("\r\n", "\n")

    @property
    def cancelled(self) -> list[str]:
        return [call for call in self.fake.calls if call.startswith(("qdel", "scancel"))]


@pytest.fixture
def cancel(hpcwatch: Hpcwatch, tmp_path: Path) -> Cancel:
    return Cancel(hpcwatch, tmp_path)


@pytest.mark.parametrize("answer", [b"y\n", b"Y\n", b" yes \n"])
def test_yes_cancels_and_tells_the_new_state(cancel: Cancel, answer: bytes) -> None:
    code, screen = cancel.on(TORQUE, torque()).asked(answer, "13")
    assert code == 0
    assert cancel.cancelled == ["qdel 13"]
    assert "13.qb3 · todelete · running on qb001 · queue workq\n" in screen
    assert "  it is alice's, not yours\n" in screen
    assert "  has run 1:30:0" in screen
    assert " of 1:00:00: 1.5 core-hours on 1 core would be lost\n" in screen
    assert screen.endswith("13.qb3 is cancelled now.\n")


@pytest.mark.parametrize("answer", [b"n\n", b"\n", b"x\n", b"yesterday\n", b"\x04", b"\x03"])
def test_anything_else_cancels_nothing(cancel: Cancel, answer: bytes) -> None:
    code, screen = cancel.on(TORQUE, torque()).asked(answer, "13")
    assert cancel.cancelled == []
    assert "Traceback" not in screen
    if answer == b"\x03":
        assert code == -signal.SIGINT
    else:
        assert (code, screen.splitlines()[-1]) == (1, "Nothing was cancelled.")


def test_without_a_terminal_it_asks_for_yes(cancel: Cancel) -> None:
    ended = cancel.on(TORQUE, torque())("13")
    assert (ended.code, ended.out) == (2, "")
    assert ended.complaint == "hpcwatch: there is no terminal to ask on: say --yes to cancel"
    assert cancel.fake.calls == []


def test_yes_asks_nothing(cancel: Cancel) -> None:
    ended = cancel.on(TORQUE, torque())("13", "--yes")
    assert (ended.code, ended.err) == (0, "")
    assert "[y/N]" not in ended.out
    assert ended.out.endswith("13.qb3 is cancelled now.\n")
    assert cancel.cancelled == ["qdel 13"]


def test_a_job_that_takes_its_time_to_end(cancel: Cancel) -> None:
    scenario = torque()
    scenario["start"]["qdel 13"] = {"stdout": "qdel: \x1b[31mrequest sent\n"}
    ended = cancel.on(TORQUE, scenario)("13", "--yes")
    assert ended.code == 0
    assert ended.out.splitlines()[-2:] == [
        r"torque says: qdel: \x1b[31mrequest sent",
        "13.qb3 is running still: it may take a minute to end.",
    ]
    assert sum(call.startswith("qstat -x") for call in cancel.fake.calls) == 2


def test_the_state_afterwards_may_be_unknown(cancel: Cancel) -> None:
    scenario = torque(deleted={"qstat*": "torque/qstat_server-down"})
    ended = cancel.on(TORQUE, scenario)("13", "--yes")
    assert ended.code == 0
    assert "cannot connect to server qb3" in ended.complaint
    assert ended.out.endswith("torque accepted the request; the state of 13 is not known.\n")


def test_a_job_that_no_command_knows_has_left_the_queue(cancel: Cancel) -> None:
    scenario = torque(deleted={"qstat*": "torque/qstat-x_unknown-id"})
    ended = cancel.on(TORQUE, scenario)("13", "--yes")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.endswith("13 has left the queue.\n")


@pytest.mark.parametrize(
    ("job_id", "words"),
    [
        ("15", "qdel: Unauthorized Request"),
        ("10", "it is unknown whether it is cancelled: see hpcwatch jobs"),
    ],
)
def test_a_refusal_is_told_in_the_scheduler_s_words(
    cancel: Cancel, job_id: str, words: str
) -> None:
    ended = cancel.on(TORQUE, torque())(job_id, "--yes")
    assert ended.code == 1
    assert words in ended.complaint
    assert cancel.cancelled == [f"qdel {job_id}"]


def test_slurm_s_refusal(cancel: Cancel) -> None:
    whole = (DATA / "slurm" / "scontrol-show-job-d-1_running-2nodes.txt").read_text()
    scenario = {
        "*": {
            "squeue --version": {"stdout": "slurm 22.05.8\n"},
            "scontrol show job -d 17": {"stdout": whole.replace("JobId=1 ", "JobId=17 ")},
            "scancel 17": "slurm/scancel-17_other-user",
        }
    }
    ended = cancel.on(SLURM, scenario)("17", "--yes")
    assert ended.code == 1
    assert "Kill job error on job id 17: Access/permission denied" in ended.complaint


def test_a_job_that_is_over(cancel: Cancel) -> None:
    ended = cancel.on(TORQUE, torque())("5", "--yes")
    assert (ended.code, ended.out) == (1, "")
    assert "job 5 is over: killed: the walltime was over" in ended.complaint
    assert "(torque: state C, exit status -11)" in ended.complaint
    assert cancel.cancelled == []


def test_openpbs_history_tells_that_a_job_is_over(cancel: Cancel) -> None:
    scenario = {
        "*": {
            "qstat --version": {"stdout": "pbs_version = 23.06.06\n"},
            "qstat -f -x -F json 2": "pbspro/qstat-x-f-json-2_finished",
            "qstat -f -F json 2": "pbspro/qstat-f-json-2_finished-no-x",
        }
    }
    ended = cancel.on(TORQUE, scenario)("2", "--yes")
    assert ended.code == 1
    assert "job 2 is over: ended well" in ended.complaint
    assert cancel.cancelled == []


@pytest.mark.parametrize(
    ("commands", "scenario", "words"),
    [
        (
            TORQUE + MAUI,
            {
                "qstat --version": "other/torque/qstat-version",
                "qstat*": "torque/qstat-x_unknown-id",
                "checkjob*": "moab/checkjob_unknown-id",
            },
            "no job 999999: torque says: qstat: Unknown Job Id",
        ),
        (
            TORQUE,
            {
                "qstat --version": {"stdout": "pbs_version = 23.06.06\n"},
                "qstat*": "pbspro/qstat-f-json-unknown-id",
            },
            "no job 999999: pbspro says: qstat: Unknown Job Id",
        ),
        (
            SLURM,
            {
                "squeue --version": {"stdout": "slurm 22.05.8\n"},
                "scontrol*": "slurm/scontrol-show-job_unknown-id",
                "sacct*": {"stdout": ""},
            },
            "no job 999999: slurm says: slurm_load_jobs error: Invalid job id",
        ),
    ],
    ids=["torque", "pbspro", "slurm"],
)
def test_an_unknown_job(
    cancel: Cancel, commands: tuple[str, ...], scenario: dict[str, Any], words: str
) -> None:
    ended = cancel.on(commands, {"*": scenario})("999999", "--yes")
    assert (ended.code, ended.out) == (1, "")
    assert words in ended.complaint
    assert cancel.cancelled == []


@pytest.mark.parametrize("word", ["", "x", "1;id", "$(id)", "1 2", "../1", "-1", "all", "1\x1b[2J"])
@pytest.mark.parametrize("name", ["torque", "slurm"])
def test_only_ids_reach_a_command_line(cancel: Cancel, name: str, word: str) -> None:
    cancel.on(SLURM if name == "slurm" else TORQUE, getattr(scenarios, name)())
    ended = cancel("--yes", "--", word)
    assert (ended.code, ended.out) == (2, "")
    assert "\x1b" not in ended.complaint
    assert len(cancel.fake.calls) == 1, "only its version was asked for"


def test_an_array_of_torque(cancel: Cancel) -> None:
    code, screen = cancel.on(TORQUE, torque()).asked(b"n\n", "6[]")
    assert code == 1
    assert "6[].qb3 · arr · array of 6 tasks, running · queue workq\n" in screen


def test_an_array_of_slurm(cancel: Cancel) -> None:
    records = (DATA / "slurm" / "scontrol-show-job-all_mixed.txt").read_text().split("\n\n")
    whole = "\n\n".join(one for one in records if " ArrayJobId=2 " in one)
    scenario = {
        "*": {
            "squeue --version": {"stdout": "slurm 22.05.8\n"},
            "scontrol show job -d 2": {"stdout": whole, "taken_at_s": scenarios.STARTED_S["slurm"]},
            "sstat*": "slurm/sstat-j_unknown-id",
            "scancel 2": {},
        }
    }
    code, screen = cancel.on(SLURM, scenario).asked(b"y\n", "2")
    assert code == 0
    assert "2 · arr · array of 6 tasks left: 2 running, 4 queued · queue checkpt\n" in screen
    assert "Cancel them? [y/N] " in screen
    assert cancel.cancelled == ["scancel 2"]
    assert screen.endswith(
        "6 parts of 2 are 2 running, 4 queued still: it may take a minute to end.\n"
    )


def slurm_array(which: str) -> dict[str, Any]:
    records = (DATA / "slurm" / "scontrol-show-job-all_mixed.txt").read_text().split("\n\n")
    whole = "\n\n".join(one for one in records if " ArrayJobId=2 " in one)
    left = "\n\n".join(
        one for one in records if " ArrayJobId=2 " in one and "ArrayTaskId=3-6" not in one
    )
    taken = scenarios.STARTED_S["slurm"]
    return {
        "*": {
            "squeue --version": {"stdout": "slurm 22.05.8\n"},
            "sstat*": "slurm/sstat-j_unknown-id",
            f"scancel {which}": {"then": "cancelled"},
        },
        "start": {"scontrol show job -d 2": {"stdout": whole, "taken_at_s": taken}},
        "cancelled": {"scontrol show job -d 2": {"stdout": left, "taken_at_s": taken}},
    }


@pytest.mark.parametrize("word", ["2_[3-6%2]", "2_[3-6]"])
def test_the_waiting_tasks_of_an_array_and_no_others(cancel: Cancel, word: str) -> None:
    code, screen = cancel.on(SLURM, slurm_array("2_[3-6]")).asked(b"y\n", word)
    assert code == 0
    assert cancel.cancelled == ["scancel 2_[3-6]"]
    assert "2 · arr · array of 4 tasks left: 4 queued" in screen
    assert screen.endswith(f"{word} has left the queue.\n")


def test_a_waiting_part_of_an_array_is_cancelled(cancel: Cancel) -> None:
    code, screen = cancel.on(SLURM, slurm_array("2_[3-4]")).asked(b"y\n", "2_[3-4]")
    assert code == 0
    assert cancel.cancelled == ["scancel 2_[3-4]"]
    assert "array of 2 tasks left: 2 queued" in screen


@pytest.mark.parametrize("word", ["2_[1-4%2]", "2_[3-9]", "2_[8]"])
def test_tasks_that_do_not_wait_are_refused(cancel: Cancel, word: str) -> None:
    ended = cancel.on(SLURM, slurm_array("*"))(word, "--yes")
    assert (ended.code, ended.out) == (1, "")
    assert "pending: see which tasks are pending: hpcwatch jobs" in ended.complaint
    assert cancel.cancelled == []


def test_a_waiting_job_loses_its_place(cancel: Cancel) -> None:
    code, screen = cancel.on(TORQUE, torque()).asked(b"n\n", "9")
    assert code == 1
    assert "9.qb3 · waits · queued · queue workq\n" in screen
    assert "  has waited 90 min: its place in the queue would be lost\n" in screen


def test_hostile_names_reach_no_terminal(cancel: Cancel) -> None:
    scenario = torque()
    scenario["start"]["qstat -x*"]["replace"] = {"todelete": "a\u202e\u009b31m[b]"}
    code, screen = cancel.on(TORQUE, scenario).asked(b"n\n", "13")
    assert code == 1
    assert not set(screen) & {"\u202e", "\u009b", "\x1b"}
    assert r"a\u202e\x9b31m[b]" in screen
