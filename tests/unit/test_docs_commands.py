"""What the pages tell people to type exists: commands, options, keys, findings, and job scripts."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import textwrap
from pathlib import Path

import pytest
from program import ROOT

from hpcwatch.analysis.findings import rules
from hpcwatch.analysis.metrics import METRICS
from hpcwatch.cli.described import commands
from hpcwatch.sweep.findings import RULES as SWEEP_RULES

PAGES = sorted({ROOT / "README.md", *(ROOT / "docs").glob("*.md")} - {ROOT / "docs" / "adding.md"})
"""docs/adding.md adds commands of its own."""
KNOWN = {command.name: command for command in commands()}
_BLOCK = re.compile(r"^( *)```sh\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(hpcwatch [^`\n]+)`")
_RULE = re.compile(r"`((?:gpu|memory|node|step|will|cpu|loader|walltime)-[a-z-]+)`")
START = ROOT / "docs" / "start.md"


def blocks(page: Path) -> list[str]:
    return [textwrap.dedent(text) for _, text in _BLOCK.findall(page.read_text())]


def typed(page: Path) -> list[str]:
    """Every command line of hpcwatch on a page."""
    found = [line for text in blocks(page) for line in text.splitlines()]
    lines = [re.split(r"\s#(?:\s|$)|&&|\|| < ", line)[0].strip() for line in found]
    lines += _INLINE.findall(page.read_text())
    return [line for line in lines if line.startswith("hpcwatch ")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_options_are_those_that_exist(page: Path) -> None:
    for line in typed(page):
        name, *words = shlex.split(line.partition(" -- ")[0])[1:] or [""]
        if name.isupper() or name in ("", "...", "--version", "--help"):
            continue  # a placeholder
        assert name in KNOWN, line
        flags = {flag for option in KNOWN[name].options for flag in option.flags} | {"--help"}
        flagged = [word for word in words if word.startswith("-") and " " not in word]  # not quoted
        used = {word.partition("=")[0] for word in flagged} - {"--"}
        assert used <= flags, line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_findings_and_names_to_explain_are_those_that_exist(page: Path) -> None:
    known = {*rules(), *SWEEP_RULES}
    named = set(_RULE.findall(page.read_text()))
    if page.name in ("faq.md", "recipes.md"):
        assert named <= known
    explained = [line.split()[2] for line in typed(page) if line.startswith("hpcwatch explain ")]
    assert {name for name in explained if not name.isupper()} <= known | set(METRICS)


def scripts() -> list[str]:
    return [text for text in blocks(START) if text.startswith("#!/bin/bash")]


def test_there_is_a_script_for_each_scheduler() -> None:
    assert [("#SBATCH" in text, "select=" in text) for text in scripts()] == [
        (True, False),
        (False, False),
        (False, True),
    ]


@pytest.mark.parametrize("is_installed", [True, False], ids=["installed", "not-installed"])
@pytest.mark.parametrize("text", scripts(), ids=["slurm", "torque", "pbspro"])
def test_a_script_runs_the_program_with_hpcwatch_and_without(
    text: str, is_installed: bool, tmp_path: Path
) -> None:
    """No `module`, no conda: the program runs all the same, and its exit code is the job's."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "python"
    program.write_text('#!/bin/sh\necho "ran $*"\nexit 5\n')
    program.chmod(0o755)
    if is_installed:
        watch = tmp_path / "hpcwatch" / "bin" / "hpcwatch"
        watch.parent.mkdir(parents=True)
        watch.write_text('#!/bin/sh\necho "watched $1 $2"\nshift 2\nexec "$@"\n')
        watch.chmod(0o755)
    environment = {
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "PBS_O_WORKDIR": str(tmp_path),
    }
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, env=environment)
    wanted = ["watched run --"] if is_installed else []
    assert (done.stdout.splitlines(), done.returncode) == ([*wanted, "ran train.py"], 5)
    assert done.stderr == ""
