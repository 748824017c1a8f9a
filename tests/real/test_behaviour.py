"""`hpcwatch run` does not disturb the program: it ends, receives and sees what it would without.

Every test starts the real thing. Nothing waits a fixed time for something to happen; a short fixed
wait stands only where the test is that nothing more happens.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from harness import (
    DEADLINE_S,
    Terminal,
    alive,
    hear_signals,
    kill,
    lines,
    marked,
    state,
    subject,
    wait_until,
)

MARK = "HPCWATCH_TEST_MARK"
HPCWATCH = [sys.executable, "-m", "hpcwatch"]
VIEWS = ("none", "auto")
FORWARDED = ("INT", "TERM", "HUP", "QUIT", "USR1", "USR2", "TSTP", "CONT", "WINCH")
TIMES = 3
"""A second copy right after the first is seen as one now and then, but not every time. And where
the sender itself is stopped between two receivers for 0.1 s, one may come twice, but not each."""
LATE_S = 0.15  # a second copy of a signal that has been delivered would come within this time


class Bench:
    """Runs hpcwatch in a directory of its own, and knows every process that came of it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.output = directory / "run"
        self.record = directory / "record"
        self.ticks = directory / "ticks"
        self.stop = directory / "stop"
        self._mark = uuid.uuid4().hex
        kept = {name: value for name, value in os.environ.items() if "HPCWATCH" not in name}
        self.environment = {**kept, MARK: self._mark, "HPCWATCH_HOME": str(directory / "home")}

    def wrap(self, command: Sequence[str], view: str = "none") -> list[str]:
        options = ["--view", view, "--interval", "0.2", "--output", str(self.output)]
        return [*HPCWATCH, "run", *options, "--", *command]

    def recorder(self, *options: object) -> list[str]:
        return subject("record_signals.py", self.record, *options)

    def ticker(self, code: int = 0) -> list[str]:
        return subject("tick.py", self.ticks, self.stop, "--code", code)

    def run(self, command: Sequence[str], stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Any command to its end, in the tests' environment."""
        return subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            env=self.environment,
            cwd=self.directory,
            timeout=DEADLINE_S,
            check=False,
        )

    @contextmanager
    def started(self, command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
        """Any command, in a session of its own and without a terminal."""
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self.environment,
            cwd=self.directory,
            start_new_session=True,
        ) as process:
            try:
                yield process
            finally:
                kill(self.processes())

    @contextmanager
    def recording(self, *options: object) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
        """The signal recorder under hpcwatch, ready: the monitor and the program's pid."""
        with self.started(self.wrap(self.recorder(*options))) as monitor:
            yield monitor, self.ready()

    def terminal(self, command: Sequence[str]) -> Terminal:
        return Terminal(command, self.environment, self.directory)

    def ready(self) -> int:
        """The recorder's pid, once it takes signals."""
        wait_until(lambda: lines(self.record), "the recorder to start")
        return int(lines(self.record)[0].removeprefix("ready "))

    def received(self) -> list[str]:
        """What the recorder has received so far."""
        return lines(self.record)[1:]

    def has_received(self, count: int) -> Callable[[], bool]:
        """A condition to wait for: that many signals."""
        return lambda: len(self.received()) >= count

    def copies_since(self, before: int, name: str) -> int:
        """How often a signal came that was sent when so many had come; a late copy counts."""
        wait_until(self.has_received(before + 1), f"{name} to arrive")
        time.sleep(LATE_S)
        assert set(self.received()) == {name}
        return len(self.received()) - before

    def processes(self) -> list[int]:
        """All living processes that came of this test."""
        return marked(MARK, self._mark)

    def report(self) -> dict[str, dict[str, object]]:
        report: dict[str, dict[str, object]] = json.loads((self.output / "report.json").read_text())
        return report


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A bench; the test fails if anything that came of it outlives it."""
    hear_signals()
    result = Bench(tmp_path)
    yield result
    with contextlib.suppress(TimeoutError):
        wait_until(lambda: not result.processes(), "all processes to end")
    left = {pid: command_line(pid) for pid in result.processes()}
    kill(list(left))
    assert not left, "processes were left behind"


def command_line(pid: int) -> str:
    with contextlib.suppress(OSError):
        text = Path(f"/proc/{pid}/cmdline").read_bytes()
        return text.replace(b"\0", b" ").decode(errors="replace")
    return ""


def number(name: str) -> int:
    return int(getattr(signal, f"SIG{name}"))


# How it ends


@pytest.mark.parametrize("code", [0, 1, 2, 7, 255])
def test_exit_code_is_the_programs(bench: Bench, code: int) -> None:
    assert bench.run(bench.wrap(subject("exit_with.py", code))).returncode == code
    assert bench.report()["run"]["exit_code"] == code


@pytest.mark.parametrize("name", ["KILL", "TERM", "INT", "ABRT", "SEGV", "PIPE", "USR1"])
def test_death_by_a_signal_is_128_and_its_number(bench: Bench, name: str) -> None:
    done = bench.run(bench.wrap(subject("die_by.py", number(name))))
    assert done.returncode == 128 + number(name)
    assert bench.report()["run"]["signal"] in (number(name), name, f"SIG{name}")


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda path: None, 127),
        (lambda path: path.mkdir(), 126),
        (lambda path: path.write_text("echo no\n"), 126),
    ],
    ids=["absent", "directory", "not-executable"],
)
def test_what_cannot_be_started_says_so(
    bench: Bench, make: Callable[[Path], object], code: int
) -> None:
    make(bench.directory / "program")
    done = bench.run(bench.wrap(["./program"]))
    assert done.returncode == code
    assert b"program" in done.stderr
    assert b"Traceback" not in done.stderr


def test_unknown_name_is_127(bench: Bench) -> None:
    done = bench.run(bench.wrap(["no-such-command-anywhere"]))
    assert done.returncode == 127
    assert b"no-such-command-anywhere" in done.stderr


def test_script_without_a_shebang_is_run_by_a_shell(bench: Bench) -> None:
    script = bench.directory / "script"
    script.write_text('echo "$# $1"\nexit 5\n')
    script.chmod(0o755)
    done = bench.run(bench.wrap(["./script", "two words"]))
    assert (done.returncode, done.stdout) == (5, b"1 two words\n")


# Signals


@pytest.mark.parametrize("name", FORWARDED)
def test_signal_to_the_monitor_reaches_the_program_once(bench: Bench, name: str) -> None:
    with bench.recording("--exit-on", "ALRM", "--code", 9) as (monitor, program):
        os.kill(monitor.pid, number(name))
        wait_until(bench.received, f"{name} to be forwarded")
        time.sleep(LATE_S)
        assert bench.received() == [name]
        os.kill(program, signal.SIGALRM)
        assert monitor.wait(DEADLINE_S) == 9


@pytest.mark.parametrize("name", FORWARDED)
def test_signal_to_the_group_reaches_the_program_once(bench: Bench, name: str) -> None:
    with bench.recording("--exit-on", "ALRM", "--code", 9) as (monitor, program):
        copies = []
        for _ in range(TIMES):
            before = len(bench.received())
            os.killpg(monitor.pid, number(name))
            copies.append(bench.copies_since(before, name))
        assert copies.count(1) >= TIMES - 1, copies
        os.kill(program, signal.SIGALRM)
        assert monitor.wait(DEADLINE_S) == 9


def session(leader: int, program: int) -> list[int]:
    """The processes of a session as a scheduler's daemon finds them, the program first or last."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.getsid(int(name)) == leader:
                found.append(int(name))
    return sorted(found, key=lambda pid: (pid == program, pid))


