"""`hpcwatch doctor` as a user runs it: what is well, what is wrong, and no check stops another."""

from __future__ import annotations

import fcntl
import fnmatch
import json
import os
import pty
import pwd
import re
import resource
import shutil
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

import driver
import pytest
from program import DEADLINE_S, Ended, Hpcwatch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fakebin"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "parse"))
import scenarios
from parse_parts import PARSERS, answer_of, outcome, utc
from stand_in import MAUI, SLURM, TORQUE, StandIn

from hpcwatch.cli.doctor_checks import Level, guarded
from hpcwatch.cli.doctor_checks.recording import Heard, write
from hpcwatch.cli.doctor_checks.storage import Mount, mount_of
from hpcwatch.cluster.schedulers.query import Answer

TESTS = Path(__file__).resolve().parents[1]
ME = pwd.getpwuid(os.getuid()).pw_name
SUBJECTS = {
    "Python",
    "psutil",
    "nvidia-ml-py",
    "rich",
    "paramiko",
    "terminal",
    "configuration",
    "storage",
    "cgroups here",
    "GPUs here",
    "exporters here",
    "job here",
    "scheduler",
    "node",
}


class Doctor:
    """Runs `hpcwatch doctor` beside a stand-in."""

    def __init__(self, hpcwatch: Hpcwatch, folder: Path) -> None:
        self.hpcwatch, self.folder = hpcwatch, folder
        self.on((), {})

    def on(self, commands: tuple[str, ...], scenario: dict[str, Any]) -> Doctor:
        shutil.rmtree(self.folder / "cluster", ignore_errors=True)
        self.fake = StandIn(self.folder / "cluster", commands, scenario)
        self.environment = {**self.fake.environment, "TZ": "UTC", "COLUMNS": "500"}
        return self

    def __call__(self, *arguments: str, **variables: str) -> Ended:
        return self.hpcwatch("doctor", *arguments, **{**self.environment, **variables})


class Found:
    """The checks that were printed, by subject: (word, what was found, what to do)."""

    def __init__(self, ended: Ended) -> None:
        assert ended.err == ""
        assert ended.code in (0, 1)
        self.code = ended.code
        self.checks: list[tuple[str, str, str, str]] = []
        *lines, self.summary = ended.out.splitlines()
        for line in lines:
            if line.startswith(" " * 11 + "→ "):
                subject, word, found, _ = self.checks[-1]
                self.checks[-1] = subject, word, found, line.strip().removeprefix("→ ")
            else:
                sign, word = line[:11].split()
                assert sign in {"ok": "✓", "note": "·", "warning": "●", "problem": "▲"}[word]
                self.checks.append((line[11:26].strip(), word, line[26:], ""))

    def of(self, subject: str) -> tuple[str, str, str]:
        (found,) = [check[1:] for check in self.checks if check[0] == subject]
        return found


@pytest.fixture
def doctor(hpcwatch: Hpcwatch, tmp_path: Path) -> Doctor:
    return Doctor(hpcwatch, tmp_path)


def mine(scenario: dict[str, Any]) -> dict[str, Any]:
    """The recorded jobs of alice as our own."""
    for answer in scenario["*"].values():
        if isinstance(answer, dict) and "recorded" in answer:
            answer["replace"] = {"alice@": f"{ME}@", '"alice"': f'"{ME}"'}
    return scenario


def test_all_is_well(doctor: Doctor) -> None:
    found = Found(doctor.on(TORQUE + MAUI, scenarios.torque())())
    assert (found.code, found.summary) == (0, "All is well.")
    assert {check[0] for check in found.checks} >= SUBJECTS | {"commands", "helpers", "jobs"}
    assert found.of("scheduler")[:2] == ("ok", "torque: Version: 6.1.3.h5")
    assert found.of("commands")[1].startswith("qstat, qdel, qsub in ")
    assert found.of("helpers")[1] == "checkjob (why a job waits), showstart (when it starts)"
    assert found.of("jobs")[1].startswith(f"0 jobs of {ME}, 0 running; answered in ")
    assert found.of("job here")[0] == "note"
    assert found.of("node") == (
        "note",
        "none tried: none of my jobs is running",
        "name one: hpcwatch doctor --host NODE",
    )


