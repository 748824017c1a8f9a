"""The live view in a real terminal: keys, sizes, and the terminal as it was on every way out."""

from __future__ import annotations

import os
import re
import signal
import sys
import termios
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from harness import Terminal as Pty
from harness import alive, state, tree, wait_until
from terminal import Terminal, needs_tmux

pytestmark = needs_tmux

ROOT = Path(__file__).resolve().parents[2]
DRIVER = Path(__file__).with_name("live_driver.py")


class Scene:
    """A terminal with the live view in it."""

    def __init__(self, folder: Path, columns: int = 80, lines: int = 24) -> None:
        self.folder = folder
        self.terminal = Terminal(folder, columns, lines, {"PYTHONPATH": str(ROOT)})

    def start(self, kind: str = "plain", wanted: str = "q quit") -> None:
        """Show the view, below a line that must come back when it leaves."""
        words = f"{sys.executable} {DRIVER} {kind}"
        (self.folder / "go").write_text(f"clear; echo before\necho $$ > pid; exec {words}\n")
        (self.folder / "run").write_text(f"cd {self.folder}; bash go; echo code $?\n")
        self.terminal.type(f". {self.folder}/run")
        self.wait_for(wanted)

    @property
    def pid(self) -> int:
        """The driver's."""
        return int((self.folder / "pid").read_text())

    def shown(self) -> str:
        return "\n".join(self.terminal.screen())

    def wait_for(self, text: str) -> None:
        self.terminal.wait_for(text)

    def wait_for_no(self, text: str) -> None:
        self.terminal.wait_until(lambda: text not in self.shown(), f"no {text!r}")

    def flags(self) -> str:
        """Whether the alternate screen is on, and whether the cursor is seen."""
        words = "#{alternate_on} #{cursor_flag}"
        return self.terminal._tmux("display-message", "-p", "-t", "t", words).strip()

    def mouse(self) -> str:
        """Whether clicks come to the program, and in the form without limits."""
        words = "#{mouse_standard_flag} #{mouse_sgr_flag}"
        return self.terminal._tmux("display-message", "-p", "-t", "t", words).strip()

    def check_restored(self, code: int, said: str) -> None:
        """The first screen is back, its cursor is seen, keys are echoed, lines are lines."""
        self.wait_for(f"code {code}")
        rows = self.terminal.screen()
        assert rows[0] == "before"
        assert any(said in row for row in rows)
        assert self.flags() == "0 1"
        self.terminal.type("stty -a | tr ' ' '\\n' | grep -x -e '-*icanon' -e '-*echo'")
        self.terminal.wait_until(
            lambda: (
                [row for row in self.terminal.screen() if row in ("icanon", "echo")]
                == ["icanon", "echo"]
            ),
            "a terminal in its usual mode",
        )
        self.terminal.type("ec", enter=False)
        self.wait_for("$ ec")


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """80 columns, 24 rows."""
    made = Scene(tmp_path)
    with made.terminal:
        yield made


PAGES = {
    "1": "[NODES]",
    "2": "[GPUS]",
    "3": "[PROCESSES]",
    "4": "[FINDINGS",
    "5": "[TIMELINE]",
}


def test_keys_walk_all_pages(scene: Scene) -> None:
    scene.start()
    assert scene.flags() == "1 0"
    for key, tab in PAGES.items():
        scene.terminal.press(key)
        scene.wait_for(tab)
    scene.terminal.press("Tab")
    scene.wait_for("[NODES]")
    scene.terminal.press("BTab")
    scene.wait_for("[TIMELINE]")
    scene.terminal.press("?")
    scene.wait_for("next page, last page")
    scene.terminal.press("Escape")
    scene.wait_for_no("next page, last page")
    scene.terminal.press("q")
    scene.check_restored(0, "driver ended with 0")


