"""`hpcwatch explain`: every number and finding has a definition, and thresholds can be copied."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from hpcwatch import cli, config
from hpcwatch.findings import rules
from hpcwatch.metrics import METRICS
from hpcwatch.report import Quality, Summary


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
    named = {*Summary._fields, *Quality._fields}
    without = {"gpus", "memory_files_where", "samples", "unknown", "probe_errors", "odd_lines"}
    assert named - without <= set(METRICS)


def test_a_wrong_name_gets_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", "cpu-lo"]) == 2
    assert "did you mean cpu-low?" in capsys.readouterr().err
