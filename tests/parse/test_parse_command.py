"""Running commands: deadlines, the cache, the order of questions; with a scheduler's stand-in."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from parse_parts import DATA, answer_of, utc

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fakebin"))
from stand_in import MAUI, SLURM, TORQUE, StandIn

from hpcwatch.base.errors import HpcwatchError
from hpcwatch.cluster import client
from hpcwatch.cluster.client import Asker
from hpcwatch.cluster.schedulers import JobState, scheduler
from hpcwatch.cluster.schedulers.detection import Detected, detect
from hpcwatch.cluster.schedulers.inquiry import Inquiry
from hpcwatch.cluster.schedulers.job import Coverage
from hpcwatch.cluster.schedulers.query import (
    Answer,
    NoAnswerError,
    NotUnderstoodError,
    Query,
    ServerDownError,
    is_unknown,
)

Made = Callable[[tuple[str, ...], dict[str, Any]], StandIn]


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Made]:
    def made(commands: tuple[str, ...], scenario: dict[str, Any]) -> StandIn:
        fake = StandIn(tmp_path / "cluster", commands, scenario)
        for name, value in fake.environment.items():
            monkeypatch.setenv(name, value)
        return fake

    with utc():
        yield made


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Server:
    """Answers one after the other; the last goes on for ever."""

    def __init__(self, *answers: Answer | HpcwatchError) -> None:
        self.answers = list(answers)
        self.calls: list[str] = []

    def __call__(self, argv: Sequence[str]) -> Answer:
        self.calls.append(" ".join(argv))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, HpcwatchError):
            raise answer
        return answer


def text_of(answer: Answer) -> str:
    if answer.exit_code:
        raise NotUnderstoodError("odd")
    return answer.text


ASK = Query(["qstat"], text_of)
DOWN = ServerDownError("qstat: cannot connect")


def test_the_same_is_asked_once_in_30_s() -> None:
    server, clock = Server(Answer(b"1"), Answer(b"2")), Clock()
    ask = Asker(server, clock)
    assert ask(ASK) == ("1", 0.0, "")
    clock.now += 29.9
    assert ask(ASK).value == "1"
    assert ask(ASK).age_s == pytest.approx(29.9)
    assert len(server.calls) == 1
    clock.now += 0.1
    assert ask(ASK) == ("2", 0.0, "")


def test_the_last_answer_outlives_the_server() -> None:
    server, clock = Server(Answer(b"1"), DOWN), Clock()
    ask = Asker(server, clock)
    ask(ASK)
    for seconds in (40.0, 80.0):
        clock.now = 100.0 + seconds
        assert ask(ASK) == ("1", seconds, "qstat: cannot connect")
    assert len(server.calls) == 3


def test_a_server_that_never_answered_is_an_error_and_not_asked_at_once_again() -> None:
    server = Server(DOWN)
    ask = Asker(server, Clock())
    for _ in range(3):
        with pytest.raises(ServerDownError, match="cannot connect"):
            ask(ASK)
    assert len(server.calls) == 1


def test_the_older_format_is_remembered() -> None:
    server, clock = Server(Answer(b"", b"", 2), Answer(b"1")), Clock()
    ask = Asker(server, clock)
    query = Query(["qstat", "-x"], text_of, if_odd=ASK)
    assert ask(query).value == "1"
    clock.now += 31
    assert ask(query).value == "1"
    assert server.calls == ["qstat -x", "qstat", "qstat"]


def test_the_number_is_remembered() -> None:
    server, clock = Server(Answer(b""), Answer(b"1")), Clock()
    ask = Asker(server, clock)
    query = Query(["qstat", "1.qb3.org"], text_of, if_unknown=Query(["qstat", "1"], text_of))
    assert ask(query).value == "1"
    clock.now += 31
    assert ask(query).value == "1"
    assert server.calls == ["qstat 1.qb3.org", "qstat 1", "qstat 1"]


def test_a_command_that_hangs_is_ended_with_its_children(stand_in: Made) -> None:
    fake = stand_in(("qstat",), {"*": {"qstat*": {"hang_s": 60}}})
    begin = time.monotonic()
    with pytest.raises(ServerDownError, match="did not answer within 1 s"):
        client.run(["qstat"], timeout_s=1)
    assert time.monotonic() - begin < 20
    assert fake.calls == ["qstat"]


def test_no_child_outlives_a_command_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "qstat"
    script.write_text(f"#!/bin/sh\nsleep 60 & echo $! > {tmp_path}/pid\nwait\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(ServerDownError):
        client.run(["qstat"], timeout_s=1)
    stat = Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}/stat")
    deadline = time.monotonic() + 20
    while stat.exists() and ") Z " not in stat.read_text():  # an orphan is not ours to reap
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """A qstat of our own: a shell script."""

    def made(text: str) -> Path:
        path = tmp_path / "qstat"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        return tmp_path

    return made


def has_ended(pid: str) -> bool:
    stat = Path(f"/proc/{pid.strip()}/stat")
    try:
        return ") Z " in stat.read_text()
    except OSError:
        return True


def await_end(pid: str) -> None:
    deadline = time.monotonic() + 20
    while not has_ended(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("endless", "complaint"),
    [
        ("head -c 1000000000 /dev/zero", "more than 4 MiB"),
        ("yes 'Job Id: 1.qb3'", "more than 1,000 lines"),
        ("cat /dev/zero >&2", "errors without end"),
        (
            "(yes x & echo $! > $0.new; mv $0.new $0.pid); yes x | head -n 2000; exit 0",
            "more than 1,000 lines",
        ),
    ],
)
def test_endless_output_is_cut_and_its_writers_end(
    script: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, endless: str, complaint: str
) -> None:
    monkeypatch.setattr(client, "MOST_BYTES", 4 << 20)
    monkeypatch.setattr(client, "MOST_LINES", 1000)
    folder = script(f"echo $$ > $0.pid\n{endless}")
    with pytest.raises(NoAnswerError, match=complaint):
        client.run(["qstat"])
    await_end((folder / "qstat.pid").read_text())


def test_the_end_of_a_command_counts_not_that_of_its_output(
    script: Callable[[str], Path],
) -> None:
    folder = script("sleep 60 & echo $! > $0.pid\necho answer\necho odd >&2\nexit 3")
    begin = time.monotonic()
    answer = client.run(["qstat"])
    assert time.monotonic() - begin < 10
    assert (answer.text, answer.stderr, answer.exit_code) == ("answer\n", b"odd\n", 3)
    pid = (folder / "qstat.pid").read_text()
    assert not has_ended(pid), "an ssh that serves later connections is left alone"
    os.kill(int(pid), 9)


def test_a_long_answer_is_read_to_its_end(script: Callable[[str], Path]) -> None:
    script("head -c 3000000 /dev/zero; head -c 300000 /dev/zero >&2; printf end")
    answer = client.run(["qstat"])
    assert len(answer.stdout) == 3_000_003
    assert answer.stdout.endswith(b"end")
    assert len(answer.stderr) == 300_000


@pytest.mark.parametrize(("end", "code"), [("kill -9 $$", -9), ("sh -c 'kill -9 $$'", 137)])
def test_a_command_that_was_killed_gave_no_answer(
    script: Callable[[str], Path], end: str, code: int
) -> None:
    script(f"echo 'Job Id: 1.qb3'; {end}")
    answer = client.run(["qstat"])
    assert answer.exit_code == code
    assert answer.signal == 9
    for name in ("torque", "pbspro"):
        query = scheduler(name).job("1").if_odd
        assert query is not None
        with pytest.raises(NoAnswerError, match="qstat was killed by SIGKILL"):
            query.parse(answer)


@pytest.mark.parametrize(
    ("name", "command"), [("slurm", "scancel"), ("torque", "qdel"), ("pbspro", "qdel")]
)
@pytest.mark.parametrize("end", ["kill -15 $$", "sh -c 'kill -15 $$'"])
def test_a_killed_command_may_have_cancelled_the_job(
    script: Callable[[str], Path], name: str, command: str, end: str
) -> None:
    script(end)
    query = scheduler(name).cancel("1")
    with pytest.raises(NoAnswerError, match=f"{command} was killed by SIGTERM"):
        query.parse(client.run(["qstat"]))


QSTAT_DOWN = b"Connection refused\nqstat: cannot connect to server qb3 (errno=15010)\n"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(b'{"pbs_version": "23.06.06"}', QSTAT_DOWN, 255), ServerDownError),
        (Answer(b"Job Id: 1.qb3\n" * 100, QSTAT_DOWN, 255), ServerDownError),
        (Answer(b"Job Id: 1.qb3\n    job_state", b"", 1), NoAnswerError),
        (Answer(b"", b"sstat: error: Unable to contact slurm controller\n"), ServerDownError),
        (Answer(b"", b"qstat: invalid option\n", 2), NotUnderstoodError),
        (Answer(b"", b"", -15), NoAnswerError),
    ],
)
def test_the_exit_code_counts_first(answer: Answer, error: type[Exception]) -> None:
    with pytest.raises(error):
        is_unknown(answer)


def test_a_number_may_mean_an_array(stand_in: Made) -> None:
    scenario = {
        "*": {
            "qstat -x 6": "torque/qstat-x_unknown-id",
            "qstat -x -t 6[]": {"stderr": "qstat: invalid option -- x\n", "exit_code": 2},
            "qstat -f -t 6[]": "torque/qstat-f-6_array-parent",
        }
    }
    fake, clock = stand_in(TORQUE, scenario), Clock()
    asked = client.inquiry("torque", Asker(clock=clock))
    assert [job.id for job in asked.job("6").value] == ["6[].qb3"]
    clock.now += 31
    assert [job.id for job in asked.job("6").value] == ["6[].qb3"]
    assert fake.calls.count("qstat -x 6") == 1


def test_openpbs_down_is_neither_no_jobs_nor_a_job_that_is_gone(stand_in: Made) -> None:
    scenario = {
        "*": {"qstat --version": {"stdout": "pbs_version = 23.06.06\n"}},
        "start": {"qstat -f -F json 1": "pbspro/qstat-f-json-1_running"},
        "down": {"qstat*": "pbspro/qstat-f-json-16_server-down"},
    }
    fake, clock = stand_in(TORQUE, scenario), Clock()
    asked = client.inquiry(ask=Asker(clock=clock))
    (job,) = asked.job("1").value
    fake.becomes("down")
    for seconds in (31.0, 62.0, 93.0):
        clock.now = 100.0 + seconds
        reply = asked.job("1", job)
        assert (reply.value, reply.age_s) == ((job,), seconds)
        assert "cannot connect to server" in reply.trouble
    with pytest.raises(ServerDownError, match="cannot connect to server qb3"):
        asked.jobs("alice")


def test_a_silent_maui_is_queried_once_and_reported(stand_in: Made) -> None:
    text = (DATA / "torque" / "qstat-x-0_xml-running.txt").read_text()
    queued = text.replace("<job_state>R", "<job_state>Q")
    down = {"stderr": "ERROR:    cannot request service (status)\n", "exit_code": 1}
    scenario = {"*": {"qstat -x 0": {"stdout": queued}, "checkjob*": down, "showstart*": down}}
    fake = stand_in(TORQUE + MAUI, scenario)
    reply = client.inquiry("torque", Asker()).job("0")
    assert reply.value[0].state is JobState.QUEUED
    assert "cannot request service" in reply.trouble
    assert fake.calls == ["qstat -x 0", "checkjob -v 0"]


def test_a_missing_command(stand_in: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(HpcwatchError, match="qstat is not on PATH"):
        client.run(["qstat"])


@pytest.mark.parametrize("name", ["sbatch", "qsub"])
def test_a_command_that_submits_hands_on_the_user_s_own_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    script = tmp_path / name
    script.write_text("#!/bin/sh\nenv\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    own = {"LC_ALL": "de_DE.UTF-8", "LC_TIME": "C", "SQUEUE_FORMAT": "%i", "LANG": "C"}
    for variable, value in own.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.delenv("SLURM_TIME_FORMAT", raising=False)
    lines = client.run([name, "job.sh"]).text.splitlines()
    assert {f"{variable}={value}" for variable, value in own.items()} <= set(lines)
    assert not any(line.startswith("SLURM_TIME_FORMAT") for line in lines)


def test_a_question_to_sbatch_is_asked_in_the_format_that_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "sbatch"
    script.write_text("#!/bin/sh\nenv\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_TIME_FORMAT", "relative")
    lines = client.run(["sbatch", "--test-only", "job.sh"]).text.splitlines()
    assert {"LC_ALL=C", "SLURM_TIME_FORMAT=standard"} <= set(lines)


def test_what_a_command_sees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "qstat"
    script.write_text("#!/bin/sh\ncat\nenv\necho \"$1\"\nprintf 'caf\\351'\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("LC_TIME", "de_DE.UTF-8")
    monkeypatch.setenv("SQUEUE_FORMAT", "%i")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    answer = client.run(["qstat", "$(id); x"])
    assert "LC_ALL=C\n" in answer.text
    assert "TZ=Asia/Tokyo" in answer.text
    assert "LC_TIME" not in answer.text
    assert "SQUEUE_FORMAT" not in answer.text
    assert "$(id); x\ncaf\udce9" in answer.text


TORQUE_JOB = {
    "*": {
        "qstat --version": "other/torque/qstat-version",
        "qstat -x 999*": "torque/qstat-x_unknown-id",
    },
    "start": {"qstat -x 0": "torque/qstat-x-0_xml-running"},
    "down": {"qstat*": "torque/qstat_server-down"},
    "gone": {"qstat*": "torque/qstat-x_unknown-id"},
}


def test_a_torque_job_from_running_to_gone(stand_in: Made) -> None:
    fake, clock = stand_in(TORQUE, TORQUE_JOB), Clock()
    asked = client.inquiry(ask=Asker(clock=clock))
    assert asked.scheduler.name == "torque"
    (job,) = asked.job("0").value
    assert (job.id, job.state, job.cores_count) == ("0.qb3", JobState.RUNNING, 8)
    fake.becomes("down")
    clock.now += 31
    reply = asked.job("0")
    assert reply.value == (job,)
    assert reply.age_s == 31
    assert "cannot connect to server qb3" in reply.trouble
    fake.becomes("gone")
    clock.now += 31
    reply = asked.job("0", job)
    assert reply.value == (job,), "one absence is not the end"
    assert "queried once more" in reply.trouble
    clock.now += 5
    assert asked.job("0", job).value == (job,), "nor is the same answer, read again"
    clock.now += 26
    (last,) = asked.job("0", job).value
    assert last.state is JobState.UNKNOWN
    assert "how it ended is unknown" in last.reason
    assert asked.job("999999").value == ()
    assert fake.calls[:2] == ["qstat --version", "qstat -x 0"]


def test_maui_says_why_a_torque_job_waits(stand_in: Made) -> None:
    text = (DATA / "torque" / "qstat-x-0_xml-running.txt").read_text()
    queued = text.replace("<job_state>R", "<job_state>Q").replace(
        "0.qb3</Job_Id>", "9.qb3</Job_Id>"
    )
    scenario = {
        "*": {
            "qstat --version": "other/torque/qstat-version",
            "qstat -x 9": {"stdout": queued},
            "checkjob -v 9": "moab/checkjob-9_idle-insufficient-procs",
            "showstart 9": "moab/moab-showstart-antwerp_idle-days",
        }
    }
    stand_in(TORQUE + MAUI, scenario)
    (job,) = client.inquiry(ask=Asker()).job("9").value
    assert job.state is JobState.QUEUED
    assert job.reason == "idle procs do not meet requirements : 20 of 60 procs found"
    assert job.estimated_start_at_s == pytest.approx(time.time() + 5 * 86400 + 75172, abs=60)


def test_a_held_job_has_no_start_whatever_showstart_says(stand_in: Made) -> None:
    held = (DATA / "torque" / "qstat-f-12_waiting.txt").read_text()
    held = held.replace("job_state = W", "job_state = H").replace("12.qb3", "10.qb3")
    scenario = {
        "*": {
            "qstat -x*": {"stderr": "qstat: invalid option -- 'x'\n", "exit_code": 2},
            "qstat -f 10": {"stdout": held},
            "checkjob*": "moab/checkjob-v-10_user-hold",
            "showstart*": "moab/showstart-10_held",
        }
    }
    fake = stand_in(TORQUE + MAUI, scenario)
    (job,) = client.inquiry("torque", Asker()).job("10").value
    assert (job.state, job.estimated_start_at_s) == (JobState.HELD, None)
    assert fake.calls == ["qstat -x 10", "qstat -f 10", "checkjob -v 10"]


def test_moab_still_knows_a_job_that_torque_forgot(stand_in: Made) -> None:
    scenario = {
        "*": {
            "qstat*": "torque/qstat-x_unknown-id",
            "checkjob*": "moab/moab-checkjob-miami-agua_completed-271-twoline-state",
        }
    }
    stand_in(TORQUE + MAUI, scenario)
    (job,) = client.inquiry("torque", Asker()).job("235888").value
    assert (job.state, job.exit.words) == (JobState.CANCELLED, "deleted")


SLURM_JOB: dict[str, dict[str, Any]] = {
    "*": {
        "squeue --version": {"stdout": "slurm 22.05.8\n"},
        "sacct*": "slurm/sacct-P-common_later",
        "sstat*": "slurm/sstat-P-a-1_running-later",
    },
    "start": {"scontrol show job -d 1": "slurm/scontrol-show-job-d-1_running-2nodes"},
    "purged": {"scontrol*": "slurm/scontrol-show-job_unknown-id"},
    "down": {"scontrol*": "slurm/scontrol-show-job-1_server-down"},
}


def test_a_slurm_job_with_its_accounting(stand_in: Made) -> None:
    fake = stand_in((*SLURM, "qstat"), SLURM_JOB)
    (job,) = client.inquiry(ask=Asker()).job("1").value
    assert job.usage.memory_bytes == 2558304 << 10
    assert job.usage.covers.value == "running steps"
    fake.becomes("purged")
    (job,) = client.inquiry(ask=Asker()).job("14").value
    assert (job.state, job.exit.words) == (JobState.TIMEOUT, "killed: the walltime was over")
    fake.becomes("down")
    reply = client.inquiry(ask=Asker()).job("13")
    assert reply.value[0].state is JobState.CANCELLED
    assert "Unable to contact slurm controller" in reply.trouble


slurm_job: dict[str, Any] = {**SLURM_JOB}


def test_the_accounting_is_asked_once_for_what_22_05_does_not_tell(stand_in: Made) -> None:
    """Its scontrol shows the path of the script alone, and none of the options given to sbatch."""
    table = (DATA / "slurm" / "sacct-P-j-32_26-completed-cpu.txt").read_text()
    header, row, *_ = table.splitlines()
    submitted = row.replace("32\x1f", "1\x1f")
    scenario: dict[str, Any] = {
        "*": {
            **slurm_job["*"],
            **slurm_job["start"],
            "sacct*": {"stdout": f"{header}\n{submitted}\n"},
        }
    }
    fake = stand_in((*SLURM, "qstat"), scenario)
    inquiry = client.inquiry(ask=Asker(every_s=0.0))
    for _ in range(2):
        (job,) = inquiry.job("1").value
        assert job.submit_arguments.startswith("sbatch -n1 -t 10 -J cpu -w qb001")
    assert sum(call.startswith("sacct") for call in fake.calls) == 1


@pytest.mark.parametrize("has_failed", [True, False])
def test_an_accounting_that_failed_or_did_not_know_the_job_yet_is_asked_again(
    stand_in: Made, has_failed: bool
) -> None:
    table = (DATA / "slurm" / "sacct-P-j-32_26-completed-cpu.txt").read_text()
    header, row, *_ = table.splitlines()
    submitted = row.replace("32\x1f", "1\x1f")
    early = {"exit_code": 1} if has_failed else {"stdout": f"{header}\n"}
    running = slurm_job["start"]
    scenario: dict[str, Any] = {
        "*": slurm_job["*"],
        "start": {**running, "sacct*": early},
        "later": {**running, "sacct*": {"stdout": f"{header}\n{submitted}\n"}},
    }
    fake = stand_in((*SLURM, "qstat"), scenario)
    inquiry = client.inquiry(ask=Asker(every_s=0.0))
    (job,) = inquiry.job("1").value
    assert job.submit_arguments == "/home/alice/run.sh"
    fake.becomes("later")
    (job,) = inquiry.job("1").value
    assert job.submit_arguments.startswith("sbatch -n1 -t 10 -J cpu -w qb001")


def test_a_line_that_the_accounting_lacks_too_stays_the_path(stand_in: Made) -> None:
    scenario: dict[str, Any] = {
        "*": {**slurm_job["*"], **slurm_job["start"], "sacct*": {"exit_code": 1}}
    }
    stand_in((*SLURM, "qstat"), scenario)
    (job,) = client.inquiry(ask=Asker()).job("1").value
    assert job.submit_arguments == "/home/alice/run.sh"


def test_an_array_s_tasks_are_not_asked_for_one_by_one(stand_in: Made) -> None:
    whole = (DATA / "slurm" / "scontrol-show-job-d-batch2-all_mixed.txt").read_text()
    records = [one for one in whole.split("\n\n") if " ArrayJobId=11 " in one]
    fake = stand_in(SLURM, {"*": {"scontrol*": {"stdout": "\n\n".join(records)}}})
    tasks = client.inquiry("slurm", Asker()).job("11").value
    assert [job.id for job in tasks] == ["11_3", "11_5", "11_9", "11_10", "11_11", "11_12"]
    assert fake.calls == ["scontrol show job -d 11"]


def test_a_list_of_jobs_holds_no_text_that_users_can_forge(stand_in: Made) -> None:
    """Older squeue has no --json; scontrol prints comments as they are, newlines included."""
    scenario = {
        "*": {
            "squeue --json*": {"stderr": "squeue: unrecognized option '--json'\n", "exit_code": 1},
            "squeue -h -o *": "slurm/squeue-o-list_mixed",
        }
    }
    fake = stand_in(SLURM, scenario)
    jobs = client.inquiry("slurm", Asker()).jobs("alice").value
    assert [job.id for job in jobs] == ["2_[1-3%1]", "4", "3", "1", "2_0"]
    assert jobs[3].name == "evil\n123456789"
    assert not any(call.startswith("scontrol") for call in fake.calls)


def test_openpbs_answers_for_a_job_that_is_over(stand_in: Made) -> None:
    scenario = {
        "*": {
            "qstat --version": {"stdout": "pbs_version = 23.06.06\n"},
            "qstat -f -x -F json 2": "pbspro/qstat-x-f-json-2_finished",
            "qstat -f -F json 2": "pbspro/qstat-f-json-2_finished-no-x",
        }
    }
    fake = stand_in(TORQUE, scenario)
    (job,) = client.inquiry(ask=Asker()).job("2").value
    assert (job.state, job.exit.words) == (JobState.COMPLETED, "ended well")
    assert fake.calls[1:] == ["qstat -f -F json 2", "qstat -f -x -F json 2"]


def test_nonsense_is_reported_in_the_command_s_words(stand_in: Made) -> None:
    stand_in(TORQUE, {"*": {"qstat*": {"stdout": "Segmentation fault\n", "exit_code": 139}}})
    with pytest.raises(NoAnswerError, match=r"qstat failed \(139\): Segmentation fault"):
        client.inquiry("torque", Asker()).job("1")


VERSION = {
    "torque": Answer(b"Version: 6.1.3.h5\nCommit: 4decc71\n"),
    "torque old": Answer(b"", b"version: 2.5.13\n"),
    "pbspro": Answer(b"pbs_version = 23.06.06\n"),
    "wrapper": Answer(b"", b"Unknown option: version\nUsage:\n    qstat [-f]\n    [--man]\n", 2),
    "slurm": Answer(b"slurm 22.05.8\n"),
}


@pytest.mark.parametrize(
    ("on_path", "squeue", "qstat", "expected"),
    [
        ({"qstat"}, None, "torque", "torque"),
        ({"qstat"}, None, "torque old", "torque"),
        ({"qstat"}, None, "pbspro", "pbspro"),
        ({"qstat", "squeue", "scontrol"}, "slurm", "wrapper", "slurm"),
        ({"qstat", "squeue", "scontrol"}, "slurm", "torque", "slurm"),
    ],
)
def test_detection(on_path: set[str], squeue: str | None, qstat: str, expected: str) -> None:
    answers: dict[tuple[str, ...], Answer] = {("qstat", "--version"): VERSION[qstat]}
    if squeue:
        answers["squeue", "--version"] = VERSION[squeue]
    assert detect(on_path, answers).scheduler == expected


def test_nothing_to_detect() -> None:
    with pytest.raises(HpcwatchError, match="no squeue and no qstat on PATH"):
        detect((), {})
    with pytest.raises(HpcwatchError, match="Slurm's wrapper"):
        detect({"qstat"}, {("qstat", "--version"): VERSION["wrapper"]})
    with pytest.raises(HpcwatchError, match="unknown scheduler 'lsf'"):
        detect((), {}, "lsf")
    assert detect({"checkjob"}, {}, "torque").helpers == {"checkjob"}


def test_all_watched_jobs_cost_one_call() -> None:
    answer = answer_of(DATA / "torque" / "qstat-x-all_xml.txt")
    server = Server(answer)
    asked = Inquiry(Detected("torque", frozenset()), Asker(server, Clock()))
    found = asked.watched("0.qb3", "7.qb3", "9.qb3").value
    assert [job.id for job in found] == ["0.qb3", "7.qb3", "9.qb3"]
    assert server.calls == ["qstat -x 0.qb3 7.qb3 9.qb3"]


@pytest.mark.parametrize("name", ["torque", "pbspro", "slurm"])
@pytest.mark.parametrize("word", ["-1", "1;id", "$(id)", "../1", "1 2", "20@3600", "", "1\n2", "²"])
def test_only_ids_reach_a_command_line(name: str, word: str) -> None:
    commands = scheduler(name)
    for asked in (commands.job, commands.history, commands.cancel, commands.usage):
        if asked.__doc__ and (name == "slurm" or asked in (commands.job, commands.cancel)):
            with pytest.raises(HpcwatchError, match="is no"):
                asked(word)


@pytest.mark.parametrize(
    ("name", "said", "expected"),
    [
        ("torque", b"Welcome\n305669.qb3.loni.org\n", "305669.qb3.loni.org"),
        ("pbspro", b"5[].qb3\n", "5[].qb3"),
        ("slurm", b"4711;loni\n", "4711"),
    ],
)
def test_a_submission_s_id(name: str, said: bytes, expected: str) -> None:
    query = scheduler(name).submit("-job.pbs", ["-q", "k40"])
    assert query.argv[-1] == "./-job.pbs"
    assert query.parse(Answer(said)) == expected
    with pytest.raises(HpcwatchError, match="Bad UID"):
        query.parse(Answer(b"", b"qsub: Bad UID for job execution\n", 160))


def test_qshow_fills_in_what_pbs_pro_does_not_tell_while_a_job_runs(stand_in: Made) -> None:
    stand_in(
        (*TORQUE, "qshow"),
        {
            "*": {
                "qstat --version": {"stdout": "pbs_version = 23.06.06\n"},
                "qstat -f*": {"recorded": "pbspro/qstat-f-json-7_multichunk"},
                "qshow*": {
                    "recorded": "moab/qshow-305669",
                    "replace": {"305669.qb3": "7.qb3"},
                },
            }
        },
    )
    (job,) = client.inquiry().job("7").value
    assert job.usage is not None
    assert job.usage.covers is Coverage.JOB
    assert job.usage.cpu_s == pytest.approx(0.11 * 3600)
    assert job.usage.memory_bytes == 1647 << 20
    assert job.account == "loni_loniadmin1"


def test_a_qshow_that_fails_harms_nothing(stand_in: Made) -> None:
    stand_in(
        (*TORQUE, "qshow"),
        {
            "*": {
                "qstat --version": {"stdout": "pbs_version = 23.06.06\n"},
                "qstat -f*": {"recorded": "pbspro/qstat-f-json-7_multichunk"},
                "qshow*": {"stderr": "qshow: cannot read /var/spool\n", "exit_code": 1},
            }
        },
    )
    (job,) = client.inquiry().job("7").value
    assert job.usage is not None
    assert job.usage.covers is Coverage.FIRST_NODE_OR_MORE
