"""What the panel and the line say, that they fit, and that a stuck terminal holds nobody up."""

from __future__ import annotations

import contextlib
import fcntl
import io
import math
import os
import struct
import sys
import termios
import time
import tty
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from states import GIB, finding, gpu, live, process, two_gpus
from test_text import foreign

from hpcwatch.analysis.findings import Severity
from hpcwatch.views.run.line import line
from hpcwatch.views.run.panel import Panel
from hpcwatch.views.run.panel_rows import rows
from hpcwatch.views.run.state import LiveState
from hpcwatch.views.text import line_width, render

IDLE = finding("18 of 20 cores idle", Severity.WARNING, "job")


def shown(state: LiveState, width: int = 80, most_rows: int = 6) -> list[str]:
    return [render(row, coloured=False).rstrip() for row in rows(state, width, most_rows)]


def one_line(state: LiveState, width: int = 200) -> str:
    return render(line(state, width), coloured=False)


def test_three_rows_without_devices_and_findings() -> None:
    *totals, processes = shown(live())
    assert processes.startswith("python 204 % 1.6 GiB 37 thr")
    assert totals == [
        "────────────────────────────────────────────────── hpcwatch · 2:41 of 72:00:00 ─",
        "CPU  2.1 of 20 cores ▂▃█▁▁▂▃█▁▁▂▃█▁▁▂▃█  MEM  1.61 of 126 GiB ▁▁▁▁▁▁▁  peak 1.7",
    ]


def test_five_rows_with_two_devices_and_a_finding() -> None:
    assert shown(live(gpus=two_gpus(), findings=[finding()]))[2:] == [
        "GPU 0  77 % 10.8 of 11.2 GiB 104 W ▇▇▇▇  GPU 1   0 % 10.7 of 11.2 GiB  61 W ▁▁▁▁",
        "python 204 % 1.6 GiB 37 thr · python 1 % 102 MiB",
        "▲ GPU 1 idle 12 min, holds 10.7 GiB · TensorFlow reserves every GPU it sees:",
        "export CUDA_VISIBLE_DEVICES=0",
    ]


def test_the_whole_advice_is_worth_more_than_the_row_of_processes() -> None:
    state = live(gpus=[gpu(index, 77.0) for index in range(4)], findings=[finding()])
    assert [row[:6] for row in shown(state)[2:]] == ["GPU 0 ", "GPU 2 ", "▲ GPU ", "export"]


def test_a_wider_terminal_gets_more_columns_of_devices() -> None:
    four = live(gpus=[gpu(index, 77.0) for index in range(4)])
    assert [row.count("GPU") for row in shown(four, 80)[2:]] == [2, 2, 0]
    assert [row.count("GPU") for row in shown(four, 160)[2:]] == [4, 0]
    assert [row.count("GPU") for row in shown(four, 100)[2:]] == [2, 2, 0]


def test_the_longest_history_is_a_minute() -> None:
    state = live(cores_history=[20.0] * 120, used_history=[126 * GIB] * 120)
    cores, memory = shown(state, 200)[1].split("MEM")
    assert cores.count("█") == memory.count("█") == 60


def test_a_narrow_terminal_keeps_the_figures() -> None:
    assert shown(live(gpus=two_gpus(), findings=[finding(), IDLE]), 40) == [
        "────────── hpcwatch · 2:41 of 72:00:00 ─",
        "CPU 2.1 of 20 cores  MEM 1.61 of 126 GiB",
        "GPU 0  77 % 10.8 of 11.2 GiB 104 W ▇▇▇▇▇",
        "GPU 1   0 % 10.7 of 11.2 GiB  61 W ▁▁▁▁▁",
        "python 204 % 1.6 GiB 37 thr",
        "▲ GPU 1 idle 12 min, holds 10.…  +1 more",
    ]