@pytest.mark.parametrize("first", ["program", "monitor"])
@pytest.mark.parametrize("name", ["TERM", "INT", "USR1"])
def test_signal_to_each_process_of_the_session_reaches_the_program_once(
    bench: Bench, name: str, first: str
) -> None:
    with bench.recording("--exit-on", "ALRM", "--code", 9) as (monitor, program):
        copies = []
        for _ in range(TIMES):
            before = len(bench.received())
            pids = session(monitor.pid, program)
            for pid in reversed(pids) if first == "program" else pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number(name))
            copies.append(bench.copies_since(before, name))
        assert copies.count(1) >= TIMES - 1, copies
        os.kill(program, signal.SIGALRM)
        assert monitor.wait(DEADLINE_S) == 9


def test_signals_one_after_the_other_all_arrive(bench: Bench) -> None:
    names = [name for _ in range(3) for name in ("USR1", "USR2", "HUP", "USR1")]
    with bench.recording("--code", 3) as (monitor, _program):
        for count, name in enumerate(names, 1):
            os.kill(monitor.pid, number(name))
            wait_until(bench.has_received(count), f"{name} to arrive")
        os.kill(monitor.pid, signal.SIGTERM)
        assert monitor.wait(DEADLINE_S) == 3
    assert bench.received() == [*names, "TERM"]


