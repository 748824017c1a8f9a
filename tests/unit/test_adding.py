"""docs/adding.md is true: its blocks, applied to a copy of the package, do what it says."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from page_of_changes import PAGE, section
from program import ROOT, Ended, Hpcwatch
from stand_in import StandIn

Changed = Callable[[str], Hpcwatch]
HOST = os.uname().nodename


@pytest.fixture
def changed(hpcwatch: Hpcwatch, tmp_path: Path) -> Changed:
    """hpcwatch with what sections of the page add."""

    def make(*titles: str) -> Hpcwatch:
        first, *others = titles
        folder = tmp_path / "changed"
        section(first).apply(folder)
        for title in others:
            section(title).apply(folder)
        hpcwatch.environment["PYTHONPATH"] = str(folder)
        return hpcwatch

    return make


def test_the_table_counts_the_files_of_each_section() -> None:
    said = {
        "a scheduler": (1, 1),
        "a metric": (0, 2),
        "a finding": (0, 1),
        "a report format": (0, 1),
        "a command": (1, 1),
    }
    table = PAGE.read_text()
    for title, (new, old) in said.items():
        assert f"| [{title}](#{title.replace(' ', '-')}) |" in table
        made = section(title[0].upper() + title[1:])
        assert (len(made.new), len(made.changed)) == (new, old)


TOYS = {
    "*": {
        "toyq --version": {"stdout": "toyq 1.0\n"},
        "toyq -u *": {
            "stdout": f"7 alice run {HOST} 4 8192 3600\n8 alice wait - 1 1024 60\n",
        },
        "toyq -old": {"stdout": f"5 alice done {HOST} 4 8192 3600\n"},
        "toyq 7": {"stdout": f"7 alice run {HOST} 4 8192 3600\n"},
    }
}


class Toy:
    """hpcwatch with the page's scheduler, on a machine that has its command."""

    def __init__(self, hpcwatch: Hpcwatch, folder: Path) -> None:
        self.hpcwatch = hpcwatch
        self.stand_in = StandIn(folder, ("toyq",), TOYS)

    def __call__(self, *arguments: object, **variables: str) -> Ended:
        """Run hpcwatch."""
        return self.hpcwatch(*arguments, **self.stand_in.environment, **variables)


@pytest.fixture
def toy(changed: Changed, tmp_path: Path) -> Toy:
    """The page's scheduler."""
    return Toy(changed("A scheduler"), tmp_path / "toy")


def test_the_jobs_of_a_new_scheduler_are_listed(toy: Toy) -> None:
    ended = toy("jobs", "-u", "alice")
    assert (ended.code, ended.err) == (0, "")
    rows = [line.split() for line in ended.out.splitlines()]
    assert [row[0] for row in rows if row and row[0] in ("7", "8")] == ["7", "8"]
    assert "toyq -u alice" in toy.stand_in.calls


def test_the_past_jobs_of_a_new_scheduler_are_listed(toy: Toy) -> None:
    ended = toy("jobs", "--since", "7d", "-u", "alice", "--format", "json")
    assert (ended.code, ended.err) == (0, "")
    (job,) = json.loads(ended.out)["jobs"]
    assert (job["id"], job["state"], job["memory_requested_bytes"]) == ("5", "completed", 8 << 30)


def test_a_job_of_a_new_scheduler_is_watched_on_its_nodes(toy: Toy) -> None:
    ended = toy("job", "7", "--once", "--format", "json")
    assert ended.code == 0, ended.err
    job = json.loads(ended.out)["run"]["job"]
    assert (job["id"], job["scheduler"], job["nodes"]) == ("7", "toy", [HOST])
    text = toy("job", "7", "--once")
    assert text.code == 0, text.err
    assert "1 of 1 node" in text.out


def test_a_report_suggests_the_header_of_a_new_scheduler(toy: Toy, tmp_path: Path) -> None:
    run = tmp_path / "recorded"
    shutil.copytree(ROOT / "hpcwatch" / "demos" / "idle-gpu", run)
    plain = json.loads((run / "run.json").read_text())
    asked = {
        "cores_count": 16,
        "node_cores_count": 16,
        "node_memory_bytes": 64 << 30,
        "walltime_s": 86400,
    }
    plain["job"] = {"id": "7", "scheduler": "toy", "state": "completed", **asked}
    plain["job"]["nodes"] = plain["hosts"][:1]
    (run / "run.json").write_text(json.dumps(plain))
    ended = toy("report", run, "--format", "json")
    assert ended.code == 0, ended.err
    directives = json.loads(ended.out)["directives"]
    assert directives["scheduler"] == "toy"
    assert [line.partition("=")[0] for line in directives["lines"]] == [
        "#TOY cores",
        "#TOY mib",
        "#TOY seconds",
    ]
    amounts = [int(line.partition("=")[2]) for line in directives["lines"]]
    assert amounts[0] < 16
    assert amounts[1] < 64 << 10
    assert f"{directives['lines'][0]}\n" in toy("report", run, "--format", "markdown").out