@pytest.mark.parametrize("columns", [40, 80, 132])
def test_it_fits_any_width(doctor: Doctor, columns: int) -> None:
    ended = doctor.on(TORQUE + MAUI, scenarios.torque())(COLUMNS=str(columns))
    words = [word for line in ended.out.splitlines() for word in line.split()]
    longest = max(map(len, words))
    assert max(map(len, ended.out.splitlines())) <= max(columns, 13 + longest)


def test_slurm(doctor: Doctor) -> None:
    found = Found(doctor.on(SLURM, scenarios.slurm())())
    assert found.of("scheduler")[:2] == ("ok", "slurm: slurm 22.05.8")
    assert found.of("commands")[0] == "ok"
    assert not [check for check in found.checks if check[0] == "helpers"]


def test_a_machine_without_a_scheduler_is_not_a_problem(doctor: Doctor) -> None:
    found = Found(doctor())
    assert found.of("scheduler") == (
        "warning",
        "no scheduler found: no squeue and no qstat on PATH",
        "name it with --scheduler, or watch hosts with: hpcwatch top HOST",
    )
    assert (found.code, found.summary) == (0, "0 problems, 1 warning.")


def test_a_scheduler_that_does_not_answer_is(doctor: Doctor) -> None:
    found = Found(doctor.on(TORQUE, {"*": {"qstat*": "torque/qstat_server-down"}})())
    word, said, _ = found.of("scheduler")
    assert (found.code, word) == (1, "problem")
    assert "cannot connect to server" in said
    assert {check[0] for check in found.checks} >= SUBJECTS


def test_a_server_that_is_down(doctor: Doctor) -> None:
    scenario = scenarios.torque()
    scenario["*"]["qstat -x"] = "torque/qstat_server-down"
    found = Found(doctor.on(TORQUE, scenario)())
    assert found.of("scheduler")[0] == "ok"
    assert found.of("jobs")[0] == "problem"
    assert "cannot connect to server qb3" in found.of("jobs")[1]
    assert found.of("node")[0] == "note", "the checks after it go on"
    assert found.code == 1


def test_commands_that_are_missing(doctor: Doctor) -> None:
    found = Found(doctor.on(("qstat",), scenarios.torque())())
    word, said, advice = found.of("commands")
    assert (word, said) == (
        "warning",
        "not on PATH: qdel (cancel), qsub (submit)",
    )
    assert "module load torque" in advice
    assert found.of("helpers")[0] == "note"


def test_a_forced_scheduler_that_is_not_there(doctor: Doctor) -> None:
    found = Found(doctor.on(TORQUE, scenarios.torque())("--scheduler", "slurm"))
    assert found.of("scheduler")[1] == "slurm: squeue is not on PATH"
    assert found.of("jobs")[:2] == ("problem", "squeue is not on PATH")
    assert found.code == 1


def test_a_wrong_configuration_is_reported_and_stops_nothing(
    doctor: Doctor, hpcwatch: Hpcwatch
) -> None:
    path = hpcwatch.configure("[run]\nintervall_s = 1\n")
    found = Found(doctor())
    assert found.of("configuration") == (
        "problem",
        f"{path}, line 2: no key run.intervall_s",
        "did you mean run.interval_s?",
    )
    assert {check[0] for check in found.checks} >= SUBJECTS
    path.write_text("[run]\ninterval_s = 2\n")
    assert Found(doctor()).of("configuration")[:2] == ("ok", str(path))


def test_storage_that_cannot_be_written(doctor: Doctor) -> None:
    word, said, advice = Found(doctor(HPCWATCH_HOME="/proc/hpcwatch")).of("storage")
    assert word == "problem"
    assert said.startswith("/proc/hpcwatch/runs: proc (local) at /proc, ")
    assert advice == "set HPCWATCH_HOME to a folder that can be written"


def test_storage_that_takes_no_more(doctor: Doctor, hpcwatch: Hpcwatch) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        ended = doctor()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    word, said, _ = Found(ended).of("storage")
    assert (word, said.rpartition(": ")[2]) == ("problem", "file too large")
    assert not list(hpcwatch.folder.rglob(".hpcwatch-*"))