def test_a_node_is_opened_and_left(scene: Scene) -> None:
    scene.start()
    scene.terminal.press("G", "Up", "Up", "Enter")
    scene.wait_for("above 90 %")
    scene.wait_for("read by ssh")
    assert any(row.startswith(" qb002") for row in scene.terminal.screen())
    scene.terminal.press("Escape")
    scene.wait_for("›qb002")
    scene.terminal.press("Down", "Enter")
    scene.wait_for("above 90 %")
    assert any(row.startswith(" qb003") for row in scene.terminal.screen())
    scene.terminal.press("q")
    scene.wait_for("›qb003")
    scene.terminal.press("q")
    scene.check_restored(0, "driver ended with 0")


def test_the_mouse_clicks_and_turns_its_wheel(scene: Scene) -> None:
    scene.start("many")
    rows = scene.terminal.screen()
    row = next(place for place, one in enumerate(rows, 1) if "[NODES]" in one)
    column = rows[row - 1].index("PROCESSES") + 2
    assert scene.mouse() == "1 1"
    scene.terminal.type(f"\x1b[<0;{column};{row}M\x1b[<0;{column};{row}m", enter=False)
    scene.wait_for("[PROCESSES]")
    scene.terminal.press("1")
    scene.wait_for("›qb")
    first = next(one[:6] for one in scene.terminal.screen() if one.startswith("›"))
    scene.terminal.type("\x1b[<65;10;12M", enter=False)
    scene.wait_for_no(first)
    scene.terminal.type("\x1b[<64;10;12M", enter=False)
    scene.wait_for(first)
    scene.terminal.press("m")
    scene.terminal.wait_until(lambda: scene.mouse() == "0 0", "the mouse given back")
    scene.terminal.press("m")
    scene.terminal.wait_until(lambda: scene.mouse() == "1 1", "the mouse taken")
    scene.terminal.press("F10")
    scene.check_restored(0, "driver ended with 0")
    assert scene.mouse() == "0 0"


def test_a_question_is_asked_before_a_signal(scene: Scene) -> None:
    scene.start()
    scene.terminal.press("3", "k")
    scene.wait_for("Signal to python (21270) on qb002")
    scene.terminal.press("q")
    scene.wait_for("nothing was sent")
    scene.terminal.press("F9", "t")
    scene.wait_for("runs on another machine: ssh qb002 kill -TERM 21270")
    scene.terminal.press("q")
    scene.check_restored(0, "driver ended with 0")


def test_a_filter_is_typed_kept_and_cleared(scene: Scene) -> None:
    scene.start("many")
    scene.wait_for("▲ lost")
    scene.terminal.type("/qb05", enter=False)
    scene.wait_for("filter: qb05")
    scene.terminal.press("Enter")
    scene.wait_for('filter "qb05": 10 of 60')
    scene.wait_for("q quit")
    assert "qb041" not in scene.shown()
    scene.terminal.press("Escape")
    scene.wait_for_no('filter "')
    scene.terminal.press("G")
    scene.wait_for("–60 of 60 nodes")
    scene.wait_for("›qb060")


def test_the_order_is_cycled_and_shown(scene: Scene) -> None:
    scene.start()
    for order in ("name", "CPU", "memory", "GPU", "trouble"):
        scene.terminal.press("s")
        scene.wait_for(f"── by {order} ")


def test_it_follows_the_size(scene: Scene) -> None:
    scene.start("many")

    def fits(lines: int) -> bool:
        rows = scene.terminal.screen()
        is_whole = len(rows) == lines and rows[-1].startswith(" ↑↓")
        return is_whole and rows[0].startswith(" 305669.qb3") and "q quit" in rows[-1]

    for columns, lines in ((200, 50), (40, 10), (100, 30), (80, 24)):
        scene.terminal.resize(columns, lines)
        what = f"the keys at the bottom of {columns} × {lines}"
        scene.terminal.wait_until(lambda lines=lines: fits(lines), what)  # type: ignore[misc]
    scene.terminal.press("q")
    scene.check_restored(0, "driver ended with 0")


def test_paused_the_picture_stands_still(scene: Scene) -> None:
    scene.start("counting")
    scene.terminal.press("p")
    scene.wait_for("PAUSED")
    before = scene.terminal.screen()
    scene.terminal.press("2")
    scene.wait_for("[GPUS]")
    scene.terminal.press("1")
    scene.wait_for("[NODES]")
    assert scene.terminal.screen() == before
    scene.terminal.press("p")
    scene.wait_for_no("PAUSED")
    scene.terminal.wait_until(lambda: scene.terminal.screen() != before, "a new picture")


