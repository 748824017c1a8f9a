"""Commands whose output is read as it comes: real programs that are slow, hang, fail or flood."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from unit_parts import wait_until

from hpcwatch.base.errors import HpcwatchError
from hpcwatch.cluster.past import Past
from hpcwatch.cluster.schedulers.history import PastJob, Question
from hpcwatch.cluster.schedulers.query import NotUnderstoodError, ServerDownError
from hpcwatch.cluster.stream import Stream


def sh(text: str, patience_s: float = 20.0) -> Stream:
    return Stream(["sh", "-c", text], None, patience_s)


def said(stream: Stream) -> bytes:
    return b"".join(stream.pieces())


def test_output_errors_and_exit_code() -> None:
    with sh("echo out; echo err >&2; exit 3") as stream:
        assert said(stream) == b"out\n"
        answer = stream.answer()
    assert (answer.stdout, answer.stderr, answer.exit_code) == (b"out\n", b"err\n", 3)


def test_much_output_is_whole_and_not_kept() -> None:
    with sh("head -c 50000000 /dev/zero") as stream:
        assert sum(map(len, stream.pieces())) == 50_000_000
        assert len(stream.answer().stdout) < 10_000


def test_errors_without_end_are_bounded() -> None:
    with sh("head -c 50000000 /dev/zero >&2; echo out") as stream:
        assert said(stream) == b"out\n"
        assert len(stream.answer().stderr) < 1 << 20


def test_a_command_that_says_nothing_is_ended(tmp_path: Path) -> None:
    own = tmp_path / "pid"
    begin_s = time.monotonic()
    with (
        pytest.raises(ServerDownError, match="sh said nothing for"),
        sh(f"echo $$ > {own}; exec sleep 600", 4.0) as stream,
    ):
        said(stream)
    assert time.monotonic() - begin_s < 20
    pid = int(own.read_text())
    wait_until(lambda: not _lives(pid), "the command's end")


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_what_comes_slowly_is_waited_for() -> None:
    with sh("for i in 1 2 3 4; do sleep 1; echo $i; done", 3.0) as stream:
        assert said(stream) == b"1\n2\n3\n4\n"


def test_a_slow_reader_is_no_silent_command() -> None:
    with sh("echo 1; sleep 0.1; echo 2", 3.0) as stream:
        pieces = stream.pieces()
        assert next(pieces)[:2] == b"1\n"
        time.sleep(3.2)
        list(pieces)  # raises if our own time counts


def test_a_child_that_keeps_the_output_open_is_not_waited_for() -> None:
    begin_s = time.monotonic()
    with sh("sleep 600 & echo out") as stream:
        assert said(stream) == b"out\n"
    assert time.monotonic() - begin_s < 10


def test_a_command_that_closes_its_outputs_is_waited_for() -> None:
    with sh("echo out; exec >&- 2>&-; sleep 0.3; exit 4") as stream:
        assert said(stream) == b"out\n"
        assert stream.answer().exit_code == 4


def test_a_command_that_is_not_there() -> None:
    with pytest.raises(HpcwatchError, match="nosuchcommand is not on PATH"):
        Stream(["nosuchcommand"])


def test_a_killed_command_is_told() -> None:
    with sh("kill -9 $$") as stream:
        assert said(stream) == b""
        assert stream.answer().exit_code == -signal.SIGKILL


class Lines:
    """A reader: each line is a job."""

    accounts: frozenset[str] = frozenset()
    odd_count = 0

    def read(self, pieces: Iterable[bytes]) -> Iterator[PastJob]:
        text = b"".join(pieces).decode()
        if text.startswith("odd"):
            raise NotUnderstoodError("odd")
        yield from (PastJob(line, "slurm") for line in text.split())


def asked(*texts: str, older: str = "", patience_s: float = 20.0) -> tuple[list[str], Past]:
    questions = [
        Question(
            ("sh", "-c", text),
            Lines(),
            f"day {place}",
            Question(("sh", "-c", older), Lines(), "") if older else None,
        )
        for place, text in enumerate(texts)
    ]
    past = Past(questions, lambda *_: None, patience_s)
    return [job.id for job in past.jobs()], past


def test_every_window_comes() -> None:
    ids, past = asked("echo 1 2", "echo 3")
    assert (ids, past.troubles, past.missing) == (["1", "2", "3"], [], [])


def test_a_window_that_fails_is_told_and_left_behind() -> None:
    ids, past = asked("echo 1", "echo no >&2; exit 1", "echo 3")
    assert ids == ["1", "3"]
    assert (past.troubles, past.missing) == (["day 1: sh: no"], ["day 1"])


def test_a_part_of_an_answer_stays() -> None:
    ids, past = asked("echo 1; echo cut >&2; exit 1", "echo 2")
    assert ids == ["1", "2"]
    assert past.missing == ["day 0"]
    assert "cut" in past.troubles[0]


def test_a_server_that_is_down_is_asked_no_more(tmp_path: Path) -> None:
    mark = tmp_path / "asked"
    down = "echo 'sacct: error: Connection refused' >&2; exit 1"
    ids, past = asked("echo 1", down, f"touch {mark}; echo 3")
    assert (ids, past.missing) == (["1"], ["day 1", "day 2"])
    assert not mark.exists()


def test_a_server_that_is_silent_is_asked_no_more() -> None:
    ids, past = asked("echo 1", "exec sleep 600", "echo 3", patience_s=1.0)
    assert (ids, past.missing) == (["1"], ["day 1", "day 2"])
    assert "said nothing for 1 s" in past.troubles[0]


def test_three_failures_are_enough() -> None:
    ids, past = asked(*["echo no >&2; exit 1"] * 5)
    assert (ids, len(past.troubles), len(past.missing)) == ([], 3, 5)


def test_an_older_version_is_asked_in_its_own_form_from_then_on(tmp_path: Path) -> None:
    tries = tmp_path / "tries"
    new = f"echo new >> {tries}; echo unknown field >&2; exit 1"
    ids, past = asked(new, new, older="echo 7")
    assert (ids, past.troubles) == (["7", "7"], [])
    assert tries.read_text() == "new\n"
