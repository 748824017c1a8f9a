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