def test_it_is_stopped_and_continued(scene: Scene) -> None:
    scene.start()
    scene.terminal.press("3")
    scene.wait_for("[PROCESSES]")
    scene.terminal.press("C-z")
    scene.wait_for("Stopped")
    assert scene.flags() == "0 1"
    scene.terminal.type("echo $((6 * 7))")
    scene.wait_for("42")
    scene.terminal.type("fg")
    scene.wait_for("[PROCESSES]")
    assert scene.flags() == "1 0"
    scene.terminal.press("1")
    scene.wait_for("[NODES]")
    scene.terminal.press("q")
    scene.terminal.wait_until(lambda: scene.flags() == "0 1", "the first screen")
    scene.wait_for("driver ended with 0")


def test_in_the_background_it_waits_for_the_terminal(scene: Scene) -> None:
    scene.start()
    scene.terminal.press("C-z")
    scene.wait_for("Stopped")
    scene.terminal.type("clear; bg; jobs")
    wait_until(lambda: state(scene.pid) == "T", "a stop before it writes")
    assert scene.flags() == "0 1"
    scene.terminal.type("fg")
    scene.wait_for("[NODES]")
    scene.terminal.press("2")
    scene.wait_for("[GPUS]")
    scene.terminal.press("q")
    scene.terminal.wait_until(lambda: scene.flags() == "0 1", "the first screen")
    scene.wait_for("driver ended with 0")


def test_a_stop_it_is_not_told_of_does_no_harm(scene: Scene) -> None:
    scene.start()
    os.kill(scene.pid, signal.SIGSTOP)
    wait_until(lambda: state(scene.pid) == "T", "the stop")
    scene.terminal.type("echo $((6 * 7))")
    scene.wait_for("42")
    scene.terminal.type("fg")
    scene.wait_for("[NODES]")
    scene.terminal.press("2")
    scene.wait_for("[GPUS]")
    scene.terminal.press("q")
    scene.terminal.wait_until(lambda: scene.flags() == "0 1", "the first screen")
    scene.terminal.type("ec", enter=False)
    scene.wait_for("$ ec")


def test_a_continue_without_a_stop_does_no_harm(scene: Scene) -> None:
    scene.start()
    os.kill(scene.pid, signal.SIGCONT)
    scene.terminal.press("2")
    scene.wait_for("[GPUS]")
    scene.terminal.press("q")
    scene.check_restored(0, "driver ended with 0")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_ends_it_and_the_terminal_is_restored(
    scene: Scene, number: signal.Signals
) -> None:
    scene.start()
    os.kill(scene.pid, number)
    scene.check_restored(128 + number, f"driver ended with {128 + number}")


def test_an_interrupt_is_a_quit(scene: Scene) -> None:
    scene.start()
    scene.terminal.press("C-c")
    scene.check_restored(0, "driver ended with 0")


def test_an_exception_restores_the_terminal(scene: Scene) -> None:
    scene.start("failing")
    scene.terminal.press("r")
    scene.check_restored(1, "driver: the picture cannot be made")


def test_a_terminal_that_hangs_up_ends_it(scene: Scene) -> None:
    scene.start()
    pid = scene.pid
    scene.terminal._tmux("kill-pane", "-t", "t")
    wait_until(lambda: not alive(pid), "the end of the view")


def test_a_waiting_job_goes_live_by_itself(scene: Scene) -> None:
    scene.start("waiting", "It waits in the queue")
    scene.wait_for("40 cores asked, 32 free, 60 in all")
    scene.terminal.press("r")
    scene.wait_for("[NODES]")
    scene.wait_for("›qb002")


def test_a_task_of_an_array_is_chosen(scene: Scene) -> None:
    scene.start("array", "[TASKS]")
    scene.terminal.press("Down", "Down", "Enter")
    scene.check_restored(0, "opened ['2_3']")


