"""`hpcwatch runs`: filters, sizes, and removing nothing but what is ours and asked for."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from harness import Terminal, wait_until
from program import Ended, Hpcwatch
from unit_parts import START_S, run

from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.recording.store import RunDirectory

DAY_S = 86400.0
DEAD_PID = 2**22 + 1  # beyond the largest there can be


def made(hpcwatch: Hpcwatch, name: str, age_days: float = 0.0, **fields: Any) -> Path:
    """A recorded run of so many days ago."""
    started_s = time.time() - age_days * DAY_S - 120
    path = hpcwatch.runs / f"{name}-id"
    known: dict[str, Any] = {
        "id": f"{name}-id",
        "name": name,
        "started_at_s": started_s,
        "ended_at_s": started_s + 60,
        "wall_s": 60.0,
        "hosts": [os.uname().nodename],
        "monitor_pid": DEAD_PID,
    }
    RunDirectory.create(str(path)).write_run(run(**{**known, **fields}))
    (path / "samples.jsonl").write_text("x" * 5000)
    return path


def names(ended: Ended) -> list[str]:
    assert (ended.code, ended.err) == (0, "")
    return [one["name"] for one in json.loads(ended.out)["runs"]]


@pytest.fixture
def several(hpcwatch: Hpcwatch) -> Hpcwatch:
    made(hpcwatch, "old", 40)
    made(hpcwatch, "failed", 3, exit_code=1)
    made(hpcwatch, "killed", 2, exit_code=None, signal=9)
    path = made(hpcwatch, "wasteful", 1, kind="job", job=Job("77.qb3", "torque"))
    (path / "report.json").write_text('{"findings": [{"rule": "cpu-low"}]}')
    path = made(hpcwatch, "fine")
    (path / "report.json").write_text('{"findings": []}')
    return hpcwatch


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ([], ["old", "failed", "killed", "wasteful", "fine"]),
        (["--name", "f*"], ["failed", "fine"]),
        (["--name", "f"], []),
        (["--job", "77"], ["wasteful"]),
        (["--job", "7"], []),
        (["--failed"], ["failed", "killed"]),
        (["--with-findings"], ["wasteful"]),
        (["--kind", "job"], ["wasteful"]),
        (["--since", "60h"], ["killed", "wasteful", "fine"]),
        (["--since", "2000-01-01"], ["old", "failed", "killed", "wasteful", "fine"]),
        (["--since", "2w", "--failed", "--name", "k*"], ["killed"]),
    ],
)
def test_filters_choose(several: Hpcwatch, words: list[str], wanted: list[str]) -> None:
    assert names(several("runs", "--format", "json", *words)) == wanted


def test_a_date_is_a_local_day(hpcwatch: Hpcwatch) -> None:
    made(hpcwatch, "before", started_at_s=START_S - 10 * DAY_S)
    made(hpcwatch, "after", started_at_s=START_S)
    day = time.strftime("%Y-%m-%d", time.localtime(START_S))
    assert names(hpcwatch("runs", "--since", day, "--format", "json")) == ["after"]


def test_json_is_the_only_output_and_unknown_is_null(several: Hpcwatch) -> None:
    plain = json.loads(several("runs", "--format", "json", "--name", "wasteful").out)
    assert plain["schema_version"] == 1
    assert plain["root"] == str(several.runs)
    (one,) = plain["runs"]
    assert one["job_id"] == "77.qb3"
    folder = several.runs / "wasteful-id"
    assert one["size_bytes"] == sum(file.stat().st_size for file in folder.iterdir())
    assert (one["how"], one["is_link"], one["path"]) == ("ok", False, str(folder))
    (killed,) = json.loads(several("runs", "--format", "json", "--name", "killed").out)["runs"]
    assert (killed["exit_code"], killed["job_id"], killed["how"]) == (None, None, "signal 9")


def test_the_table_has_sizes_and_their_sum(several: Hpcwatch) -> None:
    rows = several("runs", "--failed").out.splitlines()
    assert rows[0].split() == [
        *("id", "started", "name", "took", "cores", "cores", "%", "memory", "ended"),
        *("size", "command"),
    ]
    assert "exit 1" in rows[1]
    assert "KiB" in rows[1]
    assert rows[-1].startswith("2 runs, 1")
    assert "job 77.qb3" not in "".join(rows)
    assert (
        several("runs", "--name", "none*").out == "No run matches; list all with: hpcwatch runs\n"
    )


REPORT: dict[str, Any] = {
    "summary": {
        "cores_used_mean": 2.1,
        "cores_allocated": 20,
        "cpu_efficiency_pct": 10.4,
        "memory_peak_bytes": 1.61 * (1 << 30),
        "memory_limit_bytes": 126 << 30,
        "gpus": [{"use": "worked"}, {"use": "did nothing"}],
    },
    "findings": [],
    "events": [
        {"at": "x", "name": "log", "fields": {"test_accuracy": 0.9931}},
        {"at": "x", "name": "signal", "fields": {"signal": "SIGTERM"}},
    ],
}
ID = "20260101-000000-mnist-cnn-0a1b2c"


def reported(hpcwatch: Hpcwatch, run_id: str = ID, job_id: str = "305671[3].qb3") -> None:
    job = Job(job_id, "torque", array_id="305671[].qb3", array_index="3")
    path = made(hpcwatch, "mnist_cnn", id=run_id, job=job)
    (path / "report.json").write_text(json.dumps(REPORT))
    path.rename(path.parent / run_id)


def test_a_row_says_what_the_run_used_and_how_it_ended(hpcwatch: Hpcwatch) -> None:
    reported(hpcwatch)
    head, row, _ = hpcwatch("runs").out.splitlines()
    assert row.split()[0] == "0a1b2c"
    for title, words in {
        "name": "mnist_cnn",
        "job": "305671[3].qb3",
        "ended": "ok",
        "result": "test_accuracy=0.9931",
    }.items():
        assert row[head.index(f" {title}") + 1 :].startswith(words)
    for words in (" 2.1/20 ", " 10 % ", " 1.6/126G ", " 1/2 "):
        assert words in row
    (plain,) = json.loads(hpcwatch("runs", "--format", "json").out)["runs"]
    (row_of_csv,) = csv.DictReader(hpcwatch("runs", "--format", "csv").out.splitlines())
    wanted = {
        "short_id": "0a1b2c",
        "job_task": "3",
        "cores_used_mean": 2.1,
        "cpu_efficiency_pct": 10.4,
        "gpus_used_count": 1,
        "gpus_count": 2,
        "findings_count": 0,
    }
    assert {name: plain[name] for name in wanted} == wanted
    assert plain["results"] == {"test_accuracy": 0.9931}
    assert {name: row_of_csv[name] for name in wanted} == {
        name: str(value) for name, value in wanted.items()
    }
    assert row_of_csv["results"] == "test_accuracy=0.9931"


def test_the_short_id_is_whole_at_80_columns_and_names_the_run(hpcwatch: Hpcwatch) -> None:
    reported(hpcwatch)
    lines = hpcwatch("runs", COLUMNS="80").out.splitlines()
    head, row = lines[0].split(), lines[1].split()
    assert head[:2] == ["id", "name"]
    assert row[0] == "0a1b2c"
    assert {"memory", "GPUs", "result", "ended"} <= set(head)
    assert max(map(len, lines)) <= 80
    assert json.loads(hpcwatch("report", "0a1b2c", "--format", "json").out)["run"]["id"] == ID


def test_an_id_is_short_only_where_it_names_one_run(hpcwatch: Hpcwatch) -> None:
    """A job of that number, or a second run with that end, keeps its claim."""
    reported(hpcwatch, "20260101-000000-a-305669", job_id="305669.qb3")
    reported(hpcwatch, "20260101-000000-b-0a1b2c")
    reported(hpcwatch, "20260102-000000-c-0a1b2c")
    reported(hpcwatch, "20260103-000000-d-ffffff")
    shown = [row.split()[0] for row in hpcwatch("runs").out.splitlines()[1:-1]]
    assert sorted(shown) == [
        *("20260101-000000-a-305669", "20260101-000000-b-0a1b2c", "20260102-000000-c-0a1b2c"),
        "ffffff",
    ]
    assert hpcwatch("report", "0a1b2c").complaint.startswith("hpcwatch: no run 0a1b2c")


def test_rows_are_sorted_with_the_largest_last_and_the_unknown_first(several: Hpcwatch) -> None:
    for name, peak in (("failed", 3), ("killed", 1), ("fine", 2), ("old", None), ("wasteful", "x")):
        report = {"summary": {"memory_peak_bytes": peak}}
        (several.runs / f"{name}-id" / "report.json").write_text(json.dumps(report))
    order = ["old", "wasteful", "killed", "fine", "failed"]
    assert names(several("runs", "--sort", "memory", "--format", "json")) == order
    turned = ["old", "wasteful", "failed", "fine", "killed"]
    assert names(several("runs", "--sort", "memory", "-r", "--format", "json")) == turned
    assert names(several("runs", "--sort", "name", "--format", "json"))[-1] == "wasteful"


@pytest.mark.parametrize(
    ("damage", "peak"),
    [
        ("[]", 1 << 30),  # as without a report: what run.json and the samples say
        ("{", 1 << 30),
        ('{"summary": 1, "findings": [1], "events": {}}', None),
        ('{"summary": {"memory_peak_bytes": true, "gpus": [1]}}', None),
    ],
)
def test_a_damaged_report_stops_nothing(hpcwatch: Hpcwatch, damage: str, peak: int | None) -> None:
    path = made(hpcwatch, "odd")
    (path / "report.json").write_text(damage)
    (plain,) = json.loads(hpcwatch("runs", "--format", "json").out)["runs"]
    assert plain["memory_peak_bytes"] == peak


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--since", "yesterday"], "'yesterday' is not a time"),
        (["--kind", "jobs"], "--kind"),
        (["--prune", "soon"], "argument --prune: 'soon' is not an age: give 30d"),
        (["--prune"], "--prune lacks an age"),
        (["--delete", "nothing"], "no run nothing"),
    ],
)
def test_wrong_use_is_one_line_and_removes_nothing(
    several: Hpcwatch, words: list[str], said: str
) -> None:
    ended = several("runs", "--yes", *words)
    assert ended.code == 2
    assert said in ended.complaint
    assert len(list(several.runs.iterdir())) == 5


def left(hpcwatch: Hpcwatch) -> set[str]:
    return {path.name.removesuffix("-id") for path in hpcwatch.runs.iterdir()}


def test_delete_removes_what_is_named(several: Hpcwatch) -> None:
    ended = several("runs", "--delete", "old", "77", "old-id", "--yes")
    assert (ended.code, ended.err) == (0, "")
    assert "Removed 2 runs, " in ended.out
    assert left(several) == {"failed", "killed", "fine"}


def test_without_a_terminal_nothing_is_removed(several: Hpcwatch) -> None:
    ended = several("runs", "--delete", "old")
    assert (ended.code, "say --yes to remove" in ended.complaint) == (2, True)
    assert "old" in left(several)


@pytest.mark.parametrize(("answer", "is_removed"), [("y\r", True), ("\r", False), ("n\r", False)])
def test_it_asks_on_a_terminal(several: Hpcwatch, answer: str, is_removed: bool) -> None:
    with Terminal(several.command("runs", "--prune", "30d"), several.environment) as terminal:
        terminal.wait_for("Remove it? [y/N]")
        terminal.type(answer)
        code = terminal.wait()
    assert code == (0 if is_removed else 1)
    assert ("old" in left(several)) != is_removed
    assert {"failed", "killed", "wasteful", "fine"} <= left(several)


def test_prune_goes_by_age_and_filters(several: Hpcwatch) -> None:
    ended = several("runs", "--prune", "36h", "--failed", "--yes")
    assert ended.code == 0
    assert left(several) == {"old", "wasteful", "fine"}
    assert "Nothing to remove." in several("runs", "--prune", "100d", "--yes").out


def test_prune_takes_the_configured_age_and_the_list_reminds_of_it(several: Hpcwatch) -> None:
    several.configure("[storage]\nkeep_days = 30\n")
    last = several("runs").out.splitlines()[-1]
    assert last == "1 is older than 30 days; remove with: hpcwatch runs --prune"
    assert several("runs", "--prune", "--yes").code == 0
    assert left(several) == {"failed", "killed", "wasteful", "fine"}
    assert "older than" not in several("runs").out


def test_of_a_linked_run_only_the_link_goes(hpcwatch: Hpcwatch) -> None:
    folder = hpcwatch.folder / "elsewhere"
    assert hpcwatch("run", "--output", folder, "--", "true").code == 0
    before = sorted(path.name for path in folder.iterdir())
    ended = hpcwatch("runs", "--delete", "latest", "--yes")
    assert (ended.code, ended.err) == (0, "")
    assert "1 lies elsewhere (--output)" in ended.out
    assert not list(hpcwatch.runs.iterdir())
    assert sorted(path.name for path in folder.iterdir()) == before


def test_a_run_outside_of_the_store_stays(hpcwatch: Hpcwatch) -> None:
    folder = hpcwatch.folder / "elsewhere"
    assert hpcwatch("run", "--output", folder, "--", "true").code == 0
    ended = hpcwatch("runs", "--delete", folder, "--yes")
    assert ended.code == 1
    assert "remove it yourself" in ended.complaint
    assert (folder / "run.json").exists()


@pytest.mark.parametrize(
    "name", ["notes.txt", "samples.jsonl.bak", "folder/", "link", "events.jsonl"]
)
def test_a_run_with_something_foreign_in_it_stays(several: Hpcwatch, name: str) -> None:
    outside = several.folder / "outside"
    outside.write_text("mine")
    path = several.runs / "old-id" / name
    if name in ("link", "events.jsonl"):
        path.symlink_to(outside)
    elif name.endswith("/"):
        path.mkdir()
    else:
        path.write_text("mine")
    ended = several("runs", "--prune", "30d", "--yes")
    assert ended.code == 0
    assert f"stays: it holds a file that is not hpcwatch's: {path.name}" in ended.complaint
    assert (several.runs / "old-id" / "run.json").exists()
    assert outside.read_text() == "mine"


def test_unfinished_temporary_files_are_removed_too(several: Hpcwatch) -> None:
    (several.runs / "old-id" / ".run.json.123").write_text("{")
    (several.runs / "old-id" / "samples.jsonl.123").write_text("{")
    assert several("runs", "--delete", "old", "--yes").code == 0
    assert "old" not in left(several)


def test_a_folder_that_is_no_run_is_never_touched(several: Hpcwatch) -> None:
    stranger = several.runs / "stranger"
    stranger.mkdir()
    (stranger / "thesis.tex").write_text("years of work")
    several("runs", "--prune", "1s", "--yes")
    assert left(several) == {"stranger"}
    ended = several("runs", "--delete", stranger, "--yes")
    assert (ended.code, "no run in" in ended.complaint) == (2, True)
    assert (stranger / "thesis.tex").exists()


UNENDED: dict[str, Any] = {"ended_at_s": None, "exit_code": None, "wall_s": None}


def test_a_run_that_is_being_recorded_stays(hpcwatch: Hpcwatch) -> None:
    mark = hpcwatch.folder / "mark"
    program = [sys.executable, "-c", f"open({str(mark)!r}, 'w'); import sys; sys.stdin.read()"]
    with subprocess.Popen(
        hpcwatch.command("run", "--", *program), stdin=subprocess.PIPE, env=hpcwatch.environment
    ) as running:
        assert running.stdin is not None
        wait_until(
            lambda: hpcwatch.runs.exists() and list(hpcwatch.runs.glob("*/samples.jsonl")), "it"
        )
        ended = hpcwatch("runs", "--delete", "latest", "--yes")
        assert ended.code == 1
        assert "stays: it is still being recorded" in ended.complaint
        running.stdin.close()
    assert hpcwatch("runs", "--delete", "latest", "--yes").code == 0
    assert not list(hpcwatch.runs.iterdir())


def test_a_killed_monitor_s_run_goes(hpcwatch: Hpcwatch) -> None:
    made(hpcwatch, "dead", **UNENDED)
    assert hpcwatch("runs", "--delete", "dead", "--yes").code == 0
    assert left(hpcwatch) == set()


@pytest.mark.parametrize(("age_s", "is_removed"), [(0.0, False), (4000.0, True)])
def test_another_host_s_run_goes_when_it_has_stopped_growing(
    hpcwatch: Hpcwatch, age_s: float, is_removed: bool
) -> None:
    path = made(hpcwatch, "far", 2, hosts=["elsewhere"], **UNENDED)
    at_s = time.time() - age_s
    os.utime(path / "samples.jsonl", (at_s, at_s))
    ended = hpcwatch("runs", "--delete", "far", "--yes")
    assert ended.code == (0 if is_removed else 1)
    assert left(hpcwatch) == (set() if is_removed else {"far"})


def test_hostile_names_are_only_text(hpcwatch: Hpcwatch) -> None:
    evil = run(id="\x1b]0;evil\x07", name="\x1b[2J", argv=["\x1b[31m"])
    RunDirectory.create(str(hpcwatch.runs / "x")).write_run(evil)
    for words in ([], ["--format", "json"], ["--prune", "1s", "--yes"]):
        assert "\x1b" not in hpcwatch("runs", *words).out


def test_a_run_that_is_being_recorded_is_running(hpcwatch: Hpcwatch) -> None:
    made(hpcwatch, "killed", ended_at_s=None, wall_s=None, exit_code=None)
    command = hpcwatch.command("run", "--name", "going", "--", "sleep", "60")
    with subprocess.Popen(command, env=hpcwatch.environment, stderr=subprocess.DEVNULL) as going:
        try:
            wait_until(lambda: len(list(hpcwatch.runs.glob("*/run.json"))) == 2, "a recording")
            listed = json.loads(hpcwatch("runs", "--format", "json").out)["runs"]
            assert {one["name"]: one["how"] for one in listed} == {
                "killed": "unfinished",
                "going": "running",
            }
            assert " running " in hpcwatch("runs").out
        finally:
            going.terminate()


KEEP = '[storage]\nkeep = "30d"\n'


def test_what_is_older_than_configured_goes_when_a_run_ends(several: Hpcwatch) -> None:
    several.configure(KEEP)
    made(several, "old-unfinished", 40, ended_at_s=None)
    thesis = made(several, "old-with-thesis", 40) / "thesis.tex"
    thesis.touch()
    ended = several("run", "--name", "new", "--", "true")
    assert ended.code == 0
    (line,) = [one for one in ended.err.splitlines() if "removed" in one]
    assert line.startswith("hpcwatch: removed 1 run older than 30d (storage.keep), ")
    assert "old" not in left(several)
    # Its samples were written a moment ago: nobody knows when it was abandoned.
    assert {"failed", "fine", "old-with-thesis", "old-unfinished"} <= left(several)
    assert thesis.exists()


def test_nothing_is_removed_without_a_setting_or_twice_an_hour(several: Hpcwatch) -> None:
    assert "hpcwatch: removed" not in several("run", "--", "true").err
    several.configure("[storage]\nkeep_days = 30\n")
    assert "hpcwatch: removed" not in several("run", "--", "true").err
    several.configure(KEEP)
    several("run", "--", "true")
    made(several, "old", 40)
    assert "hpcwatch: removed" not in several("run", "--", "true").err
    assert "old" in left(several)


@pytest.mark.parametrize("age", ['"5"', '"1s"', "90", '"soon"', '""', "true"])
def test_an_age_that_is_none_is_refused(several: Hpcwatch, age: str) -> None:
    several.configure(f"[storage]\nkeep = {age}\n")
    ended = several("config")
    assert ended.code == 2
    assert "give an age of an hour or more in quotes, such as 90d or 12w" in ended.err
    assert several("run", "--", "true").code == 0
    assert "old" in left(several)


@pytest.mark.parametrize("words", [["runs"], ["runs", "--format", "json"], ["advice"], ["report"]])
def test_a_folder_that_cannot_be_listed_does_not_read_as_empty(
    hpcwatch: Hpcwatch, words: list[str]
) -> None:
    hpcwatch.home.mkdir(parents=True, exist_ok=True)
    (hpcwatch.home / "runs").write_text("no folder")
    ended = hpcwatch(*words)
    assert (ended.code, ended.out) == (1, "")
    assert f"cannot read {hpcwatch.home / 'runs'}: " in ended.err


def test_a_program_that_no_reading_saw_has_an_unknown_number_of_processes(
    hpcwatch: Hpcwatch,
) -> None:
    assert hpcwatch("run", "--", "true").code == 0
    summary = json.loads(hpcwatch("report", "--format", "json").out)["summary"]
    assert summary["processes_max"] != 0
