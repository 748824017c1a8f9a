"""The command line: wrong use is one line, and whatever fails, the program's exit code passes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from program import Hpcwatch
from unit_parts import full_sample, run

from hpcwatch import __version__, cli
from hpcwatch.base.errors import EXIT_FAILURE, EXIT_USAGE, HpcwatchError
from hpcwatch.cli.run import parse
from hpcwatch.probe.schema import to_line
from hpcwatch.recording.store import RunDirectory

HEAVY = ("rich", "paramiko", "psutil", "pynvml", "tensorflow", "click")
SEVEN = ("sh", "-c", "echo ran; exit 7")


def test_help_names_every_command(hpcwatch: Hpcwatch) -> None:
    ended = hpcwatch("--help")
    assert (ended.code, ended.err) == (0, "")
    for name in cli.COMMANDS:
        assert re.search(rf"^  {name} +\w", ended.out, re.MULTILINE)
    assert max(map(len, ended.out.splitlines())) <= 80


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_help(hpcwatch: Hpcwatch, name: str) -> None:
    ended = hpcwatch(name, "--help")
    assert (ended.code, ended.err) == (0, "")
    assert f"hpcwatch {name}" in ended.out


def test_version(hpcwatch: Hpcwatch) -> None:
    assert hpcwatch("--version") == (0, f"hpcwatch {__version__}\n", "")


def test_without_a_command_it_says_how(hpcwatch: Hpcwatch) -> None:
    assert hpcwatch().code == EXIT_USAGE


@pytest.mark.parametrize(
    ("word", "hint"), [("reprot", "did you mean report?"), ("\x1b[31m", "see: hpcwatch --help")]
)
def test_an_unknown_command_suggests_one(hpcwatch: Hpcwatch, word: str, hint: str) -> None:
    ended = hpcwatch(word)
    assert ended.code == EXIT_USAGE
    assert hint in ended.complaint
    assert "\x1b" not in ended.err


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--",),
        ("--", ""),
        ("--interval", "0", "--", "true"),
        ("--interval", "-5", "--", "true"),
        ("--interval", "nan", "--", "true"),
        ("--interval", "inf", "--", "true"),
        ("--interval", "", "--", "true"),
        ("--interval", "1s", "--", "true"),
        ("--interval",),
        ("--view", "x", "--", "true"),
        ("--color", "x", "--", "true"),
        ("--nonsense", "--", "true"),
        ("--output",),
    ],
)
def test_wrong_use_of_run_is_one_line(hpcwatch: Hpcwatch, arguments: tuple[str, ...]) -> None:
    ended = hpcwatch("run", *arguments)
    assert ended.code == EXIT_USAGE
    assert ended.complaint.startswith("hpcwatch: ")
    assert not hpcwatch.home.exists()


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["--", "a", "--", "b"], ["a", "--", "b"]),
        (["a", "--", "b"], ["a", "--", "b"]),
        (["a", "-x", "--name", "y"], ["a", "-x", "--name", "y"]),
        (["--name", "n", "--", "--odd"], ["--odd"]),
        (["--name", "n", "a", "--", "--name"], ["a", "--", "--name"]),
        (["--quiet", "a", "--quiet"], ["a", "--quiet"]),
        (["-q", "--", "-q", "--"], ["-q", "--"]),
        (["--name", "n", "--", "--", "a"], ["--", "a"]),
    ],
)
def test_the_program_s_words_are_its_own(words: list[str], command: list[str]) -> None:
    assert parse(words).command == command


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (SEVEN, 7),
        (("sh", "-c", "kill -TERM $$"), 128 + signal.SIGTERM),
        (("no-such-program",), 127),
        (("/etc/passwd",), 126),
        (("/",), 126),
    ],
)
def test_the_exit_code_is_the_program_s(
    hpcwatch: Hpcwatch, command: tuple[str, ...], code: int
) -> None:
    ended = hpcwatch("run", "--", *command)
    assert ended.code == code
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    "streams",
    ["2>&-", ">&-", "<&- >&- 2>&-", "2>/dev/full", ">/dev/full 2>/dev/full", "2>&1 | true"],
)
@pytest.mark.parametrize("code", [7, 0])
def test_streams_that_are_closed_or_full_do_not_change_the_exit_code(
    hpcwatch: Hpcwatch, streams: str, code: int
) -> None:
    mark = hpcwatch.folder / "code"
    redirection, _, rest = streams.partition("|")
    pipe = f"| {rest}" if rest else ""
    script = f'{{ "$@" {redirection}; echo $? >{mark}; }} {pipe}'
    command = hpcwatch.command("run", "--", "sh", "-c", f"exit {code}")
    ended = hpcwatch.shell(["sh", "-c", script, "sh", *command])
    assert mark.read_text() == f"{code}\n"
    assert "Traceback" not in ended.err
    assert "hpcwatch" not in ended.out or "2>&1" in streams
    report = json.loads((hpcwatch.recorded() / "report.json").read_text())
    assert report["run"]["exit_code"] == code


@pytest.mark.parametrize("command", ["report", "runs", "--help", "nonsense"])
@pytest.mark.parametrize("streams", [">&-", "2>&-", ">/dev/full", "| true"])
def test_other_commands_survive_closed_streams(
    hpcwatch: Hpcwatch, command: str, streams: str
) -> None:
    hpcwatch("run", "--", "true")
    ended = hpcwatch.shell(["sh", "-c", f'"$@" {streams}', "sh", *hpcwatch.command(command)])
    assert "Traceback" not in ended.err
    assert len(ended.err.splitlines()) <= 1
    if command == "nonsense":
        assert ended.out == "", "an error is no output"


@pytest.mark.parametrize("buffered", ["", "1"])
@pytest.mark.parametrize("command", ["report --format html", "runs", "config", "explain"])
def test_output_that_finds_no_room_is_one_line(
    hpcwatch: Hpcwatch, command: str, buffered: str
) -> None:
    hpcwatch("run", "--", "true")
    words = ["sh", "-c", '"$@" >/dev/full', "sh", *hpcwatch.command(*command.split())]
    ended = hpcwatch.shell(words, PYTHONUNBUFFERED=buffered)
    assert ended.code == 1
    assert ended.err == "hpcwatch: the output is not whole: no space left on device\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_that_knows_few_letters(hpcwatch: Hpcwatch, encoding: str) -> None:
    hpcwatch("run", "--", "true")
    for command in ("report", "runs", "explain"):
        ended = hpcwatch(command, PYTHONIOENCODING=encoding)
        assert (ended.code, ended.err) == (0, "")


def said(err: str) -> list[str]:
    """The monitor's own lines before the report."""
    return [line for line in err.splitlines() if line.startswith("hpcwatch: ")]