def test_of_many_devices_the_idle_are_shown() -> None:
    utils = [99.0, 0.0, 98.0, 97.0, 0.0, None, 95.0, 7.4]
    state = live(gpus=[gpu(index, util) for index, util in enumerate(utils)])
    assert shown(state, 80)[2:4] == [
        "GPU 1   0 % 10.8 of 11.2 GiB 104 W ▁▁▁▁  GPU 4   0 % 10.8 of 11.2 GiB 104 W ▁▁▁▁",
        "GPU 7 7.4 % 10.8 of 11.2 GiB 104 W ▁▁▁▁  GPU 0  99 % 10.8 of 11.2 GiB    +4 more",
    ]
    assert [row.count("GPU") for row in shown(state, 200)[2:4]] == [4, 4]
    assert "more" not in "".join(shown(state, 200))


def test_devices_keep_their_places_while_all_fit() -> None:
    state = live(gpus=[gpu(0, 99.0), gpu(1, 0.0)])
    assert shown(state)[2].index("GPU 0") < shown(state)[2].index("GPU 1")


def test_fewer_rows_keep_the_finding() -> None:
    state = live(gpus=two_gpus(), findings=[finding()])
    assert [row[:5] for row in shown(state, 80, 6)][2:] == ["GPU 0", "pytho", "▲ GPU", "expor"]
    assert [row[:5] for row in shown(state, 80, 5)][2:] == ["GPU 0", "▲ GPU", "expor"]
    assert [row[:5] for row in shown(state, 80, 4)][2:] == ["GPU 0", "▲ GPU"]
    assert [row[:5] for row in shown(state, 80, 3)][2:] == ["▲ GPU"]
    assert shown(state, 80, 1) == [one_line(state, 80)]
    assert shown(state, 80, 0) == []


@pytest.mark.parametrize("width", [40, 80, 200])
def test_unknown_is_a_dash_and_never_zero(width: int) -> None:
    nothing = live(
        walltime_s=None,
        used_cores=None,
        used_bytes=None,
        peak_bytes=None,
        gpus=[gpu(3, None, None, None)],
        cores_history=[math.nan] * 5,
        used_history=[math.nan] * 5,
        processes=[process("python", None, 1.0, 1)],
    )
    _, totals, device, one = shown(nothing, width)
    assert totals.startswith(("CPU    – of 20 cores", "CPU – of 20 cores  MEM – of 126 GiB"))
    assert "– of 126 GiB" in totals
    assert device.split() == ["GPU", "3", "–", "–", "of", "11.2", "GiB", "–"]
    assert one == "python – 1 GiB"
    assert "CPU – of 20 cores  MEM – of 126 GiB  GPU 3 –" in one_line(nothing)
    for spans in rows(nothing, width, 6):
        assert all(span.style == "dim" for span in spans if "–" in span.text[:6])


def test_without_a_limit_the_peak_is_the_scale() -> None:
    state = live(limit_bytes=None, cores=None, used_history=[0.86 * GIB, 1.7 * GIB])
    totals = shown(state)[1]
    assert totals.startswith("CPU  2.1 cores  ")
    assert totals.endswith("MEM  1.61 GiB ▅█           peak 1.7 GiB")


def test_little_memory_is_named_in_its_own_unit() -> None:
    totals = shown(live(used_bytes=3 << 20, peak_bytes=120 << 20))[1]
    assert "MEM     3 MiB of 126 GiB" in totals
    assert totals.endswith("peak 120 MiB")


def test_what_the_monitor_has_to_say_stands_in_the_rule() -> None:
    state = live(note="not recorded:\x1b[2J disk full")
    rule = shown(state)[0]
    assert rule.startswith("── not recorded:\\x1b[2J disk full ───")
    assert rule.endswith("hpcwatch · 2:41 of 72:00:00 ─")
    assert one_line(state).endswith("  not recorded:\\x1b[2J disk full")


def test_a_process_cannot_name_itself_an_escape_sequence() -> None:
    hostile = process(
        "\x1b[2J[bold]" + b"\xff\xe6\xbc\xa2".decode("utf-8", "surrogateescape"), 1, 1, 1
    )
    state = live(gpus=two_gpus(), processes=[hostile], findings=[finding("a\x1b]0;b\x07c")])
    assert shown(state)[3] == "\\x1b[2J[bold]\\xff漢 100 % 1 GiB"
    assert shown(state)[4].startswith("▲ a\\x1b]0;b\\x07c · TensorFlow")
    assert one_line(state).endswith("▲ a\\x1b]0;b\\x07c")


