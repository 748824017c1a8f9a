"""`--report` of `hpcwatch job` and `submit`: of a job that is over, and of one that runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from moving_job import stand_in
from program import Hpcwatch


def environment(folder: Path, state: str) -> dict[str, str]:
    return stand_in(folder / "cluster", state).environment


def test_a_job_that_is_over_has_its_reports_written(hpcwatch: Hpcwatch, tmp_path: Path) -> None:
    words = ["--report", f"json:{tmp_path}/a.json", "--report", f"html:{tmp_path}/a.html"]
    ended = hpcwatch("job", "0", *words, **environment(tmp_path, "over"))
    assert (ended.code, ended.err) == (0, "")
    assert "two_nodes · 0.qb3" in ended.out
    assert json.loads((tmp_path / "a.json").read_text())["run"]["job"]["id"] == "0.qb3"
    assert (tmp_path / "a.html").read_text().startswith("<!doctype html>")


def test_one_without_a_file_stands_in_place_of_the_text(hpcwatch: Hpcwatch, tmp_path: Path) -> None:
    ended = hpcwatch("job", "0", "--report", "markdown", **environment(tmp_path, "over"))
    assert ended.out.startswith("# ")
    assert "── " not in ended.out


@pytest.mark.parametrize("record", [[], ["--no-record"]])
def test_a_running_job_is_reported_as_far_as_it_was_seen(
    hpcwatch: Hpcwatch, tmp_path: Path, record: list[str]
) -> None:
    path = tmp_path / "seen.json"
    words = ["--once", "--report", f"json:{path}", *record]
    ended = hpcwatch("job", "0", *words, **environment(tmp_path, "running"))
    assert (ended.code, ended.err) == (0, "")
    plain = json.loads(path.read_text())
    assert plain["run"]["job"]["state"] == "running"
    (node,) = plain["nodes"]
    assert node["samples"] >= 2
    assert "1 of 1 node" in ended.out  # the picture is printed besides


def test_submit_writes_it_when_the_job_is_over(hpcwatch: Hpcwatch, tmp_path: Path) -> None:
    script = tmp_path / "train.pbs"
    script.write_text("#PBS -l nodes=1\n")
    path = tmp_path / "out.csv"
    words = ["--report", f"csv:{path}", script]
    ended = hpcwatch("submit", *words, **environment(tmp_path, "over"))
    assert ended.code == 0
    assert path.read_text().startswith("host,")


def test_a_report_that_cannot_be_written_is_one_line(hpcwatch: Hpcwatch, tmp_path: Path) -> None:
    path = tmp_path / "after.csv"
    words = ["--report", "json:/dev/full", "--report", f"csv:{path}"]
    ended = hpcwatch("job", "0", *words, **environment(tmp_path, "over"))
    assert ended.code == 1
    wanted = "hpcwatch: no json report: cannot write /dev/full: no space left on device"
    assert ended.complaint == wanted
    assert path.exists()  # the others are written all the same


def test_report_of_a_job_that_nobody_watched_is_from_the_accounting(
    hpcwatch: Hpcwatch, tmp_path: Path
) -> None:
    there = environment(tmp_path, "over")
    ended = hpcwatch("report", "0", **there)
    assert (ended.code, ended.err) == (0, "")
    assert "two_nodes · 0.qb3" in ended.out
    assert "ended well" in ended.out
    assert "636 MiB" in ended.out
    said = " ".join(ended.out.split())
    assert "hpcwatch did not watch this job: the figures are from the accounting of torque" in said
    plain = json.loads(hpcwatch("report", "0.qb3", "--format", "json", **there).out)
    assert plain["summary"]["cpu_s"] == 2.0
    assert plain["summary"]["memory_peak_bytes"] is not None
    assert plain["nodes"] == []
    page = hpcwatch("report", "0", "--format", "html", "-o", tmp_path / "a.html", **there)
    assert page.code == 0
    assert "from the accounting of torque" in (tmp_path / "a.html").read_text()
    assert hpcwatch("runs", **there).out.startswith("No runs in")  # nothing is recorded for it


@pytest.mark.parametrize(
    ("state", "which", "said"),
    [
        ("forgotten", "0", "no run 0, and torque knows no such job"),
        ("down", "0", "no run 0, and torque does not say whether it is a job"),
        ("over", "mnist", "no run mnist: see: hpcwatch runs"),
        ("over", "mnist5;id", "no run mnist5;id: see: hpcwatch runs"),
    ],
)
def test_report_of_neither_a_run_nor_a_known_job_is_one_line(
    hpcwatch: Hpcwatch, tmp_path: Path, state: str, which: str, said: str
) -> None:
    hpcwatch("run", "-q", "--", "true")
    ended = hpcwatch("report", which, **environment(tmp_path, state))
    assert (ended.code != 0, ended.out) == (True, "")
    assert said in ended.complaint