def test_program_that_ends_by_a_forwarded_signal(bench: Bench) -> None:
    with bench.started(bench.wrap(["sleep", "60"])) as monitor:
        wait_until(lambda: started_as(bench, "sleep"), "the program to start")
        os.kill(monitor.pid, signal.SIGTERM)
        assert monitor.wait(DEADLINE_S) == 128 + signal.SIGTERM
    assert (bench.output / "report.json").exists()


def started_as(bench: Bench, name: str) -> list[int]:
    """The processes of this test that run the program of that name."""
    return [pid for pid in bench.processes() if command_line(pid).split(" ")[0] == name]


def test_suspended_job_goes_on(bench: Bench) -> None:
    """A scheduler that suspends a job stops all its processes one by one, and continues them so."""
    with bench.started(bench.wrap(bench.ticker(code=3))) as monitor:
        wait_until(lambda: lines(bench.ticks), "the program to start")
        program = int(lines(bench.ticks)[0])
        for pid in reversed(session(monitor.pid, program)):
            os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: state(monitor.pid) == state(program) == "T", "all to stop")
        for pid in session(monitor.pid, program):
            os.kill(pid, signal.SIGCONT)
        before = len(lines(bench.ticks))
        wait_until(lambda: len(lines(bench.ticks)) > before, "the program to go on")
        bench.stop.touch()
        assert monitor.wait(DEADLINE_S) == 3


def test_timeout_ends_the_program(bench: Bench) -> None:
    # It signals its child and then the group: without hpcwatch the program may get two as well.
    wrapped = bench.wrap(bench.recorder("--exit-on", "TERM"))
    for seconds in ("1", "5", "25"):  # until the machine has started the program in that time
        with bench.started(["timeout", seconds, *wrapped]) as timeout:
            assert timeout.wait(DEADLINE_S) == 124
        if lines(bench.record):
            break
        shutil.rmtree(bench.output, ignore_errors=True)
    assert bench.received() == ["TERM"]


# A terminal


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize(("key", "name"), [("\x03", "INT"), ("\x1c", "QUIT")])
def test_key_on_the_terminal_reaches_the_program_once(
    bench: Bench, view: str, key: str, name: str
) -> None:
    with bench.terminal(bench.wrap(bench.recorder("--exit-on", "ALRM"), view)) as terminal:
        terminal.wait_until(lambda: lines(bench.record), "the recorder to start")
        terminal.type(key)
        terminal.wait_until(bench.received, f"{name} to arrive")
        time.sleep(LATE_S)
        assert bench.received() == [name]
        os.kill(bench.ready(), signal.SIGALRM)
        assert terminal.wait() == 0


