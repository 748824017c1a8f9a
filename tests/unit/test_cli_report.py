"""`hpcwatch report`: five formats, to standard output or into a file."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from harness import Terminal
from program import ROOT, Hpcwatch

RECORDING = ROOT / "examples" / "recordings" / "mnist_cnn"
BEGINNINGS = {
    "text": "── hpcwatch",
    "html": "<!doctype html>",
    "markdown": "# mnist_cnn",
    "json": "{",
    "csv": "host,entity,device,at,elapsed_s,span_s,cpu_cores",
}


@pytest.mark.parametrize(("name", "beginning"), BEGINNINGS.items())
def test_each_format_goes_to_standard_output(hpcwatch: Hpcwatch, name: str, beginning: str) -> None:
    ended = hpcwatch("report", RECORDING, "--format", name)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith(beginning)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("r.html", "html"),
        ("r.HTM", "html"),
        ("r.md", "markdown"),
        ("r.json", "json"),
        ("r.csv", "csv"),
        ("r.txt", "text"),
    ],
)
def test_a_files_ending_means_its_format(
    hpcwatch: Hpcwatch, tmp_path: Path, file: str, name: str
) -> None:
    path = tmp_path / file
    ended = hpcwatch("report", RECORDING, "-o", path)
    assert ended == (0, f"Report written to {path}\n", "")
    assert path.read_text("utf-8").startswith(BEGINNINGS[name])
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()
    assert [one.name for one in tmp_path.iterdir() if one.is_file()] == [file]  # nothing beside


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_given_format_wins_over_the_file_s_ending(hpcwatch: Hpcwatch, tmp_path: Path) -> None:
    hpcwatch("report", RECORDING, "-o", tmp_path / "r.txt", "--format", "json")
    assert json.loads((tmp_path / "r.txt").read_text())["schema_version"] == 1


def test_an_unknown_ending_is_refused(hpcwatch: Hpcwatch, tmp_path: Path) -> None:
    ended = hpcwatch("report", RECORDING, "-o", tmp_path / "r.docx")
    assert ended.code == 2
    assert "r.docx: no format is known by this name: say --format" in ended.complaint
    assert "|csv|openmetrics|pdf, or" in ended.complaint
    assert not (tmp_path / "r.docx").exists()


def test_a_file_that_cannot_be_written_is_one_line(hpcwatch: Hpcwatch, tmp_path: Path) -> None:
    ended = hpcwatch("report", RECORDING, "-o", tmp_path / "missing" / "r.html")
    assert ended.code == 1
    folder = f"{tmp_path}/missing"
    assert ended.complaint == f"hpcwatch: no folder '{folder}' to write '{folder}/r.html' in"


@pytest.mark.parametrize("name", ["", ".", "missing/r.html"])
def test_an_unwritable_target_is_reported_before_the_work(hpcwatch: Hpcwatch, name: str) -> None:
    ended = hpcwatch("report", "/no/run", "--format", "html", "-o", name)
    assert ended.code == 1
    assert "no run" not in ended.complaint


def test_a_dash_is_standard_output(hpcwatch: Hpcwatch) -> None:
    ended = hpcwatch("report", RECORDING, "--format", "json", "-o", "-")
    assert json.loads(ended.out)["schema_version"] == 1
    assert hpcwatch("report", RECORDING, "-o", "-").out.startswith("── hpcwatch")
    assert not (hpcwatch.folder / "-").exists()


@pytest.mark.parametrize("name", ["run.json", "samples.jsonl"])
def test_a_file_of_a_recording_means_the_recording(hpcwatch: Hpcwatch, name: str) -> None:
    assert hpcwatch("report", Path(RECORDING) / name).code == 0


@pytest.mark.parametrize(
    ("which", "said"), [("", "the run's name is empty"), ("/etc/passwd", "no run in /etc/passwd")]
)
def test_a_folder_that_is_not_a_run_is_one_line(hpcwatch: Hpcwatch, which: str, said: str) -> None:
    ended = hpcwatch("report", which)
    assert ended.code == 2
    assert said in ended.complaint


def test_a_full_disk_leaves_the_old_report_as_it_was(hpcwatch: Hpcwatch, tmp_path: Path) -> None:
    path = tmp_path / "r.html"
    path.write_text("old")
    limit = 'ulimit -f 8; trap "" XFSZ; exec "$@"'
    command = hpcwatch.command("report", RECORDING, "-o", path)
    ended = hpcwatch.shell(["bash", "-c", limit, "bash", *command])
    assert ended.code == 1
    assert "file too large" in ended.complaint
    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir() if one.is_file()] == ["r.html"]


def test_a_link_and_a_device_stay_what_they_are(hpcwatch: Hpcwatch, tmp_path: Path) -> None:
    (tmp_path / "link.md").symlink_to(tmp_path / "target.md")
    hpcwatch("report", RECORDING, "-o", tmp_path / "link.md")
    assert (tmp_path / "link.md").is_symlink()
    assert (tmp_path / "target.md").read_text("utf-8").startswith("# mnist_cnn")
    ended = hpcwatch("report", RECORDING, "--format", "json", "-o", "/dev/stdout")
    assert json.loads(ended.out)["schema_version"] == 1
    assert Path("/dev/stdout").is_symlink()


def test_html_is_not_for_a_terminal(hpcwatch: Hpcwatch) -> None:
    command = hpcwatch.command("report", RECORDING, "--format", "html")
    with Terminal(command, hpcwatch.environment) as terminal:
        assert terminal.wait() == 2
        terminal.pump()
    shown = terminal.output.decode()
    assert "HTML is for a browser, not for a terminal: say: hpcwatch report -o" in shown
    assert "<html" not in shown


def test_a_rule_can_be_silenced(hpcwatch: Hpcwatch) -> None:
    run = hpcwatch.runs / "one"
    shutil.copytree(RECORDING, run)
    _kill_for_memory(run)
    (found,) = json.loads(hpcwatch("report", run, "--format", "json").out)["findings"]
    silent = hpcwatch("report", run, "--format", "json", "--silence", found["rule"])
    assert json.loads(silent.out)["findings"] == []
    other = hpcwatch("report", run, "--format", "json", "--silence", "gpu-low")
    assert [one["rule"] for one in json.loads(other.out)["findings"]] == [found["rule"]]


def _kill_for_memory(run: Path) -> None:
    """Let the recorded run have ended as one does that the kernel killed for its memory."""
    plain = json.loads((run / "run.json").read_text())
    plain.update(exit_code=None, signal=9)
    (run / "run.json").write_text(json.dumps(plain))
    lines: list[str] = []
    for line in (run / "samples.jsonl").read_text().splitlines():
        sample = json.loads(line)
        sample["cgroup"] = {"path": "/job", "is_job": True, "oom_kill_count": len(lines) // 100}
        lines.append(json.dumps(sample))
    (run / "samples.jsonl").write_text("\n".join(lines) + "\n")


def test_silencing_what_is_no_rule_names_the_nearest(hpcwatch: Hpcwatch) -> None:
    ended = hpcwatch("report", RECORDING, "--silence", "memory-kiled")
    assert ended.code == 2
    assert ended.complaint == "hpcwatch: no rule memory-kiled: did you mean memory-killed?"


def test_earlier_runs_of_the_same_name_are_shown(hpcwatch: Hpcwatch) -> None:
    for number in range(7):
        run = hpcwatch.runs / f"run{number}"
        shutil.copytree(RECORDING, run)
        plain = json.loads((run / "run.json").read_text())
        plain.update(id=f"run{number}", started_at_s=plain["started_at_s"] + 1000 * number)
        plain["exit_code"] = 3 if number == 4 else 0
        (run / "run.json").write_text(json.dumps(plain))
        cores = {"cores_used_mean": number + 0.25, "memory_peak_bytes": number << 30}
        (run / "report.json").write_text(json.dumps({"summary": cores}))
    (hpcwatch.runs / "run3" / "report.json").write_text("{torn")
    other = json.loads((hpcwatch.runs / "run2" / "run.json").read_text()) | {"name": "other"}
    (hpcwatch.runs / "run2" / "run.json").write_text(json.dumps(other))
    text = hpcwatch("report", "run5", "--format", "markdown").out
    section = text[text.index("## Earlier runs") : text.index("## How it")]
    rows = [[cell.strip() for cell in line.split("|")[2:-1]] for line in section.splitlines()[4:8]]
    assert [row[0] for row in rows] == ["run4", "run3", "run1", "run0"]
    assert rows[0][1:] == ["2:40", "exit 3", "4.25", "4 GiB", "–"]
    assert rows[1][1:] == ["2:40", "ok", "–", "–", "–"]