def test_only_whole_processes_are_named() -> None:
    many = live(gpus=two_gpus(), processes=[process(f"worker{n}", 1.0, 1, 2) for n in range(9)])
    assert shown(many)[-1].endswith("worker1 100 % 1 GiB 2 thr")
    assert shown(many, 81)[-1].endswith("worker2 100 % 1 GiB 2 thr")


def test_the_device_a_finding_is_about_has_its_colour() -> None:
    row = rows(live(gpus=two_gpus(), findings=[IDLE, finding()]), 80, 6)[2]
    assert [span.text for span in row if span.style == "critical"] == ["   0 %"]


def test_line() -> None:
    state = live(gpus=two_gpus(), findings=[finding("GPU 1 idle 12 min")], elapsed_s=41.0)
    assert one_line(state) == (
        "hpcwatch 0:41  CPU 2.1 of 20 cores  MEM 1.61 of 126 GiB  GPU 0 77 %  GPU 1 0 %"
        "  ▲ GPU 1 idle 12 min"
    )


def test_devices_give_way_to_a_finding_in_the_line() -> None:
    state = live(gpus=two_gpus(), findings=[finding(), IDLE])
    assert one_line(state, 80) == (
        "hpcwatch 2:41  CPU 2.1 of 20 cores  MEM 1.61 of 126 GiB  ▲ GPU 1 idle …  +1 more"
    )
    assert one_line(state._replace(findings=[]), 80).endswith("126 GiB  GPU 0 77 %  GPU 1 0 %")
    assert one_line(state, 40) == "hpcwatch 2:41  CPU 2.1 of 20 cores"


def test_many_devices_are_numbers_in_the_line() -> None:
    state = live(gpus=[gpu(index, util) for index, util in enumerate([99.0, None, 7.4, 0.0])])
    assert one_line(state).endswith("126 GiB  4 GPUs 99 – 7.4 0 %")


figures = st.one_of(st.none(), st.integers(0, 1 << 60))
floats = st.one_of(st.none(), st.floats(0, 1e6))
histories = st.lists(st.one_of(st.just(math.nan), st.floats(0, 1e13)), max_size=150)
states = st.builds(
    lambda **changes: live(**changes),
    elapsed_s=st.floats(0, 1e7),
    walltime_s=floats,
    used_cores=floats,
    cores=st.one_of(st.none(), st.integers(0, 1024)),
    cores_history=histories,
    used_bytes=figures,
    limit_bytes=figures,
    used_history=histories,
    peak_bytes=figures,
    gpus=st.lists(
        st.builds(gpu, st.integers(0, 99), floats, st.one_of(st.none(), st.floats(0, 999)), floats),
        max_size=17,
    ),
    processes=st.lists(
        st.builds(process, foreign, floats, st.floats(0, 1e4), st.integers(0, 99999)), max_size=5
    ),
    findings=st.lists(st.builds(finding, foreign, st.sampled_from(Severity)), max_size=3),
    note=st.one_of(st.none(), foreign),
)


@given(states, st.one_of(st.integers(1, 30), st.integers(1, 220)), st.integers(0, 6))
def test_no_row_is_wider_than_the_terminal(state: LiveState, width: int, most_rows: int) -> None:
    laid = rows(state, width, most_rows)
    assert len(laid) <= most_rows
    for row in [*laid, line(state, width)]:
        assert line_width(row) <= width
        assert render(row, coloured=False).isprintable()


def test_no_panel_without_a_terminal_that_moves_its_cursor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setattr(sys, "stdout", None)
    assert Panel.open() is None
    with stalled_terminal() as (_, terminal):
        # A terminal, but not the one that controls us: we cannot tell whether it is ours to use.
        monkeypatch.setattr(sys, "stderr", os.fdopen(os.dup(terminal), "w"))
        assert Panel.open() is None


@contextlib.contextmanager
def stalled_terminal() -> Iterator[tuple[int, int]]:
    """The two ends of a terminal whose screen takes nothing for now."""
    screen, terminal = os.openpty()
    os.set_blocking(terminal, False)
    os.set_blocking(screen, False)
    resize(terminal, 24)
    try:
        yield screen, terminal
    finally:
        os.close(screen)
        with contextlib.suppress(OSError):
            os.close(terminal)


