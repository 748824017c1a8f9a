"""`hpcwatch trainers DIR`: what is copied, what is refused, and a next line that can be pasted."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from program import ROOT, Hpcwatch

from hpcwatch.cli.man_pages import pages


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


MOST_BYTES = 1_400_000
"""The aim was 1 MB; 590 modules with their docstrings, which `explain` prints, take 1.3, and 0.1 of
that is the archive's own list of files. The digits alone are 10.7."""


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that users install."""
    folder = tmp_path_factory.mktemp("wheel")
    words = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, ROOT]
    subprocess.run(list(map(str, words)), check=True, capture_output=True)
    [made] = folder.glob("hpcwatch-*.whl")
    return made


def test_the_plain_wheel_is_small_and_has_every_program_but_not_the_digits(wheel: Path) -> None:
    assert wheel.stat().st_size <= MOST_BYTES
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if name.startswith("hpcwatch/_trainers/")}
    tracked = subprocess.run(["git", "ls-files", "trainers"], cwd=ROOT, capture_output=True)
    if tracked.returncode:
        pytest.skip("not a git checkout: what belongs to the programs is not known")
    wanted = set(tracked.stdout.decode().split()) - {"trainers/data/mnist.npz"}
    assert names == {name.replace("trainers/", "hpcwatch/_trainers/", 1) for name in wanted}


def test_the_wheel_installs_manual_pages_and_completions(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name.partition(".data/data/")[2] for name in archive.namelist()}
    assert set(pages()) <= names


def test_without_the_digits_it_says_what_to_install(wheel: Path, tmp_path: Path) -> None:
    installed = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    # The digits are installed where the trainers' own tests run: here they are not.
    code = (
        f"import sys; sys.path.insert(0, {str(installed)!r}); sys.modules['hpcwatch_mnist'] = None;"
        "from hpcwatch.cli import main; sys.exit(main(['trainers', 'mnist']))"
    )
    told = subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": os.environ["PATH"]},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (told.returncode, told.stderr) == (0, "")
    assert (tmp_path / "mnist" / "mnist_cnn.py").exists()
    assert "pip install 'hpcwatch[train]'" in told.stdout
