"""The time series as CSV: every reading, its unit in the heading, unknown empty."""

from __future__ import annotations

import csv as reader
import io
from pathlib import Path

import pytest
import report_scenes as scenes

from hpcwatch.analysis.report import Report
from hpcwatch.analysis.timeline import HOST_METRICS
from hpcwatch.analysis.timeline.gpus import GPU_METRICS
from hpcwatch.base.units import unit_of
from hpcwatch.monitor.report import load
from hpcwatch.recording.store import RunDirectory
from hpcwatch.views.report import csv

RECORDING = Path(__file__).resolve().parents[2] / "examples" / "recordings" / "mnist_cnn"


def parsed(report: Report) -> list[dict[str, str]]:
    return list(reader.DictReader(io.StringIO("".join(csv.rows(report)), newline="")))


def test_every_reading_is_a_row_and_every_metric_a_column() -> None:
    report = scenes.many_nodes(nodes=3, gpus=2, hours=0.1)
    rows = parsed(report)
    assert len(rows) == 3 * 7 * (1 + 2)
    heads = next(reader.reader([next(iter(csv.rows(report)))]))
    assert len(heads) == len(set(heads))
    assert set(heads) >= {*HOST_METRICS, *GPU_METRICS, *csv.PLACE}
    units = [head for head in heads if head not in csv.PLACE and not head.endswith("_per_s")]
    assert all(unit_of(head) is not None for head in units)
    assert all(None not in row and None not in row.values() for row in rows)  # no ragged row


def test_values_are_those_of_the_timeline() -> None:
    report = load(RunDirectory(str(RECORDING)))
    host = report.timeline.hosts["node1"]
    rows = parsed(report)
    assert len(rows) == len(host.at_s)
    for index in (0, 7, 40):
        row = rows[index]
        assert float(row["used_bytes"]) == host.columns["used_bytes"].mean[index]
        assert float(row["elapsed_s"]) == pytest.approx(
            host.at_s[index] - report.run.started_at_s, abs=1e-3
        )
    assert rows[0]["cpu_cores"] == ""  # no rate before the second reading
    assert float(rows[40]["cpu_cores"]) == pytest.approx(
        host.columns["cpu_cores"].mean[40], abs=1e-6
    )
    assert {row["util_pct"] for row in rows} == {""}
    assert rows[0]["at"] == "2026-11-23T15:12:30.296Z"


def test_extremes_stand_beside_the_mean_and_devices_have_rows_of_their_own() -> None:
    report = scenes.many_nodes(nodes=2, gpus=2, hours=0.1)
    rows = parsed(report)
    gpu = [row for row in rows if (row["host"], row["entity"]) == ("gpu001", "GPU 1")]
    assert [row["device"] for row in gpu] == ["GPU-gpu001-1"] * 7
    for row in gpu:
        low, mean, high = (float(row[f"util{part}_pct"]) for part in ("_min", "", "_max"))
        assert (low, high) == pytest.approx((max(mean - 12, 0), min(mean + 9, 100)), abs=1e-5)
        assert row["used_bytes"] == row["cpu_cores"] == ""
    assert {row["util_pct"] for row in rows if row["entity"] == "job"} == {""}


@pytest.mark.parametrize("attack", scenes.ATTACKS)
def test_names_cannot_break_a_row_or_become_a_formula(attack: str) -> None:
    text = "".join(csv.rows(scenes.hostile(attack)))
    rows = list(reader.reader(io.StringIO(text, newline="")))
    assert len(rows) == len(text.splitlines()) == 1 + 2 * 11 * 3
    assert {len(row) for row in rows} == {len(rows[0])}
    cells = {cell for row in rows[1:] for cell in row}
    assert not [cell for cell in cells if cell[:1] in ("=", "+", "@") or cell[:1] == "-"]
    assert all(cell.isprintable() for cell in cells)