def test_an_output_that_cannot_be_used_costs_one_line(hpcwatch: Hpcwatch) -> None:
    occupied = hpcwatch.folder / "occupied"
    occupied.mkdir()
    (occupied / "thesis.tex").write_text("precious")
    for output in (occupied, occupied / "thesis.tex" / "run", "/proc/run", "/dev/full", ""):
        ended = hpcwatch("run", "--output", output, "--", *SEVEN)
        assert (ended.code, ended.out) == (7, "ran\n")
        (line,) = said(ended.err)
        assert "recording in" in line
        assert "Traceback" not in ended.err
    assert (occupied / "thesis.tex").read_text() == "precious"
    assert os.listdir(occupied) == ["thesis.tex"]


def test_nowhere_to_record_at_all(hpcwatch: Hpcwatch) -> None:
    ended = hpcwatch("run", "--", *SEVEN, HPCWATCH_HOME="/proc/nowhere")
    assert (ended.code, ended.out) == (7, "ran\n")
    assert len(said(ended.err)) == 1
    assert "failed (exit 7)" in ended.err


def test_a_second_run_does_not_overwrite_the_first(hpcwatch: Hpcwatch) -> None:
    output = hpcwatch.folder / "run"
    hpcwatch("run", "--output", output, "--", "true")
    before = {path.name: path.read_bytes() for path in output.iterdir()}
    ended = hpcwatch("run", "--output", output, "--", *SEVEN)
    assert ended.code == 7
    assert "it holds another run" in said(ended.err)[0]
    assert {path.name: path.read_bytes() for path in output.iterdir()} == before


@pytest.mark.parametrize("text", ["[run]\nintervall_s = 1\n", "not toml", "findings = 5\n"])
def test_a_broken_configuration_costs_one_line(hpcwatch: Hpcwatch, text: str) -> None:
    hpcwatch.configure(text)
    ended = hpcwatch("run", "--", *SEVEN)
    assert (ended.code, ended.out) == (7, "ran\n")
    (line,) = said(ended.err)
    assert "configuration ignored" in line
    assert "config.toml" in line