@pytest.mark.parametrize("view", VIEWS)
def test_second_control_c_is_not_swallowed(bench: Bench, view: str) -> None:
    recorder = bench.recorder("--exit-on", "INT", "--times", 2, "--code", 4)
    with bench.terminal(bench.wrap(recorder, view)) as terminal:
        terminal.wait_until(lambda: lines(bench.record), "the recorder to start")
        for count in (1, 2):
            terminal.type("\x03")
            terminal.wait_until(bench.has_received(count), f"Ctrl-C number {count}")
        assert terminal.wait() == 4
    assert bench.received() == ["INT", "INT"]


@pytest.mark.parametrize("view", VIEWS)
def test_program_that_ends_by_control_c(bench: Bench, view: str) -> None:
    with bench.terminal(bench.wrap(bench.ticker(), view)) as terminal:
        terminal.wait_until(lambda: lines(bench.ticks), "the program to start")
        terminal.type("\x03")
        # A shell must see that it was Ctrl-C: 130, or death by the signal itself.
        assert terminal.wait() in (130, -signal.SIGINT)
    assert (bench.output / "report.json").exists()


@pytest.mark.parametrize("view", VIEWS)
def test_keyboard_and_window_are_the_programs(bench: Bench, view: str) -> None:
    script = 'echo asking; read answer; echo "got:$answer:"; stty size; exit 6'
    with bench.terminal(bench.wrap(["sh", "-c", script], view)) as terminal:
        terminal.wait_for("asking")
        terminal.type("some words\n")
        terminal.wait_for("got:some words:")
        assert terminal.wait() == 6
    assert b"Traceback" not in terminal.output


@contextmanager
def shell(bench: Bench) -> Iterator[Terminal]:
    """An interactive shell on a terminal of its own."""
    with bench.terminal(["bash", "--norc", "--noprofile", "-i"]) as terminal:
        # The prompt is put together by the shell, so that its echo is not taken for it.
        terminal.type("PS1='prompt''> '; bind 'set enable-bracketed-paste off'\n")
        terminal.wait_for("prompt> ")
        yield terminal
        terminal.type("exit 0\n")
        terminal.wait()


def ticking(bench: Bench, terminal: Terminal) -> int:
    """Wait until the program makes ticks that it has not made before; its pid."""
    before = len(lines(bench.ticks))
    terminal.wait_until(lambda: len(lines(bench.ticks)) > before + 2, "the program to tick")
    return int(lines(bench.ticks)[0])


def ask_code(terminal: Terminal) -> int:
    """What `$?` is in the shell."""
    terminal.type('echo "code"=$?=\n')
    terminal.wait_until(lambda: re.search(rb"code=\d+=", terminal.output), "the exit code")
    match = re.findall(rb"code=(\d+)=", terminal.output)
    return int(match[-1])


@pytest.mark.parametrize("view", VIEWS)
def test_control_z_stops_and_fg_goes_on(bench: Bench, view: str) -> None:
    with shell(bench) as terminal:
        terminal.type(" ".join(bench.wrap(bench.ticker(code=7), view)) + "\n")
        program = ticking(bench, terminal)
        for _ in range(2):
            terminal.output = b""
            terminal.type("\x1a")
            terminal.wait_for("Stopped")
            terminal.wait_for("prompt> ")
            terminal.wait_until(lambda: state(program) == "T", "the program to stop")
            terminal.type("fg\n")
            ticking(bench, terminal)
        bench.stop.touch()
        terminal.wait_until(lambda: not alive(program), "the program to end")
        assert ask_code(terminal) == 7


def test_control_z_then_background(bench: Bench) -> None:
    with shell(bench) as terminal:
        terminal.type(" ".join(bench.wrap(bench.ticker(code=7), "auto")) + "\n")
        ticking(bench, terminal)
        terminal.type("\x1a")
        terminal.wait_for("Stopped")
        terminal.type("bg\n")
        ticking(bench, terminal)
        bench.stop.touch()
        terminal.type("wait %1\n")
        assert ask_code(terminal) == 7


