"""The options of the export: what is refused before any work, on the program's own command line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from program import Hpcwatch

WRONG = (
    (["--listen", "nonsense"], "cannot listen"),
    (["--textfile", "a.txt"], ".prom"),
    (["--textfile", "nowhere/a.prom"], "no folder"),
    (["--push", "ftp://x"], "web address"),
    (["--listen", ""], "cannot listen"),
    (["--textfile", ""], ".prom"),
    (["--push", ""], "web address"),
    (["--otlp", ""], "web address"),
    (["--push", "http://me:secret@x"], "password"),
    (["--otlp", "x"], "web address"),
    (["--token-file", "t"], "--listen"),
    (["--push-token-file", "t"], "--push"),
    (["--listen", "0", "--token-file", "open"], "chmod 600"),
    (["--listen", "0", "--token-file", "missing"], "cannot read"),
    (["--push", "http://far.example", "--push-token-file", "private"], "unencrypted"),
    (["--names", "other"], "cannot be"),
)


@pytest.mark.parametrize("command", ["run", "export", "job", "submit"])
@pytest.mark.parametrize(("options", "said"), WRONG, ids=lambda one: str(one)[:30])
def test_a_wrong_option_is_one_line_before_the_program_starts(
    hpcwatch: Hpcwatch, command: str, options: list[str], said: str
) -> None:
    for name, mode in (("open", 0o644), ("private", 0o600)):
        path = hpcwatch.folder / name
        path.write_text("t0ken\n")
        path.chmod(mode)
    words = {"run": ["--", "touch", "started"], "job": ["7"], "submit": ["a.pbs"]}
    program = words.get(command, [])
    ended = hpcwatch(command, *options, *program)
    assert ended.code == 2, ended.err
    assert said in ended.complaint
    assert not (hpcwatch.folder / "started").exists()


@pytest.mark.parametrize("options", [["--names", "jobstats"], ["--cluster", "c1"]])
def test_names_without_a_way_are_refused(hpcwatch: Hpcwatch, options: list[str]) -> None:
    ended = hpcwatch("run", *options, "--", "touch", "started")
    assert ended.code == 2
    assert "go nowhere" in ended.complaint
    assert not (hpcwatch.folder / "started").exists()


def test_only_a_recording_becomes_openmetrics(hpcwatch: Hpcwatch) -> None:
    hpcwatch("run", "--", "true")
    ended = hpcwatch("report", "4242", "-o", "q.om")
    assert "only a recording can be written so" in ended.complaint


def test_export_says_what_it_lacks(hpcwatch: Hpcwatch) -> None:
    assert "export needs a place for the numbers" in hpcwatch("export").complaint
    assert "--once cannot listen" in hpcwatch("export", "--once", "--listen", "0").complaint
    assert "no interval" in hpcwatch("export", "--once", "--every", "0").complaint
    assert hpcwatch("export", "--once").code == 2  # nothing is recorded


def test_what_has_ended_is_for_report(hpcwatch: Hpcwatch, tmp_path: Path) -> None:
    assert hpcwatch("run", "-q", "--", "true").code == 0
    ended = hpcwatch("export", "--once")
    assert ended.code == 2
    assert "hpcwatch report latest -o run.om" in ended.complaint
    assert hpcwatch("report", "-o", "run.om").code == 0
    assert (tmp_path / "run.om").read_text().endswith("# EOF\n")


def test_a_run_that_exports_nothing_loads_nothing_of_it(hpcwatch: Hpcwatch) -> None:
    code = (
        "import os, sys\n"
        "import hpcwatch.cli.run as run\n"
        "run.main(['--name', 'x', '--interval', '0.1', '--', 'sleep', '0.3'])\n"
        "print(*[name for name in sys.modules if name.startswith(('hpcwatch.export', 'urllib'))])"
    )
    ended = hpcwatch.shell([sys.executable, "-c", code])
    assert (ended.code, ended.out) == (0, "\n"), ended.err
