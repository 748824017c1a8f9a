"""How each tool treats the program it runs: exit codes, signals, terminals, its own violent death.

Every cell is found out by doing it. Where something went wrong the cell says what the user would
meet: a traceback instead of a message, a program left behind, figures lost.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from harness import Terminal, alive, hear_signals, kill, lines, marked, subject, wait_until
from tables import NOTHING, markdown, options, progress, save
from tools import TOOLS, Tool, environment

MARK = "BENCH_MARK"
INTERVAL_S = 0.2
FORWARD_S = 2.0  # a signal that has not come through by then will not


class Scene:
    """One tool in one situation, with its files and the means to clean up after it."""

    def __init__(self, tool: Tool, directory: Path) -> None:
        self.tool = tool
        self.work = directory / "work"
        self.work.mkdir()
        self.record = directory / "record"
        self._mark = uuid.uuid4().hex
        self.environment = {**environment(self.work), MARK: self._mark}

    def wrap(self, command: Sequence[str]) -> list[str]:
        return self.tool.wrap(command, self.work, INTERVAL_S)

    def run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """The tool on a command, to its end."""
        return subprocess.run(
            self.wrap(command),
            cwd=self.work,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=30,
            check=False,
        )

    @contextmanager
    def recorder(self, *arguments: object) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
        """The tool on a program that writes down its signals: the tool, and the program's pid."""
        tool = subprocess.Popen(
            self.wrap(subject("record_signals.py", self.record, *arguments)),
            cwd=self.work,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            wait_until(lambda: lines(self.record), "the program to start")
            with contextlib.suppress(TimeoutError):  # a tool may keep its samples to itself
                wait_until(lambda: self.tool.samples(self.work) != 0, "a first sample", 3)
            yield tool, int(lines(self.record)[0].split()[1])
        finally:
            self.clear()
            tool.wait()

    def received(self) -> list[str]:
        """The signals the program has received."""
        return lines(self.record)[1:]

    def has_figures(self) -> bool:
        """Whether the tool left something of its own that can be read as figures."""
        try:
            figures = self.tool.figures(self.work)
        except Exception:  # whatever it stumbles on: the files are not what they should be
            return False
        return figures.cpu_s is not None or bool(figures.memory_bytes)

    def clear(self) -> None:
        """End whatever is left."""
        kill(marked(MARK, self._mark))


def shell_code(code: int) -> str:
    """An exit code as a shell reports it."""
    return str(code if code >= 0 else 128 - code)


def came_through(condition: Callable[[], object]) -> bool:
    """Whether it happens within the time a forwarded signal may take."""
    try:
        wait_until(condition, "the signal", FORWARD_S)
    except TimeoutError:
        return False
    return True


def exit_seven(scene: Scene) -> str:
    return shell_code(scene.run(subject("exit_with.py", 7)).returncode)


def killed_child(scene: Scene) -> str:
    return shell_code(scene.run(subject("die_by.py", int(signal.SIGKILL))).returncode)


def no_such_command(scene: Scene) -> str:
    done = scene.run(["./no-such-command"])
    traceback = "Traceback" in done.stderr
    return f"traceback, {done.returncode}" if traceback else shell_code(done.returncode)


def control_c(scene: Scene) -> str:
    """Ctrl-C on a terminal, while a program runs that ends by it.

    Only after some seconds: con-duct forgets, as it says it will, what fails in under three.
    """
    started, never = scene.work.parent / "ticks", scene.work.parent / "never"
    command = scene.wrap(subject("tick.py", started, never))
    with Terminal(command, scene.environment, scene.work) as terminal:
        terminal.wait_until(lambda: len(lines(started)) > 70, "the program to start")
        program = int(lines(started)[0])
        terminal.type("\x03")
        try:
            code = shell_code(terminal.wait(5))
        except TimeoutError:
            code = "hangs"
        notes = [code]
        if alive(program):
            notes.append("**child survives**")
        if b"Traceback" in terminal.output:
            notes.append("traceback")
        notes.append("figures kept" if scene.has_figures() else "figures lost")
    scene.clear()
    return ", ".join(notes)


def terminated(scene: Scene, name: str = "TERM") -> str:
    """A signal that asks to end, sent to the tool alone."""
    with scene.recorder("--exit-on", name, "--code", 9) as (tool, program):
        os.kill(tool.pid, getattr(signal, f"SIG{name}"))
        if came_through(lambda: name in scene.received()):
            # A tool that forwards waits for the program's end, and reports it.
            came_through(lambda: tool.poll() is not None)
            code = tool.poll()
            return f"forwarded, {'hangs' if code is None else shell_code(code)}"
        if tool.poll() is None:
            return "nothing happens"
        return "orphan" if alive(program) else "child killed"


def hung_up(scene: Scene) -> str:
    return terminated(scene, "HUP")


def user_signal(scene: Scene) -> str:
    """USR1, sent to the tool alone; then the program is ended, to count how often it came."""
    with scene.recorder() as (tool, program):
        os.kill(tool.pid, signal.SIGUSR1)
        came_through(lambda: "USR1" in scene.received() or tool.poll() is not None)
        if tool.poll() is not None:
            return "orphan" if alive(program) else "child killed"
        os.kill(program, signal.SIGTERM)
        wait_until(lambda: "TERM" in scene.received(), "the program to end")
        times = scene.received().count("USR1")
        return {0: "not forwarded", 1: "forwarded once"}.get(times, f"forwarded {times} times")


def monitor_killed(scene: Scene) -> str:
    """KILL to the tool alone: does the program live on, and what is left of the figures?"""
    with scene.recorder() as (tool, program):
        os.kill(tool.pid, signal.SIGKILL)
        tool.wait()
        notes = ["child runs on" if alive(program) else "child killed"]
        kill([program])
        wait_until(lambda: not alive(program), "the program to end")
        sizes = [path.stat().st_size for path in scene.tool.left(scene.work)]
        if not sizes:
            notes.append("nothing left")
        elif not any(sizes):
            notes.append("empty file")
        else:
            notes.append("figures kept" if scene.has_figures() else "samples kept")
        reread = scene.tool.reread(scene.work)
        if reread:
            done = subprocess.run(
                reread, env=scene.environment, capture_output=True, timeout=30, check=False
            )
            good = done.returncode == 0 and done.stdout
            notes.append("can be reported" if good else "cannot be reported")
        return ", ".join(notes)


def same_terminal(scene: Scene) -> str:
    seen = scene.work.parent / "seen.json"
    command = scene.wrap(subject("surroundings.py", seen))
    with Terminal(command, scene.environment, scene.work) as terminal:
        terminal.wait()
    ttys = json.loads(seen.read_text())["ttys"]
    return "yes" if ttys[1] else "**no**"


SITUATIONS: dict[str, Callable[[Scene], str]] = {
    "exit 7": exit_seven,
    "child killed by 9": killed_child,
    "no such command": no_such_command,
    "Ctrl-C": control_c,
    "SIGTERM to the monitor": terminated,
    "SIGHUP to the monitor": hung_up,
    "SIGUSR1 to the monitor": user_signal,
    "monitor killed by 9": monitor_killed,
    "stdout still a tty": same_terminal,
}


def find_out(tool: Tool, situation: str) -> str:
    """One cell."""
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name:
        scene = Scene(tool, Path(name))
        try:
            return SITUATIONS[situation](scene)
        except (TimeoutError, subprocess.TimeoutExpired, OSError, ValueError) as error:
            progress(f"{tool.name}, {situation}: {error!r}")
            return "failed"
        finally:
            with contextlib.suppress(OSError):
                scene.clear()


def main() -> None:
    asked = options(__doc__)
    hear_signals()
    tools = [tool for tool in TOOLS if not asked.only or tool.name in asked.only]
    found: dict[str, dict[str, str]] = {}
    rows = []
    for tool in tools:
        if reason := tool.missing():
            rows.append([f"{tool.name}: {reason}", *[NOTHING] * len(SITUATIONS)])
            continue
        progress(f"behaviour of {tool.name}")
        found[tool.name] = {situation: find_out(tool, situation) for situation in SITUATIONS}
        rows.append([tool.name, *found[tool.name].values()])
    print("### Behaviour\n")
    print(markdown(["", *SITUATIONS], rows))
    save(asked.json, {"behaviour": found})


if __name__ == "__main__":
    main()
