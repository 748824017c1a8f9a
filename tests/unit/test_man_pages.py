"""The manual pages of commands and of the configuration, and the completions beside them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from program import ROOT

from hpcwatch.cli import COMMANDS
from hpcwatch.cli.described import SUBCOMMANDS, described
from hpcwatch.cli.man_pages import COMPLETIONS, pages
from hpcwatch.config.schema import KEYS

MADE = pages()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_s_page_has_its_options_and_no_other_command_s(name: str) -> None:
    text = MADE[f"share/man/man1/hpcwatch-{name}.1"].replace("\\-", "-")
    named = {line.split()[1].rstrip(",") for line in text.splitlines() if line.startswith(".B -")}
    wanted = {option.flags[0] for option in described(name).options if "--help" not in option.flags}
    assert named == wanted
    assert f"hpcwatch-{name} - {COMMANDS[name]}" in text
    assert ("128 plus" in text) == (name == "run")


def test_the_page_of_the_configuration_has_every_key_with_its_variable_and_values() -> None:
    text = MADE["share/man/man5/hpcwatch-config.5"]
    assert text.startswith(".TH HPCWATCH-CONFIG 5 ")
    for key in KEYS:
        assert f".B {key.name}\n" in text
        assert f"Variable: {key.variable}." in text
    assert "Default 1; give a number between 0.05 and 3600." in text


def test_the_main_page_is_the_one_that_is_kept_in_the_repository() -> None:
    kept = (ROOT / "hpcwatch" / "data" / "hpcwatch.1").read_text("utf-8")
    assert MADE["share/man/man1/hpcwatch.1"] == kept


def test_roff_understands_every_page(tmp_path: Path) -> None:
    if shutil.which("mandoc") is None:
        pytest.skip("mandoc is not installed")
    command = [sys.executable, "-m", "hpcwatch.cli.man_pages", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True)
    made = sorted(map(str, tmp_path.glob("share/man/man?/*")))
    assert len(made) == len(COMMANDS) + len(SUBCOMMANDS) + 2
    lint = subprocess.run(["mandoc", "-T", "lint", "-W", "error", *made], capture_output=True)
    assert (lint.returncode, lint.stdout) == (0, b"")


def test_completions_are_what_the_command_prints() -> None:
    for shell, path in COMPLETIONS.items():
        assert f"made by: hpcwatch completion {shell}" in MADE[path]
