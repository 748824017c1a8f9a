"""`hpcwatch run --fail-on` and `--report`: what a pipeline builds on."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from program import Hpcwatch

from hpcwatch.cli.completer import offers
from hpcwatch.views.report.formats import FORMATS

SHORT = [sys.executable, "-c", "pass"]


def test_the_formats_that_are_completed_are_those_of_the_report() -> None:
    offered = offers(["run", "--report", ""], lambda _kind: [])
    assert [one.word.rstrip(":") for one in offered] == list(FORMATS)


@pytest.mark.parametrize("name", ["markdown", "json", "csv", "html", "text"])
def test_a_report_is_written_where_it_was_asked_for(
    hpcwatch: Hpcwatch, tmp_path: Path, name: str
) -> None:
    path = tmp_path / f"out.{name}"
    ended = hpcwatch("run", "--report", f"{name}:{path}", "--", *SHORT)
    assert ended.code == 0
    assert ended.out == ""
    assert "── hpcwatch" in ended.err  # the text is said besides
    beginnings = {
        "markdown": "# ",
        "json": "{",
        "csv": "host,",
        "html": "<!doctype html>",
        "text": "── hpcwatch",
    }
    assert path.read_text("utf-8").startswith(beginnings[name])


def test_several_reports_and_one_in_place_of_the_text(hpcwatch: Hpcwatch, tmp_path: Path) -> None:
    words = ["--report", "json", f"--report=csv:{tmp_path / 'a.csv'}"]
    ended = hpcwatch("run", *words, "--report", f"markdown:{tmp_path / 'a.md'}", "--", *SHORT)
    plain, _ = json.JSONDecoder().raw_decode(ended.err)
    assert plain["schema_version"] == 1
    assert "── hpcwatch" not in ended.err
    assert (tmp_path / "a.csv").stat().st_size
    assert (tmp_path / "a.md").stat().st_size


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("pdf", "'pdf' is not a format: give text, html"),
        ("html", "say html:report.html"),
        ("json:nowhere/r.json", "no folder 'nowhere' to write"),
        ("json:.", "is a folder"),
        ("", "'' is not a format"),
    ],
)
def test_a_report_that_cannot_be_made_is_refused_before_the_program_starts(
    hpcwatch: Hpcwatch, tmp_path: Path, wanted: str, said: str
) -> None:
    mark = tmp_path / "started"
    ended = hpcwatch("run", "--report", wanted, "--", "touch", mark)
    assert ended.code == 2
    assert said in ended.complaint
    assert not mark.exists()


def test_job_and_submit_refuse_it_as_well(hpcwatch: Hpcwatch) -> None:
    for words in (["job", "--report", "pdf", "1"], ["submit", "--report", "pdf", "script"]):
        ended = hpcwatch(*words)
        assert (ended.code, "is not a format" in ended.complaint) == (2, True)


def test_submit_asks_for_what_is_missing_only(hpcwatch: Hpcwatch) -> None:
    ended = hpcwatch("submit")
    assert (ended.code, ended.out) == (2, "")
    assert "are required: SCRIPT: see hpcwatch submit --help" in ended.complaint


def test_a_report_s_folder_that_goes_away_is_one_line(hpcwatch: Hpcwatch, tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    program = [sys.executable, "-c", f"import os; os.rmdir({str(tmp_path / 'gone')!r})"]
    ended = hpcwatch("run", "--report", "json:gone/r.json", "--", *program)
    assert ended.code == 0
    (line,) = [row for row in ended.err.splitlines() if row.startswith("hpcwatch: ")]
    assert line.startswith("hpcwatch: no json report: cannot write")
    assert line.endswith("no such file or directory")


LONG = [sys.executable, "-c", "import time; time.sleep(1.5)"]
# Any use is nearer the limit than this.
WARNING = "[findings.memory-near-limit]\nnear_share = 0.0\nwindow_s = 0.5\n"
CRITICAL = WARNING + "critical_share = 0.0\n"


@pytest.mark.parametrize(
    ("configured", "asked", "code"),
    [
        (WARNING, "warning", 3),
        (WARNING, "critical", 0),
        (CRITICAL, "warning", 3),
        (CRITICAL, "critical", 3),
        ("", "warning", 0),
    ],
)
def test_a_finding_so_severe_fails_a_program_that_succeeded(
    hpcwatch: Hpcwatch, configured: str, asked: str, code: int
) -> None:
    hpcwatch.configure(configured)
    ended = hpcwatch("run", "--fail-on", asked, "--", *LONG)
    assert ended.code == code
    assert (f"at --fail-on {asked} or worse: exit code 3" in ended.err) == (code == 3)
    found = json.loads((hpcwatch.recorded() / "report.json").read_text())["findings"]
    assert [one["severity"] for one in found] == (
        ["critical"] if configured == CRITICAL else ["warning"] if configured else []
    )


def test_a_program_that_failed_keeps_its_code(hpcwatch: Hpcwatch) -> None:
    hpcwatch.configure(CRITICAL)
    bad = [sys.executable, "-c", "import time, sys; time.sleep(1.5); sys.exit(5)"]
    assert hpcwatch("run", "--fail-on", "warning", "--", *bad).code == 5


def test_without_a_report_nothing_is_judged(hpcwatch: Hpcwatch) -> None:
    broken = hpcwatch.folder / "broken" / "analysis" / "report.py"
    broken.parent.mkdir(parents=True)
    broken.write_text("raise RuntimeError('no report today')\n")
    code = "import hpcwatch.analysis, sys; hpcwatch.analysis.__path__.insert(0, sys.argv.pop(1));"
    code += "from hpcwatch.cli import main; sys.exit(main(sys.argv[1:]))"
    words = [sys.executable, "-c", code, str(broken.parent)]
    ended = hpcwatch.shell([*words, "run", "--fail-on", "warning", "--", "true"])
    assert ended.code == 0
    assert "--fail-on cannot be judged: there is no report" in ended.err


def test_a_severity_that_is_none_is_refused(hpcwatch: Hpcwatch) -> None:
    ended = hpcwatch("run", "--fail-on", "info", "--", "true")
    assert ended.code == 2
    assert "--fail-on" in ended.complaint