def test_storage_leaves_nothing_behind(doctor: Doctor, hpcwatch: Hpcwatch) -> None:
    assert Found(doctor()).of("storage")[0] == "ok"
    assert not hpcwatch.home.exists()


def test_the_file_system_of_a_path() -> None:
    mounts = [
        Mount("/", "ext4"),
        Mount("/home", "autofs"),
        Mount("/home", "nfs4"),
        Mount("/home/al", "lustre"),
    ]
    assert mount_of("/home/alice/x", mounts) == Mount("/home", "nfs4")
    assert mount_of("/home/al/x", mounts) == Mount("/home/al", "lustre")
    assert mount_of("/homes", mounts) == Mount("/", "ext4")
    assert Mount("/home", "nfs4").words == "nfs4 (network) at /home"
    assert Mount("/", "ext4").words == "ext4 (local) at /"
    assert mount_of("/x", []) is None


@pytest.fixture
def beside(doctor: Doctor, tmp_path: Path) -> Callable[[str, str], Found]:
    """Run with a file of ours before all installed packages."""

    def found(name: str, text: str) -> Found:
        path = tmp_path / "site" / name
        path.parent.mkdir(parents=True)
        path.write_text(text)
        # hpcwatch itself takes nothing from PYTHONPATH: the file has to be where it is installed.
        code = f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r});"
        code += "from hpcwatch.cli import main; sys.exit(main(sys.argv[1:]))"
        words = [sys.executable, "-c", code, "doctor"]
        return Found(doctor.hpcwatch.shell(words, **doctor.environment))

    return found


def test_a_package_that_cannot_be_imported(beside: Callable[[str, str], Found]) -> None:
    found = beside("paramiko.py", "raise ImportError('libffi.so.8 is missing')\n")
    word, said, advice = found.of("paramiko")
    assert (word, found.code) == ("problem", 1)
    assert said == ("cannot be imported: libffi.so.8 is missing; ssh to the nodes will be missing")
    assert advice == f"{sys.executable} -m pip install --upgrade paramiko"
    assert found.of("rich")[0] == "ok"


def test_a_package_that_breaks_stops_no_other(beside: Callable[[str, str], Found]) -> None:
    found = beside("rich.py", "raise RuntimeError('\\x1b[31mboom')\n")
    assert found.of("rich")[:2] == (
        "problem",
        r"the check itself failed: RuntimeError: \x1b[31mboom",
    )
    assert found.of("paramiko")[0] == "ok"


def test_a_package_that_is_too_old(beside: Callable[[str, str], Found]) -> None:
    metadata = "Metadata-Version: 2.1\nName: paramiko\nVersion: 2.12.0\n"
    found = beside("paramiko-2.12.0.dist-info/METADATA", metadata)
    assert found.of("paramiko")[:2] == (
        "warning",
        "2.12.0 is older than 3.0, for ssh to the nodes",
    )


@pytest.mark.parametrize(("version", "is_odd"), [("11.5.3", True), ("12.0.0", False)])
def test_the_package_that_hides_nvidia_ml_py(
    beside: Callable[[str, str], Found], version: str, is_odd: bool
) -> None:
    metadata = f"Metadata-Version: 2.1\nName: pynvml\nVersion: {version}\n"
    found = beside(f"pynvml-{version}.dist-info/METADATA", metadata)
    said = [check for check in found.checks if check[0] == "pynvml"]
    assert bool(said) is is_odd
    if is_odd:
        assert said[0][1] == "warning"
        assert "uninstall pynvml" in said[0][3]


def test_the_job_we_are_in(doctor: Doctor, tmp_path: Path) -> None:
    nodes = tmp_path / "nodes"
    nodes.write_text("qb002\nqb002\nqb003\nqb003\n")
    inside = {"PBS_JOBID": "305669.qb3", "PBS_NODEFILE": str(nodes), "PBS_VERSION": "TORQUE-6.1.3"}
    assert Found(doctor(**inside)).of("job here")[:2] == (
        "ok",
        "torque 305669.qb3: qb002, qb003, 4 cores",
    )
    word, _, advice = Found(doctor(**{**inside, "PBS_NODEFILE": "/nowhere"})).of("job here")
    assert word == "warning"
    assert advice.startswith("PBS_NODEFILE is missing")


