"""`hpcwatch report -o report.pdf`: one page, by the Chromium that is here, or a line that helps."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import threading
from pathlib import Path

import pytest
from program import ROOT, Hpcwatch

from hpcwatch.cli import pdf

RECORDING = ROOT / "hpcwatch" / "demos" / "idle-gpu"


def pages_count(data: bytes) -> int:
    return len(re.findall(rb"/Type\s*/Page\b", data))


@pytest.fixture
def browser() -> None:
    if shutil.which("chromium") is None:
        pytest.skip("needs a browser: apt-get install chromium")


@pytest.mark.usefixtures("browser")
@pytest.mark.parametrize("words", [["-o", "a.pdf"], ["--format", "pdf", "-o", "a.out"]])
def test_the_report_is_one_page(hpcwatch: Hpcwatch, tmp_path: Path, words: list[str]) -> None:
    path = tmp_path / words[-1]
    ended = hpcwatch("report", RECORDING, *words[:-1], path)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == f"Report written to {path}\n"
    data = path.read_bytes()
    assert data.startswith(b"%PDF-")
    assert pages_count(data) == 1
    assert len(data) > 50_000  # the plots are in it


@pytest.mark.usefixtures("browser")
def test_it_is_made_where_all_low_descriptors_are_taken(hpcwatch: Hpcwatch, tmp_path: Path) -> None:
    taken = " ".join(f"{number}<&0" for number in range(3, 10))
    command = hpcwatch.command("report", RECORDING, "-o", tmp_path / "a.pdf")
    ended = hpcwatch.shell(["bash", "-c", f'exec {taken}; exec "$@"', "bash", *command])
    assert (ended.code, ended.err) == (0, "")
    assert pages_count((tmp_path / "a.pdf").read_bytes()) == 1


def test_without_a_browser_it_says_how_to_print(hpcwatch: Hpcwatch, tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    ended = hpcwatch("report", RECORDING, "-o", path, PATH=str(tmp_path))
    assert ended.code == 1
    assert ended.complaint.startswith("hpcwatch: a PDF needs chromium, which is not installed here")
    assert "-o report.html" in ended.complaint
    assert not path.exists()


def test_a_browser_that_ends_at_once_is_one_line(hpcwatch: Hpcwatch, tmp_path: Path) -> None:
    fake = tmp_path / "chromium"
    fake.write_text("#!/bin/sh\nexit 3\n")
    fake.chmod(0o755)
    ended = hpcwatch(
        "report", RECORDING, "-o", tmp_path / "a.pdf", PATH=f"{tmp_path}:/usr/bin:/bin"
    )
    assert ended.code == 1
    assert f"{fake} made no PDF (" in ended.complaint
    assert "print it from there" in ended.complaint
    assert not (tmp_path / "a.pdf").exists()


def test_it_needs_a_file(hpcwatch: Hpcwatch) -> None:
    ended = hpcwatch("report", RECORDING, "--format", "pdf")
    assert (ended.code, ended.out) == (2, "")
    assert "a PDF is for a file" in ended.complaint


def test_a_folder_to_which_somebody_still_writes_loses_no_pdf(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    stop = threading.Event()

    def write(folder: str) -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError):
                os.makedirs(os.path.join(folder, "profile", "cache"), exist_ok=True)

    with pdf._folder() as folder:
        writer = threading.Thread(target=write, args=(folder,))
        writer.start()
        threading.Timer(0.3, stop.set).start()
    writer.join()
    shutil.rmtree(folder, ignore_errors=True)  # the writer may have been last
    assert list(tmp_path.iterdir()) == []
