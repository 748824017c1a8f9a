"""The installed script starts apart from what the environment says of Python, and hands it on."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hpcwatch.launch import own_python

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "packaging" / "scripts"
HOSTILE = ("signal", "enum", "typing", "resource", "re", "json", "select", "hpcwatch")
PROGRAM = ["/bin/sh", "-c", 'echo "out $PYTHONHOME $PYTHONPATH"; exit 8']


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The scripts as an installer leaves them: its Python in the line that begins ``#!python``."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("hpcwatch", "hpcwatch-python"):
        text = (SCRIPTS / name).read_text()
        if text.startswith("#!python\n"):
            text = f"#!{sys.executable}\n" + text.removeprefix("#!python\n")
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder / "hpcwatch"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if "HPCWATCH" not in name}
    return {**kept, "HPCWATCH_HOME": str(tmp_path / "home")}


def hostile(folder: Path) -> str:
    folder.mkdir()
    for name in HOSTILE:
        (folder / f"{name}.py").write_text("raise SystemExit('hostile')\n")
    (folder / "sitecustomize.py").write_text("import os\nos._exit(66)\n")
    return str(folder)


def run(
    command: list[str], environment: dict[str, str], **more: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env={**environment, **more}, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("view", ["none", "line"])
def test_a_foreign_python_does_not_keep_the_program_from_running(
    installed: Path, environment: dict[str, str], tmp_path: Path, view: str
) -> None:
    more = {"PYTHONHOME": str(tmp_path / "none"), "PYTHONPATH": hostile(tmp_path / "hostile")}
    more |= {"PYTHONWARNINGS": "error", "PYTHONSTARTUP": "/none", "PYTHONINSPECT": "1"}
    more |= {"PYTHONPLATLIBDIR": "none", "PYTHONDONTWRITEBYTECODE": "1"}
    done = run([str(installed), "run", "--view", view, "--", *PROGRAM], environment, **more)
    assert done.returncode == 8
    assert done.stdout == f"out {more['PYTHONHOME']} {more['PYTHONPATH']}\n"
    assert "failed (exit 8)" in done.stderr
    assert "hpcwatch: " not in done.stderr


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"OLDPWD": "/nonexistent", "PWD": "/stale", "SHLVL": "5"},
        {"PYTHONHOME": "/none", "PYTHONPATH": "a:b", "BASH_ENV": "/none"},
        {"BASH_FUNC_module%%": "() {  echo loaded;\n}", "odd.name": "1", "LC_ALL": "C"},
    ],
)
def test_the_program_s_environment_is_as_without(
    installed: Path, environment: dict[str, str], more: dict[str, str]
) -> None:
    without = run(["env", "-0"], environment, **more).stdout
    with_it = run([str(installed), "run", "--", "env", "-0"], environment, **more).stdout
    own = {"HPCWATCH_EVENTS", "_"}

    def parsed(text: str) -> dict[str, str]:
        pairs = (entry.partition("=") for entry in text.split("\0") if entry)
        return {name: value for name, _, value in pairs if name not in own}

    assert parsed(with_it) == parsed(without)


@pytest.mark.parametrize(
    "module", ["hpcwatch.cluster.asked_job", "hpcwatch.monitor.other_nodes_process"]
)
def test_our_own_helpers_start_in_such_an_environment(
    environment: dict[str, str], tmp_path: Path, module: str
) -> None:
    more = {"PYTHONHOME": str(tmp_path / "none"), "PYTHONPATH": hostile(tmp_path / "hostile")}
    code = f"from {module} import main; import sys; sys.exit(not main.__module__ == {module!r})"
    command = [
        *own_python.argv(module)[:-1],
        own_python.argv(module)[-1].partition("from")[0] + code,
    ]
    done = run(command, environment, **more)
    assert (done.returncode, done.stderr) == (0, "")


def calls(command: list[str], environment: dict[str, str], trace: Path) -> list[str]:
    """The file-system calls of a command and all that it starts."""
    words = ["strace", "-f", "-e", "trace=file", "-o", str(trace), *command]
    run(words, environment)
    found = [line.partition(" ")[2].lstrip() for line in trace.read_text().splitlines()]
    return [line for line in found if re.match(r"\w+\(", line)]


@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace (apt-get install strace)")
def test_little_is_looked_for_before_the_program_starts(
    installed: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    """Each call counts on a network. Measured: 351 and 253; here the 50 of site come on top."""
    found = calls([str(installed), "run", "--", "/bin/true"], environment, tmp_path / "trace")
    before = next(at for at, line in enumerate(found) if line.startswith('execve("/bin/true"'))
    assert before <= 420
    assert len(calls([str(installed), "--help"], environment, tmp_path / "trace")) <= 320


def test_a_link_to_the_script_works(
    installed: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    link = tmp_path / "elsewhere"
    link.symlink_to(installed)
    assert run([str(link), "--version"], environment).stdout.startswith("hpcwatch ")
    path = f"{installed.parent}:{environment['PATH']}"
    for shell in ("sh", "bash"):
        done = run([shell, "-c", "hpcwatch --version"], environment, PATH=path)
        assert done.stdout.startswith("hpcwatch "), done.stderr


def test_half_an_installation_is_one_line(installed: Path, environment: dict[str, str]) -> None:
    (installed.parent / "hpcwatch-python").unlink()
    done = run([str(installed), "--version"], environment)
    assert done.returncode == 1
    assert "install hpcwatch again" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("name", ["signal", "enum", "typing", "resource"])
def test_started_as_a_module_the_environment_s_modules_come_last(
    environment: dict[str, str], tmp_path: Path, name: str
) -> None:
    (tmp_path / f"{name}.py").write_text("raise SystemExit('hostile')\n")
    command = [sys.executable, "-m", "hpcwatch", "run", "--", *PROGRAM]
    done = run(command, environment, PYTHONPATH=f"{tmp_path}:{ROOT}")
    assert done.returncode == 8
    assert "failed (exit 8)" in done.stderr


@pytest.mark.parametrize("version", ["3.6", "3.8"])
def test_an_older_python_gets_one_line(version: str) -> None:
    found = sorted(Path("~/.pyenv/versions").expanduser().glob(f"{version}.*/bin/python"))
    if not found:
        pytest.skip(f"no Python {version} here (pyenv install {version})")
    for words in (["-m", "hpcwatch"], [str(SCRIPTS / "hpcwatch-python")]):
        done = subprocess.run(
            [str(found[0]), *words, "run", "--", "true"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert "needs 3.9 or newer" in line


def test_nothing_of_the_environment_is_evaluated(
    installed: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    planted = tmp_path / "planted"
    done = run([str(installed), "--version"], environment, SHLVL=f"x[$(touch {planted})]")
    assert done.returncode == 0
    assert not planted.exists()
