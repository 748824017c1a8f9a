"""The words of a report: how phases are summed up, what a device did, how rows are wrapped."""

from __future__ import annotations

from typing import Any

import pytest
import report_scenes as scenes
from program_scenes import START_S, begun, ended, telling

from hpcwatch.analysis.findings import Directive, Finding, Severity
from hpcwatch.analysis.report import Report
from hpcwatch.analysis.rightsize import Advice, Savings
from hpcwatch.base.units import GIB
from hpcwatch.recording.store import Event
from hpcwatch.views.report import html, markdown, tables, terminal
from hpcwatch.views.report.next_script import next_script
from hpcwatch.views.report.verdict import verdict
from hpcwatch.views.text import wrapped


def epochs(count: int, open_count: int) -> Report:
    """Epochs of 20 s each, of which the last ones never ended."""
    events: list[Event] = []
    for number in range(count):
        events.append(begun("epoch", 25 * number, pid=number))
        if number < count - open_count:
            events.append(ended("epoch", 25 * number + 20, pid=number))
    return telling(events)


@pytest.mark.parametrize(
    ("open_count", "took", "note"),
    [(0, "4:00", ""), (1, "≥ 3:40", "1 not ended"), (12, "not ended", "")],
)
def test_phases_that_ended_are_summed_up_whatever_the_others_did(
    open_count: int, took: str, note: str
) -> None:
    report = epochs(12, open_count)
    row = tables.phases(report).rows[0]
    assert (row[0], row[1], row[3]) == ("epoch ×12", note, took)
    line = next(line for line in terminal.text(report, False).split("\n") if "epoch ×12" in line)
    assert took in line
    assert ("≥" in line) == took.startswith("≥")


def test_of_many_events_the_first_and_the_last_are_told() -> None:
    told = [Event(START_S + n, "log", {"number": n}) for n in range(1000)]
    rows = tables.events(telling(told)).rows
    numbers = [rows[n][2].removeprefix("number ") for n in (0, 49, 51, -1)]
    assert numbers == ["0", "49", "950", "999"]
    assert rows[50] == ("…", "900 more", "")
    assert len(rows) == 101
    assert len(tables.events(telling(told[:100])).rows) == 100


def test_a_number_stays_beside_its_unit() -> None:
    text = "it used 12.9 MiB, 82.9 s of CPU time on GPU 1, 43 core-hours, so say srun --cpu-bind"
    for width in range(14, 60):
        rows = wrapped(text, width)
        assert " ".join(rows) == text
        assert max(map(len, rows)) <= width
        for row in rows:
            assert not row.endswith(("12.9", "82.9", "GPU", "43", "core-", "--", "--cpu-"))


def with_devices(*means_pct: float | None, use: str = "did nothing") -> Report:
    report = scenes.many_nodes(nodes=1, gpus=len(means_pct), hours=0.1)
    gpus = [
        gpu._replace(util_mean_pct=mean, use="worked" if mean else use)
        for gpu, mean in zip(report.summary.gpus, means_pct, strict=True)
    ]
    return report._replace(summary=report.summary._replace(gpus=gpus))


@pytest.mark.parametrize(
    ("means_pct", "words"),
    [
        ((80.0, 60.0), "and 2 GPUs 70 % of the time."),
        ((80.0, 0.0), "and 1 of 2 GPUs 80 % of the time."),
        ((0.0, 0.0), "and none of its 2 GPUs."),
        ((0.0,), "and not its GPU."),
        ((80.0,), "and 1 GPU 80 % of the time."),
        ((80.0, None), "and 1 GPU 80 % of the time."),
        ((None,), "of memory at its peak."),
    ],
)
def test_an_idle_device_is_not_hidden_in_a_mean(
    means_pct: tuple[float | None, ...], words: str
) -> None:
    assert verdict(with_devices(*means_pct))[0].endswith(words)


def advised(new: dict[str, Any], **old: Any) -> Report:
    """A job that was asked for like this, and should have been like that."""
    report = scenes.many_nodes(nodes=1, gpus=2, hours=0.5)
    assert report.run.job is not None
    job = report.run.job._replace(**old)
    advice = Advice("slurm", ("#SBATCH --x",), (), Savings(), "", None, "this run")
    changes = (Directive("slurm", "#SBATCH --old", "#SBATCH --new"),)
    run = report.run._replace(job=job)
    return report._replace(
        run=run, findings=[], advice=advice._replace(changes=changes, new=job._replace(**new))
    )


@pytest.mark.parametrize(
    ("new", "words"),
    [
        ({"node_cores_count": 1}, "ask for 1 core."),
        ({"gpus_count": 1}, "ask for 1 GPU."),
        ({"gpus_count": 0}, "ask for no GPU."),
        (
            {"node_cores_count": 4, "node_memory_bytes": 12 * GIB, "walltime_s": 1200},
            "ask for 4 cores, 12 GiB of memory and a walltime of 0:20:00.",
        ),
        ({"nodes": ("a", "b"), "node_cores_count": 4}, "ask for 2 nodes, 4 cores a node and 1 GPU"),
    ],
)
def test_the_verdict_says_what_to_ask_for(new: dict[str, Any], words: str) -> None:
    said = verdict(advised(new, node_memory_bytes=64 * GIB))
    assert len(said) == 3
    assert words in said[2]


def test_a_header_that_is_withheld_says_why_and_the_changes_stay() -> None:
    report = advised({"node_cores_count": 1})
    assert report.advice is not None
    withheld = report.advice._replace(
        lines=(), withheld="not carried over: x", kept=("Not changed: y.",)
    )
    script = next_script(report._replace(advice=withheld))
    assert [change.new for change in script.changes] == ["#SBATCH --new"]
    assert script.notes == [
        "No header to paste (not carried over: x): change the numbers in your own lines.",
        "Not changed: y.",
    ]
    assert next_script(advised({"node_cores_count": 1})).notes == []


def test_a_run_that_cannot_be_judged_is_not_called_well_asked() -> None:
    report = advised({})
    assert report.advice is not None
    refused = report.advice._replace(changes=(), lines=(), refused="it was shared")
    said = " ".join(verdict(report._replace(advice=refused)))
    assert "is not known" in said
    assert "nothing to change" not in said


def test_the_same_advice_is_given_once() -> None:
    said = "Give it larger batches."
    findings = [
        Finding(
            *("gpu-low", Severity.WARNING, "gpu001", f"GPU {index}", START_S, 60.0),
            *(f"GPU {index} only 9 % busy", {}, said),
        )
        for index in range(3)
    ]
    text = terminal.text(with_devices(9.0)._replace(findings=findings), False)
    assert (text.count("% busy "), text.count(said), text.count("As above.")) == (3, 1, 2)


def test_a_device_is_named_by_the_title_alone() -> None:
    report = with_devices(80.0)
    finding = Finding(
        *("gpu-low", Severity.WARNING, "gpu001", "GPU 0", START_S, 60.0, "GPU 0 only 9 % busy"),
        {"gpu_index": 0, "util_mean_pct": 9.0},
        "Larger batches.",
    )
    told = report._replace(findings=[finding])
    for text in (markdown.text(told), html.page(told).split('id="data"')[0]):
        assert "tilisation mean 9 %" in text
        assert "index" not in text.lower().split("findings")[1].split("against used")[0]
