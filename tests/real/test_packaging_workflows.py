"""The files that other programs read by a public schema, and the commands that they name."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def faults(schema: str, *files: Path) -> str:
    """What the published schema has against the files; empty if nothing."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}"]
    done = subprocess.run([*command, *files], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr if done.returncode else ""


def test_workflows_and_the_citation_are_valid() -> None:
    assert len(WORKFLOWS) >= 3
    assert faults("github-workflows", *WORKFLOWS) == ""
    assert faults("citation-file-format", ROOT / "CITATION.cff") == ""


def test_a_wrong_key_is_a_fault(tmp_path: Path) -> None:
    wrong = tmp_path / "tests.yml"
    wrong.write_text(WORKFLOWS[0].read_text().replace("runs-on:", "runs-at:"))
    assert "runs-at" in faults("github-workflows", wrong)


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_call_what_the_makefile_has(workflow: Path) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = workflow.read_text()
    assert set(re.findall(r"run: make ([\w-]+)", text)) <= targets
    for script in re.findall(r"run: (\.[\w/]+)$", text, re.MULTILINE):
        assert (ROOT / script).stat().st_mode & 0o111, script
