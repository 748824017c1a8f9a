"""`hpcwatch trainers DIR`: what is copied, what is refused, and a next line that can be pasted."""

from __future__ import annotations

import os

import pytest
from program import ROOT, Hpcwatch


def test_programs_and_data_are_copied_and_can_be_run_there(hpcwatch: Hpcwatch) -> None:
    ended = hpcwatch("trainers", "mnist")
    assert (ended.code, ended.err) == (0, "")
    copied = hpcwatch.folder / "mnist"
    wanted = {path.name for path in (ROOT / "trainers").iterdir() if path.name[0] not in "_."}
    assert set(os.listdir(copied)) == wanted
    assert "Next:  cd mnist && hpcwatch run -- python mnist_cnn.py" in ended.out
    mine, ours = copied / "data" / "mnist.npz", ROOT / "trainers" / "data" / "mnist.npz"
    assert mine.read_bytes() == ours.read_bytes()


def test_a_folder_that_has_one_of_them_is_left_alone(hpcwatch: Hpcwatch) -> None:
    folder = hpcwatch.folder / "mnist"
    folder.mkdir()
    (folder / "README.md").write_text("mine")
    ended = hpcwatch("trainers", "mnist")
    assert (ended.code, "it has a README.md" in ended.complaint) == (2, True)
    assert os.listdir(folder) == ["README.md"]
    assert (folder / "README.md").read_text() == "mine"


@pytest.mark.parametrize(
    ("folder", "said"),
    [
        ("/proc/x", "cannot copy to /proc/x"),
        ("", "cannot copy to ''"),
        ("/dev/null", "cannot copy to /dev/null"),
    ],
)
def test_where_nothing_can_be_copied_is_one_line(
    hpcwatch: Hpcwatch, folder: str, said: str
) -> None:
    ended = hpcwatch("trainers", folder)
    assert (ended.code, said in ended.complaint) == (1, True)


@pytest.mark.parametrize("folder", ["my programs", "-mine", "$(touch evil)"])
def test_the_next_line_can_be_pasted(hpcwatch: Hpcwatch, folder: str) -> None:
    ended = hpcwatch("trainers", "--", folder)
    assert ended.code == 0
    next_line = ended.out.splitlines()[-1].removeprefix("Next:  ")
    enter = next_line.partition(" && ")[0]
    assert hpcwatch.shell(["sh", "-c", f"{enter} && ls mnist_cnn.py"]).out == "mnist_cnn.py\n"
    assert not (hpcwatch.folder / "evil").exists()


def test_a_hostile_folder_is_only_text(hpcwatch: Hpcwatch) -> None:
    ended = hpcwatch("trainers", "a\x1b[2Jb")
    assert ended.code == 0
    assert "\x1b" not in ended.out