def test_a_hostile_job_environment_raises_nothing(hpcwatch: Hpcwatch) -> None:
    ended = hpcwatch("run", "--", *SEVEN, SLURM_JOB_ID="1", SLURM_JOB_NODELIST="n[²]")
    assert (ended.code, said(ended.err)) == (7, [])
    assert "failed (exit 7)" in ended.err


@pytest.mark.parametrize("options", [("-q",), ("--quiet", "--view", "line"), ("--report", "none")])
def test_quiet_prints_nothing_and_records_as_ever(
    hpcwatch: Hpcwatch, options: tuple[str, ...]
) -> None:
    ended = hpcwatch("run", *options, "--interval", "0.1", "--", "sh", "-c", "sleep 0.8; exit 7")
    assert (ended.code, ended.out, ended.err) == (7, "", "")
    report = json.loads((hpcwatch.recorded() / "report.json").read_text())
    assert report["run"]["exit_code"] == 7


def test_quiet_still_writes_the_reports_it_names_a_file_for(hpcwatch: Hpcwatch) -> None:
    file = hpcwatch.folder / "report.md"
    ended = hpcwatch("run", "-q", "--report", f"markdown:{file}", "--", "true")
    assert (ended.code, ended.err) == (0, "")
    assert file.read_text()


def recorded(folder: Path) -> Path:
    """A run directory with a good run.json and samples."""
    directory = RunDirectory.create(str(folder))
    directory.write_run(run())
    lines = [to_line(full_sample(second)) + "\n" for second in range(3)]
    Path(directory.file("samples.jsonl")).write_text("".join(lines))
    return folder


def test_a_torn_last_line_is_mentioned_and_no_more(hpcwatch: Hpcwatch) -> None:
    folder = recorded(hpcwatch.folder / "run")
    with (folder / "samples.jsonl").open("a") as stream:
        stream.write('{"version":1,"host":"n1","at_')
    ended = hpcwatch("report", folder)
    assert (ended.code, ended.err) == (0, "")
    assert "Damaged" in ended.out


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("run.json", None),
        ("run.json", ""),
        ("run.json", "[]"),
        ("run.json", "[" * 100_000),
        ("run.json", '{"version": 99}'),
        ("samples.jsonl", "a\nb\nc\n"),
        ("samples.jsonl", ("[" * 100_000 + "\n") * 3),
    ],
)
def test_a_run_that_cannot_be_read_is_one_line(
    hpcwatch: Hpcwatch, name: str, text: str | None
) -> None:
    folder = recorded(hpcwatch.folder / "run")
    if text is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(text)
    for options in ((), ("--format", "json")):
        ended = hpcwatch("report", *options, folder)
        assert ended.code in (EXIT_USAGE, EXIT_FAILURE)
        assert ended.out == ""
        assert str(folder) in ended.complaint


@pytest.mark.parametrize("which", ["nothing", "/no/such/folder", "\x1b[31m"])
def test_a_run_that_is_not_there_is_one_line(hpcwatch: Hpcwatch, which: str) -> None:
    ended = hpcwatch("report", which)
    assert ended.code == EXIT_USAGE
    assert "\x1b" not in ended.complaint


def test_a_foreign_run_sends_no_escapes_to_the_terminal(hpcwatch: Hpcwatch) -> None:
    directory = RunDirectory.create(str(hpcwatch.runs / "foreign"))
    evil = "\x1b]0;evil\x07"
    directory.write_run(run(id=evil, name=evil, argv=[evil], hosts=[evil], user=evil, cwd=evil))
    for command in ("runs", "report"):
        ended = hpcwatch(command)
        assert ended.code == 0
        assert "\x1b" not in ended.out


def test_runs_are_listed_with_how_they_ended(hpcwatch: Hpcwatch) -> None:
    assert "No runs in" in hpcwatch("runs").out
    hpcwatch("run", "--name", "first", "--", "true")
    hpcwatch("run", "--name", "second", "--", *SEVEN)
    hpcwatch("run", "--name", "third", "--", "sh", "-c", "kill -9 $$")
    RunDirectory.create(str(hpcwatch.runs / "x")).write_run(
        run(id="fourth", ended_at_s=None, exit_code=None, wall_s=None, started_at_s=4e9)
    )
    _, *rows, _ = hpcwatch("runs").out.splitlines()
    found = list(zip(rows, ("ok", "exit 7", "signal 9", "unfinished"), strict=True))
    assert all(how in row for row, how in found)