def on_terminal(doctor: Doctor, columns: int, rows: int, **variables: str) -> str:
    """Run it on a terminal of this size; return the line on the terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    environment = {**doctor.hpcwatch.environment, **doctor.environment, **variables}
    environment.pop("COLUMNS")
    with subprocess.Popen(
        doctor.hpcwatch.command("doctor"),
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env=environment,
        cwd=doctor.folder,
    ) as process:
        os.close(theirs)
        seen = b""
        while True:
            try:
                seen += os.read(ours, 65536)
            except OSError:  # how a terminal ends on Linux
                break
        os.close(ours)
        process.wait(DEADLINE_S)
    text = seen.decode().replace("\r\n", "\n")
    return next(line for line in text.splitlines() if "terminal  " in line)


def test_the_terminal(doctor: Doctor) -> None:
    line = on_terminal(doctor, 120, 30, TERM="xterm-256color")
    assert line.startswith("\x1b[1;38;5;231;48;5;28m✓\x1b[0m ok")
    assert line.endswith("terminal       xterm-256color, 120 × 30, utf-8, colours")
    assert on_terminal(doctor, 70, 30, TERM="xterm").startswith("\x1b[1;7m●\x1b[0m\x1b[1m warning")
    plain = on_terminal(doctor, 120, 30, TERM="dumb")
    assert plain.startswith("● warning  terminal       dumb, 120 × 30, utf-8, no colours")


def test_letters_that_cannot_be_shown(doctor: Doctor) -> None:
    ended = doctor(PYTHONIOENCODING="ascii")
    assert ended.code == 0
    assert "* warning  terminal       text is written as ascii" in ended.out
    assert "export LC_ALL=C.UTF-8" in ended.out


def test_devices_here(doctor: Doctor, tmp_path: Path) -> None:
    if not driver.has_compiler():
        pytest.skip("no gcc to build the driver for tests with")
    driver.install(driver.scenario("two_k40m"), tmp_path)
    found = Found(doctor(LD_LIBRARY_PATH=str(tmp_path)))
    word, said, _ = found.of("GPUs here")
    assert word == "ok"
    assert said.startswith("2: 0 Tesla K40m, 1 Tesla K40m")


def test_a_failing_check_is_a_problem_and_the_others_go_on() -> None:
    def broken() -> list[Any]:
        raise ZeroDivisionError("by zero")

    (check,) = guarded("odd", broken)
    assert (check.subject, check.level) == ("odd", Level.PROBLEM)
    assert check.found == "the check itself failed: ZeroDivisionError: by zero"


@pytest.mark.parametrize(
    "arguments", [("--host", "a b"), ("--host=-x",), ("--nonsense",), ("1", "2")]
)
def test_wrong_use_is_one_line(doctor: Doctor, arguments: tuple[str, ...]) -> None:
    ended = doctor(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert ended.complaint


def test_one_job(doctor: Doctor) -> None:
    scenario = scenarios.torque()
    scenario["*"]["qstat -x 9*"] = "torque/qstat-x_unknown-id"
    doctor.on(TORQUE, scenario)
    ended = doctor("999999")
    assert ("problem", "no job 999999") in [
        check[1:3] for check in Found(ended).checks if check[0] == "job"
    ]
    word, said, _ = Found(doctor("x;y")).of("job")
    assert word == "problem"
    assert "is no PBS job id" in said


@pytest.fixture
def here(doctor: Doctor) -> str:
    """Our own host as a node of the recorded job 0.qb3, which is ours."""
    name = os.uname().nodename
    scenario = mine(scenarios.torque())
    scenario["*"]["qstat -x"]["replace"]["qb002/"] = f"{name}/"
    scenario["*"]["qstat -x*"] = scenario["*"]["qstat -x"]
    doctor.on(TORQUE, scenario)
    return name


def of_node(ended: Ended) -> list[tuple[str, str]]:
    return [check[1:3] for check in Found(ended).checks if check[0].startswith("node")]


@pytest.mark.parametrize("arguments", [(), ("0",), ("0.qb3",)])
def test_a_node_of_a_running_job(doctor: Doctor, here: str, arguments: tuple[str, ...]) -> None:
    member = [sys.executable, "-c", "print(1, flush=True); input()"]
    environment = {**os.environ, "PBS_JOBID": "0.qb3"}
    with subprocess.Popen(
        member, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        said = of_node(doctor(*arguments))
        process.communicate(b"\n")
    assert said[0][0] == "ok"
    assert re.fullmatch(
        r"reached by local in \d+\.\d s; Python 3\.\d+\.\d+: our own interpreter exists there",
        said[0][1],
    )
    assert ("ok", "1 process of the job, found by environment") in said
    assert ("note", "no control group of the job can be read") in said


def test_a_node_where_nothing_marks_the_job_s_processes(doctor: Doctor, here: str) -> None:
    said = " | ".join(f"{word} {found}" for word, found in of_node(doctor()))
    assert re.search(
        r"warning \d+ process(es)? of the job's owner: the job's own cannot be told apart", said
    )


def test_a_node_without_a_process_of_the_owner(doctor: Doctor, here: str) -> None:
    scenario = json.loads((doctor.fake.folder / "scenario.json").read_text())
    for answer in (scenario["*"]["qstat -x"], scenario["*"]["qstat -x*"]):
        answer["replace"]["alice@"] = "no.one@"
    doctor.on(TORQUE, scenario)
    assert ("warning", "no process of the job was found there") in of_node(doctor("0"))


def test_a_node_that_is_none_of_the_job_s_is_read_without_it(doctor: Doctor, here: str) -> None:
    said = of_node(doctor("1.qb3", "--host", here))
    assert said[0][0] == "ok"
    assert not [found for _, found in said if "of the job" in found]


def test_a_node_that_refuses(doctor: Doctor, tmp_path: Path) -> None:
    config = tmp_path / "ssh_config"
    config.write_text("Host qb099\n HostName 127.0.0.1\n Port 1\n")
    program = tmp_path / "ssh"  # ssh takes no other home than the password database's
    program.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {config} "$@"\n')
    program.chmod(0o755)
    path = f"{tmp_path}:{doctor.environment['PATH']}"
    found = Found(doctor("--host", "qb099", PATH=path))
    ((word, said),) = [check[1:3] for check in found.checks if check[0] == "node qb099"]
    assert (found.code, word) == (1, "problem")
    assert said.startswith("cannot be read (refused): ")
    assert "qb099" in said


@pytest.mark.parametrize("word", ["qb001 qb002", "qb001;id", "a/b", "qb[1-2]", ""])
def test_a_word_that_is_no_host_name_is_refused(doctor: Doctor, word: str) -> None:
    ended = doctor.on(TORQUE, scenarios.torque())("--host", word)
    assert ended.code == 2
    assert ended.err.strip() == f"hpcwatch: {word!r} is no host name"


def recorded(folder: Path) -> dict[str, Path]:
    return {str(path.relative_to(folder))[:-4]: path for path in folder.rglob("*.txt")}


@pytest.mark.parametrize(
    ("name", "commands", "expected"),
    [
        ("torque", TORQUE + MAUI, {"torque/qstat-x_recorded", "other/torque/qstat-version_recorded",
                                   "moab/checkjob-v-9_recorded",
                                   "moab/showstart-9_recorded", "torque/qstat-x-9-qb3_recorded"}),
        ("pbspro", TORQUE, {"pbspro/qstat-f-F-json_recorded"}),
        ("slurm", SLURM, {f"slurm/squeue-json-u-{ME}_recorded",
                          "slurm/sstat-a-P-j-1-o_recorded"}),
    ],
)  # fmt: skip
def test_answers_are_kept_as_parser_tests(
    doctor: Doctor, tmp_path: Path, name: str, commands: tuple[str, ...], expected: set[str]
) -> None:
    scenario = mine(getattr(scenarios, name)())
    scenario["*"]["qstat -x*"] = scenario["*"].get("qstat -x", "torque/qstat-x_unknown-id")
    folder = tmp_path / "answers"
    ended = doctor.on(commands, scenario)("--record", str(folder))
    word, said, advice = Found(ended).of("record")
    assert word == "ok"
    assert said.endswith(f" answers in {folder}")
    assert "names of people" in advice
    assert folder.stat().st_mode & 0o777 == 0o700
    files = recorded(folder)
    assert expected <= set(files)
    listed = json.loads((folder / "answers.json").read_text())
    assert [" ".join(one["argv"]) for one in listed] == doctor.fake.calls
    assert {one["name"] for one in listed if one["name"]} == set(files)
    for one in listed:
        answer = answer_of(files[one["name"]])
        assert answer.exit_code == one["exit_code"]
    with utc():
        read = parsed(files, ME if name == "slurm" else "")
    (jobs,) = [found for which, found in read.items() if which in expected and "-u-" in which] or [
        next(found for which, found in read.items() if which in expected and "qstat" in which)
    ]
    assert len(jobs) > 10


def parsed(files: dict[str, Path], user: str) -> dict[str, Any]:
    """What the parsers that tests/parse picks by the files' names find in them."""
    found = {}
    for which, path in files.items():
        folder = which.partition("/")[0]
        for pattern, parse in PARSERS.get(folder, []):
            if fnmatch.fnmatch(path.stem, pattern):
                if user and "squeue" in which:
                    from hpcwatch.cluster.schedulers import slurm

                    parse = slurm.COMMANDS.jobs(user).parse
                found[which] = outcome(parse, answer_of(path))
                break
        else:
            assert folder == "other", f"no parser is picked for {which}"
    return found