def test_stop_and_continue_through_the_monitor(bench: Bench) -> None:
    with shell(bench) as terminal:
        terminal.type(" ".join(bench.wrap(bench.ticker(code=7))) + "\n")
        program = ticking(bench, terminal)
        monitor = parent(program)
        os.kill(monitor, signal.SIGTSTP)
        terminal.wait_for("Stopped")
        terminal.wait_until(lambda: state(program) == state(monitor) == "T", "both to stop")
        os.kill(monitor, signal.SIGCONT)
        ticking(bench, terminal)
        bench.stop.touch()
        terminal.type("wait %1\n")
        assert ask_code(terminal) == 7


def parent(pid: int) -> int:
    (line,) = (line for line in lines(Path(f"/proc/{pid}/status")) if line.startswith("PPid:"))
    return int(line.split()[1])


def test_stopped_program_can_be_ended(bench: Bench) -> None:
    with shell(bench) as terminal:
        terminal.type(" ".join(bench.wrap(bench.ticker())) + "\n")
        program = ticking(bench, terminal)
        monitor = parent(program)
        terminal.type("\x1a")
        terminal.wait_for("Stopped")
        terminal.type("kill %1\n")
        terminal.wait_until(lambda: not alive(program), "the program to end")
        # A shell that has not waited for the job yet believes it stopped, and refuses to exit.
        terminal.wait_until(lambda: not state(monitor), "the monitor to end and be waited for")


@pytest.mark.parametrize("view", VIEWS)
def test_in_the_background(bench: Bench, view: str) -> None:
    with shell(bench) as terminal:
        terminal.type(" ".join(bench.wrap(bench.ticker(code=7), view)) + " &\n")
        ticking(bench, terminal)
        terminal.type("echo still'' here\n")
        terminal.wait_for("still here")
        bench.stop.touch()
        terminal.type("wait %1\n")
        assert ask_code(terminal) == 7


def test_background_program_that_reads_the_terminal_stops_until_fg(bench: Bench) -> None:
    with shell(bench) as terminal:
        terminal.type(" ".join(bench.wrap(["cat"])) + " &\n")
        terminal.wait_until(lambda: started_as(bench, "cat"), "the program to start")
        (program,) = started_as(bench, "cat")
        terminal.wait_until(lambda: state(program) == "T", "the program to stop")
        terminal.output = b""
        terminal.type("jobs\n")
        terminal.wait_for("Stopped")
        terminal.type("fg\n")
        terminal.wait_until(lambda: state(program) == "S", "the program to go on")
        terminal.type("words\n\x04")
        assert ask_code(terminal) == 0
        assert terminal.output.count(b"words\r\n") == 2  # as typed, and as the program wrote it


def test_shell_inside_keeps_its_job_control(bench: Bench) -> None:
    command = bench.wrap(["bash", "--norc", "--noprofile", "-i"], "auto")
    with bench.terminal(command) as terminal:
        terminal.type(" ".join(bench.ticker(code=7)) + "\n")
        program = ticking(bench, terminal)
        terminal.type("\x1a")
        terminal.wait_for("Stopped")
        terminal.wait_until(lambda: state(program) == "T", "the program to stop")
        assert alive(terminal.pid)
        assert state(terminal.pid) != "T"
        terminal.type("fg\n")
        ticking(bench, terminal)
        bench.stop.touch()
        terminal.wait_until(lambda: not alive(program), "the program to end")
        assert ask_code(terminal) == 7
        terminal.type("exit 5\n")
        assert terminal.wait() == 5


# Streams


def test_binary_data_goes_through_unchanged(bench: Bench) -> None:
    data = bytes(range(256)) * 8000
    done = bench.run(bench.wrap(["cat"]), stdin=data)
    assert done.returncode == 0
    assert done.stdout == data