def test_report_prints_the_latest_run_and_json_prints_only_json(hpcwatch: Hpcwatch) -> None:
    hpcwatch("run", "--name", "first", "--", "true")
    shown = hpcwatch("run", "--name", "second", "--", *SEVEN).err
    assert hpcwatch("report").out.splitlines()[:8] == shown.splitlines()[:8]
    plain = json.loads(hpcwatch("report", "--format", "json").out)
    assert plain["run"]["name"] == "second"
    assert json.loads(hpcwatch("report", "first", "--format", "json").out)["run"]["exit_code"] == 0


def imported(code: str) -> set[str]:
    """The modules that are there after some code."""
    report = "\nimport sys; print(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code + report], capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["run"]])
def test_help_imports_nothing_expensive(words: list[str]) -> None:
    modules = imported(f"from hpcwatch.cli import main; main({words!r})")
    assert not modules & set(HEAVY)
    probe = {name for name in modules if name.startswith("hpcwatch.probe")}
    assert probe <= {"hpcwatch.probe", "hpcwatch.probe.typed"}


def test_the_program_starts_before_expensive_imports() -> None:
    """At the moment the program is started, the monitor has loaded neither reader nor view."""
    code = (
        "import os, sys\n"
        "import hpcwatch.launch.program as launch\n"
        "real, found = launch.spawn, []\n"
        "def spawn(argv, mask):\n"
        "    found[:] = sorted(sys.modules)\n"
        "    return real(argv, mask)\n"
        "launch.spawn = spawn\n"
        "from hpcwatch.cli import main\n"
        "main(['run', '--', 'true'])\n"
        "assert found\n"
        "print(*found, flush=True)\n"
        "os._exit(0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = set(done.stdout.split())
    assert not found & {
        *HEAVY,
        "json",
        "subprocess",
        "hpcwatch.probe.node",
        "hpcwatch.analysis.report",
    }


def test_a_program_with_its_monitor_stopped_has_started_without_psutil(
    hpcwatch: Hpcwatch,
) -> None:
    """The program stops its monitor at once and looks at what that has mapped by then."""
    out = hpcwatch.folder / "maps"
    script = f"kill -STOP $PPID; cat /proc/$PPID/maps >{out}; kill -CONT $PPID"
    assert hpcwatch("run", "--", "sh", "-c", script).code == 0
    maps = out.read_text()
    assert "python" in maps
    assert not re.search(r"psutil|nvidia", maps)


def test_on_another_system_it_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(HpcwatchError, match=r"needs Linux, this is darwin") as caught:
        cli._dispatch(["--help"])
    assert caught.value.exit_code == EXIT_FAILURE


def test_where_runs_are_recorded_is_said_once(hpcwatch: Hpcwatch) -> None:
    line = f"Runs are recorded in {hpcwatch.runs}: hpcwatch runs\n"
    assert line in hpcwatch("run", "--", "true").err
    assert line not in hpcwatch("run", "--", "true").err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["explian"], "no command explian: did you mean explain?"),
        (["--versoin"], "no option --versoin: did you mean --version?"),
        (["run", "--veiw", "line", "--", "true"], "no option --veiw: did you mean --view?"),
        (
            ["run", "--view=x", "--", "true"],
            "--view cannot be 'x': give one of auto, panel, line, ",
        ),
        (["run", "--view", "pnael", "--", "true"], "--view cannot be 'pnael': did you mean panel?"),
        (["report", "--format", "htlm"], "--format cannot be 'htlm': did you mean html?"),
        (["report", "--xyzzy"], "no option --xyzzy: see hpcwatch report --help"),
        (["runs", "a"], "'a' is one argument too many: see hpcwatch runs --help"),
        (["report", "mnist_cn"], "no run mnist_cn: did you mean mnist_cnn?"),
        (["report", "lates"], "no run lates: did you mean latest?"),
        (["report", "xyzzy"], "no run xyzzy: see: hpcwatch runs"),
    ],
)
def test_a_typing_error_gets_the_nearest_word(
    hpcwatch: Hpcwatch, words: list[str], said: str
) -> None:
    hpcwatch("run", "-q", "--name", "mnist_cnn", "--", "true")
    ended = hpcwatch(*words)
    assert (ended.code, ended.out) == (EXIT_USAGE, "")
    assert ended.complaint.startswith(f"hpcwatch: {said}")
