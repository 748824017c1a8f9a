"""The one writer and the one reader of files: private, whole, no planted link, nothing endless."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from hpcwatch.base import files, owners, reading
from hpcwatch.base.errors import HpcwatchError
from hpcwatch.base.files import Reserve


def mode(path: str | os.PathLike[str]) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


@pytest.fixture
def open_umask() -> object:
    old = os.umask(0o002)
    yield None
    os.umask(old)


@pytest.mark.usefixtures("open_umask")
def test_every_folder_is_private_from_the_top(tmp_path: Path) -> None:
    files.make_private(str(tmp_path / "a" / "b" / "c"))
    files.make_new(str(tmp_path / "d" / "e"))
    assert {mode(tmp_path / name) for name in ("a", "a/b", "a/b/c", "d", "d/e")} == {0o700}


def test_a_folder_that_is_there_is_not_new(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError):
        files.make_new(str(tmp_path))
    (tmp_path / "file").write_text("precious")
    with pytest.raises(OSError, match="exists"):
        files.make_private(str(tmp_path / "file"))


@pytest.mark.usefixtures("open_umask")
def test_a_file_is_private_and_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text("old")
    path.chmod(0o666)
    with path.open() as before:
        files.replace(str(path), "new \udcff")
        assert before.read() == "old"
    assert path.read_text() == "new \\udcff"
    assert mode(path) == 0o600
    assert os.listdir(tmp_path) == ["run.json"]


def test_a_planted_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious")
    link = tmp_path / "run.json"
    link.symlink_to(precious)
    files.replace(str(link), "new")
    assert precious.read_text() == "precious"
    assert not link.is_symlink()
    link.unlink()
    link.symlink_to(precious)
    for write in (files.append_to, files.create):
        with pytest.raises(OSError, match=r"symbolic links|exists"):
            write(str(link))
    assert precious.read_text() == "precious"


def test_a_temporary_name_cannot_be_guessed(tmp_path: Path) -> None:
    names = {files.beside(str(tmp_path / "x")) for _ in range(100)}
    assert len(names) == 100
    assert all(os.path.basename(name).startswith(".x.") for name in names)


def test_a_temporary_file_is_recognised_by_its_name() -> None:
    assert files.is_left_over(os.path.basename(files.beside("run.json")), ["run.json"])
    for name in ("run.json", ".run.json.1", ".thesis.tex.0123456789ab", "run.json.0123456789ab"):
        assert not files.is_left_over(name, ["run.json"])


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="directory"):
        files.replace(str(tmp_path / "folder"), "text")
    assert os.listdir(tmp_path) == ["folder"]


def test_only_one_of_two_claims_succeeds(tmp_path: Path) -> None:
    path = str(tmp_path / "1-1.started")
    assert files.claim(path, "first")
    assert not files.claim(path, "second")
    assert Path(path).read_text() == "first"
    assert os.listdir(tmp_path) == ["1-1.started"]


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP])
def test_a_claim_needs_no_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", refuse)
    test_only_one_of_two_claims_succeeds(tmp_path)


def test_a_claim_whose_answer_was_lost_on_the_way_is_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on NFS: the link is made, the server's answer is lost, the second one says it exists."""
    link = os.link

    def made_twice(old: str, new: str) -> None:
        link(old, new)
        link(old, new)

    monkeypatch.setattr(os, "link", made_twice)
    test_only_one_of_two_claims_succeeds(tmp_path)


def test_a_folder_where_none_can_be_made_is_a_reason(tmp_path: Path) -> None:
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    for path in ("/proc/hpcwatch/runs", str(tmp_path / "nowhere" / "runs")):
        with pytest.raises(OSError, match=r"No such file|File exists"):
            files.make_private(path)


def test_a_file_replaced_by_another_host_is_read_as_it_is_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state"
    path.write_text('"now"')
    answers: list[OSError | None] = [OSError(errno.ESTALE, "Stale file handle"), None]
    opened = reading.opened

    class Stale:
        def __enter__(self) -> Stale:
            return self

        def __exit__(self, *_: object) -> None:
            """Nothing is open."""

        def read(self, _size: int) -> bytes:
            raise OSError(errno.ESTALE, "Stale file handle")

    def first_stale(name: str) -> object:
        return Stale() if answers.pop(0) else opened(name)

    monkeypatch.setattr(reading, "opened", first_stale)
    assert reading.plain(str(path)) == "now"
    answers[:] = [OSError(errno.ESTALE, "")] * 9
    with pytest.raises(OSError, match="Stale"):
        reading.plain(str(path))


def test_nothing_is_appended_to_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match=r"not a regular file|No such device"):
        files.append_to(str(tmp_path / "fifo"))


