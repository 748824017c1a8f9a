"""The end of a job's output: followed, folded, bounded, and harmless."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.monitor.job_output import JobOutput, Tail
from hpcwatch.monitor.log_lines import MOST_LINES, folded


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("plain", "plain"),
        ("10%\r20%\r100%", "100%"),
        ("10%\r20%\r", "20%"),
        ("done\r          \r", "done"),
        ("\x1b[32mgreen\x1b[0m and \x1b[1;38;5;9mred\x1b[m", "green and red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b[2J\x1b[Hhome", "home"),
        ("a\x08b", "b"),
        ("a\tb", "a       b"),
        ("bell\x07 and \u202e", "bell\\x07 and \\u202e"),
        ("[bold]not markup[/]", "[bold]not markup[/]"),
        ("", ""),
        ("\x1b", "\\x1b"),
    ],
)
def test_a_line_is_what_would_stand_in_the_end(line: str, wanted: str) -> None:
    assert folded(line) == wanted


def test_a_hostile_line_is_bounded_and_quick() -> None:
    began_s = time.process_time()
    for line in ("\x1b]" * 50_000, "\x1b[" + "0;" * 100_000, "a\x08" * 100_000, "x" * 1_000_000):
        assert len(folded(line)) <= 8000
        assert folded(line).isprintable()
    assert time.process_time() - began_s < 5


def test_what_is_added_is_seen_and_the_unfinished_line_grows(tmp_path: Path) -> None:
    path = tmp_path / "slurm-7.out"
    path.write_bytes(b"one\ntwo\npart")
    tail = Tail("output", str(path), str(path))
    assert tail.look().lines == ("one", "two", "part")
    same = tail.look()
    assert tail.look() is same
    with path.open("ab") as stream:
        stream.write(b"ly\r50%\r60%")
    assert tail.look().lines == ("one", "two", "60%")
    with path.open("ab") as stream:
        stream.write(b"\nthree\n")
    assert tail.look().lines == ("one", "two", "60%", "three")


def test_letters_cut_between_two_looks_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes("é".encode()[:1])
    tail = Tail("output", "out", str(path))
    tail.look()
    with path.open("ab") as stream:
        stream.write("é".encode()[1:] + b"\n\xff\n")
    assert tail.look().lines == ("é", "\ufffd")


def test_of_much_only_the_end_is_read(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"".join(b"line %d\n" % number for number in range(200_000)))
    text = Tail("output", "out", str(path)).look()
    assert len(text.lines) <= MOST_LINES
    assert text.lines[-1] == "line 199999"
    assert text.first_number > 0
    sparse = tmp_path / "sparse"
    with sparse.open("wb") as stream:
        stream.truncate(1 << 40)
    assert len(Tail("output", "out", str(sparse)).look().lines) <= MOST_LINES


def test_a_file_that_begins_anew_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("first\nsecond\n")
    tail = Tail("output", "out", str(path))
    tail.look()
    path.write_text("new\n")
    assert tail.look().lines == ("new",)
    other = tmp_path / "other"
    other.write_text("moved here\n")
    os.replace(other, path)
    assert tail.look().lines == ("moved here",)


def test_what_cannot_be_read_says_why_and_what_was_read_stays(tmp_path: Path) -> None:
    path = tmp_path / "out"
    tail = Tail("output", "out", str(path))
    assert tail.look().trouble == "No such file or directory"
    path.write_text("it comes\n")
    assert tail.look().lines == ("it comes",)
    assert tail.look().trouble == ""
    path.unlink()
    assert tail.look().lines == ("it comes",)
    assert tail.look().trouble == "No such file or directory"


def test_a_pipe_or_a_device_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (str(tmp_path / "pipe"), "/dev/zero", str(tmp_path)):
        text = Tail("output", path, path).look()
        assert text.trouble == "not a regular file"
        assert text.lines == ()
    assert "does not tell" in Tail("output", "x", "relative/x").look().trouble


def test_paths_are_as_each_scheduler_tells_them(tmp_path: Path) -> None:
    (tmp_path / "job.o7").write_text("from PBS\n")
    (tmp_path / "job.e7").write_text("its errors\n")
    job = Job(
        "7",
        "torque",
        working_directory=str(tmp_path),
        output_path=f"qb3.example.org:{tmp_path}/job.o7",
        error_path="job.e7",
    )
    output = JobOutput(job)
    output.start()
    output.stop()
    assert [text.lines for text in output.texts] == [("from PBS",), ("its errors",)]
    same = JobOutput(job._replace(error_path=job.output_path))
    assert [text.name for text in same.texts] == ["output"]
    none = JobOutput(Job("7", "slurm"))
    none.start()
    none.stop()
    assert none.texts == ()
