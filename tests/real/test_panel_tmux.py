"""The panel in a real terminal: what the program prints stays whole, and so does the terminal.

Most tests show made-up figures (panel_driver.py) and repaint far more often than once a second, so
that a repaint falls between any two writes of the program. Children wait for the enter key where
the test wants to look.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from terminal import Terminal, needs_tmux

pytestmark = needs_tmux

ROOT = Path(__file__).resolve().parents[2]
DRIVER = Path(__file__).with_name("panel_driver.py")
MARK = " hpcwatch · "
FINDING = "▲ GPU 1 idle 12 min"

BAR = """
import sys, time
for epoch in (1, 2):
    print(f"Epoch {epoch}/2")
    for step in range(1, 101):
        bar = "━" * (step // 5) + "─" * (20 - step // 5)
        sys.stdout.write(f"\\r{step}/100 {bar} loss: {1 / step:.4f}")
        sys.stdout.flush()
        time.sleep(0.01)
    print()
    input() if epoch == 1 else None
"""

FULL_SCREEN = """
import sys, termios, tty
lines = int(sys.argv[1])
before = termios.tcgetattr(0)
tty.setraw(0)
sys.stdout.write("\\x1b[?1049h\\x1b[2J")
def draw():
    sys.stdout.write("".join(f"\\x1b[{row};1Hfull screen {row}" for row in range(1, lines + 1)))
    sys.stdout.flush()
draw()
while sys.stdin.read(1) == "d":
    draw()
sys.stdout.write("\\x1b[?1049l")
sys.stdout.flush()
termios.tcsetattr(0, termios.TCSADRAIN, before)
"""

KEYS = """
import sys, termios, tty
print("press a key", flush=True)
before = termios.tcgetattr(0)
tty.setcbreak(0)
for key in iter(lambda: sys.stdin.read(1), "q"):
    print(f"pressed {key}", flush=True)
termios.tcsetattr(0, termios.TCSADRAIN, before)
print("over", flush=True)
input()
"""


class Scene:
    """A terminal, and the files of the programs that are run in it."""

    def __init__(self, folder: Path, columns: int = 100, lines: int = 30) -> None:
        self.folder = folder
        self.lines = lines
        variables = {"PYTHONPATH": str(ROOT), "HPCWATCH_HOME": str(folder / "home")}
        self.terminal = Terminal(folder, columns, lines, variables)

    def program(self, text: str) -> str:
        """A Python program of the test's, as words of a command line."""
        path = self.folder / "program.py"
        path.write_text(text)
        return f"{sys.executable} {path}"

    def drive(self, command: str, kind: str = "full", every_s: float = 0.03) -> None:
        """Run a command below a panel of made-up figures, on an empty screen."""
        words = f"{sys.executable} {DRIVER} {kind} {every_s} {command}"
        (self.folder / "go").write_text(f"clear\n{words}\n")
        self.terminal.type(f". {self.folder}/go")

    def shell(self, text: str) -> str:
        """A shell script of the test's, as words of a command line."""
        path = self.folder / "script.sh"
        path.write_text(text)
        return f"sh {path}"

    def above(self) -> list[str]:
        """What stands above the panel, without empty rows at its end."""
        rows = self.terminal.screen()
        marks = [index for index, row in enumerate(rows) if MARK in row]
        rows = rows[: marks[0]] if marks else rows
        while rows and not rows[-1]:
            rows.pop()
        return rows

    def wait_for_panel(self, rows: int = 6) -> None:
        """Wait for one panel of so many rows, at the bottom, and for what is above to scroll."""
        what = f"one panel in the {rows} bottom rows"
        self.terminal.wait_until(lambda: self._has_panel(rows), what)

    def _has_panel(self, rows: int) -> bool:
        shown = self.terminal.screen()
        first = len(shown) - rows
        is_there = [index for index, row in enumerate(shown) if MARK in row] == [first]
        return is_there and self.terminal.scrolls() == (0, first - 1)

    def wait_for_end(self) -> list[str]:
        """Wait for the driver's last words and the prompt after them; the screen's rows then."""

        def ended() -> bool:
            rows = self.above()
            return len(rows) > 1 and "driver ended" in rows[-2] and rows[-1] == "$"

        self.terminal.wait_until(ended, "the prompt right below the driver's last words")
        return self.above()

    def check_restored(self) -> None:
        """The whole terminal scrolls again, and nothing of the panel is left on it."""
        terminal = self.terminal
        shown = terminal.screen()
        column, row = terminal.cursor()
        assert (column, shown[row]) == (2, "$")
        assert not any(shown[row + 1 :])
        assert terminal.scrolls() == (0, len(shown) - 1)
        terminal.type("clear; seq 200")
        wanted = [*map(str, range(202 - len(shown), 201)), "$"]
        terminal.wait_until(lambda: terminal.screen() == wanted, "200 lines over the whole height")


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """100 columns, 30 rows."""
    made = Scene(tmp_path)
    with made.terminal:
        yield made


def test_a_progress_bar_stays_whole(scene: Scene) -> None:
    scene.drive(scene.program(BAR))
    scene.wait_for_panel()
    first = ["Epoch 1/2", "100/100 " + "━" * 20 + " loss: 0.0100"]
    scene.terminal.wait_until(lambda: scene.above() == first, "a full bar above the panel")
    shown = scene.terminal.screen()
    assert len(shown) == scene.lines
    assert [row.split()[0] for row in shown[-5:-1]] == ["CPU", "GPU", "python", "▲"]
    scene.terminal.press("Enter")
    rows = scene.wait_for_end()
    assert [*rows[:2], *rows[3:5]] == [*first, "Epoch 2/2", first[1]]
    scene.check_restored()


@pytest.mark.parametrize("kind", ["full", "varying"])
def test_no_line_of_scrolling_output_is_lost(scene: Scene, kind: str) -> None:
    steps = "for n in $(seq 60); do seq $((50 * n - 49)) $((50 * n)); sleep 0.01; done"
    scene.drive(scene.shell(f"{steps}; read end"), kind)
    scene.terminal.wait_until(lambda: scene.above()[-1:] == ["3000"], "the last line")
    scene.terminal.press("Enter")
    scene.wait_for_end()
    history = scene.terminal.history()
    start = history.index("1")
    assert history[start : start + 3000] == list(map(str, range(1, 3001)))
    assert not [row for row in history if MARK in row]
    scene.check_restored()


def test_more_output_than_a_terminal_takes(scene: Scene) -> None:
    scene.drive(scene.shell("seq 100000; read end"), every_s=0.1)
    scene.terminal.wait_until(lambda: scene.above()[-1:] == ["100000"], "the last line")
    scene.wait_for_panel()
    scene.terminal.press("Enter")
    scene.wait_for_end()
    scene.check_restored()


def test_it_follows_the_terminal_s_size(scene: Scene) -> None:
    scene.drive(scene.shell(f"seq 60; exec {scene.program(BAR)}"))
    scene.wait_for_panel()
    bar = "100/100 " + "━" * 20

    def stands() -> bool:
        *before, last = scene.above()[-3:]
        return before == ["60", "Epoch 1/2"] and "loss" in last

    for columns, lines in ((80, 18), (60, 40), (120, 24), (100, 50), (100, 16)):
        scene.terminal.resize(columns, lines)
        scene.wait_for_panel(5 if columns > 110 else 6)  # below, the advice takes two rows
        assert len(scene.terminal.screen()) == lines
        scene.terminal.wait_until(stands, "the program's three rows above the panel")
    scene.terminal.wait_until(lambda: scene.above()[-1].startswith(bar), "a full bar")
    scene.terminal.press("Enter")
    rows = scene.wait_for_end()
    assert len([row for row in rows if row.startswith(bar)]) == 2
    assert not [row for row in scene.terminal.history() if "hpcwatch ·" in row or "CPU" in row]
    scene.check_restored()


def test_a_low_terminal_gets_one_row_and_a_lower_one_none(tmp_path: Path) -> None:
    scene = Scene(tmp_path, 100, 10)
    with scene.terminal as terminal:
        scene.drive(scene.shell("seq 50; read size; echo low; read end"))
        terminal.wait_until(lambda: terminal.screen()[-1].startswith("hpcwatch "), "a bottom row")
        assert FINDING in terminal.screen()[-1]
        terminal.wait_until(lambda: terminal.screen()[-3:-1] == ["50", ""], "the last line")
        terminal.resize(100, 4)
        terminal.wait_until(lambda: terminal.scrolls() == (0, 3), "no region")
        assert not [row for row in terminal.screen() if "hpcwatch" in row]
        terminal.press("Enter")
        terminal.wait_for("low")
        terminal.resize(100, 30)
        scene.wait_for_panel()
        terminal.press("Enter")
        scene.wait_for_end()
        scene.check_restored()


def test_it_comes_back_after_the_program_cleared_the_screen(scene: Scene) -> None:
    scene.drive(scene.shell("seq 50; read go; clear; echo top; read end"))
    scene.wait_for_panel()
    scene.terminal.press("Enter")
    scene.terminal.wait_until(lambda: scene.above() == ["top"], "an empty screen but for a line")
    scene.wait_for_panel()
    scene.terminal.press("Enter")
    scene.wait_for_end()
    scene.check_restored()


def test_it_comes_back_after_the_program_reset_the_terminal(scene: Scene) -> None:
    # All of it between two repaints, so that the output runs over the place of the panel.
    scene.drive(scene.shell("read go; printf '\\033c'; seq 100; read more; seq 101 150; read end"))
    scene.wait_for_panel()
    scene.terminal.press("Enter")
    scene.terminal.wait_until(lambda: scene.above()[-1:] == ["100"], "the last line")
    scene.wait_for_panel()
    scene.terminal.press("Enter")
    scene.terminal.wait_until(lambda: scene.above()[-1:] == ["150"], "the last line")
    scene.terminal.press("Enter")
    scene.wait_for_end()
    numbers = [row for row in scene.terminal.history() if row.isdigit()]
    assert numbers == list(map(str, range(1, 151)))
    scene.check_restored()


def test_a_slow_repaint_after_a_reset_hides_nothing(scene: Scene) -> None:
    scene.drive(scene.shell("read go; printf '\\033c'; seq 100; read end"), every_s=0.7)
    scene.wait_for_panel()
    scene.terminal.press("Enter")
    wanted = list(map(str, range(77, 101)))
    scene.terminal.wait_until(lambda: scene.above()[-24:] == wanted, "all lines above the panel")
    scene.wait_for_panel()
    scene.terminal.press("Enter")
    scene.wait_for_end()
    scene.check_restored()


def test_it_leaves_the_screen_to_a_program_that_uses_all_of_it(scene: Scene) -> None:
    full = f"{scene.program(FULL_SCREEN)} 30"
    scene.drive(scene.shell(f"seq 60; read go; {full}; echo back; read end"))
    scene.wait_for_panel()
    scene.terminal.press("Enter")
    scene.terminal.wait_for("full screen 1")
    scene.terminal.wait_until(lambda: scene.terminal.scrolls() == (0, 29), "no region")
    scene.terminal.press("d")  # it draws again, and nobody interferes
    whole = [f"full screen {row}" for row in range(1, 31)]
    scene.terminal.wait_until(lambda: scene.terminal.screen() == whole, "a full screen")
    scene.terminal.press("q")
    scene.terminal.wait_until(lambda: scene.above()[-1:] == ["back"], "the first screen")
    assert scene.above()[-3:] == ["60", "", "back"]
    scene.wait_for_panel()
    scene.terminal.press("Enter")
    scene.wait_for_end()
    scene.check_restored()


def test_nothing_is_left_if_such_a_program_is_the_last(scene: Scene) -> None:
    full = f"{scene.program(FULL_SCREEN)} 30"
    scene.drive(scene.shell(f"seq 60; read go; {full}"))
    scene.wait_for_panel()
    scene.terminal.press("Enter")
    scene.terminal.wait_for("full screen 1")
    scene.terminal.wait_until(lambda: scene.terminal.scrolls() == (0, 29), "no region")
    scene.terminal.press("q")
    scene.wait_for_end()
    scene.check_restored()


def test_it_makes_way_while_a_program_reads_keys(scene: Scene) -> None:
    scene.drive(scene.shell(f"seq 60; read go; {scene.program(KEYS)}"))
    scene.wait_for_panel()
    scene.terminal.press("Enter")
    scene.terminal.wait_for("press a key")
    scene.terminal.wait_until(lambda: scene.terminal.scrolls() == (0, 29), "no region")
    assert MARK not in "".join(scene.terminal.screen())
    for key in "abcdefgh":
        scene.terminal.press(key)
        scene.terminal.wait_for(f"pressed {key}")
    scene.terminal.press("q")
    scene.terminal.wait_for("over")
    scene.wait_for_panel()
    wanted = [*(f"pressed {key}" for key in "abcdefgh"), "over"]
    assert scene.above()[-9:] == wanted
    scene.terminal.press("Enter")
    scene.wait_for_end()
    assert not [row for row in scene.terminal.history() if MARK in row]
    scene.check_restored()


def test_it_shows_while_an_interactive_shell_runs_a_command(scene: Scene) -> None:
    scene.drive("bash --norc --noprofile -i")
    scene.terminal.wait_until(lambda: scene.above() == ["$"], "the inner shell's prompt")
    scene.terminal.type("read line")
    scene.wait_for_panel()
    scene.terminal.press("Enter")
    scene.terminal.wait_until(lambda: scene.terminal.scrolls() == (0, 29), "no region")
    scene.terminal.type("exit")
    scene.wait_for_end()
    scene.check_restored()


def test_a_stopped_job_gives_the_terminal_back(scene: Scene) -> None:
    scene.drive(scene.shell("seq 60; read end"))
    scene.wait_for_panel()
    scene.terminal.press("C-z")
    scene.terminal.wait_until(lambda: scene.above()[-1:] == ["$"], "the shell's prompt")
    scene.check_restored()
    scene.terminal.type("fg")
    scene.wait_for_panel()
    scene.terminal.press("Enter")
    scene.wait_for_end()
    scene.check_restored()


def test_a_background_job_does_not_touch_the_terminal(scene: Scene) -> None:
    scene.drive(scene.shell("sleep 60"))
    scene.wait_for_panel()
    scene.terminal.press("C-z")
    scene.terminal.wait_until(lambda: scene.above()[-1:] == ["$"], "the shell's prompt")
    scene.terminal.type("bg; read line")  # not raw, as it is at the prompt
    scene.terminal.wait_for("&")
    scene.terminal.type("some line")
    scene.terminal.type("clear; jobs")
    scene.terminal.wait_for("Running")
    assert scene.terminal.scrolls() == (0, 29)
    scene.terminal.type("stty tostop; sleep 0.3; clear; jobs")
    scene.terminal.wait_until(lambda: "Running" in scene.terminal.screen()[0], "a running job")
    assert not [row for row in scene.terminal.history() if MARK in row]
    scene.terminal.type("stty -tostop; fg")
    scene.wait_for_panel()
    scene.terminal.press("C-c")
    scene.wait_for_end()
    scene.check_restored()


def test_it_waits_while_the_terminal_is_stopped(scene: Scene) -> None:
    scene.drive(scene.shell("echo first; read go; seq 60; read end"))
    scene.wait_for_panel()
    scene.terminal.press("C-s")
    scene.terminal.press("Enter")
    scene.terminal.press("C-q")
    scene.terminal.wait_until(lambda: scene.above()[-1:] == ["60"], "the last line")
    scene.wait_for_panel()
    scene.terminal.press("Enter")
    scene.wait_for_end()
    scene.check_restored()


def test_redirected_streams_stay_the_program_s(scene: Scene) -> None:
    out, errors = scene.folder / "out", scene.folder / "errors"
    scene.drive(f"{scene.shell('echo out; echo errors >&2; read end')} > {out}")
    scene.wait_for_panel()
    scene.terminal.wait_until(lambda: scene.above() == ["errors"], "what the program said")
    scene.terminal.press("Enter")
    scene.wait_for_end()
    assert out.read_text() == "out\n"
    scene.drive(f"{scene.shell('echo out; echo errors >&2; read end')} 2> {errors}")
    scene.wait_for_panel()
    scene.terminal.wait_until(lambda: scene.above() == ["out"], "what the program said")
    scene.terminal.press("Enter")
    scene.terminal.wait_until(lambda: scene.above() == ["out", "", "$"], "the prompt")
    assert errors.read_text().startswith("errors\ndriver ended")
    scene.check_restored()


@pytest.mark.parametrize("variables", ["NO_COLOR=1", "NO_COLOR="])
def test_colours_are_for_those_who_want_them(scene: Scene, variables: str) -> None:
    scene.terminal.type(f"export {variables}")
    scene.drive(scene.shell("read end"))
    scene.wait_for_panel()
    panel = scene.terminal.screen(coloured=True)[-5:]
    assert any("\x1b[" in row for row in panel) == (variables == "NO_COLOR=")


def test_a_dumb_terminal_has_no_panel(scene: Scene) -> None:
    scene.terminal.type("export TERM=dumb")
    scene.drive(scene.shell("sleep 0.5; echo over; read end"))
    scene.terminal.wait_for("over")
    assert MARK not in "".join(scene.terminal.screen())
    assert scene.terminal.scrolls() == (0, 29)


@pytest.mark.parametrize("partial", ["", "x", "x" * 99, "x" * 100])
def test_a_report_starts_on_a_line_of_its_own(scene: Scene, partial: str) -> None:
    text = f"""
import sys
from hpcwatch.views.text import fresh_line
sys.stdout.write("above\\n{partial}" + fresh_line(100) + "report")
sys.stdout.flush()
input()
"""
    scene.terminal.type(f"clear; {scene.program(text)}")
    wanted = ["above", partial, "report"] if partial else ["above", "report"]
    scene.terminal.wait_until(lambda: scene.above() == wanted, "the report")


class Run(Scene):
    """The real thing: `hpcwatch run` of a program that waits for the enter key."""

    monitor = 0

    def start(self, command: str) -> None:
        words = f"{sys.executable} -m hpcwatch run --output {shlex.quote(str(self.folder / 'out'))}"
        program = self.shell(f"echo monitor $PPID\nseq 60\n{command}")
        (self.folder / "go").write_text(f"clear\n{words} -- {program}\n")
        self.terminal.type(f". {self.folder}/go")
        self.wait_for_panel(3)
        self.terminal.wait_until(lambda: self.above()[-1:] == ["60"], "the program's last line")
        (first,) = [row for row in self.terminal.history() if row.startswith("monitor ")]
        self.monitor = int(first.split()[1])

    def wait_for_report(self, said: str) -> None:
        """Wait for the report and the prompt below it."""

        def ended() -> bool:
            rows = self.above()
            return rows[-1:] == ["$"] and any(row.startswith("Again: ") for row in rows)

        self.terminal.wait_until(ended, "the prompt below the report")
        shown = self.terminal.screen()
        (head,) = [index for index, row in enumerate(shown) if row.startswith("── hpcwatch ──")]
        assert said in shown[head + 1]
        self.check_restored()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """100 columns, 30 rows."""
    made = Run(tmp_path)
    with made.terminal:
        yield made


def test_run_shows_a_panel_and_gives_the_terminal_back(run: Run) -> None:
    run.start("read end")
    shown = run.terminal.screen()
    assert shown[-5:-3] == ["60", ""]
    assert MARK in shown[-3]
    assert shown[-2].split()[0] == "CPU"
    assert "MEM" in shown[-2]
    assert shown[-1].startswith("sh ")
    run.terminal.press("Enter")
    run.wait_for_report("ended normally")


def test_run_follows_the_terminal_s_size(run: Run) -> None:
    run.start("read end")
    for columns, lines in ((80, 20), (120, 40)):
        run.terminal.resize(columns, lines)
        run.wait_for_panel(3)
    run.terminal.press("Enter")
    run.wait_for_report("ended normally")


def test_run_gives_the_terminal_back_after_an_interrupt(run: Run) -> None:
    run.start("read end")
    run.terminal.press("C-c")
    run.wait_for_report("SIGINT")


def test_run_gives_the_terminal_back_after_a_signal_to_the_monitor(run: Run) -> None:
    run.start("exec sleep 60")
    os.kill(run.monitor, signal.SIGTERM)
    run.wait_for_report("SIGTERM")


def test_run_can_be_stopped_and_continued(run: Run) -> None:
    run.start("read end")
    run.terminal.press("C-z")
    run.terminal.wait_until(lambda: run.above()[-1:] == ["$"], "the shell's prompt")
    run.check_restored()
    run.terminal.type("fg")
    run.wait_for_panel(3)
    run.terminal.press("Enter")
    run.wait_for_report("ended normally")