@pytest.mark.parametrize("what", ["fifo", "folder", "zero", "link to zero"])
def test_what_is_no_regular_file_is_refused_before_it_is_opened(tmp_path: Path, what: str) -> None:
    path = tmp_path / "run.json"
    if what == "fifo":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    elif what == "link to zero":
        path.symlink_to("/dev/zero")
    else:
        path = Path("/dev/zero")
    with pytest.raises(OSError, match=r"not a regular file|directory"):
        reading.data(str(path))
    assert reading.tail(str(path), 100) == ""
    with pytest.raises(OSError, match=r"not a regular file|directory"):
        reading.plain(str(path))


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    with path.open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(OSError, match="larger than 1 MiB"):
        reading.data(str(path), 1 << 20)


def test_a_line_without_end_is_one_odd_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "LINE_BYTES", 100)
    path = tmp_path / "samples.jsonl"
    path.write_bytes(b"one\n" + b"x" * 1000 + b"\ntwo\n" + b"y" * 99 + b"\nlast")
    assert list(reading.lines(str(path))) == [
        b"one\n",
        b" \n",
        b"two\n",
        b"y" * 99 + b"\n",
        b"last",
    ]


def test_deep_nesting_is_a_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text("[" * 100_000)
    with pytest.raises(ValueError, match="deeply"):
        reading.plain(str(path))


def test_a_growing_file_gives_whole_lines_once(tmp_path: Path) -> None:
    path = tmp_path / "joblog"
    path.write_bytes(b"a\nb")
    growing = reading.Growing(str(path))
    assert list(growing.new_lines()) == [b"a"]
    with path.open("ab") as stream:
        stream.write(b"c\nd\n")
    assert list(growing.new_lines()) == [b"bc", b"d"]
    other = tmp_path / "other"
    other.write_bytes(b"new\n")
    other.rename(path)
    look = growing.look()
    assert look.lines == [b"new"]
    assert look.is_another


def test_a_growing_file_may_begin_anywhere(tmp_path: Path) -> None:
    path = tmp_path / "joblog"
    path.write_bytes(b"head\nrow\n")
    assert list(reading.Growing(str(path), offset=5).new_lines()) == [b"row"]
    assert list(reading.Growing(str(path), behind_bytes=4).new_lines()) == [b"row"]


def test_files_that_others_may_write_to_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    folder.mkdir(0o700)
    assert owners.doubt(str(folder)) is None
    for bits in (0o770, 0o702):
        folder.chmod(bits)
        reason = owners.doubt(str(folder))
        assert reason is not None
        assert "chmod go-w" in reason
        with pytest.raises(HpcwatchError, match="is not used: others may write"):
            owners.require(str(folder))
    folder.chmod(0o755)
    owners.require(str(folder), str(tmp_path / "missing"))


IN_NAMESPACE = """
import os, sys
from hpcwatch.base import files, owners, reading
os.chown(sys.argv[1], 1, 1)
os.lchown(sys.argv[2], 1, 1)
os.seteuid(2)
print(owners.doubt(sys.argv[1]), owners.is_ours(sys.argv[1]))
for step in (lambda: reading.data(sys.argv[2]), lambda: files.write(sys.argv[2], ["x"])):
    try:
        step()
    except Exception as error:
        print(error)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of other users")
def test_another_users_folder_and_link_are_refused(tmp_path: Path) -> None:
    folder, link = tmp_path / "sweep", tmp_path / "report.html"
    folder.mkdir()
    precious = tmp_path / "precious"
    precious.write_text("precious")
    precious.chmod(0o666)
    link.symlink_to(precious)
    for parent in tmp_path.parents:
        if parent.name.startswith(("pytest", "popen")):  # popen: of pytest-xdist
            parent.chmod(parent.stat().st_mode | 0o055)
    tmp_path.chmod(0o777)
    done = subprocess.run(
        [sys.executable, "-c", IN_NAMESPACE, str(folder), str(link)],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert lines[0].startswith("it belongs to ")
    assert lines[0].endswith("False")
    assert "a link of another user" in lines[1]
    assert "a link of another user" in lines[2]
    assert precious.read_text() == "precious"


def test_a_reserve_becomes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text("old")
    reserve = Reserve(str(path), 4096)
    assert len(os.listdir(tmp_path)) == 2
    reserve.fill("new", str(path))
    assert path.read_text() == "new"
    assert mode(path) == 0o600
    assert os.listdir(tmp_path) == ["run.json"]


def test_a_text_larger_than_its_reserve_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    Reserve(str(path), 16).fill("x" * 5000, str(path))
    assert path.read_text() == "x" * 5000


def test_a_dropped_reserve_leaves_nothing(tmp_path: Path) -> None:
    Reserve(str(tmp_path / "run.json"), 4096).drop()
    assert os.listdir(tmp_path) == []
    Reserve(str(tmp_path / "nowhere" / "run.json"), 4096).drop()