def test_standard_output_holds_nothing_but_the_programs(bench: Bench) -> None:
    for view in VIEWS:
        bench.output = bench.directory / view
        done = bench.run(bench.wrap(["sh", "-c", "echo out; echo err >&2"], view))
        assert done.stdout == b"out\n"
        assert b"err\n" in done.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_stay_closed(bench: Bench, closed: str) -> None:
    listing = "ls -l /proc/$$/fd | sed 's/.*:.. //'"
    script = f'exec "$@" {closed}'
    seen = []
    for name, wrap in (("with", bench.wrap), ("without", list[str])):
        command = ["sh", "-c", f"({listing}) > {name}.txt; exit 5"]
        assert bench.run(["sh", "-c", script, "sh", *wrap(command)]).returncode == 5
        seen.append(re.sub(r"\[\d+\]", "", (bench.directory / f"{name}.txt").read_text()))
    assert seen[0] == seen[1]


def test_reader_that_goes_away_ends_the_program(bench: Bench) -> None:
    command = " ".join(bench.wrap(["yes"])) + " | head -n 1; echo ${PIPESTATUS[0]}"
    done = bench.run(["bash", "-c", command])
    assert done.stdout.split() == [b"y", str(128 + signal.SIGPIPE).encode()]


# Surroundings


def surroundings(
    bench: Bench, run: Callable[[list[str]], int], name: str, watched: bool
) -> dict[str, object]:
    """What a program sees when run so, with pids told by the part they play."""
    file = bench.directory / f"{name}.json"
    command = subject("surroundings.py", file)
    started = run(bench.wrap(command) if watched else command)
    seen: dict[str, object] = json.loads(file.read_text())
    top = {started: "started", seen["pid"]: "started", os.getpid(): "tests"}
    for key in ("group", "session", "foreground_group"):
        seen[key] = top.get(seen[key], "elsewhere")
    del seen["pid"]
    seen["signals"] = signal_sets(str(seen["signals"]))
    environment = seen["environment"]
    assert isinstance(environment, dict)
    for key in [key for key in environment if key.startswith("HPCWATCH_")]:
        del environment[key]
    return seen


def test_program_on_a_terminal_sees_what_it_would_without(bench: Bench) -> None:
    def run(command: list[str]) -> int:
        with bench.terminal(command) as terminal:
            assert terminal.wait() == 0
            return terminal.pid

    with_it = without_terminal_number(surroundings(bench, run, "with", watched=True))
    without = without_terminal_number(surroundings(bench, run, "without", watched=False))
    assert with_it == without
    assert without["ttys"] == [True, True, True]
    assert without["foreground_group"] == "started"


def without_terminal_number(seen: dict[str, object]) -> dict[str, object]:
    """Two runs are on two terminals."""
    seen["descriptors"] = re.sub(r"/dev/pts/\d+", "/dev/pts/N", json.dumps(seen["descriptors"]))
    return seen


def unusual() -> None:
    """Surroundings that a careless starter would change."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGWINCH})
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    os.umask(0o027)
    os.nice(1)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, 300))


def test_program_in_a_batch_sees_what_it_would_without(bench: Bench) -> None:
    elsewhere = bench.directory / "elsewhere"
    elsewhere.mkdir()
    with (bench.directory / "inherited").open("w") as file:

        def run(command: list[str]) -> int:
            with subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=bench.environment,
                cwd=elsewhere,
                preexec_fn=unusual,  # safe: the tests have one thread
                pass_fds=[file.fileno()],
                start_new_session=True,
            ) as process:
                assert process.wait(DEADLINE_S) == 0
                return process.pid

        with_it = surroundings(bench, run, "with", watched=True)
        without = surroundings(bench, run, "without", watched=False)
    assert with_it == without
    assert without["cwd"] == str(elsewhere)


def signal_sets(text: str) -> dict[str, set[int]]:
    """The kernel's signal sets as numbers, without the C library's own two.

    glibc's posix_spawn leaves its internal signals 32 and 33 ignored, whoever calls it (make
    does), and lets nobody name them; whoever uses them sets them anew.
    """
    sets = {}
    for label, digits in (line.split() for line in text.splitlines()):
        mask = int(digits, 16)
        sets[label] = {bit + 1 for bit in range(64) if mask >> bit & 1} - {32, 33}
    return sets


def dispositions(bench: Bench, command: Sequence[str]) -> dict[str, set[int]]:
    """A program's blocked, ignored and caught signals; `grep` itself changes none of them."""
    return signal_sets(bench.run(command).stdout.decode())