def test_a_program_in_a_job_of_a_new_scheduler_knows_its_job(toy: Toy) -> None:
    ended = toy("run", "--", sys.executable, "-c", "pass", TOY_JOB="7", TOY_COLOUR="red")
    assert ended.code == 0
    run = json.loads((toy.hpcwatch.recorded() / "run.json").read_text())
    assert (run["job"]["id"], run["job"]["scheduler"]) == ("7", "toy")
    assert run["environment"]["TOY_COLOUR"] == "red"


def test_a_new_scheduler_can_be_configured_and_is_named_in_help(toy: Toy) -> None:
    toy.hpcwatch.configure('[scheduler]\nname = "toy"\n')
    assert toy("config").code == 0
    assert "toy" in toy("jobs", "--help").out
    assert toy("jobs", "-u", "alice").code == 0
    assert "toyq --version" not in toy.stand_in.calls


def test_a_new_metric_is_recorded_listed_drawn_explained_and_exported(changed: Changed) -> None:
    made = changed("A metric")
    assert made("run", "--interval", "0.2", "--", "sleep", "1.5").code == 0
    rows = list(csv.DictReader(made("report", "--format", "csv").out.splitlines()))
    known = [row["files_count"] for row in rows if row["files_count"]]
    assert known
    assert all(float(one) > 0 for one in known)
    page = made("report", "--format", "html", "-o", "-").out
    assert '"name":"files"' in page.replace('": "', '":"')
    assert "Open files on the node." in made("explain", "files_count").out
    exported = made("report", "--format", "openmetrics").out
    assert "# HELP hpcwatch_node_files Open files on the node.\n" in exported
    assert "\nhpcwatch_node_files{" in exported


def test_a_new_finding_is_told_marked_and_explained(changed: Changed, tmp_path: Path) -> None:
    made = changed("A finding")
    for name, changes in section("A metric").changed.items():
        path = tmp_path / "changed" / name
        for old, new in changes:
            path.write_text(path.read_text().replace(old, new))
    made.configure("[findings.many-files]\nmost_count = 1\nwindow_s = 0.5\n")
    ended = made("run", "--interval", "0.5", "--", "sleep", "6")  # most readings are needed
    assert "open files on the node" in ended.err, ended.err
    page = made("report", "--format", "html", "-o", "-").out
    assert '"plots":["files"]' in page.replace(": ", ":")
    assert "Over 500,000 files" in made("explain", "many-files").out


def test_a_new_report_format_is_made_by_its_name_and_by_its_ending(changed: Changed) -> None:
    made = changed("A report format")
    ended = made("run", "--report", "titles:a.titles", "--", "true")
    assert ended.code == 0
    assert (made.folder / "a.titles").exists()
    demo = ROOT / "hpcwatch" / "demos" / "memory"
    told = made("report", demo, "--format", "titles")
    assert told.code == 0
    assert "memory-" in told.out
    assert made("report", demo, "-o", "b.titles").code == 0
    assert (made.folder / "b.titles").read_text() == told.out
    assert "titles" in made("run", "--help").out


def test_a_new_command_is_found_listed_and_completed(changed: Changed) -> None:
    made = changed("A command")
    assert made("run", "--", "true").code == 0
    (recorded,) = made.runs.iterdir()
    assert made("where").out == f"{recorded}\n"
    assert "print the path of a run" in made("--help").out
    wrong = made("where", "--nowhere")
    assert (wrong.code, wrong.complaint.startswith("hpcwatch: ")) == (2, True)


def test_the_page_s_modules_pass_the_type_checker(tmp_path: Path) -> None:
    mypy = Path(sys.executable).with_name("mypy")
    if not mypy.exists():
        pytest.skip("no mypy here")
    made = section("A scheduler")
    made.apply(tmp_path)
    command = [str(mypy), "--strict", "--follow-imports=silent", *map(str, made.new)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