def resize(terminal: int, lines: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", lines, 80, 0, 0))


def drained(screen: int) -> bytes:
    taken = b""
    with contextlib.suppress(BlockingIOError):
        while True:
            taken += os.read(screen, 65536)
    return taken


def filled(terminal: int) -> None:
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(terminal, b"x")


def test_a_stalled_terminal_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Panel, "_has_foreground", lambda panel: True)
    with stalled_terminal() as (screen, terminal):
        panel = Panel(terminal, coloured=False)
        filled(terminal)
        before_s = time.monotonic()
        panel.show(live())
        assert time.monotonic() - before_s < 5.0
        drained(screen)
        panel.show(live())
        assert "hpcwatch · 2:41".encode() in drained(screen)
        filled(terminal)
        monkeypatch.setattr("hpcwatch.views.run.panel._LAST_PATIENCE_S", 0.2)
        before_s = time.monotonic()
        panel.close()
        assert 0.2 < time.monotonic() - before_s < 10.0
        panel.close()
        panel.show(live())


def test_a_sequence_taken_in_part_is_finished_first(monkeypatch: pytest.MonkeyPatch) -> None:
    room, taken = 9, b""

    def write(descriptor: int, data: bytes) -> int:
        nonlocal room, taken
        if room == 0:
            raise BlockingIOError
        count = min(room, len(data))
        room, taken = room - count, taken + data[:count]
        return count

    panel = Panel(-1, coloured=False)
    monkeypatch.setattr(os, "write", write)
    assert panel._write("\x1b[1;20r-one", 0.0)
    assert not panel._write("two", 0.0)
    room = 99
    assert panel._write("three", 0.0)
    assert taken == b"\x1b[1;20r-onethree"


@pytest.fixture
def painted(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Panel, int, int]]:
    """A panel that believes to be in the foreground, and the two ends of its terminal."""
    monkeypatch.setattr(Panel, "_has_foreground", lambda panel: True)
    with stalled_terminal() as (screen, terminal):
        yield Panel(terminal, coloured=False), screen, terminal


def test_the_panel_hides_from_a_program_that_reads_keys(painted: tuple[Panel, int, int]) -> None:
    panel, screen, terminal = painted
    cooked = termios.tcgetattr(terminal)
    tty.setraw(terminal)
    panel.show(live())
    assert drained(screen) == b""
    termios.tcsetattr(terminal, termios.TCSANOW, cooked)
    panel.show(live())
    assert drained(screen) == b""  # it may have been between two prompts
    panel.show(live())
    assert b"\x1b[1;21r" in drained(screen)


def test_a_suspended_panel_paints_nothing(painted: tuple[Panel, int, int]) -> None:
    panel, screen, _ = painted
    panel.show(live())
    panel.suspend()
    assert b"\x1b[r" in drained(screen)
    panel.show(live())
    panel.resized()
    assert drained(screen) == b""
    panel.resume()
    panel.show(live())
    assert drained(screen) == b""  # the program may be about to take the whole screen again
    panel.show(live())
    assert b"\x1b[1;21r" in drained(screen)


def test_a_new_size_is_followed_at_once(painted: tuple[Panel, int, int]) -> None:
    panel, screen, terminal = painted
    panel.resized()
    assert drained(screen) == b""  # nothing is shown yet
    panel.show(live())
    drained(screen)
    resize(terminal, 40)
    panel.resized()
    assert b"\x1b[1;37r" in drained(screen)
    resize(terminal, 10)
    panel.resized()
    assert b"\x1b[1;9r" in drained(screen)
    resize(terminal, 4)
    panel.resized()
    last = drained(screen)
    assert b"\x1b[r" in last
    assert b"CPU" not in last


def test_a_repaint_is_one_write(
    painted: tuple[Panel, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    panel, screen, terminal = painted
    write, pieces = os.write, []

    def written(descriptor: int, data: bytes) -> int:
        if descriptor == terminal:
            pieces.append(data)
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", written)
    panel.show(live(gpus=two_gpus(), findings=[finding()]))
    assert len(pieces) == 1
    assert drained(screen) == pieces[0]
    assert b"\n" not in pieces[0]