GREP = ["grep", "-E", "^Sig(Blk|Ign|Cgt)", "/proc/self/status"]


def test_signals_the_interpreter_ignores_are_as_without(bench: Bench) -> None:
    with_it = dispositions(bench, bench.wrap(GREP))
    assert with_it == dispositions(bench, GREP)
    assert signal.SIGPIPE not in with_it["SigIgn:"]


def test_nohup_protects_the_program(bench: Bench) -> None:
    with_it = dispositions(bench, ["nohup", *bench.wrap(GREP)])
    assert with_it == dispositions(bench, ["nohup", *GREP])
    assert signal.SIGHUP in with_it["SigIgn:"]


def test_ignored_child_signal_does_not_confuse_the_monitor(bench: Bench) -> None:
    # Some daemons ignore CHLD and hand that on; the kernel then forgets how children ended.
    trap = "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); "
    outer = [sys.executable, "-c", trap + "os.execvp(sys.argv[1], sys.argv[1:])"]
    assert bench.run([*outer, *bench.wrap(["sh", "-c", "exit 7"])]).returncode == 7


def test_full_disk_does_not_stop_the_program(bench: Bench) -> None:
    bench.output.mkdir()
    mount = f"mount -t tmpfs -o size=8k none {bench.output}"
    private = ["unshare", "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh"]
    if bench.run([*private, "true"]).returncode:
        pytest.skip("cannot mount a small file system here (not root, or no namespaces)")
    done = bench.run([*private, *bench.wrap(["sh", "-c", "sleep 2; echo out; exit 7"])])
    assert (done.returncode, done.stdout) == (7, b"out\n")
    assert 1 <= done.stderr.count(b"hpcwatch:") <= 2, done.stderr
    assert b"Traceback" not in done.stderr


# The monitor's own end


def test_program_outlives_a_killed_monitor(bench: Bench) -> None:
    with bench.started(bench.wrap(bench.ticker())) as monitor:
        wait_until(lambda: len(lines(bench.ticks)) > 2, "the program to start")
        samples = bench.output / "samples.jsonl"
        wait_until(lambda: lines(samples), "a first sample on disk")
        program = int(lines(bench.ticks)[0])
        monitor.kill()
        monitor.wait()
        before = len(lines(bench.ticks))
        wait_until(lambda: len(lines(bench.ticks)) > before + 5, "the program to go on")
        # Nothing of the monitor is left but the program.
        wait_until(lambda: bench.processes() == [program], "the monitor's helpers to end")
        assert bench.run([*HPCWATCH, "report", str(bench.output)]).returncode == 0  # still running
        bench.stop.touch()
        wait_until(lambda: not alive(program), "the program to end")
    done = bench.run([*HPCWATCH, "report", str(bench.output)])
    assert done.returncode == 0
    assert re.search(rb"monitor[^.]*(killed|ended|died|stopped)", done.stdout, re.IGNORECASE)


def test_helper_whose_start_hangs_does_not_keep_the_program_s_end(bench: Bench) -> None:
    """As from a file system that does not answer: the lock on our children is held."""
    code = (
        "import hpcwatch.launch.program as launch, sys, time\n"
        "program = launch.Program(['sh', '-c', 'exit 7'])\n"
        "program.settle()\n"
        "program._lock.acquire()\n"
        "list(program.wait(lambda: None, lambda: None))\n"
        "sys.exit(program.exit_status >> 8)\n"
    )
    assert bench.run([sys.executable, "-c", code]).returncode == 7