def test_a_stopped_terminal_does_not_stop_it(scene: Scene) -> None:
    scene.start()
    scene.terminal.press("C-s")
    scene.terminal.press("2")
    scene.terminal.press("C-q")
    scene.wait_for("[GPUS]")


def test_ctrl_l_paints_what_was_overwritten(scene: Scene) -> None:
    scene.start()
    pane = scene.terminal._tmux("display-message", "-p", "-t", "t", "#{pane_tty}").strip()
    Path(pane).write_text("\x1b[5;1Hrubbish from elsewhere\x1b[K")
    scene.wait_for("rubbish")
    scene.terminal.press("C-l")
    scene.wait_for_no("rubbish")
    scene.wait_for("GPU 1 idle")


@pytest.mark.parametrize("variable", ["NO_COLOR=1", "NO_COLOR="])
def test_colours_are_for_those_who_want_them(scene: Scene, variable: str) -> None:
    scene.terminal.type(f"export {variable}")
    scene.start()
    shown = "\n".join(scene.terminal.screen(coloured=True))
    has_colour = "38;5;" in shown
    assert has_colour == (variable == "NO_COLOR=")
    assert "[NODES]" in scene.shown()


def test_a_dumb_terminal_is_told_what_to_do(scene: Scene) -> None:
    scene.terminal.type("export TERM=dumb")
    scene.start(wanted="code 2")
    assert "driver: this terminal cannot show a full screen: use --once" in scene.shown()
    assert scene.flags() == "0 1"


def test_pictures_are_asked_for_four_times_a_second_at_most(scene: Scene) -> None:
    scene.start("counting")

    def has_asked(times: int) -> bool:
        found = re.search(r"asked (\d+) times", scene.shown())
        return found is not None and int(found[1]) >= times

    for number in range(3):
        scene.terminal.press(*"2131" * 5)
        scene.terminal.wait_until(partial(has_asked, 4 * number + 4), "more pictures")
    scene.terminal.press("q")
    scene.wait_for("code 0")
    (last,) = [row for row in scene.terminal.screen() if row.startswith("asked ")]
    assert int(last.split()[1]) <= 4 * float(last.split()[4]) + 2


def test_nothing_is_written_while_nothing_changes(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}
    with Pty([sys.executable, str(DRIVER), "still"], env, tmp_path) as view:
        view.wait_for("q quit")
        asked = tmp_path / "asked"

        def looked(times: int) -> bool:
            return asked.exists() and int(asked.read_text() or "0") >= times

        view.wait_until(lambda: looked(3), "a few looks")
        before = len(view.output)
        view.wait_until(lambda: looked(8), "more looks")
        assert len(view.output) == before
        view.type("2")
        view.wait_for("[GPUS]")
        written = view.output[before:]
        assert b"305669.qb3" not in written  # the head stands already
        assert b"\x1b[2J" not in written
        view.type("q")
        assert view.wait() == 0
    assert view.output.count(b"\x1b[?1049h") == view.output.count(b"\x1b[?1049l") == 1


def test_modes_that_somebody_changed_while_it_was_stopped_are_set_again(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}
    with Pty([sys.executable, str(DRIVER), "still"], env, tmp_path) as view:
        view.wait_for("q quit")
        os.kill(view.pid, signal.SIGSTOP)
        view.wait_until(lambda: state(view.pid) == "T", "the stop")
        modes = termios.tcgetattr(view._fd)
        assert not modes[3] & termios.ICANON
        modes[3] |= termios.ICANON | termios.ECHO
        termios.tcsetattr(view._fd, termios.TCSANOW, modes)
        os.kill(view.pid, signal.SIGCONT)
        view.wait_until(
            lambda: not termios.tcgetattr(view._fd)[3] & termios.ICANON, "keys one by one"
        )
        view.type("q")
        assert view.wait() == 0
        assert termios.tcgetattr(view._fd)[3] & termios.ICANON


def test_no_child_is_left(scene: Scene) -> None:
    scene.start()
    assert tree(scene.pid) == {scene.pid}
