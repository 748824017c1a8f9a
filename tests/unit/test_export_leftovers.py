"""The text file of a monitor that was killed is removed by the next one that writes beside it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from program import Hpcwatch
from unit_parts import wait_until

from hpcwatch.export import leftovers
from hpcwatch.export.exporter import Exporter
from hpcwatch.export.wanted import Wanted
from hpcwatch.launch.spawn import where_we_run

LONG_AGO_S = 1000.0


def delivered(path: Path) -> None:
    assert Exporter([], Wanted(textfile=str(path)), print).deliver(1.0)


def ended_pid() -> int:
    with subprocess.Popen(["true"]) as process:
        pass
    return process.pid


def left(path: Path, line: str, age_s: float = LONG_AGO_S) -> Path:
    path.write_text(f"{line}hpcwatch_node_up 1\n")
    then_s = time.time() - age_s
    os.utime(path, (then_s, then_s))
    return path


def line_of(pid: int, where: str = "", every_s: float = 15.0) -> str:
    return f"# hpcwatch writer: {where or where_we_run()} {pid} {every_s:g}\n"


def test_a_killed_monitor_s_file_goes_when_the_next_one_writes(
    hpcwatch: Hpcwatch, tmp_path: Path
) -> None:
    stale, fresh = tmp_path / "a.prom", tmp_path / "b.prom"
    command = hpcwatch.command("run", "-q", "--textfile", stale, "--", "sleep", "600")
    with subprocess.Popen(
        command,
        env=hpcwatch.environment,
        cwd=hpcwatch.folder,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    ) as monitor:
        try:
            wait_until(stale.exists, "the text file")
            text = stale.read_text()
            assert text.startswith(line_of(monitor.pid))  # it has surely gone once it is reaped
            left(stale, text)  # it was long ago, and yet its writer lives
            delivered(fresh)
            assert stale.exists()
        finally:
            os.killpg(monitor.pid, signal.SIGKILL)
    left(stale, text)
    delivered(fresh)
    assert not stale.exists()
    assert fresh.exists()


@pytest.mark.parametrize(
    ("name", "line", "age_s"),
    [
        ("a.prom", "", LONG_AGO_S),
        ("a.prom", "# hpcwatch writer: \n", LONG_AGO_S),
        ("a.prom", "# hpcwatch writer: x y z\n", LONG_AGO_S),
        ("a.prom", "another node's", LONG_AGO_S),
        ("a.prom", "unmarked", LONG_AGO_S),
        ("a.prom", "slow", LONG_AGO_S),
        ("a.prom", "ended", 1.0),
        ("a.txt", "ended", LONG_AGO_S),
    ],
)
def test_what_is_not_surely_left_over_stays(
    tmp_path: Path, name: str, line: str, age_s: float
) -> None:
    pid = ended_pid()
    lines = {
        "another node's": line_of(pid, "1-elsewhere"),
        "unmarked": line_of(pid).removeprefix("# hpcwatch writer: "),
        "slow": line_of(pid, every_s=LONG_AGO_S),
        "ended": line_of(pid),
    }
    path = left(tmp_path / name, lines.get(line, line), age_s)
    delivered(tmp_path / "b.prom")
    assert path.exists()


def test_the_same_file_of_an_ended_monitor_goes(tmp_path: Path) -> None:
    """The difference to those above is what is asserted there, and nothing else."""
    path = left(tmp_path / "a.prom", line_of(ended_pid()))
    delivered(tmp_path / "b.prom")
    assert not path.exists()


def test_no_link_is_followed_and_no_pipe_waited_for(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    real = left(tmp_path / "elsewhere" / "a.prom", line_of(ended_pid()))
    (tmp_path / "a.prom").symlink_to(real)
    os.mkfifo(tmp_path / "c.prom")
    (tmp_path / "d.prom").mkdir()
    delivered(tmp_path / "b.prom")
    assert real.exists()
    assert {one.name for one in tmp_path.iterdir()} == {
        "a.prom",
        "b.prom",
        "c.prom",
        "d.prom",
        "elsewhere",
    }


def test_a_folder_that_is_not_there_is_no_trouble_of_this(tmp_path: Path) -> None:
    leftovers.remove_beside(str(tmp_path / "none" / "a.prom"))


def test_what_is_delivered_once_names_no_writer(tmp_path: Path) -> None:
    delivered(tmp_path / "b.prom")
    assert leftovers.mark(15.0).startswith("# hpcwatch writer: ")
    assert "writer" not in (tmp_path / "b.prom").read_text()