def test_the_same_query_twice_is_recorded_twice(tmp_path: Path) -> None:
    heard = [Heard(("qstat", "-x"), Answer(text), 0.0, 0.1) for text in (b"1", b"2")]
    late = Heard(("checkjob", "9"), None, 0.0, 20.0, "checkjob did not answer")
    assert write(str(tmp_path), "torque", [*heard, late]) == 3
    kept = [path.read_bytes() for path in sorted((tmp_path / "torque").iterdir())]
    assert sorted(kept) == [b"1", b"2"]
    listed = json.loads((tmp_path / "answers.json").read_text())
    assert (listed[2]["name"], listed[2]["trouble"]) == (None, "checkjob did not answer")


def test_raw_bytes_are_kept(doctor: Doctor, tmp_path: Path) -> None:
    scenario = scenarios.torque()
    scenario["*"]["qstat -x"] = {"stdout": "odd\r\n\t\x00", "stderr": "why\r\n", "exit_code": 7}
    scenario["*"]["qstat -f"] = {"stdout": "", "stderr": "", "exit_code": 0}
    doctor.on(TORQUE, scenario)("--record", str(tmp_path / "answers"))
    path = tmp_path / "answers" / "torque" / "qstat-x_recorded"
    assert path.with_suffix(".txt").read_bytes() == b"odd\r\n\t\x00"
    assert path.with_suffix(".err").read_bytes() == b"why\r\n"
    assert path.with_suffix(".rc").read_bytes() == b"7\n"
    other = tmp_path / "answers" / "torque" / "qstat-f_recorded"
    assert other.with_suffix(".txt").read_bytes() == b""
    assert not other.with_suffix(".rc").exists()


def test_answers_go_to_a_new_folder_only(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    ended = doctor("--record", str(tmp_path / "full"))
    assert (ended.code, ended.out) == (2, "")
    assert "it holds files: name a new folder" in ended.complaint
    ended = doctor("--record", str(tmp_path / "full" / "x"))
    assert ended.code == 2
    assert "cannot write to" in ended.complaint
    assert os.listdir(tmp_path / "full") == ["x"]


def test_without_a_scheduler_there_is_still_a_list(doctor: Doctor, tmp_path: Path) -> None:
    found = Found(doctor("--record", str(tmp_path / "answers")))
    assert found.of("record")[1].startswith("0 answers in ")
    assert json.loads((tmp_path / "answers" / "answers.json").read_text()) == []
