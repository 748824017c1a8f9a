"""`hpcwatch explain`: every number and finding has a definition, and thresholds can be copied."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest
import test_report

from hpcwatch import cli, config
from hpcwatch.analysis import compare
from hpcwatch.analysis.costs import Costs
from hpcwatch.analysis.findings import rules
from hpcwatch.analysis.keys import KEYS, WORDS
from hpcwatch.analysis.metrics import METRICS
from hpcwatch.analysis.report import Quality, Summary
from hpcwatch.cli import explain
from hpcwatch.monitor.replay import Replayer
from hpcwatch.monitor.report import load
from hpcwatch.recording.store import RunDirectory
from hpcwatch.sweep.findings import RULES as SWEEP_RULES
from hpcwatch.views.jobs import runs_rows
from hpcwatch.views.live.help import KEYS as LIVE_KEYS
from hpcwatch.views.report import csv

DEMOS = Path(cli.__file__).resolve().parents[1] / "demos"


@pytest.mark.parametrize("name", [*METRICS, *rules()])
def test_every_name_is_explained(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", name]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"{name}\n  ")
    assert len(printed) > len(name) + 30


@pytest.mark.parametrize("name", [one for one, entry in rules().items() if entry.defaults])
def test_thresholds_are_printed_as_a_configuration_takes_them(
    name: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cli.main(["explain", name])
    printed = textwrap.dedent(capsys.readouterr().out.split("In config.toml:\n")[1])
    (tmp_path / "hpcwatch").mkdir()
    (tmp_path / "hpcwatch" / "config.toml").write_text(printed)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    known = {key: value for key, value in rules()[name].defaults.items() if value is not None}
    assert config.load().thresholds[name] == known


def test_a_rule_without_thresholds_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["explain", "gpu-spread"])
    printed = capsys.readouterr().out
    assert "has no thresholds" in printed
    assert "config.toml" not in printed


def test_the_report_s_numbers_have_definitions() -> None:
    named = {*Summary._fields, *Quality._fields, *Costs._fields}
    without = {"gpus", "memory_files_where", "samples", "unknown", "probe_errors", "odd_lines"}
    without |= {"unit"}
    assert named - without <= set(METRICS)


def test_a_wrong_name_gets_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", "cpu-lo"]) == 2
    assert "did you mean cpu-low?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("CPU_Low", "cpu-low?"),
        ("sweep-tial", "sweep-tail?"),
        ("memory_peak", "memory_peak_bytes or memory_peak_exact or gpu_memory_peak_bytes?"),
        ("gpu throttling", "gpu-throttled?"),
        ("gpu_util", "util_pct or util_zero_pct or memory_util_pct or util_mean_pct?"),
    ],
)
def test_a_distant_name_gets_suggestions_that_share_its_words(
    wrong: str, near: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["explain", wrong]) == 2
    assert f"did you mean {near}" in capsys.readouterr().err


def test_an_unrelated_name_gets_the_whole_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", "xyzzy"]) == 2
    assert "see: hpcwatch explain" in capsys.readouterr().err


def test_the_figures_of_compare_have_definitions() -> None:
    named = {kind.name.removeprefix("gpu_") for kind in compare._KINDS}
    assert named <= {name.removeprefix("gpu_") for name in METRICS}


@pytest.mark.parametrize("name", [*rules(), *SWEEP_RULES])
def test_every_finding_says_where_its_thresholds_are_from_and_how_to_change_them(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["explain", name])
    text = capsys.readouterr().out
    assert max(map(len, text.split("\n"))) <= 80
    assert "``" not in text
    prose, _, table = text.partition("In config.toml:")
    assert "Source:" in prose
    function = SWEEP_RULES.get(name) or rules()[name].function
    thresholds = list(getattr(function, "__kwdefaults__", None) or {})
    assert (f"[findings.{name}]" in table) is bool(thresholds)
    for threshold in thresholds:
        assert re.search(rf"^  (# )?{threshold} ", table, re.MULTILINE)


def test_every_key_and_every_column_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    keys = {key for keys in test_report.KEYS.values() for key in keys.split()}
    recording = RunDirectory(str(DEMOS / "idle-gpu"))
    columns = set(next(iter(csv.rows(load(recording)))).strip().split(","))
    for name in keys | columns | set(runs_rows.CSV_HEAD):
        assert cli.main(["explain", name]) == 0, name
    assert "highest reading of used_bytes" in capsys.readouterr().out
    assert not set(KEYS) & set(METRICS)


@pytest.mark.parametrize("word", ["cpu", "GPU", "PSS", "pss", "cgroup", *WORDS])
def test_words_of_the_trade_are_explained(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", word]) == 0
    assert capsys.readouterr().out.startswith(f"{word}\n  ")


def test_words_name_only_what_can_be_explained() -> None:
    known = set(explain.names())
    for text in WORDS.values():
        assert set(re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", text)) <= known


def test_the_list_has_a_line_of_meaning_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert max(map(len, rows)) <= 80
    listed = {row.split()[0]: row for row in rows if row.startswith("  ")}
    assert set(listed) == set(explain.names())
    assert all(len(row.split()) > 2 for row in listed.values())


def test_the_keys_of_the_live_view_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", "keys"]) == 0
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    said = " ".join(printed.split())
    assert "g give them back to the scheduler" in said
    for keys, what in [*LIVE_KEYS, *Replayer.help]:
        assert " ".join(f"{keys} {what}".split()) in said
