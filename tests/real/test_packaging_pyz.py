"""`hpcwatch.pyz`: one file that a bare Python runs, beside a virtual environment of the same."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILDER = ROOT / "packaging" / "pyz" / "build.py"
SITE = Path(sysconfig.get_path("purelib"))
BARE = os.path.realpath(sys.executable)
"""The Python below the tests' virtual environment: with -S it has no packages at all."""


@pytest.fixture(scope="module")
def pyz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file, built of the packages that the tests run with."""
    target = tmp_path_factory.mktemp("pyz") / "hpcwatch.pyz"
    words = [sys.executable, str(BUILDER), "--packages", str(SITE), "-o", str(target)]
    subprocess.run(words, check=True, capture_output=True)
    return target


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program of a virtual environment, laid out as pip does, byte code included."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([BARE, "-m", "venv", "--without-pip", folder], check=True)
    site = next(folder.glob("lib/python3*/site-packages"))
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "hpcwatch", site / "hpcwatch", ignore=ignored)
    for name in ("rich", "psutil", "paramiko"):
        shutil.copytree(SITE / name, site / name, ignore=ignored)
    shutil.copy(SITE / "pynvml.py", site)
    subprocess.run([BARE, "-m", "compileall", "-q", site], check=True)
    for name in ("hpcwatch", "hpcwatch-python"):
        text = (ROOT / "packaging" / "scripts" / name).read_text()
        text = re.sub(r"\A#!python\n", f"#!{folder}/bin/python\n", text)
        (folder / "bin" / name).write_text(text)
        (folder / "bin" / name).chmod(0o755)
    return folder / "bin" / "hpcwatch"


def environment(home: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HPCWATCH_HOME": str(home), "HOME": str(home)}


def ended(words: Sequence[object], home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in words],
        capture_output=True,
        text=True,
        env=environment(home),
        cwd=home,
        timeout=120,
    )


def test_a_bare_python_runs_records_and_reports(pyz: Path, tmp_path: Path) -> None:
    bare = [BARE, "-S", pyz]
    ran = ended([*bare, "run", "--", "sh", "-c", "sleep 1; exit 7"], tmp_path)
    assert (ran.returncode, "failed (exit 7)" in ran.stderr) == (7, True), ran.stderr
    told = ended([*bare, "report", "--format", "json"], tmp_path)
    assert json.loads(told.stdout)["run"]["exit_code"] == 7, told.stderr
    page = ended([*bare, "report", "-o", "run.html"], tmp_path)
    assert (page.returncode, "uPlot" in (tmp_path / "run.html").read_text()) == (0, True)
    assert "sh -c" in ended([*bare, "runs"], tmp_path).stdout
    replayed = ended([*bare, "replay", "--once"], tmp_path)
    assert (replayed.returncode, "CPU" in replayed.stdout) == (0, True), replayed.stderr


def test_doctor_does_not_complain_of_packages_that_the_file_does_without(
    pyz: Path, tmp_path: Path
) -> None:
    told = ended([BARE, "-S", pyz, "doctor"], tmp_path)
    assert re.search(r"ok +rich +\d+\.", told.stdout)
    assert re.search(r"ok +nvidia-ml-py +\d+\.", told.stdout)
    assert re.search(r"note +paramiko +not installed for this Python: nodes are", told.stdout)
    assert "the check itself failed" not in told.stdout


@pytest.mark.parametrize("words", [("demo",), ("trainers", "mnist")])
def test_what_the_file_does_not_have_is_said_in_one_line(
    pyz: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    told = ended([BARE, "-S", pyz, *words], tmp_path)
    assert told.returncode == 1
    assert told.stderr.count("\n") == 1
    assert "pip install hpcwatch" in told.stderr


def test_a_node_without_the_file_gets_the_probe_from_it(pyz: Path, tmp_path: Path) -> None:
    """What is sent to a node is the same, whether hpcwatch is installed or one file."""
    code = (
        "import sys, hashlib; sys.path[:0] = {path!r}\n"
        "from hpcwatch.cluster.transport.bundle import bundle\n"
        "import io, zipfile\n"
        "made = zipfile.ZipFile(io.BytesIO(bundle()))\n"
        "print(made.namelist()[0])\n"
        "wanted = [n for n in made.namelist() if not n.startswith('psutil')]\n"
        "print([(n, hashlib.sha256(made.read(n)).hexdigest()) for n in sorted(wanted)])\n"
    )
    here = ended([BARE, "-S", "-c", code.format(path=[str(ROOT), str(SITE)])], tmp_path)
    there = ended([BARE, "-S", "-c", code.format(path=[str(pyz)])], tmp_path)
    assert there.stderr == ""
    assert there.stdout == here.stdout
    assert there.stdout.startswith("hpcwatch/probe/bundled.py\n")
    for name in ("hpcwatch/probe/__main__.py", "hpcwatch/probe/nvidia/__init__.py", "pynvml.py"):
        assert name in there.stdout


def test_it_makes_fewer_calls_on_files_than_an_installed_one(
    pyz: Path, installed: Path, tmp_path: Path
) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    counts = []
    for words in ([BARE, "-S", pyz], [installed]):
        trace = ["strace", "-f", "-c", "-e", "trace=%file", "-o", "calls", *words]
        done = ended([*trace, "run", "--", "true"], tmp_path)
        assert done.returncode == 0, done.stderr
        total = (tmp_path / "calls").read_text().splitlines()[-1].split()
        assert total[-1] == "total"
        counts.append(int(total[3]))
    assert 100 < counts[0] < counts[1]


def test_two_builds_are_the_same_bytes(pyz: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.pyz"
    words = [sys.executable, BUILDER, "--packages", SITE, "-o", again]
    assert ended(words, tmp_path).returncode == 0
    assert again.read_bytes() == pyz.read_bytes()
    assert os.access(again, os.X_OK)


def test_another_python_runs_the_sources_in_it(pyz: Path, tmp_path: Path) -> None:
    others = [
        path
        for path in sorted(Path("~/.pyenv/versions").expanduser().glob("3.9*/bin/python3"))
        if os.path.realpath(path) != BARE
    ]
    for other in others or [Path(BARE)]:
        ran = ended([other, "-S", pyz, "run", "--", "sh", "-c", "exit 3"], tmp_path)
        assert (ran.returncode, "failed (exit 3)" in ran.stderr) == (3, True), ran.stderr
