"""The probe follows the job's output where it lies on the node only, and opens nothing else."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from node_parts import NUMBER, USER, name_of_python, probe, pythons
from unit_parts import wait_until

from hpcwatch.probe import tails
from hpcwatch.probe.schema import LogPiece
from hpcwatch.probe.spec import Spec
from hpcwatch.probe.tails import Tails
from hpcwatch.probe.wish import Wish, to_message

JOB = {"PBS_JOBID": f"{NUMBER}.qb3"}
SPEC = Spec(interval_s=0.2, job_ids=[NUMBER], user=USER)
WRITER = "echo first; while read word; do echo $word; done"
US = frozenset({os.getuid()})

Followed = Callable[..., "Following"]


class Following:
    """One file that is followed, and all that came of it."""

    def __init__(self, path: str, pids: list[int], owners: frozenset[int]) -> None:
        self.tails = Tails([("output", path)], owners)
        self.pids = pids
        self.pieces: list[LogPiece] = []

    def look(self) -> list[LogPiece]:
        self.pieces += self.tails.take(self.pids)
        return self.pieces

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self.look())

    def trouble(self) -> str:
        wait_until(lambda: any(piece.trouble for piece in self.look()), "the trouble")
        while self.pieces[-1].trouble == "it was not looked at yet":
            self.look()
        return self.pieces[-1].trouble or ""


@pytest.fixture
def follow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Followed]:
    monkeypatch.setattr(tails, "LOOK_S", 0.01)
    made: list[Following] = []

    def follow(path: object, *pids: int, owners: frozenset[int] = US) -> Following:
        made.append(Following(str(path), list(pids), owners))
        return made[-1]

    yield follow
    for one in made:
        one.tails.close()


@pytest.mark.parametrize("python", pythons(), ids=name_of_python)
def test_a_running_probe_sends_what_the_job_writes(python: str, tmp_path: Path) -> None:
    spool = tmp_path / "7.OU"
    with spool.open("wb") as stream, probe(python, "0.0.0-another") as link:
        job = subprocess.Popen(
            ["/bin/sh", "-c", WRITER], stdin=subprocess.PIPE, stdout=stream, env={**JOB}
        )
        try:
            link.begin(SPEC)
            assert link.sample().logs is None
            link.send(to_message(Wish(logs={"output": "/nowhere/job.o7", "other": "/etc/passwd"})))
            text, places = "", set()
            assert job.stdin is not None
            job.stdin.write(b"sec\xc3\xb6nd\n")
            job.stdin.flush()
            for _ in range(100):
                for piece in link.sample().logs or []:
                    assert piece.name == "output"
                    text += piece.text
                    places.add(piece.path)
                if text == "first\nsecönd\n":
                    break
            assert text == "first\nsecönd\n"
            assert str(spool) in places
        finally:
            job.kill()
            job.wait()


def test_what_is_added_comes_once_and_letters_stay_whole(follow: Followed, tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"one\n\xc3")
    seen = follow(path)
    wait_until(lambda: seen.text == "one\n", "the first")
    with path.open("ab") as stream:
        stream.write(b"\xb6\n")
    wait_until(lambda: seen.text == "one\nö\n", "the rest")
    assert [piece.is_new for piece in seen.pieces if piece.text] == [True, False]


def test_another_file_of_the_name_begins_anew(follow: Followed, tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("before\n")
    seen = follow(path)
    wait_until(lambda: seen.text == "before\n", "the first")
    (tmp_path / "new").write_text("after\n")
    (tmp_path / "new").replace(path)
    wait_until(lambda: seen.text == "before\nafter\n", "the other")
    assert seen.pieces[-1].is_new
    path.write_text("x\n")  # shorter: it was written anew
    wait_until(lambda: seen.text.endswith("x\n"), "the third")
    assert seen.pieces[-1].is_new


def test_of_much_only_the_end_comes(follow: Followed, tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("".join(f"line {number}\n" for number in range(200_000)))
    seen = follow(path)
    wait_until(lambda: seen.text.endswith("line 199999\n"), "the end")
    (piece,) = [piece for piece in seen.pieces if piece.text]
    assert len(piece.text) <= tails.MOST_BYTES
    assert piece.is_cut
    for _ in range(3):  # nobody takes it meanwhile
        with path.open("a") as stream:
            stream.write("y" * tails.MOST_BYTES + "\n")
    with path.open("a") as stream:
        stream.write("last\n")
    wait_until(lambda: seen.text.endswith("last\n"), "the last")
    assert all(len(piece.text) <= tails.MOST_BYTES for piece in seen.pieces)


def test_devices_fifos_and_folders_are_not_opened(follow: Followed, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writes = threading.Event()

    def write() -> None:
        os.close(os.open(fifo, os.O_WRONLY))  # returns when a reader comes
        writes.set()

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    link = tmp_path / "link"
    link.symlink_to("/dev/zero")
    for path in (fifo, link, "/dev/zero", tmp_path):
        assert follow(path).trouble() == "not a regular file"
    assert not writes.is_set()
    os.close(os.open(fifo, os.O_RDONLY))
    thread.join(10)
    assert "does not tell" in follow("relative/x").trouble()
    assert follow(tmp_path / "none").trouble() == "No such file or directory"


def test_a_pipe_that_the_job_writes_to_loses_nothing(follow: Followed) -> None:
    with subprocess.Popen(["/bin/echo", "kept"], stdout=subprocess.PIPE) as job:
        seen = follow("/nowhere", job.pid)
        assert seen.trouble() == "No such file or directory"
        assert job.stdout is not None
        assert job.stdout.read() == b"kept\n"


def test_a_file_of_another_user_is_not_read(follow: Followed, tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("theirs\n")
    seen = follow(path, owners=frozenset({os.getuid() + 4321}))
    assert seen.trouble() == "it belongs to another user"
    assert seen.text == ""