def test_what_a_killed_monitor_left_is_removed_once_nobody_can_write_there(bench: Bench) -> None:
    folders = bench.directory / "folders"
    script = f'dirname "$HPCWATCH_EVENTS" >> {folders}; exec "$@"'
    command = bench.wrap(["sh", "-c", script, "sh", *bench.ticker()])
    with bench.started(command) as monitor:
        wait_until(lambda: len(lines(bench.ticks)) > 2, "the program to start")
        monitor.kill()
        monitor.wait()
        (folder,) = map(Path, lines(folders))
        strange = folder.with_name(folder.name + "x")  # another node's
        planted = folder.with_name(folder.name.replace("-", "-9", 1))
        strange.mkdir(0o700)
        planted.symlink_to(bench.directory)
        try:
            assert bench.run([*HPCWATCH, "run", "--", "true"]).returncode == 0
            assert (folder / "events.jsonl").exists(), "the program may still write there"
            bench.stop.touch()
            wait_until(lambda: not bench.processes(), "the program to end")
            assert bench.run([*HPCWATCH, "run", "--", "true"]).returncode == 0
            assert folder.exists(), "it was in use, and is looked at again in an hour"
            os.utime(folder, (time.time() - 3700, folder.stat().st_mtime))  # as if it had passed
            assert bench.run([*HPCWATCH, "run", "--", "true"]).returncode == 0
            assert not folder.exists()
            assert strange.exists()
            assert planted.is_symlink()
        finally:
            strange.rmdir()
            planted.unlink()


@pytest.mark.parametrize("walltime_s", [None, 1, 3600])
def test_signal_right_before_a_kill_is_recorded(bench: Bench, walltime_s: int | None) -> None:
    """Torque kills a job's processes 77 ms after it has asked them to end."""
    if walltime_s is not None:
        bench.environment |= {"PBS_JOBID": "1.host", "PBS_WALLTIME": str(walltime_s)}
        bench.environment |= {"PBS_VERSION": "TORQUE-6.1.3", "PATH": "/usr/bin:/bin"}
    command = bench.wrap(bench.recorder("--exit-on", "USR2"))  # busy when it is killed
    command[command.index("--interval") + 1] = "3600"
    with bench.started(command) as monitor:
        program = bench.ready()
        wait_until(lambda: lines(bench.output / "samples.jsonl"), "a first sample on disk")
        if walltime_s == 1:
            time.sleep(1)
        before = len(lines(bench.output / "samples.jsonl"))
        os.kill(monitor.pid, signal.SIGTERM)
        events = bench.output / "events.jsonl"
        wait_until(lambda: lines(events), "the signal on disk")
        wait_until(lambda: len(lines(bench.output / "samples.jsonl")) > before, "a sample")
        kill([monitor.pid, program])
    done = bench.run([*HPCWATCH, "report", str(bench.output)])
    assert b"ended by SIGTERM (15)" in done.stdout
    assert (b"at its walltime" in done.stdout) == (walltime_s == 1)
    assert b"monitor was killed" not in done.stdout


def test_daemon_that_outlives_the_program_is_not_harmed(bench: Bench) -> None:
    """A service that a job leaves running on purpose goes on, and is not waited for."""
    daemon = " ".join(bench.ticker())
    done = bench.run(bench.wrap(["sh", "-c", f"setsid {daemon} >/dev/null 2>&1 & exit 2"]))
    assert done.returncode == 2
    before = len(lines(bench.ticks))
    wait_until(lambda: len(lines(bench.ticks)) > before + 2, "the daemon to go on")
    bench.stop.touch()


def test_hostile_names_do_no_harm(bench: Bench) -> None:
    done = bench.run(bench.wrap(subject("hostile_name.py", 0.6)))
    assert done.returncode == 0
    shown = bench.run([*HPCWATCH, "report", str(bench.output)])
    assert shown.returncode == 0
    for text in (done.stderr, shown.stdout, shown.stderr):
        assert b"\x1b]0;" not in text
        assert b"\x1b[31m" not in text
        assert b"Traceback" not in text
